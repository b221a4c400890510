"""Quotes where the expected value of a fill is largest."""

from mm.backtest.fills.intensity import Intensity
from mm.backtest.quotes.base import QuoteModel

class ExpectedValue(QuoteModel):
    A: float
    k: float
    horizon_s: float
    adverse_ticks: float
    fee_ticks: float
    skew_ticks: float
    q_max: float
    def __init__(
        self,
        *,
        A: float | None = ...,
        k: float | None = ...,
        horizon_s: float = ...,
        adverse_ticks: float = ...,
        fee_ticks: float = ...,
        skew_ticks: float = ...,
        q_max: float | None = ...,
        intensity: Intensity | None = ...,
    ) -> None: ...
