"""Reference prices from which distances are measured, as values and as paths over a day.

Distances are whole numbers: half ticks from the mid, eighths of a tick from the micro-price (rounded half to even),
ticks from the side's own best price. An order's distance and its side's best price's always differ by whole ticks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from mm.base.arrays import Floats, Ints, Mask
from mm.clock import US_PER_S
from mm.errors import UsageError

if TYPE_CHECKING:
    from mm.tape.tape import Tape


PER_TICK = {"mid": 2, "micro": 8, "best": 1, "sweep": 1}  # steps of distance in one tick, by reference
OWN_BEST = ("best", "sweep")  # the side's own best price: displayed, or at the first print of an aggressive order
AUTO = "auto"  # the reference with the best predictions over whole days
BLOCK_S = 300.0  # points of one block may be dependent
BLOCK_US = round(BLOCK_S * US_PER_S)
SETTLED_S = 5  # from a fill to the mid that measures the move after it
CLOSED = -1  # in place of a distance if there is no valid book
BEFORE_ALL = -(1 << 62)


def check_reference(reference: str) -> str:
    if reference == AUTO:
        raise UsageError(
            "{reference} is {}, which mm calibrate chooses on whole days; for windows choose one of {}",
            AUTO,
            ", ".join(PER_TICK),
        )
    if reference not in PER_TICK:
        raise UsageError("{reference} is {!r}; choose one of {}", reference, ", ".join(PER_TICK))
    return reference


@dataclass(frozen=True)
class ReferencePath:
    """Reference and own best prices over a tape, one row whenever one of them changes.

    Row 0 is the time before the first book. A book that is one-sided, empty or crossed has no reference.

    Attributes:
        reference: By side (+1 buys, -1 sells), in steps.
        touch: By side, distance of the own best price in steps; ``CLOSED`` without a book.
        first_print: Whether sweeps' depths count from their first print instead of the displayed best price.
    """

    per_tick: int
    event: Ints
    us: Ints
    mid2: Ints
    reference: dict[int, Ints]
    touch: dict[int, Ints]
    spread: Ints
    first_print: bool = False

    def row_before_event(self, events: Ints) -> Ints:
        rows: Ints = np.searchsorted(self.event, events) - 1
        return rows

    def row_at(self, us: Ints, mid2: Ints) -> Ints:
        rows = np.searchsorted(self.us, us, side="right") - 1
        while True:
            wrong = (self.us[rows] == us) & (self.mid2[rows] != mid2)
            if not wrong.any():
                return rows
            rows = rows - wrong

    def rows(self, start_us: int, end_us: int) -> slice:
        first = int(np.searchsorted(self.us, start_us, side="right")) - 1
        return slice(first, max(int(np.searchsorted(self.us, end_us, side="left")), first + 1))

    def spread_time(self, start_us: int, end_us: int) -> tuple[float, float]:
        """Tick-seconds of the spread, and the seconds with a book."""
        first_us = int(self.us[min(1, self.us.size - 1)])
        (ticks, seconds), (later_ticks, later_s) = (self._spread_until(max(us, first_us)) for us in (start_us, end_us))
        return later_ticks - ticks, later_s - seconds

    def _spread_until(self, us: int) -> tuple[float, float]:
        row = int(self.us.searchsorted(us, side="right")) - 1
        spread, lasted_s = int(self.spread[row]), (us - int(self.us[row])) / US_PER_S
        ticks, seconds = self._spread_sums[:, row].tolist()
        return ticks + lasted_s * spread, seconds + lasted_s * (spread > 0)

    @cached_property
    def _spread_sums(self) -> Floats:
        lasted_s = np.diff(self.us) / US_PER_S
        lasted_s[:1] = 0.0  # before the first book
        sums = np.zeros((2, self.us.size))
        np.cumsum(np.stack((self.spread[:-1] * lasted_s, (self.spread[:-1] > 0) * lasted_s)), axis=1, out=sums[:, 1:])
        return sums

    def segments(self, start_us: int, end_us: int, block_us: int | None = None) -> tuple[Ints, Ints, Ints]:
        block_us = end_us - start_us + 1 if block_us is None else block_us
        rows = self.rows(start_us, end_us)
        first, last = rows.start, rows.stop
        begins = self.us[rows].copy()
        begins[0] = start_us
        cuts = np.arange(start_us + block_us, end_us, block_us, dtype=np.int64)
        if not cuts.size:
            return np.append(begins, end_us), np.arange(first, last), np.zeros(last - first, np.int64)
        at = np.searchsorted(begins, cuts, side="right")
        held = np.insert(np.arange(first, last), at, first + at - 1)
        edges = np.append(np.insert(begins, at, cuts), end_us)
        return edges, held, (edges[:-1] - start_us) // block_us


def later(path: ReferencePath, us: Ints, row: Ints, after_s: int = SETTLED_S) -> tuple[Ints, Mask]:
    then = np.searchsorted(path.us, us + after_s * US_PER_S, side="right") - 1
    if not len(row):
        return then, np.zeros(0, bool)
    first = int(row.min())
    breaks = np.cumsum(path.touch[1][first : int(then.max()) + 1] == CLOSED)
    return then, (breaks[then - first] == breaks[row - first]) & (path.touch[1][row] != CLOSED)


def book_spans(tape: "Tape", end_us: int) -> Ints:
    valid = (tape.top_bid_ticks > 0) & (tape.top_bid_ticks < tape.top_ask_ticks)
    changes = np.flatnonzero(np.diff(valid.astype(np.int8), prepend=0, append=0))
    us = tape.event_us[tape.top_event[changes[changes < len(valid)]]]
    us = np.append(us, end_us) if valid[-1:].any() else us
    spans: Ints = np.clip(us, tape.start_us, max(end_us, tape.start_us)).reshape(-1, 2)
    return spans[spans[:, 0] < spans[:, 1]]


def span_of(tape: "Tape") -> tuple[int, int]:
    last_us = int(tape.event_us[-1]) + 1 if tape.event_us.size else tape.end_us
    return tape.start_us, max(tape.end_us, last_us)


def block_length_us(block_s: float) -> int:
    if not 1 <= block_s * US_PER_S < 1e15:
        raise UsageError(f"blocks of {block_s} s cannot be counted; give a length above 0")
    return round(block_s * US_PER_S)


def within(span: tuple[int, int], start_us: int, end_us: int) -> tuple[int, int]:
    start_us = max(start_us, span[0])
    return start_us, max(min(end_us, span[1]), start_us)


def reference_path(tape: "Tape", reference: str) -> ReferencePath:
    """Return the path of *reference* (``mid``, ``micro``, ``best`` or ``sweep``) over *tape*.

    Changes of best quantities that change neither a best price nor the reference add no row.
    """
    return reference_paths(tape, (reference,))[reference]


def reference_paths(tape: "Tape", references: Sequence[str]) -> dict[str, ReferencePath]:
    bid, ask = tape.top_bid_ticks, tape.top_ask_ticks
    moved = np.ones(bid.size, np.bool_)
    moved[1:] = (bid[1:] != bid[:-1]) | (ask[1:] != ask[:-1])
    prices = _Moved.of(tape, moved) if {*references} - {"micro"} else None
    paths = {}
    for reference in references:
        if check_reference(reference) != "micro" and prices is not None:
            both = (prices.bid, prices.ask) if reference in OWN_BEST else (prices.bid + prices.ask,) * 2
            path = prices.path(PER_TICK[reference], *both)
            paths[reference] = replace(path, first_print=reference == "sweep")
            continue
        micro = _micro(tape)
        moved[1:] |= micro[1:] != micro[:-1]
        paths[reference] = _Moved.of(tape, moved).path(PER_TICK[reference], micro[moved], micro[moved])
    return paths


@dataclass(frozen=True, slots=True)
class _Moved:
    bid: Ints
    ask: Ints
    valid: Mask
    event: Ints
    us: Ints
    mid2: Ints
    spread: Ints

    @classmethod
    def of(cls, tape: "Tape", moved: Mask) -> Self:
        bid, ask, event = tape.top_bid_ticks[moved], tape.top_ask_ticks[moved], tape.top_event[moved]
        valid = (bid > 0) & (bid < ask)
        return cls(
            bid=bid,
            ask=ask,
            valid=valid,
            event=np.concatenate(([BEFORE_ALL], event)),
            us=np.concatenate(([BEFORE_ALL], tape.event_us[event])),
            mid2=np.concatenate(([0], bid + ask)),
            spread=np.concatenate(([0], np.where(valid, ask - bid, 0))),
        )

    def path(self, per_tick: int, buy: Ints, sell: Ints) -> ReferencePath:
        touch = {1: buy - per_tick * self.bid, -1: per_tick * self.ask - sell}
        return ReferencePath(
            per_tick=per_tick,
            event=self.event,
            us=self.us,
            mid2=self.mid2,
            reference={side: np.concatenate(([0], path)) for side, path in ((1, buy), (-1, sell))},
            touch={
                side: np.concatenate(([CLOSED], np.where(self.valid, path, CLOSED))) for side, path in touch.items()
            },
            spread=self.spread,
        )


def _micro(tape: "Tape") -> Ints:
    bid, ask = tape.top_bid_ticks, tape.top_ask_ticks
    valid = (bid > 0) & (bid < ask)
    lots = np.where(valid, tape.top_bid_lots + tape.top_ask_lots, 1)
    above_bid = np.rint(PER_TICK["micro"] * (ask - bid) * (tape.top_bid_lots / lots)).astype(np.int64)
    micro: Ints = PER_TICK["micro"] * bid + above_bid
    return micro
