"""The value of signals, predictors and agents: on a small market with known truth, and on the page."""

import json

import pytest

from benchmarks import learned
from benchmarks.learned import Answer, halves_of
from mm.dayfolder.layout import DayFolder
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import ZeroIntelligence
from mm.sim.flow.session import Session
from mm.tape.load import load_day

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product

HOURS, SEED = 0.2, 5


@pytest.fixture(scope="module")
def tapes(tmp_path_factory):
    """Two short days of a market whose queues predict the mid."""
    root = tmp_path_factory.mktemp("days")
    loaded = []
    for number, day in enumerate(("20260105", "20260106")):
        folder = DayFolder(root, "SIMUSDT", day)
        make_day(folder, ZeroIntelligence(), Session("SIMUSDT", day, HOURS, SEED + number))
        loaded.append(load_day(folder))
    return loaded


def test_halves_have_equal_time_and_no_overlap(tapes):
    """Days that end at the middle stay complete; a day across the middle is split."""
    for days in (tapes, tapes[:1]):
        halves = halves_of(days)
        known, unseen = halves.hours
        assert known == pytest.approx(unseen, abs=1e-4)
        assert known + unseen == pytest.approx(HOURS * len(days), rel=0.01)
        assert max(one.end_us for one in halves.known) <= min(one.start_us for one in halves.unseen)


@pytest.fixture(scope="module")
def answer(tapes, tmp_path_factory):
    """The results of the market, with briefly trained agents if a trainer is installed."""
    folder = tmp_path_factory.mktemp("models")
    return Answer(halves_of(tapes), "1", folder, seeds=(0,), timesteps=256)


@pytest.fixture(scope="module")
def results(answer):
    return {"name": "ZI", **json.loads(json.dumps(answer.to_json()))}


def test_signals_are_scored_on_second_half(answer, results):
    """The score uses that half alone; the queue at the best price is informative here."""
    from mm.signals.score import score

    (row,) = (one for one in results["signals"] if (one["signal"], one["horizon_s"]) == ("imbalance_1", 1.0))
    (direct,) = score(answer.halves.unseen[-1], ["imbalance_1"], horizons_s=(1.0,))
    assert row["rho"] == direct.rho
    assert row["predicts"] == (direct.ci95[0] > 0.0)
    assert row["predicts"]


def test_predictors_are_fitted_on_first_half_only(answer, results):
    """Their folders store the end of training; a target that cannot be fitted has a reason."""
    end_us = answer.halves.known[-1].end_us
    assert [one["target"] for one in results["predictors"]] == ["return", "adverse", "fill"]
    fitted = [one for one in results["predictors"] if "folder" in one]
    assert fitted
    for one in fitted:
        about = json.loads((answer.folder / one["target"] / "model.json").read_text())
        assert about["train_window"]["end_us"] <= end_us
        assert one["difference"] is not None
    assert all(one["reason"] for one in results["predictors"] if "folder" not in one)


def test_backtests_with_predictor_are_compared_with_same_quotes(answer, results):
    """Each row with a predictor is compared with the same quotes without it, at the same fee, per second."""
    rows = {(one["fee"], one["quotes"], one["with"]): one for one in results["backtests"]}
    targets = [one["target"] for one in results["predictors"] if "folder" in one]
    assert {key[2] for key in rows} == {"", *targets}
    for (fee, quotes, target), row in rows.items():
        plain = rows[fee, quotes, ""]
        expected = None if not target else pytest.approx(row["earned"] - plain["earned"], abs=1e-6)
        assert row["more"] == expected
    free, costly = (rows[fee, "avellaneda_stoikov", ""] for fee in learned.FEES)
    assert free["fills"] == costly["fills"] > 0
    most_bp = costly["fills"] * 10 / answer.halves.hours[1]  # bp per hour, if each fill is a full clip
    assert 0.01 * most_bp < free["earned"] - costly["earned"] < 1.01 * most_bp


def row(**changed):
    """Return a row of a backtest, or of an agent."""
    ends = {"earned_ci95": [-1.0, 1.0], "more": 1.0, "more_ci95": [-1.0, 1.0]}
    plain = {"fee": "0.001", "quotes": "q", "with": "fill", "policy": "rl, seed 0", "timesteps": 5, "fills": 3}
    return {**plain, "held": 1.0, "earned": 0.0, **ends, **changed}
