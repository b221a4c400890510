"""The scenarios of queues: limit orders, market orders and cancellations that know nothing of each other.

``zero_intelligence`` is a busy market, ``large_tick`` one whose spread is nearly always one tick, behind long
queues. The flow itself is the kernel ``_queues``, whose docstring states the market exactly.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mm.knobs import decimal, knob, number, whole
from mm.sim.flow.market import MOST_MEAN_LOTS, Flow, Market
from mm.sim.flow.session import Session

if TYPE_CHECKING:
    from mm.sim.matching._core import Matching

RATE = number(0, 100_000)
_QTY = decimal("0.00000001", "1000000")


@dataclass(frozen=True, kw_only=True)
class ZeroIntelligence(Market):
    """Limit orders, market orders and cancellations at constant rates: every queue position is known."""

    name: ClassVar[str] = "zero_intelligence"

    limit_per_s: float = knob(118.0, RATE, "Limit orders of a side at all distances, in 1/s.")
    limit_exponent: float = knob(0.5, number(0, 10), "Their rate falls with this power of the distance.")
    limit_reach_ticks: int = knob(400, whole(1, 5000), "The largest distance from the other side's best, in ticks.")
    market_per_s: float = knob(7.5, RATE, "Market orders of a side, in 1/s.")
    cancel_per_s: float = knob(0.05, number(0.0001, 100), "Cancellations of each resting order, in 1/s.")
    limit_qty: str = knob("0.05", _QTY, "Mean size of a limit order, in the base asset.")
    market_qty: str = knob("0.05", _QTY, "Mean size of a market order, in the base asset.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("limit_qty", "market_qty"):
            self.on_grid(field, "qty_step", MOST_MEAN_LOTS)

    def limit_rates(self) -> list[float]:
        """Return the rate (1/s) of limit orders of a side at 1, 2, … ticks from the other side's best price."""
        weights = [distance**-self.limit_exponent for distance in range(1, self.limit_reach_ticks + 1)]
        return [self.limit_per_s * weight / sum(weights) for weight in weights]

    def flow(self, matching: "Matching", session: Session) -> Flow:
        """Return the flow of the kernel ``_queues``."""
        import numpy as np

        from mm.sim.flow._queues import QueueFlow

        instrument = self.instrument(session.symbol)
        return QueueFlow(
            matching,
            (session.open_us, session.flow_us[0]),
            np.cumsum(self.limit_rates()),
            (self.market_per_s, self.cancel_per_s),
            (instrument.lots(self.limit_qty), instrument.lots(self.market_qty)),
            instrument.ticks(self.start_price),
            session.key,
        )

    def truth(self, session: Session) -> dict[str, Any]:
        """Return the rates; A and k do not exist here."""
        rates = {
            "limit_per_s": self.limit_per_s,
            "limit_per_s_at_distance": self.limit_rates(),
            "market_per_s": self.market_per_s,
            "cancel_per_s_and_order": self.cancel_per_s,
        }
        return super().truth(session) | {"rates_of_a_side": rates}


@dataclass(frozen=True, kw_only=True)
class LargeTick(ZeroIntelligence):
    """A spread of nearly always one tick, and long queues."""

    name: ClassVar[str] = "large_tick"

    limit_per_s: float = knob(20.0, RATE, "Limit orders of a side at all distances, in 1/s.")
    limit_exponent: float = knob(1.0, number(0, 10), "Their rate falls with this power of the distance.")
    limit_reach_ticks: int = knob(20, whole(1, 5000), "The largest distance from the other side's best, in ticks.")
    market_per_s: float = knob(2.1, RATE, "Market orders of a side, in 1/s.")
    cancel_per_s: float = knob(0.04, number(0.0001, 100), "Cancellations of each resting order, in 1/s.")
    limit_qty: str = knob("5", _QTY, "Mean size of a limit order, in the base asset.")
    market_qty: str = knob("10", _QTY, "Mean size of a market order, in the base asset.")
