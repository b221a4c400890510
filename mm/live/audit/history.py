"""The state left by earlier runs of a symbol: orders, position, the account at the start of the ledger, equity marks.

The audit logs are authoritative. Row 1 of each sums up the earlier logs of its venue (`BOOKS`), so a start reads and
verifies only the latest log. ``<out>/risk/<SYMBOL>.equity.json`` keeps the equity at the start of the day, its peak,
and how far the log was written, so that a log cut off or replaced since then is refused.
"""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from mm.base.atomic_file import write_atomic
from mm.base.audit_chain import Witness, audit_folder, read_rows, verify_lines
from mm.clock import US_PER_S, day_of
from mm.errors import BrokenFile, OffGrid
from mm.instrument import E8, decimal_text, e8
from mm.live.account.ledger import NOTHING, Held, day_at
from mm.live.audit.books import BOOKS, AuditBooks, Changes, summed_in_the_last
from mm.live.audit.log import AuditLog, starts_of, witnesses_of

ACCOUNT = "account"
"""Field of the ``params`` row with the account at the start of the ledger."""
MARK = "mark"
"""Type of a row with the equity at the start of a day, the peak, and the value of the transfers in both."""
PACING = "MAX_ORDERS_PER_S"
"""The limit at which orders wait for our own rate: no breach that a size ramp counts."""
MARKS_EVERY_US = 5 * US_PER_S


@dataclass(frozen=True)
class LedgerBegin:
    base_e8: int
    quote_e8: int
    mid_e8: int

    @property
    def worth_e8(self) -> int:
        return self.quote_e8 + self.base_e8 * self.mid_e8 // E8

    def added_e8(self, inventory_e8: int) -> int:
        return (self.base_e8 - inventory_e8) * self.mid_e8 // E8

    def cash_e8(self, held: Held) -> int:
        return self.quote_e8 + held.cash_e8 - held.other_e8 - held.most_e8

    def equity_e8(self, held: Held, inventory_e8: int, price_e8: int) -> int:
        worth_e8 = (inventory_e8 + held.position_e8) * price_e8 // E8
        return self.cash_e8(held) + self.added_e8(inventory_e8) + worth_e8


class EquityMarks(msgspec.Struct):
    """The equity at the start of a day and the highest so far, at one venue, in 1e-8 of the quote asset.

    *log*, *rows* and *hash* say how far the run's audit log was written, *equity_e8* the equity then. The marks include
    transfers worth *transfers_e8*.
    """

    venue: str
    day: str
    day_equity_e8: int
    peak_equity_e8: int
    log: str = ""
    rows: int = 0
    hash: str = ""
    equity_e8: int = 0
    transfers_e8: int = 0

    def moved(self, transfers_e8: int) -> "EquityMarks":
        more_e8, equity_e8, peak_e8 = transfers_e8 - self.transfers_e8, self.equity_e8, self.peak_equity_e8
        known = equity_e8 > 0 and equity_e8 + more_e8 > 0
        peak_e8 += more_e8 * peak_e8 // equity_e8 if known else more_e8
        return msgspec.structs.replace(
            self,
            day_equity_e8=self.day_equity_e8 + more_e8,
            peak_equity_e8=peak_e8,
            equity_e8=equity_e8 + more_e8,
            transfers_e8=transfers_e8,
        )

    def row(self) -> dict[str, str]:
        amounts = {"equity": self.day_equity_e8, "peak": self.peak_equity_e8, "transfers": self.transfers_e8}
        return {"day": self.day, **{name: decimal_text(value) for name, value in amounts.items()}}

    @classmethod
    def of_row(cls, venue: str, row: Mapping[str, Any]) -> "EquityMarks":
        equity_e8, peak_e8, transfers_e8 = (e8(row[name]) for name in ("equity", "peak", "transfers"))
        return cls(venue, row["day"], equity_e8, peak_e8, equity_e8=equity_e8, transfers_e8=transfers_e8)


@dataclass(frozen=True)
class RunHistory:
    """The state left by earlier runs of a symbol at a venue.

    *days* tells for each day with a log whether it passed without a breach. *held* is a copy, because this process
    books its fills into the same ledger.
    """

    books: AuditBooks
    begin: LedgerBegin | None
    days: Mapping[str, bool]
    us: int
    held: Held = NOTHING
    mark: EquityMarks | None = None

    @property
    def begin_e8(self) -> tuple[int, int] | None:
        return None if self.begin is None else (self.begin.base_e8, self.begin.quote_e8)

    @property
    def clean_days(self) -> int:
        clean, today = 0, day_of(self.us)
        for day, unbreached in sorted(self.days.items()):
            clean = clean + (day < today) if unbreached else 0
        return clean

    def kept(self) -> dict[str, Any]:
        begin = None if self.begin is None else asdict(self.begin)
        mark = {} if self.mark is None else {"mark": self.mark.row()}
        return {**self.books.kept(), "begin": begin, "days": dict(self.days), **mark}

    @property
    def booked(self) -> Mapping[int, int]:
        return self.books.ledger.booked if self.books.ledger else {}

    @property
    def last_trade_id(self) -> int | None:
        return self.books.ledger.last_trade_id if self.books.ledger else None


def read_history(folder: Path, symbol: str, venue: str, us: int, written: Witness | None = None) -> RunHistory:
    """Read the totals in row 1 of the latest log, and its own rows."""
    starts = {path: row for path, row in starts_of(folder).items() if row.get("venue") == venue}
    if written and written.file not in {path.name for path in starts}:
        raise BrokenFile(_missing(folder / written.file, written.source))
    logs = list(starts)[len(summed_in_the_last(starts)) :]
    books, begin, days, mark = AuditBooks(symbol, venue), None, dict[str, bool](), None
    for path in logs:
        _verify(path, written)
    if logs and (kept := starts[logs[0]].get(BOOKS)) is not None:
        begin, days = kept["begin"] and LedgerBegin(**kept["begin"]), dict(kept["days"])
        mark = EquityMarks.of_row(venue, kept["mark"]) if "mark" in kept else None
    for path in logs:
        for row in read_rows(path):
            books.apply(row, Changes())
            day = day_at(row["us"])
            breached = row["type"] == "kill" or (row["type"] == "breach" and row.get("limit") != PACING)
            days[day] = days.get(day, True) and not breached
            if begin is None and row["type"] == "params" and ACCOUNT in row:
                begin = _begin_of(row[ACCOUNT], path)
            if row["type"] == MARK:
                mark = EquityMarks.of_row(venue, row)
    return RunHistory(books, begin, days, us, books.ledger.begin_run() if books.ledger else NOTHING, mark)


def _verify(path: Path, written: Witness | None) -> None:
    witnesses = [replace(one, grows=True) for one in (*witnesses_of(path), written) if one and one.file == path.name]
    with path.open("rb") as lines:
        found = verify_lines(lines, open_end=True, witnesses=witnesses)
    if found.row is not None:
        lost = ""
        if written and written.file == path.name and found.rows < written.rows:
            lost = (
                f"; if the copy ends there too, remove risk/{written.source} below OUT_ROOT: what was filled since is "
                f"read from the exchange"
            )
        raise BrokenFile(f"{path}: row {found.row}: {found.why}; {_way_out(path.parent.name)}{lost}")


def missing_log(out_root: Path, symbol: str) -> str:
    path = equity_path(out_root, symbol)
    try:
        name = msgspec.json.decode(path.read_bytes(), type=EquityMarks).log
    except (OSError, msgspec.MsgspecError):
        return ""
    log = audit_folder(out_root, symbol) / name
    return "" if log.exists() else _missing(log, path.name)


def _missing(log: Path, source: str) -> str:
    return f"{log}: the audit log is missing, {source} records it; {_way_out(log.parent.name)}"


def _way_out(symbol: str) -> str:
    return (
        f"mm audit restore --archive DIR --symbol {symbol} brings back what was shipped (move a changed log out of the "
        f"folder before); another OUT_ROOT begins a new ledger"
    )


def _begin_of(account: Any, path: Path) -> LedgerBegin:
    try:
        return LedgerBegin(e8(account["base"]), e8(account["quote"]), e8(account["mid"]))
    except (KeyError, TypeError, ValueError, OffGrid) as error:
        raise BrokenFile(
            f"{path}: the account of a params row cannot be read ({error}); see mm audit verify"
        ) from error


def marks_at(
    history: RunHistory, file: EquityMarks | None, begin: LedgerBegin, inventory_e8: int, transfers_e8: int
) -> tuple[int | None, int | None]:
    """Return the equity at the start of the current day and the peak with which a run goes on, in 1e-8."""
    today, ledger = day_of(history.us), history.books.ledger
    known = [one.moved(transfers_e8) for one in (file, history.mark) if one is not None and one.day_equity_e8]
    day_e8 = next((one.day_equity_e8 for one in known if one.day == today), None)
    if day_e8 is None and ledger is not None and (before := ledger.before_day(today)) is not None:
        day_e8 = begin.equity_e8(before[0], inventory_e8, before[1]) + transfers_e8
    peaks = [one.peak_equity_e8 for one in known] + ([] if day_e8 is None else [day_e8])
    return day_e8, max(peaks, default=None)


def equity_path(out_root: Path, symbol: str) -> Path:
    return out_root / "risk" / f"{symbol}.equity.json"


class EquityFile:
    def __init__(self, out_root: Path, symbol: str, venue: str) -> None:
        self._path, self._venue = equity_path(out_root, symbol), venue
        self._kept: EquityMarks | None = None
        self._next_us = 0
        self._thread: ThreadPoolExecutor | None = None
        self._writing: Future[None] | None = None
        self.written: Witness | None = None
        self.marks: EquityMarks | None = None

    def read(self, us: int) -> tuple[int | None, int | None]:
        """Return the equity at the start of the instant's day and the peak, in 1e-8; BrokenFile, since a loss of the
        day would not count.
        """
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=EquityMarks)
        except FileNotFoundError:
            return None, None
        except (OSError, msgspec.MsgspecError) as error:
            raise BrokenFile(
                f"{self._path}: the equity of this day cannot be read ({error}); remove it to take the day's equity "
                f"from the audit log, and begin the drawdown at it"
            ) from error
        if found.venue != self._venue:
            return None, None
        self.marks = found
        if found.log:
            self.written = Witness(found.log, found.rows, found.hash, self._path.name)
        return (found.day_equity_e8 if found.day == day_of(us) else None), found.peak_equity_e8

    def keep(self, us: int, marks: EquityMarks, end: Witness, *, at_once: bool = False) -> None:
        """Write the marks at most every few seconds; *end* is how far the log is written.

        OSError also if the disk refused earlier marks.
        """
        if at_once:
            self._settle()
        elif us < self._next_us or not self._is_idle():
            return
        named = msgspec.structs.replace(marks, log=end.file, rows=end.rows, hash=end.hash)
        self._next_us = us + MARKS_EVERY_US
        if at_once:
            self._write(named, durable=True)
        else:
            self._thread = self._thread or ThreadPoolExecutor(1, "equity")
            self._writing = self._thread.submit(self._write, named, durable=False)

    def log_ended(self, end: Witness) -> None:
        self._settle()
        if self._kept is not None:
            marks = msgspec.structs.replace(self._kept, log=end.file, rows=end.rows, hash=end.hash)
            self._write(marks, durable=True)

    def _is_idle(self) -> bool:
        if self._writing is None or not self._writing.done():
            return self._writing is None
        self._settle()
        return True

    def _settle(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write(self, marks: EquityMarks, *, durable: bool) -> None:
        if marks != self._kept:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._path, msgspec.json.encode(marks) + b"\n", durable=durable, mode=0o600)
            self._kept = marks


class DayMarks:
    """Keeps equity marks in the file; the marks of a new day go to the audit log too."""

    def __init__(self, venue: str, file: EquityFile, audit: AuditLog) -> None:
        self._venue, self._file, self._audit = venue, file, audit
        self._day = ""  # whose mark is in the audit log

    def keep(self, us: int, marks: tuple[int, int, int, int], observed_us: int, *, at_once: bool = False) -> None:
        (equity_e8, day_e8, peak_e8, moved_e8), day = marks, day_of(observed_us)
        found = EquityMarks(self._venue, day, day_e8, peak_e8, equity_e8=equity_e8, transfers_e8=moved_e8)
        if day != self._day and self._audit.failure is None:
            self._day = day
            self._audit.append(MARK, **found.row())
        self._file.keep(us, found, self._audit.end, at_once=at_once)
