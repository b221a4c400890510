# cython: language_level=3, boundscheck=False, cdivision=True
"""Predictions from signals: scaled inputs, evaluated by one kernel in batches or row by row with equal results."""

from cpython.ref cimport PyObject
from libc.math cimport NAN, isnan
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

from mm.predict.forest cimport Forest
from mm.predict.network cimport Network

import numpy as np
from numpy.typing import NDArray

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST_SCALED = 5.0
"""Scaled inputs are clipped to this many standard deviations in both directions."""


cdef class Predictor:
    """The kernels of a fitted predictor, and the scaling of its inputs.

    An input x becomes ``(x − mean)/scale``, clipped to ``LARGEST_SCALED``; a price is used as its distance from the
    mid, in ticks. It owns its work arrays: calls of one predictor must not overlap.

    Args:
        heads: One kernel, or those of bids and asks, all `Network` or all `Forest`, of equal inputs.
        mean: float64[inputs].
        scale: float64[inputs], above 0.
        priced: Whether each input is a price.
        tick: The price step, quote asset.

    Attributes:
        heads: As given.
        inputs: Number of inputs in a row.

    Raises:
        ValueError: If the arguments are inconsistent.
    """

    def __init__(
        self,
        heads: Sequence[Network | Forest],
        mean: NDArray[np.float64],
        scale: NDArray[np.float64],
        priced: Sequence[bool],
        tick: float,
    ) -> None:
        cdef int i
        if self.mean is not NULL:
            raise ValueError("a predictor cannot be initialised twice")
        self.heads, self.inputs, self.tick = tuple(heads), len(priced), tick
        kinds = {type(head) for head in heads}
        widths = {head.shape[0] if isinstance(head, Network) else head.inputs for head in heads}
        outputs = {head.shape[len(head.shape) - 1] if isinstance(head, Network) else 1 for head in heads}
        if len(kinds) != 1 or widths != {self.inputs} or outputs != {1} or not len(mean) == len(scale) == self.inputs:
            raise ValueError(f"{len(heads)} kernels of {widths} inputs and {outputs} outputs, for {self.inputs} inputs")
        if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (np.asarray(scale) > 0.0).all() and tick > 0.0):
            raise ValueError("a mean or a scale is not a number, or a scale or the tick is not above 0")
        self.trees = kinds == {Forest}
        self.each = <PyObject**> malloc(len(self.heads) * sizeof(PyObject*))
        self.mean, self.scale = <double*> malloc(self.inputs * sizeof(double)), <double*> malloc(self.inputs * sizeof(double))
        self.scaled, self.priced = <double*> malloc(self.inputs * sizeof(double)), <bint*> malloc(self.inputs * sizeof(bint))
        if self.each is NULL or self.mean is NULL or self.scale is NULL or self.scaled is NULL or self.priced is NULL:
            raise MemoryError("no memory for a predictor")
        for i, head in enumerate(self.heads):
            self.each[i] = <PyObject*> head
        for i in range(self.inputs):
            self.mean[i], self.scale[i], self.priced[i] = mean[i], scale[i], priced[i]

    def __dealloc__(self) -> None:
        free(self.each)
        free(self.mean)
        free(self.scale)
        free(self.scaled)
        free(self.priced)

    cdef double compute(self, const double* row, double mid_ticks, int head) noexcept nogil:
        """Return the prediction of one row, NaN if an input is undefined; *row* is double[inputs]."""
        cdef double value
        cdef int i
        for i in range(self.inputs):
            value = row[i] / self.tick - mid_ticks if self.priced[i] else row[i]
            if isnan(value):
                return NAN
            value = (value - self.mean[i]) / self.scale[i]
            self.scaled[i] = min(max(value, -<double> CLIP), <double> CLIP)
        if self.trees:
            return (<Forest> self.each[head]).forward(self.scaled)
        (<Network> self.each[head]).forward(self.scaled, &value)
        return value

    def predict(self, rows: NDArray[np.float64], mid_ticks: NDArray[np.float64], head: int = 0) -> NDArray[np.float64]:
        """Return the prediction of each row.

        Args:
            rows: float64[rows, inputs], NaN where a signal is not defined.
            mid_ticks: float64[rows], the mid in ticks, NaN without one.
            head: Index of the kernel: 0 for bids or the only one, 1 for asks.

        Returns:
            float64[rows], NaN where an input is.

        Raises:
            ValueError: If a row has another number of inputs, or there is no such kernel.
        """
        cdef const double[:, ::1] given
        cdef const double[::1] mids
        cdef double[::1] found
        cdef int64_t row, count
        cdef int which = head
        table, middle = np.ascontiguousarray(rows, np.float64), np.ascontiguousarray(mid_ticks, np.float64)
        if table.ndim != 2 or table.shape[1] != self.inputs or middle.shape != table.shape[:1]:
            raise ValueError(f"rows of the shape {table.shape}; the predictor takes {self.inputs} inputs and a mid for each")
        if not 0 <= head < len(self.heads):
            raise ValueError(f"kernel {head}; there are {len(self.heads)}")
        answer = np.empty(table.shape[0])
        given, mids, found, count = table, middle, answer, table.shape[0]
        with nogil:
            for row in range(count):
                found[row] = self.compute(&given[row, 0], mids[row], which)
        return answer
