# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""User signals in Python: a class with ``on_book``, which a set of signals calls like a compiled signal."""

from libc.math cimport NAN
from libc.stdint cimport int64_t

from mm.signals._nearest cimport MOST_LEVELS, Nearest
from mm.signals.base cimport Now, Signal

from mm.errors import ModelError, UsageError


cdef class SignalBook:
    """The book passed to a signal, valid during the call only. Prices are ticks, quantities lots of the tape."""

    cdef const Now* now
    cdef int levels

    cdef const Now* current(self) except NULL:
        if self.now is NULL:
            raise ReferenceError("the book of a signal was used after its call; copy the numbers you want to keep")
        return self.now

    @property
    def us(self) -> int:
        """Timestamp of the event, µs UTC."""
        return self.current().us

    @property
    def bid_ticks(self) -> int | None:
        """Best bid; None without bids."""
        return self.current().bid_ticks or None

    @property
    def ask_ticks(self) -> int | None:
        """Best ask; None without asks."""
        return self.current().ask_ticks or None

    @property
    def bid_lots(self) -> int:
        """Lots at the best bid."""
        return self.current().bid_lots

    @property
    def ask_lots(self) -> int:
        """Lots at the best ask."""
        return self.current().ask_lots

    def bids(self) -> list[tuple[int, int]]:
        """Return ticks and lots of the best bids, the best first, up to the number in the signal's ``levels``."""
        return self.side(&self.current().bids, self.now.bid_ticks, self.now.bid_lots)

    def asks(self) -> list[tuple[int, int]]:
        """Return ticks and lots of the best asks, the best first, up to the number in the signal's ``levels``."""
        return self.side(&self.current().asks, self.now.ask_ticks, self.now.ask_lots)

    cdef list side(self, const Nearest* side, int64_t ticks, int64_t lots):
        cdef int64_t place
        if self.levels > 1:
            return [(side.ticks[place], side.lots[place]) for place in range(min(self.levels, side.count))]
        return [(ticks, lots)] if ticks else []


cdef class OwnSignal(Signal):
    """A signal computed by an object in Python.

    Args:
        model: Has ``on_book(book)``, which returns a number or None; it may have ``on_trade(book, side, ticks, lots)``
            for prints (side +1: aggressive buyer), and ``begin(book)``, called when earlier data are no longer valid.
            Optional attributes: ``levels``, 1 to 20, and ``one_sided``, whether it is called without bids or asks.

    Raises:
        UsageError: If it has no ``on_book``, or its ``levels`` are out of range.
    """

    cdef object model, book_hook, trade_hook, begin_hook
    cdef SignalBook book

    def __init__(self, model: object) -> None:
        cdef int levels = getattr(model, "levels", 1)
        self.model, self.book_hook = model, getattr(model, "on_book", None)
        if not callable(self.book_hook):
            raise UsageError(f"signal {type(model).__name__} has no method on_book(book)")
        if not 1 <= levels <= MOST_LEVELS:
            raise UsageError(f"signal {type(model).__name__}: levels is {levels}; 1 to {MOST_LEVELS} are allowed")
        self.trade_hook, self.begin_hook = getattr(model, "on_trade", None), getattr(model, "begin", None)
        self.levels, self.one_sided = levels if levels > 1 else 0, bool(getattr(model, "one_sided", False))
        self.interpreted = True
        self.book = SignalBook()
        self.book.levels = levels

    cdef int begin(self, const Now* now) except -1 nogil:
        with gil:
            if self.begin_hook is not None:
                self.call(now, "begin", self.begin_hook, ())
        return 0

    cdef int on_trade(self, const Now* now) except -1 nogil:
        with gil:
            if self.trade_hook is not None:
                self.call(now, "on_trade", self.trade_hook, (now.trade_side, now.trade_ticks, now.trade_lots))
        return 0

    cdef int on_book(self, const Now* now) except -1 nogil:
        with gil:
            answer = self.call(now, "on_book", self.book_hook, ())
            if answer is None:
                self.value = NAN
                return 0
            try:
                self.value = <double> answer
            except TypeError:
                raise ModelError(
                    f"{type(self.model).__name__}.on_book returned {answer!r}; a signal is a number or None"
                ) from None
        return 0

    cdef object call(self, const Now* now, str hook, object method, tuple more):
        """Return the result of a hook; an error in the hook becomes a ModelError with the hook's name."""
        self.book.now = now
        try:
            return method(self.book, *more)
        except ModelError:
            raise
        except Exception as error:
            from mm.user_code import raised

            raise raised(self.model, hook, error) from error
        finally:
            self.book.now = NULL
