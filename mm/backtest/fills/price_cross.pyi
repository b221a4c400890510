from mm.backtest.fills.base import FillModel

class PriceCross(FillModel):
    penetration_ticks: int
    def __init__(self, *, penetration_ticks: int = 0) -> None: ...
