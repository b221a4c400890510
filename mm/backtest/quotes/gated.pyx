# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Quotes only where a schedule has parameters to trade on."""

from libc.stdint cimport int64_t

from mm.backtest.fills.intensity cimport Intensity
from mm.backtest.quotes.base cimport QuoteModel, View, Want

from mm.backtest.quotes.base import compiled


cdef class Gated(QuoteModel):
    """Ask the inner model only inside a piece of *intensity*; elsewhere want no quotes.

    Args:
        inner: A compiled quote model, or any object with ``quote(view)``.
        intensity: The pieces of a schedule.
    """

    cdef readonly QuoteModel inner
    cdef Intensity intensity

    def __init__(self, inner: object, intensity: Intensity) -> None:
        self.inner = compiled(inner)
        self.intensity = intensity
        self.name = self.inner.name
        self.looks, self.interpreted = self.inner.looks, self.inner.interpreted

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef int64_t piece = self.intensity.find(view.top.us)
        if piece >= self.intensity.count or self.intensity.pieces[piece].start_us > view.top.us:
            return 0
        return self.inner.quote(view, want)
