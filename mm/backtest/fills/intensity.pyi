# Generated from mm/backtest/fills/intensity.pyx by `make stubs`; edit that file instead.

"""lambda(delta) over time and per side, an exponential or any falling curve, and the fills that are drawn from it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from mm.backtest.fills.base import FillModel
from mm.backtest.fills.intensity_piece import IntensityPiece
from mm.backtest.metrics.fill_states import FillStates
from mm.backtest.parameters import Declaration

REFERENCES: tuple[str, ...]
FOREVER: int

def _refuse_other_curves(number: int, curve: Sequence[tuple[float, float]]) -> None:
    """Refuse points that are no falling curve."""

class Intensity:
    """A and k, or a curve, constant or by segments; outside all segments the intensity is 0.

    Args:
        pieces: The segments in order of time, not overlapping; A in 1/s per resting order, k in 1/tick.
        reference: What distances are measured from: ``mid``, ``micro`` or ``best``.
        falling: Whether curves must fall, as they must wherever quotes or fills are made of them.
        states: Fills per second by what has happened to an order, for predictions alone, which a piece has by number;
            none where they are not known.
        clustering: What a fit or a schedule says of orders that excite each other, as ``poisson_fit.json`` has it; None
            without.
    """
    @property
    def reference(self) -> str: ...
    @property
    def states(self) -> tuple[FillStates, ...]: ...
    @property
    def clustering(self) -> Mapping[str, Any] | None: ...
    def __new__(
        cls,
        pieces: Iterable[IntensityPiece],
        reference: str = "mid",
        falling: bool = True,
        states: Sequence[FillStates] = (),
        clustering: Mapping[str, Any] | None = None,
    ) -> Self: ...
    @classmethod
    def constant(cls, A: float, k: float, reference: str = "mid", sigma_ticks: float | None = None) -> Intensity:
        """Return one A and k for both sides and all time."""
    def at(self, us: int, side: int, delta: float) -> float:
        """Return the intensity in 1/s at an instant for an order of *side* at *delta* ticks."""
    def sigma_at(self, us: int) -> float | None:
        """Return the volatility in ticks/√s of the piece in force at an instant; None where it is not known."""
    def rows(self) -> list[IntensityPiece]:
        """Return the pieces as they were given."""

def py_unit_exponential(seed: int, a: int, b: int, c: int) -> float:
    """Return the draw of a key, for tests."""

class Poisson(FillModel):
    """An order fills with intensity lambda(delta), A exp(-k delta) or the curve of a fit, whole, at its own instant.

    - delta is the distance from the intensity's reference price in ticks, and may be negative
    - one unit exponential draw for each side and stretch of constant intensity, keyed by what began it
    - the fill happens where the integrated intensity reaches the draw, if the stretch lasts that long

    Args:
        intensity: A and k or a curve, constant or by segments.
        seed: Keys every draw.
    """
    @property
    def intensity(self) -> Intensity: ...
    declared: Declaration
    def __init__(self, intensity: Intensity, seed: int = 0) -> None: ...

def poisson(
    *,
    A: float | None = None,
    k: float | None = None,
    bid: Mapping[str, float] | None = None,
    ask: Mapping[str, float] | None = None,
    intensity: Intensity | None = None,
    seed: int = 0,
) -> Poisson:
    """Return the ``Poisson`` model of one A and k, of those of each side, or of a fit's intensity.

    Raises:
        UsageError: If there is no fitted number, or more than one form of them: they have no defaults.
    """

def given_intensity(model: str, file: str, values: Mapping[str, Any]) -> Intensity:
    """Return the intensity that the parameters of a *model* give, in the one form that is there.

    Args:
        model: Its name, for messages.
        file: What FILL_PARAMS_FILE may be, likewise.
        values: ``A``, ``k``, ``bid``, ``ask`` and ``intensity``; None where one is not given.

    Raises:
        UsageError: If there is no fitted number, or more than one form of them: they have no defaults.
    """
