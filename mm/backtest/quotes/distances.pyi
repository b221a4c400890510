# Generated from mm/backtest/quotes/distances.pyx by `make stubs`; edit that file instead.

"""The base of quotes whose formula says how far bid and ask stand from the mid."""

from mm.backtest.fills.intensity import Intensity
from mm.backtest.quotes.base import QuoteModel

AUTO: str

class Distances(QuoteModel):
    """Base of models that answer with distances from the mid: override ``formula``.

    A formula is asked with inventory q in clips, and with the time left, sigma, k and A of the moment. Here these are
    found: k and A in the parameters or in the fit or schedule, sigma in the parameters or in the tape's past, the time
    left by the mode. Where one that the formula needs is not known, nothing is quoted.

    A gamma of ``auto`` is the one at which a clip of inventory moves the reservation price by *skew_share* of the
    half-spread, over *horizon_s*: the root of one equation, for k and A of the moment and a sigma that hardly moves
    (*sigma*, else the one that the fit or the segment carries, else that of the whole run so far; before that is known,
    the one at which the mid moves by 1/k within the horizon). It is k at most: where the mid hardly moves, a larger
    gamma would narrow the spread to nothing. With ``auto`` that sigma is also used while the current one is not known,
    so quotes begin at once.

    Args:
        mode: Which formula, one of *modes*; ``session`` lets the time left run from *horizon_s* down to 0, again and
            again, all others hold it at *horizon_s*.
        k: Decay of the fill intensity, in 1/tick; None takes it from *intensity* at each instant.
        A: Fills per second of an order at the mid; None takes it from *intensity*.
        sigma: Volatility in ticks/√s; None takes the tape's own, estimated from its past.
        horizon_s: The time left, or the length of the sessions, one after another.
        q_max: Inventory bound in clips: no bid at q >= q_max, no ask at q <= -q_max.
        intensity: The fit or schedule behind k and A; outside its segments nothing is quoted.
        gamma: Risk aversion, in 1/(tick·clip), ``auto``, or None in a formula without one.
        skew_share: The share that ``auto`` solves for, above 0 and at most 1.
        needs: What the formula looks at beside q, time left and k: ``A``, ``sigma``.
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
    def __init__(
        self,
        *,
        name: str,
        mode: str,
        modes: tuple[str, ...],
        k: float | None,
        A: float | None,
        sigma: float | None,
        horizon_s: float,
        q_max: float | None,
        intensity: Intensity | None,
        needs: tuple[str, ...],
        gamma: float | str | None = None,
        skew_share: float = ...,
    ) -> None: ...
    def number_or_auto(self, gamma: object) -> float:
        """Return a gamma that is a number.

        Raises:
            UsageError: If it is neither a number above 0 nor ``auto``.
        """
    def gammas(self) -> list[tuple[float, int]]:
        """Return each gamma that quotes were made with, and how many, in order of time."""
    def above_zero(self, **values: float | None) -> None:
        """Refuse a value that is not above 0 and finite; None is not given.

        Raises:
            UsageError: With the name and the value.
        """
    def not_below_zero(self, **values: float | None) -> None:
        """Refuse a value below 0 or not finite; None is not given.

        Raises:
            UsageError: With the name and the value.
        """
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
