# Generated from mm/backtest/_engine.pyx by `make stubs`; edit that file instead.

"""The engine: plays a tape against a quote model and a fill model; docs/engine.md specifies it.

Here are the clock, the requotes and the orders we send; ``_venue.pyx`` is what they meet. Everything between
``advance`` and the models runs without the interpreter. ``paper_exchange.py`` is its Python face,
``tests/oracle.py`` its plain twin.
"""

from typing import final

from mm.backtest._venue import Venue
from mm.backtest.feed import Feed
from mm.backtest.fills.base import FillModel
from mm.backtest.journal import Journal
from mm.backtest.quotes.base import QuoteModel
from mm.backtest.rules import Rules
from mm.tape.tape import Tape

@final
class Engine(Venue):
    """One paper exchange: a venue, a clock, and a quote model that trades there.

    Args:
        quotes: The quote model.
        fills: The fill model.
        rules: ``mm.backtest.rules.Rules``.
    """
    def __init__(self, quotes: QuoteModel, fills: FillModel, rules: Rules) -> None: ...
    @property
    def needs_depth(self) -> bool:
        """Whether a model looks at more of the book than its best prices and the lots there."""
    def attach(self, tape: Tape, lo_ticks: int, hi_ticks: int, joins: bool, feed: Feed | None) -> None:
        """Make *tape* what is played next; it has passed ``Tape.check``.

        Args:
            tape: The tape; its arrays are read, not copied.
            lo_ticks, hi_ticks: The window of prices that its book should hold densely.
            joins: Whether its book carries on where the last tape stopped; else a GAP is inserted.
            feed: The tape in the exchange's order (``mm.backtest.feed.Feed``), or None for the order of receipt.
        """
    def advance(self, until_us: int) -> None:
        """Play everything up to and including *until_us*."""
    def place(self, side: int, ticks: int, lots: int, kind: int) -> int:
        """Send an order now, beside those of the quote model; return its id, 0 where a SKIP row says why not."""
    def cancel(self, order_id: int) -> bool:
        """Ask for a cancel now; return False where no such order is open or its cancel is on its way."""
    def amend(self, order_id: int, lots: int) -> bool:
        """Ask for fewer lots in all; return False where that cannot be, or an amendment is on its way."""
    def ahead_lots(self, order_id: int) -> float | None:
        """Return the lots ahead of an order, as the fill model knows them; None where it keeps no queue of it."""
    def journal(self) -> Journal:
        """Hand over the tables without a copy; the engine starts new ones."""
