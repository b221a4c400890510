# Generated from mm/predict/predictor.pyx by `make stubs`; edit that file instead.

"""Signals in, a prediction out: inputs are scaled, and one kernel computes it, in a batch and one by one alike."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mm.predict.forest import Forest
from mm.predict.network import Network

LARGEST_SCALED: float

class Predictor:
    """The kernels of a fitted predictor, and what its inputs are before them.

    An input x is ``(x − mean)/scale``, within ``LARGEST_SCALED``; one that is a price counts as its distance from the
    mid, in ticks. Its room for a row is its own: calls of one predictor must not overlap.

    Args:
        heads: One kernel, or those of bids and asks, all `Network` or all `Forest`, of equal inputs.
        mean: float64[inputs].
        scale: float64[inputs], above 0.
        priced: Whether each input is a price.
        tick: The price step, quote asset.

    Attributes:
        heads: As given.
        inputs: Numbers of a row.

    Raises:
        ValueError: If the parts do not fit each other.
    """
    @property
    def heads(self) -> tuple[Network | Forest, ...]: ...
    @property
    def inputs(self) -> int: ...
    def __init__(
        self,
        heads: Sequence[Network | Forest],
        mean: NDArray[np.float64],
        scale: NDArray[np.float64],
        priced: Sequence[bool],
        tick: float,
    ) -> None: ...
    def predict(self, rows: NDArray[np.float64], mid_ticks: NDArray[np.float64], head: int = 0) -> NDArray[np.float64]:
        """Return the prediction of each row.

        Args:
            rows: float64[rows, inputs], NaN where a signal is not defined.
            mid_ticks: float64[rows], the mid in ticks, NaN without one.
            head: Which kernel: 0 for bids or where there is one alone, 1 for asks.

        Returns:
            float64[rows], NaN where an input is.

        Raises:
            ValueError: If a row has another number of inputs, or there is no such kernel.
        """
