"""Reference price as a number and as a path over time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.calibration.reference import (
    CLOSED,
    PER_TICK,
    block_length_us,
    check_reference,
    reference_path,
    span_of,
    within,
)
from mm.errors import UsageError
from small_tapes import book, events, gap, tape, trade


def path(feed, reference="mid"):
    return reference_path(tape(feed, 0, 100), reference)


@pytest.mark.parametrize(
    ("reference", "touch", "price"),
    [("mid", (3, 3), (203, 203)), ("micro", (6, 18), (806, 806)), ("best", (0, 0), (100, 103))],
)
def test_path_contains_whole_steps(reference, touch, price):
    """Half ticks of the mid, eighths of the micro-price, ticks of the own best price."""
    reference_steps = path([book(0, 100, 103, 1, 3)], reference)
    assert (reference_steps.touch[1][1], reference_steps.touch[-1][1]) == touch
    assert (reference_steps.reference[1][1], reference_steps.reference[-1][1]) == price


@given(st.integers(1, 10**9), st.integers(1, 50), st.integers(1, 10**12), st.integers(1, 10**12))
def test_path_equals_reference_number(bid, spread, bid_lots, ask_lots):
    """To the nearest step; the micro-price is nearer the thin side."""
    ask = bid + spread
    micro, mid = bid + spread * bid_lots / (bid_lots + ask_lots), (bid + ask) / 2
    prices = {"mid": (mid, mid), "micro": (micro, micro), "best": (bid, ask), "sweep": (bid, ask)}
    for reference, per_tick in PER_TICK.items():
        steps = path([book(0, bid, ask, bid_lots, ask_lots)], reference)
        for side, ticks in zip((1, -1), prices[reference], strict=True):
            error = abs(steps.reference[side][1] / per_tick - ticks)
            assert error <= (1 / 16 + 1e-6 if reference == "micro" else 0)


def test_one_sided_book_has_no_touch():
    result = path([book(0, 100, 102), gap(5), book(7, 100, 0), book(9, 0, 102), book(11, 100, 102)])
    assert (result.touch[1] == CLOSED).tolist() == [True, False, True, True, True, False]


def test_rows_are_found_by_event_and_by_instant():
    """By event: the row before it in tape order; by instant: the last row with that mid."""
    feed = [book(0, 100, 102), trade(5, 1, 102), book(5, 101, 103), trade(5, 1, 103)]
    result, day = path(feed), tape(feed, 0, 100)
    assert result.row_before_event(day.trades).tolist() == [1, 2]
    assert result.row_at(np.array([0, 1, 5, 5, 6]), np.array([202, 202, 202, 204, 204])).tolist() == [1, 1, 1, 2, 2]


def test_segments_are_cut_at_rows_and_blocks():
    edges, rows, blocks = path([book(0, 100, 102), book(30, 101, 103)]).segments(10, 55, 20)
    assert edges.tolist() == [10, 30, 30, 50, 55]
    assert rows.tolist() == [1, 2, 2, 2]
    assert blocks.tolist() == [0, 1, 1, 2]


@pytest.mark.slow
@given(events(), st.integers(0, 60), st.integers(0, 60), st.integers(1, 20))
def test_segments_cover_window(feed, start_us, length_us, block_us):
    """Every µs is in one segment, with the current row and the correct block."""
    result = path(feed)
    edges, rows, blocks = result.segments(start_us, start_us + length_us, block_us)
    assert (edges[0], edges[-1]) == (start_us, start_us + length_us)
    for begin, end, row, block in zip(edges[:-1], edges[1:], rows, blocks, strict=True):
        for us in range(begin, end):
            assert row == np.searchsorted(result.us, us, side="right") - 1
            assert block == (us - start_us) // block_us


@given(events(), st.integers(0, 60), st.integers(0, 60))
def test_spread_time_integrates_spread_over_window(feed, start_us, length_us):
    """µs by µs: the spread of the current row, and whether there is a book."""
    result = path(feed)
    rows = np.searchsorted(result.us, range(start_us, start_us + length_us), side="right") - 1
    ticks, seconds = result.spread_time(start_us, start_us + length_us)
    assert ticks == pytest.approx(result.spread[rows].sum() / 1e6, abs=1e-12)
    assert seconds == pytest.approx((result.spread[rows] > 0).sum() / 1e6, abs=1e-12)


def test_span_includes_last_event_and_clips_windows():
    assert span_of(tape([book(0, 100, 102)], 0, 100)) == (0, 100)
    assert span_of(tape([book(100, 100, 102)], 0, 100)) == (0, 101)
    assert [within((5, 9), *window) for window in ((0, 20), (6, 7), (0, 3), (20, 30))] == [
        (5, 9),
        (6, 7),
        (5, 5),
        (20, 20),
    ]


@pytest.mark.parametrize("block_s", [0, -1, float("nan"), float("inf"), 1e-7])
def test_invalid_block_length_is_rejected(block_s):
    with pytest.raises(UsageError, match="blocks of"):
        block_length_us(block_s)


def test_unknown_reference_is_rejected():
    with pytest.raises(UsageError, match=r"reference is 'last'; choose one of mid, micro, best"):
        check_reference("last")
