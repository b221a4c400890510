"""Trade history for market data: by id, by time, aggregate trades, mean price, 24-hour statistics."""

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import NamedTuple, TypeVar

from mm.sim.exchange.accounts import DAY_US, MINUTE_US
from mm.sim.matching.order_log import ROW_TRADE, Row

Entry = TypeVar("Entry")
_WIDTH = 4
_KEEP_TRADES, _KEEP_AGGREGATES, _KEEP_MINUTES = 500_000, 200_000, 50_000


class TimeSpan(NamedTuple):
    """Both ends are included, µs; None is an open end."""

    start_us: int | None
    end_us: int | None


def within(entries: Sequence[Entry], span: TimeSpan, limit: int, instant: Callable[[Entry], int]) -> list[Entry]:
    """Return up to *limit*, oldest first."""
    start = 0 if span.start_us is None else bisect_left(entries, span.start_us, key=instant)
    end = len(entries) if span.end_us is None else bisect_right(entries, span.end_us, key=instant)
    chosen = entries[start:end]
    return list(chosen[-limit:] if span.start_us is None else chosen[:limit])


def page(
    entries: Sequence[Entry],
    first: int | None,
    number: str,
    span: TimeSpan,
    limit: int,
    instant: Callable[[Entry], int],
) -> list[Entry]:
    if first is None:
        return within(entries, span, limit, instant)
    return [entry for entry in entries if getattr(entry, number) >= first][:limit]


class MarketTrade(NamedTuple):
    """*us* is the exchange's time, µs; *aside*: it was not made in the book."""

    trade_id: int
    us: int
    ticks: int
    lots: int
    buyer_is_maker: bool
    aside: bool = False

    @classmethod
    def of(cls, row: Row) -> "MarketTrade":
        us, _, order_id, _, _, side, ticks, lots, trade_id, _ = row
        return cls(trade_id, us, ticks, lots, side < 0, not order_id)


def _instant(trade: MarketTrade) -> int:
    return trade.us


class TradeHistory(Sequence[MarketTrade]):
    """The latest trades, with consecutive ids, in one block of memory."""

    def __init__(self, keep: int) -> None:
        self.first_id, self.last_id = 1, 0
        self._keep = keep
        self._cells = array("q")

    def add(self, trade: MarketTrade) -> None:
        if not self._cells:
            self.first_id = trade.trade_id
        self.last_id, us, ticks, lots, buyer_is_maker, aside = trade
        self._cells.extend((us, ticks, lots, buyer_is_maker + 2 * aside))
        if len(self._cells) > 2 * _WIDTH * self._keep:
            del self._cells[: _WIDTH * self._keep]
            self.first_id += self._keep

    def latest(self, limit: int) -> list[MarketTrade]:
        return self.since_id(self.last_id - limit + 1, limit)

    def since_id(self, trade_id: int, limit: int) -> list[MarketTrade]:
        start = max(0, trade_id - self.first_id)
        return [self[at] for at in range(start, min(start + limit, len(self)))]

    def __len__(self) -> int:
        return len(self._cells) // _WIDTH

    def __getitem__(self, at: int) -> MarketTrade:  # type: ignore[override]  # no slices
        us, ticks, lots, flags = self._cells[_WIDTH * at : _WIDTH * (at + 1)]
        return MarketTrade(self.first_id + at, us, ticks, lots, bool(flags & 1), bool(flags & 2))


class TradeBar(NamedTuple):
    """Bar of the trades in a time span: prices in ticks, volume in lots, turnover in tick·lots.

    *bought_lots* and *bought_tl* are what takers bought. A mark price has a bar of *trades* samples: only prices, in
    1e-8 of the quote asset.
    """

    us: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int
    volume_lots: int
    turnover_tl: int
    first_id: int
    last_id: int
    trades: int = 1
    bought_lots: int = 0
    bought_tl: int = 0

    @classmethod
    def of(cls, trade: MarketTrade) -> "TradeBar":
        number, us, ticks, lots, maker_bought, _ = trade
        bought = 0 if maker_bought else lots
        return cls(us, ticks, ticks, ticks, ticks, lots, ticks * lots, number, number, 1, bought, ticks * bought)

    def merged(self, later: "TradeBar") -> "TradeBar":
        return TradeBar(
            self.us,
            self.open_ticks,
            max(self.high_ticks, later.high_ticks),
            min(self.low_ticks, later.low_ticks),
            later.close_ticks,
            self.volume_lots + later.volume_lots,
            self.turnover_tl + later.turnover_tl,
            self.first_id,
            later.last_id,
            self.trades + later.trades,
            self.bought_lots + later.bought_lots,
            self.bought_tl + later.bought_tl,
        )


def sample(us: int, price: int) -> TradeBar:
    return TradeBar(us, price, price, price, price, 0, 0, 0, 0)


class MinuteBars:
    """Bars of whole minutes with at least one trade, oldest first; about *keep* are kept."""

    def __init__(self, keep: int = _KEEP_MINUTES) -> None:
        self._keep = keep
        self._bars: list[TradeBar] = []

    def add(self, bar: TradeBar) -> None:
        begin_us = bar.us - bar.us % MINUTE_US
        bars = self._bars
        if bars and bars[-1].us == begin_us:
            bars[-1] = bars[-1].merged(bar)
            return
        bars.append(bar._replace(us=begin_us))
        if len(bars) > 2 * self._keep:
            del bars[: self._keep]

    @property
    def first_us(self) -> int | None:
        return self._bars[0].us if self._bars else None

    def between(self, begin_us: int, end_us: int) -> TradeBar | None:
        first, last = (bisect_left(self._bars, us, key=_begin) for us in (begin_us, end_us))
        return reduce(TradeBar.merged, self._bars[first:last]) if first < last else None

    def close_before(self, us: int) -> int | None:
        at = bisect_left(self._bars, us, key=_begin) - 1
        return self._bars[at].close_ticks if at >= 0 else None


class SecondBars:
    def __init__(self, trades: TradeHistory) -> None:
        self._trades = trades

    @property
    def first_us(self) -> int | None:
        return self._trades[0].us if self._trades else None

    def between(self, begin_us: int, end_us: int) -> TradeBar | None:
        first, last = (bisect_left(self._trades, us, key=_instant) for us in (begin_us, end_us))
        bars = [TradeBar.of(trade) for at in range(first, last) if not (trade := self._trades[at]).aside]
        return reduce(TradeBar.merged, bars) if bars else None

    def close_before(self, us: int) -> int | None:
        at = bisect_left(self._trades, us, key=_instant) - 1
        while at >= 0 and self._trades[at].aside:
            at -= 1
        return self._trades[at].ticks if at >= 0 else None


def _begin(bar: TradeBar) -> int:
    return bar.us


class TradeTape:
    def __init__(self, average_mins: int, keep: int = _KEEP_TRADES) -> None:
        self._window_us = average_mins * MINUTE_US
        self.trades = TradeHistory(keep)
        self._window: deque[tuple[int, int, int]] = deque()
        self._cost_tl = self._volume_lots = 0
        self.minutes, self.seconds = MinuteBars(), SecondBars(self.trades)

    def add(self, trade: MarketTrade) -> None:
        """Add a trade; one aside from the book uses up an id and counts for nothing else."""
        self.trades.add(trade)
        _, us, ticks, lots, _, aside = trade
        if aside:
            return
        self.minutes.add(TradeBar.of(trade))
        cost_tl = ticks * lots
        self._window.append((us, cost_tl, lots))
        self._cost_tl += cost_tl
        self._volume_lots += lots
        self._leave_window(us)

    @property
    def last(self) -> MarketTrade | None:
        return self.trades[len(self.trades) - 1] if self.trades else None

    def average(self, us: int) -> tuple[int, int] | None:
        self._leave_window(us)
        if self._volume_lots:
            return self._cost_tl, self._volume_lots
        last = self.last
        return None if last is None else (last.ticks * last.lots, last.lots)

    def day(self, us: int) -> TradeBar | None:
        return self.rolling(us, DAY_US)

    def rolling(self, us: int, window_us: int) -> TradeBar | None:
        return self.minutes.between(us - window_us - MINUTE_US + 1, us + 1)

    def before(self, us: int) -> MarketTrade | None:
        at = bisect_left(self.trades, us, key=_instant) - 1
        return self.trades[at] if at >= 0 else None

    def _leave_window(self, us: int) -> None:
        while self._window and self._window[0][0] <= us - self._window_us:
            _, cost_tl, lots = self._window.popleft()
            self._cost_tl -= cost_tl
            self._volume_lots -= lots


class AggregateTrade(NamedTuple):
    """*side* is the taker's."""

    id: int
    side: int
    ticks: int
    lots: int
    first_id: int
    last_id: int
    us: int


class TradeAggregator:
    def __init__(self) -> None:
        self._last_id = 0
        self._open: AggregateTrade | None = None
        self._order_id = 0

    def trade(self, row: Row) -> AggregateTrade | None:
        """Return the aggregate that a TRADE row of another order or price ends."""
        us, _, order_id, _, _, side, ticks, lots, trade_id, _ = row
        if not order_id:
            return self.close()
        aggregate = self._open
        if aggregate and order_id == self._order_id and ticks == aggregate.ticks:
            self._open = aggregate._replace(lots=aggregate.lots + lots, last_id=trade_id)
            return None
        self._last_id += 1
        self._order_id = order_id
        self._open = AggregateTrade(self._last_id, side, ticks, lots, trade_id, trade_id, us)
        return aggregate

    def close(self) -> AggregateTrade | None:
        aggregate, self._open = self._open, None
        return aggregate

    def aggregate(self, rows: Iterable[Row]) -> list[AggregateTrade]:
        """*rows* must end with the last row of a command, as in a drained log."""
        completed = [self.trade(row) for row in rows if row[1] == ROW_TRADE]
        return [aggregate for aggregate in (*completed, self.close()) if aggregate]


class AggregateHistory:
    """The latest aggregate trades; needs all rows of an exchange from its first trade on."""

    def __init__(self) -> None:
        self._aggregator = TradeAggregator()
        self._trades: list[AggregateTrade] = []

    def take(self, rows: list[Row]) -> None:
        self._trades += self._aggregator.aggregate(rows)
        if len(self._trades) > 2 * _KEEP_AGGREGATES:
            del self._trades[:-_KEEP_AGGREGATES]

    def since_id(self, agg_id: int, limit: int) -> list[AggregateTrade]:
        start = bisect_left(self._trades, agg_id, key=lambda trade: trade.id)
        return self._trades[start : start + limit]

    def within(self, span: TimeSpan, limit: int) -> list[AggregateTrade]:
        return within(self._trades, span, limit, lambda trade: trade.us)
