# Generated from mm/signals/flow.pyx by `make stubs`; edit that file instead.

"""Signals of order flow: additions and cancellations at the best levels, and prints."""

from mm.signals.base import Signal

class OrderFlow(Signal):
    """Order-flow imbalance over the best levels, of a diff or summed over a window, base asset.

    Args:
        levels: Number of levels to sum over.
        window_us: The window, µs; 0 for single diffs.
        lot_e8: Lot size of the tape, 1e-8 of the base asset.
    """
    def __init__(self, levels: int, window_us: int, lot_e8: int) -> None: ...

class Prints(Signal):
    """Base class of signals of the prints in a window: lots bought and sold by aggressors.

    Args:
        window_us: The window, µs.
        lot_e8: Lot size of the tape, 1e-8 of the base asset.
    """
    def __init__(self, window_us: int, lot_e8: int) -> None: ...

class SignedVolume(Prints):
    """Lots bought less lots sold by aggressors in a window, base asset."""

class TradeImbalance(Prints):
    """(bought - sold) / (bought + sold) of the prints in a window, from -1 to 1; undefined without prints."""

class Rate(Signal):
    """Base class of rates over a window: timestamped counts, per second.

    Args:
        window_us: The window, µs.
        lot_e8: Lot size of the tape, 1e-8 of the base asset.
    """
    def __init__(self, window_us: int, lot_e8: int) -> None: ...

class SweepRate(Rate):
    """Sweeps in a window, 1/s: consecutive prints of one side, at most 1 ms apart, one beyond the first one's price."""

class CancelRate(Rate):
    """Quantity cancelled (removed, not traded) at the best 10 levels in a window, base asset per s."""
    def __init__(self, window_us: int, lot_e8: int) -> None: ...
