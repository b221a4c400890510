# Generated from mm/backtest/quotes/avellaneda_stoikov.pyx by `make stubs`; edit that file instead.

"""Quotes after Avellaneda and Stoikov, Quantitative Finance 8(3), 217-224 (2008)."""

from mm.backtest.fills.intensity import Intensity
from mm.backtest.quotes.distances import Distances

MODES: tuple[str, ...]

class AvellanedaStoikov(Distances):
    """Reservation price and optimal spread for an exponential utility.

    With q the inventory in clips (multiples of the quoted quantity) and tau the time left,
    reservation r = mid - q·gamma·sigma²·tau and half spread gamma·sigma²·tau/2 + (1/gamma)·ln(1 + gamma/k)
    (equations 29 and 30); the bid is r - half spread, the ask r + half spread. In mode ``infinite`` each
    side has its own reservation price, those of section 2.3 with w = gamma²·sigma²·(q_max + 1)²/2: the bid's
    is mid + ln(1 - (1 + 2q)/((q_max + 1)² - q²))/gamma, the ask's its mirror image in q. (The paper prints
    the ask's with another sign inside the logarithm, which its own value function does not give.)

    Args:
        gamma: Risk aversion, in 1/(tick·clip), or ``auto``: see ``Distances``. In mode ``infinite`` that takes the
            slope of the reservation price at q = 0.
        skew_share: What ``auto`` solves for.
        k: Decay of the fill intensity, in 1/tick; None takes it from *intensity* at each instant.
        sigma: Volatility in ticks/√s; None takes the tape's own, estimated from its past.
        horizon_s: tau in mode ``rolling``; length of the sessions, one after another, in mode ``session``.
        mode: ``rolling``, ``session`` or ``infinite``.
        q_max: Inventory bound in clips: no bid at q >= q_max, no ask at q <= -q_max; ``infinite`` needs it.
        intensity: The fit or schedule behind k; outside its segments nothing is quoted.
        name: As results show it.
    """
    def __init__(
        self,
        *,
        gamma: float | str = ...,
        skew_share: float = ...,
        k: float | None = None,
        sigma: float | None = None,
        horizon_s: float = 30.0,
        mode: str = "rolling",
        q_max: float | None = None,
        intensity: Intensity | None = None,
        name: str = "avellaneda_stoikov",
    ) -> None: ...
