"""The state left by earlier runs of a symbol: orders, position, the account at the start of the ledger, equity marks.

The audit logs are authoritative. Only the equity at the start of the day and its peak, which no log contains, are in a
separate small file, ``<out>/risk/<SYMBOL>.equity.json``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from mm.base.atomic_file import write_atomic
from mm.clock import US_PER_S, day_of
from mm.errors import BrokenFile, OffGrid
from mm.instrument import E8, e8
from mm.live.audit import first_row, logs_of
from mm.live.audit_books import AuditBooks, Changes
from mm.live.audit_chain import read_rows
from mm.live.books_checkpoint import ends_of, read_checkpoint, write_checkpoint

ACCOUNT = "account"
"""Field of the ``params`` row with the account at the start of the ledger."""
MARKS_EVERY_US = 5 * US_PER_S
_QUARTER_US = 900 * US_PER_S
_DISQUALIFYING = ("breach", "kill")  # rows that exclude a day from a size ramp


@dataclass(frozen=True)
class LedgerBegin:
    """The account at the start of the ledger.

    Attributes:
        base_e8: Base asset, free plus locked, in 1e-8.
        quote_e8: Quote asset, free plus locked, in 1e-8.
        mid_e8: The mid at that time, in 1e-8 of the quote asset.
    """

    base_e8: int
    quote_e8: int
    mid_e8: int

    @property
    def worth_e8(self) -> int:
        """Value of both at that mid, in 1e-8 of the quote asset."""
        return self.quote_e8 + self.base_e8 * self.mid_e8 // E8

    def added_e8(self, inventory_e8: int) -> int:
        """Return the equity other than the quote asset and a position that started with *inventory_e8*, in 1e-8."""
        return (self.base_e8 - inventory_e8) * self.mid_e8 // E8


@dataclass(frozen=True)
class RunHistory:
    """The state left by earlier runs of a symbol at a venue.

    Attributes:
        books: Their totals; the ledger is None before the first run.
        begin: The account at the start of the ledger; None before the first run.
        days: By day with a log, whether it was without a breach.
        us: The current instant, µs.
        ends: Bytes, rows and last hash of each log that was read.
    """

    books: AuditBooks
    begin: LedgerBegin | None
    days: Mapping[str, bool]
    us: int
    ends: Sequence[Mapping[str, Any]]

    @property
    def clean_days(self) -> int:
        """Days before the current one without a breach, since the last breach; 0 if that was today."""
        clean, today = 0, day_of(self.us)
        for day, unbreached in sorted(self.days.items()):
            clean = clean + (day < today) if unbreached else 0
        return clean

    def keep(self, folder: Path, venue: str) -> str:
        """Write a checkpoint next to the logs, and return its sha256 for row 1 of the next log."""
        begin = None if self.begin is None else asdict(self.begin)
        sums = {"books": self.books.kept(), "begin": begin, "days": dict(self.days)}
        return write_checkpoint(folder, venue, sums, self.ends)

    @property
    def booked(self) -> Mapping[int, int]:
        """The `trade_mark` of each booked trade, by trade id."""
        return self.books.ledger.booked if self.books.ledger else {}

    @property
    def last_trade_id(self) -> int | None:
        """The largest of them; None without one."""
        return self.books.ledger.last_trade_id if self.books.ledger else None


def read_history(
    folder: Path, symbol: str, venue: str, us: int, note: Callable[..., object] | None = None
) -> RunHistory:
    """Return the totals of the logs in a symbol's folder.

    Args:
        folder: Folder of the audit logs.
        symbol: Upper case.
        venue: Only the logs of this venue count.
        us: The current instant, µs; the current day does not count as a day without a breach.
        note: Called with the reason why a checkpoint is invalid, as a `Logger`'s warning; None reads every log.

    Raises:
        DataError: If a log cannot be read, or is not one.
    """
    logs = [path for path in logs_of(folder) if (first_row(path) or {}).get("venue") == venue]
    kept, summed = (None, 0) if note is None else read_checkpoint(folder, venue, logs, note)
    books = AuditBooks(symbol, venue) if kept is None else AuditBooks.of(kept["books"])
    begin = None if kept is None or kept["begin"] is None else LedgerBegin(**kept["begin"])
    days: dict[str, bool] = {} if kept is None else dict(kept["days"])
    ends = ends_of(logs)
    for path in logs[summed:]:
        for row in read_rows(path):
            books.take(row, Changes())
            day = _day_of_quarter(row["us"] // _QUARTER_US)
            days[day] = days.get(day, True) and row["type"] not in _DISQUALIFYING
            if begin is None and row["type"] == "params" and ACCOUNT in row:
                begin = _begin_of(row[ACCOUNT], path)
    return RunHistory(books, begin, days, us, ends)


@lru_cache(maxsize=256)
def _day_of_quarter(quarter: int) -> str:
    """Return the day of a quarter of an hour; no time zone's day begins within one."""
    return day_of(quarter * _QUARTER_US)


def _begin_of(account: Any, path: Path) -> LedgerBegin:
    try:
        return LedgerBegin(e8(account["base"]), e8(account["quote"]), e8(account["mid"]))
    except (KeyError, TypeError, ValueError, OffGrid) as error:
        raise BrokenFile(
            f"{path}: the account of a params row cannot be read ({error}); see mm audit verify"
        ) from error


class EquityMarks(msgspec.Struct):
    """The equity at the start of a day and the highest so far, at one venue, in 1e-8 of the quote asset."""

    venue: str
    day: str
    day_equity_e8: int
    peak_equity_e8: int


class EquityFile:
    """Stores the equity marks of a symbol across restarts.

    Args:
        out_root: Folder of results.
        symbol: Upper case.
        venue: Venue of the marks.
    """

    def __init__(self, out_root: Path, symbol: str, venue: str) -> None:
        self._path, self._venue = out_root / "risk" / f"{symbol}.equity.json", venue
        self._written: EquityMarks | None = None
        self._next_us = 0

    def read(self, us: int) -> tuple[int | None, int | None]:
        """Return the equity at the start of the instant's day, and the peak, in 1e-8; None if unknown.

        Raises:
            BrokenFile: If the file cannot be read: without it a loss of this day would not count.
        """
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=EquityMarks)
        except FileNotFoundError:
            return None, None
        except (OSError, msgspec.MsgspecError) as error:
            raise BrokenFile(
                f"{self._path}: the equity of this day cannot be read ({error}); remove it to begin the day's loss and "
                f"the drawdown at the present equity"
            ) from error
        if found.venue != self._venue:
            return None, None
        return (found.day_equity_e8 if found.day == day_of(us) else None), found.peak_equity_e8

    def keep(self, us: int, day_e8: int, peak_e8: int, *, at_once: bool = False) -> None:
        """Write changed marks, at most every few seconds."""
        if us < self._next_us and not at_once:
            return
        marks = EquityMarks(self._venue, day_of(us), day_e8, peak_e8)
        if marks != self._written:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._path, msgspec.json.encode(marks) + b"\n", durable=at_once, mode=0o600)
            self._written = marks
        self._next_us = us + MARKS_EVERY_US
