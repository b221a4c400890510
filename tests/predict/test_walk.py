"""Walk-forward of predictors on markets that are predictable by construction, and on a random one."""

import json
from dataclasses import replace

import numpy as np
import pytest

from engine_tapes import TEST
from fill_predictors import train
from markets import HORIZON_S, SECOND, SIGNALS, hinted
from mm.errors import FitError, UsageError
from mm.predict import walk
from mm.predict.samples import Task, samples_of
from mm.predict.walk import WINDOWS, learn

RETURN = Task("return", HORIZON_S, SIGNALS)


@pytest.fixture(scope="module")
def half():
    """Return a day of which about a quarter of the variance is predictable."""
    return hinted(0.9)


@pytest.fixture(scope="module")
def blind():
    """Return a day whose queues contain no information."""
    return hinted(0.0)


@pytest.mark.parametrize(("model", "margin"), [("logistic", 0.03), ("forest", 0.05), ("mlp", 0.08)])
def test_predictable_share_is_recovered(half, model, margin):
    """R² is near share²/3, the interval of the gain contains it, and only imbalance_5 matters."""
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
def test_unpredictable_market_is_not_usable(blind, model):
    """A model that fits noise does not beat the constant."""
    about, _ = learn([blind], RETURN, model)
    assert not about["usable"]
    assert about["score"]["value"] < 0.01


def test_market_with_reversed_relation_is_not_usable():
    """Hints reverse their meaning in the second half, so the past is misleading."""
    first = hinted(0.9, 2000)
    reversed_half = hinted(-0.9, 2000, begin_us=int(first.event_us[-1]) + SECOND)
    found = learn([first, reversed_half], RETURN, "logistic")[0]
    assert not found["usable"]
    assert found["score"]["windows"][0]["difference"] > 0.1 > -0.1 > found["score"]["windows"][2]["difference"]


def test_adverse_moves_reach_log_loss_of_true_probability(half):
    """A fill is adverse if the hint is against it; its probability is known."""
    about, _ = learn([half], Task("adverse", HORIZON_S, ("imbalance_5",)), "logistic")
    hint = np.random.default_rng(0).uniform(-1, 1, 100_000)
    p = (1 + 0.9 * hint) / 2
    assert about["usable"]
    assert about["score"]["value"] == pytest.approx(-np.mean(p * np.log(p) + (1 - p) * np.log(1 - p)), abs=0.02)
    assert about["score"]["baselines"]["constant"] == pytest.approx(np.log(2), abs=0.01)
    assert about["adverse_moves_ticks"] == [[-1.0, 1.0], [-1.0, 1.0]]


def test_windows_are_purged_and_embargoed(half, monkeypatch):
    """Training samples end at least one horizon before the scored window."""
    fitted_samples = []
    monkeypatch.setattr(
        walk,
        "fit",
        lambda model, task, samples, *rest: fitted_samples.append(samples) or real(model, task, samples, *rest),
    )
    found = learn([half], Task("return", 7.0, SIGNALS), "logistic")[0]["score"]
    assert len(fitted_samples) == WINDOWS == len(found["windows"]) + 1
    for fitted, window in zip(fitted_samples, found["windows"], strict=False):
        assert fitted.until_us.max() + 7 * SECOND <= window["begin_us"]
        assert fitted.until_us.max() + 9 * SECOND > window["begin_us"]
    assert sum(window["samples"] for window in found["windows"]) == found["samples"]


real = walk.fit


def test_size_of_adverse_moves_is_known_from_before_each_window(half, monkeypatch):
    """Moves that grow from day to day: those by which the fills of a window are chosen are smaller than its own."""

    def growing(*given):
        samples = samples_of(*given)
        return replace(samples, move_ticks=samples.move_ticks * (1 + samples.us / SECOND))

    scored = []
    monkeypatch.setattr(walk, "samples_of", growing)
    monkeypatch.setattr(walk, "score", lambda _, predicted, *__: scored.append(predicted) or {"difference_ci95": None})
    learn([half], Task("adverse", HORIZON_S, ("imbalance_5",)), "logistic")
    (predicted,) = scored
    for number in range(1, WINDOWS):
        at = predicted.window == number
        assert np.abs(predicted.moves[at]).max() < np.abs(predicted.samples.move_ticks[at]).min()


@pytest.mark.slow
@pytest.mark.parametrize("model", ["logistic", "forest", "mlp"])
def test_equal_seeds_give_equal_bytes(half, model, tmp_path):
    """Repeated fits give equal files; another seed changes random models."""
    written = []
    for number, seed in enumerate((3, 3, 4)):
        folder = tmp_path / str(number)
        folder.mkdir()
        train(folder, [half], RETURN, model, seed)
        written.append([(folder / name).read_bytes() for name in ("model.json", "arrays.npz")])
    assert written[0] == written[1]
    assert (written[0][1] == written[2][1]) == (model == "logistic")


def test_model_is_json_with_required_keys(half):
    """Users and checks rely on these keys."""
    about, _ = learn([half], RETURN, "logistic")
    assert json.loads(json.dumps(about, allow_nan=False)) == about
    assert {"target", "horizon", "signals", "scaler", "train_window", "symbol", "tick", "score", "usable"} <= set(about)
    assert (about["symbol"], about["tick"], about["horizon"]) == (TEST.symbol, "0.01", 1.0)
    assert {"metric", "value", "baselines", "difference", "difference_ci95"} <= set(about["score"])
    assert set(about["score"]["baselines"]) == {"constant", "imbalance_1"}
    assert about["train_window"]["end_us"] <= half.end_us


def test_constant_signals_are_left_out_on_request(half):
    """The fit is that of the other signals, also with the distance of an order behind them."""
    for target, horizon_s, distances in (("return", 1.0, ()), ("fill", 2.0, (0.5, 1.5))):
        plain = learn([half], Task(target, horizon_s, SIGNALS, distances), "logistic")
        more = Task(target, horizon_s, ("spread", *SIGNALS), distances)
        about, arrays = learn([half], more, "logistic", drop_constant=True)
        assert (about, sorted(arrays)) == (plain.about, sorted(plain.arrays))
        assert all((arrays[name] == array).all() for name, array in plain.arrays.items())
    with pytest.raises(FitError, match="spread is constant"):
        learn([half], Task("return", 1.0, ("spread",)), "logistic", drop_constant=True)


@pytest.mark.parametrize(
    ("task", "steps", "error", "message"),
    [
        (Task("return", 1.0, SIGNALS), 100, FitError, "14 samples in a training window; the minimum is 200"),
        (Task("return", 1.0, (*SIGNALS, "spread")), 4000, FitError, "spread is constant in all 3,99"),
        (
            Task("return", 900.0, SIGNALS),
            4000,
            UsageError,
            r"predict_horizon_s is 900, too long for 3,0",
        ),
        (Task("return", 9000.0, SIGNALS), 4000, FitError, "no sample of return has all of imbalance_5"),
        (Task("return", 1.0, ("momentum_9000s",)), 4000, FitError, "no sample of return has all of momentum_9000s"),
        (Task("fill", 0.1, ("imbalance_5",), (0.5,)), 4000, FitError, "0 of .* samples in a training window are 1"),
    ],
)
def test_unfittable_task_is_rejected(task, steps, error, message):
    """In one line, with the number."""
    with pytest.raises(error, match=message):
        learn([hinted(0.9, steps)], task, "logistic")


def test_rows_with_undefined_signals_are_left_out(half):
    """A signal that warms up has no samples before it is defined."""
    whole, late = (samples_of([half], Task("return", 1.0, names)) for names in (SIGNALS, (*SIGNALS, "momentum_600s")))
    assert len(whole) - len(late) == 595
    assert late.us[0] >= half.start_us + 600 * SECOND
