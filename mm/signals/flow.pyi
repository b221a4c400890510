# Generated from mm/signals/flow.pyx by `make stubs`; edit that file instead.

"""Signals of what changes the book: orders that come and go at the best levels, and prints."""

from mm.signals.base import Signal

class OrderFlow(Signal):
    """Order-flow imbalance over the best levels, of a diff or summed over a window, base asset.

    Args:
        levels: How many levels; the sum over them.
        window_us: The window; 0 is the diff alone.
        lot_e8: The tape's lot.
    """
    def __init__(self, levels: int, window_us: int, lot_e8: int) -> None: ...

class Prints(Signal):
    """What signals of the prints in a window share: the lots bought and sold by aggressors.

    Args:
        window_us: The window.
        lot_e8: The tape's lot.
    """
    def __init__(self, window_us: int, lot_e8: int) -> None: ...

class SignedVolume(Prints):
    """Lots bought less lots sold by aggressors in a window, base asset."""

class TradeImbalance(Prints):
    """(bought - sold) / (bought + sold) of the prints in a window, from -1 to 1; without prints not defined."""

class Rate(Signal):
    """What rates over a window share: something counted at instants, per second.

    Args:
        window_us: The window.
        lot_e8: The tape's lot.
    """
    def __init__(self, window_us: int, lot_e8: int) -> None: ...

class SweepRate(Rate):
    """Sweeps in a window, 1/s: prints of one side in a row, 1 ms apart at most, and one beyond the first's."""

class CancelRate(Rate):
    """Lots that vanished from the best 10 levels in a window and were not traded, base asset per s."""
    def __init__(self, window_us: int, lot_e8: int) -> None: ...
