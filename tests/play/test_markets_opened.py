"""Building objects from knobs: errors that are raised before anything is read."""

import pytest

from mm.errors import MissingDay
from mm.play.knobs import Day, Market
from mm.play.market import Markets
from strategies import DAY, START_US, Story, price, qty


def test_missing_day_raises_before_other_days_are_read(tmp_path):
    """Reading a month takes minutes, and the last day's name may be wrong."""
    start = ("event", START_US, "run_start", 0, {"version": "1", "knobs": {}})
    book = ([[price(99), qty(5)]], [[price(101), qty(7)]])
    Story([[start, ("snapshot", START_US, "initial", 10, *book, 1)]]).write(tmp_path)
    requested = Day(symbol="SIMUSDT", day=f"{DAY}:20260106", data_root=tmp_path, out_root=tmp_path)
    with pytest.raises(MissingDay, match=rf"SIMUSDT/20260106; available days: {DAY};"):
        Markets.open(requested, Market())
    assert not (tmp_path / "tapes").exists()
