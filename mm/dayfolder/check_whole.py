"""Find the missing parts of a day without its manifest: numbers without a row, files that its runs wrote, the seal."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import pairwise, zip_longest
from typing import Any

import msgspec

from mm.clock import US_PER_S, now_us
from mm.dayfolder.layout import DIFF_KEYS, SCHEMA_VERSION, DayFolder, existing, schema_json
from mm.dayfolder.ledger import Event, LedgerView
from mm.dayfolder.manifest import read_manifest
from mm.dayfolder.rows import DefectList, RowOrder
from mm.errors import BrokenFile, UsageError
from mm.markets.registry import DEFAULT, MARKETS

_UNFLUSHED_US = 60 * US_PER_S
_SEALING_US = 300 * US_PER_S
"""Maximum time from `run_stop` until a day is sealed."""
_SLACK_US = 10 * US_PER_S
"""Events are stamped when written, messages when they arrive, so the order between files is less strict."""
_LATE_ROWS = frozenset(("clock_step", "disk_full", "loop_lag"))
"""Events of runs whose rows may be older than their timestamps, or may have been written late."""
_OF_REPAIR = frozenset(("run_start", "crash_recovered", "run_stop"))
"""Events of a repair that removed nothing."""


@dataclass(frozen=True)
class _Run:
    events: Sequence[Event]
    until_seq: int | None

    @property
    def name(self) -> str:
        return self.events[0].at.run_id

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(event.kind for event in self.events)

    @property
    def stopped(self) -> bool:
        return self.events[-1].kind == "run_stop"

    @property
    def knobs(self) -> Mapping[str, Any]:
        starts = (event.details.get("knobs") for event in self.events if event.kind == "run_start")
        return next((knobs for knobs in starts if isinstance(knobs, dict)), {})

    @property
    def imported(self) -> bool:
        return "captures" in self.knobs

    @property
    def writes_all(self) -> bool:
        """A complete recording or import seals the files it has written."""
        return self.imported or "write_diffs" in self.knobs


def _runs(view: LedgerView) -> list[_Run]:
    by_name = {name: [event for event in view.events if event.at.run_id == name] for name in view.runs}
    firsts = [events[0].at.seq for events in by_name.values()]
    return [_Run(events, after) for events, after in zip_longest(by_name.values(), firsts[1:])]


def _rising(seqs: "array[int]", stamps: "array[int]") -> Iterable[tuple[int, int]]:
    pairs = zip(seqs, stamps, strict=True)
    return pairs if all(low < high for low, high in pairwise(seqs)) else sorted(pairs)


class WholeDay:
    def __init__(
        self,
        folder: DayFolder,
        view: LedgerView,
        orders: Sequence[RowOrder],
        frames: RowOrder | None,
        findings: DefectList,
    ) -> None:
        self._folder = folder
        self._view = view
        self._orders = orders
        self._frames = frames
        self._findings = findings
        self._runs = _runs(view)
        files = [(order.seqs, order.stamps) for order in (*orders, *([frames] if frames else []))]
        rising_files = [_rising(*columns) for columns in files]
        self._seqs, self._stamps = array("q"), array("q")
        for seq, us in merge(*rising_files):
            if not self._seqs or seq > self._seqs[-1]:
                self._seqs.append(seq)
                self._stamps.append(us)

    def check(self) -> None:
        if not self._runs:
            return
        repairs = [run.events[0].at.seq for run in self._runs if "repair" in run.knobs and self._found_damage(run)]
        for run in self._runs:
            if run.events[0].at.seq >= max(repairs, default=0):
                self._check_numbers(run)
                self._check_times(run)
        self._check_files()
        self._check_seal(self._runs[-1])

    def _found_damage(self, run: _Run) -> bool:
        begin, end = self._span(run)
        return not run.kinds <= _OF_REPAIR or end - begin > len(run.events)

    def _span(self, run: _Run) -> tuple[int, int]:
        begin = bisect_left(self._seqs, run.events[0].at.seq)
        return begin, len(self._seqs) if run.until_seq is None else bisect_left(self._seqs, run.until_seq)

    def _check_numbers(self, run: _Run) -> None:
        begin, end = self._span(run)
        first_seq, last_seq = run.events[0].at.seq, run.events[-1].at.seq
        if begin and self._seqs[begin - 1] + 1 < first_seq:
            self._missing(run, self._seqs[begin - 1] + 1, first_seq - 1, "before the run")
        if run.knobs.get("write_diffs") is False or (self._frames is not None and not existing(self._folder.diffs)):
            return  # depth messages have numbers, but were not stored
        if not run.stopped:
            last_seq = self._flushed_seq(run, begin, end)
        for before, after in pairwise(self._seqs[begin:end]):
            if before + 1 < after and before < last_seq:
                self._missing(run, before + 1, after - 1, "within the run")

    def _flushed_seq(self, run: _Run, begin: int, end: int) -> int:
        """Up to here all rows of a run without `run_stop` must be on disk."""
        if run.kinds & _LATE_ROWS or begin >= end:
            return -1
        others = [order for order in self._orders if order.path != self._view.path]
        before = self._seqs[end - 1].__ge__
        flushed = max((max(filter(before, order.seqs), default=-1) for order in others), default=-1)
        newest = bisect_right(self._seqs, flushed, begin, end) - 1
        if newest < begin:
            return -1
        flush_s = run.knobs.get("flush_interval_s", 0)
        waiting_us = max(_UNFLUSHED_US, round(2 * US_PER_S * flush_s) if isinstance(flush_s, int | float) else 0)
        until_us = self._stamps[newest] - waiting_us
        return next((self._seqs[at] for at in range(newest - 1, begin - 1, -1) if self._stamps[at] < until_us), -1)

    def _missing(self, run: _Run, first: int, last: int, where: str) -> None:
        count = last - first + 1
        numbers = f"recv_seq {first}" if count == 1 else f"recv_seq {first} to {last}"
        message = f"{numbers}: no file has {'this row' if count == 1 else f'these {count} rows'} of run {run.name}"
        self._findings.add(self._view.path, None, "missing_rows", f"{message} ({where}); they are lost")

    def _check_times(self, run: _Run) -> None:
        """Report rows that arrived long before another file's row with a lower number."""
        if run.kinds & _LATE_ROWS:
            return
        begin, end = self._span(run)
        latest_us = 0
        for at in range(begin, end):
            us = self._stamps[at]
            if 0 <= us < latest_us - _SLACK_US:
                back = (latest_us - us) / US_PER_S
                message = f"recv_seq {self._seqs[at]} arrived {back:.3f} s before a row with a lower number"
                self._findings.add(self._view.path, None, "clock", f"{message}, and the ledger has no clock_step")
                return
            latest_us = max(latest_us, us)

    def _check_files(self) -> None:
        """A run's knobs determine its files."""
        folder = self._folder
        has_frames = self._frames is not None and len(self._frames.seqs) > 0
        for run in self._runs:
            if not run.stopped:
                continue
            kept = {name: run.knobs.get(name, run.imported) for name in ("write_diffs", "write_gaps")}
            expected = {
                folder.frames: (bool(run.knobs.get("top_n")), "frames (top_n)"),
                folder.schema: (run.writes_all, "it"),
                folder.gaps: (kept["write_gaps"], "gaps (write_gaps)"),
                folder.diffs: (kept["write_diffs"] and has_frames, "depth messages (write_diffs)"),
                folder.instrument: ("exchange_info" in run.kinds, "the filters of the exchange (exchange_info)"),
            }
            for path, (due, what) in expected.items():
                if due and existing(path) is None:
                    self._findings.add(path, None, "missing_file", f"run {run.name} wrote {what}; restore the file")

    def _check_seal(self, last: _Run) -> None:
        seals = last.writes_all or "scenario" in last.knobs  # a simulated day
        if not (last.stopped and seals) or now_us() - last.events[-1].at.recv_us < _SEALING_US:
            return
        try:
            manifest = read_manifest(self._folder)
        except BrokenFile:
            return  # already a finding
        if manifest is None or not manifest.sealed:
            what = "there is no manifest" if manifest is None else "the manifest is not sealed"
            message = f"run {last.name} has ended, but {what}; restore it, or seal the day with `mm data repair`"
            self._findings.add(self._folder.manifest, None, "unsealed", message)


def schema_difference(schema: Mapping[str, Any], folder: DayFolder, top_n: int) -> str | None:
    """None if ``schema.json`` matches; keys may be missing."""
    venue = schema.get("venue", DEFAULT.venue)
    try:
        market = MARKETS.of_venue(venue)
    except UsageError as error:
        return str(error)
    expected = msgspec.json.decode(schema_json(folder, top_n, None, market), type=dict[str, Any])
    for key in ("symbol", "day", "top_n"):
        if schema.get(key, expected[key]) != expected[key]:
            return f"{key} is {schema[key]!r}, the day has {expected[key]!r}"
    columns = schema.get("columns")
    for name, names in expected["columns"].items():
        stated = columns.get(name) if isinstance(columns, dict) else None
        if stated == [*DIFF_KEYS] and schema.get("schema_version") == SCHEMA_VERSION:
            continue  # the first version of any market
        if isinstance(stated, list) and stated != names[: len(stated)]:  # an older day may lack some at the end
            return f"the columns of {name} are {','.join(map(str, stated))}, not {','.join(names)}"
    return None
