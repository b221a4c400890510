# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Quotes of a model that reads the levels beyond the best prices at each requote."""

from libc.stdint cimport int64_t

from mm.backtest.quotes.base cimport QuoteModel, View, Want
from mm.tape._book cimport Book, book_lots_at


cdef class DeepQuotes(QuoteModel):
    """The quotes of another model, while both sides display lots at the prices that it reads.

    Args:
        inner: The other model, compiled.
        prices: Number of prices of each side to read, from the best one on.
    """

    cdef QuoteModel inner
    cdef int64_t prices

    def __init__(self, inner: QuoteModel, prices: int) -> None:
        self.inner, self.prices = inner, prices

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef const Book* book = <const Book*> view.top.book
        cdef int64_t bid_lots = 0, ask_lots = 0, away
        for away in range(self.prices):
            bid_lots += book_lots_at(book, 1, view.top.bid_ticks - away)
            ask_lots += book_lots_at(book, -1, view.top.ask_ticks + away)
        return self.inner.quote(view, want) if bid_lots and ask_lots else 0
