# cython: language_level=3, boundscheck=False, cdivision=True, auto_pickle=False
"""Predictions from signals: dense networks, forests of decision trees, and the scaling of their inputs.

One row in, one row out, without allocation; a batch gives the same bits. The terms of a network's sums are added in the
order of the inputs, and a forest's leaves in the order of its trees. If an input of a network is NaN, every output is.
"""

from cpython.ref cimport PyObject
from libc.math cimport NAN, exp, isnan, tanh
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

import numpy as np
from numpy.typing import NDArray

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST_SCALED = 5.0
"""Scaled inputs are clipped to this many standard deviations in both directions."""
ACTIVATIONS = ("identity", "tanh", "relu", "logistic")

cdef enum Activation:  # indices into ACTIVATIONS
    IDENTITY, TANH, RELU, LOGISTIC


cdef class Head:
    """Base of what computes a row of outputs from a row of inputs: override ``forward``."""

    cdef void forward(self, const double* x, double* y) noexcept nogil:
        """Compute one row: *x* is double[inputs], *y* receives double[outputs]."""

    def predict(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64[rows, inputs] to float64[rows, outputs]."""
        cdef const double[:, ::1] given
        cdef double[:, ::1] found
        cdef int64_t row, rows
        table = np.ascontiguousarray(x, np.float64)
        if table.ndim != 2 or table.shape[1] != self.inputs:
            kind = type(self).__name__.lower()
            raise ValueError(f"rows of the shape {table.shape}; the {kind} takes {self.inputs} inputs")
        answer = np.empty((table.shape[0], self.outputs))
        given, found, rows = table, answer, table.shape[0]
        with nogil:
            for row in range(rows):
                self.forward(&given[row, 0], &found[row, 0])
        return answer


cdef class Network(Head):
    """A dense network; each layer is ``activation(x·W + b)``.

    It owns its work arrays: calls of one network must not overlap.

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


cdef struct Node:
    int64_t feature         # -1: a leaf
    int64_t left, right     # for inputs up to the threshold, and above it
    double threshold
    double value            # of a leaf


cdef class Forest(Head):
    """Decision trees; all arrays but *roots* have an entry per node, and children are after their parents.

    An input is rounded to single precision before it is compared, as scikit-learn does.

    Args:
        inputs: Number of inputs.
        roots: int64[trees], the root node of each tree.
        feature: int64[nodes], the input that a node compares; -1 for a leaf.
        threshold: float64[nodes]; inputs up to it go left.
        left: int64[nodes].
        right: int64[nodes].
        value: float64[nodes], of leaves.

    Raises:
        ValueError: If the arrays are not a valid forest.
    """

    cdef int64_t trees
    cdef int64_t* roots
    cdef Node* nodes

    def __init__(
        self, inputs: int, roots: NDArray[np.int64], feature: NDArray[np.int64], threshold: NDArray[np.float64],
        left: NDArray[np.int64], right: NDArray[np.int64], value: NDArray[np.float64],
    ) -> None:
        cdef const int64_t[::1] begins, features, lefts, rights
        cdef const double[::1] thresholds, values
        cdef int64_t i, count = len(feature)
        if self.nodes is not NULL:
            raise ValueError("a forest cannot be initialised twice")
        begins, features = np.ascontiguousarray(roots, np.int64), np.ascontiguousarray(feature, np.int64)
        lefts, rights = np.ascontiguousarray(left, np.int64), np.ascontiguousarray(right, np.int64)
        thresholds, values = np.ascontiguousarray(threshold, np.float64), np.ascontiguousarray(value, np.float64)
        if not (len(lefts) == len(rights) == len(thresholds) == len(values) == count) or not count or not len(begins):
            raise ValueError(f"{len(begins)} trees of {count} nodes, whose arrays differ in length or are empty")
        _check(inputs, np.asarray(begins), np.asarray(features), np.asarray(lefts), np.asarray(rights))
        if not (np.isfinite(thresholds).all() and np.isfinite(values).all()):
            raise ValueError("a threshold or a value is not a finite number")
        self.inputs, self.outputs, self.trees = inputs, 1, len(begins)
        self.roots, self.nodes = <int64_t*> malloc(self.trees * sizeof(int64_t)), <Node*> malloc(count * sizeof(Node))
        if self.roots is NULL or self.nodes is NULL:
            raise MemoryError(f"no memory for {count} nodes")
        for i in range(self.trees):
            self.roots[i] = begins[i]
        for i in range(count):
            self.nodes[i] = Node(features[i], lefts[i], rights[i], thresholds[i], values[i])

    def __dealloc__(self) -> None:
        free(self.roots)
        free(self.nodes)

    cdef void forward(self, const double* x, double* y) noexcept nogil:
        """Compute the mean of the leaves of one row; no input is NaN."""
        cdef const Node* node
        cdef int64_t tree
        cdef double total = 0.0
        for tree in range(self.trees):
            node = &self.nodes[self.roots[tree]]
            while node.feature >= 0:
                node = &self.nodes[node.left if <float> x[node.feature] <= node.threshold else node.right]
            total += node.value
        y[0] = total / <double> self.trees


def _check(
    inputs: int, roots: NDArray[np.int64], feature: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64]
) -> None:
    """Raise ValueError for nodes with which a walk could leave the arrays or not terminate."""
    here = np.arange(len(feature))
    inner = feature >= 0
    ahead = (left > here) & (right > here) & (left < len(here)) & (right < len(here))
    if inputs < 1 or not (ahead | ~inner).all():
        raise ValueError(f"{inputs} inputs, and a node whose children are not after it")
    if (feature >= inputs).any() or (feature < -1).any():
        raise ValueError(f"a node compares input {feature.max()}; there are {inputs}")
    if (roots < 0).any() or (roots >= len(here)).any():
        raise ValueError(f"a tree begins at node {roots.max()}; there are {len(here)}")


cdef class Predictor:
    """The kernels of a fitted predictor, and the scaling of its inputs.

    An input x becomes ``(x − mean)/scale``, clipped to ``LARGEST_SCALED``; a price is used as its distance from the
    mid, in ticks. It owns its work arrays: calls of one predictor must not overlap.

    Args:
        heads: One kernel, or one for bids and one for asks, of equal inputs.
        mean: float64[inputs].
        scale: float64[inputs], above 0.
        tick: The price step, quote asset.

    Raises:
        ValueError: If the arguments are inconsistent.
    """

    def __init__(
        self,
        heads: Sequence[Head],
        mean: NDArray[np.float64],
        scale: NDArray[np.float64],
        priced: Sequence[bool],
        tick: float,
    ) -> None:
        cdef int i
        if self.mean is not NULL:
            raise ValueError("a predictor cannot be initialised twice")
        self.heads, self.inputs, self.tick = tuple(heads), len(priced), tick
        widths, outputs = {(<Head?> head).inputs for head in heads}, {(<Head?> head).outputs for head in heads}
        if widths != {self.inputs} or outputs != {1} or not len(mean) == len(scale) == self.inputs:
            raise ValueError(f"{len(heads)} kernels of {widths} inputs and {outputs} outputs, for {self.inputs} inputs")
        if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (np.asarray(scale) > 0.0).all() and tick > 0.0):
            raise ValueError("a mean or a scale is not a number, or a scale or the tick is not above 0")
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
        (<Head> self.each[head]).forward(self.scaled, &value)
        return value

    def predict(self, rows: NDArray[np.float64], mid_ticks: NDArray[np.float64], head: int = 0) -> NDArray[np.float64]:
        """Return the prediction of each row.

        Args:
            rows: float64[rows, inputs], NaN where a signal is not defined.
            mid_ticks: float64[rows], the mid in ticks, NaN without one.
            head: Index of the kernel: 0 for bids or the only one, 1 for asks.
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
