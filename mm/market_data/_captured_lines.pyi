# Generated from mm/market_data/_captured_lines.pyx by `make stubs`; edit that file instead.

"""Captured lines that continue a market as they should, taken in runs (`lines_ahead` calls it).

Stamped lines of combined streams are read, in whatever order of keys, and only where nothing happens but what happens
all the time: a depth message that follows the book, a trade that follows the last one, a best price that agrees with
the book. Their rows are left as the writers in Python leave them. In front of any other line the kernel stops, with the
book as it was or as that line makes it, which is the same once the line is applied; Python reads it and goes on.
"""

from typing import Self

from mm.market_data._levels import Side

class CapturedLines:
    """What the lines of one symbol must continue, and the rows of those that were taken.

    Args:
        symbol: As the messages name it.
        futures: Whether updates name the one before (`pu`).
        units: Below which number a stamp is in ms; from when on and before when exchanges stamp, and from when on and
            before when lines are stamped, in µs; most ms between a trade and its message.

    Attributes:
        last_us, to_us: Lines arrive from the one to before the other.
        seq: The number of the last row.
        epoch: The epoch of frames.
        book_id, trade_id: Last ids of the book and of the trades; −1 where none can follow.
        tick_e8, lot_e8: The steps that are known; 0 is none.
        seen_tick_e8, seen_lot_e8: Divisors of all that came.
        rooms: Bytes that each file may grow by: diffs, frames, trades.
        lines, updates, trades, tickers, compared: What was taken since `begin`.
        units_seen: 1 for a stamp in ms, 2 for one in µs, of rows.
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
        """Take messages of the stream *name*, which are of a *kind*: depth, trade, aggTrade or bookTicker."""
    def wait_for(self, update_id: int, *texts: str) -> None:
        """Have best prices wait for the book of their id, or none (−1): price and quantity of the bid, of the ask."""
    def waits(self) -> tuple[int, str, str, str, str] | None:
        """Return the best prices that wait, as `wait_for` takes them; None where none do."""
    def begin(self, run: str, source: str, top_n: int, rooms: tuple[int, int, int]) -> None:
        """Go on in a day: rows of *run*, trades from *source*, frames of *top_n* levels; nothing is taken yet."""
    def rows(self) -> tuple[bytes, bytes, bytes]:
        """Return the rows of the diffs, the frames and the trades."""
    def last_diff_row(self) -> bytes:
        """Return the last row of the diffs."""
    def late_us(self) -> bytes:
        """Return by how much each update arrived after its stamp, as 64 bits each."""
    def take(self, block: bytes, at: int, bids: Side | None, asks: Side | None, trades: str) -> int:
        """Take the lines of *block* from *at* on, and return where the first one stands that was not taken.

        Args:
            block: Lines; the last may be torn.
            at: Where a line begins.
            bids, asks: The book; None where updates are not taken.
            trades: The kind of stream whose trades are taken.
        """
