"""The feed of another market, and a trade of it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mm.dayfolder.contract_rows import ContractRow
from mm.instrument import Instrument
from mm.tape.tape import Tape


class OtherFeed(NamedTuple):
    """The feed of another market.

    Attributes:
        grid: Its price and quantity steps.
        tapes: Its days in order of time; empty in a live market, which feeds it.
        delay_us: Time from an event's instant on the tape until it arrives.
        notes: What a reader of the results must know of it.
        feed_latency_ms: The delay, if its events are at their exchange time; None if they are at their receive time.
        span: First and last instant of the run, µs, to which the account of orders there is limited; None: no limit.
        opening: The first book of a live market, from which the terms of orders there follow.
        told: Returns what was recorded of it as a contract beside book and trades, in order of arrival.
        strict_clock: Whether it is late until our clock was measured against its exchange's, as a live market.
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
        """The tape from which the terms of orders there follow."""
        return self.opening or self.tapes[0]

    @property
    def step_lots(self) -> int:
        """Lots of its tapes in an order step."""
        return self.first.step_lots if self.opening or self.tapes else 1

    def within_run(self) -> tuple[Tape, ...]:
        """Return the parts of its tapes within the span of the run."""
        if self.span is None:
            return self.tapes
        start_us, end_us = self.span
        inside = [tape for tape in self.tapes if tape.start_us <= end_us and tape.end_us >= start_us]
        return tuple(
            tape if tape.start_us >= start_us and tape.end_us <= end_us else tape.between(start_us, end_us + 1)
            for tape in inside
        )

    def described(self) -> dict[str, Any]:
        """Return its description in a summary."""
        late = {} if self.feed_latency_ms is None else {"feed_latency_ms": self.feed_latency_ms}
        days = [day for tape in self.tapes for day in tape.days]
        return {"symbol": self.grid.symbol, "days": days, **late, "notes": list(self.notes)}


class OtherTrade(NamedTuple):
    """A trade of another market.

    Attributes:
        side: The aggressor's, +1 buyer, -1 seller.
        ticks, lots: Price and quantity, in that market's ticks and lots.
    """

    us: int
    side: int
    ticks: int
    lots: float
