# Generated from mm/backtest/quotes/base.pyx by `make stubs`; edit that file instead.

"""The interface of quote models: one hook, compiled or plain Python."""

from mm.backtest.fills.base import TradeView
from mm.backtest.quotes.view import Quotes

class QuoteModel:
    """Base of compiled quote models: override ``quote``.

    What a model declares makes it quick (attributes of the class, set in ``__init__``): ``looks`` at ``BEST_PRICES``
    or ``BEST_LOTS`` where it sends ``LIMIT_MAKER`` orders only and sees nothing of the book below; ``timeless`` where
    equal best prices and an equal inventory always make an equal answer, which asks for no further requote;
    ``follows_fills`` where its ``on_fill`` is to be called, ``follows_prints`` where its ``on_print`` is. ``signals``
    names the signals that it reads (docs/signals.md); ``bind`` then says where each stands in ``view.signals``.
    With ``sees_own`` the view holds our open quotes.
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
        """Return the model's quotes for these numbers, outside of any run; prices are not rounded.

        Args:
            bid_ticks, ask_ticks: The best prices.
            bid_lots, ask_lots: What stands there.
            inventory_lots: What we hold.
            target_lots: The inventory that quotes count from.
            quote_lots: The clip.
            cash: In the quote asset.
            sigma_ticks: Volatility in ticks per root second.
            tick_lot: What one lot is worth more when the price is one tick higher, in the quote asset.
            us: The instant; the run begins at 0.
        """
    def wants(self, view: QuoteView) -> Quotes:
        """Return the model's quotes for *view*: for a step of yours around it."""

def compiled(model: object) -> QuoteModel:
    """Return *model* as the engine calls it: itself, or the holder of an object in Python."""

class QuoteView:
    """What a Python quote model receives; valid during the call only. A price of 0 means none."""
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
        """What we hold, in lots."""
    @property
    def target_lots(self) -> int:
        """The inventory that quotes, bounds and risk count from, in lots (``TARGET_INVENTORY``)."""
    @property
    def most_lots(self) -> int:
        """What we hold if every open buy fills and no sell does; orders on their way count."""
    @property
    def least_lots(self) -> int:
        """What we hold if every open sell fills and no buy does; orders on their way count."""
    @property
    def quote_lots(self) -> int:
        """The clip: lots of a quote that names none."""
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
        """Return a signal that the model declares in ``signals``: its last row at or before ``us``.

        Returns:
            None where it is not defined (docs/signals.md), as before the first row.

        Raises:
            ModelError: If the model does not declare it.
        """
    def lots_at(self, side: int, ticks: int) -> int:
        """Return the displayed lots at a price; side +1 bids, -1 asks."""

class PythonQuoteModel(QuoteModel):
    """Holds a user's object and calls its ``quote(view) -> Quotes | None``.

    One with a method ``on_fill(fill)`` gets each fill of our orders before the requote that follows on it, one with
    ``on_print(trade)`` each print of the market before the next requote.
    One with ``timeless = True`` says that equal best prices and an equal inventory always make an equal answer; calls
    that would repeat one are left out, and there is no volatility. A tuple of prices that is the very one of the last
    answer is not read again.
    One with ``signals = ("imbalance_5", …)`` reads them by ``view.signal(name)``.
    One with ``depth = False`` sees best prices, the lots at them and the last print, and sends orders that do not
    take; it is played on them alone, which is quicker.
    """
    def __init__(self, model: object) -> None: ...
