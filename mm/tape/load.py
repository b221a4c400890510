"""Opens a day folder as a tape: a kept one, or one that is read, built and kept."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import TYPE_CHECKING, Any

from mm.base.atomic_file import VerifiedFiles
from mm.dayfolder.held_out import held_of, refuse_held
from mm.dayfolder.layout import DayFolder, day_folder, existing
from mm.dayfolder.seal import AlteredFile, require_sealed
from mm.errors import BrokenFile, MMError, UsageError
from mm.instrument import Instrument
from mm.tape.columns import TapeFacts, in_memory
from mm.tape.day_orders import DayOrders, without_orders
from mm.tape.keep import KeptTape
from mm.tape.tape import Tape
from mm.tape.warnings import BookDoubts

if TYPE_CHECKING:
    from mm.tape.build import TapeBuilder


def tapes_given(given: object, to: str) -> tuple[Tape, ...]:
    """Raises UsageError for anything else, such as a folder's path, or none."""
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
    """Each tape as known at its end, which may be a window's (`Tape.between`)."""
    return tuple([tape.known_at(tape.end_us) for tape in tapes])


def require_symbol(first: Tape, tape: Tape, to: str) -> None:
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
    open_held_out: bool = False,
) -> Tape:
    """Return a recorded day as a tape.

    Repairs are counted in ``tape.meta.counts`` and described in ``tape.meta.warnings``; excluded spans of the day are
    in ``tape.meta.excluded``.

    Raises:
        MissingDay: If there is no such folder; the message names the existing days.
        BrokenFile: If a file is missing, empty or damaged, or differs from the sealed manifest.
        OffGrid: If a price is not a multiple of the tick.
        NeverSynced: If the book is never valid.
        Mismatch: If ``instrument.json`` is of another symbol.
        UsageError: If the day is held out.
    """
    day = folder if isinstance(folder, DayFolder) else DayFolder.at(Path(folder))
    day_folder(day.root, day.symbol, day.day)
    if not open_held_out:
        refuse_held(day.root, day.symbol, [day.day])
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
        open_held_out=True,
    )
    if open_held_out and held_of(day.root, day.symbol, [day.day]):
        tape = replace(tape, meta=replace(tape.meta, opened=str(day.root)))
    orders = DayOrders.of(day, tape, Path(cache) if cache else None)
    tape = tape.with_reader(read_again)
    if orders is None:
        return tape.with_orders(None, partial(without_orders, day))
    return tape.with_orders(orders.open, log=day.order_log)


def book_doubts(folder: DayFolder, *, just_sealed: bool = False) -> BookDoubts | None:
    """None if a day is unreadable or without a book; a *just_sealed* day's hashes are known."""
    try:
        with TemporaryDirectory(prefix="mm-doubts-") as kept:  # mapped there, a long day needs less memory
            if not just_sealed:
                return BookDoubts.of(load_day(folder, open_held_out=True, cache=kept))
            as_sealed = Future[list[AlteredFile]]()
            as_sealed.set_result([])
            return BookDoubts.of(_loaded(folder, (None,) * 4, kept, as_sealed))
    except MMError:
        return None


class _NotAsSealed(Exception):
    """The *altered* files differ from the manifest, so data read from them is invalid."""

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
    """Open or build a tape without the *altered* files, while another thread compares the day with its manifest.

    Raises:
        _NotAsSealed: If other files differ: then neither the data read nor errors of reading count.
    """

    def check() -> None:
        if (changed := compared.result()) != list(altered):
            raise _NotAsSealed(changed)

    def parsed(work: Path | None) -> "tuple[TapeBuilder, TapeFacts]":
        from mm.tape.read import read_day
        from mm.tape.recorded import ReadOptions

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
    """Map a tape that the caller has verified, without its day; a broken one is removed."""
    notes: list[str] = []
    tape = KeptTape(path, None).read(notes)
    if tape is None:
        path.unlink(missing_ok=True)
        raise BrokenFile(f"{''.join(notes).rpartition(';')[0] or path}: the tape is removed; run the command again")
    return tape


def _inputs(day: DayFolder) -> list[Path]:
    streams = (day.diffs, day.frames, day.trades, day.contract, day.best)
    named = (day.instrument, day.schema, day.manifest, day.events, *streams)
    return [path for path in map(existing, named) if path is not None] + sorted(day.snapshots.glob("*"))
