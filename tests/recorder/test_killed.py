"""A recorder that is killed at any byte and restarted on the same day (row 16 of the fault table).

``python tests/recorder/kills.py`` repeats this with more kills.
"""

import asyncio

import pytest
from kills import Kept, kill_again_and_again, whole_part

from mm.dayfolder.layout import DayFolder
from mm.dayfolder.line_files import gzip_member

KILLS = 12


@pytest.mark.slow
def test_next_run_continues_after_kills_at_any_time(tmp_path):
    """There is no half row, no repeated number and no wrong book; losses are gaps in the ledger."""
    found = asyncio.run(kill_again_and_again(tmp_path, 0, KILLS))
    assert found.kinds.total() == KILLS
    assert found.rows


def test_kept_detects_missing_and_changed_rows(tmp_path):
    """`Kept` includes whole rows and members, but no torn ends."""
    day = DayFolder(tmp_path, "SIMUSDT", "20260105")
    day.diffs.parent.mkdir(parents=True)
    day.trades.write_bytes(b"head\nfirst\nsec")
    day.diffs.write_bytes(gzip_member(b"{}\n") + gzip_member(b"[]\n")[:-3])
    assert whole_part(day.trades) == b"head\nfirst\n"
    assert whole_part(day.diffs) == gzip_member(b"{}\n")
    kept = Kept()
    kept.remember(day)
    assert kept.rows == 3
    day.trades.write_bytes(b"head\nfirst\nthird\n")
    kept.verify(day)
    for other in (b"head\nfirst", b"head\nfursT\n"):
        day.trades.write_bytes(other)
        with pytest.raises(AssertionError, match="trades"):
            kept.verify(day)
