# Generated from mm/predict/forest.pyx by `make stubs`; edit that file instead.

"""A forest of decision trees: the mean of the leaves that a row reaches, in tree order, without allocation."""

import numpy as np
from numpy.typing import NDArray

class Forest:
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
    @property
    def inputs(self) -> int: ...
    def __init__(
        self,
        inputs: int,
        roots: NDArray[np.int64],
        feature: NDArray[np.int64],
        threshold: NDArray[np.float64],
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        value: NDArray[np.float64],
    ) -> None: ...
    def predict(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean of the leaves of each row.

        Args:
            x: float64[rows, inputs], without NaN.

        Returns:
            float64[rows].

        Raises:
            ValueError: If a row has another number of inputs.
        """

def _check(
    inputs: int, roots: NDArray[np.int64], feature: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64]
) -> None:
    """Raise ValueError for nodes with which a walk could leave the arrays or not terminate."""
