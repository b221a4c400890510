# Generated from mm/backtest/quotes/bounded.pyx by `make stubs`; edit that file instead.

"""The base of quotes that follow from the values of inventory levels: exact, with a bound on the inventory."""

from mm.backtest.quotes.distances import Distances

DEFAULT_BOUND: float

class Bounded(Distances):
    """Base of models whose quotes are an edge and the steps of ln v between inventory levels: override ``problem``.

    With u the inventory in orders, the bid's distance is edge - ticks·(ln v(u + 1) - ln v(u)) and the ask's is
    edge + ticks·(ln v(u) - ln v(u - 1)). Levels are whole orders; between two of them, after a partial fill, distances
    lie on a straight line, and beyond the last that a side has they stay as they are.

    Where sigma comes from the tape, it changes with every second, and in a session the time left changes with every
    requote. Then the steps at a requote are interpolated, in ln rho and ln time, from those at the 8 values of each
    around the ones asked for (32 and 16 to an octave, solved for when first needed). Where the inner 6 say anything
    that differs by more than 1e-8 of a step, the very problem is solved; so the relative error stays below 1e-7, and is
    usually below 1e-12. ``distances`` and constant parameters are solved for by themselves.
    """
