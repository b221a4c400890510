"""From a day folder to a tape: nothing else touches a recorded day's files."""

from dataclasses import replace
from pathlib import Path

from mm.dayfolder.layout import DayFolder, day_folder, existing
from mm.instrument import Instrument
from mm.tape.tape import Tape
from mm.tape.tape_cache import CachedTape


def load_day(
    folder: DayFolder | Path | str,
    instrument: Instrument | None = None,
    *,
    cache: Path | None = None,
    tick_size_e8: int | None = None,
    qty_step_e8: int | None = None,
    min_notional_e8: int | None = None,
) -> Tape:
    """Return a recorded day as a tape.

    Args:
        folder: The day folder, ``…/SYMBOL/YYYYMMDD``.
        instrument: The grid; None takes it from ``instrument.json``, or else infers it, with a warning.
        cache: Folder of cached tapes: a day read before is mapped, not parsed. None parses it.
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
    cached = CachedTape.of(Path(cache), day, repr(options), _inputs(day)) if cache else None
    tape = cached.read() if cached else None
    if tape is not None:
        return tape
    from mm.tape.read import GridOptions, read_day  # nothing of it is needed to open a cached tape

    draft = read_day(day, GridOptions(*options))
    if cached is None:
        return draft.tape()
    try:
        return cached.keep(draft)
    except OSError as error:
        warning = (
            f"{cached.path}: the tape is not kept for the next run ({error.strerror}); check --out-root or the disk"
        )
    tape = read_day(day, GridOptions(*options)).tape()  # what there was of the draft is let go
    return replace(tape, meta=replace(tape.meta, warnings=(*tape.meta.warnings, warning)))


def _inputs(day: DayFolder) -> list[Path]:
    """Return all files from which a tape of *day* may be made."""
    named = (day.instrument, day.manifest, day.events, day.diffs, day.frames, day.trades)
    return [path for path in map(existing, named) if path is not None] + sorted(day.snapshots.glob("*"))
