from mm.backtest.fills.intensity import Intensity
from mm.backtest.quotes.base import QuoteModel

class Distances(QuoteModel):
    k: float
    A: float
    sigma: float
    horizon_s: float
    q_max: float
    mode: str
    def __init__(
        self,
        *,
        name: str,
        mode: str,
        modes: tuple[str, ...],
        k: float | None,
        A: float | None,
        sigma: float | None,
        horizon_s: float,
        q_max: float | None,
        intensity: Intensity | None,
        needs: tuple[str, ...],
    ) -> None: ...
    def above_zero(self, **values: float | None) -> None: ...
    def not_below_zero(self, **values: float | None) -> None: ...
    def distances(
        self,
        q: float,
        tau_s: float | None = ...,
        sigma: float | None = ...,
        k: float | None = ...,
        A: float | None = ...,
    ) -> tuple[float, float]: ...
