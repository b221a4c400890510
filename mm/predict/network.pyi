# Generated from mm/predict/network.pyx by `make stubs`; edit that file instead.

"""A dense network of a few layers: one row in, one row out, without allocation.

Each layer is ``activation(x·W + b)``. The terms of a sum are added in the order of the inputs, so that a row gives the
same bits alone and in a batch. If an input is NaN, every output is.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ACTIVATIONS: tuple[str, ...]

class Network:
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
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def activations(self) -> tuple[str, ...]: ...
    def __init__(
        self, weights: Sequence[NDArray[np.float64]], biases: Sequence[NDArray[np.float64]], activations: Sequence[str]
    ) -> None: ...
    def predict(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the outputs of each row.

        Args:
            x: float64[rows, inputs].

        Returns:
            float64[rows, outputs].

        Raises:
            ValueError: If a row has another number of inputs.
        """

def _checked(
    weights: list[NDArray[np.float64]], biases: list[NDArray[np.float64]], activations: Sequence[str]
) -> tuple[int, ...]:
    """Return the number of inputs and the outputs of each layer, after checking the arrays."""
