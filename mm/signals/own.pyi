# Generated from mm/signals/own.pyx by `make stubs`; edit that file instead.

"""User signals in Python: a class with ``on_book``, which a set of signals calls like a compiled signal."""

from mm.signals.base import Signal

class SignalBook:
    """The book passed to a signal, valid during the call only. Prices are ticks, quantities lots of the tape."""
    @property
    def us(self) -> int:
        """Timestamp of the event, µs UTC."""
    @property
    def bid_ticks(self) -> int | None:
        """Best bid; None without bids."""
    @property
    def ask_ticks(self) -> int | None:
        """Best ask; None without asks."""
    @property
    def bid_lots(self) -> int:
        """Lots at the best bid."""
    @property
    def ask_lots(self) -> int:
        """Lots at the best ask."""
    def bids(self) -> list[tuple[int, int]]:
        """Return ticks and lots of the best bids, the best first, up to the number in the signal's ``levels``."""
    def asks(self) -> list[tuple[int, int]]:
        """Return ticks and lots of the best asks, the best first, up to the number in the signal's ``levels``."""

class OwnSignal(Signal):
    """A signal computed by an object in Python.

    Args:
        model: Has ``on_book(book)``, which returns a number or None; it may have ``on_trade(book, side, ticks, lots)``
            for prints (side +1: aggressive buyer), and ``begin(book)``, called when earlier data are no longer valid.
            Optional attributes: ``levels``, 1 to 20, and ``one_sided``, whether it is called without bids or asks.

    Raises:
        UsageError: If it has no ``on_book``, or its ``levels`` are out of range.
    """
    def __init__(self, model: object) -> None: ...
