"""Klines: bars of trades or mark prices on the exchange's intervals, without holes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from mm.clock import US_PER_S
from mm.sim.exchange.accounts import DAY_US, MINUTE_US
from mm.sim.exchange.trades import TimeSpan, TradeBar

HOUR_US = 60 * MINUTE_US
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONDAY_US = 4 * DAY_US  # 1970-01-05
_LENGTHS_US = {
    "1s": US_PER_S,
    **{f"{count}m": count * MINUTE_US for count in (1, 3, 5, 15, 30)},
    **{f"{count}h": count * HOUR_US for count in (1, 2, 4, 6, 8, 12)},
    "1d": DAY_US,
    "3d": 3 * DAY_US,
    "1w": 7 * DAY_US,
}
INTERVALS = (*_LENGTHS_US, "1M")
"""Names of the exchange's intervals; contracts have no ``1s``."""


class BarSource(Protocol):
    @property
    def first_us(self) -> int | None: ...

    def between(self, begin_us: int, end_us: int) -> TradeBar | None: ...

    def close_before(self, us: int) -> int | None: ...


class Kline(NamedTuple):
    """A bar on [us, end_us); without a trade it has the last close as its prices, and no volume."""

    us: int
    end_us: int
    bar: TradeBar


class Intervals(NamedTuple):
    """The intervals of one name, at a time zone's shift from UTC, µs."""

    name: str
    shift_us: int = 0

    def begin(self, us: int) -> int:
        local_us = us + self.shift_us
        if self.name == "1M":
            at = _EPOCH + timedelta(microseconds=local_us)
            return _us(at.year, at.month) - self.shift_us
        length_us = _LENGTHS_US[self.name]
        origin_us = _MONDAY_US if self.name == "1w" else 0
        return us - (local_us - origin_us) % length_us

    def end(self, begin_us: int) -> int:
        if self.name == "1M":
            at = _EPOCH + timedelta(microseconds=begin_us + self.shift_us)
            return _us(at.year + at.month // 12, at.month % 12 + 1) - self.shift_us
        return begin_us + _LENGTHS_US[self.name]


def klines(source: BarSource, intervals: Intervals, span: TimeSpan, limit: int, now_us: int) -> list[Kline]:
    """Return them oldest first, up to *now_us*: the first ones if the span has a start, else the last."""
    first_us = source.first_us
    if first_us is None:
        return []
    earliest_us = intervals.begin(first_us)
    latest_us = intervals.begin(now_us if span.end_us is None else min(now_us, span.end_us))
    if span.start_us is None:
        begin_us = latest_us
        for _ in range(limit - 1):
            if begin_us <= earliest_us:
                break
            begin_us = intervals.begin(begin_us - 1)
    else:
        begin_us = intervals.begin(span.start_us)
        begin_us = begin_us if begin_us == span.start_us else intervals.end(begin_us)
    return list(_filled(source, intervals, (max(begin_us, earliest_us), latest_us), limit))


def _filled(source: BarSource, intervals: Intervals, begins_us: tuple[int, int], limit: int) -> Iterator[Kline]:
    begin_us, latest_us = begins_us
    close_ticks = source.close_before(begin_us)
    for _ in range(limit):
        if begin_us > latest_us:
            return
        end_us = intervals.end(begin_us)
        bar = source.between(begin_us, end_us)
        if bar is None and close_ticks is not None:
            bar = without_trades(begin_us, close_ticks)
        if bar:
            yield Kline(begin_us, end_us, bar)
            close_ticks = bar.close_ticks
        begin_us = end_us


def without_trades(us: int, ticks: int) -> TradeBar:
    return TradeBar(us, ticks, ticks, ticks, ticks, 0, 0, -1, -1, 0)


def _us(year: int, month: int) -> int:
    return (datetime(year, month, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
