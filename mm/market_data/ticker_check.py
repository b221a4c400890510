"""The exchange's own best prices against the rebuilt book: an independent witness, wherever a capture has one."""

from mm.market_data.grid import Grid
from mm.market_data.local_orderbook import LocalOrderBook
from mm.market_data.messages import BookTicker


class TickerCheck:
    """Compare each `bookTicker` with the book of the same update id, whichever of the two arrives first.

    Only the latest ticker waits for its book: depth updates gather many ids, and the book never stands at most of them.

    Attributes:
        compared: Tickers that met a book of their id.
        agreed: Those whose two prices and two quantities were those of the book.
    """

    def __init__(self, grid: Grid) -> None:
        self.compared = 0
        self.agreed = 0
        self._grid = grid
        self._waiting: BookTicker | None = None

    def ticker(self, ticker: BookTicker, book_id: int | None, book: LocalOrderBook) -> str | None:
        """Take a ticker; returns as `meet` where the book stands at its id, else keeps it."""
        self._waiting = ticker
        return self.meet(book_id, book)

    def meet(self, book_id: int | None, book: LocalOrderBook) -> str | None:
        """Compare the ticker that waits with the book at *book_id* (None: no valid book).

        Returns:
            What differs, in words; None where there was nothing to compare or everything agreed.
        """
        ticker = self._waiting
        if ticker is None or ticker.u != book_id:
            return None
        self._waiting = None
        self.compared += 1
        ours = tuple(side[0] if side else None for side in book.top(1))
        theirs = ((ticker.b, ticker.B), (ticker.a, ticker.A))
        if all(self._equal(our, their) for our, their in zip(ours, theirs, strict=True)):
            self.agreed += 1
            return None
        return f"book {ours}, bookTicker {theirs}"

    def _equal(self, our: tuple[str, str] | None, their: tuple[str, str]) -> bool:
        """Tell whether a best level is that of a ticker; one of quantity zero says that the side is empty."""
        if our is None:
            return self._grid.qty(their[1]) == 0
        return self._grid.price(our[0]) == self._grid.price(their[0]) and self._grid.qty(our[1]) == self._grid.qty(
            their[1]
        )
