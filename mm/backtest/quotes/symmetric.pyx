# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The symmetric quotes that Avellaneda and Stoikov measure theirs against."""

from mm.backtest.fills.base cimport BEST_PRICES
from mm.backtest.quotes.base cimport QuoteModel, View, Want

from mm.backtest.quotes.avellaneda_stoikov import AvellanedaStoikov
from mm.backtest.quotes.distances import AUTO
from mm.backtest.strategy_defaults import SKEW_SHARE
from mm.errors import UsageError

MODES = ("rolling", "session")


cdef class Symmetric(QuoteModel):
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

    cdef readonly QuoteModel inner

    def __init__(
        self,
        *,
        gamma: float | str = AUTO,
        skew_share: float = SKEW_SHARE,
        k: float | None = None,
        sigma: float | None = None,
        horizon_s: float = 30.0,
        mode: str = "rolling",
        intensity: object = None,
    ) -> None:
        if mode not in MODES:
            raise UsageError(f"symmetric: mode is {mode!r}; it must be one of {', '.join(MODES)}")
        if not 0.0 < horizon_s < 1e9:
            raise UsageError(f"symmetric: horizon_s is {horizon_s}; it must be above 0")
        tau_s = 0.5 * horizon_s if mode == "session" else horizon_s
        self.inner = AvellanedaStoikov(
            gamma=gamma, skew_share=skew_share, k=k, sigma=sigma, horizon_s=tau_s, intensity=intensity, name="symmetric"
        )
        self.name = "symmetric"
        self.looks, self.timeless = BEST_PRICES, self.inner.timeless

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef View empty = view[0]
        empty.most_lots -= view.inventory_lots - view.target_lots
        empty.least_lots -= view.inventory_lots - view.target_lots
        empty.inventory_lots = view.target_lots
        return self.inner.quote(&empty, want)
