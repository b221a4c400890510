"""The tape builder: book replay, keyframes, and gaps at crossed books."""

from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import pytest
from day_stories import PLAIN, START, at, check_keyframes, diff, kinds, snapshot, tape_events, trade, write_day
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_day import plain_events, plain_tops, with_fetched_placed, without_missing_trades

from mm import load_day
from mm.errors import BrokenFile, NeverSynced
from mm.tape import columns
from mm.tape.tape import KEYFRAME, TOP_COLUMNS
from strategies import SIM, stories

WINDOWS = st.sampled_from([1, 2, 7, columns.WINDOW_ROWS])


@pytest.mark.slow
@settings(max_examples=160, deadline=None)
@given(stories(), WINDOWS, st.booleans())
def test_tape_matches_plain_python_reader(story, window_rows, in_file):
    """Covers id gaps, repeats, resyncs, several runs, crossed books, and trades fetched by REST.

    The result depends neither on the number of rows per window, nor on whether the tape is built in memory or a file.
    """
    in_windows = patch.object(columns, "WINDOW_ROWS", window_rows)
    with TemporaryDirectory() as root, in_windows:
        folder = story.write(Path(root), seal=False)
        expected = without_missing_trades(plain_events(folder, SIM)) if folder.diffs.stat().st_size else []
        expected = with_fetched_placed(expected, folder) if expected else []
        if not any(event[4] == "snapshot" for event in expected):
            with pytest.raises((NeverSynced, BrokenFile)):
                load_day(folder)
            return
        tape = load_day(folder, cache=Path(root) / "tapes" if in_file else None)
        tape.check()
        assert tape.meta.cache == ("miss" if in_file else "off")
        assert tape_events(tape) == expected
        places = np.flatnonzero(tape.kind != KEYFRAME).tolist()
        tops = np.stack([getattr(tape, name) for name in TOP_COLUMNS]).T.tolist()
        assert [(places.index(event), *top) for event, *top in tops] == plain_tops(expected)
        check_keyframes(tape)


def test_keyframe_precedes_each_quarter_of_an_hour(tmp_path):
    """A window may begin at a keyframe without reading earlier events."""
    steps = [snapshot(2, 10), *(diff(300 * n, 10 + n, 10 + n, [(98, n)]) for n in range(1, 10))]
    tape = load_day(write_day(tmp_path, [START, *steps]))
    frames = np.flatnonzero(tape.kind == KEYFRAME).tolist()
    assert [(tape.event_us[frame] - at(0)) // 1_000_000 for frame in frames] == [600, 1500, 2400]
    assert tape.rows(frames[0]) == [(1, 99, 5), (1, 98, 2), (-1, 101, 7)]


@pytest.mark.parametrize("locked", [100, 101])
def test_crossed_book_is_invalid_until_snapshot(tmp_path, locked):
    """An exchange's book is never crossed, so the rebuilt one is wrong."""
    steps = [
        diff(6, 14, 14, [(locked, 1)], [(100, 1)]),
        diff(7, 15, 15),
        trade(8, 2),
        snapshot(9, 15),
        diff(10, 16, 16),
    ]
    tape = load_day(write_day(tmp_path, [*PLAIN, *steps]))
    assert kinds(tape)[4:] == ["gap", "trade", "snapshot", "depth"]
    assert tape.meta.counts["crossed"] == 1
    assert "ndjson.gz: 1 messages leave the book crossed or locked (recv_seq 7); " in tape.meta.warnings[0]


def test_decreasing_time_is_clamped_and_counted(tmp_path):
    """Times never decrease on a tape; the corrected ones are counted."""
    tape = load_day(write_day(tmp_path, [*PLAIN, trade(3, 2), trade(6, 3)]))
    assert tape.event_us.tolist()[-2:] == [at(5), at(6)]
    assert tape.meta.counts["clock_raised"] == 1
    (warning,) = tape.meta.warnings
    assert "trades_ws_" in warning
    assert "stepped back at 1 messages (recv_seq 7)" in warning


def test_book_that_crosses_while_trades_are_missing_stays_invalid_after(tmp_path):
    """Its later changes are no book, and a gap cannot begin where the book is over already."""
    crossing = diff(6, 14, 14, [(101, 1)])
    later = [diff(9, 15, 15, [(97, 1)]), diff(10, 16, 16, [(102, 1)]), snapshot(11, 16), diff(12, 17, 17)]
    tape = load_day(write_day(tmp_path, [*PLAIN, crossing, trade(8, 5), *later]))
    assert kinds(tape)[3:] == ["gap", "trade", "snapshot", "depth"]
    assert tape.meta.counts["crossed"] == 1


def test_fetched_trade_after_a_crossed_book_excludes_nothing(tmp_path):
    """There is no book at its time."""
    crossing = diff(6, 14, 14, [(101, 1)])
    fetched = [trade(7, 3), ("trade", at(8), *trade(6, 2, source="rest")[2:])]
    tape = load_day(write_day(tmp_path, [*PLAIN, crossing, *fetched, snapshot(9, 15), diff(10, 16, 16)]))
    assert kinds(tape)[4:] == ["gap", "trade", "trade", "snapshot", "depth"]
