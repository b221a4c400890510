# Generated from mm/backtest/fills/queue_hazard.pyx by `make stubs`; edit that file instead.

"""Fills with a fitted probability per print at our price, for markets with long queues."""

from mm.backtest.fills.queue import QueueProbPower
from mm.backtest.parameters import Declaration

class QueueHazard(QueueProbPower):
    """At each print at its price an order fills with a probability fitted to an order log.

    - queue position, prints beyond the price and the other side's best price: as `queue_prob_power`
    - a print at its price from the other side fills it with probability 1/(1 + exp(-x·b)); x are the `FEATURES`: print
      size relative to the lots ahead, share of the level ahead, imbalance and spread of the book before the print, age
      of the order, and whether its price is better or worse than the displayed best price of its side
    - the fill is as large as the print allows; the remainder of the order is first in the queue
    - one draw per print and order, keyed by both

    Args:
        fit: File written by ``mm fills hazard``; it must be of the run's symbol and tick size.
        coefficients: b, one number per feature of `FEATURES`.
        exponent: Exponent of the queue position, as in `queue_prob_power`.
        unit_lots: Typical size of a print in lots, the unit of quantities.
        seed: Seed of all draws.
    """

    declared: Declaration
    def __init__(
        self,
        *,
        fit: str | None = None,
        coefficients: list[float] | None = None,
        exponent: float = 1.0,
        unit_lots: float = 1.0,
        seed: int = 0,
    ) -> None: ...
    @property
    def reasons(self) -> tuple[str, ...]:
        """Fill reasons: after a trade, after a book change, drawn (unused)."""
    def watch(self) -> list[tuple[int, int, tuple[float, ...]]]:
        """Disable fills by draws; return the list that collects (order id, µs, features) of each print."""
