"""What was mended or lost: counted, and named with its place."""

import numpy as np
import pytest
from day_stories import PLAIN, START, at, diff, rewrite, snapshot, told, trade, written

from mm.backtest.io import load_day
from mm.errors import NeverSynced
from mm.tape.tape import KEYFRAME


def test_a_day_that_never_synced_says_why(tmp_path):
    """No snapshot, or one that does not meet the messages."""
    folder = written(tmp_path, [START, diff(1, 8, 9), diff(2, 10, 11), trade(3, 1)])
    with pytest.raises(NeverSynced, match="the book is never valid: 2 depth messages wait for a snapshot"):
        load_day(folder)
    late = written(tmp_path, [START, diff(1, 8, 9), snapshot(2, 3)], day="20260106")
    with pytest.raises(NeverSynced, match="1 snapshots do not meet them"):
        load_day(late)


def test_a_cut_off_file_gives_its_whole_lines(tmp_path):
    """A crash costs the last message, not the day; the manifest knows how many there were."""
    steps = [diff(n, 10 + n, 10 + n, [(90 + n % 7, n)]) for n in range(3, 400)]
    folder = written(tmp_path, [START, snapshot(1, 12), *steps])
    whole = load_day(folder)
    folder.diffs.write_bytes(folder.diffs.read_bytes()[:-200])
    tape = load_day(folder)
    depth = len(tape) - int(np.count_nonzero(tape.kind == KEYFRAME)) - 1
    assert 0 < depth < len(steps)
    assert told(tape) == told(whole)[: depth + 1]
    assert tape.meta.counts["lost_lines"] == len(steps) - depth
    assert f"its {depth} whole lines are used, at least {len(steps) - depth} lost" in tape.meta.warnings[0]


def test_a_torn_last_row_is_lost_and_counted(tmp_path):
    """In a table as in the ledger."""
    folder = written(tmp_path, [*PLAIN, trade(6, 2), ("event", at(7), "ws_connected", 1, {"url": "x", "conn": 1})])
    rewrite(folder.trades, lambda text: text[:-9])
    rewrite(folder.events, lambda text: text[:-40])
    tape = load_day(folder)
    assert tape.event_id[tape.trades].tolist() == [1]
    assert tape.meta.counts["lost_lines"] == 2


def test_of_many_faults_the_first_few_are_named(tmp_path):
    """A message out of its turn repeats ids and leaves a hole: one warning, of bounded length, tells both."""
    steps = [diff(6 + n, 12, 12) for n in range(5)] + [diff(20, 15, 15)]
    (warning,) = load_day(written(tmp_path, [*PLAIN, *steps])).meta.warnings
    assert warning.count("U=12, u=12 after 13") == 3
    assert ", …); they bring nothing new" in warning
    assert "missing 1 times (recv_seq 12: U=15, u=15 after 13)" in warning


def test_a_snapshot_that_fits_nowhere_is_named(tmp_path):
    """Its file says where to look."""
    (warning,) = load_day(written(tmp_path, [*PLAIN, snapshot(6, 9, "resync"), diff(7, 14, 14)])).meta.warnings
    assert "_resync.csv: 1 snapshots (id 9) do not meet the depth messages around them" in warning
