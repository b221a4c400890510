# Generated from mm/dayfolder/_clean_rows.pyx by `make stubs`; edit that file instead.

"""Rows of a day in which a check finds nothing: taken in runs, without an object a row (`check_ahead` calls it).

Only what our own writers write is understood, in their order of keys and with plain decimals, and only where it
continues what came before. Whatever else a row holds, the kernel stops in front of it, with the book as it was or as
that row makes it, which is the same once the row is applied; the checks in Python read the row and say what is wrong.
"""

from collections.abc import Sequence

from mm.market_data._levels import Side

class Arrivals:
    """What the rows of one file must continue, and number and arrival of those that were taken.

    Args:
        from_us, to_us: Rows arrive from the one to before the other, in µs.
        slack_us: How far arrival may step back.

    Attributes:
        latest_us: The latest arrival of the run so far.
        count: Rows taken since `begin`.
    """
    @property
    def latest_us(self) -> int: ...
    @property
    def count(self) -> int: ...
    def begin(self, run: str, last_seq: int, latest_us: int) -> None:
        """Go on behind a row of *run* with the number *last_seq*; nothing is taken yet."""
    def taken(self) -> tuple[bytes, bytes]:
        """Return the numbers and the arrivals in µs of the rows that were taken, as 64 bits each."""

class RowLimits:
    """What the values of rows must be: steps in 1e-8 (0 is unknown), and up to which number of a row they are valid.

    Attributes:
        tick_e8, lot_e8: Steps of prices and quantities.
        until_seq: The first row that they are not known for.
        least_price_e8, most_price_e8, most_qty_e8: The range of a trade; 0 is no limit.
        stamps_ms: From which exchange time on, and before which, in ms; those in µs are a thousand times as great.
        sent_late_ms: Most time between a trade and the message of it.
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
    """Takes trades of the stream whose ids count up by one.

    Attributes:
        last_id: The id of the last row.
    """

    last_id: int
    def take(self, block: bytes, at: int, limits: RowLimits, single: bool) -> int:
        """Take the lines of *block* from *at* on, and return where the first one stands that was not taken.

        Args:
            block: Lines of the file; the last may be torn.
            at: Where a line begins.
            limits: What holds for values.
            single: Whether a row must be one trade.
        """

class CleanFrames(Arrivals):
    """The frames that depth messages must leave, each the very line that the book gives.

    Args:
        from_us, to_us, slack_us: As for `Arrivals`.
        top_n: Levels per side.
    """
    def __init__(self, from_us: int, to_us: int, slack_us: int, top_n: int) -> None: ...
    def open(self, block: bytes, at: int, first: bytes, epoch: int) -> None:
        """Have *first*, a line read before, and the lines of *block* from *at* on compared; they are of *epoch*."""
    @property
    def at(self) -> int:
        """Where in the block the next line begins."""

class CleanDiffs(Arrivals):
    """Takes depth messages that continue a book, and changes it.

    Attributes:
        last_id: The last update id in the book.
        until_id: Messages that reach this id are left.
        total_us, last_us: As of `ValidTime`: the time for which the book is valid, and until when.
        seen_us, leap_from_us, leap_to_us: As of `ClockLeaps`: the last row, and the widest step between two.
        low_e8, high_e8: The lowest best bid and the highest best ask.
        starved: Whether the last `take` stopped for want of a line of the frames.
    """

    last_id: int
    until_id: int
    total_us: int
    last_us: int
    seen_us: int
    leap_from_us: int
    leap_to_us: int
    low_e8: int
    high_e8: int
    @property
    def starved(self) -> bool: ...
    def reach(self, bid_edge: int | None, ask_edge: int | None, top_n: int) -> None:
        """Leave a message behind which *top_n* levels reach beyond the edges of a snapshot, in 1e-8; None has none."""
    def take(self, block: bytes, at: int, limits: RowLimits, bids: Side, asks: Side, frames: CleanFrames | None) -> int:
        """Take the lines of *block* from *at* on, and return where the first one stands that was not taken.

        Args:
            block: Lines of the file; the last may be torn.
            at: Where a line begins.
            limits: What holds for values.
            bids, asks: The book; what a message that is left has changed of it, it changes again.
            frames: Takes the frames of these messages; None where there are none.
        """

Numbers = Sequence[int]

def merged(columns: Sequence[tuple[Numbers, Numbers]]) -> tuple[Numbers, Numbers, bool] | None:
    """Return the numbers of all files in order, each once, the arrival of each, and whether any file repeats another's.

    Args:
        columns: Numbers and arrivals in µs of the rows of each file, as 64 bits.

    None where the numbers of a file do not rise. Of several arrivals the earliest is taken.
    """

def newlines(text: bytes) -> int:
    """Return how many lines end in *text*, as ``text.count(b"\\n")`` does."""

def jumps(numbers: Numbers) -> list[int]:
    """Return the places of rising *numbers* behind which one is left out."""

def first_late(stamps: Numbers, slack_us: int) -> tuple[int, int] | None:
    """Return the first place of *stamps*, in µs, more than *slack_us* before the latest in front of it, and that."""
