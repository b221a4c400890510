"""When a strategy may quote: while the market is open, and after its training."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mm.backtest.preset import Hours
from mm.clock import US_PER_S
from mm.errors import UsageError

if TYPE_CHECKING:
    from mm.tape.tape import Tape

NEVER = 2**62
"""No instant: later than all."""

_WEEK_US = 7 * 24 * 3600 * US_PER_S


@dataclass(frozen=True, slots=True)
class TradingTime:
    """Time in which a strategy may not quote has no market.

    Attributes:
        begins_us: End of the training before a schedule's first segment.
    """

    hours: Hours | None
    begins_us: int = 0

    @classmethod
    def of(cls, quotes: object, hours: Hours | None) -> "TradingTime":
        return cls(hours, getattr(quotes, "begins_us", 0))

    def is_closed(self, us: int) -> bool:
        return self.hours is not None and not self.hours.is_open(us)

    def is_within(self, us: int) -> bool:
        return us >= self.begins_us and not self.is_closed(us)

    def turns(self, from_us: int, to_us: int) -> list[int]:
        turns = set() if self.hours is None else set(self.hours.borders(from_us, to_us))
        if from_us < self.begins_us <= to_us:
            turns.add(self.begins_us)
        return sorted(turns)

    def next_turn(self, us: int) -> int:
        """Return the next opening or closing, at most a week later, or the end of a training."""
        return min([*self.turns(us, us + _WEEK_US)[:1], self.begins_us if self.begins_us > us else NEVER])


def open_parts(tapes: "Iterable[Tape]", hours: Hours | None) -> "tuple[Tape, ...]":
    """Return the parts of the tapes in which the market is open; UsageError if there is none."""
    if hours is None:
        return tuple(tapes)
    days = list(tapes)
    parts = [tape.between(*span) for tape in days for span in hours.open_spans(tape.start_us, tape.end_us)]
    if not parts:
        names = ",".join(day for tape in days for day in tape.days)
        raise UsageError("{preset}: the market is closed in all of {} {}", days[0].symbol, names)
    return tuple(parts)
