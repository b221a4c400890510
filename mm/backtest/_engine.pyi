# Generated from mm/backtest/_engine.pyx by `make stubs`; edit that file instead.

"""The engine: the event loop of a market, an order manager and its venue; docs/engine.md specifies it.

Three objects share the work. The `OrderManager` decides what to send, the `PaperVenue` executes it, and the engine
orders events, our messages and timers in time. Everything between ``advance`` or ``feed`` and the models runs
without the interpreter. ``paper_exchange.py`` is its Python interface, ``tests/oracle.py`` its reference in Python.
"""

from collections.abc import Iterable
from typing import final

from mm.backtest._order_manager import OrderManager
from mm.backtest.fills.base import FillModel
from mm.backtest.journal import Journal
from mm.backtest.live_feed import FeedEvent
from mm.backtest.quotes.base import QuoteModel
from mm.backtest.rules import Rules
from mm.tape.book_rows import BookRows
from mm.tape.feed import ExchangePrices, Feed
from mm.tape.level_changes import LevelIndex
from mm.tape.tape import Tape

@final
class Engine:
    """One paper exchange: a market, a venue in it, and an order manager that trades there.

    Args:
        quotes: The quote model.
        fills: The fill model.
        rules, keeps_orders: ``mm.backtest.rules.Rules``, and whether the journal has the rows of orders.
    """
    @property
    def manager(self) -> OrderManager: ...
    def __init__(self, quotes: QuoteModel, fills: FillModel, rules: Rules, keeps_orders: bool = True) -> None: ...
    @property
    def needs_depth(self) -> bool:
        """Whether a model reads more of the book than the best prices and their lots."""
    @property
    def side_files(self) -> tuple[str, ...]:
        """Files that models need with best prices and trades, as attributes of a tape; empty if they need more."""
    @property
    def decisions(self) -> int:
        """Number of requotes recorded since the journal was last handed over."""
    @property
    def now_us(self) -> int:
        """The instant that has been played up to."""
    @property
    def best(self) -> tuple[int, int, int, int]:
        """Current best bid and ask in ticks, and the lots at each; 0 for none, all 0 without a valid book."""
    @property
    def inventory_lots(self) -> int:
        """Our inventory, in lots."""
    def pay(self, funding_e8: int) -> None:
        """Book the funding of our position at the current instant, 1e-8 of the quote asset; below 0: received."""
    def settle(self) -> None:
        """Update the levels of the book, or looked-up queue positions, to the current instant."""
    def fills_from(self, first: int) -> list[tuple[int, int, int, int, int]]:
        """Return the fills since the journal was last handed over, from row *first* on.

        Each is instant, order id, side, ticks, lots.
        """
    def attach(
        self,
        tape: Tape,
        lo_ticks: int,
        hi_ticks: int,
        joins: bool,
        feed: Feed | None,
        levels: LevelIndex | None = None,
        ahead: ExchangePrices | None = None,
        rows: BookRows | None = None,
    ) -> None:
        """Attach *tape* to be played next; it has passed ``Tape.check``.

        Args:
            tape: The tape; its arrays are read, not copied.
            lo_ticks, hi_ticks: Price range that its book should store densely.
            joins: Whether its book continues that of the last tape; else a GAP is inserted.
            feed: The tape in the exchange's order (``mm.tape.feed.Feed``), or None for the order of receipt.
            levels: The changes of each level of the whole tape, if *tape* is its best prices; see `side_files`.
            ahead: The best prices in the exchange's order, if *tape* is its best prices and there is a *feed*.
            rows: The rows of its books, if *tape* is its best prices; see `side_files`.
        """
    def feed(self, events: Iterable[FeedEvent]) -> None:
        """Play *events*, one or many, and before each our due actions; none is played if one is rejected.

        Actions due after the market of the last instant wait, as more events of that instant may follow.

        Raises:
            UsageError: If one is not a valid event, or is before the played instant.
        """
    def advance(self, until_us: int) -> None:
        """Play everything up to and including *until_us*."""
    def journal(self) -> Journal:
        """Return the tables without a copy; the engine starts new ones."""
