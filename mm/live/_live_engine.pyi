# Generated from mm/live/_live_engine.pyx by `make stubs`; edit that file instead.

"""The engine of a live market: the order manager of the replay, with a gateway in place of a paper exchange.

It receives market events as they arrive, returns messages for the gateway, and receives its reports. Requotes follow
the grid of the replay; a late one is made at once, and a fill triggers one at once. ``trader.py`` drives it.
"""

from collections.abc import Iterable
from typing import final

from mm.backtest._order_manager import OrderManager
from mm.backtest.journal import Journal
from mm.backtest.live_feed import FeedEvent
from mm.backtest.rules import Rules

FILL_REASONS: tuple[str, ...]

@final
class LiveEngine:
    """One account at one exchange: a live market, an order manager, and a gateway.

    Instants are µs of the local clock and never decrease: an earlier one is replaced by the latest so far.

    Args:
        quotes: A compiled quote model, or any object with ``quote(view)``.
        rules: The rules of the run; its lot may be finer than the exchange's step.

    Attributes:
        manager: The order manager.
        now_us: The latest instant so far.
    """
    @property
    def manager(self) -> OrderManager: ...
    @property
    def now_us(self) -> int: ...
    def __init__(self, quotes: object, rules: Rules) -> None: ...
    @property
    def best(self) -> tuple[int, int]:
        """Best bid and ask in ticks; 0 if there is none; both are 0 without a valid book."""
    @property
    def inventory_lots(self) -> int:
        """Position, in lots."""
    @property
    def cash(self) -> float:
        """Cash of the run's account, in the quote asset."""
    @property
    def open_orders(self) -> int:
        """Orders that were sent and whose end was not reported yet."""
    @property
    def state_rows(self) -> int:
        """Rows of the state table since the journal was last handed over."""
    @property
    def decisions(self) -> int:
        """Number of requotes recorded since the journal was last handed over."""
    @property
    def next_due_us(self) -> int:
        """The instant of the next timer of `advance`; far in the future before the first book."""
    def lots_at(self, side: int, ticks: int) -> int:
        """Return the lots displayed at a price of a side (+1 bids, -1 asks)."""
    def feed(self, events: Iterable[FeedEvent]) -> None:
        """Queue events of the market, in order; `advance` applies them.

        Raises:
            UsageError: If one is malformed, or changes a book that is not valid.
        """
    def advance(self, us: int) -> list[tuple[str, int, int, int, int, str]]:
        """Advance to an instant, and return the messages for the gateway, in order.

        Returns:
            (``place``, ``cancel`` or ``amend``, order id, side, ticks, lots, kind); a cancel that is followed by an
            order of the same side may be sent as one replacement, and the lots of an amendment are the new total.
        """
    def accepted(self, order_id: int, us: int) -> None:
        """Report that the exchange accepted an order."""
    def rejected(self, order_id: int, us: int, reason: str) -> None:
        """Report that the exchange rejected an order; *reason* is one of ``REJECT_REASONS``."""
    def filled(
        self, order_id: int, us: int, side: int, ticks: int, lots: int, fee_lots: int, fee_e8: int, took: bool
    ) -> None:
        """Report an execution; one of an order that is not open here has the order id 0 in the journal.

        Args:
            order_id: Id of the order.
            us: Instant of the report.
            side: +1 bought, -1 sold.
            ticks: Price.
            lots: Quantity.
            fee_lots: Fee paid in the base asset, in lots.
            fee_e8: Value of the whole fee, in 1e-8 of the quote asset.
            took: Whether our order was the taker.
        """
    def closed(self, order_id: int, us: int, expired: bool) -> None:
        """Report that an order no longer rests, without a last fill."""
    def amended(self, order_id: int, us: int, lots: int) -> None:
        """Report that the exchange has lowered an order to *lots* in total; if as many have filled, it has ended."""
    def amend_failed(self, order_id: int, refused: bool) -> None:
        """Report that an amendment failed; an order whose amendment was *refused* is not amended again."""
    def open_again(self, order_id: int) -> None:
        """Report that a cancel failed: the order is still open."""
    def funds(self, held_lots: int, held_e8: int) -> None:
        """Report the balances of the exchange, free and locked: base asset in lots, quote asset in 1e-8."""
    def journal(self) -> Journal:
        """Return the journal tables, as a paper exchange does."""
