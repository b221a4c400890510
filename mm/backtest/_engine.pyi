# Generated from mm/backtest/_engine.pyx by `make stubs`; edit that file instead.

"""The engine: the clock that plays a market to an order manager and its venue; docs/engine.md specifies it.

Three objects share the work. The `OrderManager` decides what to send, the `PaperVenue` what becomes of it, and here is
the order of things: events, our messages, timers. Everything between ``advance`` or ``feed`` and the models runs
without the interpreter. ``paper_exchange.py`` is its Python face, ``tests/oracle.py`` its plain twin.
"""

from collections.abc import Iterable
from typing import final

from mm.backtest._order_manager import OrderManager
from mm.backtest.fills.base import FillModel
from mm.backtest.journal import Journal
from mm.backtest.live_feed import FeedEvent
from mm.backtest.quotes.base import QuoteModel
from mm.backtest.rules import Rules
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
        """Whether a model looks at more of the book than its best prices and the lots there."""
    @property
    def follows_levels(self) -> bool:
        """Whether best prices and trades do for the models where the changes of each level are at hand."""
    @property
    def decisions(self) -> int:
        """How many requotes have been recorded since the journal was last handed over."""
    @property
    def now_us(self) -> int:
        """The instant that has been played up to."""
    @property
    def best(self) -> tuple[int, int]:
        """Best bid and ask in ticks as of now; 0 where there is none, as both are without a valid book."""
    @property
    def inventory_lots(self) -> int:
        """What we hold, in lots."""
    def pay(self, funding_e8: int) -> None:
        """Book what our position pays at the instant that was played up to, 1e-8 of the quote asset; or is paid."""
    def settle(self) -> None:
        """Bring the levels of the book, or places in queues where levels are looked up, up to what has been played."""
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
    ) -> None:
        """Make *tape* what is played next; it has passed ``Tape.check``.

        Args:
            tape: The tape; its arrays are read, not copied.
            lo_ticks, hi_ticks: The window of prices that its book should hold densely.
            joins: Whether its book carries on where the last tape stopped; else a GAP is inserted.
            feed: The tape in the exchange's order (``mm.tape.feed.Feed``), or None for the order of receipt.
            levels: The changes of each level of the whole tape, where *tape* is its best prices and `follows_levels`.
            ahead: Where *tape* is its best prices and there is a *feed*, the best prices in the exchange's order.
        """
    def feed(self, events: Iterable[FeedEvent]) -> None:
        """Play *events*, one or many, and before each what of ours is due; none is played where one is refused.

        What is due at the instant of the last one, behind the market, waits: more events of that instant may follow.

        Raises:
            UsageError: If one is no event, or lies before what has been played.
        """
    def advance(self, until_us: int) -> None:
        """Play everything up to and including *until_us*."""
    def journal(self) -> Journal:
        """Hand over the tables without a copy; the engine starts new ones."""
