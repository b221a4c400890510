"""From a day folder to a tape, in four stages: read, order and sync, build, keep."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mm.dayfolder.layout import DayFolder, day_folder, existing
from mm.errors import NeverSynced
from mm.instrument import Instrument
from mm.tape.columns import DEPTH, GAP, SNAPSHOT, TapeFacts, TapeMeta
from mm.tape.keep import KeptTape
from mm.tape.tape import Tape

if TYPE_CHECKING:
    from mm.tape.build import EventColumns, TapeBuilder
    from mm.tape.recorded import GridOptions


def load_day(
    folder: DayFolder | Path | str,
    instrument: Instrument | None = None,
    *,
    cache: Path | str | None = None,
    tick_size_e8: int | None = None,
    qty_step_e8: int | None = None,
    min_notional_e8: int | None = None,
) -> Tape:
    """Return a recorded day as a tape.

    Args:
        folder: The day folder, ``…/SYMBOL/YYYYMMDD``.
        instrument: The grid; None takes it from ``instrument.json``, or else infers it, with a warning.
        cache: Folder of kept tapes: a day read before is mapped, not parsed. None parses it.
        tick_size_e8, qty_step_e8, min_notional_e8: Each, if given, in place of the instrument's own.

    What was mended on the way stands in ``tape.meta.counts`` and, in words, in ``tape.meta.warnings``.

    Raises:
        MissingDay: If there is no such folder; the message names the days that are there.
        BrokenFile: If a file is missing, empty or damaged; the message names it and the line.
        OffGrid: If a price is not a multiple of the tick.
        NeverSynced: If the book is never valid.
        Mismatch: If ``instrument.json`` is of another symbol.
    """
    day = folder if isinstance(folder, DayFolder) else DayFolder.at(Path(folder))
    day_folder(day.root, day.symbol, day.day)
    options = (instrument, tick_size_e8, qty_step_e8, min_notional_e8)
    kept = KeptTape.of(Path(cache), day, repr(options), _inputs(day)) if cache else None
    tape = kept.read() if kept else None
    if tape is not None:
        return tape
    from mm.tape.recorded import GridOptions  # nothing of it is needed to open a kept tape

    builder, facts = read_day(day, GridOptions(*options))
    if kept is None:
        return Tape.built(facts, builder.arrays())
    try:
        return kept.keep(facts, builder)
    except OSError as error:
        warning = f"{kept.path}: the tape is not kept for the next run ({error.strerror}); check --out-root or the disk"
    del builder  # which has given away its arrays
    builder, facts = read_day(day, GridOptions(*options))
    warned = replace(facts.meta, warnings=(*facts.meta.warnings, warning))
    return Tape.built(replace(facts, meta=warned), builder.arrays())


def read_day(folder: DayFolder, options: "GridOptions") -> "tuple[TapeBuilder, TapeFacts]":
    """Return what the tape of *folder* is made of; raises as `load_day`."""
    from mm.tape.build import TapeBuilder, merged, quarter_hours
    from mm.tape.files import FEW
    from mm.tape.recorded import DayFindings, known_grid, lost_lines, read_folder
    from mm.tape.sync import sync_day

    findings = DayFindings()
    grid = known_grid(folder, options)
    day = sync_day(read_folder(folder, grid), findings)
    events, rows, raised = merged(day)
    findings.note("clock_raised", len(raised), day.sources.places(map(events.name, raised[:FEW].tolist())))
    builder = TapeBuilder(events, rows, quarter_hours(events.event_us))
    findings.note("crossed", len(builder.crossed), day.sources.places(builder.crossed[:FEW]))
    findings.note("gaps", int(np.count_nonzero(events.kind == GAP)))
    if not (events.kind == SNAPSHOT).any():
        raise NeverSynced(findings.never_synced(folder))
    instrument, step_lots, inferred = grid.instrument(folder.symbol, day.steps)
    reads = [*([grid.read] if grid.read else []), *day.reads]
    lost, lost_warnings = lost_lines(folder, reads)
    findings.note("lost_lines", lost)
    inputs = ((read.path.relative_to(folder.root).as_posix(), read.bytes, read.sha256) for read in reads)
    meta = TapeMeta(
        inputs=tuple(sorted(inputs)),
        counts={name: count for name, count in sorted(findings.counts.items()) if count},
        warnings=(*inferred, *findings.warnings(folder), *lost_warnings),
        last_update_id=_last_update_id(events),
        carried_from=day.carried_from,
    )
    return builder, TapeFacts(instrument, (folder.day,), step_lots, *builder.span, meta)


def _last_update_id(events: "EventColumns") -> int | None:
    """Return the id of the book at the end; None where it is not valid."""
    of_book = np.flatnonzero((events.kind == SNAPSHOT) | (events.kind == DEPTH) | (events.kind == GAP))
    last = int(events.event_id[of_book[-1]])
    return last if last > 0 else None


def _inputs(day: DayFolder) -> list[Path]:
    """Return all files from which a tape of *day* may be made."""
    named = (day.instrument, day.manifest, day.events, day.diffs, day.frames, day.trades)
    return [path for path in map(existing, named) if path is not None] + sorted(day.snapshots.glob("*"))
