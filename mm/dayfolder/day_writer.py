"""Writes one day folder: the only writer of its files, for the recorder, the import and the simulator.

Rows reach each file in order of `recv_seq`, one counter per day over all files and runs. The ledger is written through;
the rest is flushed together, diffs before frames, so after a crash no row refers to a missing one. A recorder adds rows
in its loop, another thread writes (`DayWriter.write_behind`).
"""

import base64
import errno
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec import UNSET

from mm.base.atomic_file import fsync_path, write_atomic
from mm.base.held_file import hold_file
from mm.clock import MS_BELOW
from mm.dayfolder import layout
from mm.dayfolder.buffered_writer import NO_SPACE, CsvWriter, NdjsonWriter, is_at, write_together
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.ledger import Details, LedgerWriter
from mm.dayfolder.line_files import FLUSH_BYTES, FileTail
from mm.dayfolder.manifest import Manifest, contents, note_manifest, unseal, write_manifest
from mm.dayfolder.recovery import market_of_day, read_schema, recover, runs_of
from mm.dayfolder.rows import DiffLine, Stamp, frame_row, trade_row
from mm.errors import RunExists, TryLater
from mm.instrument import Instrument, to_exchange_info
from mm.markets.market import Market
from mm.markets.records import Levels, Trade, level_cells

MOST_WAITING_BYTES = 32 << 20
"""Maximum size of the rows in memory while the disk is full."""
STALLED_BYTES = 8 * MOST_WAITING_BYTES
"""Maximum size of the rows in memory while the disk neither writes nor refuses them."""


class DayWriter:
    """Appends a run's rows to a day folder, locked until `close`.

    Attributes:
        book_depth: Levels a side of the book's stream, if it shows only the best; in the schema when the day is sealed.
    """

    def __init__(  # noqa: PLR0913 - each is a part of the day
        self,
        folder: DayFolder,
        run_id: str,
        *,
        top_n: int = 20,
        instrument: Instrument | str | None = None,
        write_diffs: bool = True,
        write_gaps: bool = True,
        market: Market | None = None,
    ) -> None:
        self.folder = folder
        self.run_id = layout.plain_run_id(run_id)
        self.top_n, self._write_diffs = top_n, write_diffs
        self._closed = self._patient = False
        self._whole: dict[Path, bytes] = {}
        self._gathered_whole: dict[Path, bytes] = {}
        self._wanted: Callable[[], None] | None = None
        self._rows_wanted = False
        self._refused: OSError | None = None
        self._unforced: list[Path] = []
        self._unreadable: deque[dict[str, object]] = deque()
        self._unreadable_bytes = 0
        self._contract_rows: dict[Path, list[str]] = {}
        self._rows_first = self._gathered_first = False
        with ExitStack() as held:
            self._lock = lock_day(folder, held)
            if run_id in runs_of(folder):  # including a run with only torn rows
                raise RunExists("{} has rows of run {} already; give another {run_id}", folder.path, run_id)
            self.earlier = recover(folder)
            self.market = market or market_of_day(folder, self.earlier.knobs)
            self.book_depth = read_schema(folder).book_depth
            unseal(folder)
            # The frames come first: their header may not match, and then nothing else is created.
            shows = top_n or folder.frames in self.earlier.lost
            self._frames = self._csv(folder.frames, layout.frame_columns(top_n), held) if shows else None
            self._events = self._csv(folder.events, layout.EVENT_COLUMNS, held)
            lost = self.earlier.lost  # these are opened at least to be cut
            self._gaps = self._csv(folder.gaps, layout.GAP_COLUMNS, held) if write_gaps or folder.gaps in lost else None
            self._diffs = self._ndjson(folder.diffs, held) if write_diffs or folder.diffs in lost else None
            self._trades = self._csv(folder.trades, layout.trade_columns(self.market), held)
            self._quarantine = self._ndjson(folder.quarantine, held) if folder.quarantine in lost else None
            self._of_contract = {
                path: self._csv(path, folder.columns_of(path) or (), held)
                for path in (folder.contract, folder.best)
                if path.exists()
            }
            self._begin(write_gaps, instrument)
            self._held = held.pop_all()

    def _begin(self, write_gaps: bool, instrument: Instrument | str | None) -> None:
        add_gap = self._gaps.add if self._gaps and write_gaps else None
        self.ledger = LedgerWriter(self._add_event, add_gap, self.run_id, self.earlier.next_event_id)
        self._last_seq, self._units = self.earlier.next_seq - 1, set(self.earlier.exchange_units)
        if instrument is not None:
            text = instrument if isinstance(instrument, str) else to_exchange_info(instrument)
            self.instrument(text)
        self._write_schema()

    def event(self, recv_us: int, kind: str, epoch_id: int, details: Details) -> int:
        """Write at once, return the event id; ValueError if type or details are invalid."""
        return self.ledger.event(recv_us, self.skip(), kind, epoch_id, details)

    def gap(self, recv_us: int, kind: str, epoch_id: int, details: Details) -> int:
        """The gaps file repeats the ledger row under the same `recv_seq`."""
        return self.ledger.gap(recv_us, self.skip(), kind, epoch_id, details)

    def snapshot(self, recv_us: int, tag: str, last_update_id: int, bids: Levels, asks: Levels, epoch_id: int) -> int:
        """Write a snapshot and the `snapshot_loaded` event that opens *epoch_id*; return its id."""
        if tag not in layout.SNAPSHOT_TAGS:
            raise ValueError(f"{tag!r} is not a snapshot tag; it is one of {', '.join(layout.SNAPSHOT_TAGS)}")
        event_id = self.ledger.next_event_id
        path = self.folder.snapshot(event_id, tag)
        lines = [",".join(layout.SNAPSHOT_COLUMNS)]
        for side, levels in (("bid", bids), ("ask", asks)):
            lines += [f"{self.run_id},{event_id},{side},{price},{qty},{last_update_id}" for price, qty in levels]
        self._write(path, "\n".join(lines) + "\n")
        details = {"last_update_id": last_update_id, "path": self.folder.relative(path)}
        return self.event(recv_us, "snapshot_loaded", epoch_id, details)

    def instrument(self, text: str) -> None:
        self._write(self.folder.instrument, text)

    def diff(self, recv_us: int, exch_time: int, first_id: int, last_id: int, bids: Levels, asks: Levels) -> int:
        """Return the `recv_seq`; *exch_time* is `E` as received, the ids U and u."""
        stamp = Stamp(recv_us, self.skip(), exch_time, last_id)
        self.diff_of(stamp, first_id, bids, asks)
        return stamp.recv_seq

    def diff_of(
        self,
        stamp: Stamp,
        first_id: int,
        bids: Levels,
        asks: Levels,
        *,
        matched: int | None = None,
        number: int | None = None,
    ) -> None:
        """Store the message of *stamp*, whose `recv_seq` `skip` gave; *first_id* is U, *matched* T, *number* seq."""
        self._note_unit(stamp.exch_time)
        if self._diffs and self._write_diffs:
            recv_us, seq, exch_time, last_id = stamp
            row = DiffLine(
                recv_ms=recv_us // 1000,
                recv_us=recv_us,
                recv_seq=seq,
                run_id=self.run_id,
                E=exch_time,
                T=UNSET if matched is None else matched,
                U=first_id,
                u=last_id,
                seq=UNSET if number is None else number,
                b=bids,
                a=asks,
            )
            self._diffs.add(row)

    def frame(self, stamp: Stamp, epoch_id: int, bids: Levels, asks: Levels) -> None:
        """After the diff of *stamp*; levels best first, surplus ones are dropped."""
        self.frame_of(stamp, epoch_id, level_cells(bids, asks, self.top_n))

    def frame_of(self, stamp: Stamp, epoch_id: int, cells: str) -> None:
        if self._frames:
            self._frames.add(frame_row(stamp, self.run_id, epoch_id, cells))

    def trade(self, recv_us: int, trade: Trade) -> int:
        seq = self.skip()
        self._note_unit(trade.trade_time)
        self._trades.add(trade_row(recv_us, seq, self.run_id, trade))
        return seq

    @property
    def takes_columns(self) -> bool:
        """Whether `columns` may be called: depth messages are kept, and the run's name is the same in JSON."""
        plain = self.run_id.isascii() and "\\" not in self.run_id
        return self._diffs is not None and self._write_diffs and plain

    def columns(self, messages: Any, book: tuple[Any, Any], upto: int, epoch_id: int, source: str) -> int:
        """Write the messages before *upto*, up to the first that crosses *book*, and apply them; return the number of
        books.
        """
        written, writers = 0, (self._diffs, self._frames, self._trades)
        cells = self.run_id.encode(), epoch_id, self.top_n, source.encode()
        if messages.at < upto:
            self._units.add("us" if messages.unit_us == 1 else "ms")
        while messages.at < upto and not messages.crossed:
            before = messages.diffs, messages.trades
            rooms = [writer.room if writer else FLUSH_BYTES for writer in writers]
            texts = messages.write(*book, upto, self._last_seq, *cells, *rooms)
            counts = messages.diffs - before[0], texts[3], messages.trades - before[1]
            self.skip(counts[0] + counts[2])
            written += counts[1]
            for writer, text, rows in zip(writers, texts[:3], counts, strict=True):
                if writer and rows:
                    writer.add_rows(text, rows)
            if any(writer.room <= 0 for writer in writers if writer):
                self._flush_soon()
        return written

    def of_contract(self, path: Path, recv_us: int, event_ms: int, cells: Sequence[object]) -> int:
        """*cells* stand between run and arrival; the first row creates the file."""
        seq = self.skip()
        row = ",".join(map(str, (event_ms, recv_us // 1_000, seq, self.run_id, *cells, recv_us))) + "\n"
        self._contract_rows.setdefault(path, []).append(row)
        if path not in self._of_contract:
            self._file_waits()
        self._keep_contract_rows()
        return seq

    def quarantine(self, recv_us: int, stream: str, reason: str, raw: bytes) -> int:
        seq = self.skip()
        text = base64.b64encode(raw).decode()
        row = dict(zip(layout.QUARANTINE_KEYS, (recv_us, seq, stream, reason, text), strict=True))
        self._unreadable.append(row)
        self._unreadable_bytes += len(text)
        if self._quarantine is None:
            self._file_waits()
        self._keep_unreadable()
        return seq

    def skip(self, count: int = 1) -> int:
        self._last_seq += count
        return self._last_seq

    @property
    def last_seq(self) -> int:
        return self._last_seq

    def missing(self) -> list[Path]:
        return [writer.path for writer in self._writers() if not writer.file.in_place]

    def holds_folder(self) -> bool:
        return is_at(self._lock, self.folder.lock)

    def wait_for_space(self) -> None:
        self._patient = True
        self._events.file.keep_room()

    def write_behind(self, wanted: Callable[[], None] | None) -> None:
        """Leave every write to the caller of `gather` and `write`; None ends that.

        A slow disk needs another thread; *wanted* is called when something should be written soon.
        """
        self._wanted = wanted

    def flush(self, *, sync: bool = False) -> None:
        """Write to the disk cache, with *sync* to the disk: the ledger, and all other files or none."""
        self._gather_files()
        self._write_files()  # before the rows that refer to them
        self.gather()
        self.write()
        if sync:
            self.sync()

    def gather(self, *, rows: bool = True) -> None:
        """Take what was added for the next `write`: files and ledger; with *rows*, or if wanted, everything."""
        self._keep_unreadable()
        self._keep_contract_rows()
        self._gather_files()
        if rows or self._rows_wanted or self._rows_first:
            for writer in self._writers():
                writer.gather()
            self._gathered_first = self._gathered_first or self._rows_first
            self._rows_wanted = self._rows_first = False
        else:
            self._events.gather()

    def write(self) -> None:
        """Another thread may call this while rows are added."""
        try:
            self._write_files()
            ledger, *others = self._writers()
            torn = any(writer.file.torn for writer in others)
            if self._gathered_first and not torn:
                write_together(others)
            ledger.write(sync=torn)  # the row that reports a cut must be on disk before the cut
            write_together(others)
        except OSError as error:
            self._refused = error
            raise
        self._gathered_first, self._refused = False, None

    def flush_before_event(self) -> None:
        """The next ledger row then refers to no row that a crash would lose."""
        self._rows_first = True
        self._flush_soon()

    def sync(self) -> None:
        """Force flushed data, and hash it; another thread may call this while rows are added."""
        self._force()
        for writer in self._writers():
            writer.file.hash_on()

    def note(self) -> None:
        """Sync, and note the state in the manifest, from the writing thread."""
        written = [(writer, *writer.written()) for writer in self._writers()]
        noted = [(writer.path, rows, size, writer.file.sha256_at(size)) for writer, rows, size in written]
        note_manifest(self.folder, (*self.earlier.runs, self.run_id), noted, self._force)
        self._force()  # if nothing was noted

    def seal(self) -> Manifest:
        self._write_schema()
        self.flush()
        known = {writer.path: contents(self.folder, writer.path, writer.tail()) for writer in self._writers()}
        hashes = {writer.path: writer.file.sha256() for writer in self._writers()}
        return write_manifest(self.folder, (*self.earlier.runs, self.run_id), known, hashes, self._force)

    def close(self, *, flush: bool = True) -> None:
        """Pending rows may be dropped; callable twice."""
        if not self._closed:
            self._closed = True
            with self._held:
                if flush:
                    self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _csv(self, path: Path, columns: tuple[str, ...], held: ExitStack) -> CsvWriter:
        return CsvWriter(path, columns, held, self._flush_soon, self.earlier.tails.get(path, FileTail()))

    def _ndjson(self, path: Path, held: ExitStack) -> NdjsonWriter:
        return NdjsonWriter(path, held, self._flush_soon, self.earlier.tails.get(path, FileTail()))

    def _writers(self) -> list[CsvWriter | NdjsonWriter]:
        files = (
            *(self._events, self._gaps, self._diffs, self._frames, self._trades),
            *self._of_contract.values(),
            self._quarantine,
        )
        return [writer for writer in files if writer is not None]

    def _add_event(self, line: str) -> None:
        self._events.add(line)
        if self._wanted:
            self._want(self._wanted)
            return
        with self._waiting():
            if not (self._whole or self._gathered_whole or self._rows_first or self._gathered_first):
                self._events.flush()

    def _keep_unreadable(self) -> None:
        while self._unreadable and self._quarantine is not None:
            row = self._unreadable.popleft()
            self._unreadable_bytes -= len(str(row["raw_base64"]))
            self._quarantine.add(row)

    def _keep_contract_rows(self) -> None:
        for path in [path for path in self._contract_rows if path in self._of_contract]:
            for row in self._contract_rows.pop(path):
                self._of_contract[path].add(row)

    def _flush_soon(self) -> None:
        self._rows_wanted = True
        if self._wanted:
            self._want(self._wanted)
            return
        with self._waiting():
            self.flush()

    def _want(self, wanted: Callable[[], None]) -> None:
        waiting = self._bytes_waiting()
        if self._refused is not None and waiting > MOST_WAITING_BYTES:
            raise self._refused
        if waiting > STALLED_BYTES:
            raise OSError(errno.EIO, f"the disk has not written {waiting >> 20} MiB that wait in memory")
        wanted()

    def _bytes_waiting(self) -> int:
        rows = sum(writer.waiting for writer in self._writers())
        whole = (*self._whole.values(), *tuple(self._gathered_whole.values()))
        pending = sum(len(row) for waiting in self._contract_rows.values() for row in waiting)
        return rows + pending + self._unreadable_bytes + sum(map(len, whole))

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._patient or error.errno not in NO_SPACE or self._bytes_waiting() > MOST_WAITING_BYTES:
                raise

    def _note_unit(self, stamp: int) -> None:
        self._units.add("ms" if stamp < MS_BELOW else "us")

    def _write_schema(self) -> None:
        unit = " and ".join(sorted(self._units)) or None
        self._write(self.folder.schema, layout.schema_json(self.folder, self.top_n, unit, self.market, self.book_depth))

    def _write(self, path: Path, text: str) -> None:
        self._whole[path] = text.encode()
        try:
            self._file_waits()
        except OSError:
            self._whole.pop(path, None)
            self._gathered_whole.pop(path, None)
            raise

    def _file_waits(self) -> None:
        if self._wanted:
            self._want(self._wanted)
            return
        with self._waiting():
            self._gather_files()
            self._write_files()

    def _gather_files(self) -> None:
        self._gathered_whole |= self._whole
        self._whole.clear()

    def _write_files(self) -> None:
        while self._gathered_whole:
            path, data = next(iter(self._gathered_whole.items()))
            write_atomic(path, data)
            del self._gathered_whole[path]
            self._unforced.append(path)
        if self._unreadable and self._quarantine is None:
            self._quarantine = self._ndjson(self.folder.quarantine, self._held)
        for path in [path for path in tuple(self._contract_rows) if path not in self._of_contract]:
            columns = self.folder.columns_of(path) or ()
            self._of_contract = {**self._of_contract, path: self._csv(path, columns, self._held)}

    def _force(self, unfinished: Path | None = None) -> None:
        whole = list(dict.fromkeys(self._unforced.pop(0) for _ in range(len(self._unforced))))
        calls: list[Callable[[], None]] = [partial(_force_if_there, path) for path in whole]
        calls += [writer.file.sync for writer in self._writers() if writer.file.unsynced]
        calls += [partial(fsync_path, unfinished)] if unfinished else []
        try:
            side_by_side(calls)
        except OSError:
            self._unforced += whole
            raise


def side_by_side(calls: Sequence[Callable[[], None]]) -> None:
    if not calls:
        return
    with ThreadPoolExecutor(len(calls), "force") as threads:
        done = [threads.submit(call) for call in calls]
    for future in done:
        future.result()


def _force_if_there(path: Path) -> None:
    with suppress(FileNotFoundError):  # removed: `missing` reports the day's files
        fsync_path(path)


def lock_day(folder: DayFolder, held: ExitStack) -> int:
    """Lock a day until *held* closes; TryLater if it is locked."""
    folder.path.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    held.callback(os.close, lock)
    if not hold_file(lock, attempts=1):
        raise TryLater(
            "{} is being written by another process; stop it, or set {data_root} to another folder", folder.path
        )
    return lock
