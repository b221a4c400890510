# Generated from mm/backtest/fills/base.pyx by `make stubs`; edit that file instead.

"""The interface of fill models: one hook for each kind of event, compiled or plain Python.

A fill model returns how many lots of an order an event fills. The engine handles latency, eligibility, the remaining
lots of a print, balances, fees and the journal.
"""

class FillModel:
    """Base of compiled fill models: override the hooks that the model needs, and set their flags.

    Flags (attributes, set in ``__cinit__`` or ``__init__``): ``needs_trades`` for ``on_trade``, ``needs_book`` for
    ``on_book``, ``needs_levels`` for ``on_level``, ``draws`` for ``on_top``, ``draw`` and ``expected``,
    ``follows_prints`` for ``on_print``. Five more let the engine skip calls: ``reached_only`` if a print that does not
    reach the order's price from the other side neither fills the order nor changes any state; ``crossed_only`` if the
    same holds for ``on_book`` while the other side's best price does not reach the order's; ``looks = BEST_PRICES`` or
    ``BEST_LOTS`` if it reads nothing deeper in the book, and a book event that leaves these unchanged has no effect;
    ``by_levels`` if it reads only the other side's best price and the levels of its orders, and its state depends
    on these and on prints only; with ``by_levels``, ``ahead_first`` if a print at the order's price of at most
    ``ahead_lots`` only reduces these, by its lots.
    """
    @property
    def name(self) -> str: ...
    @property
    def has_intensity(self) -> bool:
        """Whether the model draws fills from an intensity, so that expected fills can be counted."""
    @property
    def reasons(self) -> tuple[str, ...]:
        """Fill reasons: after a trade, after a book change, drawn."""

class OrderView:
    """An order as a Python model receives it; valid during the call only."""
    @property
    def id(self) -> int:
        """Number of the order, from 1."""
    @property
    def side(self) -> int:
        """+1 buy, -1 sell."""
    @property
    def ticks(self) -> int:
        """Price in ticks."""
    @property
    def lots(self) -> int:
        """Lots left."""
    @property
    def live_us(self) -> int:
        """Instant at which it reached the book."""
    @property
    def queue_lots(self) -> int:
        """Lots ahead of it, as estimated by a queue model, rounded up."""
    @property
    def printed_lots(self) -> int:
        """In ``on_rest`` and ``on_level``: lots that printed against it at its price since the last book event."""

class TradeView:
    """A print as a Python model receives it; valid during the call only."""
    @property
    def us(self) -> int:
        """Instant of the print."""
    @property
    def side(self) -> int:
        """The aggressor's side: +1 bought, -1 sold."""
    @property
    def ticks(self) -> int:
        """Price in ticks."""
    @property
    def lots(self) -> int:
        """Lots of the print that our orders have not taken yet."""
    @property
    def id(self) -> int:
        """The exchange's trade id."""

class BookView:
    """The book as a Python model receives it; valid during the call only. A price of 0 means none."""
    @property
    def us(self) -> int:
        """Instant of the book."""
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
        """Best bid plus best ask: twice the mid; 0 where a side is empty."""
    def lots_at(self, side: int, ticks: int) -> int:
        """Return the displayed lots at a price; side +1 bids, -1 asks."""

class PythonFillModel(FillModel):
    """Wraps a user's object and calls its hooks.

    Hooks: ``on_rest(order, book)``, ``on_trade(order, trade) -> lots``,
    ``on_book(order, book, elapsed_us) -> lots``, ``on_level(order, before_lots, after_lots)``.
    """
    def __init__(self, model: object) -> None: ...
