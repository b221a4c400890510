from mm.backtest.fills.intensity import Intensity
from mm.backtest.quotes.gueant import Gueant

class Glft(Gueant):
    def __init__(
        self,
        *,
        mode: str = ...,
        gamma: float = ...,
        k: float | None = ...,
        A: float | None = ...,
        sigma: float | None = ...,
        horizon_s: float = ...,
        q_max: float | None = ...,
        drift: float = ...,
        impact: float = ...,
        intensity: Intensity | None = ...,
    ) -> None: ...
