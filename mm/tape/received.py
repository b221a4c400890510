"""A recorded day as one of its runs received it live."""

import csv
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mm.dayfolder.layout import DayFolder, existing
from mm.dayfolder.ledger import whole_events
from mm.tape.columns import ROW_COLUMNS, TOP_COLUMNS
from mm.tape.load import load_day
from mm.tape.tape import KEYFRAME, TRADE, Tape

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class RowsSeen:
    """The rows of a day that a run has received live."""

    first_seq: int
    last_seq: int
    fetched: tuple[tuple[int, int], ...]
    synced: bool

    @classmethod
    def of(cls, folder: DayFolder, run_id: str) -> "RowsSeen":
        path = existing(folder.events) or folder.events
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in whole_events(path, csv.DictReader(file)) if row.at.run_id == run_id]
        seqs = [row.at.seq for row in rows]
        # The row of a backfill comes after the fetched trades.
        fills = ((row.at.seq, int(row.details["rows"])) for row in rows if row.kind == "backfill")
        fetched = tuple((seq - count, seq - 1) for seq, count in fills)
        synced = any(row.kind == "snapshot_loaded" for row in rows)
        return cls(min(seqs, default=0), max(seqs, default=-1), fetched, synced)

    def of_tape(self, tape: Tape) -> "NDArray[np.bool_]":
        seqs = tape.recv_seq
        seen: NDArray[np.bool_] = (seqs >= self.first_seq) & (seqs <= self.last_seq) & (tape.kind != KEYFRAME)
        for first, last in self.fetched:
            seen &= ~((tape.kind == TRADE) & (seqs >= first) & (seqs <= last))
        among = np.flatnonzero(seen)
        if len(among):  # the ends of halts, which the run was told, and which have no rows
            seen[among[0] : among[-1]] |= seqs[among[0] : among[-1]] < 0
        return seen


def as_it_was(tape: Tape, seen: "NDArray[np.bool_]", end_us: int) -> Tape:
    size = np.diff(tape.first_row)
    rows = np.repeat(seen, size)
    tops = seen[tape.top_event]
    place = np.cumsum(seen) - 1
    events = {name: getattr(tape, name)[seen] for name in Tape.PER_EVENT}
    start_us = int(events["event_us"][0]) if seen.any() else end_us
    return replace(
        tape,
        **events,
        **{name: getattr(tape, name)[rows] for name in ROW_COLUMNS},
        **{name: getattr(tape, name)[tops] for name in TOP_COLUMNS[1:]},
        top_event=place[tape.top_event[tops]],
        first_row=np.concatenate(([0], np.cumsum(size[seen]))),
        start_us=start_us,
        end_us=max(end_us, start_us),
    )


def received_day(
    day: DayFolder, run_id: str, grid_e8: tuple[int, int], end_us: int, qty_step_e8: int | None = None
) -> Tape | None:
    """The market of a day as a run received it up to *end_us*, in its tick and lot (1e-8); None if the run never had a
    book.
    """
    seen = RowsSeen.of(day, run_id)
    if not seen.synced:
        return None
    tape = load_day(day, tick_size_e8=grid_e8[0], qty_step_e8=qty_step_e8, left_out=True, as_received=True)
    clock = tuple(reading for reading in tape.meta.clock if reading.seq >= seen.first_seq)
    tape = replace(tape, meta=replace(tape.meta, clock=clock))
    whole = as_it_was(tape, seen.of_tape(tape), end_us).with_lot(grid_e8[1])
    return whole if len(whole) else None
