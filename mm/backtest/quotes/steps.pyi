"""Steps around a quote model."""

from mm.backtest.quotes.base import QuoteModel

class Step(QuoteModel):
    inner: QuoteModel
    def __init__(self, inner: object, step: str) -> None: ...

class InventoryBound(Step):
    q_max: float
    def __init__(self, inner: object, *, q_max: float) -> None: ...

class FushimiSize(Step):
    eta: float
    def __init__(self, inner: object, *, eta: float) -> None: ...

class PostOnly(Step):
    def __init__(self, inner: object) -> None: ...

class LeastSpread(Step):
    ticks: float
    def __init__(self, inner: object, *, ticks: float) -> None: ...

class RoundTo(Step):
    ticks: int
    def __init__(self, inner: object, *, ticks: int) -> None: ...

class Widen(Step):
    extra_ticks: float
    inventory: float
    loss: float
    recover: float
    def __init__(
        self,
        inner: object,
        *,
        extra_ticks: float,
        inventory: float | None = ...,
        loss: float | None = ...,
        recover: float = ...,
    ) -> None: ...
