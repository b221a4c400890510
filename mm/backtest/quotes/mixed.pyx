# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Several quote models at once: the weighted mean of their prices."""

from cpython.ref cimport PyObject
from libc.math cimport NAN, isnan
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from mm.backtest.fills.base cimport BEST_PRICES, LIMIT_MAKER
from mm.backtest.quotes.base cimport QuoteModel, View, Want

from mm.backtest.quotes.base import compiled
from mm.errors import UsageError


cdef class Mixed(QuoteModel):
    """Quote the weighted mean of what several models want, side by side.

    - every model is asked at every question
    - a side on which one of them wants nothing is not quoted: what one forbids the others do not allow
    - the lots are the least that one of them wants
    - an order is a ``LIMIT_MAKER`` unless all of them want the same other kind

    Args:
        models: Pairs of a quote model, compiled or any object with ``quote(view)``, and its weight.
    """

    cdef readonly tuple models   # type: tuple[QuoteModel, ...]
    cdef readonly tuple weights  # type: tuple[float, ...]
    cdef PyObject** each            # borrowed from *models*
    cdef double* share              # the weights
    cdef double total
    cdef int count

    def __init__(self, models: Iterable[tuple[object, float]]) -> None:
        pairs = list(models)
        if not pairs:
            raise UsageError("mixed: models is empty; name one at least")
        for _, weight in pairs:
            if not 0.0 < weight < 1e9:
                raise UsageError(f"mixed: a weight is {weight}; it must be above 0")
        self.models = tuple(compiled(model) for model, _ in pairs)
        self.weights = tuple(weight for _, weight in pairs)
        self.count, self.total = len(pairs), sum(self.weights)
        self.each = <PyObject**> calloc(self.count, sizeof(PyObject*))
        self.share = <double*> calloc(self.count, sizeof(double))
        if self.each is NULL or self.share is NULL:
            raise MemoryError("no memory for the models of a mixture")
        self.looks, self.timeless = BEST_PRICES, True
        for i, model in enumerate(self.models):
            self.each[i], self.share[i] = <PyObject*> model, self.weights[i]
            self.looks = max(self.looks, (<QuoteModel> model).looks)
            self.timeless &= (<QuoteModel> model).timeless
            self.interpreted |= (<QuoteModel> model).interpreted
        self.name = "mixed"

    def __dealloc__(self) -> None:
        free(self.each)
        free(self.share)

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef Want blank = want[0], one
        cdef double bid = 0.0, ask = 0.0  # beside the first model's, so that equal prices stay what they are
        cdef int i
        for i in range(self.count):
            one = blank
            (<QuoteModel> self.each[i]).quote(view, &one)
            if i == 0:
                want[0] = one
                continue
            bid += self.share[i] * (one.bid_ticks - want.bid_ticks)
            ask += self.share[i] * (one.ask_ticks - want.ask_ticks)
            want.bid_lots, want.ask_lots = min(want.bid_lots, one.bid_lots), min(want.ask_lots, one.ask_lots)
            if one.bid_kind != want.bid_kind:
                want.bid_kind = LIMIT_MAKER
            if one.ask_kind != want.ask_kind:
                want.ask_kind = LIMIT_MAKER
        want.bid_ticks += bid / self.total
        want.ask_ticks += ask / self.total
        return 0
