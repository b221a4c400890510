"""One segment of constant λ(δ), as a Python object."""

from typing import NamedTuple


class IntensityPiece(NamedTuple):
    """λ(δ) in ``[start_us, end_us)``, with other results of its fit.

    Attributes:
        A_bid: Fills per second of a bid at distance 0.
        k_bid: Decay of the bids, in 1/tick.
        A_ask: Fills per second of an ask at distance 0.
        k_ask: Decay of the asks, in 1/tick.
        k: Decay of both sides together, in 1/tick.
        sigma_ticks: Volatility in ticks/√s over the calibration window; None if unknown.
        min_delta_ticks: Smallest distance of the fit; None if unknown.
        max_delta_ticks: Largest distance of the fit; None if unknown.
        curve: Points (distance in ticks, fills per second) of λ(δ), on both sides; none if it is A·exp(-k·δ). ln λ is
            linear between points, constant before the first, and extrapolated linearly after the last.
        adverse_ticks: Mean adverse move of the mid after a fill, measured in the window; None if not measured.
        mean_bid_per_s: Intensity of the Hawkes process of orders that hit bids at which the fill rate is λ(δ); None
            uses the mean of the process.
        mean_ask_per_s: The same for orders that hit asks.
        half_spread_ticks: Half of the mean spread in the window: the mean distance of the best prices from the mid;
            None if unknown.
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
