# Generated from benchmarks/_deep_quotes.pyx by `make stubs`; edit that file instead.

"""Quotes of a model that reads the levels beyond the best prices at each requote."""

from mm.backtest.quotes.base import QuoteModel

class DeepQuotes(QuoteModel):
    """The quotes of another model, while both sides display lots at the prices that it reads.

    Args:
        inner: The other model, compiled.
        prices: Number of prices of each side to read, from the best one on.
    """
    def __init__(self, inner: QuoteModel, prices: int) -> None: ...
