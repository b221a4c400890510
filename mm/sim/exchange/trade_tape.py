"""The trades of a symbol as market data asks for them: by id, the latest, the mean price, the last day."""

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mm.clock import US_PER_S

_MINUTE_US = 60 * US_PER_S
_DAY_MINUTES = 24 * 60


class Trade(NamedTuple):
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
class Bar:
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

    def join(self, later: "Bar") -> None:
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

    def __init__(self, average_mins: int, keep: int = 500_000) -> None:
        self._window_us = average_mins * _MINUTE_US
        self._keep = keep
        self._us = array("q")
        self._ticks = array("q")
        self._lots = array("q")  # of the taker's side: negative where the buyer's order rested
        self._first_id = 0
        self._window: deque[tuple[int, int, int]] = deque()
        self._cost_tl = self._volume_lots = 0
        self._minutes: deque[Bar] = deque(maxlen=_DAY_MINUTES + 1)

    def add(self, trade: Trade) -> None:
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
    def last(self) -> Trade | None:
        """Return the latest trade, None before the first."""
        return self._at(len(self._us) - 1) if self._us else None

    def average(self, us: int) -> tuple[int, int] | None:
        """Return tick·lots and lots traded in the minutes before *us*; the last trade's if none; None before any."""
        self._leave_window(us)
        if self._volume_lots:
            return self._cost_tl, self._volume_lots
        last = self.last
        return None if last is None else (last.ticks * last.lots, last.lots)

    def latest(self, limit: int) -> list[Trade]:
        """Return the last *limit* trades, oldest first."""
        return self._range(max(0, len(self._us) - limit), limit)

    def since_id(self, trade_id: int, limit: int) -> list[Trade]:
        """Return up to *limit* trades from *trade_id* on, oldest first."""
        return self._range(max(0, trade_id - self._first_id), limit)

    def day(self, us: int) -> Bar | None:
        """Return the last 24 hours, counted in whole minutes; None without a trade."""
        bars = [bar for bar in self._minutes if bar.us > us - _DAY_MINUTES * _MINUTE_US - _MINUTE_US]
        return _joined(bars)

    def before(self, us: int) -> Trade | None:
        """Return the last trade before an instant, None if none is kept."""
        at = bisect_left(self._us, us) - 1
        return self._at(at) if at >= 0 else None

    def _at(self, at: int) -> Trade:
        lots = self._lots[at]
        return Trade(self._first_id + at, self._us[at], self._ticks[at], abs(lots), lots < 0)

    def _range(self, start: int, limit: int) -> list[Trade]:
        return [self._at(at) for at in range(start, min(start + limit, len(self._us)))]

    def _leave_window(self, us: int) -> None:
        while self._window and self._window[0][0] <= us - self._window_us:
            _, cost_tl, lots = self._window.popleft()
            self._cost_tl -= cost_tl
            self._volume_lots -= lots

    def _add_to_minute(self, trade: Trade, cost_tl: int) -> None:
        minute_us = trade.us - trade.us % _MINUTE_US
        ticks, trade_id = trade.ticks, trade.trade_id
        bar = Bar(minute_us, ticks, ticks, ticks, ticks, trade.lots, cost_tl, trade_id, trade_id)
        if self._minutes and self._minutes[-1].us == minute_us:
            self._minutes[-1].join(bar)
        else:
            self._minutes.append(bar)


def _joined(bars: Sequence[Bar]) -> Bar | None:
    if not bars:
        return None
    first = bars[0]
    whole = Bar(
        first.us,
        first.open_ticks,
        first.high_ticks,
        first.low_ticks,
        first.close_ticks,
        first.volume_lots,
        first.turnover_tl,
        first.first_id,
        first.last_id,
    )
    for bar in bars[1:]:
        whole.join(bar)
    return whole
