"""Display in notebooks: the charts of the pages as one picture, and the head of a page as a card.

`mm.notebook` calls both functions; each kind of object is registered here with its drawing function.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial, singledispatch
from html import escape
from typing import Any

import numpy as np

from mm.backtest.metrics.notes import NULL
from mm.backtest.result import Result
from mm.calibration.fit_result import PoissonFit
from mm.calibration.schedule import Schedule
from mm.clock import US_PER_S
from mm.instrument import E8
from mm.notebook import Picture
from mm.numbers import duration, number, short
from mm.report import frame
from mm.report.backtest import headline, time_card, title_of
from mm.report.backtest_charts import COUNT_BARS, SIDES, merged, panels
from mm.report.calibration import fit_header, fit_tiles
from mm.report.calibration_charts import curve_part, residual_part
from mm.report.run_columns import RunColumns, columns_of, equity_curve
from mm.report.segment_charts import parameter_chart
from mm.report.svg import WIDE, Plot, padded, steps
from mm.report.sweep_picture import sweep_parts
from mm.report.timeline import script
from mm.report.walkforward import SOURCES, schedule_line, segments_of
from mm.tape.frames import floats
from mm.tape.tape import KIND_NAMES, TRADE, Tape
from mm.walkforward.walkforward import WalkForward

PRICE_HEIGHT, SPREAD_HEIGHT, TRADES_HEIGHT = 290, 130, 150


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


def _picture(title: str, parts: Sequence[frame.ChartPart]) -> Picture:
    """Return *parts* as a stacked picture; their page has one card for each."""
    page = partial(_document, title, [part.card() for part in parts])
    return Picture(title, frame.standalone(frame.stacked(parts, title, WIDE)), page)


def _document(title: str, parts: Sequence[str], code: str = "") -> str:
    return frame.document(title, [f"<h1>{escape(title)}</h1>", *parts], code)


@picture_of.register
def _(result: Result) -> Picture:
    return backtest_picture(result.summary, columns_of(result))


def backtest_picture(summary: Mapping[str, Any], run: RunColumns) -> Picture:
    """Return the charts over time of a backtest, from its numbers and its columns."""
    title = f"backtest of {title_of(summary)}"
    if not len(run.state["recv_us"]):
        return _picture(title, [frame.ChartPart("Over time", "", frame.nothing("There are no state rows."))])
    picture = _picture(title, result_parts(summary, run))
    return Picture(title, picture.svg, lambda: _document(title, [time_card(summary, run)], script()))


def result_parts(summary: Mapping[str, Any], run: RunColumns) -> list[frame.ChartPart]:
    """Return the static charts over time of a backtest with at least one state row."""
    parts = [
        frame.ChartPart(
            one.title,
            one.note,
            one.picture,
            [(line.kind, line.name) for line in one.lines] + [(mark.kind, mark.name) for mark in one.marks],
        )
        for one in panels(run, equity_curve(run), summary)
    ]
    if len(run.fills["recv_us"]):  # only the script draws quotes, best prices and prints
        parts[0] = replace(parts[0], title="Price and fills")
    else:
        parts[0] = replace(parts[0], title="Price")
    return parts


@card_of.register
def _(result: Result) -> str:
    return backtest_card(result.summary, columns_of(result))


def backtest_card(summary: Mapping[str, Any], run: RunColumns) -> str:
    """Return the head of a backtest's page as a card."""
    warnings = [line for line in summary["warnings"] if not line.startswith(NULL)]
    return frame.boxed("".join([*headline(summary, run), frame.notes(warnings, "notes")]))


@picture_of.register
def _(fit: PoissonFit) -> Picture:
    title = f"fit of {fit.symbol or 'points'} {fit.day or ''}".strip()
    rest = [] if fit.points is None else [residual_part(fit.points, fit)]
    return _picture(title, [curve_part(fit.points, fit), *rest])


@card_of.register
def _(fit: PoissonFit) -> str:
    warnings = ([] if fit.usable else [f"{fit.status}: {fit.reason}"]) + list(fit.warnings)
    return frame.boxed(fit_header(fit, frame.About()) + fit_tiles(fit) + frame.notes(warnings, "notes"))


@picture_of.register
def _(schedule: Schedule) -> Picture:
    title = f"schedule of {schedule.symbol} {schedule.day}"
    if not schedule.segments:
        return _picture(
            title, [frame.ChartPart("Segments", "", frame.nothing("The day is not longer than the training window."))]
        )
    rows = segments_of(schedule)
    notes_of = {"k": "1/tick, of each segment, with the 95 % interval of its training", "A": "1/s, of each segment"}
    keys = [(f"whisker {kind}", name) for kind, name in SOURCES[:2]] + [SOURCES[2]]
    return _picture(
        title, [frame.ChartPart(name, note, parameter_chart(rows, name), keys) for name, note in notes_of.items()]
    )


@card_of.register
def _(schedule: Schedule) -> str:
    shown = frame.header(schedule.symbol, schedule.day, schedule_line(schedule.to_json(), "schedule"))
    return frame.boxed(shown + _schedule_tiles(schedule))


def _schedule_tiles(schedule: Schedule) -> str:
    """Return the number of segments with parameters, and the range of the parameters."""
    sources = [segment.source for segment in schedule.segments]
    others = [f"{sources.count(name)} {name}" for name in ("carried", "default", "none") if name in sources]
    found = [frame.tile("Segments fitted", f"{sources.count('fitted')} of {len(sources)}", ", ".join(others) or "all")]
    for name, unit in (("A", "1/s"), ("k", "1/tick")):
        values = sorted(value for one in schedule.segments if (value := getattr(one, name)) is not None)
        span = f"{number(values[0], 3)} to {number(values[-1], 3)}" if values else "no segment has any"
        found.append(frame.tile(f"{name}, {unit}, median", number(values[len(values) // 2]) if values else "–", span))
    return frame.tiles(*found)


def sweep_picture(content: Mapping[str, Any], *series: Any) -> Picture:
    """Return the grid of a sweep, its best points and, with *series* as of `sweep_parts`, the PnL of its trials."""
    return _picture(f"sweep of {content['points']} points", sweep_parts(content, *series))


@picture_of.register
def _(tape: Tape) -> Picture:
    return _picture(f"tape of {tape.symbol} {', '.join(tape.days)}", _tape_parts(tape))


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
            "Tick", short(float(grid_of.price(1))), f"quantity step {short(float(grid_of.qty(tape.step_lots)))}"
        ),
        frame.tile(
            "Spread, median", number(spread if isinstance(spread, float) else None), "of the changes of best prices"
        ),
    )
    warnings = frame.notes([*tape.meta.warnings, *tape.meta.excluded], "notes")
    return frame.boxed(frame.header(tape.symbol, ", ".join(tape.days), line) + shown + warnings)


@card_of.register
def _(forward: WalkForward) -> str:
    summary = forward.result.summary
    shown = [*headline(summary, columns_of(forward.result)), _schedule_tiles(forward.schedule)]
    warnings = [line for line in summary["warnings"] if not line.startswith(NULL)]
    return frame.boxed("".join([*shown, frame.notes(warnings, "notes")]))


def _tape_parts(tape: Tape) -> list[frame.ChartPart]:
    """Return the charts of a tape's window, from top to bottom; stretches without a valid book are shaded."""
    grid = tape.instrument
    assets = {"symbol": tape.symbol, "base_asset": grid.base_asset, "quote_asset": grid.quote_asset}
    base, quote = frame.base_asset(assets), frame.quote_asset(assets)
    trades = (("buy", "bought by aggressors"), ("sell", "sold by aggressors"))
    return [
        frame.ChartPart("Mid price", quote, _best_chart(tape, "mid"), (("price", "mid"), ("off", "no valid book"))),
        frame.ChartPart(
            "Spread", f"{quote}, best ask less best bid", _best_chart(tape, "spread"), (("line", "spread"),)
        ),
        frame.ChartPart("Traded", f"{base}, in {COUNT_BARS} equal stretches", _trades_chart(tape), trades),
    ]


def _window(tape: Tape) -> tuple[float, float]:
    """Return the first and the last instant of the charts."""
    return float(tape.start_us), float(max(tape.end_us, tape.start_us + 1_000_000))


def _best_chart(tape: Tape, name: str) -> str:
    """Draw the mid or the spread as a step line."""
    bid, ask = tape.top_bid_ticks, tape.top_ask_ticks
    first = max(0, int(np.searchsorted(tape.event_us[tape.top_event], tape.start_us, side="right")) - 1)
    us = np.maximum(tape.event_us[tape.top_event], tape.start_us)[first:]
    units, per = (bid + ask, 2 * E8) if name == "mid" else (ask - bid, E8)
    values = np.where((bid > 0) & (ask > 0), floats(units, tape.instrument.tick_e8, per), np.nan)[first:]
    known = values[~np.isnan(values)]
    if not len(known):
        return frame.nothing("The book was never valid.")
    us, values = np.append(us, tape.end_us), np.append(values, values[-1])
    if name == "mid":
        plot = Plot(WIDE, PRICE_HEIGHT, _window(tape), padded(float(known.min()), float(known.max())))
    else:
        plot = Plot(WIDE, SPREAD_HEIGHT, _window(tape), (0.0, padded(0.0, float(known.max()))[1]))
    edges = np.flatnonzero(np.diff(np.isnan(values), prepend=False, append=False))
    off = np.append(us, us[-1:])[edges].reshape(-1, 2)
    return plot.picture(
        plot.spans(merged(off, plot.x), "off", "no valid book"),
        plot.value_axis(most=6 if name == "mid" else 4),
        plot.time_axis(),
        plot.line(*steps(us, values), "price" if name == "mid" else "line"),
        title=f"{'Mid price' if name == 'mid' else 'Spread'} over time",
    )


def _trades_chart(tape: Tape) -> str:
    """Draw the quantity traded in equal spans of time: buyers upwards, sellers downwards."""
    at = tape.trades[np.searchsorted(tape.event_us[tape.trades], tape.start_us) :]
    if not len(at):
        return frame.nothing("There are no trades.")
    row = tape.first_row[at]
    side, qty = tape.row_side[row], floats(tape.row_lots[row], tape.instrument.lot_e8)
    edges = np.linspace(*_window(tape), COUNT_BARS + 1)
    sums = {sign: np.histogram(tape.event_us[at], edges, weights=qty * (side == sign))[0] for _, sign, _, _ in SIDES}
    most = max(float(one.max()) for one in sums.values())
    plot = Plot(WIDE, TRADES_HEIGHT, _window(tape), (-1.08 * most, 1.08 * most))
    bars = [plot.columns(edges, sign * sums[sign], kind) for _, sign, kind, _ in SIDES]
    return plot.picture(plot.value_axis(_size, 5), *bars, plot.time_axis(), title="Traded quantity over time")


def _size(value: float) -> str:
    return f"{abs(value):,.6g}"
