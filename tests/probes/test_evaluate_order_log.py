"""Outcomes of virtual orders from an order log: rule by rule on manual logs, and against a really sent order."""

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


def outcome(engine: PlainMatching, side: int = 1, ticks: int = BID) -> tuple[int, bool]:
    """Return when an order that arrives at 10 µs fills, and whether it rests."""
    outcomes = true_outcomes(engine, virtual_orders_of((10, side, ticks)))
    return int(outcomes.filled_us[0]), bool(outcomes.sent[0])


def test_trades_of_orders_ahead_do_not_fill_order() -> None:
    """Nine lots are ahead; a seller takes exactly those."""
    engine = market()
    engine.submit(20, SELLERS, -1, BID, 9)
    assert outcome(engine) == (-1, True)


def test_trade_with_later_order_fills_order() -> None:
    """The tenth lot sold at the bid goes to the virtual order before the later one."""
    engine = market()
    engine.submit(15, BUYERS, +1, BID, 3)
    engine.submit(20, SELLERS, -1, BID, 9)
    engine.submit(30, SELLERS, -1, BID, 1)
    assert outcome(engine) == (30, True)


def test_order_of_same_instant_is_ahead() -> None:
    """The virtual order is behind everything of its instant."""
    engine = market()
    engine.submit(10, BUYERS, +1, BID, 1)
    engine.submit(20, SELLERS, -1, BID, 10)
    engine.submit(25, BUYERS, +1, BID, 1)
    engine.submit(30, SELLERS, -1, BID, 1)
    assert outcome(engine) == (30, True)


def test_trade_at_worse_price_fills_order() -> None:
    """A seller at 99 would meet the bid at 100 first; an empty level alone does not fill."""
    engine = market()
    engine.submit(11, BUYERS, +1, BID - 1, 2)
    engine.cancel(12, 1)
    engine.cancel(13, 2)
    engine.submit(40, SELLERS, -1, BID - 1, 1)
    assert outcome(engine) == (40, True)


def test_trade_at_better_price_does_not_fill_order() -> None:
    """A buyer at 101 has priority."""
    engine = market()
    engine.submit(11, BUYERS, +1, BID + 1, 2)
    engine.submit(20, SELLERS, -1, BID + 1, 2)
    assert outcome(engine) == (-1, True)


def test_opposite_order_resting_at_price_fills_order() -> None:
    """After all nine ahead, the tenth lot of the seller rests at the bid's price."""
    engine = market()
    engine.submit(50, SELLERS, -1, BID, 10)
    assert outcome(engine) == (50, True)


def test_opposite_order_resting_beyond_price_fills_order() -> None:
    """Inside the spread nothing is ahead; a seller below the virtual bid fills it."""
    engine = market()
    engine.submit(50, SELLERS, -1, 101, 1)
    assert outcome(engine, ticks=102) == (50, True)


@pytest.mark.parametrize(("kind", "ticks"), [(IOC, BID), (IOC, BID - 1), (MARKET, 0)])
def test_taker_with_unfilled_remainder_fills_order(kind: int, ticks: int) -> None:
    """Ten lots are requested, nine were available."""
    engine = market()
    engine.submit(50, SELLERS, -1, ticks, 10, kind)
    assert outcome(engine) == (50, True)


@pytest.mark.parametrize(("kind", "ticks", "lots"), [(IOC, BID + 1, 1), (IOC, BID, 9), (FOK, BID, 10)])
def test_taker_that_does_not_reach_order_does_not_fill_it(kind: int, ticks: int, lots: int) -> None:
    """Its limit is above the price, the orders ahead suffice, or it is all-or-nothing."""
    engine = market()
    engine.submit(50, SELLERS, -1, ticks, lots, kind)
    assert outcome(engine) == (-1, True)


def test_ask_order_fills_like_bid_order() -> None:
    """A seller at 103 behind six lots."""
    engine = market()
    engine.submit(20, BUYERS, +1, ASK, 7)
    assert outcome(engine, -1, ASK) == (20, True)


def test_marketable_order_is_not_sent() -> None:
    """A bid at the ask is not a resting order."""
    assert outcome(market(), +1, ASK) == (-1, False)


def test_event_at_end_of_life_does_not_fill_order() -> None:
    """The order of 10 µs with a life of 1000 ends at 1010."""
    early, late = market(), market()
    early.submit(1009, SELLERS, -1, BID, 10)
    late.submit(1010, SELLERS, -1, BID, 10)
    assert (outcome(early), outcome(late)) == ((1009, True), (-1, True))


def test_queue_position_is_remaining_lots_ahead() -> None:
    """Amending keeps a place, replacing loses it, and later orders are behind."""
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
    """After the fill its queue position is 0."""
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


def command(engine: PlainMatching, us: int, ids: list[int], details: tuple[Any, ...]) -> None:
    """Send one command; *ids* are the market's orders by arrival."""
    name, side, offset, lots, nth = details
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
def test_virtual_outcome_equals_really_sent_order(
    commands: list[tuple[Any, ...]], before: int, side: int, offset: int
) -> None:
    """The same commands with and without the order in the book: equal fill and queue position."""
    without_order, with_order = PlainMatching(), PlainMatching()
    ticks = 100 - side + offset
    ids_without: list[int] = []
    ids_with: list[int] = []
    own, filled_us, ahead = 0, -1, []
    for number, details in enumerate(commands):
        us = 10 * (number + 1)
        command(without_order, us, ids_without, details)
        if filled_us < 0:
            command(with_order, us, ids_with, details)
        if number == before:
            bid, _, ask, _ = with_order.best()
            if (ask and ticks >= ask) if side > 0 else (bid and ticks <= bid):
                return
            own = with_order.submit(us + 5, 7, side, ticks, 1)
        elif own and filled_us < 0 and with_order.order(own) is None:
            filled_us = us
        if own:
            ahead.append(with_order.queue_ahead(own) if filled_us < 0 else 0)
    checks = tuple(10 * nth for nth in range(len(ahead)))
    start_us = 10 * (before + 1)
    outcomes = true_outcomes(
        without_order, virtual_orders_of((start_us, side, ticks), life_us=10_000, checks_us=checks)
    )
    assert outcomes.sent.all()
    assert outcomes.filled_us[0] == filled_us
    np.testing.assert_array_equal(outcomes.ahead[0], ahead)
