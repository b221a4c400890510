# Generated from mm/backtest/quotes/distances.pyx by `make stubs`; edit that file instead.

"""Base of quote models whose formula gives the distances of bid and ask from the mid."""

import numpy as np
from numpy.typing import NDArray

from mm.backtest.fills.intensity import Intensity
from mm.backtest.parameters import Declaration
from mm.backtest.quotes.base import QuoteModel

class Distances(QuoteModel):
    """Base of models that quote at distances from the mid: override ``formula``.

    A formula takes the inventory q in clips, and the current time left, sigma, k and A. This class supplies them: k and
    A from the parameters or from the fit or schedule, sigma from the parameters or estimated from the tape, the time
    left by the mode. While a value that the formula needs is unknown, nothing is quoted.

    A gamma of ``auto`` is the one at which a clip of inventory moves the reservation price by *skew_share* of the
    half-spread, over *horizon_s*: the root of one equation, for the current k and A and a slowly varying sigma
    (*sigma*, else that of the fit or the segment, else that of the whole run so far; before that is known, the one at
    which the mid moves by 1/k within the horizon). It is at most k: when the mid hardly moves, a larger gamma would
    reduce the spread to zero. With ``auto`` that sigma is also used while the current one is unknown, so quotes begin
    at once.

    In mode ``session`` the time left runs from *horizon_s* down to 0, repeatedly; in all others it is constant.
    """
    @property
    def k(self) -> float: ...
    @property
    def A(self) -> float: ...
    @property
    def sigma(self) -> float: ...
    @property
    def horizon_s(self) -> float: ...
    @property
    def q_max(self) -> float: ...
    @property
    def gamma(self) -> float: ...
    @property
    def skew_share(self) -> float: ...
    @property
    def mode(self) -> str: ...
    declared: Declaration
    def __init__(
        self,
        *,
        gamma: float | str = "auto",
        skew_share: float = 0.1,
        k: float | None = None,
        A: float | None = None,
        sigma: float | None = None,
        horizon_s: float = 30.0,
        q_max: float | None = None,
        mode: str = "rolling",
        intensity: Intensity | None = None,
    ) -> None: ...
    def gammas(self) -> NDArray[np.float64]:
        """Return the gammas used, with the number of quotes of each, in chronological order: float64[gammas, 2]."""
    def sources(self) -> dict[str, str | None]:
        """Return the sources of k and A if they are not numbers: ``touch`` or ``fit``; None if A is not used."""
    def distances(
        self,
        q: float,
        tau_s: float | None = None,
        sigma: float | None = None,
        k: float | None = None,
        A: float | None = None,
    ) -> tuple[float, float]:
        """Return the distances of bid and ask from the mid by the plain formula, in ticks; infinite is no quote.

        Args:
            q: Inventory in clips.
            tau_s: Time left in seconds; None is the model's ``horizon_s``.
            sigma: Volatility in ticks/√s; None is the model's own, as with *k* (1/tick) and *A* (1/s). A
                gamma of ``auto`` is computed from it as well.

        Raises:
            UsageError: If a value is out of range, or given neither here nor to the model.
        """
