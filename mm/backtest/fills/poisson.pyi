from mm.backtest.fills.base import FillModel
from mm.backtest.fills.intensity import Intensity

class Poisson(FillModel):
    intensity: Intensity
    def __init__(self, intensity: Intensity, seed: int = ...) -> None: ...

def py_unit_exponential(seed: int, a: int, b: int, c: int) -> float: ...
