"""Counts of instructions: rows, repeatability, and the comparison with another commit."""

import shutil

import pytest

from benchmarks import instructions
from benchmarks.kept import keep
from benchmarks.play_models import PLAYS
from benchmarks.turns import Bench, Measured, Row, recorded
from benchmarks.yardstick import MARKET
from mm import DayFolder
from mm.errors import MMError
from mm.sim.flow.day import make_day
from mm.sim.flow.session import Session

WHERE = {"stamp": "20260105T080000Z", "day": "A/20260105", "hours": 1.0, "python": "3.11.2", "numpy": "2"}


def run_of(**counts):
    """Return a stored run with these counts, in millions."""
    rows = [Row(name, "M", [count]) for name, count in counts.items()]
    return WHERE | {"measured": {"instructions": Measured(rows).to_json()}}


def test_rows_above_three_percent_more_are_named(tmp_path):
    """A row that got faster, or that only one run has, is no finding."""
    before = keep(tmp_path, run_of(play=100.0, queue=50.0, gone=1.0))
    [line] = instructions.slower(run_of(play=103.1, queue=20.0, new=9.0), before)
    assert line.startswith("play takes 103 M instructions, 3.1% more")
    assert instructions.slower(run_of(play=102.9, queue=51.4), before) == []


@pytest.mark.parametrize("other", [{"hours": 2.0}, {"python": "3.12.1"}, {"measured": {}}])
def test_counts_of_other_conditions_are_not_compared(tmp_path, other):
    """Another day, another Python or no common row."""
    with pytest.raises(MMError, match=r"hours|python|no counts"):
        instructions.slower(run_of(play=100.0), keep(tmp_path, run_of(play=100.0) | other))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_counts_repeat_and_the_whole_book_takes_more(tmp_path):
    """Each play has a count of its own, which another run finds again."""
    day = DayFolder(tmp_path / "data", "SIMUSDT", "20260105")
    make_day(day, MARKET, Session(day.symbol, day.day, 0.02, 7))
    bench = Bench(recorded(day.path), tmp_path, turns=1)
    counts, again = ({row.name: row.ours[0] for row in instructions.measure(bench, ["models"]).rows} for _ in range(2))
    assert list(counts) == [f"models: {play.name}" for play in PLAYS]
    assert again == pytest.approx(counts, rel=0.01)
    assert counts["models: trade_cross, whole book"] > 1.5 * counts["models: trade_cross"]
