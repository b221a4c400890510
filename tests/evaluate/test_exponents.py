"""Many exponents in one play leave what each leaves alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leaning_market import ASK, BID, GRID

from mm.backtest.fills.queue import QueueProbPower
from mm.evaluate._exponents import QueueByExponents
from mm.evaluate.virtual_orders import by_hand
from mm.tape.tape import Tape

EXPONENTS = np.array([0.1, 0.7, 1.0, 3.0, 10.0])
SIDE = st.sampled_from([1, -1])
STEP = st.one_of(
    st.tuples(st.just("book"), SIDE, st.integers(0, 1), st.integers(1, 12)),
    st.tuples(st.just("print"), SIDE, st.integers(0, 1), st.integers(1, 9)),
    st.tuples(st.just("place"), SIDE, st.integers(0, 1), st.just(1)),
    st.tuples(st.just("begin"), SIDE, st.just(0), st.integers(1, 12)),
)


def price(side: int, deep: int) -> int:
    """Return one of the two prices of a side."""
    return BID - deep if side > 0 else ASK + deep


def market(steps: list[tuple[str, int, int, int]]) -> Tape:
    """Return a tape of *steps*, one a second; each price always displays something."""
    whole = [[(BID, 20), (BID - 1, 20)], [(ASK, 20), (ASK + 1, 20)]]
    events = [(0, "snapshot", *whole)]
    for us, (what, side, deep, lots) in enumerate(steps, 1):
        level = [(price(side, deep), lots)]
        if what == "book":
            events.append((1_000_000 * us, "depth", *((level, []) if side > 0 else ([], level))))
        elif what == "print":
            events.append((1_000_000 * us, "trade", -side, price(side, deep), lots))
        elif what == "begin":
            events += [(1_000_000 * us, "gap"), (1_000_000 * us + 1, "snapshot", *whole)]
    return Tape.of(GRID, [*events, (1_000_000 * (len(steps) + 2), "depth", [], [])])


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, min_size=5, max_size=60))
def test_each_exponent_has_the_queue_that_it_has_alone(steps):
    """Several orders at one price share prints, a print goes through a price, a new book begins."""
    tape, count = market(steps), len(steps)
    together = QueueByExponents(EXPONENTS, count)
    exchanges = [by_hand(tape, together), *(by_hand(tape, QueueProbPower(exponent=n)) for n in EXPONENTS.tolist())]
    placed = []
    for us, (what, side, deep, _) in enumerate(steps, 1):
        for exchange in exchanges:
            exchange.advance(1_000_000 * us + 10)
        if what == "place":
            placed.append(us)
            assert {one.place(side, price(side, deep), 1) for one in exchanges} == {len(placed)}
        for order in range(1, len(placed) + 1):
            alone = [one.ahead_lots(order) or 0.0 for one in exchanges[1:]]
            rests = exchanges[0].ahead_lots(order) is not None
            assert (together.ahead_lots(order).tolist() if rests else [0.0] * len(alone)) == alone


def test_more_orders_than_room_are_refused():
    """No memory behind the table is written to."""
    exchange = by_hand(market([("book", 1, 0, 5)]), QueueByExponents(EXPONENTS, 1))
    exchange.advance(1)
    exchange.place(1, BID, 1)
    exchange.place(1, BID, 1)
    with pytest.raises(IndexError, match="order 2, but there is room for 1"):
        exchange.advance(2_000_000)
