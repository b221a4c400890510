# Generated from mm/backtest/fills/poisson.pyx by `make stubs`; edit that file instead.

"""Fills drawn from an intensity, at their own instants between two messages."""

from mm.backtest.fills.base import FillModel
from mm.backtest.fills.intensity import Intensity

def py_unit_exponential(seed: int, a: int, b: int, c: int) -> float:
    """Return the draw of a key: the door for tests."""

class Poisson(FillModel):
    """An order fills with intensity lambda(delta) = A exp(-k delta), whole, at its own instant.

    - delta is the distance from the intensity's reference price in ticks, and may be negative
    - one unit exponential draw for each side and stretch of constant intensity, keyed by what began it
    - the fill happens where the integrated intensity reaches the draw, if the stretch lasts that long

    Args:
        intensity: A and k, constant or by segments.
        seed: Keys every draw.
    """
    @property
    def intensity(self) -> Intensity: ...
    def __init__(self, intensity: Intensity, seed: int = 0) -> None: ...
