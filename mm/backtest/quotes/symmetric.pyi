# Generated from mm/backtest/quotes/symmetric.pyx by `make stubs`; edit that file instead.

"""The symmetric quotes that Avellaneda and Stoikov measure theirs against."""

from mm.backtest.quotes.base import QuoteModel

MODES: tuple[str, ...]

class Symmetric(QuoteModel):
    """Quote the spread of ``AvellanedaStoikov`` around the mid, whatever the inventory.

    In mode ``rolling`` the spread is the one that model has with tau = *horizon_s*; in mode ``session`` it is the
    benchmark of section 3.3, its mean over a session: half of it is gamma·sigma²·horizon_s/4 and the markup.

    Args:
        gamma: Risk aversion, in 1/(tick·clip), or ``auto``, as in ``AvellanedaStoikov``.
        skew_share: What ``auto`` solves for.
        k: Decay of the fill intensity, in 1/tick; None takes it from *intensity* at each instant.
        sigma: Volatility in ticks/√s; None takes the tape's own, estimated from its past.
        horizon_s: tau in mode ``rolling``, the length of the session in mode ``session``.
        mode: ``rolling`` or ``session``.
        intensity: The fit or schedule behind k; outside its segments nothing is quoted.
    """
    @property
    def inner(self) -> QuoteModel: ...
    def __init__(
        self,
        *,
        gamma: float | str = ...,
        skew_share: float = ...,
        k: float | None = None,
        sigma: float | None = None,
        horizon_s: float = 30.0,
        mode: str = "rolling",
        intensity: object = None,
    ) -> None: ...
