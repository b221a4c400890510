# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The interface of signals: three hooks that set a value; and the signal that is a prediction from others."""

from cpython.ref cimport PyObject
from libc.math cimport NAN
from libc.stdlib cimport free, malloc

from mm.predict.predictor cimport Predictor

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


cdef class Signal:
    """Base of signals: override ``begin``, ``on_trade`` and ``on_book``, and set ``value``.

    A set of signals calls them in the order of receipt. ``on_book`` is called once for each diff, and the value that it
    sets, NaN if undefined, is that row's. ``begin`` is called at each snapshot and, unless the signal is ``one_sided``,
    when an empty side of the book is filled again; it resets the state. Without bids or asks a signal is not called
    and undefined, unless it is ``one_sided``.

    Attributes:
        sources: Signals whose values this one reads; a set calls them first.
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
    """The prediction of a predictor at each diff; undefined while one of its input signals is.

    Args:
        predictor: The kernels, not shared with other signals.
        head: Index of the kernel.
        sources: The signals that it reads, in the order of its inputs; the set calls them before this one.
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
