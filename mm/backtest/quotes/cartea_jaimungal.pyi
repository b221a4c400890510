from mm.backtest.fills.intensity import Intensity
from mm.backtest.quotes.bounded import Bounded

MODES: tuple[str, ...]

class CarteaJaimungal(Bounded):
    phi: float
    alpha: float
    def __init__(
        self,
        *,
        mode: str = ...,
        phi: float,
        alpha: float = ...,
        k: float | None = ...,
        A: float | None = ...,
        horizon_s: float = ...,
        q_max: float | None = ...,
        intensity: Intensity | None = ...,
    ) -> None: ...
