# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Quotes after Guéant, Lehalle and Fernandez-Tapia, Mathematics and Financial Economics 7, 477-507 (2013)."""

from mm.backtest.fills.intensity cimport Intensity
from mm.backtest.quotes.gueant cimport Gueant

from mm.backtest.quotes.distances import AUTO
from mm.backtest.strategy_defaults import SKEW_SHARE


cdef class Glft(Gueant):
    """Optimal quotes for an exponential utility, orders of one clip and a bounded inventory.

    The case xi = gamma, delta = 1 of ``Gueant``, whose formulas and modes these are: alpha = k·gamma·sigma²/2,
    eta = A·(1 + gamma/k)^-(1 + k/gamma), and a distance of (1/gamma)·ln(1 + gamma/k) + (1/k)·ln(v(q)/v(q + 1)).

    Args:
        mode: ``stationary``, ``exact``, ``session`` or ``closed_form``.
        gamma: Risk aversion, in 1/(tick·clip), or ``auto``.
        skew_share: What ``auto`` solves for.
        k: Decay of the fill intensity, in 1/tick; None takes it from *intensity* at each instant.
        A: Fills per second of an order at the mid; None takes it from *intensity*.
        sigma: Volatility in ticks/√s; None takes the tape's own, estimated from its past.
        horizon_s: The time left in mode ``exact``, the length of a session in mode ``session``.
        q_max: The inventory bound in clips, whole ones but for ``closed_form``; None is 30, in ``closed_form`` none.
        drift: Of the mid, in ticks per second.
        impact: How far a fill of ours moves the mid against us, in ticks.
        intensity: The fit or schedule behind k and A; outside its segments nothing is quoted.
    """

    def __init__(
        self,
        *,
        mode: str = "stationary",
        gamma: float | str = AUTO,
        skew_share: float = SKEW_SHARE,
        k: float | None = None,
        A: float | None = None,
        sigma: float | None = None,
        horizon_s: float = 30.0,
        q_max: float | None = None,
        drift: float = 0.0,
        impact: float = 0.0,
        intensity: Intensity | None = None,
    ) -> None:
        super().__init__(
            name="glft",
            mode=mode,
            gamma=gamma,
            skew_share=skew_share,
            k=k,
            A=A,
            sigma=sigma,
            horizon_s=horizon_s,
            q_max=q_max,
            drift=drift,
            impact=impact,
            intensity=intensity,
        )
