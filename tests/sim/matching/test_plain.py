"""Cases worked out by hand: every order kind, every self-trade prevention, every refusal."""

import pytest
from log_rows import BUY, SELL, cancel, expire, level, log_of, new, new_rows, reduce, refuse, rest, trade

from mm.sim.matching._core import Matching
from mm.sim.matching.order_log import (
    FOK,
    IOC,
    LIMIT,
    MAKER,
    MARKET,
    MOST_LOTS,
    MOST_TICKS,
    OP_CANCEL,
    OP_REDUCE,
    OP_REPLACE,
    OP_SUBMIT,
    REASON_FOK,
    REASON_IOC,
    REASON_STP,
    ROW_LEVEL,
    ROW_TRADE,
    STP_DECREMENT,
    STP_EXPIRE_BOTH,
    STP_EXPIRE_MAKER,
    STP_EXPIRE_TAKER,
    STP_NONE,
    WOULD_CROSS,
)  # fmt: skip
from plain_matching import PlainMatching

ME, YOU, THEM = 1, 2, 3


@pytest.fixture(params=[PlainMatching, Matching])
def engine(request):
    """An empty book."""
    return request.param()


@pytest.fixture
def asks(engine):
    """Orders 1 to 3: 5 lots at 101 (ME), 4 at 101 (YOU) and 6 at 102 (THEM); update id 3."""
    engine.submit(10, ME, SELL, 101, 5)
    engine.submit(10, YOU, SELL, 101, 4)
    engine.submit(10, THEM, SELL, 102, 6)
    engine.take_log()
    return engine


def test_order_without_match_rests(engine):
    """It is accepted, rests, and its level contains it."""
    assert engine.submit(10, ME, BUY, 99, 5) == 1
    assert log_of(engine) == [
        (10, *new(1, ME, BUY, 99, 5)),
        (10, *rest(1, ME, BUY, 99, 5)),
        (10, *level(1, BUY, 99, 5, 1)),
    ]
    assert engine.best() == (99, 5, 0, 0)
    assert engine.order(1) == (ME, BUY, 99, 5)


def test_taker_trades_at_makers_prices(asks):
    """Best price first, the oldest first within it; the remainder rests and is the best of its side."""
    assert asks.submit(11, THEM, BUY, 103, 17) == 4
    assert new_rows(asks) == [
        new(4, THEM, BUY, 103, 17),
        trade(4, 1, THEM, BUY, 101, 5, 1), level(1, SELL, 101, 4, 4),
        trade(4, 2, THEM, BUY, 101, 4, 2), level(2, SELL, 101, 0, 5),
        trade(4, 3, THEM, BUY, 102, 6, 3), level(3, SELL, 102, 0, 6),
        rest(4, THEM, BUY, 103, 2), level(4, BUY, 103, 2, 7),
    ]  # fmt: skip
    assert (asks.best(), asks.resting) == ((103, 2, 0, 0), 1)
    assert (asks.last_order_id, asks.last_trade_id, asks.update_id) == (4, 3, 7)


def test_sell_order_matches_highest_bid_first(engine):
    """Price priority holds on both sides; the limit ends the matching."""
    for ticks in (98, 99, 97):
        engine.submit(10, YOU, BUY, ticks, 1)
    engine.take_log()
    engine.submit(11, ME, SELL, 98, 3)
    assert new_rows(engine) == [
        new(4, ME, SELL, 98, 3),
        trade(4, 2, ME, SELL, 99, 1, 1), level(2, BUY, 99, 0, 4),
        trade(4, 1, ME, SELL, 98, 1, 2), level(1, BUY, 98, 0, 5),
        rest(4, ME, SELL, 98, 1), level(4, SELL, 98, 1, 6),
    ]  # fmt: skip


def test_partially_filled_maker_keeps_queue_position(asks):
    """The next taker matches it first again."""
    asks.submit(11, THEM, BUY, 101, 2)
    assert [row[:2] for row in asks.orders(SELL)] == [(1, ME), (2, YOU), (3, THEM)]
    assert asks.order(1) == (ME, SELL, 101, 3)
    assert asks.resting == 3


def test_maker_order_that_would_match_is_refused(asks):
    """It uses no order id and changes nothing, even where the resting orders are of the same account."""
    assert asks.submit(11, ME, BUY, 101, 1, MAKER) == WOULD_CROSS
    assert new_rows(asks) == [refuse(ME, BUY, 101, 1)]
    asks.cancel(11, 2)
    asks.take_log()
    assert asks.submit(11, ME, BUY, 101, 1, MAKER, STP_EXPIRE_MAKER) == WOULD_CROSS
    assert (new_rows(asks), asks.last_order_id) == ([refuse(ME, BUY, 101, 1)], 3)
    assert asks.submit(11, ME, BUY, 100, 1, MAKER) == 4
    assert new_rows(asks) == [new(4, ME, BUY, 100, 1, MAKER), rest(4, ME, BUY, 100, 1), level(4, BUY, 100, 1, 5)]


def test_ioc_remainder_expires(asks):
    """It never rests."""
    asks.submit(11, THEM, BUY, 101, 10, IOC)
    assert new_rows(asks) == [
        new(4, THEM, BUY, 101, 10, IOC),
        trade(4, 1, THEM, BUY, 101, 5, 1), level(1, SELL, 101, 4, 4),
        trade(4, 2, THEM, BUY, 101, 4, 2), level(2, SELL, 101, 0, 5),
        expire(4, THEM, BUY, 101, 1, REASON_IOC),
    ]  # fmt: skip


def test_ioc_without_match_expires_completely(engine):
    """No level changes, so no update id is used."""
    assert engine.submit(11, ME, SELL, 101, 3, IOC) == 1
    assert new_rows(engine) == [new(1, ME, SELL, 101, 3, IOC), expire(1, ME, SELL, 101, 3, REASON_IOC)]
    assert engine.update_id == 0


def test_market_order_matches_at_any_price(asks):
    """It walks the whole side, and the remainder expires."""
    asks.submit(11, 9, BUY, 0, 20, MARKET)
    assert new_rows(asks) == [
        new(4, 9, BUY, 0, 20, MARKET),
        trade(4, 1, 9, BUY, 101, 5, 1), level(1, SELL, 101, 4, 4),
        trade(4, 2, 9, BUY, 101, 4, 2), level(2, SELL, 101, 0, 5),
        trade(4, 3, 9, BUY, 102, 6, 3), level(3, SELL, 102, 0, 6),
        expire(4, 9, BUY, 0, 5, REASON_IOC),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ticks", "lots", "filled"), [(101, 9, True), (101, 10, False), (102, 15, True), (100, 1, False)]
)
def test_fok_is_filled_completely_or_not_at_all(asks, ticks, lots, filled):
    """Lots at acceptable prices must suffice, to the last one."""
    assert asks.submit(11, 9, BUY, ticks, lots, FOK) == 4
    rows = new_rows(asks)
    assert rows[0] == new(4, 9, BUY, ticks, lots, FOK)
    if filled:
        assert sum(row[6] for row in rows if row[0] == ROW_TRADE) == lots
        assert asks.order(4) is None
    else:
        assert rows[1:] == [expire(4, 9, BUY, ticks, lots, REASON_FOK)]


def test_fok_ignores_own_lots_under_stp(asks):
    """With prevention the account's own 5 lots cannot fill it; other orders can."""
    asks.submit(11, ME, BUY, 101, 5, FOK, STP_EXPIRE_MAKER)
    assert new_rows(asks)[1:] == [expire(4, ME, BUY, 101, 5, REASON_FOK)]
    asks.submit(11, ME, BUY, 101, 4, FOK, STP_EXPIRE_MAKER)
    assert new_rows(asks)[1:] == [
        expire(1, ME, SELL, 101, 5, REASON_STP), level(1, SELL, 101, 4, 4),
        trade(5, 2, ME, BUY, 101, 4, 1), level(2, SELL, 101, 0, 5),
    ]  # fmt: skip
    asks.submit(11, THEM, BUY, 102, 6, FOK, STP_NONE)
    assert new_rows(asks)[1:] == [trade(6, 3, THEM, BUY, 102, 6, 2), level(3, SELL, 102, 0, 6)]


def test_stp_none_allows_self_trade(asks):
    """Accounts are not compared."""
    asks.submit(11, ME, BUY, 101, 1)
    assert new_rows(asks) == [new(4, ME, BUY, 101, 1), trade(4, 1, ME, BUY, 101, 1, 1), level(1, SELL, 101, 8, 4)]


def test_expire_taker_expires_at_first_own_order(asks):
    """Earlier trades are kept; the remainder does not rest."""
    asks.submit(11, YOU, BUY, 102, 12, LIMIT, STP_EXPIRE_TAKER)
    assert new_rows(asks) == [
        new(4, YOU, BUY, 102, 12),
        trade(4, 1, YOU, BUY, 101, 5, 1), level(1, SELL, 101, 4, 4),
        expire(4, YOU, BUY, 102, 7, REASON_STP),
    ]  # fmt: skip
    assert asks.order(2) == (YOU, SELL, 101, 4)


def test_expire_maker_expires_own_maker_and_continues(asks):
    """The taker continues with the next order."""
    asks.submit(11, YOU, BUY, 102, 12, LIMIT, STP_EXPIRE_MAKER)
    assert new_rows(asks) == [
        new(4, YOU, BUY, 102, 12),
        trade(4, 1, YOU, BUY, 101, 5, 1), level(1, SELL, 101, 4, 4),
        expire(2, YOU, SELL, 101, 4, REASON_STP), level(2, SELL, 101, 0, 5),
        trade(4, 3, YOU, BUY, 102, 6, 2), level(3, SELL, 102, 0, 6),
        rest(4, YOU, BUY, 102, 1), level(4, BUY, 102, 1, 7),
    ]  # fmt: skip


def test_expire_both_expires_maker_then_taker(asks):
    """One match with an own order expires both."""
    asks.submit(11, ME, BUY, 102, 12, IOC, STP_EXPIRE_BOTH)
    assert new_rows(asks) == [
        new(4, ME, BUY, 102, 12, IOC),
        expire(1, ME, SELL, 101, 5, REASON_STP), level(1, SELL, 101, 4, 4),
        expire(4, ME, BUY, 102, 12, REASON_STP),
    ]  # fmt: skip
    assert asks.best() == (0, 0, 101, 4)


def test_decrement_reduces_both_by_the_smaller_quantity(asks):
    """A larger taker loses the maker's lots and continues; a smaller one reduces the maker and expires."""
    asks.submit(11, ME, BUY, 101, 7, LIMIT, STP_DECREMENT)
    assert new_rows(asks) == [
        new(4, ME, BUY, 101, 7),
        expire(1, ME, SELL, 101, 0, REASON_STP), level(1, SELL, 101, 4, 4),
        trade(4, 2, ME, BUY, 101, 2, 1), level(2, SELL, 101, 2, 5),
    ]  # fmt: skip
    asks.submit(12, THEM, BUY, 102, 4, LIMIT, STP_DECREMENT)
    assert new_rows(asks) == [
        new(5, THEM, BUY, 102, 4),
        trade(5, 2, THEM, BUY, 101, 2, 2), level(2, SELL, 101, 0, 6),
        reduce(3, THEM, SELL, 102, 4), level(3, SELL, 102, 4, 7),
        expire(5, THEM, BUY, 102, 0, REASON_STP),
    ]  # fmt: skip


def test_decrement_of_equal_quantities_expires_both(asks):
    """The maker's rows come first."""
    asks.submit(11, ME, BUY, 101, 5, LIMIT, STP_DECREMENT)
    assert new_rows(asks)[1:] == [
        expire(1, ME, SELL, 101, 0, REASON_STP), level(1, SELL, 101, 4, 4), expire(4, ME, BUY, 101, 0, REASON_STP)
    ]  # fmt: skip


def test_cancel_returns_remaining_lots(asks):
    """The level shows the rest; a second cancel finds no order."""
    asks.submit(11, THEM, BUY, 101, 2)
    asks.take_log()
    assert asks.cancel(12, 1) == 3
    assert new_rows(asks) == [cancel(1, ME, SELL, 101, 3), level(1, SELL, 101, 4, 5)]
    assert asks.cancel(12, 1) == 0
    assert asks.cancel(12, 99) == 0
    assert new_rows(asks) == []


def test_reduce_keeps_queue_position(asks):
    """Amend with kept priority: fewer lots, same order id, still first."""
    assert asks.reduce(11, 1, 2) == 2
    assert new_rows(asks) == [reduce(1, ME, SELL, 101, 2), level(1, SELL, 101, 6, 4)]
    assert (asks.orders(SELL, 1), asks.queue_ahead(2)) == ([(1, ME, 101, 2)], 2)
    assert asks.reduce(11, 99, 2) == 0


@pytest.mark.parametrize("lots", [5, 6, 0])
def test_reduce_to_equal_larger_or_zero_lots_raises(asks, lots):
    """Reduce cannot grow, keep or cancel an order."""
    with pytest.raises(ValueError, match="lots"):
        asks.reduce(11, 1, lots)
    assert (new_rows(asks), asks.order(1)) == ([], (ME, SELL, 101, 5))


def test_replace_cancels_and_submits_at_end_of_queue(asks):
    """New id, same account and side, priority lost even at the same price."""
    assert asks.replace(11, 1, 101, 5) == 4
    assert new_rows(asks) == [
        cancel(1, ME, SELL, 101, 5), level(1, SELL, 101, 4, 4),
        new(4, ME, SELL, 101, 5), rest(4, ME, SELL, 101, 5), level(4, SELL, 101, 9, 5),
    ]  # fmt: skip
    assert asks.queue_ahead(4) == 4
    assert asks.replace(11, 1, 101, 5) == 0
    assert new_rows(asks) == []


def test_refused_maker_replacement_keeps_the_cancel(asks):
    """The old order is gone, the new one refused."""
    asks.submit(11, YOU, BUY, 99, 3)
    asks.take_log()
    assert asks.replace(12, 1, 99, 5, MAKER) == WOULD_CROSS
    assert new_rows(asks) == [cancel(1, ME, SELL, 101, 5), level(1, SELL, 101, 4, 5), refuse(ME, SELL, 99, 5)]


def test_replacement_uses_its_own_kind_and_stp(asks):
    """It is an order like any other, with its own kind and prevention."""
    asks.submit(11, ME, BUY, 99, 3)
    asks.take_log()
    assert asks.replace(12, 1, 99, 5, IOC, STP_EXPIRE_TAKER) == 5
    assert new_rows(asks)[2:] == [new(5, ME, SELL, 99, 5, IOC), expire(5, ME, SELL, 99, 5, REASON_STP)]


def test_queue_ahead_shrinks_with_fills_and_cancels_ahead(asks):
    """Cancels of later orders do not change it."""
    asks.submit(11, THEM, SELL, 101, 7)
    assert [asks.queue_ahead(order_id) for order_id in (1, 2, 4, 3)] == [0, 5, 9, 0]
    asks.submit(11, THEM, BUY, 101, 6)
    assert [asks.queue_ahead(order_id) for order_id in (2, 4)] == [0, 3]
    asks.cancel(11, 4)
    assert asks.queue_ahead(2) == 0
    for gone in (1, 4, 99):
        with pytest.raises(ValueError, match="does not rest"):
            asks.queue_ahead(gone)


def test_book_views_return_best_prices_levels_and_orders(asks):
    """L1, L2, L3, and by order and account."""
    asks.submit(11, ME, BUY, 98, 2)
    asks.submit(11, ME, BUY, 99, 3)
    assert asks.best() == (99, 3, 101, 9)
    assert (asks.depth(SELL, 5), asks.depth(BUY, 1)) == ([(101, 9), (102, 6)], [(99, 3)])
    assert asks.orders(BUY) == [(5, ME, 99, 3), (4, ME, 98, 2)]
    assert asks.orders(SELL, 2) == [(1, ME, 101, 5), (2, YOU, 101, 4)]
    assert (asks.open_orders(ME), asks.open_orders(77), asks.resting) == ([1, 4, 5], [], 5)
    assert asks.order(99) is None


def test_ids_continue_from_given_first_ids(engine):
    """A later day has larger ids."""
    later = type(engine)(first_order_id=100, first_trade_id=200, first_update_id=300)
    later.submit(0, ME, BUY, 99, 1)
    later.submit(0, YOU, SELL, 99, 1)
    assert new_rows(later) == [
        new(101, ME, BUY, 99, 1), rest(101, ME, BUY, 99, 1), level(101, BUY, 99, 1, 301),
        new(102, YOU, SELL, 99, 1), trade(102, 101, YOU, SELL, 99, 1, 201), level(101, BUY, 99, 0, 302),
    ]  # fmt: skip


def test_engine_without_log_still_counts_ids(engine):
    """The memory of a long unread run stays small."""
    unlogged = type(engine)(log=False)
    unlogged.submit(0, ME, BUY, 99, 1)
    assert (log_of(unlogged), unlogged.update_id) == ([], 1)


GOOD = {"us": 11, "account": ME, "side": BUY, "ticks": 101, "lots": 1, "kind": LIMIT, "stp": STP_NONE}
BAD = [
    ("us", 9), ("account", -1), ("side", 0), ("side", 2), ("ticks", 0), ("ticks", -5), ("ticks", MOST_TICKS + 1),
    ("lots", 0), ("lots", -1), ("lots", MOST_LOTS + 1), ("kind", 5), ("kind", -1), ("stp", 5), ("stp", -1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD)
def test_argument_out_of_range_raises_and_changes_nothing(asks, name, value):
    """The message contains the argument's name; the clock does not move either."""
    with pytest.raises(ValueError, match=name):
        asks.submit(**GOOD | {name: value})
    if name in ("ticks", "lots", "kind", "stp"):
        with pytest.raises(ValueError, match=name):
            asks.replace(**{"us": 11, "order_id": 1, "ticks": 101, "lots": 1} | {name: value})
    assert (new_rows(asks), asks.last_order_id, asks.resting) == ([], 3, 3)
    assert asks.cancel(10, 1) == 5


@pytest.mark.parametrize("name", GOOD)
def test_float_argument_raises_type_error(asks, name):
    """Units are whole; 101.0 is an error."""
    with pytest.raises(TypeError):
        asks.submit(**GOOD | {name: float(GOOD[name])})
    assert (new_rows(asks), asks.last_order_id) == ([], 3)


def test_market_order_with_price_raises_value_error(asks):
    """A price that would be ignored is a mistake."""
    with pytest.raises(ValueError, match="ticks"):
        asks.submit(11, ME, BUY, 101, 1, MARKET)


def test_largest_values_are_accepted(engine):
    """The bounds are inclusive."""
    assert engine.submit(-(2**63), 2**63 - 1, BUY, MOST_TICKS, MOST_LOTS) == 1
    assert engine.submit(2**63 - 1, 0, SELL, 1, MOST_LOTS) == 2
    assert engine.last_trade_id == 1


@pytest.mark.parametrize("side", [0, 2])
def test_views_of_invalid_side_raise_value_error(asks, side):
    """A side is +1 or -1."""
    for view in (lambda: asks.depth(side, 1), lambda: asks.orders(side)):
        with pytest.raises(ValueError, match="side"):
            view()


def test_command_earlier_than_the_last_raises_value_error(asks):
    """A command for an unknown order also moves the clock."""
    asks.cancel(20, 99)
    for command in (lambda: asks.cancel(19, 1), lambda: asks.reduce(19, 1, 1), lambda: asks.replace(19, 1, 101, 1)):
        with pytest.raises(ValueError, match="us 19"):
            command()
    assert new_rows(asks) == []


def test_run_applies_each_command_in_order(engine):
    """A reduction that lowers nothing and a command for an unknown order are skipped."""
    engine.run([
        (1, OP_SUBMIT, ME, SELL, 101, 5, LIMIT, STP_NONE),
        (1, OP_SUBMIT, YOU, SELL, 101, 4, LIMIT, STP_NONE),
        (2, OP_REDUCE, 0, 0, 0, 7, 0, 1),
        (2, OP_REDUCE, 0, 0, 0, 3, 0, 1),
        (3, OP_CANCEL, 0, 0, 0, 0, 0, 99),
        (4, OP_SUBMIT, ME, BUY, 101, 2, LIMIT, STP_EXPIRE_MAKER),
        (5, OP_REPLACE, 0, 0, 100, 6, LIMIT, 2),
        (6, OP_CANCEL, 0, 0, 0, 0, 0, 4),
    ])  # fmt: skip
    assert [row for row in new_rows(engine) if row[0] != ROW_LEVEL] == [
        new(1, ME, SELL, 101, 5), rest(1, ME, SELL, 101, 5),
        new(2, YOU, SELL, 101, 4), rest(2, YOU, SELL, 101, 4),
        reduce(1, ME, SELL, 101, 3),
        new(3, ME, BUY, 101, 2), expire(1, ME, SELL, 101, 3, REASON_STP), trade(3, 2, ME, BUY, 101, 2, 1),
        cancel(2, YOU, SELL, 101, 2), new(4, YOU, SELL, 100, 6), rest(4, YOU, SELL, 100, 6),
        cancel(4, YOU, SELL, 100, 6),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "bad",
    [(2, 9, ME, BUY, 99, 1, 0, 0), (2, OP_SUBMIT, ME, 0, 99, 1, 0, 0), (0, OP_CANCEL, 0, 0, 0, 0, 0, 1),
     (2, OP_REDUCE, 0, 0, 0, 0, 0, 1), (2, OP_REPLACE, 0, 0, 0, 1, 0, 1), (2, OP_SUBMIT, ME, BUY, 99, 1, 0, 7)],
)  # fmt: skip
def test_invalid_row_raises_and_earlier_rows_are_kept(engine, bad):
    """The later rows are not applied."""
    good = (1, OP_SUBMIT, ME, BUY, 99, 1, LIMIT, STP_NONE)
    with pytest.raises(ValueError, match="row 1"):
        engine.run([good, bad, good])
    assert engine.orders(BUY) == [(1, ME, 99, 1)]
