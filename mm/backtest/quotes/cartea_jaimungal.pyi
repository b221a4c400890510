# Generated from mm/backtest/quotes/cartea_jaimungal.pyx by `make stubs`; edit that file instead.

"""Quotes after Cartea, Jaimungal and Penalva, Algorithmic and High-Frequency Trading (2015), chapter 10."""

from mm.backtest.fills.intensity import Intensity
from mm.backtest.quotes.bounded import Bounded

MODES: tuple[str, ...]

class CarteaJaimungal(Bounded):
    """Optimal quotes for expected wealth less a running and a final penalty on inventory.

    Maximised is the mean of cash + q·(mid - alpha·q) at the end, less phi·q² per second until then; how the mid moves
    does not matter as long as nobody can foresee it. With q in clips, omega solves omega' = B omega, B tridiagonal:
    -phi·k·q² on the diagonal, A/e beside it, for |q| <= q_max, from omega = exp(-alpha·k·q²). The bid's distance is
    1/k + (1/k)·ln(omega(q)/omega(q + 1)), the ask's the same with omega(q - 1). Modes:

    - ``exact``: omega after the time left; ``session``: the same, with a time left that runs down.
    - ``stationary``: omega for a horizon far away, B's eigenvector of the largest eigenvalue; alpha does not matter.

    Args:
        mode: ``exact``, ``session`` or ``stationary``.
        phi: Running penalty, in ticks/(clip·s).
        alpha: Final penalty, in ticks/clip.
        k: Decay of the fill intensity (the book's kappa), in 1/tick; None takes it from *intensity* at each instant.
        A: Fills per second of an order at the mid (the book's lambda); None takes it from *intensity*.
        horizon_s: The time left in mode ``exact``, the length of a session in mode ``session``.
        q_max: The inventory bound in whole clips; None is 30.
        intensity: The fit or schedule behind k and A; outside its segments nothing is quoted.
    """
    @property
    def phi(self) -> float: ...
    @property
    def alpha(self) -> float: ...
    def __init__(
        self,
        *,
        mode: str = "exact",
        phi: float,
        alpha: float = 0.0,
        k: float | None = None,
        A: float | None = None,
        horizon_s: float = 30.0,
        q_max: float | None = None,
        intensity: Intensity | None = None,
    ) -> None: ...
