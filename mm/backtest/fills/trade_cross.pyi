from mm.backtest.fills.base import FillModel

class TradeCross(FillModel):
    strict: bool
    share: float
    penetration_ticks: int
    def __init__(self, *, strict: bool = ..., share: float = ..., penetration_ticks: int = ...) -> None: ...
