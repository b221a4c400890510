"""Reads a day folder into the parts of a tape, in three stages: read, order and sync, build.

Opening a kept tape (`mm.tape.load`) needs none of this, so it is imported where a day is read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.dayfolder.check import check_day
from mm.dayfolder.check_trades import WIDE
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.manifest import read_manifest, sha256_of
from mm.dayfolder.recovery import market_of_day
from mm.dayfolder.seal import AlteredFile
from mm.errors import BrokenFile, MMError, NeverSynced
from mm.tape.build import TapeBuilder, merged, quarter_hours
from mm.tape.columns import DEPTH, GAP, SNAPSHOT, TapeFacts, TapeMeta
from mm.tape.damage import usable_rest
from mm.tape.excluded import (
    exclude,
    halted_spans,
    place_fetched,
    sentences,
    standing_spans,
    trade_spans,
    trades_revealed,
)
from mm.tape.files import FEW
from mm.tape.freshest import freshen, read_best
from mm.tape.marks import read_marks
from mm.tape.recorded import (
    DayFindings,
    ReadOptions,
    clock_readings,
    known_grid,
    lost_lines,
    payments,
    read_folder,
    read_ledger,
)
from mm.tape.sync import sync_day
from mm.tape.unseen import unseen

if TYPE_CHECKING:
    from mm.dayfolder.ledger import Event
    from mm.tape.build import EventColumns
    from mm.tape.excluded import Losses

_MANY_TRADES, _CONTRARY = 100, 0.75
"""From so many trades at the touch on, more than this share against the book is a defect.

Recorded days have 0 to 5 %, their quarters of an hour up to 14 %.
"""


def read_day(
    folder: DayFolder, options: ReadOptions, altered: Sequence[AlteredFile], work: Path | None
) -> tuple[TapeBuilder, TapeFacts]:
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

    findings = DayFindings()
    ledger, ledger_read = read_ledger(folder)
    grid = known_grid(folder, options, ledger)
    recorded = read_folder(folder, grid, ledger, work)
    until_us = options.until_us
    market = market_of_day(folder, _first_knobs(ledger))
    day = sync_day(recorded, findings, market.rule, as_received=options.as_received, until_us=until_us)
    if until_us is not None:
        recorded = replace(recorded, ledger=[row for row in recorded.ledger if row.at.recv_us < until_us])
    events, rows, raised, keys = merged(day, work)
    best = None if day.by_time or day.whole_books else read_best(folder)
    findings.note("clock_raised", len(raised), day.sources.places(map(events.name, raised[:FEW].tolist())))
    if best is not None:
        keys = freshen(events, rows, keys, day, best[0])
    last_us = max([*events.event_us[-1:].tolist(), *(row.at.recv_us for row in recorded.ledger[-1:])], default=0)
    missing = trade_spans(recorded, events, last_us, as_received=options.as_received)
    still = [] if options.as_received else standing_spans(recorded, events, rows, last_us)
    standing = tuple((span.from_us or 0, span.to_us or last_us) for span in still)
    spans = [
        *(losses.spans if losses else ()),
        *missing,
        *halted_spans(recorded, {} if day.by_time else day.ranks, events, keys),
        *still,
    ]
    hindsight = [*day.hindsight, *trades_revealed(recorded, events), *standing]
    fetched = recorded.trades.fetched[:0] if options.as_received else recorded.trades.fetched
    try:
        crossed = exclude(events, rows, spans) if spans or len(fetched) else []
        hindsight += place_fetched(events, rows, fetched)
        builder = TapeBuilder(events, rows, quarter_hours(events.event_us))
    except OverflowError as error:
        raise BrokenFile("{}: {}; remove its row, or set {tick_size} to a coarser one", folder.path, error) from error
    crossed += builder.crossed
    findings.note("crossed", len(crossed), day.sources.places(crossed[:FEW]))
    doubtful = builder.doubtful_trades(_MANY_TRADES, _CONTRARY, WIDE)
    for name, trades in zip(("contrary_sides", "far_trades"), doubtful, strict=True):
        findings.note(name, len(trades), day.sources.places(map(events.name, trades[:FEW].tolist())))
    findings.note("gaps", int(np.count_nonzero(events.kind == GAP)))
    excluded = [*sentences(spans, last_us), *(losses.lines if losses else ())]
    if not (events.kind == SNAPSHOT).any():
        raise NeverSynced("; ".join([findings.never_synced(folder), *excluded]))
    instrument, orders, noted = grid.instrument(folder.symbol, day.steps, builder.first_book_lots())
    builder.marks, marks_read = read_marks(folder)
    best_read = best[1] if best else None
    reads = [read for read in (grid.read, *day.reads, ledger_read, marks_read, best_read) if read]
    lost, lost_warnings = lost_lines(folder, reads)
    not_shown = unseen(folder)
    findings.note("lost_lines", lost)
    inputs = ((read.path.relative_to(folder.root).as_posix(), read.bytes, read.sha256) for read in reads)
    meta = TapeMeta(
        inputs=tuple(sorted(inputs)),
        counts={name: count for name, count in sorted(findings.counts.items()) if count},
        warnings=(
            *noted,
            *findings.warnings(folder),
            *lost_warnings,
            *not_shown,
            *([] if until_us else _unsealed(folder, ledger)),
        ),
        excluded=tuple(excluded),
        last_update_id=_last_update_id(events),
        standing=standing,
        venue=market.venue,
        funding=payments(folder, ledger),
        clock=clock_readings(ledger),
        carried_from=None if any(span.from_us is None for span in spans) else day.carried_from,
    )
    start_us, end_us = builder.span
    end_us = until_us or (max(end_us, last_us) if spans else end_us)
    known = sorted((begin, min(end, end_us - 1)) for begin, end in hindsight)  # at its end all of it is known
    meta = replace(meta, hindsight=tuple(span for span in known if span[0] < span[1]))
    return builder, TapeFacts(instrument, (folder.day,), orders.lot_e8, start_us, end_us, meta, orders.tick_e8)


def _unsealed(folder: DayFolder, ledger: "Sequence[Event]") -> list[str]:
    """Warn if the ledger's last run has ended, but no manifest seals the day.

    Only a check as by ``mm data check``, as long as reading the day, finds changed, shifted or lost rows.
    """
    if not ledger or ledger[-1].kind != "run_stop":
        return []
    manifest = read_manifest(folder)
    if manifest is not None and manifest.sealed:
        return []

    what = "there is no manifest" if manifest is None else "its manifest is not sealed"
    defects = [defect for defect in check_day(folder).defects if defect.kind != "unsealed"]
    first = "; ".join(f"{defect.place}: {defect.kind}: {defect.message}" for defect in defects[:FEW])
    state = f"has {len(defects):,} defects ({first}{'; …' if len(defects) > FEW else ''})" if defects else "looks sound"
    return [
        f"{folder.path}: unsealed: the recording has ended, but {what}, so not every change of its files is detected; "
        f"by mm data check it {state}; mm data repair seals the day"
    ]


def _first_knobs(ledger: "Sequence[Event]") -> Mapping[str, Any]:
    knobs = next((row.details.get("knobs") for row in ledger if row.kind == "run_start"), None)
    return knobs if isinstance(knobs, dict) else {}


def _last_update_id(events: "EventColumns") -> int | None:
    of_book = np.flatnonzero((events.kind == SNAPSHOT) | (events.kind == DEPTH) | (events.kind == GAP))
    last = int(events.event_id[of_book[-1]])
    return last if last > 0 else None
