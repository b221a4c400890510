from mm.backtest.fills.intensity import Intensity
from mm.backtest.quotes.bounded import Bounded

MODES: tuple[str, ...]

class Gueant(Bounded):
    gamma: float
    xi: float
    delta: float
    drift: float
    impact: float
    def __init__(
        self,
        *,
        mode: str = ...,
        gamma: float = ...,
        xi: float | None = ...,
        delta: float = ...,
        k: float | None = ...,
        A: float | None = ...,
        sigma: float | None = ...,
        horizon_s: float = ...,
        q_max: float | None = ...,
        drift: float = ...,
        impact: float = ...,
        intensity: Intensity | None = ...,
        name: str = ...,
    ) -> None: ...
