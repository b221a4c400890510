"""What a notebook shows: the charts of the pages as one picture, and the head of a page as a card.

`mm.notebook` calls both functions; each kind of object registers how it is drawn here.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial, singledispatch
from html import escape

import numpy as np

from mm.backtest.metrics.notes import NULL
from mm.backtest.result import Result
from mm.calibration.fit_result import PoissonFit
from mm.calibration.schedule import Schedule
from mm.clock import US_PER_S
from mm.notebook import Picture
from mm.numbers import lasting, number, short
from mm.report.backtest import headline, time_card, title_of
from mm.report.backtest_charts import panels
from mm.report.calibration import curve_part, fit_header, fit_tiles
from mm.report.frame import (
    ChartPart,
    alone,
    document,
    header,
    minute,
    notes,
    nothing,
    stacked,
    tile,
    tiles,
    within,
)
from mm.report.run_columns import columns_of, course
from mm.report.svg import WIDE
from mm.report.tape import tape_parts
from mm.report.timeline import Panel, script
from mm.report.walkforward import SOURCES, parameter_chart, schedule_line, segments_of
from mm.tape.tape import KIND_NAMES, TRADE, Tape
from mm.walkforward.walkforward import WalkForward


@singledispatch
def picture_of(thing: object) -> Picture:
    """Return the charts of a result, a fit, a schedule or a tape.

    Raises:
        TypeError: For anything else.
    """
    raise TypeError(f"{type(thing).__name__} has no charts; results, fits, schedules and tapes have")


@singledispatch
def card_of(thing: object) -> str:
    """Return the head of the page of a result, a fit, a schedule, a tape or a walk-forward, as HTML.

    Raises:
        TypeError: For anything else.
    """
    raise TypeError(f"{type(thing).__name__} has no card; results, fits, schedules and tapes have")


def _picture(title: str, parts: Sequence[ChartPart]) -> Picture:
    """Return *parts* below each other; their page has a card for each."""
    page = partial(_document, title, [part.card() for part in parts])
    return Picture(title, alone(stacked(parts, title, WIDE)), page)


def _document(title: str, parts: Sequence[str], code: str = "") -> str:
    return document(title, [f"<h1>{escape(title)}</h1>", *parts], code)


@picture_of.register
def _(result: Result) -> Picture:
    summary, run = result.summary, columns_of(result)
    title = f"backtest of {title_of(summary)}"
    if not len(run.state["recv_us"]):
        return _picture(title, [ChartPart("Over time", "", nothing("There are no state rows."))])
    first, *others = panels(run, course(run), summary)
    if summary["n_fills"] and 'class="buy"' not in first.picture and 'class="sell"' not in first.picture:
        first = replace(first, title="Price", note=f"{first.note}; {summary['n_fills']:,} fills: save as .html")
    picture = _picture(title, [_part(one) for one in (first, *others)])
    return Picture(title, picture.svg, lambda: _document(title, [time_card(summary, run)], script()))


def _part(panel: Panel) -> ChartPart:
    keys = [(line.kind, line.name) for line in panel.lines] + [(mark.kind, mark.name) for mark in panel.marks]
    return ChartPart(panel.title, panel.note, panel.picture, keys)


@card_of.register
def _(result: Result) -> str:
    summary = result.summary
    warnings = [line for line in summary["warnings"] if not line.startswith(NULL)]
    return within("".join([*headline(summary, columns_of(result)), notes(warnings, "notes")]))


@picture_of.register
def _(fit: PoissonFit) -> Picture:
    title = f"fit of {fit.symbol or 'points'} {fit.day or ''}".strip()
    return _picture(title, [curve_part(fit.points, fit)])


@card_of.register
def _(fit: PoissonFit) -> str:
    warnings = ([] if fit.usable else [f"{fit.status}: {fit.reason}"]) + list(fit.warnings)
    return within(fit_header(fit) + fit_tiles(fit) + notes(warnings, "notes"))


@picture_of.register
def _(schedule: Schedule) -> Picture:
    title = f"schedule of {schedule.symbol} {schedule.day}"
    if not schedule.segments:
        return _picture(title, [ChartPart("Segments", "", nothing("The day is not longer than the training window."))])
    rows = segments_of(schedule)
    notes_of = {"k": "1/tick, of each segment, with the 95 % interval of its training", "A": "1/s, likewise"}
    keys = [(f"whisker {kind}", name) for kind, name in SOURCES[:2]] + [SOURCES[2]]
    return _picture(
        title, [ChartPart(name, note, parameter_chart(rows, name), keys) for name, note in notes_of.items()]
    )


@card_of.register
def _(schedule: Schedule) -> str:
    shown = header(schedule.symbol, schedule.day, schedule_line(schedule.to_json(), "schedule"))
    return within(shown + _schedule_tiles(schedule))


def _schedule_tiles(schedule: Schedule) -> str:
    """Return how many segments have parameters, and the range of these."""
    sources = [segment.source for segment in schedule.segments]
    others = [f"{sources.count(name)} {name}" for name in ("carried", "default", "none") if name in sources]
    found = [tile("Segments fitted", f"{sources.count('fitted')} of {len(sources)}", ", ".join(others) or "all")]
    for name, unit in (("A", "1/s"), ("k", "1/tick")):
        values = sorted(value for one in schedule.segments if (value := getattr(one, name)) is not None)
        span = f"{number(values[0], 3)} to {number(values[-1], 3)}" if values else "no segment has any"
        found.append(tile(f"{name}, {unit}, median", number(values[len(values) // 2]) if values else "–", span))
    return tiles(*found)


@picture_of.register
def _(tape: Tape) -> Picture:
    return _picture(f"tape of {tape.symbol} {', '.join(tape.days)}", tape_parts(tape))


@card_of.register
def _(tape: Tape) -> str:
    grid_of, first = tape.instrument, int(np.searchsorted(tape.event_us, tape.start_us))
    kinds = np.bincount(tape.kind[first:], minlength=max(KIND_NAMES) + 1)
    counted = ", ".join(f"{kinds[kind]:,} {name}" for kind, name in KIND_NAMES.items() if kinds[kind] and kind != TRADE)
    line = f"{minute(tape.start_us)} – {minute(tape.end_us)} UTC"
    best = tape.best_prices_frame()
    spread = best["spread"].median()
    shown = tiles(
        tile("Covers", lasting((tape.end_us - tape.start_us) / US_PER_S), f"{len(tape) - first:,} events"),
        tile("Trades", f"{kinds[TRADE]:,}", f"of {float(tape.trades_frame()['qty'].sum()):,.6g} {grid_of.base_asset}"),
        tile("Book events", f"{int(kinds.sum() - kinds[TRADE]):,}", counted),
        tile("Tick", short(float(grid_of.price(1))), f"quantity step {short(float(grid_of.qty(tape.step_lots)))}"),
        tile("Spread, median", number(spread if isinstance(spread, float) else None), "of the changes of best prices"),
    )
    warnings = notes([*tape.meta.warnings, *tape.meta.excluded], "notes")
    return within(header(tape.symbol, ", ".join(tape.days), line) + shown + warnings)


@card_of.register
def _(forward: WalkForward) -> str:
    summary = forward.result.summary
    shown = [*headline(summary, columns_of(forward.result)), _schedule_tiles(forward.schedule)]
    warnings = [line for line in summary["warnings"] if not line.startswith(NULL)]
    return within("".join([*shown, notes(warnings, "notes")]))
