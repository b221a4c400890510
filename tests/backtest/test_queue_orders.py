"""The true queue: fills by every order of the market, against lists of orders, numbers by hand, and the box."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings

from engine_cases import TABLES
from mm.backtest.journal import ACTIONS
from mm.backtest.models import hybrid, queue_orders, trade_cross
from mm.dayfolder.layout import ROW_CANCEL, ROW_EXPIRE, ROW_LEVEL, ROW_REDUCE, ROW_REST, ROW_TRADE
from mm.errors import UsageError
from mm.probes.virtual_orders import manual_exchange
from mm.sim.matching._core import Matching
from mm.sim.matching.order_log import IOC, LIMIT, MAKER, WOULD_CROSS
from mm.tape.order_index import UNRANKED, order_index
from order_cases import BASE, BEGIN_US, OURS, columns_of, order_cases, tape_of, without_us


@given(order_cases())
@settings(max_examples=60, deadline=None)
def test_engine_agrees_with_lists_of_orders(case):
    """The compiled queue of ranks and a list of orders a price leave the same journal."""
    (engine, seen), (plain, expected) = case.engine(), case.oracle()
    for name in TABLES:
        assert getattr(engine, name) == getattr(plain, name), name
    assert seen == expected


# ---------------------------------------------------------------------- by hand

BID, ASK = (1, 99), (-1, 101)


def row(us, kind, number, side, ticks, lots, other=0):  # noqa: PLR0917 - the columns of a row
    return (BEGIN_US + us, kind, number, other, 1, side, ticks, lots, 0, 0)


def rests(us, number, side, ticks, lots, shown):
    return [row(us, ROW_REST, number, side, ticks, lots), row(us, ROW_LEVEL, number, side, ticks, shown)]


def trades(us, taker, maker, side, ticks, lots, shown):  # noqa: PLR0917 - the columns of two rows
    """Return an execution at a price of the other *side* than the taker's, and what its level shows then."""
    behind = [row(us, ROW_LEVEL, maker, side, ticks, shown)] if maker else []
    return [row(us, ROW_TRADE, taker, -side, ticks, lots, maker), *behind]


def cancels(us, number, side, ticks, lots, shown):
    return [row(us, ROW_CANCEL, number, side, ticks, lots), row(us, ROW_LEVEL, number, side, ticks, shown)]


OPEN = [*rests(0, 1, *BID, 5, 5), *rests(0, 2, *ASK, 9, 9)]
"""Five lots are ahead of our bid of four, which joins at 10."""
CASES = {
    "a taker leaves three after the five ahead, and takes them from an order behind": (
        [*rests(20, 3, *BID, 9, 14), *trades(30, 4, 1, *BID, 5, 9), *trades(30, 4, 3, *BID, 3, 6)],
        [(30, 3)],
    ),
    "the order ahead shrinks and is executed": (
        [row(20, ROW_REDUCE, 1, *BID, 2), row(20, ROW_LEVEL, 1, *BID, 2), *trades(30, 4, 1, *BID, 2, 0)],
        [],
    ),
    "the order ahead goes, and one behind is executed": (
        [*rests(20, 3, *BID, 9, 14), *cancels(25, 1, *BID, 5, 9), *trades(30, 4, 3, *BID, 1, 8)],
        [(30, 1)],
    ),
    "an order behind goes": (
        [*rests(20, 3, *BID, 9, 14), *cancels(25, 3, *BID, 9, 5), *trades(30, 4, 1, *BID, 5, 0)],
        [],
    ),
    "a taker rests with seven left at our price": (
        [*trades(30, 4, 1, *BID, 5, 0), *rests(30, 4, -1, 99, 7, 7)],
        [(30, 4)],
    ),
    "a taker that may not rest has two left": (
        [*trades(30, 4, 1, *BID, 5, 0), row(30, ROW_EXPIRE, 4, -1, 99, 2, 1)],
        [(30, 2)],
    ),
    "a taker at any price has two left": (
        [*trades(30, 4, 1, *BID, 5, 0), row(30, ROW_EXPIRE, 4, -1, 0, 2, 1)],
        [(30, 2)],
    ),
    "a taker whose limit is better has some left": (
        [*trades(30, 4, 1, *BID, 5, 0), row(30, ROW_EXPIRE, 4, -1, 100, 2, 1)],
        [],
    ),
    "a taker goes through our price": (
        [*rests(0, 9, 1, 98, 3, 3), *trades(30, 4, 1, *BID, 5, 0), *trades(30, 4, 9, 1, 98, 1, 2)],
        [(30, 1)],
    ),
    "something not displayed is executed at our price": ([*trades(30, 4, 0, *BID, 1, 5)], [(30, 1)]),
    "buyers trade at our price": ([*rests(20, 3, -1, 100, 2, 2), *trades(30, 4, 3, -1, 100, 2, 0)], []),
    "twice in part": (
        [
            *rests(20, 3, *BID, 9, 14),
            *cancels(25, 1, *BID, 5, 9),
            *trades(30, 4, 3, *BID, 1, 8),
            *trades(40, 5, 3, *BID, 8, 0),
        ],
        [(30, 1), (40, 3)],
    ),
}


def fills_of(exchange):
    """Return instant after the beginning and lots of each fill, by order."""
    found = defaultdict(list)
    for us, number, _, _, lots in exchange.fills_from(0):
        again = found[number] and found[number][-1][0] == us - BEGIN_US
        before = found[number].pop()[1] if again else 0
        found[number].append((us - BEGIN_US, before + lots))
    return dict(found)


def exchange_on(log, **params):
    return manual_exchange(tape_of(np.array(log, np.int64), 1), queue_orders(**params))


@pytest.mark.parametrize("case", CASES)
def test_our_order_gets_what_a_taker_had_left_for_it(case):
    """By hand: the lots of each fill, and none before the queue ahead is gone."""
    rows, expected = CASES[case]
    exchange = exchange_on(sorted([*OPEN, *rows], key=lambda one: one[0]))
    exchange.advance(BEGIN_US + 10)
    number = exchange.place(1, 99, 4)
    exchange.advance(BEGIN_US + 100)
    assert fills_of(exchange) == ({number: expected} if expected else {})


def test_our_orders_share_what_one_taker_left():
    """Of ten lots, five go to the order ahead, three to our first, two to the order between: our second gets none."""
    log = [*OPEN, *rests(20, 3, *BID, 2, 7), *rests(40, 5, *BID, 9, 16)]
    log += [*trades(50, 6, 1, *BID, 5, 11), *trades(50, 6, 3, *BID, 2, 9), *trades(50, 6, 5, *BID, 3, 6)]
    exchange = exchange_on(log)
    exchange.advance(BEGIN_US + 10)
    first = exchange.place(1, 99, 3)
    exchange.advance(BEGIN_US + 30)
    second = exchange.place(1, 99, 3)
    assert (exchange.ahead_lots(first), exchange.ahead_lots(second)) == (5, None)
    exchange.advance(BEGIN_US + 31)
    assert exchange.ahead_lots(second) == 7
    exchange.advance(BEGIN_US + 100)
    assert fills_of(exchange) == {first: [(50, 3)]}


def test_a_smaller_order_keeps_its_place_and_an_order_that_crosses_is_rejected():
    """An amendment leaves the rank; the other side of the log decides what crosses, though the tape shows it later."""
    log = [*OPEN, *rests(20, 3, *BID, 2, 7), *rests(25, 7, -1, 100, 2, 2), *cancels(30, 1, *BID, 5, 2)]
    log += trades(50, 6, 3, *BID, 2, 0)
    exchange = manual_exchange(tape_of(np.array(log, np.int64), 1_000), queue_orders())
    exchange.advance(BEGIN_US + 10)
    number = exchange.place(1, 99, 4)
    exchange.advance(BEGIN_US + 15)
    assert exchange.amend(number, 1)
    exchange.advance(BEGIN_US + 27)
    assert not fills_of(exchange)
    exchange.place(1, 100, 1)
    exchange.advance(BEGIN_US + 100)
    actions = [ACTIONS[action] for action in exchange.journal().orders[:, 2].tolist()]
    assert {"REJECT", "AMEND"} <= set(actions)


@pytest.mark.parametrize(("reading", "expected"), [("print", [(40, 2)]), ("order", [(50, 2)])])
def test_an_execution_counts_at_its_own_price_or_where_its_order_rested(reading, expected):
    """The order ahead of ours rests at 99 and is executed at 98: beyond our price, or ahead of us."""
    log = [*OPEN, *rests(20, 3, *BID, 9, 14)]
    log += [row(40, ROW_TRADE, 11, -1, 98, 2, 1), row(40, ROW_LEVEL, 1, *BID, 12)]
    log += trades(50, 12, 3, *BID, 2, 10)
    exchange = exchange_on(log, reading=reading)
    exchange.advance(BEGIN_US + 10)
    number = exchange.place(1, 99, 2)
    exchange.advance(BEGIN_US + 100)
    assert fills_of(exchange) == {number: expected}


# ---------------------------------------------------------------------- the index


def test_consistency_counts_the_lots_whose_order_was_first():
    """Three lots are executed behind an order that waits longer, five at the front."""
    log = [*OPEN, *rests(20, 3, *BID, 9, 14), *trades(30, 4, 3, *BID, 3, 11), *trades(40, 5, 1, *BID, 5, 6)]
    own = order_index([columns_of(log)]).consistency
    assert (own.executed_lots, own.first_lots) == (8, 5)


def test_an_execution_of_an_unknown_order_has_no_rank():
    """A maker without a LEVEL row, or none at all: nothing displayed was executed."""
    log = [*OPEN, *trades(30, 4, 0, *BID, 1, 5), *trades(31, 4, 77, *BID, 1, 5)[:1]]
    index = order_index([columns_of(log)])
    assert index.meet["joined"][index.meet["kind"] == 0].tolist() == [UNRANKED, UNRANKED]


@given(order_cases())
@settings(max_examples=30, deadline=None)
def test_index_of_drawn_logs_is_sound(case):
    """Every invariant that the kernel relies on holds, in finer units too."""
    index = case.tapes[0].orders
    assert list(index.faults()) == []
    assert list(index.in_units(3, 2).faults()) == []


def test_rows_out_of_order_are_refused():
    """The row is named."""
    with pytest.raises(ValueError, match="row 3 "):
        order_index([columns_of([*OPEN[:2], *rests(-5, 7, *BID, 5, 5)])])


# ---------------------------------------------------------------------- the market's own word


def market_with_us(seed, commands=400):
    """Return the log of a market in which we trade too, and our actions: (µs, name, number, …)."""
    draws = np.random.default_rng(seed)
    market, us, ids, ours, acts = Matching(first_order_id=1, first_trade_id=1, first_update_id=1), BEGIN_US, [], [], []
    for side in (1, -1):
        ids += [market.submit(us, 1, side, BASE - side * away, 4, LIMIT) for away in (1, 2)]
    for _ in range(commands):
        us += 2 * int(draws.integers(1, 50))
        side, away, lots = int(draws.choice([1, -1])), int(draws.integers(-1, 3)), int(draws.integers(1, 7))
        if draws.random() < 0.25:  # ours, at odd instants
            at, number = us + 1, ours[draws.integers(len(ours))] if ours else 0
            us += 2
            choice = draws.random()
            if choice < 0.6 or not market.order(number):
                number = market.submit(at, OURS, side, BASE - side * away, lots, MAKER)
                if number != WOULD_CROSS:
                    ours.append(number)
                    acts.append((at, "place", number, side, BASE - side * away, lots))
            elif choice < 0.8:
                market.cancel(at, number)
                acts.append((at, "cancel", number))
            elif market.order(number)[3] > 1:
                market.reduce(at, number, 1)
                acts.append((at, "amend", number, 1))
            continue
        number = int(draws.choice(ids))
        choice = draws.random()
        if choice < 0.7:
            kind = IOC if draws.random() < 0.4 else LIMIT
            ids.append(market.submit(us, 1, side, BASE - side * away, lots, kind))
        elif choice < 0.9:
            market.cancel(us, number)
        elif market.order(number) and market.order(number)[3] > 1:
            market.reduce(us, number, 1)
    return market.take_log(), acts


@pytest.mark.parametrize("seed", range(8))
def test_fills_equal_those_of_the_market_with_our_orders_in_it(seed):
    """Order by order, instant by instant: takers, partial fills, cancels and reductions, several orders at a price."""
    log, acts = market_with_us(seed)
    own = {number for _, name, number, *_ in acts if name == "place"}
    true = defaultdict(list)
    for us, kind, _, maker, _, _, _, lots, *_ in log.tolist():
        if kind == ROW_TRADE and maker in own:
            before = true[maker].pop()[1] if true[maker] and true[maker][-1][0] == us - BEGIN_US else 0
            true[maker].append((us - BEGIN_US, before + lots))
    exchange = manual_exchange(tape_of(without_us(log), 1), queue_orders())
    ids = {}
    for us, name, number, *rest in acts:
        exchange.advance(us)
        if name == "place":
            ids[number] = exchange.place(*rest)
        elif name == "cancel":
            exchange.cancel(ids[number])
        else:
            filled = sum(lots for _, lots in fills_of(exchange).get(ids[number], []))
            exchange.amend(ids[number], filled + rest[0])
        exchange.advance(us)
    exchange.advance(int(log[-1, 0]) + 10)
    by_number = {number: fills for number, fills in true.items() if fills}
    found = fills_of(exchange)
    assert {number: found.get(ids[number], []) for number in by_number} == by_number
    assert sum(map(len, found.values())) == sum(map(len, by_number.values())) > 0


def test_nothing_is_added_to_the_true_queue():
    """A hybrid of it would be no truth."""
    with pytest.raises(UsageError, match="queue_orders"):
        hybrid(models=[queue_orders(), trade_cross()])
