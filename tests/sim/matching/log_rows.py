"""Builders of order log rows for tests, and random commands for an engine."""

from hypothesis import strategies as st

from mm.sim.matching.order_log import (
    LIMIT,
    MARKET,
    OP_CANCEL,
    OP_REDUCE,
    OP_REPLACE,
    OP_SUBMIT,
    ROW_CANCEL,
    ROW_EXPIRE,
    ROW_LEVEL,
    ROW_NEW,
    ROW_REDUCE,
    ROW_REFUSE,
    ROW_REST,
    ROW_TRADE,
    STP_DECREMENT,
)  # fmt: skip

BUY, SELL = +1, -1


def new(order_id, account, side, ticks, lots, kind=LIMIT):
    return (ROW_NEW, order_id, kind, account, side, ticks, lots, 0, 0)


def trade(taker, maker, account, side, ticks, lots, trade_id):  # noqa: PLR0917
    return (ROW_TRADE, taker, maker, account, side, ticks, lots, trade_id, 0)


def level(order_id, side, ticks, lots, update_id):
    return (ROW_LEVEL, order_id, 0, 0, side, ticks, lots, 0, update_id)


def rest(order_id, account, side, ticks, lots):
    return (ROW_REST, order_id, 0, account, side, ticks, lots, 0, 0)


def cancel(order_id, account, side, ticks, lots):
    return (ROW_CANCEL, order_id, 0, account, side, ticks, lots, 0, 0)


def reduce(order_id, account, side, ticks, lots):
    return (ROW_REDUCE, order_id, 0, account, side, ticks, lots, 0, 0)


def expire(order_id, account, side, ticks, lots, reason):
    return (ROW_EXPIRE, order_id, reason, account, side, ticks, lots, 0, 0)


def refuse(account, side, ticks, lots):
    return (ROW_REFUSE, 0, 0, account, side, ticks, lots, 0, 0)


def log_of(engine):
    """Return the rows since the last call as tuples of int, for any array type of the engine."""
    return [tuple(map(int, row)) for row in engine.take_log()]


def new_rows(engine):
    """Return the rows since the last call without their timestamps."""
    return [row[1:] for row in log_of(engine)]


@st.composite
def commands(draw, max_count=40):
    """Rows for `run`: every operation, order kind and self-trade prevention, few prices, few accounts."""
    rows, us = [], 0
    for number in range(draw(st.integers(1, max_count))):
        us += draw(st.sampled_from((0, 1, 1_000)))
        op = draw(st.sampled_from((OP_SUBMIT,) * 6 + (OP_CANCEL, OP_REDUCE, OP_REPLACE)))
        kind = draw(st.sampled_from((LIMIT,) * 6 + tuple(range(LIMIT, MARKET + 1))))
        ticks = 0 if kind == MARKET else draw(st.integers(97, 104))
        stp_or_id = draw(st.integers(0, STP_DECREMENT)) if op == OP_SUBMIT else draw(st.integers(0, number + 1))
        account, side, lots = draw(st.integers(0, 2)), draw(st.sampled_from((BUY, SELL))), draw(st.integers(1, 9))
        rows.append((us, op, account, side, ticks, lots, kind, stp_or_id))
    return rows
