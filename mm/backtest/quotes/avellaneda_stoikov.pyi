from mm.backtest.fills.intensity import Intensity
from mm.backtest.quotes.base import QuoteModel

MODES: tuple[str, ...]

class AvellanedaStoikov(QuoteModel):
    gamma: float
    k: float
    sigma: float
    horizon_s: float
    q_max: float
    mode: str
    def __init__(
        self,
        *,
        gamma: float = ...,
        k: float | None = ...,
        sigma: float | None = ...,
        horizon_s: float = ...,
        mode: str = ...,
        q_max: float | None = ...,
        intensity: Intensity | None = ...,
    ) -> None: ...
    def distances(self, q: float, tau_s: float, sigma: float, k: float) -> tuple[float, float]: ...
