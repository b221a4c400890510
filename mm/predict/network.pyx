# cython: language_level=3, boundscheck=False, cdivision=True
"""A dense network of a few layers: one row in, one row out, without allocation.

Each layer is ``activation(x·W + b)``. The terms of a sum are added in the order of the inputs, so that a row gives the
same bits alone and in a batch. If an input is NaN, every output is.
"""

from libc.math cimport exp, tanh
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

import numpy as np
from numpy.typing import NDArray

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ACTIVATIONS = ("identity", "tanh", "relu", "logistic")

cdef enum Activation:  # indices into ACTIVATIONS
    IDENTITY, TANH, RELU, LOGISTIC


cdef class Network:
    """A dense network.

    It owns its work arrays: calls of one network must not overlap.

    Args:
        weights: Per layer, float64[inputs, outputs]; the outputs of a layer are the inputs of the next.
        biases: Per layer, float64[outputs].
        activations: Per layer, the name of its activation, one of ``ACTIVATIONS``.

    Attributes:
        shape: Inputs, then the outputs of each layer.
        activations: As given.

    Raises:
        ValueError: If the arrays are not a valid network, or have a number that is not finite.
    """

    def __init__(
        self,
        weights: Sequence[NDArray[np.float64]],
        biases: Sequence[NDArray[np.float64]],
        activations: Sequence[str],
    ) -> None:
        cdef int64_t place, total
        cdef const double[::1] row
        if self.weights is not NULL:
            raise ValueError("a network cannot be initialised twice")
        tables = [np.ascontiguousarray(table, np.float64) for table in weights]
        rows = [np.ascontiguousarray(bias, np.float64) for bias in biases]
        self.shape, self.activations = _checked(tables, rows, activations), tuple(activations)
        flat = np.concatenate([array.ravel() for pair in zip(rows, tables, strict=True) for array in pair])
        self.layers, self.inputs, self.outputs = len(tables), self.shape[0], self.shape[-1]
        total = len(flat)
        widest = max(self.shape)
        self.sizes = <int64_t*> malloc((self.layers + 1) * sizeof(int64_t))
        self.functions = <int*> malloc(self.layers * sizeof(int))
        self.weights = <double*> malloc(total * sizeof(double))
        self.now = <double*> malloc(widest * sizeof(double))
        self.before = <double*> malloc(widest * sizeof(double))
        if NULL in (self.sizes, self.functions, self.weights, self.now, self.before):
            raise MemoryError(f"no memory for a network of {total} weights")
        row = flat
        memcpy(self.weights, &row[0], total * sizeof(double))
        for place, size in enumerate(self.shape):
            self.sizes[place] = size
        for place, name in enumerate(activations):
            self.functions[place] = ACTIVATIONS.index(name)

    def __dealloc__(self) -> None:
        free(self.sizes)
        free(self.functions)
        free(self.weights)
        free(self.now)
        free(self.before)

    cdef void forward(self, const double* x, double* y) noexcept nogil:
        """Compute one row: *x* is double[inputs], *y* receives double[outputs]."""
        cdef const double* weight = self.weights
        cdef double* now = self.now
        cdef double* before = self.before
        cdef int64_t layer, i, j, rows, columns
        cdef double value
        memcpy(before, x, self.inputs * sizeof(double))
        for layer in range(self.layers):
            rows, columns = self.sizes[layer], self.sizes[layer + 1]
            memcpy(now, weight, columns * sizeof(double))
            weight += columns
            for i in range(rows):
                value = before[i]
                for j in range(columns):
                    now[j] += value * weight[j]
                weight += columns
            activate(self.functions[layer], now, columns)
            now, before = before, now
        memcpy(y, before, self.outputs * sizeof(double))

    def predict(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the outputs of each row.

        Args:
            x: float64[rows, inputs].

        Returns:
            float64[rows, outputs].

        Raises:
            ValueError: If a row has another number of inputs.
        """
        cdef const double[:, ::1] given
        cdef double[:, ::1] found
        cdef int64_t row, rows
        table = np.ascontiguousarray(x, np.float64)
        if table.ndim != 2 or table.shape[1] != self.inputs:
            raise ValueError(f"rows of the shape {table.shape}; the network takes {self.inputs} inputs")
        answer = np.empty((table.shape[0], self.outputs))
        given, found, rows = table, answer, table.shape[0]
        with nogil:
            for row in range(rows):
                self.forward(&given[row, 0], &found[row, 0])
        return answer


cdef inline void activate(int function, double* values, int64_t count) noexcept nogil:
    """Apply an activation in place; NaN stays NaN."""
    cdef int64_t j
    if function == TANH:
        for j in range(count):
            values[j] = tanh(values[j])
    elif function == RELU:
        for j in range(count):
            values[j] = 0.0 if values[j] < 0.0 else values[j]
    elif function == LOGISTIC:
        for j in range(count):
            values[j] = logistic(values[j])


cdef inline double logistic(double x) noexcept nogil:
    """Return 1/(1 + e^-x), without an overflow for large negative x."""
    cdef double small
    if x >= 0.0:
        return 1.0 / (1.0 + exp(-x))
    small = exp(x)
    return small / (1.0 + small)


def _checked(
    weights: list[NDArray[np.float64]], biases: list[NDArray[np.float64]], activations: Sequence[str]
) -> tuple[int, ...]:
    """Return the number of inputs and the outputs of each layer, after checking the arrays."""
    if not weights or not len(weights) == len(biases) == len(activations):
        raise ValueError(
            f"{len(weights)} tables of weights, {len(biases)} rows of biases, {len(activations)} activations; "
            "a network needs one of each per layer"
        )
    shape = [weights[0].shape[0] if weights[0].ndim == 2 else 0]
    for place, (table, row, name) in enumerate(zip(weights, biases, activations, strict=True)):
        if name not in ACTIVATIONS:
            raise ValueError(f"layer {place}: activation {name!r} is not known; known are {', '.join(ACTIVATIONS)}")
        if table.ndim != 2 or row.shape != (table.shape[-1],) or table.shape[0] != shape[-1] or not table.size:
            raise ValueError(
                f"layer {place}: weights of the shape {table.shape} and biases of {row.shape} do not follow {shape[-1]} inputs"
            )
        if not (np.isfinite(table).all() and np.isfinite(row).all()):
            raise ValueError(f"layer {place}: a weight or a bias is not a finite number")
        shape.append(table.shape[1])
    return tuple(shape)
