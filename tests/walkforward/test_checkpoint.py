"""What a killed run leaves to its successor."""

from types import SimpleNamespace

import numpy as np
import pytest

from mm.backtest.journal import Journal
from mm.calibration.simulated import Played
from mm.walkforward.checkpoint import TABLES, Checkpoint


def never():
    raise AssertionError("known values are not worked out again")


def test_a_value_is_worked_out_once(tmp_path):
    """The first time, and never again by whoever opens the folder later."""
    first = Checkpoint(tmp_path)
    assert first.value("a", lambda: {"A": 0.1 + 0.2, "k": None}) == {"A": 0.30000000000000004, "k": None}
    assert first.value("a", never)["k"] is None
    later = Checkpoint(tmp_path)
    assert (first.found, later.found) == (0, 1)
    assert later.value("a", never)["A"] == 0.1 + 0.2


def test_fresh_and_kept_values_are_of_one_type(tmp_path):
    """A pair comes back as a list, fresh or kept: nothing depends on who worked it out."""
    fresh = Checkpoint(tmp_path).value("pair", lambda: (1.5, 2))
    assert fresh == Checkpoint(tmp_path).value("pair", never) == [1.5, 2]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_torn_last_line_is_forgotten(tmp_path, cut):
    """A kill may leave any part of a line; the whole ones before it hold, and what follows is readable again."""
    kept = Checkpoint(tmp_path)
    for name in ("a", "b"):
        kept.value(name, lambda: [1.5])
    path = tmp_path / "windows.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    torn = Checkpoint(tmp_path)
    assert torn.found == 1
    assert torn.value("b", lambda: [2.5]) == [2.5]
    assert Checkpoint(tmp_path).value("b", never) == [2.5]


def test_a_run_of_orders_is_played_once(tmp_path):
    """Its tables and anchors come back as they were."""
    tables = {name: np.arange(6, dtype=np.int64).reshape(2, 3) + at for at, name in enumerate(TABLES)}
    run = Played(Journal(**tables, fill_reasons=("x",)), [(1_767_600_000_000_123, 100.5, 101.125)], SimpleNamespace())
    first = Checkpoint(tmp_path).played("delta_2", lambda: run)
    again = Checkpoint(tmp_path).played("delta_2", never)
    for one in (first, again):
        assert one.anchors == run.anchors
        for name in TABLES:
            np.testing.assert_array_equal(getattr(one.journal, name), tables[name])


def test_a_run_without_an_anchor_can_be_kept(tmp_path):
    """A day without a book: nothing was quoted."""
    empty = np.empty((0, 3), np.int64)
    run = Played(Journal(empty, empty, empty, empty, ()), [])
    assert Checkpoint(tmp_path).played("ladder", lambda: run).anchors == []
