"""Events of third-party files: levels, whole books, trades and gaps."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from mm.market_data.captures import BookLoss, Remark
from mm.markets.local_orderbook import Level


class LevelChanges(NamedTuple):
    """New quantities of levels; zero removes a level. Exchange times are in µs, 0 is unknown."""

    exch_us: int
    bids: Sequence[Level]
    asks: Sequence[Level]
    log_rows: int = 0


class WholeBook(NamedTuple):
    """All levels, in any order; they replace the previous ones.

    *log_rows*, here and in `LevelChanges`: rows of the order log up to this event.
    """

    bids: Sequence[Level]
    asks: Sequence[Level]
    exch_us: int = 0
    log_rows: int = 0


class BookEdits(NamedTuple):
    """Edits of the book: side, price and quantity of a level."""

    exch_us: int
    steps: Sequence[tuple[int, str | None, str | None]]
    snapshot: bool


class FileTrade(NamedTuple):
    """*side* is +1 for a buying aggressor, -1 for a seller, 0 if unknown."""

    exch_us: int
    price: str
    qty: str
    side: int
    trade_id: int | None = None
    span: tuple[int, int] | None = None


FileEvent = LevelChanges | WholeBook | BookEdits | FileTrade | BookLoss | Remark

BytesRead = Callable[[int], None]
"""Called with a number of bytes read so far."""
RowPlace = tuple[Path, int]
"""A file and a row of it, from 1, including a header."""
TimedEvent = tuple[int, int, RowPlace, FileEvent]
"""Receive time in µs, rank among the events of one instant, place in the file, and the event."""
