# Generated from mm/backtest/quotes/optimal_curve.pyx by `make stubs`; edit that file instead.

"""Optimal quotes for any decreasing fill intensity, by a numeric solution of the Hamilton-Jacobi-Bellman equation.

- Guéant, Optimal market making, Applied Mathematical Finance 24(2), 112-154 (2017; arXiv 1605.01862), section 3
- Howard, Dynamic Programming and Markov Processes (1960): policy iteration, which is Newton's method here
"""

from typing import Self

from mm.backtest.fills.intensity import Intensity
from mm.backtest.parameters import Declaration
from mm.backtest.quotes.distances import Distances

MOST_POINTS: int
MOST_CLIPS: int

def _is_curve(value: object) -> bool:
    """Return whether *value* is a list of points (delta, rate) with rising deltas and falling rates."""

class CurveLevels:
    """Solves for the values of the inventory levels -Q .. Q of a maker with any decreasing fill intensity λ(δ).

    With Δ(q) the value of level q, a fill at distance δ that leads from q to r earns
    u = δ - costs + Δ(r) - Δ(q). With an infinite horizon the maker solves, for all q at once,

        c = drift·q - risk·q² / 2 + Σ over both sides  max over δ of λ(δ)·(1 - exp(-xi·u)) / xi

    for Δ and the gain c per second (xi = 0: λ(δ)·u). Newton's method on the steps Δ(q+1) - Δ(q) is Howard's policy
    iteration: quotes for given values, then values for given quotes. Each linear system is solved from both ends
    towards the cheapest level, so that no term is a difference of two large ones.

    Args:
        bound: Q, in clips.
        xi: Aversion to the risk of fills, 1/(tick·clip).
        costs: Costs of a fill, in ticks.
    """
    @property
    def bound(self) -> int: ...
    def __new__(cls, bound: int, xi: float, costs: float) -> Self: ...

class OptimalCurve(Distances):
    """Optimal quotes for a measured fill intensity, an infinite horizon and a bounded inventory.

    It maximises the mean gain per second less gamma·sigma²·q²/2; with *xi* above 0 the risk of the fills is penalised
    as well; see ``CurveLevels`` for the equation. With A·exp(-k·δ) it is ``gueant`` in mode
    ``stationary`` with the same xi and an impact of twice the costs, solved by another method. A curve is constant
    below its first point, so no price within the spread fills more often than measured; xi must then be 0, because an
    exponential utility would be dominated by inventories that such a maker cannot reduce fast enough.

    Between two whole levels, after a partial fill, values are interpolated linearly. If sigma comes from the tape,
    values of levels are interpolated between solutions for 32 values of sigma² per octave: the error is below 1e-4 of
    a step. ``distances`` is exact.

    Without *curve*, k and A, and with xi 0, the curve is that of the fit or of the segment in force, if its chosen
    shape is not the exponential. If k and A are those of a segment, so are the moves after fills,
    unless *adverse_ticks* is given.

    A gamma of ``auto`` is that of ``gueant`` for the exponential that touches the curve where a maker without
    inventory risk quotes; ``k`` and ``A`` are this exponential's.
    """

    declared: Declaration
    @property
    def drift(self) -> float: ...
    def __init__(
        self,
        *,
        curve: list[list[float]] | None = None,
        gamma: float | str = "auto",
        skew_share: float = 0.1,
        xi: float = 0.0,
        k: float | None = None,
        A: float | None = None,
        sigma: float | None = None,
        horizon_s: float = 30.0,
        q_max: float = 30.0,
        drift: float = 0.0,
        adverse_ticks: float = 0.0,
        fee_ticks: float = 0.0,
        intensity: Intensity | None = None,
    ) -> None: ...
