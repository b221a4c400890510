"""Quote models: where to quote."""

from mm.backtest.quotes.base import QuoteModel

class Centred(QuoteModel):
    skew_ticks: float
    q_max: float
    def __init__(self, *, skew_ticks: float, q_max: float | None) -> None: ...

class InventorySkew(Centred):
    delta_ticks: float
    def __init__(self, *, delta_ticks: float, skew_ticks: float, q_max: float | None = ...) -> None: ...

class Imbalance(Centred):
    delta_ticks: float
    shift_ticks: float
    def __init__(
        self, *, delta_ticks: float, shift_ticks: float, skew_ticks: float = ..., q_max: float | None = ...
    ) -> None: ...

class Microprice(Centred):
    delta_ticks: float
    def __init__(self, *, delta_ticks: float, skew_ticks: float = ..., q_max: float | None = ...) -> None: ...

class AdaptiveSpread(Centred):
    least_ticks: float
    per_sigma: float
    sigma: float
    def __init__(
        self,
        *,
        least_ticks: float,
        per_sigma: float,
        sigma: float | None = ...,
        skew_ticks: float = ...,
        q_max: float | None = ...,
    ) -> None: ...
