# Generated from mm/backtest/quotes/mixed.pyx by `make stubs`; edit that file instead.

"""Several quote models at once: the weighted mean of their prices."""

from collections.abc import Iterable

from mm.backtest.quotes.base import QuoteModel

class Mixed(QuoteModel):
    """Quote the weighted mean of what several models want, side by side.

    - every model is asked at every question
    - a side on which one of them wants nothing is not quoted: what one forbids the others do not allow
    - the lots are the least that one of them wants
    - an order is a ``LIMIT_MAKER`` unless all of them want the same other kind

    Args:
        models: Pairs of a quote model, compiled or any object with ``quote(view)``, and its weight.
    """
    @property
    def models(self) -> tuple[QuoteModel, ...]: ...
    @property
    def weights(self) -> tuple[float, ...]: ...
    def __init__(self, models: Iterable[tuple[object, float]]) -> None: ...
