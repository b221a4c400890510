from mm.backtest.fills.intensity import Intensity
from mm.backtest.quotes.distances import Distances

MODES: tuple[str, ...]

class AvellanedaStoikov(Distances):
    gamma: float
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
