"""The feed of another market, and a trade of it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mm.dayfolder.contract_rows import ContractRow
from mm.instrument import Instrument
from mm.tape.tape import Tape


class OtherFeed(NamedTuple):
    """The feed of another market.

    Attributes:
        tapes: Empty in a live market, which feeds it.
        delay_us: From an event's instant to its arrival.
        notes: For a reader of the results.
        feed_latency_ms: The delay, if events are at exchange time; None at receive time.
        span: Of the run (µs), which limits the account of orders there.
        opening: A live market's first book, which gives the terms of orders there.
        told: Its recorded contract rows, in order of arrival.
        strict_clock: Late until our clock is measured against its exchange's, as live.
    """

    grid: Instrument
    tapes: tuple[Tape, ...] = ()
    delay_us: int = 0
    notes: tuple[str, ...] = ()
    feed_latency_ms: float | None = None
    span: tuple[int, int] | None = None
    opening: Tape | None = None
    strict_clock: bool = False
    told: Callable[[], Sequence[ContractRow]] = tuple

    @property
    def first(self) -> Tape:
        """The tape that gives the terms of orders there."""
        return self.opening or self.tapes[0]

    @property
    def step_lots(self) -> int:
        return self.first.step_lots if self.opening or self.tapes else 1

    def within_run(self) -> tuple[Tape, ...]:
        if self.span is None:
            return self.tapes
        start_us, end_us = self.span
        inside = [tape for tape in self.tapes if tape.start_us <= end_us and tape.end_us >= start_us]
        return tuple(
            tape if tape.start_us >= start_us and tape.end_us <= end_us else tape.between(start_us, end_us + 1)
            for tape in inside
        )

    def described(self) -> dict[str, Any]:
        late = {} if self.feed_latency_ms is None else {"feed_latency_ms": self.feed_latency_ms}
        days = [day for tape in self.tapes for day in tape.days]
        return {"symbol": self.grid.symbol, "days": days, **late, "notes": list(self.notes)}


class OtherTrade(NamedTuple):
    """A trade of another market.

    Attributes:
        side: Aggressor's, +1 buyer, -1 seller.
        ticks, lots: In that market's units.
    """

    us: int
    side: int
    ticks: int
    lots: float
