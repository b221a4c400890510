# Generated from mm/predict/predictor.pyx by `make stubs`; edit that file instead.

"""Predictions from signals: scaled inputs, evaluated by one kernel in batches or row by row with equal results."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mm.predict.forest import Forest
from mm.predict.network import Network

LARGEST_SCALED: float

class Predictor:
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
            head: Index of the kernel: 0 for bids or the only one, 1 for asks.

        Returns:
            float64[rows], NaN where an input is.

        Raises:
            ValueError: If a row has another number of inputs, or there is no such kernel.
        """
