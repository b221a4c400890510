"""Joint evaluation of many exponents equals separate evaluations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leaning_market import ASK, BID, GRID

from mm import Tape
from mm.backtest.fills.base import QueueByExponents, QueueProbPower
from mm.probes.virtual_orders import manual_exchange

EXPONENTS = np.array([0.1, 0.7, 1.0, 3.0, 10.0])
SIDE = st.sampled_from([1, -1])
STEP = st.one_of(
    st.tuples(st.just("book"), SIDE, st.integers(0, 1), st.integers(1, 12)),
    st.tuples(st.just("print"), SIDE, st.integers(0, 1), st.integers(1, 9)),
    st.tuples(st.just("place"), SIDE, st.integers(0, 1), st.just(1)),
    st.tuples(st.just("begin"), SIDE, st.just(0), st.integers(1, 12)),
)


def price(side: int, deep: int) -> int:
    """Return one of two prices of a side."""
    return BID - deep if side > 0 else ASK + deep


def market(steps: list[tuple[str, int, int, int]]) -> Tape:
    """Return a tape of *steps*, one per second; each price always displays some quantity."""
    whole = [[(BID, 20), (BID - 1, 20)], [(ASK, 20), (ASK + 1, 20)]]
    events = [(0, "snapshot", *whole)]
    for us, (kind, side, deep, lots) in enumerate(steps, 1):
        level = [(price(side, deep), lots)]
        if kind == "book":
            events.append((1_000_000 * us, "depth", *((level, []) if side > 0 else ([], level))))
        elif kind == "print":
            events.append((1_000_000 * us, "trade", -side, price(side, deep), lots))
        elif kind == "begin":
            events += [(1_000_000 * us, "gap"), (1_000_000 * us + 1, "snapshot", *whole)]
    return Tape.of(GRID, [*events, (1_000_000 * (len(steps) + 2), "depth", [], [])])


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, min_size=5, max_size=60))
def test_joint_queues_equal_queues_of_single_exponents(steps):
    """With several orders at one price, prints through a price, and new books."""
    tape, count = market(steps), len(steps)
    joint = QueueByExponents(EXPONENTS, count)
    exchanges = [
        manual_exchange(tape, joint),
        *(manual_exchange(tape, QueueProbPower(exponent=n)) for n in EXPONENTS.tolist()),
    ]
    placed = []
    for us, (kind, side, deep, _) in enumerate(steps, 1):
        for exchange in exchanges:
            exchange.advance(1_000_000 * us + 10)
        if kind == "place":
            placed.append(us)
            assert {one.place(side, price(side, deep), 1) for one in exchanges} == {len(placed)}
        for order in range(1, len(placed) + 1):
            separate = [one.ahead_lots(order) or 0.0 for one in exchanges[1:]]
            is_resting = exchanges[0].ahead_lots(order) is not None
            assert (joint.ahead_lots(order).tolist() if is_resting else [0.0] * len(separate)) == separate


def test_more_orders_than_capacity_raise_index_error():
    """Memory after the table is not written."""
    exchange = manual_exchange(market([("book", 1, 0, 5)]), QueueByExponents(EXPONENTS, 1))
    exchange.advance(1)
    exchange.place(1, BID, 1)
    exchange.place(1, BID, 1)
    with pytest.raises(IndexError, match="order 2, but there is room for 1"):
        exchange.advance(2_000_000)
