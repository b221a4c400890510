# Generated from mm/backtest/quotes/base.pyx by `make stubs`; edit that file instead.

"""The interface of quote models: one hook, compiled or plain Python."""

from mm.backtest.fills.base import TradeView
from mm.backtest.quotes.view import Quotes

class QuoteModel:
    """Base of compiled quote models: override ``quote``.

    Declarations (attributes, set in ``__init__``) make a model faster: ``looks = BEST_PRICES`` or ``BEST_LOTS`` if it
    sends only ``LIMIT_MAKER`` orders and reads nothing deeper in the book; ``timeless`` if equal best prices and an
    equal inventory always give equal quotes, without additional requotes; ``follows_fills`` if ``on_fill`` is to be
    called, ``follows_prints`` if ``on_print`` is. ``signals`` contains the names of the signals that it reads
    (docs/signals.md); ``bind`` receives all names in the order of ``view.signals``. With ``needs_own_orders`` the view
    contains our open quotes, with ``needs_last_trade`` the last print.
    """
    @property
    def name(self) -> str: ...
    @property
    def signals(self) -> tuple[str, ...]: ...
    def answer(
        self,
        *,
        bid_ticks: int,
        ask_ticks: int,
        bid_lots: int = 1,
        ask_lots: int = 1,
        inventory_lots: int = 0,
        target_lots: int = 0,
        quote_lots: int = 1,
        cash: float = 0.0,
        sigma_ticks: float = ...,
        tick_lot: float = 1.0,
        us: int = 0,
    ) -> Quotes:
        """Return the model's quotes for a given market state, outside of any run; prices are not rounded.

        Args:
            bid_ticks, ask_ticks: The best prices.
            bid_lots, ask_lots: The lots at the best prices.
            inventory_lots: Our inventory.
            target_lots: The target inventory.
            quote_lots: The clip.
            cash: In the quote asset.
            sigma_ticks: Volatility in ticks per root second.
            tick_lot: Value of one tick of price on one lot, in the quote asset.
            us: The instant in µs; the run begins at 0.
        """
    def wants(self, view: QuoteView) -> Quotes:
        """Return the model's quotes for *view*, for use in a Python step around it."""

def compiled(model: object) -> QuoteModel:
    """Return *model* itself if it is compiled, else a `PythonQuoteModel` around it."""

class QuoteView:
    """The view passed to a Python quote model; valid during the call only. A price of 0 means none."""
    @property
    def us(self) -> int:
        """Instant of the requote."""
    @property
    def bid_ticks(self) -> int:
        """Best bid."""
    @property
    def ask_ticks(self) -> int:
        """Best ask."""
    @property
    def bid_lots(self) -> int:
        """Lots at the best bid."""
    @property
    def ask_lots(self) -> int:
        """Lots at the best ask."""
    @property
    def mid2_ticks(self) -> int:
        """Best bid plus best ask: twice the mid."""
    @property
    def inventory_lots(self) -> int:
        """Our inventory, in lots."""
    @property
    def target_lots(self) -> int:
        """Target inventory, in lots (``TARGET_INVENTORY``): quotes, bounds and risk limits are relative to it."""
    @property
    def most_lots(self) -> int:
        """Our inventory if every open buy fills and no sell does; pending orders count."""
    @property
    def least_lots(self) -> int:
        """Our inventory if every open sell fills and no buy does; pending orders count."""
    @property
    def quote_lots(self) -> int:
        """The clip: lots of a quote without a quantity."""
    @property
    def cash(self) -> float:
        """Cash in the quote asset."""
    @property
    def sigma_ticks(self) -> float:
        """Volatility in ticks per root second, NaN while unknown."""
    @property
    def last_trade(self) -> TradeView | None:
        """The last print, None before the first."""
    def signal(self, name: str) -> float | None:
        """Return the last value at or before ``us`` of a signal that the model declares in ``signals``.

        Returns:
            None while it is undefined (docs/signals.md), as before the first row.

        Raises:
            ModelError: If the model does not declare it.
        """
    def lots_at(self, side: int, ticks: int) -> int:
        """Return the displayed lots at a price; side +1 bids, -1 asks."""

class PythonQuoteModel(QuoteModel):
    """Wraps a user's object and calls its ``quote(view) -> Quotes | None``.

    Optional members of the object:

    - ``on_fill(fill)``: receives each fill of our orders before the requote that follows it
    - ``on_print(trade)``: receives each print of the market before the next requote
    - ``timeless = True``: equal best prices and an equal inventory always give equal quotes; repeated calls
      are skipped, and ``sigma_ticks`` is NaN. A tuple of prices that is the same object as the last one is not reparsed
    - ``signals = ("imbalance_5", …)``: signals to read by ``view.signal(name)``
    - ``depth = False``: reads only best prices, their lots and the last print, and sends only ``LIMIT_MAKER`` orders;
      the replay then uses best prices only, which is faster
    """
    def __init__(self, model: object) -> None: ...
