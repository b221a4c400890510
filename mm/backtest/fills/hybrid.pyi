from collections.abc import Iterable

from mm.backtest.fills.base import FillModel

class Hybrid(FillModel):
    models: tuple[FillModel, ...]
    def __init__(self, models: Iterable[object]) -> None: ...
