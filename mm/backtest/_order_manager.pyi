# Generated from mm/backtest/_order_manager.pyx by `make stubs`; edit that file instead.

"""The order manager: brings our open orders to what the quote model wants, at a venue; docs/engine.md, *Requotes*.

It holds an `OrderVenue` and sends to it. The venue reports to the `OwnOrders` that both share. What drives the clock
calls `run_timers` at the instants of `next_after`. The manager reads no market of its own: it is given the best prices.
"""

from typing import final

from mm.backtest._risk import Guard
from mm.backtest._venue import OrderVenue
from mm.backtest.quotes.base import QuoteModel
from mm.backtest.rules import Rules

@final
class OrderManager:
    """Keeps, sends, cancels and amends our orders at a venue.

    Args:
        quotes: The quote model.
        venue: Where the orders go; its ``orders`` are ours.
        rules: Timers, sizes, the volatility's method and the limits.

    Attributes:
        pulled_for: Why quotes are pulled from outside; None where they are not.
    """
    @property
    def guard(self) -> Guard: ...
    @property
    def pulled_for(self) -> str | None: ...
    def __init__(self, quotes: QuoteModel, venue: OrderVenue, rules: Rules) -> None: ...
    def pull(self, reason: str) -> None:
        """Cancel the quotes now, and send none until `resume`; *reason* is kept as ``pulled_for``."""
    def resume(self) -> None:
        """End what `pull` began: quotes come back at the next requote, unless a limit keeps them away."""
    def kill(self, reason: str) -> None:
        """Cancel every order now, and send nothing any more; *reason* is kept as ``killed_for``."""
    @property
    def sent(self) -> int:
        """How many orders were sent."""
    @property
    def killed_for(self) -> str | None:
        """Why nothing is sent any more: a limit's knob, or what `kill` was given; None where orders may be sent."""
    def killed(self) -> tuple[int, str] | None:
        """Return since when nothing is sent any more, and why; None where orders may be sent."""
    def breaches(self, first: int) -> list[tuple[int, str, int, int, int]]:
        """Return the breaches of risk limits from row *first* on: instant, knob, found and allowed in 1e-8, side."""
    def order_rows(self, action: int, reject: int) -> int:
        """Return how many rows of orders the journal would hold, by their codes."""
    @property
    def quoted(self) -> tuple[int, int]:
        """Prices in ticks of our best resting bid and ask; 0 where none rests."""
    def place(self, side: int, ticks: int, lots: int, kind: int) -> int:
        """Send an order now, beside those of the quote model; return its id, 0 where a SKIP row says why not."""
    def cancel(self, order_id: int) -> bool:
        """Request a cancel now; return False where no such order is open or its cancel is on its way."""
    def amend(self, order_id: int, lots: int) -> bool:
        """Request fewer lots in all; return False where that cannot be, or an amendment is on its way."""
    def ahead_lots(self, order_id: int) -> float | None:
        """Return the lots that the fill model has ahead of an order; None where it keeps no queue of it."""
