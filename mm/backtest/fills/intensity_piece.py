"""One segment of constant λ(δ), as a Python object."""

from typing import NamedTuple


class IntensityPiece(NamedTuple):
    """λ(δ) in ``[start_us, end_us)``, and other results of its fit.

    Attributes:
        curve: Points (ticks, fills per second) on both sides; none if λ is A·exp(-k·δ). ln λ is linear between points,
            constant before the first, extrapolated after the last.
        mean_bid_per_s: Hawkes intensity of orders hitting bids at which the fill rate is λ(δ); None is the process'
            mean.
    """

    start_us: int
    end_us: int
    A_bid: float
    k_bid: float
    A_ask: float
    k_ask: float
    k: float
    sigma_ticks: float | None = None
    min_delta_ticks: float | None = None
    max_delta_ticks: float | None = None
    curve: tuple[tuple[float, float], ...] = ()
    adverse_ticks: float | None = None
    mean_bid_per_s: float | None = None
    mean_ask_per_s: float | None = None
    half_spread_ticks: float | None = None
