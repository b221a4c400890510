# Generated from mm/predict/forest.pyx by `make stubs`; edit that file instead.

"""A forest: the mean of the leaves that a row reaches, tree by tree in their order, without allocation."""

import numpy as np
from numpy.typing import NDArray

class Forest:
    """Trees of decisions; all arrays but *roots* have an entry per node, and children stand after their parents.

    An input is rounded to single precision before it is compared, as scikit-learn does.

    Args:
        inputs: Numbers of a row.
        roots: int64[trees], the node that each tree begins with.
        feature: int64[nodes], the input that a node compares; -1 for a leaf.
        threshold: float64[nodes]; inputs of at most that go left.
        left: int64[nodes].
        right: int64[nodes].
        value: float64[nodes], of leaves.

    Attributes:
        inputs: As given.

    Raises:
        ValueError: If the arrays do not make a forest.
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
    """Refuse nodes that a walk could leave the arrays by, or never end in."""
