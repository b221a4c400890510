# Generated from mm/backtest/quotes/gueant.pyx by `make stubs`; edit that file instead.

"""Quotes after Guéant, Optimal market making, Applied Mathematical Finance 24(2), 112-154 (2017; arXiv 1605.01862)."""

from mm.backtest.fills.intensity import Intensity
from mm.backtest.quotes.bounded import Bounded

MODES: tuple[str, ...]

class Gueant(Bounded):
    """Optimal quotes for orders of *delta* clips and two attitudes to risk.

    *gamma* is the price of inventory risk, gamma·sigma²·q²/2 per second, and *xi* that of the risk of fills: xi = gamma
    is an exponential utility, xi = 0 a mean less that running variance. With n = q/delta, x = xi·delta/k and
    eta = A·(1 + x)^-(1 + 1/x)·exp(-k·impact/2), v solves v' = -M v, M tridiagonal with
    k·gamma·sigma²·delta·n²/2 - k·drift·n on the diagonal and -eta beside it, for |q| <= q_max, from
    v = exp(-k·impact·n²/2). The bid's distance is ln(1 + x)/(xi·delta) + impact/2 + (1/k)·ln(v(n)/v(n + 1)), the ask's
    the same with v(n - 1). Modes:

    - ``exact``: v after the time left; ``session``: the same, with a time left that runs down.
    - ``stationary``: v for a horizon far away, M's eigenvector of the smallest eigenvalue.
    - ``closed_form``: his approximation of it (equations 4.6, 4.7): with S = sqrt(gamma·sigma²·delta/(2·k·eta)) the
      last term is (n + 1/2)·S for the bid and -(n - 1/2)·S for the ask; drift takes drift/(gamma·sigma²·delta) from n.

    Args:
        mode: ``closed_form``, ``stationary``, ``exact`` or ``session``.
        gamma: Risk aversion, in 1/(tick·clip), or ``auto``: see ``Distances``. Skew and half-spread are then those of
            ``closed_form``, in every mode.
        skew_share: What ``auto`` solves for.
        xi: Aversion to the risk of fills, in 1/(tick·clip); None is *gamma*.
        delta: The order size in clips; orders are sent in this size, to the nearest lot.
        k: Decay of the fill intensity, in 1/tick; None takes it from *intensity* at each instant.
        A: Fills per second of an order at the mid; None takes it from *intensity*.
        sigma: Volatility in ticks/√s; None takes the tape's own, estimated from its past.
        horizon_s: The time left in mode ``exact``, the length of a session in mode ``session``.
        q_max: The inventory bound in clips, a multiple of *delta* but for ``closed_form``; None is 30 orders, and in
            ``closed_form`` none.
        drift: Of the mid, in ticks per second.
        impact: How far a fill of ours moves the mid against us, in ticks.
        intensity: The fit or schedule behind k and A; outside its segments nothing is quoted.
        name: As results show it.
    """
    @property
    def xi(self) -> float: ...
    @property
    def delta(self) -> float: ...
    @property
    def drift(self) -> float: ...
    @property
    def impact(self) -> float: ...
    def __init__(
        self,
        *,
        mode: str = "closed_form",
        gamma: float | str = ...,
        skew_share: float = ...,
        xi: float | None = None,
        delta: float = 1.0,
        k: float | None = None,
        A: float | None = None,
        sigma: float | None = None,
        horizon_s: float = 30.0,
        q_max: float | None = None,
        drift: float = 0.0,
        impact: float = 0.0,
        intensity: Intensity | None = None,
        name: str = "gueant",
    ) -> None: ...
