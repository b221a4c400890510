# Generated from mm/signals/state.pyx by `make stubs`; edit that file instead.

"""Signals of the current book."""

from mm.signals.base import Signal
from mm.signals.micro_price import MicroPriceFit

class QuotedSpread(Signal):
    """Best ask less best bid, ticks."""

class Mid(Signal):
    """Mean of the best prices, quote asset."""
    def __init__(self, tick_e8: int) -> None: ...

class WeightedMid(Signal):
    """Best prices, each weighted by the lots on the opposite side, quote asset."""
    def __init__(self, tick_e8: int) -> None: ...

class MicroPrice(Signal):
    """Mid plus its expected move in the current state, fitted on earlier days, quote asset; undefined without a fit."""
    def __init__(self, tick_e8: int, fit: MicroPriceFit | None) -> None: ...

class BookImbalance(Signal):
    """(bid lots - ask lots) / (bid lots + ask lots) over the best levels, from -1 to 1."""
    def __init__(self, levels: int) -> None: ...

class Depth(Signal):
    """Displayed quantity at the best levels, base asset.

    Args:
        levels: Number of levels of each side.
        side: +1 for bids, -1 for asks, 0 for both.
        lot_e8: Lot size of the tape, 1e-8 of the base asset.
    """
    def __init__(self, levels: int, side: int, lot_e8: int) -> None: ...

class QueueShare(Signal):
    """Bid lots as a share of both queues at the best prices, from 0 to 1."""
