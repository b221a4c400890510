"""A recorder's days: the recording window, and the folder of each day, new or continued."""

import asyncio
import errno
import itertools
import shutil
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard, TypeVar
from weakref import WeakSet

import mm
from mm.base.waiting import happened
from mm.clock import US_PER_S, day_of, parse_day, zone_of
from mm.dayfolder.buffered_writer import NO_SPACE
from mm.dayfolder.day_grids import read_grids
from mm.dayfolder.day_writer import DayWriter, lock_day
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.recovery import damage_of, read_schema, require_ledger, require_sealable, set_aside
from mm.errors import Mismatch, RunExists, TryLater, UsageError, parameter
from mm.markets.market import Market
from mm.markets.registry import DEFAULT

ALWAYS = "always"
LONGEST_SLEEP_S = 1.0
_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO)


@dataclass(frozen=True, slots=True)
class RecordingWindow:
    day: str
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class WindowRule:
    """The daily recording window in the time of a *zone*.

    Attributes:
        start: ``HH:MM``, or ``always`` for complete days.
        end: At or before *start* it is on the next day. Unused with ``always``.
    """

    start: str
    end: str
    zone: str

    @property
    def endless(self) -> bool:
        return self.start == ALWAYS

    def of_day(self, day: str) -> RecordingWindow:
        first = parse_day(day)
        start, end = ("00:00", "24:00") if self.endless else (self.start, self.end)
        last = first + timedelta(days=1) if end <= start else first
        return RecordingWindow(day, self._instants(first, start)[0], max(self._instants(last, end)))

    def at(self, now_us: int) -> RecordingWindow:
        """The window that contains *now_us*, else the next one."""
        today = parse_day(day_of(now_us, self.zone))
        days = (today + timedelta(days=ahead) for ahead in (-1, 0, 1))
        windows = (self.of_day(day.strftime("%Y%m%d")) for day in days)
        return next(window for window in windows if window.end_us > now_us)

    def _instants(self, day: date, text: str) -> tuple[int, int]:
        hours, minutes = map(int, text.split(":"))
        local = datetime.combine(day + timedelta(days=hours // 24), time(hours % 24, minutes), zone_of(self.zone))
        first, second = (int(local.replace(fold=fold).timestamp()) * US_PER_S for fold in (0, 1))
        return first, second


@dataclass(frozen=True, slots=True)
class DayWindow(WindowRule):
    day: str = ""

    @classmethod
    def of(cls, rule: WindowRule, day: str) -> "DayWindow":
        start, end = ("00:00", "24:00") if rule.endless else (rule.start, rule.end)
        return cls(start, end, rule.zone, day)

    def at(self, now_us: int) -> RecordingWindow:  # noqa: ARG002 - it is the same at every instant
        return self.of_day(self.day)


async def sleep_until(us: int, clock: Callable[[], int]) -> None:
    """Works even if the wall *clock* is set, or the machine suspended, meanwhile."""
    while (rest_us := us - clock()) > 0:
        await asyncio.sleep(min(rest_us / US_PER_S, LONGEST_SLEEP_S))


@dataclass(frozen=True, kw_only=True)
class Days:
    data_root: Path
    symbol: str
    run_id: str
    own_id: bool
    top_n: int
    trade_stream: str
    flush_interval_s: float
    write_diffs: bool
    write_gaps: bool
    min_free_mb: float
    knobs: Mapping[str, Any]
    market: Market = DEFAULT
    made: list[Path] = field(default_factory=list)

    def check_space(self) -> None:
        existing = next(path for path in (self.data_root, *self.data_root.absolute().parents) if path.exists())
        free_mb = shutil.disk_usage(existing).free / 1e6
        if free_mb < self.min_free_mb:
            message = f"{free_mb:.0f} MB are free, {parameter('min_free_mb')} is {self.min_free_mb:.0f}"
            raise OSError(errno.ENOSPC, message, str(existing))

    def open(self, day: str, at_us: int, instrument: str | None = None) -> DayWriter:
        """Open or continue *day*; *instrument* is the exchange's entry, if known.

        A damaged day moves to ``damaged`` below the data root, as the new day's ledger records.

        Raises:
            TryLater: If another process writes the day.
            Mismatch: If an earlier run of the day recorded another market, trade stream or number of levels.
        """
        folder = DayFolder(self.data_root, self.symbol, day)
        self._make(folder)
        self._check_market(folder)
        read_grids(folder)
        try:
            require_ledger(folder)
            return self._opened(folder, at_us, instrument)
        except Exception as error:
            damage = damage_of(error)
            if damage is None:
                raise
            with ExitStack() as held:
                lock_day(folder, held)
                moved_to = set_aside(folder)
        self._make(folder)
        return self._opened(folder, at_us, instrument, {"cause": damage, "moved_to": str(moved_to)})

    def open_again(self, writer: DayWriter, at_us: int, instrument: str | None) -> DayWriter:
        """Replace a day whose files were removed or replaced, or whose ids the exchange gives again."""
        files = ", ".join(path.name for path in writer.missing())
        cause = f"removed while it was recorded: {files}" if files else "the exchange gives recorded ids again"
        moved_to = str(set_aside(writer.folder)) if writer.holds_folder() else None
        self._make(writer.folder)
        days = replace(self, own_id=False)
        return days._opened(writer.folder, at_us, instrument, {"cause": cause, "moved_to": moved_to})

    def withdraw(self, writer: DayWriter) -> bool:
        """Close *writer* and remove its folder if this run made it; return whether it did."""
        folder = writer.folder.path
        if folder not in self.made:
            return False
        folder = folder.rename(folder.with_name(folder.name + ".withdrawn"))  # nothing is written into it any more
        shutil.rmtree(folder)
        for around in self.made:
            with suppress(OSError):
                around.rmdir()
        writer.close(flush=False)
        return True

    def _opened(
        self, folder: DayFolder, at_us: int, instrument: str | None, replaced: Mapping[str, Any] | None = None
    ) -> DayWriter:
        writer = self._writer(folder, instrument)
        try:
            require_sealable(folder, writer.earlier)
            self._check_stream(writer)
            writer.wait_for_space()
            self._begin(writer, at_us, replaced)
        except BaseException:
            writer.close(flush=False)  # flushing would remove the torn row, which the ledger has not reported yet
            raise
        return writer

    def _make(self, folder: DayFolder) -> None:
        self.made.extend(path for path in (folder.path, *folder.path.parents) if not path.exists())
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno in NO_SPACE:
                raise
            reason = f"cannot be written ({error.strerror})"
            kind = TryLater if error.errno in _UNWRITABLE else UsageError
            raise kind("{data_root} {}: {}; make it writable", self.data_root, reason) from error

    def _writer(self, folder: DayFolder, instrument: str | None) -> DayWriter:
        for run_id in self._run_ids():
            try:
                return DayWriter(
                    folder,
                    run_id,
                    top_n=self.top_n,
                    instrument=instrument,
                    write_diffs=self.write_diffs,
                    write_gaps=self.write_gaps,
                    market=self.market,
                )
            except RunExists:
                if self.own_id:
                    raise
        raise AssertionError("all run ids are in use")

    def _run_ids(self) -> Iterator[str]:
        yield self.run_id
        yield from (f"{self.run_id}_{count}" for count in itertools.count(2))

    def _check_market(self, folder: DayFolder) -> None:
        before = read_schema(folder).venue or self.market.venue
        if before != self.market.venue:
            raise Mismatch(
                "{} is a day of {}, this run is of {} ({market}); record each market into a {data_root} of its own",
                folder.path,
                before,
                self.market.venue,
            )

    def _check_stream(self, writer: DayWriter) -> None:
        before = writer.earlier.knobs.get("trade_stream", self.trade_stream)
        if before != self.trade_stream:
            raise Mismatch(
                "{} was started with {trade_stream} {}, this run has {}; their ids are not comparable: record that "
                "stream, or into another {data_root}",
                writer.folder.path,
                before,
                self.trade_stream,
            )

    def _begin(self, writer: DayWriter, at_us: int, replaced: Mapping[str, Any] | None) -> None:
        earlier = writer.earlier
        epoch_id = earlier.epoch_id
        writer.event(at_us, "run_start", epoch_id, {"version": mm.__version__, "knobs": self.knobs})
        for run_id in earlier.open_runs:
            writer.event(at_us, "crash_recovered", epoch_id, {"previous_run_id": run_id})
        for path, lost in earlier.lost.items():
            details = {"path": writer.folder.relative(path), "bytes": lost, "lost_s": self.flush_interval_s}
            writer.event(at_us, "tail_recovered", epoch_id, details)
        if replaced:
            writer.event(at_us, "day_replaced", epoch_id, replaced)
        writer.event(at_us, "window_start", epoch_id, {})


MOST_FAILURES = 12
NOTE_EVERY_S = 300.0
"""Interval of progress notes in the manifest, so that a start after a crash need not read the whole day."""
Returned = TypeVar("Returned")
_DISK_ERRORS = (*NO_SPACE, errno.EIO, errno.EROFS)


class Disk:
    """Writes rows to disk at each flush interval and at the end, in a thread, so that the loop never waits.

    Without free space rows, files of a new day and the seal of a finished one are retried each interval,
    `MOST_FAILURES` times. Any other failure ends the recording.

    Args:
        report: Called with the error once space runs out, and with None once there is space again.
    """

    def __init__(
        self, days: Days, report: Callable[[OSError | None], None], removed: Callable[[], Awaitable[None]]
    ) -> None:
        self._days = days
        self._removed = removed
        self._report_space = report
        self._thread = ThreadPoolExecutor(1, "disk")
        self._sealing: list[asyncio.Task[None]] = []
        self._full: set[str] = set()
        self._ending, self._wanted = asyncio.Event(), asyncio.Event()
        self._turn = asyncio.Lock()
        self._leaving = WeakSet[DayWriter]()  # being sealed, or closed: a flush may still have one of them
        self._writing: asyncio.Future[None] | None = None
        self._noted_s = 0.0

    async def flush(self, writer: Callable[[], DayWriter]) -> None:
        """Flush at each interval, without end; raises OSError on permanent failure."""
        failures = 0
        while True:
            await asyncio.sleep(self._days.flush_interval_s)
            await self._in_thread(self._days.check_space)
            now = writer()
            if await self.look(now):
                now = writer()
            try:
                await self.write(now)
                if now not in self._leaving:  # the day was replaced meanwhile
                    await self._in_thread(self._forced(now))
            except OSError as error:
                failures += 1
                self._tolerate(error, failures, "rows")
            else:
                failures = 0
                self._has_space("rows")
            for sealing in [sealing_task for sealing_task in self._sealing if sealing_task.done()]:
                self._sealing.remove(sealing)
                sealing.result()

    async def write(self, writer: DayWriter, *, rows: bool = True) -> None:
        """Write what was added so far; without *rows* only the ledger, files and urgent parts.

        A write goes on if its caller is cancelled; the next one waits for it.
        """
        async with self._turn:
            if self._writing is not None:
                await asyncio.wait({self._writing})
            if writer in self._leaving:  # it is written as it is sealed
                return
            writer.gather(rows=rows)
            self._writing = asyncio.ensure_future(self._in_thread(writer.write))
            await asyncio.shield(self._writing)

    async def look(self, writer: DayWriter) -> bool:
        removed = bool(await self.missing(writer))
        if removed:
            await self._removed()
        return removed

    async def missing(self, writer: DayWriter) -> list[Path]:
        return await self._in_thread(writer.missing)

    def take(self, writer: DayWriter) -> None:
        writer.write_behind(self._wanted.set)

    async def write_wanted(self, writer: Callable[[], DayWriter]) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            now = writer()
            if await self.missing(now):
                continue
            try:
                await self.write(now, rows=False)
            except OSError as error:
                if error.errno not in NO_SPACE:
                    raise

    async def opened(self, open_day: Callable[[], DayWriter]) -> DayWriter:
        writer = await self._retried(open_day, "day")
        self.take(writer)
        return writer

    def _forced(self, writer: DayWriter) -> Callable[[], None]:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._noted_s < NOTE_EVERY_S:
            return writer.sync
        self._noted_s = now_s
        return writer.note

    async def last_flush(self, writer: DayWriter, error: Exception | None) -> tuple[Exception | None, bool]:
        """Flush after *error*, if one ended the recording; return the error to report, and whether all is on disk."""
        try:
            await self.write(writer)
        except OSError as failure:
            self._report(error if is_of_disk(error) else failure)
            return error or failure, False
        self._report(error)
        return error, True

    def seal(self, writer: DayWriter, *, whole: bool = True) -> None:
        writer.write_behind(None)
        self._leaving.add(writer)
        self._sealing.append(asyncio.create_task(self._seal(writer, whole)))

    async def withdraw(self, writer: DayWriter) -> bool:
        return await self._in_thread(partial(self._days.withdraw, writer))

    def end(self) -> None:
        self._ending.set()

    async def sealed(self) -> list[BaseException]:
        self.end()
        done = await asyncio.gather(*self._sealing, return_exceptions=True)
        return [failure for failure in done if failure]

    async def _seal(self, writer: DayWriter, whole: bool) -> None:
        try:
            if whole:
                await self._retried(writer.seal, "seal")
            else:
                with suppress(OSError):  # the reason of its end, if the disk takes it
                    await self._in_thread(partial(self._write_ledger, writer))
        finally:
            await self._in_thread(partial(writer.close, flush=False))

    def _write_ledger(self, writer: DayWriter) -> None:
        writer.gather(rows=False)
        writer.write()

    async def _retried(self, work: Callable[[], Returned], what: str) -> Returned:
        """Retry *work* each interval, or at the end, while there is no space."""
        for failures in itertools.count(1):
            try:
                done = await self._in_thread(work)
            except OSError as error:
                self._tolerate(error, failures, what)
            else:
                self._has_space(what)
                return done
            await happened(self._ending, self._days.flush_interval_s)
        raise AssertionError("counts without end")

    async def _in_thread(self, work: Callable[[], Returned]) -> Returned:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _tolerate(self, error: OSError, failures: int, what: str) -> None:
        if error.errno not in NO_SPACE or failures > MOST_FAILURES or self._ending.is_set():
            raise error
        if not self._full:
            self._report_space(error)
        self._full.add(what)

    def _has_space(self, what: str) -> None:
        if self._full == {what}:
            self._report_space(None)
        self._full.discard(what)

    def close(self) -> None:
        self._thread.shutdown()

    def _report(self, error: Exception | None) -> None:
        if is_of_disk(error) and not self._full:
            self._report_space(error)


def is_of_disk(error: BaseException | None) -> TypeGuard[OSError]:
    return isinstance(error, OSError) and error.errno in _DISK_ERRORS
