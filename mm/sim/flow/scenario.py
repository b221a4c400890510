"""The scenarios by name: each a set of parameters, and how to make one session of its market.

A field of a scenario is a flag of ``mm sim day``. The market itself stands in a module of its own, which is
loaded when a session is made.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from mm.errors import UsageError
from mm.instrument import E8, Instrument, e8
from mm.knobs import decimal, knob, number, whole
from mm.sim.flow.session import MarketDay, Session

MIN_NOTIONAL_E8 = 5 * E8
_RATE = number(0, 100)  # more orders of a side than this crowd the milliseconds that tell them apart
_DECAY = number(0.001, 100)


@dataclass(frozen=True, kw_only=True)
class Poisson:
    """Aggressive orders whose reach past the mid is exponential, so that A and k are exact."""

    name: ClassVar[str] = "poisson"

    A_per_s: float = knob(0.8, _RATE, "Aggressive orders of a side, in 1/s.", flag="--A")
    k_per_tick: float = knob(0.35, _DECAY, "Decay of their reach past the mid, in 1/tick.", flag="--k")
    A_bid_per_s: float | None = knob(None, _RATE, "A of the orders that hit bids; without it A.", flag="--A-bid")
    A_ask_per_s: float | None = knob(None, _RATE, "A of the orders that hit asks; without it A.", flag="--A-ask")
    k_bid_per_tick: float | None = knob(None, _DECAY, "k of the orders that hit bids; without it k.", flag="--k-bid")
    k_ask_per_tick: float | None = knob(None, _DECAY, "k of the orders that hit asks; without it k.", flag="--k-ask")
    sigma_ticks_per_sqrt_s: float = knob(0.4, number(0, 1000), "Volatility of the mid, in ticks per √s.")
    spread_ticks: int = knob(2, whole(1, 1000), "From best bid to best ask, in ticks.")
    start_price: str = knob("100", decimal("0.00000001", "1000000000"), "The mid at the opening, in the quote asset.")
    level_qty: str = knob(
        "10", decimal("0.00000001", "1000000"), "Mean quantity of a level of the book, in the base asset."
    )
    tick_size: str = knob("0.01", decimal("0.00000001"), "Price step, in the quote asset.")
    qty_step: str = knob("0.001", decimal("0.00000001"), "Quantity step, in the base asset.")

    def __post_init__(self) -> None:
        for text, step, flags in (
            (self.start_price, self.tick_size, "--start-price {} (START_PRICE) is no multiple of --tick-size {}"),
            (self.level_qty, self.qty_step, "--level-qty {} (LEVEL_QTY) is no multiple of --qty-step {}"),
        ):
            if e8(text) % e8(step):
                raise UsageError(flags.format(text, step) + "; change one of them")

    def rate(self, side: int) -> tuple[float, float]:
        """Return A (1/s) and k (1/tick) of the orders that hit a resting order of *side*, +1 bid or -1 ask."""
        own = (self.A_bid_per_s, self.k_bid_per_tick) if side > 0 else (self.A_ask_per_s, self.k_ask_per_tick)
        A, k = (
            common if value is None else value
            for value, common in zip(own, (self.A_per_s, self.k_per_tick), strict=True)
        )
        return A, k

    def instrument(self, symbol: str) -> Instrument:
        """Return the grid that the market trades on."""
        return Instrument(symbol, e8(self.tick_size), e8(self.qty_step), MIN_NOTIONAL_E8)

    def simulate(self, session: Session) -> MarketDay:
        """Return one session of the market; raises UsageError where the parameters allow no such market."""
        from mm.sim.flow import poisson_day

        return poisson_day.simulate(self, session)

    def truth(self) -> dict[str, Any]:
        """Return what a study of the day would find out.

        Where the sides decay differently no one A and k describe both, and these two are None.
        """
        (A_bid, k_bid), (A_ask, k_ask) = self.rate(1), self.rate(-1)
        one_law = k_bid == k_ask
        return {
            "A": (A_bid + A_ask) / 2 if one_law else None,
            "k": k_bid if one_law else None,
            "sigma_ticks_per_sqrt_s": self.sigma_ticks_per_sqrt_s,
            "tick_size": float(self.tick_size),
            "sides": {"bid": {"A": A_bid, "k": k_bid}, "ask": {"A": A_ask, "k": k_ask}},
        }


SCENARIOS = {scenario.name: scenario for scenario in (Poisson,)}
