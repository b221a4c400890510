"""Aggregate trades: one taker order at one price."""

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from mm.sim.matching.order_log import ROW_LEVEL, ROW_NEW, ROW_TRADE
from mm.sim.wire.agg_trades import AggTrade, AggTrades


@st.composite
def logs(draw):
    """Rows of taker orders that walk the book: prices of one order never come back."""
    rows, trade_id = [], 0
    for order_id in range(1, draw(st.integers(1, 6))):
        side = draw(st.sampled_from((1, -1)))
        rows.append((order_id, ROW_NEW, order_id, 0, 1, side, 0, 0, 0, 0))
        for step in range(draw(st.integers(0, 3))):
            for _ in range(draw(st.integers(1, 3))):
                trade_id += 1
                lots = draw(st.integers(1, 9))
                rows.append((order_id, ROW_TRADE, order_id, 99, 1, side, 100 + side * step, lots, trade_id, 0))
                rows.append((order_id, ROW_LEVEL, 99, 0, 0, -side, 100 + side * step, 0, 0, trade_id))
    return rows


def by_hand(rows):
    trades = [row for row in rows if row[1] == ROW_TRADE]
    runs = [list(run) for _, run in groupby(trades, lambda row: (row[2], row[6]))]
    return [
        AggTrade(n, run[0][5], run[0][6], sum(row[7] for row in run), run[0][8], run[-1][8], run[0][0])
        for n, run in enumerate(runs, 1)
    ]


@given(logs())
def test_trades_of_one_order_at_one_price_are_one(rows):
    """Quantities add up, ids run from the first to the last, and the aggregate's own id counts by one."""
    assert AggTrades().of(rows) == by_hand(rows)


@given(logs(), st.data())
def test_chunks_that_end_with_an_order_make_no_difference(rows, data):
    """A log is drained behind every command, or behind many: the ids are the same."""
    starts = [at for at, row in enumerate(rows) if row[1] == ROW_NEW]
    cut = data.draw(st.sampled_from([*starts, len(rows)]))
    joined = AggTrades()
    assert joined.of(rows[:cut]) + joined.of(rows[cut:]) == by_hand(rows)
