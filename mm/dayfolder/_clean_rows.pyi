# Generated from mm/dayfolder/_clean_rows.pyx by `make stubs`; edit that file instead.

"""Runs of correct rows of a day, read without an object per row (`check_ahead` calls it).

The kernel reads only the format of our own writers, with their order of keys and plain decimals, and only rows that
continue the rows before. It stops before any other row; the book may already have that row's changes, which makes no
difference: the checks in Python read the row, set its levels again and report its defects.
"""

from collections.abc import Sequence

from mm.market_data._levels import Side

class Arrivals:
    """State of the rows of one file, and number and arrival of each row taken.

    Args:
        from_us, to_us: Range of valid arrivals, without its end, in µs.
        slack_us: Maximum backward step of arrival times.

    Attributes:
        latest_us: The latest arrival of the run so far.
        count: Rows taken since `begin`.
    """
    @property
    def latest_us(self) -> int: ...
    @property
    def count(self) -> int: ...
    def begin(self, run: str, last_seq: int, latest_us: int) -> None:
        """Start after a row of *run* with the number *last_seq*, with no row taken."""
    def taken(self) -> tuple[bytes, bytes]:
        """Return the numbers and the arrivals in µs of the taken rows, 64 bits each."""

class RowLimits:
    """Limits of the values of rows: steps in 1e-8 (0 is unknown), and the number of the first row without known steps.

    Attributes:
        tick_e8, lot_e8: Steps of prices and quantities.
        until_seq: The first row for which they are unknown.
        least_price_e8, most_price_e8, most_qty_e8: The range of a trade; 0 is no limit.
        stamps_ms: Range of exchange times, without its end, in ms; that of times in µs is a thousand times as large.
        sent_late_ms: Maximum time between a trade and its message.
    """

    tick_e8: int
    lot_e8: int
    until_seq: int
    least_price_e8: int
    most_price_e8: int
    most_qty_e8: int
    sent_late_ms: int
    def __init__(self, stamps_ms: tuple[int, int], sent_late_ms: int) -> None: ...

class CleanTrades(Arrivals):
    """Takes trades of the stream with consecutive ids.

    Attributes:
        last_id: The id of the last row.
    """

    last_id: int
    def take(self, block: bytes, at: int, limits: RowLimits, single: bool) -> int:
        """Take the lines of *block* from *at*, and return the offset of the first line that was not taken.

        Args:
            block: Lines of the file; the last may be torn.
            at: Offset of a line.
            limits: Limits of the values.
            single: Whether a row must be one trade.
        """

class CleanFrames(Arrivals):
    """The frames of depth messages; each line must equal the line formatted from the book.

    Args:
        from_us, to_us, slack_us: As for `Arrivals`.
        top_n: Levels per side.
    """
    def __init__(self, from_us: int, to_us: int, slack_us: int, top_n: int) -> None: ...
    def open(self, block: bytes, at: int, first: bytes, epoch: int) -> None:
        """Set the lines to compare: *first*, a line read before, and those of *block* from *at*, all of *epoch*."""
    @property
    def at(self) -> int:
        """Offset of the next line in the block."""

class CleanDiffs(Arrivals):
    """Takes depth messages that continue a book, and changes it.

    Attributes:
        last_id: The last update id in the book.
        until_id: Messages that reach this id are not taken.
        total_us, last_us: As in `ValidTime`: the time with a valid book, and its end.
        seen_us, jump_from_us, jump_to_us: As in `ClockJumps`: the last row, and the widest step between two.
        low_e8, high_e8: The lowest best bid and the highest best ask.
        starved: Whether the last `take` stopped because no line of the frames was loaded.
    """

    last_id: int
    until_id: int
    total_us: int
    last_us: int
    seen_us: int
    jump_from_us: int
    jump_to_us: int
    low_e8: int
    high_e8: int
    @property
    def starved(self) -> bool: ...
    def reach(self, bid_edge: int | None, ask_edge: int | None, top_n: int) -> None:
        """Set the edges of the snapshot, in 1e-8 (None: no edge), beyond which *top_n* levels may not reach."""
    def take(self, block: bytes, at: int, limits: RowLimits, bids: Side, asks: Side, frames: CleanFrames | None) -> int:
        """Take the lines of *block* from *at*, and return the offset of the first line that was not taken.

        Args:
            block: Lines of the file; the last may be torn.
            at: Offset of a line.
            limits: Limits of the values.
            bids, asks: The book; it may have the changes of the message at the returned offset.
            frames: Takes the frames of these messages; None without frames.
        """

Numbers = Sequence[int]

def merged(columns: Sequence[tuple[Numbers, Numbers]]) -> tuple[Numbers, Numbers, bool] | None:
    """Return the numbers of all files in order, each once, with arrivals, and whether two files have the same number.

    Args:
        columns: Numbers and arrivals in µs of the rows of each file, as 64 bits.

    None if the numbers of a file do not rise. A number in several files has its earliest arrival.
    """

def newlines(text: bytes) -> int:
    """Return the number of newlines in *text*, as ``text.count(b"\\n")``."""

def jumps(numbers: Numbers) -> list[int]:
    """Return the indices in rising *numbers* after which a number is missing."""

def first_late(stamps: Numbers, slack_us: int) -> tuple[int, int] | None:
    """Return the first index in *stamps* (µs) more than *slack_us* before the latest one preceding it, and that one."""
