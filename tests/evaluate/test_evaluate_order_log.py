"""What would have become of an order: rule by rule on logs made by hand, and beside the order really sent."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from queue_rig import BUYERS, SELLERS, true_outcomes, virtual_orders_of

from mm.sim.matching.order_log import FOK, IOC, LIMIT, MARKET
from plain_matching import PlainMatching

BID, ASK = 100, 103


def market() -> PlainMatching:
    """Return an engine with orders 1 and 2 of 5 and 4 lots at the bid, 3 of 6 lots at the ask, all before 10 µs."""
    engine = PlainMatching()
    engine.submit(1, BUYERS, +1, BID, 5)
    engine.submit(2, BUYERS, +1, BID, 4)
    engine.submit(3, SELLERS, -1, ASK, 6)
    return engine


def fate(engine: PlainMatching, side: int = 1, ticks: int = BID) -> tuple[int, bool]:
    """Return when an order that came at 10 µs fills, and whether it rested."""
    outcomes = true_outcomes(engine, virtual_orders_of((10, side, ticks)))
    return int(outcomes.filled_us[0]), bool(outcomes.sent[0])


def test_what_trades_ahead_does_not_fill_it() -> None:
    """Nine lots are ahead; a seller takes just those."""
    engine = market()
    engine.submit(20, SELLERS, -1, BID, 9)
    assert fate(engine) == (-1, True)


def test_a_trade_with_an_order_that_came_later_fills_it() -> None:
    """The tenth lot sold at the bid would have been bought by the order before the one that came after it."""
    engine = market()
    engine.submit(15, BUYERS, +1, BID, 3)
    engine.submit(20, SELLERS, -1, BID, 9)
    engine.submit(30, SELLERS, -1, BID, 1)
    assert fate(engine) == (30, True)


def test_an_order_of_its_own_instant_stands_ahead() -> None:
    """It comes behind everything of its instant."""
    engine = market()
    engine.submit(10, BUYERS, +1, BID, 1)
    engine.submit(20, SELLERS, -1, BID, 10)
    engine.submit(25, BUYERS, +1, BID, 1)
    engine.submit(30, SELLERS, -1, BID, 1)
    assert fate(engine) == (30, True)


def test_a_trade_at_a_worse_price_fills_it() -> None:
    """Nobody sells at 99 while a buyer waits at 100; an empty level alone fills nothing."""
    engine = market()
    engine.submit(11, BUYERS, +1, BID - 1, 2)
    engine.cancel(12, 1)
    engine.cancel(13, 2)
    engine.submit(40, SELLERS, -1, BID - 1, 1)
    assert fate(engine) == (40, True)


def test_a_trade_at_a_better_price_says_nothing() -> None:
    """A buyer at 101 is served first."""
    engine = market()
    engine.submit(11, BUYERS, +1, BID + 1, 2)
    engine.submit(20, SELLERS, -1, BID + 1, 2)
    assert fate(engine) == (-1, True)


def test_an_order_that_comes_to_rest_at_its_price_would_have_met_it() -> None:
    """With all nine ahead gone, the tenth lot of a seller rests at the bid's price."""
    engine = market()
    engine.submit(50, SELLERS, -1, BID, 10)
    assert fate(engine) == (50, True)


def test_an_order_that_comes_to_rest_beyond_its_price_would_have_met_it() -> None:
    """Inside the spread nothing is ahead; a seller with a price below our bid meets us."""
    engine = market()
    engine.submit(50, SELLERS, -1, 101, 1)
    assert fate(engine, ticks=102) == (50, True)


@pytest.mark.parametrize(("kind", "ticks"), [(IOC, BID), (IOC, BID - 1), (MARKET, 0)])
def test_a_taker_that_ends_with_something_left_would_have_met_it(kind: int, ticks: int) -> None:
    """Ten are requested and nine were there."""
    engine = market()
    engine.submit(50, SELLERS, -1, ticks, 10, kind)
    assert fate(engine) == (50, True)


@pytest.mark.parametrize(("kind", "ticks", "lots"), [(IOC, BID + 1, 1), (IOC, BID, 9), (FOK, BID, 10)])
def test_a_taker_that_does_not_reach_it_says_nothing(kind: int, ticks: int, lots: int) -> None:
    """Its limit is above our price, it is served by those ahead, or it takes all or nothing."""
    engine = market()
    engine.submit(50, SELLERS, -1, ticks, lots, kind)
    assert fate(engine) == (-1, True)


def test_both_sides_are_alike() -> None:
    """A seller at 103 behind six lots."""
    engine = market()
    engine.submit(20, BUYERS, +1, ASK, 7)
    assert fate(engine, -1, ASK) == (20, True)


def test_an_order_that_would_trade_at_once_is_not_sent() -> None:
    """A bid at the ask is no resting order."""
    assert fate(market(), +1, ASK) == (-1, False)


def test_what_happens_when_its_life_ends_is_too_late() -> None:
    """The order of 10 µs with a life of 1000 is gone at 1010."""
    early, late = market(), market()
    early.submit(1009, SELLERS, -1, BID, 10)
    late.submit(1010, SELLERS, -1, BID, 10)
    assert (fate(early), fate(late)) == ((1009, True), (-1, True))


def test_its_place_is_what_is_left_of_those_ahead() -> None:
    """Amending keeps a place, replacing loses it, and what comes later is behind."""
    engine = market()
    engine.submit(20, BUYERS, +1, BID, 7)
    engine.reduce(30, 1, 2)
    engine.submit(40, SELLERS, -1, BID, 1)
    engine.replace(50, 2, BID, 4)
    engine.cancel(60, 1)
    checks = (0, 10, 20, 30, 40, 50)
    outcomes = true_outcomes(engine, virtual_orders_of((10, +1, BID), checks_us=checks))
    assert outcomes.ahead.tolist() == [[9, 9, 6, 5, 1, 0]]


def test_a_filled_order_has_nothing_ahead() -> None:
    """Its place after the fill is 0."""
    engine = market()
    engine.submit(20, SELLERS, -1, BID, 10)
    assert true_outcomes(engine, virtual_orders_of((10, +1, BID), checks_us=(0, 10))).ahead.tolist() == [[9, 0]]


COMMANDS = st.lists(
    st.tuples(
        st.sampled_from(["submit", "submit", "submit", "take", "take", "cancel", "reduce", "replace"]),
        st.sampled_from([1, -1]),
        st.sampled_from([0, 0, 0, 1, -1, -2]),
        st.integers(1, 4),
        st.integers(0, 30),
    ),
    min_size=20,
    max_size=60,
)


def command(engine: PlainMatching, us: int, ids: list[int], what: tuple[Any, ...]) -> None:
    """Send one command; *ids* are the market's orders in the order of their coming."""
    name, side, offset, lots, nth = what
    chosen = ids[nth % len(ids)] if ids else 0
    price = 100 - side + offset
    if name == "submit":
        ids.append(engine.submit(us, BUYERS, side, price, lots, LIMIT))
    elif name == "take":
        kind = MARKET if nth % 3 == 0 else IOC
        ids.append(engine.submit(us, SELLERS, side, 0 if kind == MARKET else 100 + offset, lots, kind))
    elif name == "cancel":
        engine.cancel(us, chosen)
    elif name == "replace":
        replaced = engine.replace(us, chosen, price, lots)
        if replaced:
            ids.append(replaced)
    elif (order := engine.order(chosen)) is not None and order[3] > 1:
        engine.reduce(us, chosen, order[3] - 1)


@given(COMMANDS, st.integers(2, 12), st.sampled_from([1, -1]), st.sampled_from([0, 0, 1, -1]))
def test_the_fate_is_that_of_an_order_really_sent(
    commands: list[tuple[Any, ...]], before: int, side: int, offset: int
) -> None:
    """The same commands, once alone and once with the order in the book: fill and place in the queue are the same."""
    alone, beside = PlainMatching(), PlainMatching()
    ticks = 100 - side + offset
    alone_ids: list[int] = []
    beside_ids: list[int] = []
    own, filled_us, ahead = 0, -1, []
    for number, what in enumerate(commands):
        us = 10 * (number + 1)
        command(alone, us, alone_ids, what)
        if filled_us < 0:
            command(beside, us, beside_ids, what)
        if number == before:
            bid, _, ask, _ = beside.best()
            if (ask and ticks >= ask) if side > 0 else (bid and ticks <= bid):
                return
            own = beside.submit(us + 5, 7, side, ticks, 1)
        elif own and filled_us < 0 and beside.order(own) is None:
            filled_us = us
        if own:
            ahead.append(beside.queue_ahead(own) if filled_us < 0 else 0)
    checks = tuple(10 * nth for nth in range(len(ahead)))
    start_us = 10 * (before + 1)
    outcomes = true_outcomes(alone, virtual_orders_of((start_us, side, ticks), life_us=10_000, checks_us=checks))
    assert outcomes.sent.all()
    assert outcomes.filled_us[0] == filled_us
    np.testing.assert_array_equal(outcomes.ahead[0], ahead)
