"""The trades of the symbol: by id, mean price, the last day, and aggregated."""

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from mm.clock import US_PER_S
from mm.sim.exchange.trades import AggregateTrade, MarketTrade, TradeAggregator, TradeTape
from mm.sim.matching.order_log import ROW_LEVEL, ROW_NEW, ROW_TRADE

MINUTE_US = 60 * US_PER_S
STEPS = st.lists(
    st.tuples(st.integers(0, 100 * US_PER_S), st.integers(1, 999), st.integers(1, 99), st.booleans()), max_size=60
)


def trades(steps: list[tuple[int, int, int, bool]]) -> list[MarketTrade]:
    """Return trades with ids from 5 on."""
    us, found = 0, []
    for trade_id, (wait_us, ticks, lots, buyer_is_maker) in enumerate(steps, start=5):
        us += wait_us
        found.append(MarketTrade(trade_id, us, ticks, lots, buyer_is_maker))
    return found


@given(STEPS, st.integers(0, 400 * US_PER_S))
def test_average_price_covers_last_five_minutes(steps: list[tuple[int, int, int, bool]], later_us: int) -> None:
    """Weighted by quantity; without a trade in that time, the last price; before the first trade, none."""
    tape, all_trades = TradeTape(5), trades(steps)
    for trade in all_trades:
        tape.add(trade)
    us = (all_trades[-1].us if all_trades else 0) + later_us
    recent = [one for one in all_trades if one.us > us - 5 * MINUTE_US] or all_trades[-1:]
    expected = (sum(one.ticks * one.lots for one in recent), sum(one.lots for one in recent)) if recent else None
    assert tape.average(us) == expected


@given(STEPS, st.integers(0, 80), st.integers(1, 70))
def test_trades_are_returned_from_id_or_latest(steps: list[tuple[int, int, int, bool]], first: int, limit: int) -> None:
    """From an id on, oldest first, or the latest."""
    tape, all_trades = TradeTape(5), trades(steps)
    for trade in all_trades:
        tape.add(trade)
    assert tape.trades.since_id(first, limit) == [one for one in all_trades if one.trade_id >= first][:limit]
    assert tape.trades.latest(limit) == all_trades[-limit:]
    assert tape.last == (all_trades[-1] if all_trades else None)


def test_oldest_trades_are_dropped() -> None:
    """At least as many are kept as requested, and at most twice as many."""
    tape = TradeTape(5, keep=100)
    for trade_id in range(1, 1_001):
        tape.add(MarketTrade(trade_id, trade_id, 7, 1, False))
    kept = tape.trades.since_id(0, 10_000)
    assert [one.trade_id for one in kept] == list(range(kept[0].trade_id, 1_001))
    assert 100 <= len(kept) <= 200


def test_day_statistics_cover_last_24_hours() -> None:
    """Prices, volume and turnover; trades of a minute more than 24 hours ago are left out."""
    tape = TradeTape(5)
    for trade_id, (minute, ticks, lots) in enumerate([(0, 50, 9), (1, 100, 1), (700, 300, 2), (1_440, 80, 3)], start=1):
        tape.add(MarketTrade(trade_id, minute * MINUTE_US, ticks, lots, False))
    day = tape.day(1_441 * MINUTE_US)
    assert day is not None
    assert (day.open_ticks, day.high_ticks, day.low_ticks, day.close_ticks) == (100, 300, 80, 80)
    assert (day.volume_lots, day.turnover_tl, day.first_id, day.last_id) == (6, 100 + 600 + 240, 2, 4)
    assert tape.before(day.us) == MarketTrade(1, 0, 50, 9, False)
    assert TradeTape(5).day(0) is None


@st.composite
def logs(draw):
    """Rows of taker orders that walk the book: one order never returns to an earlier price."""
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


def expected_aggregates(rows):
    trades = [row for row in rows if row[1] == ROW_TRADE]
    runs = [list(run) for _, run in groupby(trades, lambda row: (row[2], row[6]))]
    return [
        AggregateTrade(n, run[0][5], run[0][6], sum(row[7] for row in run), run[0][8], run[-1][8], run[0][0])
        for n, run in enumerate(runs, 1)
    ]


@given(logs())
def test_trades_of_one_order_at_one_price_are_aggregated(rows):
    """Quantities add up, ids run from the first to the last, and the aggregate's own id counts by one."""
    assert TradeAggregator().aggregate(rows) == expected_aggregates(rows)


@given(logs(), st.data())
def test_aggregates_are_independent_of_chunks_between_orders(rows, data):
    """A log is drained after each command, or after many: the ids are the same."""
    starts = [at for at, row in enumerate(rows) if row[1] == ROW_NEW]
    cut = data.draw(st.sampled_from([*starts, len(rows)]))
    joined = TradeAggregator()
    assert joined.aggregate(rows[:cut]) + joined.aggregate(rows[cut:]) == expected_aggregates(rows)
