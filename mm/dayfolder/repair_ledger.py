"""The part of a repair that changes the ledger: its own run, the lost end of a ledger, snapshots without an event."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import msgspec

import mm
from mm.clock import US_PER_S, iso
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.layout import PACKED, TRADE_COLUMNS, DayFolder, existing, snapshot_event_id
from mm.dayfolder.ledger import LOST, LedgerView, LedgerWriter, read_gaps
from mm.dayfolder.line_files import lines_of_file
from mm.dayfolder.repair_rows import PACKED_ROW, Dropped, PackedRow, Reread, top_n_of
from mm.dayfolder.rows import DefectList
from mm.ids import MissingIds

_TRADE_CELLS = tuple(map(TRADE_COLUMNS.index, ("recv_seq", "run_id", "recv_time_us")))


def restore_events(folder: DayFolder) -> int:
    """Restore events lost at the ledger's end; return their number."""
    events = LedgerView.of(folder, DefectList(folder)).events
    if not events or existing(folder.diffs) is None:
        return 0
    last = events[-1]
    later = (row for row in _rows(folder, last.at.run_id) if row.recv_seq > last.at.seq)
    rows = sorted(later, key=lambda row: row.recv_seq)
    written = read_gaps(folder.gaps, DefectList(folder)) if folder.gaps.is_file() else ()
    gaps = {event.at.seq: event for event in written if event.at.seq > last.at.seq}
    numbered = ((snapshot_event_id(path) or 0, path) for path in folder.snapshots.glob("*.csv"))
    orphans = {number: path for number, path in numbered if number > last.event_id}
    used = {row.recv_seq for row in rows}
    free = [seq for seq in range(last.at.seq + 1, max([*used, *gaps], default=0) + 1) if seq not in used]
    runs = {row.run_id for row in rows} | {event.at.run_id for event in gaps.values()}
    if runs - {last.at.run_id}:
        return 0
    if not gaps.keys() <= set(free) or any(number > last.event_id + len(free) for number in orphans):
        return 0
    seqs, epoch_id = [row.recv_seq for row in rows], last.epoch_id
    with folder.events.open("a", encoding="utf-8", newline="") as stream:

        def add(line: str) -> None:
            stream.write(line)

        ledger = LedgerWriter(add, None, last.at.run_id, last.event_id + 1)
        for seq in free:
            before, gap, orphan = bisect_left(seqs, seq) - 1, gaps.get(seq), orphans.get(ledger.next_event_id)
            recv_us = gap.at.recv_us if gap else rows[before].recv_us if before >= 0 else last.at.recv_us
            if gap:
                ledger.event(recv_us, seq, gap.kind, epoch_id, gap.details)
            elif orphan:
                epoch_id += 1
                details = {"last_update_id": _last_update_id(orphan), "path": folder.relative(orphan)}
                ledger.event(recv_us, seq, "snapshot_loaded", epoch_id, details)
            else:
                ledger.event(recv_us, seq, "anomaly", epoch_id, {"kind": LOST})
    return len(free)


def _rows(folder: DayFolder, run_id: str) -> Iterator[PackedRow]:
    yield from map(PACKED_ROW.decode, lines_of_file(folder.diffs))
    for line in islice(lines_of_file(folder.trades), 1, None):
        seq, run, us = (line.split(b",")[cell] for cell in _TRADE_CELLS)
        yield PackedRow(int(seq), int(us), run.decode())
    for line in lines_of_file(folder.quarantine):
        yield msgspec.structs.replace(PACKED_ROW.decode(line), run_id=run_id)


def _last_update_id(path: Path) -> int:
    (last,) = deque(lines_of_file(path), 1) or (b"",)
    cell = last.rsplit(b",", 1)[-1]
    return int(cell) if cell.isdigit() else 0


def remove_orphans(folder: DayFolder) -> list[str]:
    """Remove snapshots that no event loaded, as a recorder's next start does."""
    loaded, removed = LedgerView.of(folder, DefectList(folder)).loaded_names, []
    for path in sorted(folder.snapshots.glob("*")):
        if path.name.removesuffix(PACKED) not in loaded:
            path.unlink()
            removed.append(folder.relative(path))
    return removed


@dataclass
class Damage:
    """The damage found in a day.

    Attributes:
        lost: Bytes removed per file, and whether good rows followed.
    """

    dropped: Dropped
    lost: dict[Path, tuple[int, bool]] = field(default_factory=dict)
    gaps: list[tuple[str, MissingIds]] = field(default_factory=list)
    reread: list[Reread] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    untraced: list[str] = field(default_factory=list)

    @property
    def found(self) -> bool:
        return bool(self.lost or self.gaps or self.reread or self.dropped.count)


def write_ledger(folder: DayFolder, run_id: str, at_us: int, damage: Damage) -> list[str]:
    """Write the repair's run and seal the day; return changes beside the damage."""
    last_us = _last_us(folder)
    diffs = existing(folder.diffs) is not None
    with DayWriter(folder, run_id, top_n=top_n_of(folder), write_diffs=diffs, write_gaps=True) as writer:
        epoch_id, open_runs = writer.earlier.epoch_id, writer.earlier.open_runs
        knobs = {**writer.earlier.knobs, "repair": iso(at_us)}
        writer.event(last_us, "run_start", epoch_id, {"version": mm.__version__, "knobs": knobs})
        for run in open_runs:
            writer.event(last_us, "crash_recovered", epoch_id, {"previous_run_id": run})
        for path, (lost, within) in damage.lost.items():
            lost_s = None if within else max(last_us - _last_of(folder, path), 0) / US_PER_S
            details = {"path": folder.relative(path), "bytes": lost, "lost_s": lost_s}
            writer.event(last_us, "tail_recovered", epoch_id, details)
        for kind, gap in damage.gaps:
            known = gap._replace(from_us=gap.from_us or last_us, to_us=gap.to_us or last_us)
            writer.gap(last_us, kind, epoch_id, known.details("damaged"))
        for row in damage.reread:
            reread = {"kind": "reread", "stream": row.stream, "first_id": row.first_id, "last_id": row.last_id}
            writer.event(last_us, "anomaly", epoch_id, reread)
        for name in damage.altered:
            writer.event(last_us, "anomaly", epoch_id, {"kind": "altered", "path": name})
        for message in damage.untraced:
            writer.event(last_us, "anomaly", epoch_id, {"kind": "rows_lost", "what": message})
        for reason, line in damage.dropped:
            writer.quarantine(last_us, "repair", reason, line)
        writer.event(last_us, "run_stop", epoch_id, {"reason": "repaired"})
        writer.seal()
    return [f"run {run}, which had crashed, is closed" for run in open_runs] + ["sealed"]


def _last_us(folder: DayFolder) -> int:
    return max(_last_of(folder, path) for path in (folder.events, folder.diffs, folder.trades))


def _last_of(folder: DayFolder, path: Path) -> int:
    (last,) = deque(lines_of_file(path), 1) or (b"",)
    if path in (folder.diffs, folder.quarantine):
        return PACKED_ROW.decode(last).recv_us if last else 0
    at = _TRADE_CELLS[-1] if path == folder.trades else -2 if path == folder.frames else -1
    cells = last.split(b",")
    cell = cells[at] if -len(cells) <= at < len(cells) else b""
    return int(cell) if cell.isdigit() else 0
