"""A recorder that is killed at any byte, and started again on the same day (row 16 of the fault table).

``python tests/recorder/kills.py`` kills it more often.
"""

import asyncio

import pytest
from kills import Kept, kill_again_and_again, whole_part

from mm.dayfolder.layout import DayFolder
from mm.dayfolder.line_files import gzip_member

KILLS = 12


def test_whenever_it_is_killed_the_next_run_goes_on(tmp_path):
    """No half row, no repeated number, no wrong book; what was lost is a gap in the ledger."""
    found = asyncio.run(kill_again_and_again(tmp_path, 0, KILLS))
    assert found.kinds.total() == KILLS
    assert found.rows


def test_a_row_that_is_gone_or_changed_is_found(tmp_path):
    """The measurement itself: whole rows and members are kept, a torn end is not."""
    day = DayFolder(tmp_path, "SIMUSDT", "20260105")
    day.diffs.parent.mkdir(parents=True)
    day.trades.write_bytes(b"head\nfirst\nsec")
    day.diffs.write_bytes(gzip_member(b"{}\n") + gzip_member(b"[]\n")[:-3])
    assert whole_part(day.trades) == b"head\nfirst\n"
    assert whole_part(day.diffs) == gzip_member(b"{}\n")
    kept = Kept()
    kept.look(day)
    assert kept.rows == 3
    day.trades.write_bytes(b"head\nfirst\nthird\n")
    kept.hold(day)
    for other in (b"head\nfirst", b"head\nfursT\n"):
        day.trades.write_bytes(other)
        with pytest.raises(AssertionError, match="trades"):
            kept.hold(day)
