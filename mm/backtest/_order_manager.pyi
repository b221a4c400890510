# Generated from mm/backtest/_order_manager.pyx by `make stubs`; edit that file instead.

"""The order manager: adjusts our open orders at a venue to the quotes of the model; docs/engine.md, *Requotes*.

It sends orders to an `OrderVenue`, which reports to the `OwnOrders` that both share. The engine calls
`run_timers` at the instants of `next_after`, and passes the best prices: the manager reads no market itself.
"""

from typing import final

from mm.backtest._risk import Guard
from mm.backtest._venue import OrderVenue
from mm.backtest.quotes.base import QuoteModel
from mm.backtest.rules import Rules

@final
class OrderManager:
    """Sends, cancels and amends our orders at a venue.

    Args:
        quotes: The quote model.
        venue: Receives the orders; its ``orders`` are ours.
        rules: Timers, sizes, the volatility's method and the limits.

    Attributes:
        pulled_for: Reason for which quotes are pulled from outside; None if they are not.
    """
    @property
    def guard(self) -> Guard: ...
    @property
    def pulled_for(self) -> str | None: ...
    def __init__(self, quotes: QuoteModel, venue: OrderVenue, rules: Rules) -> None: ...
    def pull(self, reason: str) -> None:
        """Cancel the quotes now, and send none until `resume`; *reason* is kept as ``pulled_for``."""
    def resume(self) -> None:
        """End a `pull`: quotes resume at the next requote, unless a limit stops them."""
    def kill(self, reason: str) -> None:
        """Cancel every order now, and send nothing afterwards; *reason* is returned by ``killed_for``."""
    @property
    def sent(self) -> int:
        """Number of orders sent."""
    @property
    def killed_for(self) -> str | None:
        """Reason for which nothing is sent: a limit's knob, or that of `kill`; None while orders may be sent."""
    def killed(self) -> tuple[int, str] | None:
        """Return the instant from which nothing is sent, and the reason; None while orders may be sent."""
    def breaches(self, first: int) -> list[tuple[int, str, int, int, int]]:
        """Return the breaches of risk limits from row *first* on: instant, knob, actual and allowed in 1e-8, side."""
    def order_rows(self, action: int, reject: int) -> int:
        """Return the number of order rows in the journal so far, by their codes."""
    @property
    def quoted(self) -> tuple[int, int]:
        """Prices in ticks of our best resting bid and ask; 0 for none."""
    def place(self, side: int, ticks: int, lots: int, kind: int) -> int:
        """Send an order now, in addition to those of the quote model; return its id, 0 if a SKIP row was written."""
    def cancel(self, order_id: int) -> bool:
        """Request a cancel now; return False if no such order is open or its cancel is pending."""
    def amend(self, order_id: int, lots: int) -> bool:
        """Request a smaller total quantity; return False if it is not possible, or an amendment is pending."""
    def ahead_lots(self, order_id: int) -> float | None:
        """Return the lots ahead of an order by the fill model; None if it has no queue position."""
