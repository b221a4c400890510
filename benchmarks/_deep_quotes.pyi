# Generated from benchmarks/_deep_quotes.pyx by `make stubs`; edit that file instead.

"""Quotes of a model that reads the levels behind the best prices at each requote."""

from mm.backtest.quotes.base import QuoteModel

class DeepQuotes(QuoteModel):
    """The quotes of another model, while both sides display lots at the prices that are read.

    Args:
        inner: The other model, compiled.
        prices: How many prices of each side are read, from the best one on.
    """
    def __init__(self, inner: QuoteModel, prices: int) -> None: ...
