"""Records a backtest's markets, files, sources and notes in manifest and log."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from mm.base.day_notes import once_for_days
from mm.play.knobs import NO_OTHERS, NOT_AGAIN, Day, Market, OtherMarkets, TradeAgain
from mm.play.market import FittedMicroPrice, Markets, other_day
from mm.play.notes import day_notes, log_notes, unearned_fee
from mm.play.play import Play
from mm.runs.in_progress import Run
from mm.tape.tape import Tape
from mm.tape.warnings import excluded_spans
from mm.trials.openings import write_openings


def opened(
    run: Run, day: Day, market: Market, others: OtherMarkets = NO_OTHERS, again: TradeAgain = NOT_AGAIN
) -> Markets:
    with run.timing("load"):
        markets = Markets.open(day, market, others, again)
    tapes = markets.tapes
    note_tapes(run, tapes)
    run.timings.update(events=sum(len(tape) for tape in tapes), rows=sum(len(tape.row_ticks) for tape in tapes))
    run.timings["tape_cache"] = "hit" if all(tape.meta.cache == "hit" for tape in tapes) else tapes[0].meta.cache
    note_others(run, markets, day, others)
    return markets


def said_days(run: Run, markets: Markets) -> tuple[str, ...]:
    notes = (*day_notes(markets.tapes), *(note for feed in markets.others.values() for note in feed.notes))
    for note in once_for_days(notes):
        run.print(f"note: {note}")
    return notes


def note_others(run: Run, markets: Markets, day: Day, others: OtherMarkets) -> None:
    for name, feed in markets.others.items():
        root = os.path.relpath(other_day(day, others, name).data_root, day.data_root)
        note_tapes(run, feed.tapes, root)
        for note in feed.notes:
            run.log.warning("other_market", day=day.label(), name=name, message=note)


def note_tapes(run: Run, tapes: Sequence[Tape], root: str = ".", *, sizes: bool = True) -> None:
    for tape in tapes:
        files = [(str(PurePosixPath(root) / path), size, sha256) for path, size, sha256 in tape.meta.inputs]
        if files and all(run.has_input(path) for path, *_ in files):
            continue  # an earlier day of an evaluation, on which a micro-price is fitted
        for path, size, sha256 in files:
            run.input(path, size, sha256)
        if tape.meta.opened:
            run.log.warning("held_out_day_opened", symbol=tape.symbol, day=tape.days[0])
        for problem in write_openings(run.out_root, [tape], run.kind):
            run.log.warning("opening_not_written", message=problem)
        for warning in tape.meta.warnings:
            run.log.warning("data_warning", day=tape.days[0], message=warning)
        for span, sentence in zip(excluded_spans(tape), tape.meta.excluded, strict=True):
            file = sentence.partition(":")[0]
            run.exclude(span, warned=any(file in warning for warning in tape.meta.warnings))
        if sizes:
            counts = {"events": len(tape.kind), "rows": len(tape.row_ticks), **tape.meta.counts}
            run.log.info("day_loaded", day=tape.days[0], **counts)


def note_micro_price(run: Run, markets: Markets) -> FittedMicroPrice:
    note_tapes(run, markets.micro_price.tapes)
    return markets.micro_price


def note_files(run: Run, files: Iterable[Path | None]) -> None:
    for path in files:
        if path is not None:
            run.input_file(path)


def note_setup(run: Run, play: Play) -> None:
    log_notes(run.log, play.notes)
    note_files(run, play.knobs.files)


def note_made(run: Run, play: Play) -> None:
    log_notes(run.log, play.model_notes)
    note_files(run, play.files)
    run.keep_source(play.sources)


def begin_play(run: Run, play: Play) -> None:
    """Note models and files, and play the first minutes, to warn before the whole day of a fee that is not earned."""
    note_made(run, play)
    if first := play.play_first_minutes():
        log_notes(run.log, unearned_fee(first))
    if play.reads_micro_price:
        note_micro_price(run, play.markets)
