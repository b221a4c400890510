"""Windows of simulated orders are cuts of sums by block, equal to counting the orders in each window."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.calibration import day_orders
from mm.calibration.day_orders import DayOrders, OrderRows
from mm.calibration.exposure import FOREVER, RestingOrders
from mm.calibration.reference import reference_path
from small_tapes import book, gap, tape

S = 1_000_000
BLOCK_US = 5 * S
END_US = 60 * S
# a mid that moves, a wide spread, a gap
FEED = [
    book(0, 100, 102),
    book(7 * S, 101, 103),
    book(15 * S, 100, 101),
    gap(24 * S),
    book(27 * S, 99, 103),
    book(40 * S, 100, 102),
]


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch):
    monkeypatch.setattr(day_orders, "BLOCK_US", BLOCK_US)


instants = st.one_of(st.integers(0, 12).map(lambda block: block * BLOCK_US), st.integers(0, END_US))


@st.composite
def runs(draw, by_model):
    """Return the orders of a run: filled at any instant, also at the ends of blocks, or open."""
    rows, fills = [], []
    for _ in range(draw(st.integers(0, 6))):
        side, ticks = draw(st.sampled_from((1, -1))), draw(st.integers(96, 106))
        start_us, end_us = draw(instants), draw(st.one_of(instants, st.just(FOREVER)))
        if start_us >= end_us:
            continue
        filled = draw(st.booleans()) and end_us <= END_US
        rows.append((side, ticks, start_us, end_us, filled, draw(st.sampled_from((200, 202, 204, 201)))))
        last_us = min(end_us, END_US)
        fills += (
            [(len(rows) - 1, us, 202) for us in draw(st.lists(st.integers(start_us + 1, last_us), max_size=3))]
            if last_us > start_us
            else []
        )
    side, ticks, start_us, end_us, filled, mid2 = np.array(rows, np.int64).reshape(-1, 6).T
    fills.sort(key=lambda fill: fill[1])
    every = np.array(fills, np.int64).reshape(-1, 3).T if by_model else None
    none = slice(0) if by_model else slice(None)
    return RestingOrders(side, ticks, start_us, end_us, filled[none] > 0, mid2[none], None, every)


def rows_of(found: OrderRows):
    return np.stack(found, axis=1).tolist()


@given(st.data(), st.booleans(), st.sampled_from(("mid", "best")))
def test_window_from_blocks_equals_count_of_its_orders(data, by_model, reference):
    """Any windows, in any order: of one phase or another, with an incomplete last block, cut by the ends of fills."""
    day = tape(FEED, 0, END_US)
    path, orders = reference_path(day, reference), [data.draw(runs(by_model)) for _ in range(2)]
    shared = DayOrders(orders, path, (0, END_US + 1))
    for _ in range(6):
        start_us = data.draw(st.one_of(instants, st.integers(0, 11).map(lambda block: block * BLOCK_US + 3)))
        ends = st.one_of(st.integers(start_us, END_US), instants, instants.map(lambda us: us + 1))
        end_us = min(
            data.draw(st.one_of(ends, st.integers(0, 11).map(BLOCK_US.__mul__).map(start_us.__add__))), END_US + 1
        )
        if start_us >= end_us:
            continue
        alone = [run.between(path, start_us, end_us, BLOCK_US) for run in orders]
        found = shared.between(start_us, end_us)
        assert rows_of(found) == rows_of(OrderRows.of(alone))
        distance, moves = shared.fills_between(start_us, end_us)
        assert len(distance) == len(moves) <= sum(0 if run.fills is None else run.fills.shape[1] for run in orders)


@given(st.data(), st.sampled_from(("mid", "best")))
def test_moves_of_a_window_do_not_see_the_book_behind_its_end(data, reference):
    """Whatever the market does then: a fill of its last five seconds has no move yet."""
    orders, end_us = [data.draw(runs(by_model=True))], data.draw(st.integers(1, END_US))
    before = [message for message in FEED if message[1] <= end_us]
    behind = [book(end_us + 1, 10, 12), book(end_us + 2 * S, 900, 910)]
    found = [
        DayOrders(orders, reference_path(tape(feed, 0, END_US + 5 * S), reference), (0, END_US + 1)).fills_between(
            0, end_us
        )
        for feed in (FEED, before + behind)
    ]
    for ours, other in zip(*found, strict=True):
        assert ours.tolist() == other.tolist()


def test_fill_at_the_end_of_a_window_is_not_known_to_it():
    """It belongs to the block that it ends, but the window ends just before it."""
    columns = np.array([[1, 100, 0, 2 * BLOCK_US]], np.int64).T
    orders = RestingOrders(*columns, np.array([True]), np.array([202]), None, None)
    path = reference_path(tape(FEED, 0, END_US), "mid")
    shared = DayOrders([orders], path, (0, END_US))
    for end_us, fills in ((BLOCK_US, 0), (2 * BLOCK_US, 0), (3 * BLOCK_US, 1), (2 * BLOCK_US + 1, 1)) * 2:
        assert shared.between(0, end_us).fills.sum() == fills
