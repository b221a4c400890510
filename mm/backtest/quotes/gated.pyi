# Generated from mm/backtest/quotes/gated.pyx by `make stubs`; edit that file instead.

"""Quotes only where a schedule has parameters to trade on."""

from mm.backtest.fills.intensity import Intensity
from mm.backtest.quotes.base import QuoteModel

class Gated(QuoteModel):
    """Ask the inner model only inside a piece of *intensity*; elsewhere want no quotes.

    Args:
        inner: A compiled quote model, or any object with ``quote(view)``.
        intensity: The pieces of a schedule.
    """
    @property
    def inner(self) -> QuoteModel: ...
    def __init__(self, inner: object, intensity: Intensity) -> None: ...
