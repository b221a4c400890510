"""Day folders for the runs of a recorder: opened or continued, with the first lines of the ledger."""

import errno
import itertools
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mm
from mm.errors import Mismatch, RunExists, UsageError
from mm.market_data.append_file import NO_SPACE
from mm.market_data.day_writer import DayWriter
from mm.market_data.layout import DayFolder


@dataclass(frozen=True, kw_only=True)
class Days:
    """Where days are recorded, and how.

    Attributes:
        data_root: Folder of the day folders.
        symbol: Upper case.
        run_id: Names the run in every row.
        own_id: Whether the user gave *run_id*; another one gets ``_2``, ``_3`` … where the day has it already.
        top_n: Levels a side in the frames.
        trade_stream: ``trade`` or ``aggTrade``; a day has one of them.
        flush_interval_s: Longest time until a row is on disk: what a crash can cost.
        write_diffs: Whether depth messages are kept.
        write_gaps: Whether the gaps file is kept.
        min_free_mb: Free space, in 10⁶ bytes, that must be left to others.
        knobs: What the ledger says of the run.
    """

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

    def check_space(self) -> None:
        """Raise OSError (ENOSPC) where less than `min_free_mb` is free."""
        there = next(path for path in (self.data_root, *self.data_root.absolute().parents) if path.exists())
        free_mb = shutil.disk_usage(there).free / 1e6
        if free_mb < self.min_free_mb:
            few = f"{free_mb:.0f} MB are free, --min-free-mb (MIN_FREE_MB) is {self.min_free_mb:.0f}"
            raise OSError(errno.ENOSPC, few, str(there))

    def open(self, day: str, at_us: int, instrument: str | None = None) -> DayWriter:
        """Return the writer of *day*, its opening events written; *instrument* is the exchange's entry, if known.

        Raises:
            TryLater: If another process writes the day.
            RunExists: If the day has a run of the user's *run_id*.
            UsageError: If no folder can be made there.
            Mismatch: If an earlier run of the day recorded the other trade stream, or another number of levels.
        """
        writer = self._writer(DayFolder(self.data_root, self.symbol, day), instrument)
        try:
            self._check_stream(writer)
            writer.endure()
            self._begin(writer, at_us)
        except BaseException:
            writer.close(flush=False)  # that would cut what is torn, and it is not told yet
            raise
        return writer

    def _writer(self, folder: DayFolder, instrument: str | None) -> DayWriter:
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno in NO_SPACE:
                raise
            reason = f"cannot be written ({error.strerror})"
            raise UsageError(f"--data-root (DATA_ROOT) {self.data_root}: {reason}") from error
        for run_id in self._run_ids():
            try:
                return DayWriter(
                    folder,
                    run_id,
                    top_n=self.top_n,
                    instrument=instrument,
                    write_diffs=self.write_diffs,
                    write_gaps=self.write_gaps,
                )
            except RunExists:
                if self.own_id:
                    raise
        raise AssertionError("the run ids never end")

    def _run_ids(self) -> Iterator[str]:
        yield self.run_id
        yield from (f"{self.run_id}_{count}" for count in itertools.count(2))

    def _check_stream(self, writer: DayWriter) -> None:
        before = writer.earlier.knobs.get("trade_stream", self.trade_stream)
        if before != self.trade_stream:
            raise Mismatch(
                f"{writer.folder.path} was begun with --trade-stream (TRADE_STREAM) {before}, this run has "
                f"{self.trade_stream}; their ids do not mix: record the same, or into another --data-root"
            )

    def _begin(self, writer: DayWriter, at_us: int) -> None:
        earlier = writer.earlier
        epoch_id = earlier.epoch_id
        writer.event(at_us, "run_start", epoch_id, {"version": mm.__version__, "knobs": self.knobs})
        for run_id in earlier.open_runs:
            writer.event(at_us, "crash_recovered", epoch_id, {"previous_run_id": run_id})
        for path, lost in earlier.lost.items():
            details = {"path": writer.folder.relative(path), "bytes": lost, "lost_s": self.flush_interval_s}
            writer.event(at_us, "tail_recovered", epoch_id, details)
        writer.event(at_us, "window_start", epoch_id, {})
