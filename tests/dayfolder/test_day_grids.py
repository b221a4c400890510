"""The price grid that is valid at each row of a day."""

import json

import pytest

from day_files import defects_of
from mm.dayfolder.day_grids import DayGrids, GridChange, read_grids, reported_tick_e8
from mm.dayfolder.ledger import Event
from mm.dayfolder.rows import Arrival
from mm.errors import BrokenFile, Mismatch, OffGrid


def event(**details):
    return Event(1, 1, Arrival(5, "R1", 0, 0), "anomaly", 1, {"kind": "grid", **details})


def test_step_is_valid_from_its_row_on():
    """Finer steps are invalid before their row; a coarser step does not invalidate earlier ones."""
    grids = DayGrids([(0, 10), (7, 2), (9, 50)])
    prices = ["0.00000010", "0.00000004"]
    assert [grids.off_tick(prices, seq) for seq in (-1, 0, 6, 7, 9, 99)] == [*["0.00000004"] * 3, None, None, None]
    assert DayGrids().off_tick(["0.1"], 1) is None


def test_reported_tick_comes_only_from_price_grid_anomaly():
    """Reports of quantity steps and other anomalies have no tick."""
    assert reported_tick_e8(event(tick_size="0.05")) == 5_000_000
    assert reported_tick_e8(event(step_size="0.05")) is None
    assert reported_tick_e8(event(kind="late", tick_size="0.05")) is None
    with pytest.raises(OffGrid):
        reported_tick_e8(event(tick_size="0"))


@pytest.fixture
def entry(recorded_day):
    return json.loads(recorded_day.instrument.read_text())


def rewritten(folder, entry, **history):
    folder.instrument.write_text(json.dumps({**entry, **history}))
    folder.manifest.unlink(missing_ok=True)
    return folder


def grid(from_seq, tick, step="0.00100000"):
    return {"from_us": from_seq, "from_seq": from_seq, "tick_size": tick, "step_size": step}


def test_grids_are_history_or_else_filters(recorded_day, entry):
    """A day without changes has one grid from its filters."""
    (only,) = read_grids(recorded_day)
    assert (only.from_us, only.from_seq) == (0, 0)
    rewritten(recorded_day, entry, history=[grid(0, "0.1"), grid(9, "0.02")])
    assert read_grids(recorded_day) == (GridChange(0, 0, 10_000_000, 100_000), GridChange(9, 9, 2_000_000, 100_000))


@pytest.mark.parametrize("history", [[{}], [grid(0, "0")], [grid("x", "1")], 5, [5], {"a": 1}])
def test_invalid_history_is_reported(recorded_day, entry, history):
    """The error and the check report the history."""
    rewritten(recorded_day, entry, history=history)
    with pytest.raises(BrokenFile, match="the history of the grid cannot be read"):
        read_grids(recorded_day)
    assert [defect.kind for defect in defects_of(recorded_day)] == ["instrument"]


def test_grid_of_other_symbol_is_rejected(recorded_day, entry):
    """The error contains the other symbol."""
    with pytest.raises(Mismatch, match="it has symbol OTHER"):
        read_grids(rewritten(recorded_day, entry, symbol="OTHER"))


def test_check_uses_grid_of_each_row(recorded_day, entry):
    """A price that only a later grid allows is a defect; a price of an earlier grid is none."""
    finer = [grid(0, "0.03"), grid(1 << 40, "0.01")]
    defects = defects_of(rewritten(recorded_day, entry, history=finer))
    assert {defect.kind for defect in defects} >= {"off_tick"}
    coarser = [grid(0, "0.01"), grid(1, "0.03")]
    assert defects_of(rewritten(recorded_day, entry, history=coarser)) == []
