"""Repairs a damaged day: keeps every complete row, rebuilds the frames from the raw messages, and reports the
changes.
"""

import filecmp
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import Any

import msgspec

from mm.base.paths import move_file, target_of
from mm.dayfolder.check import CheckReport, check_day
from mm.dayfolder.check_trades import TradeRange, check_trades
from mm.dayfolder.coverage import Ids, trade_runs
from mm.dayfolder.day_grids import DayGrids
from mm.dayfolder.day_writer import lock_day
from mm.dayfolder.layout import TRADE_COLUMNS, DayFolder, day_folder, existing
from mm.dayfolder.ledger import LedgerView, gap_row
from mm.dayfolder.line_files import WholeLines, lines_of_file, write_lines
from mm.dayfolder.manifest import FileEntry, day_files, is_passing, read_manifest, unseal
from mm.dayfolder.recovery import market_of_day, readable_market
from mm.dayfolder.repair_ledger import Damage, remove_orphans, restore_events, write_ledger
from mm.dayfolder.repair_rows import (
    Dropped,
    Reread,
    Rereader,
    head_of,
    seq_of,
    valid_row,
    write_frames,
)
from mm.dayfolder.rows import CheckedLines, DefectList, FileRows, RowOrder, number_in
from mm.errors import BrokenFile
from mm.ids import MissingIds, missing_trades


class Repaired(msgspec.Struct, frozen=True):
    changed: bool
    repairs: list[str]
    before: CheckReport
    after: CheckReport


def repair_day(folder: DayFolder, run_id: str, at_us: int) -> Repaired:
    day_folder(folder.root, folder.symbol, folder.day)  # it must exist
    place = target_of(folder.path)
    staging = place.with_name(place.name + ".repair")
    with ExitStack() as held:
        lock_day(folder, held)
        before = check_day(folder)
        shutil.rmtree(staging, ignore_errors=True)
        held.callback(shutil.rmtree, staging, ignore_errors=True)
        work = DayFolder(staging, folder.symbol, folder.day)
        shutil.copytree(folder.path, work.path, ignore=lambda _, names: {name for name in names if is_passing(name)})
        repairs = DayRepair(work, run_id, at_us, before).repair()
        if not repairs:
            return Repaired(False, [], before, before)
        after = check_day(work)
        _publish(work, folder)
        return Repaired(True, repairs, before, after)


def _publish(work: DayFolder, folder: DayFolder) -> None:
    try:
        unseal(folder)
    except BrokenFile:  # an unreadable one does not seal the day
        folder.manifest.unlink()
    files = {work.relative(path): path for path in day_files(work)}
    for path in day_files(folder):
        if folder.relative(path) not in files:
            path.unlink()
    last = [work.relative(work.gaps), work.relative(work.events)]
    for name in sorted(files, key=lambda name: (name in last, name)):
        target = folder.path / name
        if not target.is_file() or not filecmp.cmp(files[name], target, shallow=False):
            target.parent.mkdir(parents=True, exist_ok=True)
            move_file(files[name], target)
    move_file(work.manifest, folder.manifest)


_TRADE_ID_COLUMN = TRADE_COLUMNS.index("trade_id")


class DayRepair:
    def __init__(self, folder: DayFolder, run_id: str, at_us: int, before: CheckReport) -> None:
        self._folder = folder
        self._run_id = run_id
        self._at_us = at_us
        self._sealed, self._sound = before.sealed, before.sealed and before.ok
        self._untraced = [defect.message for defect in before.defects if defect.kind == "missing_rows"]
        self._altered = {defect.file for defect in before.defects if defect.kind == "manifest"}
        self._done: list[str] = []
        self._written: set[Path] = {folder.manifest, folder.schema}
        self._damage = Damage(Dropped(folder.root / "dropped"))
        self._entries = self._read_entries()

    def repair(self) -> list[str]:
        folder = self._folder
        for path in folder.streams():
            self._salvage(path)
            self._note_shorter(path)
        if folder.events in self._damage.lost and (restored := restore_events(folder)):
            self._done.append(f"{restored:,} events at the end of the ledger are restored")
        self._write_gaps()
        self._done += [f"{name}: an orphan, removed" for name in remove_orphans(folder)]
        self._take_from_quarantine()
        findings = DefectList(folder)
        view = LedgerView.of(folder, findings)
        if existing(folder.diffs):
            self._frames(view, findings)
        if existing(folder.trades):
            self._trades(view, findings)
        if not self._damage.found:
            self._damage.untraced = self._untraced
            self._done += [f"{message}: written into the ledger" for message in self._untraced]
        if self._done or not self._sealed:
            written = {folder.relative(path) for path in (*self._written, folder.events)}
            self._damage.altered = sorted(self._altered - written)
            self._done += write_ledger(folder, self._run_id, self._at_us, self._damage)
        return self._done

    def _read_entries(self) -> dict[str, FileEntry]:
        folder = self._folder
        if folder.schema.is_file():
            try:
                msgspec.json.decode(folder.schema.read_bytes(), type=dict[str, Any])
            except (ValueError, msgspec.MsgspecError):
                folder.schema.unlink()
                self._done.append(f"{folder.schema.name}: written again")
        try:
            manifest = read_manifest(folder)
        except BrokenFile:
            folder.manifest.unlink()
            return {}
        return {entry.path: entry for entry in manifest.files} if manifest and manifest.sealed else {}

    def _order(self, path: Path, view: LedgerView) -> RowOrder:
        findings = DefectList(self._folder)  # not reported: the checks before and after have them
        return RowOrder(path, findings, self._folder.day, view.runs, view.runs_with("clock_step"))

    def _salvage(self, path: Path) -> None:
        existing_path = existing(path)
        if existing_path is None:
            return
        salvage, is_table = WholeLines(existing_path), path.suffix == ".csv"
        first = next(iter(salvage), b"") if is_table else b""
        head = head_of(self._folder, path, first)
        sound = valid_row(self._folder, path, head.count(b",") + 1)
        skipped = 1 if is_table and first == head else 0
        bad = sum(not sound(line) for line in islice(salvage, skipped, None))
        lost = salvage.lost_bytes
        if not lost and not bad and first == head and (existing_path == path or self._sound):
            return  # compressed files of a day that is repaired are converted to the form that can be appended to

        def kept() -> Iterator[bytes]:
            yield from [head] if is_table else []
            for line in islice(salvage, skipped, None):
                if sound(line):
                    yield line
                else:
                    self._damage.dropped.add(f"no row of {path.name}", line)

        write_lines(path, kept())
        self._written.add(path)
        name = self._folder.relative(path)
        if lost:
            self._damage.lost[path] = lost, salvage.lost_within
            self._done.append(f"{name}: {lost:,} damaged bytes removed")
        if bad:
            self._done.append(f"{name}: {bad:,} rows that cannot be read are in quarantine")

    def _note_shorter(self, path: Path) -> None:
        name = self._folder.relative(path)
        entry = self._entries.get(name)
        size = path.stat().st_size if path.is_file() else 0
        if entry and path not in self._written and path != self._folder.frames and size < entry.bytes:
            self._damage.lost[path] = entry.bytes - size, False
            self._written.add(path)
            self._done.append(f"{name}: {entry.bytes - size:,} bytes are missing")

    def _write_gaps(self) -> None:
        folder = self._folder
        view = LedgerView.of(folder, DefectList(folder))
        lines = list(lines_of_file(folder.gaps))
        if existing(folder.gaps) is None:
            return
        present = {line.split(b",", 2)[1]: line for line in lines[1:]}
        gap_events = (event for event in view.events if event.kind in ("gap", "trade_gap"))
        missing = [
            gap_row(event.at.recv_us, event.at.seq, event.at.run_id, event.kind, event.epoch_id, event.details).encode()
            for event in gap_events
            if str(event.at.seq).encode() not in present
        ]
        if missing:
            ordered = sorted([*lines[1:], *missing], key=lambda line: number_in(line, 1))
            write_lines(folder.gaps, [lines[0], *ordered])
            self._written.add(folder.gaps)
            self._done.append(f"gaps: {len(missing):,} rows written again from the ledger")

    def _take_from_quarantine(self) -> None:
        """Take readable rows back from the quarantine, with their numbers."""
        folder = self._folder
        view = LedgerView.of(folder, DefectList(folder))
        if existing(folder.quarantine) is None:
            return
        market = market_of_day(folder, {"market": view.knob("market", None)})
        reader = Rereader(folder.symbol, view.events, view.knob("trade_stream", "trade"), market)
        read = [row for row in map(reader.read, lines_of_file(folder.quarantine)) if row]
        for path, stream in ((folder.diffs, "depth"), (folder.trades, "trade")):
            rows = [row for row in read if row.stream == stream]
            if rows and existing(path):
                self._merge(path, rows)
        taken = {row.seq for row in self._damage.reread}
        if not taken:
            return
        left = [line for line in lines_of_file(folder.quarantine) if seq_of(line, packed=True) not in taken]
        write_lines(folder.quarantine, left)
        if not left:
            folder.quarantine.unlink()
        self._done.append(f"quarantine: {len(taken):,} messages that can be read now are in their files")

    def _merge(self, path: Path, rows: list[Reread]) -> None:
        """A trade is merged only if its id is between its neighbours'."""
        packed, waiting = path == self._folder.diffs, sorted(rows, key=lambda row: row.seq)

        def merged() -> Iterator[bytes]:
            lines = lines_of_file(path)
            yield from islice(lines, not packed)  # the header of a table
            last_id = -1
            for line in chain(lines, [None]):
                next_id = None if packed or line is None else number_in(line, _TRADE_ID_COLUMN)
                while waiting and (line is None or waiting[0].seq < seq_of(line, packed=packed)):
                    row = waiting.pop(0)
                    if packed or (last_id < row.first_id and (next_id is None or row.first_id < next_id)):
                        last_id = row.first_id
                        self._damage.reread.append(row)
                        yield row.line
                if line is not None:
                    yield line
                last_id = next_id or 0

        write_lines(path, merged())
        self._written.add(path)

    def _frames(self, view: LedgerView, findings: DefectList) -> None:
        folder = self._folder
        order = self._order(folder.diffs, view)
        made = write_frames(folder, view, DayGrids.of(folder, view, findings), order, self._damage.dropped)
        if made.words:
            self._done.append(made.words)
            self._written.add(folder.frames)
        self._note("gap", made.undeclared + self._cut_off("gap", folder.diffs, made.last_id, view))

    def _trades(self, view: LedgerView, findings: DefectList) -> None:
        folder = self._folder
        source = FileRows(CheckedLines(folder.trades, findings, 0), self._order(folder.trades, view))
        market = readable_market(folder, view)
        holes = check_trades(view, DayGrids(), findings, source, TradeRange(), market)
        ids = Ids()
        missing = missing_trades(trade_runs(folder.trades, DefectList(folder), ids, market), view.holes("trade_gap"))
        around = {hole.ids: hole for hole in missing}
        gaps = [around.get(hole, MissingIds(*hole)) for _, hole in holes]
        self._note("trade_gap", gaps + self._cut_off("trade_gap", folder.trades, ids.last_id, view))

    def _cut_off(self, kind: str, path: Path, last: int | None, view: LedgerView) -> list[MissingIds]:
        entry = self._entries.get(self._folder.relative(path))
        known = entry.last_id if entry else None
        if known is None or (last is not None and last >= known) or view.holes(kind).covers(known, known):
            return []
        return [MissingIds(known if last is None else last + 1, known)]

    def _note(self, kind: str, gaps: list[MissingIds]) -> None:
        self._damage.gaps += [(kind, gap) for gap in gaps]
        for gap in gaps:
            self._done.append(f"ids {gap.first_id} to {gap.last_id} are missing: {kind} written")
