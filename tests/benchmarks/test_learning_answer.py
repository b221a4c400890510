"""The value of signals, predictors and agents: on a small market with known truth, and on the page."""

import json

import numpy as np
import pytest

from benchmarks import learned, learning
from benchmarks.learned import Answer, halves_of, interval
from mm.dayfolder.layout import DayFolder
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import ZeroIntelligence
from mm.sim.flow.session import Session
from mm.tape.load import load_day
from rl_agents import WHY_NO_TRAINER

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


def test_agents_are_compared_with_rival_quoters(results):
    """If a trainer is installed."""
    pytest.importorskip("stable_baselines3", reason=WHY_NO_TRAINER)
    policies = [one["policy"] for one in results["agents"] if one["fee"] == "0"]
    assert policies[0] == "avellaneda_stoikov"
    assert {"symmetric", "rl, seed 0"} <= set(policies)
    assert [one["more"] is None for one in results["agents"]] == [
        one["policy"] == "avellaneda_stoikov" for one in results["agents"]
    ]


def test_interval_contains_true_mean_95_percent_of_time():
    """For 200 drawn markets with autocorrelated gains of known mean; without gains there is no interval."""
    contained = 0
    for seed in range(200):
        draws = np.random.default_rng(seed)
        gains = np.repeat(draws.normal(0.5, 3.0, 400), 10) + draws.normal(0, 1, 4000)
        low, high = interval(gains)
        contained += low <= 0.5 * 3600 <= high
    assert 180 <= contained <= 198
    assert interval(np.zeros(4000)) is None
    assert interval(np.ones(10)) is None


def row(**changed):
    """Return a row of a backtest, or of an agent."""
    ends = {"earned_ci95": [-1.0, 1.0], "more": 1.0, "more_ci95": [-1.0, 1.0]}
    plain = {"fee": "0.001", "quotes": "q", "with": "fill", "policy": "rl, seed 0", "timesteps": 5, "fills": 3}
    return {**plain, "held": 1.0, "earned": 0.0, **ends, **changed}


@pytest.mark.parametrize(("winners", "word"), [(0, "No"), (1, "No"), (2, "Yes")])
def test_verdict_is_yes_only_beyond_chance(winners, word):
    """A winner earns more than the reference and more than 0, by both intervals; one of ten is chance, two are not."""
    won = [row(earned_ci95=[0.1, 2.0], more_ci95=[0.1, 2.0])] * winners
    halves = [row(more_ci95=[0.1, 2.0]), row(earned_ci95=[0.1, 2.0])]  # one of the two is not enough
    rows = [*won, *halves, *[row()] * (8 - winners)]
    (line,) = learning._verdicts(rows, "backtests", "none")
    assert line.startswith(f"At a maker fee of 0.1 %: **{word}**. Of 10 backtests, {winners + 1} earned more")
    assert f"and {winners} of these earned anything at all; 0.2 would by chance." in line
