"""The fill model of simulated orders that want more of a sweep than a print: a quantity, or their turn in a queue."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mm.calibration.displayed import Displayed
from mm.calibration.sweeps import HitRule, begins

if TYPE_CHECKING:
    from mm.backtest.fills.base import OrderView, TradeView
    from mm.tape.tape import Tape


class SweptQuantity:
    """A resting order fills whole when one sweep brings enough to its price: the rule of the marks, order by order.

    - the sweep's aggressor is on the other side
    - lots beyond the order's price: the quantity or more; with ``touch`` also those at its price or
      beyond, where they are the quantity and what is ahead of it in the book before the sweep
    - prints that came before the order rested do not count, and every sweep begins from nothing
    """

    def __init__(self, tapes: "Sequence[Tape]", rule: HitRule) -> None:
        """Sort the prints of *tapes*, which are played in this order, into sweeps."""
        self.name = "swept_quantity"
        self._rule = rule
        self._starts = [tape.start_us for tape in tapes]
        self._days = [_Prints(tape, rule) for tape in tapes]
        self._met: dict[int, tuple[tuple[int, int], float]] = {}  # by side: order and sweep, lots ahead
        self._beyond: dict[int, int] = {1: 0, -1: 0}
        self._here: dict[int, int] = {1: 0, -1: 0}

    def on_trade(self, order: "OrderView", trade: "TradeView") -> int:
        """Return all lots of *order* where the print brings its sweep to the quantity, else none."""
        side, through = order.side, order.side * (order.ticks - trade.ticks)
        if trade.side == side or through < 0:
            return 0
        day = self._days[max(bisect_right(self._starts, trade.us) - 1, 0)]
        sweep = day.sweep(trade.id)
        met = self._met.get(side)
        if met is None or met[0] != (order.id, sweep):
            met = self._met[side] = (order.id, sweep), day.ahead(side, order.ticks, sweep)
            self._beyond[side] = self._here[side] = 0
        if through > 0:
            self._beyond[side] += trade.lots
        else:
            self._here[side] += trade.lots
        hit = self._beyond[side] >= day.needed
        if not hit and self._rule.hit == "touch":
            hit = self._beyond[side] + self._here[side] >= day.needed + met[1]
        return order.lots if hit else 0


class _Prints:
    """The sweeps of one tape, found by trade id."""

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
        """Return the event that begins the sweep of a print."""
        return int(self._first[np.searchsorted(self._ids, trade_id)])

    def ahead(self, side: int, ticks: int, event: int) -> float:
        """Return the lots that fill before an order, as the book stood before the sweep that *event* begins."""
        if not self._share:
            return 0.0
        return self._share * int(self._displayed[side].lots(np.array([ticks]), np.array([event]))[0])
