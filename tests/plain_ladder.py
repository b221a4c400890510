"""Plain Python version of the measuring quotes (`mm.calibration.quotes.calibration_ladder`)."""

import math

from mm import Quotes
from mm.calibration.quotes.calibration_ladder import CalibrationLadder


def reference_ticks(top, reference):
    """Return the reference of a buy and of a sell order, in ticks (possibly fractional)."""
    bid, ask = top.bid_ticks, top.ask_ticks
    if reference in ("best", "sweep"):
        return float(bid), float(ask)
    price = (bid + ask) / 2
    if reference == "micro":
        price = bid + (ask - bid) * top.bid_lots / (top.bid_lots + top.ask_lots)
    return price, price


class PlainFixedDelta:
    """Quote one distance around an anchor, which follows the reference in steps."""

    def __init__(self, delta_ticks, mid_move_threshold_ticks=2, reference="mid"):
        self.delta_ticks, self.threshold_ticks, self.reference = delta_ticks, mid_move_threshold_ticks, reference
        self.anchor, self.anchors = None, []

    def quote(self, view):
        now = reference_ticks(view, self.reference)
        if self.anchor is None or max(abs(one - was) for one, was in zip(now, self.anchor, strict=True)) >= (
            self.threshold_ticks
        ):
            self.anchor = now
            self.anchors.append((view.us, *now))
        buy, sell = self.anchor
        return Quotes(math.floor(buy - self.delta_ticks), math.ceil(sell + self.delta_ticks))


class PlainLadder(PlainFixedDelta):
    """Hold each distance for a dwell time; the cycle's order is that of the model."""

    def __init__(self, deltas, dwell_us, mid_move_threshold_ticks=2, seed=0, start_us=0, reference="mid"):
        super().__init__(deltas[0], mid_move_threshold_ticks, reference)
        self.order = CalibrationLadder(deltas, dwell_us / 1000, seed=seed).cycle
        self.count, self.dwell_us, self.start_us, self.slot = len(deltas), dwell_us, start_us, None

    def quote(self, view):
        slot = (view.us - self.start_us) // self.dwell_us
        if slot != self.slot:
            self.slot, self.anchor = slot, None
            number, position = divmod(slot, self.count)
            self.delta_ticks = self.order(number)[position]
        return super().quote(view)
