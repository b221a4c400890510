"""One stretch of constant λ(δ), as Python sees it."""

from typing import NamedTuple


class IntensityPiece(NamedTuple):
    """λ(δ) in ``[start_us, end_us)``, and what its fit says beside it.

    Attributes:
        start_us: First instant.
        end_us: First instant after it.
        A_bid: Fills per second of a bid at distance 0.
        k_bid: Decay of the bids, in 1/tick.
        A_ask: Fills per second of an ask at distance 0.
        k_ask: Decay of the asks, in 1/tick.
        k: Decay of both sides together, in 1/tick.
        sigma_ticks: Volatility in ticks/√s over the calibrated window; None where it is not known.
        min_delta_ticks: Nearest distance of the fit; None where it is not known.
        max_delta_ticks: Farthest distance of the fit; None where it is not known.
        curve: Points (distance in ticks, fills per second) of λ(δ), on both sides; none where it is A·exp(-k·δ). ln λ
            runs straight between two points, is flat before the first, and goes on as the last two beyond the last.
        adverse_ticks: What the mid moves against an order after a fill, as its window measured; None where it did not.
        mean_bid_per_s: Mean intensity of the process that clusters, of orders that hit bids, where fills come as often
            as λ(δ) says; None for that of the process.
        mean_ask_per_s: Of orders that hit asks, likewise.
        states: Number of the intensity's ``states`` that predict.
        states_level: How many times as many fills come as these say.
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
    states: int = 0
    states_level: float = 1.0
