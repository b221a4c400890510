"""Aggressive orders: grouping of prints into sweeps, and the depth to which a sweep would have filled our orders.

An order of q lots rests with a share of the displayed lots ahead of it. A sweep hits it if at least q lots print beyond
its price (all orders ahead have then been filled), or, with ``touch``, at least q plus the lots ahead at its price or
beyond.
"""

from bisect import bisect_right
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mm.base.arrays import Ints, Mask
from mm.errors import UsageError
from mm.tape.tape import KEYFRAME, SNAPSHOT, TRADE

if TYPE_CHECKING:
    from mm.backtest.fills.base import OrderView, TradeView
    from mm.calibration.reference import ReferencePath
    from mm.tape.tape import Tape

HITS = ("touch", "strict")
NOWHERE = 1 << 40  # ticks: deepest price of a sweep that is smaller than the order


@dataclass(frozen=True, slots=True)
class HitRule:
    """Definition of a hit.

    Attributes:
        hit: ``touch`` (prints at the price or beyond count) or ``strict`` (beyond only).
        order_e8: Least quantity of a sweep, 1e-8 of the base asset; 0 for any.
        queue_ahead: Share of the lots displayed before the sweep that fill first, from 0 (we are first) to 1; with
            ``strict`` all do.
    """

    hit: str = "touch"
    order_e8: int = 0
    queue_ahead: float = 0.0
    grouped: bool = True

    def __post_init__(self) -> None:
        if self.hit not in HITS:
            raise UsageError(f"hit is {self.hit!r}; choose one of {', '.join(HITS)}")
        if self.order_e8 < 0:
            raise UsageError("{order_e8} is {}; give 0 or more", self.order_e8)
        if not 0 <= self.queue_ahead <= 1:
            raise UsageError("{queue_ahead} is {}; give a share, 0 to 1", self.queue_ahead)
        if self.queue_ahead and self.hit == "strict":
            raise UsageError(
                "{queue_ahead} is {:g} with strict hits, which let the whole queue fill first; take touch, or 0",
                self.queue_ahead,
            )

    def lots(self, lot_e8: int) -> int:
        return max(-(-self.order_e8 // lot_e8), 1)

    @property
    def plain(self) -> bool:
        return self.order_e8 == 0 and self.queue_ahead == 0


class Displayed:
    """The lots displayed on one side just before any event, at given prices."""

    def __init__(self, tape: "Tape", side: int, ticks: Ints) -> None:
        event = np.repeat(np.arange(len(tape)), np.diff(tape.first_row))
        rows = slice(int(tape.first_row[0]), int(tape.first_row[-1]))  # a window shares the rows of its day
        row_ticks = tape.row_ticks[rows]
        wanted = (tape.row_side[rows] == side) & (tape.kind[event] != TRADE) & np.isin(row_ticks, ticks)
        self._stride = len(tape) + 1
        self._low = int(ticks.min(initial=0))
        keys = self._keys(row_ticks[wanted], event[wanted])
        order = np.argsort(keys, kind="stable")
        self._sorted, self._lots = keys[order], tape.row_lots[rows][wanted][order]
        whole = (tape.kind == SNAPSHOT) | (tape.kind == KEYFRAME)
        self._whole = np.append(0, np.flatnonzero(whole))

    def lots(self, ticks: Ints, events: Ints) -> Ints:
        if not self._lots.size:
            return np.zeros(ticks.size, np.int64)
        at = np.searchsorted(self._sorted, self._keys(ticks, events)) - 1
        since = self._whole[np.searchsorted(self._whole, events) - 1]  # rows before a whole book are not part of it
        displayed = (at >= 0) & (self._sorted[at] >= self._keys(ticks, since))
        return np.where(displayed, self._lots[at], 0)

    def _keys(self, ticks: Ints, events: Ints) -> Ints:
        keys: Ints = (ticks - self._low) * self._stride + events
        return keys


@dataclass(frozen=True, slots=True)
class Reached:
    """The sweeps of a window, in the order of the tape.

    Attributes:
        depth: Deepest hit price, in steps; far below 0 for none.
    """

    us: Ints
    row: Ints
    depth: Ints


class Sweeps:
    """The sweeps that hit one side's probes, cut to any window."""

    def __init__(self, tape: "Tape", path: "ReferencePath", side: int, rule: HitRule) -> None:
        hitting = tape.trade_side == -side
        self._events, ticks = tape.trades[hitting], tape.trade_ticks[hitting]
        self._rule, self._side, self._path = rule, side, path
        self._us = tape.event_us[self._events]
        self._signed_ticks = side * ticks  # the deepest print has the smallest value
        self._opens = np.flatnonzero(begins(tape.event_exch_us[self._events]) if rule.grouped else np.ones(ticks.size))
        self._stops = np.append(self._opens, len(self._us))
        self._row = path.row_before_event(self._events)
        self._lots, self._needed = tape.trade_lots[hitting], rule.lots(tape.instrument.lot_e8)
        self._displayed = Displayed(tape, side, np.unique(ticks)) if rule.queue_ahead else None

    def along(self, path: "ReferencePath") -> "Sweeps":
        sweeps = copy(self)
        sweeps._path, sweeps._deepest_of_all = path, self._deepest_of_all
        if path.event is not self._path.event:
            sweeps._row = path.row_before_event(self._events)
        vars(sweeps).pop("whole", None)
        return sweeps

    @cached_property
    def _deepest_of_all(self) -> Ints:
        return self._deepest(self._opens, 0, len(self._us)) if len(self._us) else self._opens

    @cached_property
    def whole(self) -> Reached:
        return self._reached(self._opens, self._deepest_of_all)

    def prints(self, start_us: int, end_us: int) -> int:
        first, last = np.searchsorted(self._us, (start_us, end_us))
        return int(last - first)

    def cut_at(self, us: int) -> int | None:
        """When a sweep begins that has prints on both sides of *us*; None without one."""
        at = int(self._us.searchsorted(us))
        sweep = int(self._opens.searchsorted(at, side="right")) - 1
        cut = sweep >= 0 and self._opens[sweep] < at < self._stops[sweep + 1]
        return int(self._us[self._opens[sweep]]) if cut else None

    def begun(self, start_us: int, end_us: int) -> slice:
        first, last = self._us.searchsorted((start_us, end_us))
        return slice(int(self._opens.searchsorted(first)), int(self._opens.searchsorted(last)))

    def between(self, start_us: int, end_us: int) -> Reached:
        first, last = self._us.searchsorted((start_us, end_us)).tolist()
        begun, stops = self.begun(start_us, end_us), self._stops
        tail = first < min(stops[begun.start], last)
        cut = begun.start < begun.stop and stops[begun.stop] > last
        parts = [self._part(first, min(int(stops[begun.start]), last))] if tail else []
        whole = slice(begun.start, begun.stop - cut)
        parts.append(Reached(*(getattr(self.whole, name)[whole] for name in Reached.__slots__)))
        if cut:
            parts.append(self._part(int(stops[begun.stop - 1]), last))
        if len(parts) == 1:
            return parts[0]
        return Reached(*(np.concatenate([getattr(part, name) for part in parts]) for name in Reached.__slots__))

    def _part(self, first: int, last: int) -> Reached:
        opens = np.array([first])
        return self._reached(opens, self._deepest(opens, first, last))

    def _reached(self, opens: Ints, deepest: Ints) -> Reached:
        row = self._row[opens]
        if self._path.first_print:
            return Reached(self._us[opens], row, self._signed_ticks[opens] - deepest)
        reference = self._side * self._path.reference[self._side][row]
        return Reached(self._us[opens], row, reference - self._path.per_tick * deepest)

    def _deepest(self, opens: Ints, first: int, last: int) -> Ints:
        ticks = self._signed_ticks[first:last]
        if self._rule.plain:
            deepest = np.minimum.reduceat(ticks, opens - first)
            return deepest + (self._rule.hit == "strict")
        sweep = np.repeat(np.arange(opens.size), np.diff(np.append(opens, last)))
        deepest = deepest_with(sweep, ticks, self._lots[first:last], self._needed)
        if self._displayed is None:
            return deepest + (self._rule.hit == "strict")
        within = ticks <= deepest[sweep]
        traded = np.bincount(sweep[within], self._lots[first:last][within], opens.size)
        places = np.where(deepest == NOWHERE, 0, self._side * deepest)
        ahead = self._rule.queue_ahead * self._displayed.lots(places, self._events[opens])
        return deepest + (traded < ahead + self._needed)


def begins(trade_us: Ints) -> Mask:
    new = np.concatenate(([True], trade_us[1:] != trade_us[:-1]))[: trade_us.size]
    opens: Mask = new | (trade_us == 0)
    return opens


def deepest_with(sweep: Ints, signed_ticks: Ints, lots: Ints, needed: int) -> Ints:
    """Each sweep's deepest price at or beyond which *needed* lots print; ``NOWHERE`` for none.

    Args:
        signed_ticks: Prices, smallest at the deepest.
    """
    order = np.lexsort((signed_ticks, sweep))
    summed = np.cumsum(lots[order])
    counts = np.bincount(sweep)
    ends = np.cumsum(counts)
    before = np.concatenate(([0], summed[ends[:-1] - 1]))
    enough = np.flatnonzero(summed - np.repeat(before, counts) >= needed)
    first = np.searchsorted(enough, np.concatenate(([0], ends[:-1])))
    at = enough[np.minimum(first, enough.size - 1)] if enough.size else np.zeros(counts.size, np.int64)
    reached = (first < enough.size) & (at < ends)
    return np.where(reached, signed_ticks[order][at], NOWHERE)


class SweptQuantity:
    """The hit rule of marks as a fill model: a resting order fills completely or not at all, by one sweep.

    Prints before the order rested do not count, and the count starts at 0 for every sweep.
    """

    def __init__(self, tapes: "Sequence[Tape]", rule: HitRule) -> None:
        self.name = "swept_quantity"
        self._rule = rule
        self._starts = [tape.start_us for tape in tapes]
        self._days = [_Prints(tape, rule) for tape in tapes]
        self._current: dict[int, tuple[tuple[int, int], float]] = {}  # by side: order and sweep, lots ahead
        self._beyond: dict[int, float] = {1: 0, -1: 0}
        self._here: dict[int, float] = {1: 0, -1: 0}

    def on_trade(self, order: "OrderView", trade: "TradeView") -> float:
        side, through = order.side, order.side * (order.ticks - trade.ticks)
        if trade.side == side or through < 0:
            return 0
        day = self._days[max(bisect_right(self._starts, trade.us) - 1, 0)]
        sweep = day.sweep(trade.id)
        current = self._current.get(side)
        if current is None or current[0] != (order.id, sweep):
            current = self._current[side] = (order.id, sweep), day.ahead(side, order.ticks, sweep)
            self._beyond[side] = self._here[side] = 0
        if through > 0:
            self._beyond[side] += trade.lots
        else:
            self._here[side] += trade.lots
        hit = self._beyond[side] >= day.needed
        if not hit and self._rule.hit == "touch":
            hit = self._beyond[side] + self._here[side] >= day.needed + current[1]
        return order.lots if hit else 0


class _Prints:
    def __init__(self, tape: "Tape", rule: HitRule) -> None:
        self.needed = rule.lots(tape.instrument.lot_e8)
        self._share = rule.queue_ahead
        events = tape.trades
        self._first = events.astype(np.int64)
        for side in (1, -1):
            mine = np.flatnonzero(tape.trade_side == side)
            new = begins(tape.event_exch_us[events[mine]]) if rule.grouped else np.ones(mine.size, bool)
            self._first[mine] = events[mine][np.maximum.accumulate(np.where(new, np.arange(mine.size), 0))]
        ids = tape.event_id[events]
        order = np.argsort(ids, kind="stable")
        self._ids, self._first = ids[order], self._first[order]
        prices = np.unique(tape.trade_ticks)
        self._displayed = {side: Displayed(tape, side, prices) for side in (1, -1)} if self._share else {}

    def sweep(self, trade_id: int) -> int:
        return int(self._first[np.searchsorted(self._ids, trade_id)])

    def ahead(self, side: int, ticks: int, event: int) -> float:
        if not self._share:
            return 0.0
        return self._share * int(self._displayed[side].lots(np.array([ticks]), np.array([event]))[0])
