"""Aggressive orders: which prints are one sweep, and how deep it would have filled an order of ours.

An order of q lots rests at a price with a share of the displayed lots ahead of it. A sweep hits it when
the lots that print beyond its price are q or more (whoever was ahead of it there is gone by then), or,
with ``touch``, when those at its price or beyond are q and what is ahead of it. The deepest price that
is hit says it for all: every nearer one is hit too.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mm.calibration.displayed import Displayed
from mm.errors import UsageError

if TYPE_CHECKING:
    from mm.calibration.reference import ReferencePath
    from mm.tape.tape import Tape

Ints = NDArray[np.int64]

HITS = ("touch", "strict")
NOWHERE = 1 << 40  # ticks: the deepest price of a sweep that is smaller than the order


@dataclass(frozen=True, slots=True)
class HitRule:
    """What counts as a hit.

    Attributes:
        hit: ``touch`` (prints at the price or beyond count) or ``strict`` (beyond only).
        order_e8: Quantity that a sweep must bring, in 1e-8 of the base asset; 0 for any.
        queue_ahead: Share of the lots displayed at the price before the sweep that fill before the
            order, from 0 (it is first) to 1 (it is last); with ``strict`` the whole queue is.
        grouped: Whether prints of one side and trade time are one sweep; otherwise each print is.
    """

    hit: str = "touch"
    order_e8: int = 0
    queue_ahead: float = 0.0
    grouped: bool = True

    def __post_init__(self) -> None:
        if self.hit not in HITS:
            raise UsageError(f"CALIB_HIT (--calib-hit) is {self.hit!r}; choose one of {', '.join(HITS)}")
        if self.order_e8 < 0:
            raise UsageError(f"CALIB_ORDER_QTY (--calib-order-qty) is {self.order_e8} (1e-8); give 0 or more")
        if not 0 <= self.queue_ahead <= 1:
            raise UsageError(f"CALIB_QUEUE_AHEAD (--calib-queue-ahead) is {self.queue_ahead}; give a share, 0 to 1")
        if self.queue_ahead and self.hit == "strict":
            raise UsageError(
                f"CALIB_QUEUE_AHEAD (--calib-queue-ahead) is {self.queue_ahead:g} with CALIB_HIT=strict, which lets "
                f"the whole queue fill first; take touch, or 0"
            )

    def lots(self, lot_e8: int) -> int:
        """Return the lots that a sweep must bring, 1 or more."""
        return max(-(-self.order_e8 // lot_e8), 1)

    @property
    def plain(self) -> bool:
        """Whether one print of any size is enough: no quantity, no queue."""
        return self.order_e8 == 0 and self.queue_ahead == 0


@dataclass(frozen=True, slots=True)
class Reached:
    """The sweeps of a window, in the order of the tape.

    Attributes:
        us: When the first print of each in the window came.
        row: Row of the reference path in force just before it.
        depth: Distance of the deepest price that it hits, in steps; far below 0 where it hits none.
    """

    us: Ints
    row: Ints
    depth: Ints


class Sweeps:
    """The sweeps that hit the probes of one side of a tape; any window of them."""

    def __init__(self, tape: "Tape", path: "ReferencePath", side: int, rule: HitRule) -> None:
        """Take the prints whose aggressor hits the orders of *side*, in the order of the tape."""
        mine = tape.trade_side == -side
        self._events, ticks = tape.trades[mine], tape.trade_ticks[mine]
        self._rule, self._side, self._path = rule, side, path
        self._us = tape.event_us[self._events]
        self._signed_ticks = side * ticks  # the deepest print has the least
        self._opens = np.flatnonzero(begins(tape.event_exch_us[self._events]) if rule.grouped else np.ones(ticks.size))
        self._row = path.row_before_event(self._events)
        self._lots, self._needed = tape.trade_lots[mine], rule.lots(tape.instrument.lot_e8)
        self._displayed = Displayed(tape, side, np.unique(ticks)) if rule.queue_ahead else None

    def prints(self, start_us: int, end_us: int) -> int:
        """Return the number of prints in a window."""
        first, last = np.searchsorted(self._us, (start_us, end_us))
        return int(last - first)

    def between(self, start_us: int, end_us: int) -> Reached:
        """Return the sweeps in a window, each cut to its prints in the window."""
        first, last = np.searchsorted(self._us, (start_us, end_us))
        if first == last:
            return Reached(self._us[:0], self._row[:0], self._us[:0])
        begin, end = np.searchsorted(self._opens, (first + 1, last))
        opens = np.concatenate(([first], self._opens[begin:end]))
        row = self._row[opens]
        reference = self._side * self._path.reference[self._side][row]
        deepest = self._path.per_tick * self._deepest(opens, int(first), int(last))
        return Reached(self._us[opens], row, reference - deepest)

    def _deepest(self, opens: Ints, first: int, last: int) -> Ints:
        """Return the deepest price that each sweep hits, in signed ticks."""
        ticks = self._signed_ticks[first:last]
        if self._rule.plain:
            deepest = np.minimum.reduceat(ticks, opens - first)
            return deepest + (self._rule.hit == "strict")
        sweep = np.repeat(np.arange(opens.size), np.diff(np.append(opens, last)))
        deepest = deepest_with(sweep, ticks, self._lots[first:last], self._needed)
        if self._displayed is None:
            return deepest + (self._rule.hit == "strict")
        within = ticks <= deepest[sweep]
        brought = np.bincount(sweep[within], self._lots[first:last][within], opens.size)
        places = np.where(deepest == NOWHERE, 0, self._side * deepest)
        ahead = self._rule.queue_ahead * self._displayed.lots(places, self._events[opens])
        return deepest + (brought < ahead + self._needed)


def begins(trade_us: Ints) -> NDArray[np.bool_]:
    """Return which prints of one side begin a sweep; 0 is a trade time that is not known: such a print is alone."""
    new = np.concatenate(([True], trade_us[1:] != trade_us[:-1]))[: trade_us.size]
    opens: NDArray[np.bool_] = new | (trade_us == 0)
    return opens


def deepest_with(sweep: Ints, signed_ticks: Ints, lots: Ints, needed: int) -> Ints:
    """Return for each sweep the deepest price at or beyond which *needed* lots print; ``NOWHERE`` for none.

    Args:
        sweep: Number of each print's sweep, rising from 0.
        signed_ticks: Prices, least at the deepest.
        lots: Of each print.
        needed: Lots of the order.
    """
    order = np.lexsort((signed_ticks, sweep))
    summed = np.cumsum(lots[order])
    counts = np.bincount(sweep)
    ends = np.cumsum(counts)
    before = np.concatenate(([0], summed[ends[:-1] - 1]))
    enough = np.flatnonzero(summed - np.repeat(before, counts) >= needed)
    first = np.searchsorted(enough, np.concatenate(([0], ends[:-1])))
    at = enough[np.minimum(first, enough.size - 1)] if enough.size else np.zeros(counts.size, np.int64)
    found = (first < enough.size) & (at < ends)
    return np.where(found, signed_ticks[order][at], NOWHERE)
