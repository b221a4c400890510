# cython: language_level=3, boundscheck=False, cdivision=True
"""A forest of decision trees: the mean of the leaves that a row reaches, in tree order, without allocation."""

from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

import numpy as np
from numpy.typing import NDArray


cdef class Forest:
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

    Attributes:
        inputs: As given.

    Raises:
        ValueError: If the arrays are not a valid forest.
    """

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
        self.inputs, self.trees = inputs, len(begins)
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

    cdef double forward(self, const double* x) noexcept nogil:
        """Return the mean of the leaves of one row; *x* is double[inputs], none of them NaN."""
        cdef const Node* node
        cdef int64_t tree
        cdef double total = 0.0
        for tree in range(self.trees):
            node = &self.nodes[self.roots[tree]]
            while node.feature >= 0:
                node = &self.nodes[node.left if <float> x[node.feature] <= node.threshold else node.right]
            total += node.value
        return total / <double> self.trees

    def predict(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean of the leaves of each row.

        Args:
            x: float64[rows, inputs], without NaN.

        Returns:
            float64[rows].

        Raises:
            ValueError: If a row has another number of inputs.
        """
        cdef const double[:, ::1] given
        cdef double[::1] found
        cdef int64_t row, rows
        table = np.ascontiguousarray(x, np.float64)
        if table.ndim != 2 or table.shape[1] != self.inputs:
            raise ValueError(f"rows of the shape {table.shape}; the forest takes {self.inputs} inputs")
        answer = np.empty(table.shape[0])
        given, found, rows = table, answer, table.shape[0]
        with nogil:
            for row in range(rows):
                found[row] = self.forward(&given[row, 0])
        return answer


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
