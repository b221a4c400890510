# Generated from mm/market_data/_captured_lines.pyx by `make stubs`; edit that file instead.

"""Fast path of an import: runs of captured lines that continue a market regularly (`lines_ahead` calls it).

The kernel reads stamped lines of combined streams, with keys in any order, but only the regular cases: a depth message
that follows the book, a trade that follows the last one, a best price that agrees with the book. Its rows equal those
of the writers in Python. It stops before any other line; the book may already contain that line's changes, which is
harmless because quantities are absolute. Python then reads the line and continues.
"""

from typing import Self

from mm.market_data._levels import Side

class CapturedLines:
    """State of the market of one symbol, and the rows of the processed lines.

    Args:
        symbol: As in the messages.
        futures: Whether updates have the id of the one before (`pu`).
        units: Limit below which a stamp is in ms; first valid stamp and end (excluded) for exchanges, and the same for
            lines, in µs; maximum time between a trade and its message, in ms.

    Attributes:
        last_us, to_us: Range of valid arrivals, without its end.
        seq: The number of the last row.
        epoch: The epoch of frames.
        book_id, trade_id: Last ids of the book and of the trades; −1 if none can follow.
        tick_e8, lot_e8: The known steps; 0 is none.
        seen_tick_e8, seen_lot_e8: Divisors of all prices and quantities received.
        rooms: Bytes by which each file may grow: diffs, frames, trades.
        lines, updates, trades, tickers, compared: Numbers processed since `begin`.
        units_seen: Bit mask of the stamp units in rows: 1 for ms, 2 for µs.
        first_id, exchange: First id and stamp of the last update; its number is `update_seq`, its arrival `update_us`.
        trade_us: Arrival of the last trade.
    """

    last_us: int
    to_us: int
    seq: int
    epoch: int
    book_id: int
    trade_id: int
    tick_e8: int
    lot_e8: int
    seen_tick_e8: int
    seen_lot_e8: int
    @property
    def lines(self) -> int: ...
    @property
    def updates(self) -> int: ...
    @property
    def trades(self) -> int: ...
    @property
    def tickers(self) -> int: ...
    @property
    def compared(self) -> int: ...
    @property
    def units_seen(self) -> int: ...
    @property
    def first_id(self) -> int: ...
    @property
    def exchange(self) -> int: ...
    @property
    def update_seq(self) -> int: ...
    @property
    def update_us(self) -> int: ...
    @property
    def trade_us(self) -> int: ...
    def __new__(cls, symbol: str, futures: bool, units: tuple[int, int, int, int, int, int]) -> Self: ...
    def learn(self, name: str, kind: str) -> None:
        """Register the stream *name* of this *kind*: depth, trade, aggTrade or bookTicker."""
    def wait_for(self, update_id: int, *texts: str) -> None:
        """Set best prices that wait for the book of their id, or none (−1): price and quantity of bid and of ask."""
    def waits(self) -> tuple[int, str, str, str, str] | None:
        """Return the best prices that wait, in the form of `wait_for`; None if none do."""
    def begin(self, run: str, source: str, top_n: int, rooms: tuple[int, int, int]) -> None:
        """Start in a day: rows of *run*, trades from *source*, frames of *top_n* levels; all counts are 0."""
    def rows(self) -> tuple[bytes, bytes, bytes]:
        """Return the rows of the diffs, the frames and the trades."""
    def last_diff_row(self) -> bytes:
        """Return the last row of the diffs."""
    def late_us(self) -> bytes:
        """Return the time from stamp to arrival of each update, 64 bits each."""
    def take(self, block: bytes, at: int, bids: Side | None, asks: Side | None, trades: str) -> int:
        """Process the lines of *block* from *at*, and return the offset of the first line that was not processed.

        Args:
            block: Lines; the last may be incomplete.
            at: Offset of a line.
            bids, asks: The book; None to process no updates.
            trades: The kind of stream whose trades are processed.
        """
