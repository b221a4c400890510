# Generated from mm/backtest/fills/intensity.pyx by `make stubs`; edit that file instead.

"""lambda(delta) = A exp(-k delta) over time: pieces of constant A and k, per side."""

from collections.abc import Iterable
from typing import Self

from mm.backtest.fills.intensity_piece import IntensityPiece

REFERENCES: tuple[str, ...]
FOREVER: int

class Intensity:
    """A and k, constant or by segments; outside all segments the intensity is 0.

    Args:
        pieces: The segments in order of time, not overlapping; A in 1/s per resting order, k in 1/tick.
        reference: What distances are measured from: ``mid``, ``micro`` or ``best``.
    """
    @property
    def reference(self) -> str: ...
    def __new__(cls, pieces: Iterable[IntensityPiece], reference: str = "mid") -> Self: ...
    @classmethod
    def constant(cls, A: float, k: float, reference: str = "mid", sigma_ticks: float | None = None) -> Intensity:
        """Return one A and k for both sides and all time."""
    def at(self, us: int, side: int, delta: float) -> float:
        """Return the intensity in 1/s at an instant for an order of *side* at *delta* ticks."""
    def sigma_at(self, us: int) -> float | None:
        """Return the volatility in ticks/√s of the piece in force at an instant; None where it is not known."""
    def rows(self) -> list[IntensityPiece]:
        """Return the pieces as they were given."""
