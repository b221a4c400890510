"""What signals, predictors and agents are worth: on a small market with its truth, and as the page has it."""

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

HOURS, SEED = 0.2, 5


@pytest.fixture(scope="module")
def tapes(tmp_path_factory):
    """Two short days of a market whose queues say where the mid goes."""
    root = tmp_path_factory.mktemp("days")
    found = []
    for number, day in enumerate(("20260105", "20260106")):
        folder = DayFolder(root, "SIMUSDT", day)
        make_day(folder, ZeroIntelligence(), Session("SIMUSDT", day, HOURS, SEED + number))
        found.append(load_day(folder))
    return found


def test_halves_are_of_equal_time_and_share_nothing(tapes):
    """Where days border on the middle they are whole, else the day over it is cut."""
    for days in (tapes, tapes[:1]):
        halves = halves_of(days)
        known, unseen = halves.hours
        assert known == pytest.approx(unseen, abs=1e-4)
        assert known + unseen == pytest.approx(HOURS * len(days), rel=0.01)
        assert max(one.end_us for one in halves.known) <= min(one.start_us for one in halves.unseen)


@pytest.fixture(scope="module")
def answer(tapes, tmp_path_factory):
    """The answer of the market, its agents trained for a moment where a trainer is installed."""
    folder = tmp_path_factory.mktemp("models")
    return Answer(halves_of(tapes), "1", folder, seeds=(0,), timesteps=256)


@pytest.fixture(scope="module")
def found(answer):
    return {"name": "ZI", **json.loads(json.dumps(answer.to_json()))}


def test_signals_are_judged_on_the_second_half(answer, found):
    """By the score of that half alone; the queue at the best price is informative here."""
    from mm.signals.score import score

    (row,) = (one for one in found["signals"] if (one["signal"], one["horizon_s"]) == ("imbalance_1", 1.0))
    (direct,) = score(answer.halves.unseen[-1], ["imbalance_1"], horizons_s=(1.0,))
    assert row["rho"] == direct.rho
    assert row["predicts"] == (direct.ci95[0] > 0.0)
    assert row["predicts"]


def test_predictors_are_fitted_on_the_first_half_alone(answer, found):
    """Their folders include until when; what cannot be fitted has a reason."""
    end_us = answer.halves.known[-1].end_us
    assert [one["target"] for one in found["predictors"]] == ["return", "adverse", "fill"]
    fitted = [one for one in found["predictors"] if "folder" in one]
    assert fitted
    for one in fitted:
        about = json.loads((answer.folder / one["target"] / "model.json").read_text())
        assert about["train_window"]["end_us"] <= end_us
        assert one["difference"] is not None
    assert all(one["reason"] for one in found["predictors"] if "folder" not in one)


def test_backtests_differ_by_the_predictor_alone(answer, found):
    """Each row with one is held against the same quotes without it, at the same fee, second by second."""
    rows = {(one["fee"], one["quotes"], one["with"]): one for one in found["backtests"]}
    targets = [one["target"] for one in found["predictors"] if "folder" in one]
    assert {key[2] for key in rows} == {"", *targets}
    for (fee, quotes, target), row in rows.items():
        plain = rows[fee, quotes, ""]
        expected = None if not target else pytest.approx(row["earned"] - plain["earned"], abs=1e-6)
        assert row["more"] == expected
    free, dear = (rows[fee, "avellaneda_stoikov", ""] for fee in learned.FEES)
    assert free["fills"] == dear["fills"] > 0
    most = dear["fills"] * 10 / answer.halves.hours[1]  # bp an hour, where each fill is a whole clip
    assert 0.01 * most < free["earned"] - dear["earned"] < 1.01 * most


def test_agents_stand_beside_their_rivals(found):
    """Where a trainer is installed."""
    pytest.importorskip("stable_baselines3", reason=WHY_NO_TRAINER)
    policies = [one["policy"] for one in found["agents"] if one["fee"] == "0"]
    assert policies[0] == "avellaneda_stoikov"
    assert {"symmetric", "rl, seed 0"} <= set(policies)
    assert [one["more"] is None for one in found["agents"]] == [
        one["policy"] == "avellaneda_stoikov" for one in found["agents"]
    ]


def test_an_interval_holds_the_mean_it_should():
    """Of 200 drawn markets whose gains have a known mean and come in runs; of nothing there is none."""
    held = 0
    for seed in range(200):
        draws = np.random.default_rng(seed)
        gains = np.repeat(draws.normal(0.5, 3.0, 400), 10) + draws.normal(0, 1, 4000)
        low, high = interval(gains)
        held += low <= 0.5 * 3600 <= high
    assert 180 <= held <= 198
    assert interval(np.zeros(4000)) is None
    assert interval(np.ones(10)) is None


def row(**changed):
    """Return a row of a backtest, or of an agent."""
    ends = {"earned_ci95": [-1.0, 1.0], "more": 1.0, "more_ci95": [-1.0, 1.0]}
    plain = {"fee": "0.001", "quotes": "q", "with": "fill", "policy": "rl, seed 0", "timesteps": 5, "fills": 3}
    return {**plain, "held": 1.0, "earned": 0.0, **ends, **changed}


@pytest.mark.parametrize(("winners", "word"), [(0, "No"), (1, "No"), (2, "Yes")])
def test_the_verdict_is_yes_beyond_chance_alone(winners, word):
    """More than without, and more than nothing, by both intervals; one of ten may be luck, two are not."""
    won = [row(earned_ci95=[0.1, 2.0], more_ci95=[0.1, 2.0])] * winners
    halves = [row(more_ci95=[0.1, 2.0]), row(earned_ci95=[0.1, 2.0])]  # one of both is not enough
    rows = [*won, *halves, *[row()] * (8 - winners)]
    (line,) = learning._verdicts(rows, "backtests", "none")
    assert line.startswith(f"At a maker fee of 0.1 %: **{word}**. Of 10 backtests, {winners + 1} earned more")
    assert f"and {winners} of these earned anything at all; 0.2 would by chance." in line


def test_the_page_has_the_answer_between_its_marks(found, monkeypatch, tmp_path, capsys):
    """What stood there before is gone, the rest of the page stays; the terminal has the same lines."""
    monkeypatch.setattr(learning, "MARKETS", ("ZI",))
    monkeypatch.setattr(learning, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(learning, "answer_of", lambda *_: found)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{learning.BEGIN}\nlast year's\n{learning.END}\nafter\n")
    for _ in range(2):
        learning.main([str(tmp_path), str(page)])
        text = page.read_text()
        assert text.startswith(f"before\n{learning.BEGIN}\n\n| market |")
        assert text.endswith(f"{learning.END}\nafter\n")
        assert "last year" not in text
        told = "\n".join(learning.table_lines([found]))
        assert told in text
        assert told in capsys.readouterr().out
    for line in told.splitlines():
        assert line.count("|") in (0, 5, 6, 8), line
    page.write_text("")
    with pytest.raises(SystemExit, match="are missing; the answer stands between them"):
        learning.main([str(tmp_path), str(page)])
    with pytest.raises(SystemExit, match="CAPTURES is the folder of captures"):
        learning.main(["nowhere"])


class Here:
    """A pool that works in this process."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    map = staticmethod(map)
