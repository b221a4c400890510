"""Several quote models at once."""

from collections.abc import Iterable

from mm.backtest.quotes.base import QuoteModel

class Mixed(QuoteModel):
    models: tuple[QuoteModel, ...]
    weights: tuple[float, ...]
    def __init__(self, models: Iterable[tuple[object, float]]) -> None: ...
