"""Runs of simulated orders: names, quotes and stored data."""

from pathlib import Path
from threading import Barrier, current_thread
from time import sleep

import numpy as np
import pytest

import mm
from mm import CalibrationConfig, Rules
from mm.backtest.models import FILL_MODELS
from mm.calibration.config import FillsMeasured
from mm.calibration.exposure import THREADS, Played, clip_lots, played, runs_of, simulated
from mm.calibration.sweeps import HitRule
from mm.errors import UsageError
from simulation import simulate_day

FILLS = FillsMeasured("queue_risk_averse", {}, FILL_MODELS["queue_risk_averse"])


@pytest.fixture(scope="module")
def tape(tmp_path_factory):
    """Return ten minutes of a simulated market."""

    folder = simulate_day(tmp_path_factory.mktemp("runs"), hours=1 / 6, seed=3, A_per_s=1.2, k_per_tick=0.4)
    return mm.load_day(folder.path)


def test_fill_model_plays_fixed_spread_quotes(tape):
    """With a fill model orders are sent as in a backtest; otherwise the quotes hold their distance."""
    for config, names, quotes in (
        (CalibrationConfig(reference="mid", method="fixed", deltas=(0.5, 2.0)), ["delta_0.5", "delta_2"], "FixedDelta"),
        (
            CalibrationConfig(reference="mid", method="fixed", deltas=(0.5, 2.0), fills=FILLS),
            ["delta_0.5", "delta_2"],
            "FixedSpread",
        ),
        (
            CalibrationConfig(reference="mid", method="ladder", permutations=2),
            ["ladder", "ladder_1"],
            "CalibrationLadder",
        ),
        (CalibrationConfig(reference="mid"), [], None),
    ):
        runs = dict(runs_of(tape, config))
        assert list(runs) == names
        assert {type(one).__name__ for one in runs.values()} == ({quotes} if quotes else set())


def test_rows_handed_over_day_by_day_measure_the_same(tape, tmp_path):
    """A run over days measures the same whether its rows are kept, for files, or only the lives of its orders."""

    folder = simulate_day(tmp_path, hours=1 / 6, seed=4, day="20260106", A_per_s=1.2, k_per_tick=0.4)
    tapes = (tape, mm.load_day(folder.path))
    config = CalibrationConfig(reference="mid", method="fixed", deltas=(0.5,), fills=FILLS)
    [(_, quotes)] = runs_of(tape, config)
    kept, brief = (simulated(tapes, quotes, config, None, all_rows=rows) for rows in (True, False))
    assert len(kept.result.journal.orders) > 1000 == 1000 + len(brief.result.journal.orders)
    for name, column in vars(kept.resting).items():
        assert np.array_equal(getattr(brief.resting, name), column), name


def test_runs_are_played_at_the_same_time_and_returned_in_order():
    """Each waits until another one has begun; a result is dropped once its files are written."""
    together = Barrier(THREADS, timeout=120)

    def play():
        together.wait()
        return Played(None, "result")

    found = played(
        ((f"run_{n}", play) for n in range(2 * THREADS)), CalibrationConfig(reference="mid", method="fixed"), None
    )
    assert list(found) == ["run_0", "run_1", "run_2", "run_3"]
    assert {run.result for run in found.values()} == {None}


def test_users_fill_model_is_played_by_the_current_thread():
    """Its code need not allow several, and Ctrl-C stops it."""
    own = FillsMeasured("models:Mine", {}, lambda: None)
    threads = set()

    def play():
        threads.add(current_thread().name)
        return Played(None)

    played(((str(n), play) for n in range(8)), CalibrationConfig(reference="mid", method="fixed", fills=own), None)
    assert threads == {current_thread().name}


def test_no_run_begins_after_a_failed_one():
    """A full disk does not wait for the rest of a ladder."""
    begun = []

    def keep(name, play):
        begun.append(name)
        if name == "0":
            raise OSError(28, "No space left on device")
        sleep(0.05)
        return play()

    runs = ((str(n), lambda: Played(None)) for n in range(200))
    with pytest.raises(OSError, match="No space"):
        played(runs, CalibrationConfig(reference="mid", method="fixed"), keep)
    assert len(begun) < 200


def test_clip_is_quantity_of_calibration_or_rules():
    """Always in whole steps."""
    rules = Rules(1, lot_e8=10, step_lots=5, quote_lots=15)
    config = CalibrationConfig(reference="mid", method="fixed", fills=FILLS)
    assert clip_lots(config, rules) == 15
    assert (
        clip_lots(CalibrationConfig(reference="mid", method="fixed", fills=FILLS, rule=HitRule(order_e8=200)), rules)
        == 20
    )
    with pytest.raises(UsageError, match=r"order_e8, is 0\.00000201"):
        clip_lots(CalibrationConfig(reference="mid", method="fixed", fills=FILLS, rule=HitRule(order_e8=201)), rules)


@pytest.mark.parametrize("call", [mm.calibrate, lambda given: mm.walkforward(given, Rules(1, 1))])
def test_argument_that_is_not_a_tape_is_rejected(call):
    """A path, several paths, and nothing; the message names the right argument."""
    for given, text in (
        ("data/SIMUSDT/20260105", "'data/SIMUSDT/20260105' instead of a tape; pass the result of mm.load_day"),
        ([Path("a"), Path("b")], "Path.* instead of a tape; pass the result of mm.load_day"),
        ([], "needs at least one tape"),
    ):
        with pytest.raises(UsageError, match=text):
            call(given)
