"""Invariants of every engine after every command."""

from collections import Counter

import pytest
from hypothesis import given, settings
from log_rows import BUY, SELL, commands, log_of

from log_book import Book
from mm.sim.matching._core import Matching
from mm.sim.matching.order_log import (
    OP_SUBMIT,
    REASON_IOC,
    ROW_CANCEL,
    ROW_EXPIRE,
    ROW_LEVEL,
    ROW_NEW,
    ROW_REDUCE,
    ROW_REST,
    ROW_TRADE,
    STP_DECREMENT,
    STP_NONE,
)
from plain_matching import PlainMatching


def for_every_engine(rule):
    """Run *rule* with random commands, for each engine."""
    rule = settings(max_examples=60, deadline=None)(given(rows=commands())(rule))
    return pytest.mark.parametrize("engine_class", [PlainMatching, Matching])(rule)


def run_each(engine, rows):
    """Yield each command with the rows it logged."""
    for command in rows:
        engine.run([command])
        yield command, log_of(engine)


@pytest.mark.slow
@for_every_engine
def test_book_rebuilt_from_log_matches_engine(engine_class, rows):
    """L2 from the levels, L3 from the orders, in priority, and both agree at every change (`Book` checks)."""
    engine, book = engine_class(), Book()
    for _, log in run_each(engine, rows):
        book.play(log)
        for side in (BUY, SELL):
            assert book.depth(side) == engine.depth(side, 1_000)
            assert book.orders(side) == engine.orders(side)


@pytest.mark.slow
@for_every_engine
def test_lots_of_each_order_are_conserved(engine_class, rows):
    """An order's lots are traded, cancelled, reduced, decremented, expired or still resting."""
    engine = engine_class()
    left: Counter[int] = Counter()
    taker = 0
    for command, log in run_each(engine, rows):
        decrements = command[1] == OP_SUBMIT and command[7] == STP_DECREMENT
        for _, kind, order_id, other_id, _, _, _, lots, _, _ in log:
            if kind == ROW_NEW:
                taker, left[order_id] = order_id, lots
            elif kind == ROW_TRADE:
                left[order_id] -= lots
                left[other_id] -= lots
            elif kind == ROW_REST:
                assert left[order_id] == lots
            elif kind in (ROW_REDUCE, ROW_EXPIRE) and decrements and order_id != taker:
                left[taker] -= left[order_id] - lots
                left[order_id] = lots
            elif kind == ROW_REDUCE:
                assert 0 < lots < left[order_id]
                left[order_id] = lots
            elif kind in (ROW_CANCEL, ROW_EXPIRE):
                assert left[order_id] == lots
                left[order_id] = 0
            assert all(value >= 0 for value in left.values())
    resting = {row[0]: row[3] for side in (BUY, SELL) for row in engine.orders(side)}
    assert {order_id: lots for order_id, lots in left.items() if lots} == resting


@pytest.mark.slow
@for_every_engine
def test_taker_matches_makers_by_price_and_time(engine_class, rows):
    """It trades at their prices, none worse than its limit, and skips none that it could have matched."""
    engine = engine_class()
    for command in rows:
        _, op, account, side, ticks, lots, _, stp = command
        waiting = engine.orders(-side)
        engine.run([command])
        log = log_of(engine)
        if op != OP_SUBMIT or log[0][1] != ROW_NEW:
            continue
        matched = [row for row in log[1:] if row[1] != ROW_LEVEL and (row[1] == ROW_TRADE or row[2] != log[0][2])]
        for row, (maker_id, maker_account, maker_ticks, maker_lots) in zip(matched, waiting, strict=False):
            assert (row[3] if row[1] == ROW_TRADE else row[2], row[6]) == (maker_id, maker_ticks)
            assert ticks == 0 or side * (ticks - maker_ticks) >= 0
            assert (row[1] == ROW_TRADE) == (stp == STP_NONE or maker_account != account)
            assert row[1] != ROW_TRADE or row[7] == min(maker_lots, lots)
            lots -= min(maker_lots, lots) if row[1] == ROW_TRADE or stp == STP_DECREMENT else 0
        assert len(matched) <= len(waiting)
        best_bid, _, best_ask, _ = engine.best()
        touch = best_ask if side == BUY else best_bid
        (ended,) = [row for row in log if row[1] in (ROW_EXPIRE, ROW_REST) and row[2] == log[0][2]] or [None]
        if touch and ended and (ended[1] == ROW_REST or ended[3] == REASON_IOC):
            assert ticks
            assert side * (ticks - touch) < 0


@pytest.mark.slow
@for_every_engine
def test_ids_are_consecutive(engine_class, rows):
    """Orders, trades and level changes, each in the order of the log."""
    engine = engine_class(first_order_id=10, first_trade_id=20, first_update_id=30)
    engine.run(rows)
    log = log_of(engine)
    orders = [row[2] for row in log if row[1] == ROW_NEW]
    trades = [row[8] for row in log if row[1] == ROW_TRADE]
    updates = [row[9] for row in log if row[1] == ROW_LEVEL]
    for ids, first, last in (
        (orders, 10, engine.last_order_id), (trades, 20, engine.last_trade_id), (updates, 30, engine.update_id),
    ):  # fmt: skip
        assert ids == list(range(first + 1, last + 1))


@pytest.mark.slow
@for_every_engine
def test_queue_ahead_matches_l3_view(engine_class, rows):
    """For every resting order."""
    engine = engine_class()
    engine.run(rows)
    for side in (BUY, SELL):
        ahead: Counter[int] = Counter()
        for order_id, account, ticks, lots in engine.orders(side):
            assert engine.queue_ahead(order_id) == ahead[ticks]
            assert engine.order(order_id) == (account, side, ticks, lots)
            assert order_id in engine.open_orders(account)
            ahead[ticks] += lots
        assert ahead == dict(engine.depth(side, 1_000))
    assert engine.resting == len(engine.orders(BUY)) + len(engine.orders(SELL))
