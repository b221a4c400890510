# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The interface of signals (three hooks that set a value), and a signal that predicts from other signals."""

from cpython.ref cimport PyObject
from libc.math cimport NAN
from libc.stdlib cimport free, malloc

from mm.predict.predictor cimport Predictor

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


cdef class Signal:
    """Base class of signals: override ``begin``, ``on_trade`` and ``on_book``, and set ``value``.

    A set of signals calls these hooks in the order of receipt. ``on_book`` is called once for each diff; the value that
    it sets (NaN if undefined) is the value of that row. ``begin`` resets the state; it is called at each snapshot and,
    unless the signal is ``one_sided``, when an empty side of the book has levels again. While the book has no bids or
    no asks, a signal is undefined and its ``on_book`` is not called, unless it is ``one_sided``.

    Attributes:
        sources: Signals whose values this signal reads; a set calls them first.
    """

    def __cinit__(self, *_args, **_kwargs) -> None:
        self.value = NAN
        self.sources = ()

    cdef int begin(self, const Now* now) except -1 nogil:
        return 0

    cdef int on_trade(self, const Now* now) except -1 nogil:
        return 0

    cdef int on_book(self, const Now* now) except -1 nogil:
        return 0


cdef class Prediction(Signal):
    """Prediction of a fitted predictor at each diff; undefined while one of its input signals is undefined.

    Args:
        predictor: Its compiled kernels, not shared with other signals.
        head: Index of the kernel.
        sources: Input signals, in the order of the predictor's inputs; the set calls them before this signal.
        distance_ticks: The last input of a predictor that takes a distance; None for others.
    """

    cdef Predictor predictor
    cdef int head, count
    cdef PyObject** each            # borrowed from *sources*
    cdef double* row

    def __init__(
        self, predictor: Predictor, head: int, sources: Sequence[Signal], distance_ticks: float | None = None
    ) -> None:
        cdef int i
        self.predictor, self.head, self.sources, self.count = predictor, head, tuple(sources), len(sources)
        if self.count + (distance_ticks is not None) != predictor.inputs or not 0 <= head < len(predictor.heads):
            raise ValueError(f"{self.count} signals and kernel {head}, for a predictor of {predictor.inputs} inputs")
        self.each = <PyObject**> malloc(self.count * sizeof(PyObject*))
        self.row = <double*> malloc(predictor.inputs * sizeof(double))
        if self.each is NULL or self.row is NULL:
            raise MemoryError("no memory for a prediction")
        for i, source in enumerate(self.sources):
            self.each[i] = <PyObject*> source
        if distance_ticks is not None:
            self.row[self.count] = distance_ticks

    def __dealloc__(self) -> None:
        free(self.each)
        free(self.row)

    cdef int on_book(self, const Now* now) except -1 nogil:
        cdef int i
        for i in range(self.count):
            self.row[i] = (<Signal> self.each[i]).value
        self.value = self.predictor.compute(self.row, 0.5 * <double> now.mid2, self.head)
        return 0
