"""The trades of the symbol for market data: by id, aggregated, of a span of time, the mean price, the last day."""

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from mm.clock import US_PER_S
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.parameters import Parameters
from mm.sim.matching.order_log import ROW_TRADE, Row

Entry = TypeVar("Entry")
DAY_US = 86_400 * US_PER_S
_MINUTE_US = 60 * US_PER_S
_DAY_MINUTES = 24 * 60
_KEEP_TRADES, _KEEP_AGGREGATES = 500_000, 200_000


class Span(NamedTuple):
    """From and to an instant, both included, µs; None where an end is open."""

    start_us: int | None
    end_us: int | None


def read_span(parameters: Parameters) -> Span:
    """Return the span of ``startTime`` and ``endTime``, each in ms or in µs."""
    return Span(parameters.instant_us("startTime"), parameters.instant_us("endTime", last=True))


def read_day_span(parameters: Parameters) -> Span:
    """Return the span of a request for 24 hours at most; raises ApiError where it is longer."""
    span = read_span(parameters)
    if span.start_us is not None and span.end_us is not None and span.end_us - span.start_us > DAY_US + 999:
        raise ApiError(-1127, "More than 24 hours between startTime and endTime.")
    return span


def within(entries: Sequence[Entry], span: Span, limit: int, instant: Callable[[Entry], int]) -> list[Entry]:
    """Return up to *limit* of *entries*, which stand in the order of their *instant*, oldest first.

    With a start they are the first ones from there on, without one the last ones.
    """
    start = 0 if span.start_us is None else bisect_left(entries, span.start_us, key=instant)
    end = len(entries) if span.end_us is None else bisect_right(entries, span.end_us, key=instant)
    chosen = entries[start:end]
    return list(chosen[-limit:] if span.start_us is None else chosen[:limit])


class MarketTrade(NamedTuple):
    """One trade.

    Attributes:
        trade_id: Counted by one.
        us: When, in µs of the exchange.
        ticks: Price.
        lots: Quantity.
        buyer_is_maker: Whether the buyer's order rested.
    """

    trade_id: int
    us: int
    ticks: int
    lots: int
    buyer_is_maker: bool


@dataclass(slots=True)
class TradeBar:
    """What trades of a stretch of time come to: prices in ticks, volume in lots, turnover in tick·lots."""

    us: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int
    volume_lots: int
    turnover_tl: int
    first_id: int
    last_id: int

    def join(self, later: "TradeBar") -> None:
        """Take in a bar that follows."""
        self.high_ticks = max(self.high_ticks, later.high_ticks)
        self.low_ticks = min(self.low_ticks, later.low_ticks)
        self.close_ticks = later.close_ticks
        self.volume_lots += later.volume_lots
        self.turnover_tl += later.turnover_tl
        self.last_id = later.last_id


class TradeTape:
    """The latest trades, and running sums over them.

    Args:
        average_mins: Minutes that the mean price is taken over.
        keep: Trades that are kept at least; the oldest are forgotten.
    """

    def __init__(self, average_mins: int, keep: int = _KEEP_TRADES) -> None:
        self._window_us = average_mins * _MINUTE_US
        self._keep = keep
        self._us = array("q")
        self._ticks = array("q")
        self._lots = array("q")  # of the taker's side: negative where the buyer's order rested
        self._first_id = 0
        self._window: deque[tuple[int, int, int]] = deque()
        self._cost_tl = self._volume_lots = 0
        self._minutes: deque[TradeBar] = deque(maxlen=_DAY_MINUTES + 1)

    def add(self, trade: MarketTrade) -> None:
        """Take the next trade."""
        if not self._us:
            self._first_id = trade.trade_id
        self._us.append(trade.us)
        self._ticks.append(trade.ticks)
        self._lots.append(-trade.lots if trade.buyer_is_maker else trade.lots)
        if len(self._us) > 2 * self._keep:
            for column in (self._us, self._ticks, self._lots):
                del column[: self._keep]
            self._first_id += self._keep
        cost_tl = trade.ticks * trade.lots
        self._window.append((trade.us, cost_tl, trade.lots))
        self._cost_tl += cost_tl
        self._volume_lots += trade.lots
        self._leave_window(trade.us)
        self._add_to_minute(trade, cost_tl)

    @property
    def last(self) -> MarketTrade | None:
        """Return the latest trade, None before the first."""
        return self._at(len(self._us) - 1) if self._us else None

    def average(self, us: int) -> tuple[int, int] | None:
        """Return tick·lots and lots traded in the minutes before *us*; the last trade's if none; None before any."""
        self._leave_window(us)
        if self._volume_lots:
            return self._cost_tl, self._volume_lots
        last = self.last
        return None if last is None else (last.ticks * last.lots, last.lots)

    def latest(self, limit: int) -> list[MarketTrade]:
        """Return the last *limit* trades, oldest first."""
        return self._range(max(0, len(self._us) - limit), limit)

    def since_id(self, trade_id: int, limit: int) -> list[MarketTrade]:
        """Return up to *limit* trades from *trade_id* on, oldest first."""
        return self._range(max(0, trade_id - self._first_id), limit)

    def day(self, us: int) -> TradeBar | None:
        """Return the last 24 hours, counted in whole minutes; None without a trade."""
        bars = [bar for bar in self._minutes if bar.us > us - _DAY_MINUTES * _MINUTE_US - _MINUTE_US]
        return _joined(bars)

    def before(self, us: int) -> MarketTrade | None:
        """Return the last trade before an instant, None if none is kept."""
        at = bisect_left(self._us, us) - 1
        return self._at(at) if at >= 0 else None

    def _at(self, at: int) -> MarketTrade:
        lots = self._lots[at]
        return MarketTrade(self._first_id + at, self._us[at], self._ticks[at], abs(lots), lots < 0)

    def _range(self, start: int, limit: int) -> list[MarketTrade]:
        return [self._at(at) for at in range(start, min(start + limit, len(self._us)))]

    def _leave_window(self, us: int) -> None:
        while self._window and self._window[0][0] <= us - self._window_us:
            _, cost_tl, lots = self._window.popleft()
            self._cost_tl -= cost_tl
            self._volume_lots -= lots

    def _add_to_minute(self, trade: MarketTrade, cost_tl: int) -> None:
        minute_us = trade.us - trade.us % _MINUTE_US
        ticks, trade_id = trade.ticks, trade.trade_id
        bar = TradeBar(minute_us, ticks, ticks, ticks, ticks, trade.lots, cost_tl, trade_id, trade_id)
        if self._minutes and self._minutes[-1].us == minute_us:
            self._minutes[-1].join(bar)
        else:
            self._minutes.append(bar)


def _joined(bars: Sequence[TradeBar]) -> TradeBar | None:
    if not bars:
        return None
    whole = replace(bars[0])
    for bar in bars[1:]:
        whole.join(bar)
    return whole


class AggregateTrade(NamedTuple):
    """One aggregate trade: its id, the taker's side (+1 buy), price, quantity, first and last trade id, instant."""

    id: int
    side: int
    ticks: int
    lots: int
    first_id: int
    last_id: int
    us: int


class TradeAggregator:
    """Joins the trades of one taker order at one price; no trade of another order comes between them.

    Attributes:
        last_id: Id of the last aggregate trade that was opened; the next one has one more.
    """

    def __init__(self, last_id: int = 0) -> None:
        self.last_id = last_id
        self._open: AggregateTrade | None = None
        self._order_id = 0

    def trade(self, row: Row) -> AggregateTrade | None:
        """Take a TRADE row, and return the aggregate trade that it ends: that of another order or another price."""
        us, _, order_id, _, _, side, ticks, lots, trade_id, _ = row
        joined = self._open
        if joined and order_id == self._order_id and ticks == joined.ticks:
            self._open = joined._replace(lots=joined.lots + lots, last_id=trade_id)
            return None
        self.last_id += 1
        self._order_id = order_id
        self._open = AggregateTrade(self.last_id, side, ticks, lots, trade_id, trade_id, us)
        return joined

    def close(self) -> AggregateTrade | None:
        """Return the open aggregate trade, None without one: its order trades no more."""
        joined, self._open = self._open, None
        return joined

    def of(self, rows: Iterable[Row]) -> list[AggregateTrade]:
        """Return the aggregate trades of *rows*, which end with an order's last row, as every drained log does."""
        ended = [self.trade(row) for row in rows if row[1] == ROW_TRADE]
        return [joined for joined in (*ended, self.close()) if joined]


class AggregateHistory:
    """The latest aggregate trades; it needs all rows of an exchange, from its first trade on.

    Args:
        keep: Aggregate trades that are kept at least; the oldest are forgotten.
    """

    def __init__(self, keep: int = _KEEP_AGGREGATES) -> None:
        self._keep = keep
        self._aggregator = TradeAggregator()
        self._trades: list[AggregateTrade] = []

    def take(self, rows: list[Row]) -> None:
        """Take the next rows of the log."""
        self._trades += self._aggregator.of(rows)
        if len(self._trades) > 2 * self._keep:
            del self._trades[: -self._keep]

    def since_id(self, agg_id: int, limit: int) -> list[AggregateTrade]:
        """Return up to *limit* aggregate trades from *agg_id* on, oldest first."""
        start = bisect_left(self._trades, agg_id, key=lambda trade: trade.id)
        return self._trades[start : start + limit]

    def within(self, span: Span, limit: int) -> list[AggregateTrade]:
        """Return up to *limit* aggregate trades of a stretch of time, oldest first."""
        return within(self._trades, span, limit, lambda trade: trade.us)
