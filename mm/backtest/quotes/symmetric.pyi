"""The benchmark of Avellaneda and Stoikov."""

from mm.backtest.fills.intensity import Intensity
from mm.backtest.quotes.base import QuoteModel

MODES: tuple[str, ...]

class Symmetric(QuoteModel):
    def __init__(
        self,
        *,
        gamma: float = ...,
        k: float | None = ...,
        sigma: float | None = ...,
        horizon_s: float = ...,
        mode: str = ...,
        intensity: Intensity | None = ...,
    ) -> None: ...
