"""Reads a day folder into a tape, in four stages: read, order and sync, build, keep."""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.base.atomic_file import VerifiedFiles
from mm.dayfolder.check import check_day
from mm.dayfolder.layout import DayFolder, day_folder, existing
from mm.dayfolder.manifest import read_manifest, sha256_of
from mm.dayfolder.recovery import venue_of
from mm.dayfolder.seal import AlteredFile, require_sealed
from mm.errors import BrokenFile, MMError, NeverSynced, UsageError
from mm.instrument import Instrument
from mm.tape.build import TapeBuilder, merged, quarter_hours
from mm.tape.columns import DEPTH, GAP, SNAPSHOT, TapeFacts, TapeMeta, in_memory
from mm.tape.damage import usable_rest
from mm.tape.excluded import exclude, halted_spans, place_fetched, sentences, trade_spans, trades_revealed
from mm.tape.files import FEW
from mm.tape.keep import KeptTape
from mm.tape.recorded import (
    CONTRARY_SIDES,
    DayFindings,
    ReadOptions,
    known_grid,
    lost_lines,
    payments,
    read_folder,
    read_ledger,
)
from mm.tape.sync import sync_day
from mm.tape.tape import Tape

if TYPE_CHECKING:
    from mm.dayfolder.ledger import Event
    from mm.tape.build import EventColumns
    from mm.tape.excluded import Losses


_MANY_TRADES, _CONTRARY = 100, 0.75
"""From so many trades at the touch on, more than this share against the book is a defect (recorded days: 3 to 5 %)."""


def tapes_given(given: object, to: str) -> tuple[Tape, ...]:
    """Return the tapes of an argument of a call, in order.

    Raises:
        UsageError: If it is anything else, such as the path of a day folder, or empty.
    """
    several = given if isinstance(given, Iterable) and not isinstance(given, str | os.PathLike | Tape) else [given]
    tapes = tuple(several)
    if not tapes:
        raise UsageError(f"{to} needs at least one tape")
    for tape in tapes:
        if not isinstance(tape, Tape):
            raise UsageError(f"{to} got {tape!r} instead of a tape; pass the result of mm.load_day for a day folder")
        require_symbol(tapes[0], tape, to)
    return tapes


def known_at_end(tapes: Sequence[Tape]) -> tuple[Tape, ...]:
    """Return *tapes*, each as it was known at its end: the end of its day, or that of a window (`Tape.between`)."""
    return tuple([tape.known_at(tape.end_us) for tape in tapes])


def require_symbol(first: Tape, tape: Tape, to: str) -> None:
    """Raise UsageError if *tape* is of another symbol than the *first* tape of a call."""
    if tape.symbol != first.symbol:
        raise UsageError(
            f"{to} got tapes of {first.symbol} {first.days[0]} and {tape.symbol} {tape.days[0]}; give the days of one "
            f"symbol per call"
        )


def load_day(  # noqa: PLR0913 - public entry point: each argument is one option
    folder: DayFolder | Path | str,
    instrument: Instrument | None = None,
    *,
    cache: Path | str | None = None,
    damaged: bool = False,
    tick_size_e8: int | None = None,
    qty_step_e8: int | None = None,
    min_notional_e8: int | None = None,
    left_out: bool = False,
    as_received: bool = False,
    until_us: int | None = None,
) -> Tape:
    """Return a recorded day as a tape.

    Args:
        folder: The day folder, ``…/SYMBOL/YYYYMMDD``.
        instrument: The grid; None reads it from ``instrument.json``, or else infers it, with a warning.
        cache: Folder of kept tapes: a day read before is mapped, not parsed. None always parses it.
        damaged: Whether to read the rest of a sealed day that differs from its manifest.
        tick_size_e8, qty_step_e8, min_notional_e8: Each, if given, replaces the instrument's own, in 1e-8.
        left_out: Leave out prices off *tick_size_e8* if the ledger reports a changed tick, instead of raising OffGrid.
        as_received: Read the day as a live program received it, to compare with its decisions: a gap begins when it was
            revealed, not after the last message before it, and trades fetched by REST stand where they were stored.
        until_us: Read the day as it was known at this instant, where the tape ends: no later row counts.

    Repairs are counted in ``tape.meta.counts`` and described in ``tape.meta.warnings``; excluded spans of the day are
    in ``tape.meta.excluded``.

    Raises:
        MissingDay: If there is no such folder; the message names the existing days.
        BrokenFile: If a file is missing, empty or damaged, or differs from the sealed manifest; the message names it.
        OffGrid: If a price is not a multiple of the tick.
        NeverSynced: If the book is never valid.
        Mismatch: If ``instrument.json`` is of another symbol.
    """
    day = folder if isinstance(folder, DayFolder) else DayFolder.at(Path(folder))
    day_folder(day.root, day.symbol, day.day)
    flags = (left_out, as_received, until_us)
    options = (instrument, tick_size_e8, qty_step_e8, min_notional_e8, *(flags if any(flags) else ()))
    verified = VerifiedFiles(Path(cache)) if cache else None
    with ThreadPoolExecutor(1) as executor:
        compared = executor.submit(require_sealed, day, damaged=damaged, verified=verified)
        try:
            tape = _loaded(day, options, cache, compared)
        except _NotAsSealed as error:
            tape = _loaded(day, options, cache, compared, error.altered)
    read_again = partial(
        load_day,
        day,
        instrument,
        cache=cache,
        damaged=damaged,
        tick_size_e8=tick_size_e8,
        qty_step_e8=qty_step_e8,
        min_notional_e8=min_notional_e8,
        left_out=left_out,
        as_received=as_received,
    )
    return tape.with_reader(read_again)


def contrary_sides(folder: DayFolder) -> str | None:
    """Return the warning of a day whose aggressors are mostly against the book; None without one, or if unreadable."""
    try:
        meta = load_day(folder).meta
    except MMError:
        return None  # without a book there is nothing to compare

    if not meta.counts.get("contrary_sides"):
        return None
    return next(warning.partition(": ")[2] for warning in meta.warnings if CONTRARY_SIDES in warning)


class _NotAsSealed(Exception):
    """The files *altered* of a day differ from its manifest, and the data read from them is invalid."""

    def __init__(self, altered: Sequence[AlteredFile]) -> None:
        super().__init__()
        self.altered = altered


def _loaded(
    day: DayFolder,
    options: tuple[Any, ...],
    cache: Path | str | None,
    compared: "Future[list[AlteredFile]]",
    altered: Sequence[AlteredFile] = (),
) -> Tape:
    """Return the tape of *day* without the files *altered*, kept or built, and keep it if possible.

    Another thread compares the day with its manifest meanwhile.

    Raises:
        _NotAsSealed: If other files differ from the manifest: then neither the read data nor errors of reading count.
    """

    def check() -> None:
        if (found := compared.result()) != list(altered):
            raise _NotAsSealed(found)

    def parsed(work: Path | None) -> tuple[TapeBuilder, TapeFacts]:
        try:
            return read_day(day, ReadOptions(*options), altered, work)
        finally:
            check()

    made_from = repr((options, [what for _, what, _ in altered]) if altered else options)
    kept = KeptTape.of(Path(cache), day, made_from, _inputs(day)) if cache else None
    notes: list[str] = []
    if kept and (tape := kept.read(notes)) is not None:
        check()
        return tape.with_warnings(notes)
    if kept:
        try:
            kept.path.parent.mkdir(parents=True, exist_ok=True)
            builder, facts = parsed(kept.path.parent)
            return kept.keep(facts, builder.arrays()).with_warnings(notes)
        except OSError as error:
            why = f"the tape is not kept for the next run ({error.strerror}); check --out-root or the disk"
            notes.append(f"{kept.path}: {why}")
    try:
        builder, facts = parsed(Path(gettempdir()))
    except OSError:
        builder, facts = parsed(None)
    return Tape.built(facts, {name: in_memory(column) for name, column in builder.arrays().items()}).with_warnings(
        notes
    )


def open_kept(path: Path) -> Tape:
    """Map the tape in the file at *path*, whose content the caller has verified; the day itself is not needed.

    Raises:
        BrokenFile: If the file is missing or damaged; it is removed then.
    """
    notes: list[str] = []
    tape = KeptTape(path, None).read(notes)
    if tape is None:
        path.unlink(missing_ok=True)
        raise BrokenFile(f"{''.join(notes).rpartition(';')[0] or path}: the tape is removed; run the command again")
    return tape


def read_day(
    folder: DayFolder, options: ReadOptions, altered: Sequence[AlteredFile], work: Path | None
) -> tuple[TapeBuilder, TapeFacts]:
    """Return the parts of the tape of *folder*, without the files *altered*; raises as `load_day`."""
    if not altered:
        return _read(folder, options, work)

    with usable_rest(folder, altered) as (left, losses):
        copy_root, root = str(left.root.resolve()), str(folder.root)
        try:
            builder, facts = _read(left, options, work, losses)
        except MMError as error:
            raise type(error)(str(error).replace(str(left.root), root)) from error
        warnings = tuple(warning.replace(copy_root, root) for warning in facts.meta.warnings)
    names = {folder.path.joinpath(path).relative_to(folder.root).as_posix(): path for path, _, _ in altered}
    inputs = tuple(
        (name, names[name].stat().st_size, sha256_of(names[name])) if name in names else (name, size, sha256)
        for name, size, sha256 in facts.meta.inputs
    )
    return builder, replace(facts, meta=replace(facts.meta, inputs=inputs, warnings=warnings))


def _read(
    folder: DayFolder,
    options: ReadOptions,
    work: Path | None,
    losses: "Losses | None" = None,
) -> tuple[TapeBuilder, TapeFacts]:
    """Read a day without the lost spans, and without those with missing trades."""

    findings = DayFindings()
    ledger, ledger_read = read_ledger(folder)
    grid = known_grid(folder, options, ledger)
    recorded = read_folder(folder, grid, ledger, work)
    until_us = options.until_us
    venue = venue_of(folder, _first_knobs(ledger))
    day = sync_day(recorded, findings, venue, as_received=options.as_received, until_us=until_us)
    if until_us is not None:
        recorded = replace(recorded, ledger=[row for row in recorded.ledger if row.at.recv_us < until_us])
    events, rows, raised = merged(day, work)
    findings.note("clock_raised", len(raised), day.sources.places(map(events.name, raised[:FEW].tolist())))
    last_us = max([*events.event_us[-1:].tolist(), *(row.at.recv_us for row in recorded.ledger[-1:])], default=0)
    spans = [*(losses.spans if losses else ()), *trade_spans(recorded, events), *halted_spans(recorded)]
    hindsight = [*day.hindsight, *trades_revealed(recorded, events)]
    fetched = recorded.trades.fetched[:0] if options.as_received else recorded.trades.fetched
    try:
        crossed = exclude(events, rows, spans) if spans or len(fetched) else []
        hindsight += place_fetched(events, rows, fetched)
        builder = TapeBuilder(events, rows, quarter_hours(events.event_us))
    except OverflowError as error:
        raise BrokenFile(f"{folder.path}: {error}; remove its row, or set --tick-size to a coarser one") from error
    crossed += builder.crossed
    findings.note("crossed", len(crossed), day.sources.places(crossed[:FEW]))
    contrary, at_touch = builder.contrary_trades()
    if at_touch >= _MANY_TRADES and len(contrary) > _CONTRARY * at_touch:
        findings.note("contrary_sides", len(contrary), day.sources.places(map(events.name, contrary[:FEW].tolist())))
    findings.note("gaps", int(np.count_nonzero(events.kind == GAP)))
    excluded = [*sentences(spans, last_us), *(losses.lines if losses else ())]
    if not (events.kind == SNAPSHOT).any():
        raise NeverSynced("; ".join([findings.never_synced(folder), *excluded]))
    instrument, orders, noted = grid.instrument(folder.symbol, day.steps)
    reads = [read for read in (grid.read, *day.reads, ledger_read) if read]
    lost, lost_warnings = lost_lines(folder, reads)
    findings.note("lost_lines", lost)
    inputs = ((read.path.relative_to(folder.root).as_posix(), read.bytes, read.sha256) for read in reads)
    meta = TapeMeta(
        inputs=tuple(sorted(inputs)),
        counts={name: count for name, count in sorted(findings.counts.items()) if count},
        warnings=(*noted, *findings.warnings(folder), *lost_warnings, *([] if until_us else _unsealed(folder, ledger))),
        excluded=tuple(excluded),
        last_update_id=_last_update_id(events),
        venue=venue,
        funding=payments(folder, ledger),
        carried_from=None if any(span.from_us is None for span in spans) else day.carried_from,
    )
    start_us, end_us = builder.span
    end_us = until_us or (max(end_us, last_us) if spans else end_us)
    known = sorted((begin, min(end, end_us - 1)) for begin, end in hindsight)  # at its end all of it is known
    meta = replace(meta, hindsight=tuple(span for span in known if span[0] < span[1]))
    return builder, TapeFacts(instrument, (folder.day,), orders.lot_e8, start_us, end_us, meta, orders.tick_e8)


def _unsealed(folder: DayFolder, ledger: "Sequence[Event]") -> list[str]:
    """Return a warning if the last run of the ledger has ended, but the day is not sealed by a manifest.

    The day is then checked as by ``mm data check``, which takes about as long as reading it: without hashes, only that
    finds rows that were changed, shifted or lost.
    """
    if not ledger or ledger[-1].kind != "run_stop":
        return []
    manifest = read_manifest(folder)
    if manifest is not None and manifest.sealed:
        return []

    what = "there is no manifest" if manifest is None else "its manifest is not sealed"
    defects = [defect for defect in check_day(folder).defects if defect.kind != "unsealed"]
    first = "; ".join(f"{defect.place}: {defect.kind}: {defect.message}" for defect in defects[:FEW])
    found = f"has {len(defects):,} defects ({first}{'; …' if len(defects) > FEW else ''})" if defects else "looks sound"
    return [
        f"{folder.path}: unsealed: the recording has ended, but {what}, so not every change of its files is detected; "
        f"by mm data check it {found}; mm data repair seals the day"
    ]


def _first_knobs(ledger: "Sequence[Event]") -> Mapping[str, Any]:
    """Return the knobs of the day's first run; empty if the ledger has none."""
    found = next((row.details.get("knobs") for row in ledger if row.kind == "run_start"), None)
    return found if isinstance(found, dict) else {}


def _last_update_id(events: "EventColumns") -> int | None:
    """Return the id of the book at the end; None if it is not valid."""
    of_book = np.flatnonzero((events.kind == SNAPSHOT) | (events.kind == DEPTH) | (events.kind == GAP))
    last = int(events.event_id[of_book[-1]])
    return last if last > 0 else None


def _inputs(day: DayFolder) -> list[Path]:
    """Return all files that a tape of *day* may depend on."""
    named = (day.instrument, day.schema, day.manifest, day.events, day.diffs, day.frames, day.trades)
    return [path for path in map(existing, named) if path is not None] + sorted(day.snapshots.glob("*"))
