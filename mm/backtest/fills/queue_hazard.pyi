# Generated from mm/backtest/fills/queue_hazard.pyx by `make stubs`; edit that file instead.

"""Fills by a fitted probability at each print that meets our price: for markets where queues decide, not distances."""

from mm.backtest.fills.queue import QueueProbPower
from mm.backtest.parameters import Declaration

class QueueHazard(QueueProbPower):
    """At each print at its price an order fills with a probability fitted to an order log.

    - place in the queue, prints beyond the price and the other side's best price: as `queue_prob_power`
    - a print at its price from the other side fills it with probability 1/(1 + exp(-x·b)); x is `FEATURES`: the print
      against the lots ahead, the place, imbalance and spread of the book before it, the age of the order, and whether
      its price is better or worse than the displayed best one of its side
    - it then takes as much of the print as it wants, and what is left of it stands first in the queue
    - one draw for each print and order, keyed by both

    Args:
        fit: What ``mm fills hazard`` wrote; a run reads it, and refuses one of another symbol or tick.
        coefficients: b, one number for each of `FEATURES`.
        exponent: Of the place in the queue, as in `queue_prob_power`.
        unit_lots: Lots of a usual print: quantities are measured in it.
        seed: Keys every draw.
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
        """The reasons of fills after a trade, after a book change, and drawn (never)."""
    def watch(self) -> list[tuple[int, int, tuple[float, ...]]]:
        """From now on fill nothing by a draw; return the list that takes (order id, µs, features) of each print."""
