"""Display in notebooks: the charts of the pages, and the head of a page as a card.

Each kind of object registers here how `mm.base.notebook` draws it.
"""

import json
from collections.abc import Mapping, Sequence
from functools import singledispatch
from html import escape
from typing import Any

import numpy as np

from mm.backtest.metrics.notes import NULL
from mm.backtest.metrics.numbers import Summary
from mm.backtest.result import Result
from mm.backtest.summary_text import tried_of
from mm.base.arrays import Floats
from mm.base.notebook import Picture
from mm.base.numbers import duration, number, short
from mm.calibration.fit_result import PoissonFit
from mm.calibration.schedule import Schedule
from mm.clock import US_PER_S
from mm.instrument import E8
from mm.report import frame
from mm.report.backtest import headline, title_of
from mm.report.backtest_charts import COUNT_BARS, SIDES, whole_figure
from mm.report.calibration import fit_header, fit_tiles
from mm.report.calibration_charts import curve_figure, distances_figure
from mm.report.evaluation import evaluation_figures
from mm.report.figures import (
    FROM_ZERO,
    SOFT,
    Figure,
    Panel,
    Trace,
    bars,
    merged,
    ms,
    stacked,
    step,
    time_axis,
    to_json,
)
from mm.report.run_columns import RunColumns, columns_of
from mm.report.segment_charts import parameters_figure
from mm.report.sweep_charts import grid_figures, pnl_figure, ranking_figure
from mm.report.walkforward import schedule_line, segments_of
from mm.tape.frames import floats
from mm.tape.tape import KIND_NAMES, TRADE, Tape
from mm.walkforward.walkforward import WalkForward


@singledispatch
def picture_of(thing: object) -> Picture:
    raise TypeError(f"{type(thing).__name__} has no charts; results, fits, schedules and tapes have")


@singledispatch
def card_of(thing: object) -> str:
    raise TypeError(f"{type(thing).__name__} has no card; results, fits, schedules and tapes have")


def plain_charts(picture: Picture) -> list[tuple[str, Any]]:
    return [(heading, json.loads(to_json(figure))) for heading, figure in picture.charts]


def picture_page(picture: Picture) -> str:
    cards = [frame.card(escape(heading), "", frame.chart(figure)) for heading, figure in picture.charts]
    over_time = any(figure["layout"]["xaxis"].get("type") == "date" for _, figure in picture.charts)
    cards = [frame.zoom_bar(), *cards] if over_time else cards
    note = [frame.nothing(escape(picture.note))] if picture.note else []
    return frame.document(picture.title, [f"<h1>{escape(picture.title)}</h1>", *cards, *note])


def _picture(title: str, charts: Sequence[tuple[str, Figure | None]], none: str) -> Picture:
    known = [(heading, figure) for heading, figure in charts if figure is not None]
    return Picture(title, known, "" if known else none)


@picture_of.register
def _(result: Result) -> Picture:
    return backtest_picture(result.summary, columns_of(result))


def backtest_picture(content: Mapping[str, Any], run: RunColumns) -> Picture:
    summary = Summary.read(content)
    title = f"backtest of {title_of(summary)}"
    drawn = whole_figure(run, run.curve, summary) if len(run.state["recv_us"]) else None
    return _picture(title, [("Over time", drawn)], "there are no state rows")


@card_of.register
def _(result: Result) -> str:
    return backtest_card(result.summary, columns_of(result))


def backtest_card(content: Mapping[str, Any], run: RunColumns) -> str:
    summary = Summary.read(content)
    said = tried_of(summary)
    lines = [*([f"trials: {said}"] if said else []), *summary.warnings]
    notes = frame.notes([line for line in lines if not line.startswith(NULL)])
    return frame.boxed("".join([*headline(summary, run), notes]))


@picture_of.register
def _(fit: PoissonFit) -> Picture:
    title = f"fit of {fit.symbol or 'points'} {fit.day or ''}".strip()
    drawn = curve_figure(None, fit) if fit.points is None else distances_figure(fit.points, fit.points, fit)
    return _picture(title, [("How often trades reach each distance", drawn)], "no fills at any distance")


@card_of.register
def _(fit: PoissonFit) -> str:
    warnings = ([] if fit.usable else [f"{fit.status}: {fit.reason}"]) + list(fit.warnings)
    return frame.boxed(fit_header(fit, frame.About()) + fit_tiles(fit) + frame.notes(warnings))


@picture_of.register
def _(schedule: Schedule) -> Picture:
    title = f"schedule of {schedule.symbol} {schedule.day}"
    if not schedule.segments:
        return _picture(title, [], "the day is not longer than the training window")
    return _picture(title, [("Segments", parameters_figure(segments_of(schedule)))], "no segment has parameters")


@card_of.register
def _(schedule: Schedule) -> str:
    shown = frame.header(schedule.symbol, schedule.day, schedule_line(schedule.to_json(), "schedule"))
    return frame.boxed(shown + _schedule_tiles(schedule))


def _schedule_tiles(schedule: Schedule) -> str:
    sources = [segment.source for segment in schedule.segments]
    others = [f"{sources.count(name)} {name}" for name in ("carried", "default", "none") if name in sources]
    tiles = [frame.tile("Segments fitted", f"{sources.count('fitted')} of {len(sources)}", ", ".join(others) or "all")]
    for name, unit in (("A", "1/s"), ("k", "1/tick")):
        values = sorted(value for segment in schedule.segments if (value := getattr(segment, name)) is not None)
        span = f"{number(values[0], 3)} to {number(values[-1], 3)}" if values else "no segment has any"
        middle = number(values[len(values) // 2]) if values else "–"
        tiles.append(frame.tile(f"{name}, median", middle, span, unit=unit))
    return frame.tiles(*tiles)


def sweep_picture(
    content: Mapping[str, Any],
    start_us: Floats | None = None,
    columns: Sequence[int] = (),
    pnl: Floats | None = None,
) -> Picture:
    rank_by = content["rank_by"]
    charts: list[tuple[str, Figure | None]] = [
        (title or f"{rank_by} over the grid", figure)
        for title, figure in grid_figures(content["rows"], content["axes"], rank_by)
    ]
    charts.append((f"The best points by {rank_by}", ranking_figure(content)))
    if start_us is not None and pnl is not None and len(start_us) > 1:
        charts.append(("PnL of every trial", pnl_figure(content, start_us, columns, pnl)))
    return _picture(f"sweep of {content['points']} points", charts, "no point has a result")


def evaluation_picture(content: Mapping[str, Any]) -> Picture:
    return _picture(
        f"evaluation of {content['daily']['days']:,} days", evaluation_figures(content), "no day was played"
    )


@picture_of.register
def _(tape: Tape) -> Picture:
    return _picture(
        f"tape of {tape.symbol} {', '.join(tape.days)}", [("Over time", tape_figure(tape))], "the book was never valid"
    )


@card_of.register
def _(tape: Tape) -> str:
    grid_of, first = tape.instrument, int(np.searchsorted(tape.event_us, tape.start_us))
    kinds = np.bincount(tape.kind[first:], minlength=max(KIND_NAMES) + 1)
    counted = ", ".join(f"{kinds[kind]:,} {name}" for kind, name in KIND_NAMES.items() if kinds[kind] and kind != TRADE)
    line = f"{frame.minute(tape.start_us)} – {frame.minute(tape.end_us)} UTC"
    best = tape.best_prices_frame()
    spread = best["spread"].median()
    shown = frame.tiles(
        frame.tile("Covers", duration((tape.end_us - tape.start_us) / US_PER_S), f"{len(tape) - first:,} events"),
        frame.tile(
            "Trades", f"{kinds[TRADE]:,}", f"of {float(tape.trades_frame()['qty'].sum()):,.6g} {grid_of.base_asset}"
        ),
        frame.tile("Book events", f"{int(kinds.sum() - kinds[TRADE]):,}", counted),
        frame.tile(
            "Tick",
            short(float(grid_of.price(1))),
            f"quantity step {short(float(grid_of.qty(tape.step_lots)))} {escape(grid_of.base_asset)}",
            unit=escape(grid_of.quote_asset),
        ),
        frame.tile(
            "Spread, median", number(spread if isinstance(spread, float) else None), "of the changes of best prices"
        ),
    )
    warnings = frame.notes([*tape.meta.warnings, *tape.meta.excluded])
    return frame.boxed(frame.header(tape.symbol, ", ".join(tape.days), line) + shown + warnings)


@card_of.register
def _(forward: WalkForward) -> str:
    summary = Summary.read(forward.result.summary)
    shown = [*headline(summary, columns_of(forward.result)), _schedule_tiles(forward.schedule)]
    warnings = [line for line in summary.warnings if not line.startswith(NULL)]
    return frame.boxed("".join([*shown, frame.notes(warnings)]))


def tape_figure(tape: Tape) -> Figure | None:
    grid = tape.instrument
    base, quote = frame.base_asset(grid), frame.quote_asset(grid)
    bid, ask = tape.top_bid_ticks, tape.top_ask_ticks
    first = max(0, int(np.searchsorted(tape.event_us[tape.top_event], tape.start_us, side="right")) - 1)
    us = np.append(np.maximum(tape.event_us[tape.top_event], tape.start_us)[first:], tape.end_us)
    mid, spread = (
        np.where((bid > 0) & (ask > 0), floats(units, grid.tick_e8, per), np.nan)[first:]
        for units, per in ((bid + ask, 2 * E8), (ask - bid, E8))
    )
    if np.isnan(mid).all():
        return None
    mid, spread = (np.append(values, values[-1]) for values in (mid, spread))
    edges = np.flatnonzero(np.diff(np.isnan(mid), prepend=False, append=False))
    off = np.append(us, us[-1:])[edges].reshape(-1, 2)
    window = float(tape.start_us), float(max(tape.end_us, tape.start_us + US_PER_S))
    panels = [
        Panel("Mid price", quote, [step("mid", us, mid, SOFT)], 290),
        Panel("Spread", f"{quote}, best ask less best bid", [step("spread", us, spread)], 130, FROM_ZERO),
        Panel("Traded", f"{base}, buyers upwards, in {COUNT_BARS} equal stretches", _traded(tape, window), 150),
    ]
    return stacked(panels, time_axis(*window), merged(off, window))


def _traded(tape: Tape, window: tuple[float, float]) -> list[Trace]:
    at = tape.trades[np.searchsorted(tape.event_us[tape.trades], tape.start_us) :]
    row, edges = tape.first_row[at], np.linspace(*window, COUNT_BARS + 1)
    side, qty = tape.row_side[row], floats(tape.row_lots[row], tape.instrument.lot_e8)
    traces = []
    for (_, sign, colour, _), name in zip(SIDES, ("bought by aggressors", "sold by aggressors"), strict=True):
        sums = np.histogram(tape.event_us[at], edges, weights=qty * (side == sign))[0]
        traces.append(bars(name, ms((edges[1:] + edges[:-1]) / 2), sign * sums, colour))
    return traces
