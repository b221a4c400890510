"""The feed of another market, and its trades."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mm.dayfolder.contract_rows import ContractRow
from mm.instrument import Instrument
from mm.tape.tape import Tape


class OtherFeed(NamedTuple):
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
    us: int
    side: int
    ticks: int
    lots: float
