# The base of steps around quote models, for kernels that define steps.

from mm.backtest.quotes.base cimport QuoteModel, View, Want

cdef class Step(QuoteModel):
    cdef readonly QuoteModel inner

    cdef void adjust_ladders(self, const View* view, Want* want) noexcept nogil
    cdef void adjust(self, const View* view, Want* want) noexcept nogil
