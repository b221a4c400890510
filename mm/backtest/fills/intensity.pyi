# Generated from mm/backtest/fills/intensity.pyx by `make stubs`; edit that file instead.

"""Fill intensity lambda(delta) over time and per side, exponential or any decreasing curve, and fills drawn from it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from mm.backtest.fills.base import FillModel
from mm.backtest.fills.intensity_piece import IntensityPiece
from mm.backtest.metrics.fill_states import FillStates
from mm.backtest.parameters import Declaration

REFERENCES: tuple[str, ...]
FOREVER: int

def _check_curve(number: int, curve: Sequence[tuple[float, float]]) -> None:
    """Raise UsageError unless the points are a decreasing curve."""

class Intensity:
    """A and k, or a curve, constant or by segments; outside all segments the intensity is 0.

    Args:
        pieces: The segments in chronological order, not overlapping; A in 1/s per resting order, k in 1/tick.
        reference: Reference price of distances: ``mid``, ``micro``, ``best`` or ``sweep``.
        falling: Whether curves must decrease, as needed for quotes and fills.
        states: Fill rates by the state of an order, only for predictions; pieces refer to them by index. Empty if
            unknown.
        clustering: The block ``clustering`` of a fit or a schedule, as in ``poisson_fit.json``; None without.
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
        """Return an intensity with one A and k for both sides at all times."""
    def at(self, us: int, side: int, delta: float) -> float:
        """Return the intensity in 1/s at an instant for an order of *side* at *delta* ticks."""
    def sigma_at(self, us: int) -> float | None:
        """Return the volatility in ticks/√s of the piece in force at an instant; None if unknown."""
    @property
    def from_best(self) -> bool:
        """Whether distances count from the best price of the order's side."""
    @property
    def from_mid(self) -> bool:
        """Whether A for distances from the mid is known in every piece."""
    def rows(self) -> list[IntensityPiece]:
        """Return the pieces as given."""

def py_unit_exponential(seed: int, a: int, b: int, c: int) -> float:
    """Return the draw of a key, for tests."""

class Poisson(FillModel):
    """An order fills completely, with intensity lambda(delta): A exp(-k delta) or the curve of a fit.

    - delta is the distance from the intensity's reference price in ticks, and may be negative
    - one unit exponential draw per side and stretch of constant intensity, keyed by the event that began it
    - the fill happens when the integrated intensity reaches the draw, if the stretch lasts that long

    Args:
        intensity: A and k or a curve, constant or by segments.
        seed: Seed of all draws.
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
    """Return the ``Poisson`` model for one A and k, an A and k per side, or the intensity of a fit.

    Raises:
        UsageError: If the intensity is missing (it has no default) or given in more than one form.
    """

def given_intensity(model: str, file: str, values: Mapping[str, Any]) -> Intensity:
    """Return the intensity given by the parameters of a *model*.

    Args:
        model: Its name, for messages.
        file: Description of FILL_PARAMS_FILE, for messages.
        values: ``A``, ``k``, ``bid``, ``ask`` and ``intensity``; None if not given.

    Raises:
        UsageError: If the intensity is missing (it has no default) or given in more than one form.
    """
