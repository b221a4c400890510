"""The state left by earlier runs of a symbol: orders, position, the account at the start of the ledger, equity marks.

The audit logs are authoritative. Row 1 of each has the totals of the earlier logs of its venue (`BOOKS`), so a start
reads only the latest log, and verifies it. What no log contains is in a separate small file,
``<out>/risk/<SYMBOL>.equity.json``: the equity at the start of the day and its peak, and how far the log was written,
so that a log which was cut off or replaced since then is refused.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from mm.base.atomic_file import write_atomic
from mm.clock import US_PER_S, day_of
from mm.errors import BrokenFile, OffGrid
from mm.instrument import E8, e8
from mm.live.audit import starts_of, witnesses_of
from mm.live.audit_books import BOOKS, AuditBooks, Changes, summed_in_the_last
from mm.live.audit_chain import Witness, read_rows, verify_lines

ACCOUNT = "account"
"""Field of the ``params`` row with the account at the start of the ledger."""
ADOPTED = "adopted"
"""Field of a ``params`` row with a difference of the account that was accepted."""
PACING = "MAX_ORDERS_PER_S"
"""The limit at which orders wait for our own rate: no breach that a size ramp counts."""
MARKS_EVERY_US = 5 * US_PER_S
_QUARTER_US = 900 * US_PER_S
_WAY_OUT = "restore the log, or begin a new ledger with another OUT_ROOT"


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
        adopted_e8: Differences of the account that were accepted since, in 1e-8 of base and quote asset.
    """

    books: AuditBooks
    begin: LedgerBegin | None
    days: Mapping[str, bool]
    us: int
    adopted_e8: tuple[int, int] = (0, 0)

    @property
    def balances_e8(self) -> tuple[int, int] | None:
        """Balances of base and quote asset that the account must have, in 1e-8; None before the first run."""
        if self.begin is None:
            return None
        moved = (self.books.ledger.position_e8, self.books.ledger.cash_e8) if self.books.ledger else (0, 0)
        return self.begin.base_e8 + self.adopted_e8[0] + moved[0], self.begin.quote_e8 + self.adopted_e8[1] + moved[1]

    @property
    def clean_days(self) -> int:
        """Days before the current one without a breach, since the last breach; 0 if that was today."""
        clean, today = 0, day_of(self.us)
        for day, unbreached in sorted(self.days.items()):
            clean = clean + (day < today) if unbreached else 0
        return clean

    def kept(self) -> dict[str, Any]:
        """Return the totals for row 1 of the next log."""
        begin = None if self.begin is None else asdict(self.begin)
        return {**self.books.kept(), "begin": begin, "days": dict(self.days), "adopted_e8": self.adopted_e8}

    @property
    def booked(self) -> Mapping[int, int]:
        """The `trade_mark` of each booked trade, by trade id."""
        return self.books.ledger.booked if self.books.ledger else {}

    @property
    def last_trade_id(self) -> int | None:
        """The largest of them; None without one."""
        return self.books.ledger.last_trade_id if self.books.ledger else None


def read_history(folder: Path, symbol: str, venue: str, us: int, written: Witness | None = None) -> RunHistory:
    """Return the totals of the logs in a symbol's folder: those in row 1 of the latest, and its own rows.

    Args:
        folder: Folder of the audit logs.
        symbol: Upper case.
        venue: Only the logs of this venue count.
        us: The current instant, µs; the current day does not count as a day without a breach.
        written: A record, kept elsewhere, of how far a log was written; that log must be there.

    Raises:
        DataError: If a log that counts cannot be read, was changed, or ends before *written*.
    """
    starts = {path: row for path, row in starts_of(folder).items() if row.get("venue") == venue}
    if written and written.file not in {path.name for path in starts}:
        raise BrokenFile(f"{folder / written.file}: the audit log is missing, {written.source} records it; {_WAY_OUT}")
    logs = list(starts)[len(summed_in_the_last(starts)) :]
    books, begin, days, adopted_e8 = AuditBooks(symbol, venue), None, dict[str, bool](), (0, 0)
    for path in logs:
        _verify(path, written)
    if logs and (kept := starts[logs[0]].get(BOOKS)) is not None:
        begin, days = kept["begin"] and LedgerBegin(**kept["begin"]), dict(kept["days"])
        adopted_e8 = kept["adopted_e8"][0], kept["adopted_e8"][1]
    for path in logs:
        for row in read_rows(path):
            books.take(row, Changes())
            day = _day_of_quarter(row["us"] // _QUARTER_US)
            days[day] = days.get(day, True) and not _disqualifies(row)
            if begin is None and row["type"] == "params" and ACCOUNT in row:
                begin = _begin_of(row[ACCOUNT], path)
            if row["type"] == "params" and ADOPTED in row:
                more = row[ADOPTED]
                adopted_e8 = adopted_e8[0] + e8(more["base"]), adopted_e8[1] + e8(more["quote"])
    return RunHistory(books, begin, days, us, adopted_e8)


def _verify(path: Path, written: Witness | None) -> None:
    """Raise BrokenFile if a log was changed; one of a killed run may end anywhere after *written*."""
    witnesses = [replace(one, grows=True) for one in (*witnesses_of(path), written) if one and one.file == path.name]
    with path.open("rb") as lines:
        found = verify_lines(lines, open_end=True, witnesses=witnesses)
    if found.row is not None:
        raise BrokenFile(f"{path}: row {found.row}: {found.why}; {_WAY_OUT}")


def _disqualifies(row: Mapping[str, Any]) -> bool:
    """Return whether a row excludes its day from a size ramp."""
    return row["type"] == "kill" or (row["type"] == "breach" and row.get("limit") != PACING)


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
    """The equity at the start of a day and the highest so far, at one venue, in 1e-8 of the quote asset.

    *log*, *rows* and *hash* are how far the run's audit log was written.
    """

    venue: str
    day: str
    day_equity_e8: int
    peak_equity_e8: int
    log: str = ""
    rows: int = 0
    hash: str = ""


class EquityFile:
    """Stores the equity marks of a symbol, and how far its audit log was written, across restarts.

    Args:
        out_root: Folder of results.
        symbol: Upper case.
        venue: Venue of the marks.

    Attributes:
        written: How far the log of the last run was written; None if unknown.
    """

    def __init__(self, out_root: Path, symbol: str, venue: str) -> None:
        self._path, self._venue = out_root / "risk" / f"{symbol}.equity.json", venue
        self._kept: EquityMarks | None = None
        self._next_us = 0
        self.written: Witness | None = None

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
        if found.log:
            self.written = Witness(found.log, found.rows, found.hash, self._path.name)
        return (found.day_equity_e8 if found.day == day_of(us) else None), found.peak_equity_e8

    def keep(self, us: int, day_e8: int, peak_e8: int, end: Witness, *, at_once: bool = False) -> None:
        """Write changed marks, at most every few seconds; *end* is how far the log is written."""
        if us < self._next_us and not at_once:
            return
        marks = EquityMarks(self._venue, day_of(us), day_e8, peak_e8, end.file, end.rows, end.hash)
        self._write(marks, durable=at_once)
        self._next_us = us + MARKS_EVERY_US

    def log_ended(self, end: Witness) -> None:
        """Write the last marks with the end of the log, if there are marks."""
        if self._kept is not None:
            marks = msgspec.structs.replace(self._kept, log=end.file, rows=end.rows, hash=end.hash)
            self._write(marks, durable=True)

    def _write(self, marks: EquityMarks, *, durable: bool) -> None:
        if marks != self._kept:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._path, msgspec.json.encode(marks) + b"\n", durable=durable, mode=0o600)
            self._kept = marks
