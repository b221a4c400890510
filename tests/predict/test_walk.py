"""Walk-forward on markets that are predictable by construction, and on one that is not."""

import json

import numpy as np
import pytest
from markets import HORIZON_S, SECOND, SIGNALS, hinted

from engine_tapes import TEST
from mm.errors import FitError, UsageError
from mm.predict import walk
from mm.predict.artefact import write
from mm.predict.samples import Task, samples_of
from mm.predict.walk import WINDOWS, learn

RETURN = Task("return", HORIZON_S, SIGNALS)


@pytest.fixture(scope="module")
def half():
    """A day of which about a quarter of the variance is known."""
    return hinted(0.9)


@pytest.fixture(scope="module")
def blind():
    """A day whose queues say nothing."""
    return hinted(0.0)


@pytest.mark.parametrize(("model", "margin"), [("logistic", 0.03), ("forest", 0.05), ("mlp", 0.08)])
def test_what_is_known_by_construction_is_found(half, model, margin):
    """R² is near share²/3, the interval of the gain holds it, and imbalance_5 alone matters."""
    about, _ = learn([half], RETURN, model)
    found = about["score"]
    assert about["usable"]
    assert found["value"] == pytest.approx(0.9**2 / 3, abs=margin)
    assert found["baselines"]["constant"] == 0.0
    assert abs(found["baselines"]["imbalance_1"]) < 0.02
    low, high = found["difference_ci95"]
    assert low < 0.9**2 / 3 < high + margin
    importance = found["importance"]
    assert importance["imbalance_5"] > 0.2 > 20 * abs(importance["momentum_5s"])


@pytest.mark.parametrize("model", ["logistic", "forest", "mlp"])
def test_what_cannot_be_known_is_not_usable(blind, model):
    """A model that fits noise does not beat the constant."""
    about, _ = learn([blind], RETURN, model)
    assert not about["usable"]
    assert about["score"]["value"] < 0.01


def test_a_market_that_changes_its_way_is_not_usable():
    """Hints that mean up in the first half mean down in the second: the past is misleading."""
    first = hinted(0.9, 2000)
    there = hinted(-0.9, 2000, begin_us=int(first.event_us[-1]) + SECOND)
    found = learn([first, there], RETURN, "logistic")[0]
    assert not found["usable"]
    assert found["score"]["windows"][0]["difference"] > 0.1 > -0.1 > found["score"]["windows"][2]["difference"]


def test_adverse_moves_are_found(half):
    """A fill is against whom the hint is: the log loss of a known probability is reached."""
    about, _ = learn([half], Task("adverse", HORIZON_S, ("imbalance_5",)), "logistic")
    hint = np.random.default_rng(0).uniform(-1, 1, 100_000)
    p = (1 + 0.9 * hint) / 2
    assert about["usable"]
    assert about["score"]["value"] == pytest.approx(-np.mean(p * np.log(p) + (1 - p) * np.log(1 - p)), abs=0.02)
    assert about["score"]["baselines"]["constant"] == pytest.approx(np.log(2), abs=0.01)
    assert about["adverse_moves_ticks"] == [[-1.0, 1.0], [-1.0, 1.0]]


def test_windows_are_purged_and_embargoed(half, monkeypatch):
    """Nothing that a fit has seen ends within a horizon of the window that it is scored on."""
    seen = []
    monkeypatch.setattr(
        walk, "fit", lambda model, task, samples, *rest: seen.append(samples) or real(model, task, samples, *rest)
    )
    found = learn([half], Task("return", 7.0, SIGNALS), "logistic")[0]["score"]
    assert len(seen) == WINDOWS == len(found["windows"]) + 1
    for fitted, window in zip(seen, found["windows"], strict=False):
        assert fitted.until_us.max() + 7 * SECOND <= window["begin_us"]
        assert fitted.until_us.max() + 9 * SECOND > window["begin_us"]
    assert sum(window["samples"] for window in found["windows"]) == found["samples"]


real = walk.fit


@pytest.mark.parametrize("model", ["logistic", "forest", "mlp"])
def test_a_seed_gives_equal_bytes(half, model, tmp_path):
    """The same fit twice is the same file twice; another seed draws another forest."""
    written = []
    for number, seed in enumerate((3, 3, 4)):
        folder = tmp_path / str(number)
        folder.mkdir()
        write(folder, *learn([half], RETURN, model, seed))
        written.append([(folder / name).read_bytes() for name in ("model.json", "arrays.npz")])
    assert written[0] == written[1]
    assert (written[0][1] == written[2][1]) == (model == "logistic")


def test_the_model_is_json_and_says_what_it_is_of(half):
    """The keys that users and checks rely on."""
    about, _ = learn([half], RETURN, "logistic")
    assert json.loads(json.dumps(about, allow_nan=False)) == about
    assert {"target", "horizon", "signals", "scaler", "train_window", "symbol", "tick", "score", "usable"} <= set(about)
    assert (about["symbol"], about["tick"], about["horizon"]) == (TEST.symbol, "0.01", 1.0)
    assert {"metric", "value", "baselines", "difference", "difference_ci95"} <= set(about["score"])
    assert set(about["score"]["baselines"]) == {"constant", "imbalance_1"}
    assert about["train_window"]["end_us"] <= half.end_us


@pytest.mark.parametrize(
    ("task", "steps", "error", "message"),
    [
        (Task("return", 1.0, SIGNALS), 100, FitError, "14 samples in a training window; the minimum is 200"),
        (Task("return", 1.0, (*SIGNALS, "spread")), 4000, FitError, "spread is constant in all 3,99"),
        (
            Task("return", 900.0, SIGNALS),
            4000,
            UsageError,
            r"--horizon-s \(PREDICT_HORIZON_S\) is 900, too long for 3,0",
        ),
        (Task("return", 9000.0, SIGNALS), 4000, FitError, "no sample of return has all of imbalance_5"),
        (Task("return", 1.0, ("momentum_9000s",)), 4000, FitError, "no sample of return has all of momentum_9000s"),
        (Task("fill", 0.1, ("imbalance_5",), (0.5,)), 4000, FitError, "0 of .* samples in a training window are 1"),
    ],
)
def test_what_cannot_be_fitted_is_refused(task, steps, error, message):
    """In one line, with the number."""
    with pytest.raises(error, match=message):
        learn([hinted(0.9, steps)], task, "logistic")


def test_rows_that_are_not_known_are_left_out(half):
    """A signal that warms up has no samples before it is known."""
    whole, late = (samples_of([half], Task("return", 1.0, names)) for names in (SIGNALS, (*SIGNALS, "momentum_600s")))
    assert len(whole) - len(late) == 595
    assert late.us[0] >= half.start_us + 600 * SECOND
