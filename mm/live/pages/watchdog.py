"""The watchdog: the state of traders and shadows, read from the files that outlive them."""

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from mm.base.audit_chain import STOP, audit_folder, decode_row
from mm.base.held_file import is_held
from mm.clock import US_PER_S, iso, now_us, us_of
from mm.errors import BrokenFile, DataError, UsageError
from mm.live.account.kill_switch import Kill, KillSwitch, none_open_us
from mm.live.account.locks import KnownTrader, KnownTraders
from mm.live.audit.books import AuditBooks, AuditOrder, Changes, summed_in_the_last
from mm.live.audit.history import missing_log
from mm.live.audit.log import starts_of
from mm.live.state.follow import BATCH_ROWS, LogSeries, LogTail
from mm.market_data.health import ENDED, HealthReport, read_health
from mm.market_data.metrics import MetricFamily, MetricSample, exposition

TRADE, SHADOW = KINDS = ("trade", "shadow")
DIED = -1
"""Exit code of a process that wrote no end: killed by SIGKILL, out of memory, a power cut."""
NO_END = "it wrote no end: killed, out of memory, or a power cut"
_RECENT_DAYS = 2
_WRITTEN_S = 3_600.0  # an older run log without an end gets none any more
_BEGUN_S = 3.0  # a younger run log without a line may not be held yet
_TAIL_BYTES = 1 << 20
_MOST_REASON = 160

LOOK = MetricFamily("mm_watchdog_look_timestamp_seconds", "gauge", "When the files were last read.")
UNREADABLE = MetricFamily("mm_watchdog_unreadable", "gauge", "Files and folders that could not be read.")
KILLED = MetricFamily(
    "mm_watchdog_killed", "gauge", "1 while the kill switch is triggered, with the reason.", ("reason",)
)
RUNNING = MetricFamily("mm_watchdog_running", "gauge", "1 while a process of the kind runs.", ("kind",))
END_CODE = MetricFamily(
    "mm_watchdog_last_end_code", "gauge", "Exit code of the last ended run; -1: it died.", ("kind", "reason")
)
LATELY_S = 900
FAILED = MetricFamily(
    "mm_watchdog_failed_ends_lately",
    "gauge",
    "Ends within 15 minutes with another exit code than 0, kills left out.",
    ("kind",),
)
END_TIME = MetricFamily("mm_watchdog_last_end_timestamp_seconds", "gauge", "When the last run ended.", ("kind",))
ORDERS_LEFT = MetricFamily(
    "mm_watchdog_orders_left_open", "gauge", "Orders that may be open at the exchange while no trader runs."
)
REPORT_AGE = MetricFamily("mm_watchdog_report_age_seconds", "gauge", "Age of the recording's last health report.")
OFFSET = MetricFamily("mm_watchdog_clock_offset_seconds", "gauge", "Our clock minus the exchange's, as last measured.")
DISK_FREE = MetricFamily("mm_watchdog_disk_free_bytes", "gauge", "Free disk space of a folder.", ("folder",))
WATCHDOG_FAMILIES = (
    LOOK,
    UNREADABLE,
    KILLED,
    RUNNING,
    END_CODE,
    END_TIME,
    FAILED,
    ORDERS_LEFT,
    REPORT_AGE,
    OFFSET,
    DISK_FREE,
)


@dataclass(frozen=True, slots=True)
class RunEnd:
    """*us* is the last change of the log for a run that died, whose *code* is `DIED`."""

    run_id: str
    us: int
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class WatchedSymbol:
    """The state of one symbol.

    Attributes:
        folder: Folder of its results, if that is not the one that was given.
        traders: Who trades it, as text.
        orders_left: Client ids of orders that may be open while no trader runs.
        report_age_s: Age of the last health report of a recording that has not ended; None without one.
    """

    symbol: str
    kill: Kill | None
    running: frozenset[str]
    ends: Mapping[str, RunEnd]
    orders_left: tuple[str, ...]
    report_age_s: float | None
    offset_us: int | None
    failed_lately: Mapping[str, int] = field(default_factory=dict)
    traders: tuple[str, ...] = ()
    folder: str = ""

    def troubles(self) -> Iterator[str]:
        if self.kill is not None:
            yield f"{self.symbol}: killed since {iso(self.kill.since_us)}: {self.kill.reason}"
        if self.orders_left:
            shown = ", ".join(self.orders_left[:3])
            yield (
                f"{self.symbol}: {len(self.orders_left)} orders left open ({shown}); "
                f"mm trade cancel --symbol {self.symbol} cancels them"
            )
        for kind, end in self.ends.items():
            if end.code and kind not in self.running and not (self.kill and end.reason == "kill"):
                yield f"{self.symbol}: {kind} {end.run_id} ended with {end.code} at {iso(end.us)}: {end.reason}"

    def line(self) -> str:
        running = ", ".join([*self.traders, *sorted(self.running - {TRADE} if self.traders else self.running)])
        where = f" in {self.folder}" if self.folder and not self.traders else ""
        age = "" if self.report_age_s is None else f"; last report {self.report_age_s:.0f} s ago"
        what = f"{running or 'nothing'} runs{where}{age}"
        return f"{self.symbol}: {what}; {'; '.join(self.troubles()) or 'no trouble'}"

    def to_json(self) -> dict[str, Any]:
        return {
            "killed": self.kill is not None,
            "reason": self.kill.reason if self.kill else None,
            "since": self.kill.since_us if self.kill else None,
            "running": sorted(self.running),
            "traders": list(self.traders),
            "folder": self.folder,
            "last_end": {kind: asdict(end) for kind, end in self.ends.items()},
            "orders_left_open": list(self.orders_left),
            "report_age_s": self.report_age_s,
            "clock_offset_us": self.offset_us,
        }


@dataclass(frozen=True, slots=True)
class WatchdogLook:
    us: int
    symbols: tuple[WatchedSymbol, ...]
    unreadable: tuple[str, ...]
    free_bytes: Mapping[str, int]
    heartbeat: str = ""

    def troubles(self) -> list[str]:
        lines = [line for symbol in self.symbols for line in symbol.troubles()]
        return [*lines, *self.unreadable, *([self.heartbeat] if self.heartbeat else [])]

    def page(self) -> str:
        filled: dict[MetricFamily, list[MetricSample]] = {family: [] for family in WATCHDOG_FAMILIES}
        filled[LOOK].append(("", {}, self.us / US_PER_S))
        filled[UNREADABLE].append(("", {}, len(self.unreadable)))
        filled[DISK_FREE] += [("", {"folder": folder}, free) for folder, free in self.free_bytes.items()]
        for symbol in self.symbols:
            for family, labels, value in _samples(symbol):
                where = {"folder": symbol.folder} if symbol.folder else {}
                filled[family].append(("", {"symbol": symbol.symbol, **where, **labels}, value))
        return exposition("", filled.items())


def _samples(one: WatchedSymbol) -> Iterator[tuple[MetricFamily, dict[str, str], float]]:
    yield KILLED, {"reason": one.kill.reason[:_MOST_REASON] if one.kill else ""}, one.kill is not None
    yield ORDERS_LEFT, {}, len(one.orders_left)
    for kind in KINDS:
        yield RUNNING, {"kind": kind}, kind in one.running
        yield FAILED, {"kind": kind}, one.failed_lately.get(kind, 0)
    for kind, end in one.ends.items():
        yield END_CODE, {"kind": kind, "reason": end.reason}, end.code
        yield END_TIME, {"kind": kind}, end.us / US_PER_S
    if one.report_age_s is not None:
        yield REPORT_AGE, {}, one.report_age_s
    if one.offset_us is not None:
        yield OFFSET, {}, one.offset_us / US_PER_S


class Watchdog:
    """Watches a folder of results, and those of traders of this user that live elsewhere.

    Attributes:
        needs_folder: A folder that is missing is a trouble; not on a second machine, where no trader runs.
    """

    needs_folder = True

    def __init__(self, out_root: Path, data_root: Path, log_root: Path, symbols: Iterable[str] = ()) -> None:
        self._out_root, self._data_root, self._log_root = out_root, data_root, log_root
        self._elsewhere: dict[Path, Watchdog] = {}
        self._given = tuple(symbols)
        self._orders: dict[str, AuditOrders] = {}
        self._ends: dict[Path, RunEnd] = {}
        self._unreadable: list[str] = []

    def check(self) -> None:
        known = KnownTraders.look(self._out_root)
        if not (self._out_root.is_dir() or known.lately()):
            raise DataError(
                "{out_root} {}: there is no such folder, and no trader runs elsewhere ({}); create it, or give another",
                self._out_root,
                known.where(),
            )

    def where(self) -> str:
        return KnownTraders.look(self._out_root).where()

    def check_symbols(self) -> None:
        """Raise DataError if nothing is known of a symbol that was given."""
        known = KnownTraders.look(self._out_root)
        for symbol in self._given:
            if symbol not in known.symbols() | self._symbols():
                raise known.unknown(symbol)

    def look(self) -> WatchdogLook:
        known = KnownTraders.look(self._out_root)
        for trader in known.lately():
            root = trader.out_root
            if root is not None and root != known.given and root not in self._elsewhere:
                data = Path(trader.holder.data_root or self._data_root)
                logs = Path(trader.holder.log).parents[4] if trader.holder.log else root / "logs"
                self._elsewhere[root] = Watchdog(root, data, logs)
        looks = [self._look_here(known), *(dog._look_here(known, str(root)) for root, dog in self._elsewhere.items())]
        found = [one for look in looks for one in look.symbols if not self._given or one.symbol in self._given]
        missing = set(self._given).difference(one.symbol for one in found)
        found += [self._look_at(symbol) for symbol in sorted(missing)]
        unreadable = [line for dog in (self, *self._elsewhere.values()) for line in dog._unreadable]
        return replace(looks[0], symbols=tuple(found), unreadable=tuple(unreadable))

    def _look_here(self, known: KnownTraders, folder: str = "") -> WatchdogLook:
        gone = self.needs_folder and not (self._out_root.is_dir() or known.lately())
        self._unreadable = [f"{self._out_root}: there is no such folder"] if gone else []
        living = [one for one in known.living() if one.out_root == self._out_root.resolve()]
        symbols = sorted({*self._symbols(), *(one.holder.symbol for one in living)})
        found = [replace(self._look_at(one), folder=folder, traders=_of(one, living)) for one in symbols]
        folders = (("out", self._out_root), ("data", self._data_root))
        free = {name: shutil.disk_usage(path).free for name, path in folders if path.is_dir()}
        return WatchdogLook(now_us(), tuple(found), tuple(self._unreadable), free)

    def _symbols(self) -> set[str]:
        switches = self._children(self._out_root / "risk")
        kills = {path.name.removesuffix(".kill") for path in switches if path.name.endswith(".kill")}
        folders = [self._out_root / "audit", *(self._log_root / kind for kind in KINDS)]
        return kills | {path.name for folder in folders for path in self._children(folder)}

    def _look_at(self, symbol: str) -> WatchedSymbol:
        running, ends, failed = set[str](), dict[str, RunEnd](), dict[str, int]()
        for kind in KINDS:
            runs, ended = self._runs(kind, symbol)
            running |= {kind} if runs else set()
            ends |= {kind: max(ended, key=lambda end: end.us)} if ended else {}
            lately_us = now_us() - LATELY_S * US_PER_S
            failed[kind] = sum(end.code != 0 and end.reason != "kill" and end.us > lately_us for end in ended)
        report = self._health(symbol)
        active = report is not None and report.state != ENDED
        return WatchedSymbol(
            symbol=symbol,
            kill=KillSwitch(self._out_root, symbol).read(),
            running=frozenset(running),
            ends=ends,
            orders_left=self._orders_left(symbol, trading=TRADE in running),
            report_age_s=max(0, now_us() - report.at_us) / US_PER_S if report and active else None,
            offset_us=report.offset_us if report else None,
            failed_lately=failed,
        )

    def _runs(self, kind: str, symbol: str) -> tuple[bool, list[RunEnd]]:
        running, ends = False, list[RunEnd]()
        for day in self._children(self._log_root / kind / symbol)[-_RECENT_DAYS:]:
            for folder in self._children(day):
                try:
                    end = self._end_of(folder / "run.log")
                except FileNotFoundError:  # of a run that begins
                    continue
                except OSError as error:
                    self._unreadable.append(f"{error.filename or folder}: {error.strerror}")
                    continue
                running = running or end is None
                ends += [end] if end else []
        return running, ends

    def _end_of(self, log: Path) -> RunEnd | None:
        """Return None while the run goes on; an end is read once."""
        if log not in self._ends:
            if is_held(log):
                return None
            changed_s, size = log.stat().st_mtime, log.stat().st_size
            age_s = abs(time.time() - changed_s)  # the clock may have been ahead when it was written
            if not size and age_s < _BEGUN_S:
                return None
            end = _logged_end(log)
            if end is None and is_held(log):  # it began meanwhile
                return None
            if end is None and age_s < _WRITTEN_S:  # its guardian may write the end yet
                return RunEnd(log.parent.name, round(changed_s * US_PER_S), DIED, NO_END)
            self._ends[log] = end or RunEnd(log.parent.name, round(changed_s * US_PER_S), DIED, NO_END)
        return self._ends[log]

    def _orders_left(self, symbol: str, *, trading: bool) -> tuple[str, ...]:
        orders = self._orders.setdefault(symbol, AuditOrders(audit_folder(self._out_root, symbol), symbol))
        if missing := missing_log(self._out_root, symbol):
            self._unreadable.append(missing)
        try:
            orders.follow()
        except (DataError, OSError) as error:
            self._unreadable.append(f"{symbol}: its audit logs cannot be read: {error}")
        if trading or not orders.open or none_open_us(self._out_root, symbol) > orders.last_us:
            return ()
        day, _, run_id = orders.last_name.partition("_")
        log = self._log_root / TRADE / symbol / day / run_id / "run.log"
        if not orders.stopped and not log.exists():
            self._unreadable.append(f"{log}: no such file, so it is not known whether the trader runs; give LOG_ROOT")
            return ()
        return tuple(order.client_id for order in orders.open)

    def _health(self, symbol: str) -> HealthReport | None:
        try:
            return read_health(self._data_root, symbol)
        except (DataError, OSError) as error:
            self._unreadable.append(str(error))
            return None

    def _children(self, folder: Path) -> list[Path]:
        try:
            return sorted(folder / name for name in os.listdir(folder) if not name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as error:
            self._unreadable.append(f"{folder}: {error.strerror}")
            return []


def _of(symbol: str, living: Sequence[KnownTrader]) -> tuple[str, ...]:
    return tuple(str(one) for one in living if one.holder.symbol == symbol)


def _logged_end(log: Path) -> RunEnd | None:
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        lines = file.read().split(b"\n")
    if len(lines) < 2:
        return None
    try:
        last = msgspec.json.decode(lines[-2])
        event, us, code = last["event"], us_of(last["ts"]), int(last.get("exit_code", last["event"] == "run_failed"))
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, UsageError):
        return None
    if event == "run_finished":
        return RunEnd(log.parent.name, us, code, str(last.get("ended", last.get("status", "")))[:_MOST_REASON])
    if event == "run_failed":
        return RunEnd(log.parent.name, us, code, str(last.get("error", ""))[:_MOST_REASON])
    return None


class AuditOrders:
    """The orders of a symbol that may be open by its audit logs, which are read as they grow."""

    def __init__(self, folder: Path, symbol: str) -> None:
        self.open: tuple[AuditOrder, ...] = ()
        self.last_us = 0
        self.last_name, self.stopped = "", True
        self._folder, self._books = folder, AuditBooks(symbol)
        self._logs: LogSeries | None = None
        self._error: DataError | None = None

    def follow(self) -> None:
        if self._error is not None:
            raise self._error
        try:
            if self._logs is None:
                self._logs = LogSeries(self._folder, summed_in_the_last(starts_of(self._folder)))
            while found := self._logs.next_lines(BATCH_ROWS):
                self._apply(*found)
        except DataError as error:
            self._error = error
            raise
        except (KeyError, TypeError, AttributeError) as error:
            self._error = BrokenFile(f"{self._folder}: a row of a log lacks a field ({error}); see mm audit verify")
            raise self._error from error
        self.open = tuple(self._books.open_orders())

    def _apply(self, tail: LogTail, lines: Sequence[bytes]) -> None:
        self.last_name = tail.path.stem
        for number, line in enumerate(lines, tail.rows - len(lines) + 1):
            row = decode_row(line, number, tail.path.name)
            self._books.apply(row, Changes())
            self.last_us = max(self.last_us, row["us"])
            self.stopped = row["type"] == STOP
