# Generated from mm/backtest/quotes/distances.pyx by `make stubs`; edit that file instead.

"""The base of quotes whose formula gives the distances of bid and ask from the mid."""

import numpy as np
from numpy.typing import NDArray

from mm.backtest.fills.intensity import Intensity
from mm.backtest.parameters import Declaration
from mm.backtest.quotes.base import QuoteModel

class Distances(QuoteModel):
    """Base of models that quote at distances from the mid: override ``formula``.

    A formula takes the inventory q in clips, and the time left, sigma, k and A of the moment. Here these are found: k
    and A in the parameters or in the fit or schedule, sigma in the parameters or in the tape's past, the time left by
    the mode. Where one that the formula needs is not known, nothing is quoted.

    A gamma of ``auto`` is the one at which a clip of inventory moves the reservation price by *skew_share* of the
    half-spread, over *horizon_s*: the root of one equation, for k and A of the moment and a sigma that hardly moves
    (*sigma*, else the one that the fit or the segment carries, else that of the whole run so far; before that is known,
    the one at which the mid moves by 1/k within the horizon). It is k at most: where the mid hardly moves, a larger
    gamma would narrow the spread to nothing. With ``auto`` that sigma is also used while the current one is not known,
    so quotes begin at once.

    In mode ``session`` the time left runs from *horizon_s* down to 0, again and again; all others hold it there.
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
        """Return each gamma that quotes were made with, and how many, in order of time: shape (gammas, 2)."""
    def sources(self) -> dict[str, str | None]:
        """Return where k and A come from if they are no numbers: ``touch`` or ``fit``; None where A is not used."""
    def distances(
        self,
        q: float,
        tau_s: float | None = None,
        sigma: float | None = None,
        k: float | None = None,
        A: float | None = None,
    ) -> tuple[float, float]:
        """Return the bare formula's distances of bid and ask from the mid, in ticks; infinite is no quote.

        Args:
            q: Inventory in clips.
            tau_s: Time left in seconds; None is the model's ``horizon_s``.
            sigma: Volatility in ticks/√s; None is the model's own, as with *k* (1/tick) and *A* (1/s). It is also
                what a gamma of ``auto`` follows from.

        Raises:
            UsageError: If a value is out of its range, or neither given here nor to the model.
        """
