"""What a repair writes into the ledger: a run of its own, from `run_start` to `run_stop`."""

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

import mm
from mm.clock import US_PER_S, iso
from mm.ids import MissingIds
from mm.market_data.day_writer import DayWriter
from mm.market_data.layout import TRADE_COLUMNS, DayFolder, existing
from mm.market_data.repair_files import Dropped, lines_of_file, top_n_of
from mm.market_data.reread import Reread

CAUSE = "damaged"
STREAM = "repair"
REASON = "repaired"
_US_COLUMN = TRADE_COLUMNS.index("recv_time_us")


@dataclass
class Damage:
    """What was found.

    Attributes:
        dropped: Whole rows that have no place any more.
        lost: Bytes taken out of each file, and whether good rows stood behind them.
        gaps: Ids that are missing and that the ledger did not declare, by the type of their event.
        reread: Messages that were in quarantine.
        altered: Files whose bytes are not those that were sealed, for no reason that was found.
    """

    dropped: Dropped
    lost: dict[Path, tuple[int, bool]] = field(default_factory=dict)
    gaps: list[tuple[str, MissingIds]] = field(default_factory=list)
    reread: list[Reread] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)


def write_ledger(folder: DayFolder, run_id: str, at_us: int, damage: Damage) -> list[str]:
    """Write the run of a repair and seal the day; return what was done beside the damage.

    Its rows carry the time of the day's last message, so that they stay among the day's own: `run_start` says when the
    repair was.
    """
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
            writer.gap(last_us, kind, epoch_id, known.details(CAUSE))
        for one in damage.reread:
            told = {"kind": "reread", "stream": one.stream, "first_id": one.first_id, "last_id": one.last_id}
            writer.event(last_us, "anomaly", epoch_id, told)
        for name in damage.altered:
            writer.event(last_us, "anomaly", epoch_id, {"kind": "altered", "path": name})
        for reason, line in damage.dropped:
            writer.quarantine(last_us, STREAM, reason, line)
        writer.event(last_us, "run_stop", epoch_id, {"reason": REASON})
        writer.seal()
    return [f"run {run}, which had crashed, is closed" for run in open_runs] + ["sealed"]


def _last_us(folder: DayFolder) -> int:
    """Return the latest arrival in the day, in µs; 0 where it has no row at all."""
    return max(_last_of(folder, path) for path in (folder.events, folder.diffs, folder.trades))


def _last_of(folder: DayFolder, path: Path) -> int:
    """Return the arrival of the last row of a file of the day, in µs; 0 where it has none."""
    (last,) = deque(lines_of_file(path), 1) or (b"",)
    if path in (folder.diffs, folder.quarantine):
        return _ARRIVED.decode(last).recv_us if last else 0
    at = _US_COLUMN if path == folder.trades else -2 if path == folder.frames else -1
    cells = last.split(b",")
    cell = cells[at] if -len(cells) <= at < len(cells) else b""
    return int(cell) if cell.isdigit() else 0


class _Arrived(msgspec.Struct):
    recv_us: int


_ARRIVED = msgspec.json.Decoder(_Arrived)
