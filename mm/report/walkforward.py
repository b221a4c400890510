"""The page of a walk-forward or a schedule: its fits and the PnL."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.notes import NULL
from mm.backtest.metrics.numbers import Summary
from mm.backtest.summary_text import tried_of
from mm.base.arrays import Floats
from mm.base.numbers import duration, number, short
from mm.calibration.shared_strength import strength_text
from mm.report.backtest import activity_rows, data_card, sensitivity_card, split_card
from mm.report.calibration import clusters_card
from mm.report.contents import BACKTEST, METRICS, PAGE, SCHEDULE, SUMMARY, read_content
from mm.report.frame import (
    About,
    Amount,
    Cell,
    Row,
    card,
    chart,
    document,
    earnings,
    grid,
    header,
    minute,
    notes,
    nothing,
    origin,
    pair,
    quote_asset,
    table,
    tile,
    tiles,
    zoom_bar,
)
from mm.report.run_columns import EquityCurve, RunColumns, equity_curve, read_columns
from mm.report.segment_charts import earned, segments_figure, shapes_card, step_s
from mm.walkforward.window_metrics import SegmentRows, read_segments
from mm.walkforward.window_shapes import FILE, WindowShape

if TYPE_CHECKING:
    from mm.calibration.schedule import Schedule

Content = Mapping[str, Any]


def page(
    folder: Path,
    about: About | None = None,
    now: Content | None = None,
    run: RunColumns | None = None,
    *,
    warnings: Sequence[str] = (),
) -> str:
    """Return the page as HTML; *run* is read from the files if None.

    *now* replaces entries of the summary that are known or were played after the run.
    """
    about = about or About()
    schedule = read_content(folder / SCHEDULE)
    rows = read_segments(folder / METRICS)
    traded = (folder / BACKTEST).is_dir()
    kind = "walk-forward" if traded else "schedule"
    title = f"{schedule['symbol']} {schedule['day']}"
    summary = Summary.read({**read_content(folder / BACKTEST / SUMMARY), **(now or {})}) if traded else None
    head = header(str(schedule["symbol"]), str(schedule["day"]), schedule_line(schedule, kind) + about.name)
    body = [head, _tiles(rows, summary), _notes(rows, summary, warnings)]
    if not len(rows):
        body.append(card("Segments", "", nothing("No segment: the day is not longer than the training window.")))
    else:
        if traded and run is None:
            run = read_columns(folder / BACKTEST, schedule["symbol"])
        over = equity_curve(run) if run is not None and len(run.state["recv_us"]) else None
        if over is not None:
            rows = replace(rows, extent=(min(over.x[0], rows.x[0]), max(over.x[1], rows.x[1])))
        if summary is not None:
            rows = replace(rows, spans=summary.spans or ())  # an earlier version wrote none
        body.append(_over_time(rows, over, summary))
        if summary is not None:
            body += _traded(summary, about.folder)
        if schedule.get("clustering") is not None:
            body.append(clusters_card(schedule["clustering"], "Fitted to the first training window. "))
        path = folder / FILE
        windows = read_content(path)["windows"] if path.exists() else []  # an earlier version made the run
        shapes = shapes_card([WindowShape.from_json(window, str(path)) for window in windows])
        body += [shapes, _data(rows, summary, run, strength_text(schedule)), _table(rows, over, summary)]
    return document(f"{title} · {kind}", [*body, origin(about)], about.plotly)


def schedule_line(schedule: Content, kind: str) -> str:
    train, step = (number(schedule[f"{name}_min"]) for name in ("train_window", "step"))
    return f"{kind}: windows of {train} min, every {step} min, {escape(str(schedule['fallback_policy']))}"


def segments_of(schedule: "Schedule") -> SegmentRows:
    none = (None, None)
    plain = ("start_us", "end_us", "A", "k", "A_shrunk", "k_shrunk")
    names = (*plain, "A_low", "A_high", "k_low", "k_high")
    rows = [
        (*(getattr(each, name) for name in plain), *(each.ci95_A or none), *(each.ci95_k or none))
        for each in schedule.segments
    ]
    numbers = dict(zip(names, np.array(rows, np.float64).reshape(-1, len(names)).T, strict=True))
    return SegmentRows(numbers, {"source": [segment.source for segment in schedule.segments]})


def _tiles(rows: SegmentRows, summary: Summary | None) -> str:
    sources = rows.words["source"]
    counts = [(name, sources.count(name)) for name in ("carried", "default", "none")]
    others = [f"{count} {name}" for name, count in counts if count]
    held = [age for age, source in zip(rows.numbers["age_s"], sources, strict=True) if source == "carried"]
    age = f", up to {duration(float(max(held)))} old" if held else ""
    first = earnings(summary) if summary else [_spread(rows, "k", "1/tick"), _spread(rows, "A", "1/s")]
    return tiles(
        *first,
        tile(
            "Segments fitted", f"{sources.count('fitted')} of {len(rows)}", (", ".join(others) or "none carried") + age
        ),
    )


def _spread(rows: SegmentRows, name: str, unit: str) -> str:
    values = rows.numbers[name][~np.isnan(rows.numbers[name])]
    ends = f"from {number(float(values.min()), 3)} to {number(float(values.max()), 3)}" if len(values) else "none"
    return tile(f"{name}, median", number(_median(rows, name)), ends, unit=unit)


def _notes(rows: SegmentRows, summary: Summary | None, more: Sequence[str]) -> str:
    warnings = [] if summary is None else [line for line in summary.warnings if not line.startswith(NULL)]
    if summary is not None and (said := tried_of(summary)):
        warnings.insert(0, f"trials: {said}")
    if len(rows) and np.isnan(rows.numbers["A"]).all():
        status, reason = rows.words["status"][-1], rows.words["reason"][-1]
        warnings.append(f"no segment has parameters, so there were no quotes; the last one: {status}, {reason}")
    return notes([*warnings, *more])


def _over_time(rows: SegmentRows, over: EquityCurve | None, summary: Summary | None) -> str:
    quote = "" if summary is None else quote_asset(summary)
    hint = (
        "All charts share one time axis; a segment is traded with a fit of earlier data. Point at a mark for its "
        "numbers; those beyond the scale are at its edge. Shaded: nothing is quoted."
    )
    charts = chart(segments_figure(rows, over, quote))
    return card("Over time", hint, zoom_bar("segment", step_s(rows)) + charts)


def _traded(summary: Summary, folder: str) -> list[str]:
    own = f"{BACKTEST}/{PAGE}"
    link: Row = ("the backtest's own page", f'<a href="{escape(folder + own)}">{own}</a>')
    split = split_card(summary)
    return [
        pair(split, card("The backtest in numbers", "Orders and fills.", table("", [*activity_rows(summary), link]))),
        sensitivity_card(summary),
    ]


def _data(rows: SegmentRows, summary: Summary | None, run: RunColumns | None, shared: str) -> str:
    words = zip(*(rows.words[name] for name in ("status", "reason", "source")), strict=True)
    reasons = Counter(f"{status}: {reason}".strip(": ") for status, reason, source in words if source != "fitted")
    oldest = _extreme(rows, "age_s", np.nanmax)
    poor = sum(status != "ok" for status in rows.words["status"])
    fitted: list[Row] = [
        ("segments whose fit has a warning", f"{poor} of {len(rows)}"),
        ("oldest parameters used", "–" if oldest is None else f"{number(oldest / 60, 3)} min"),
        ("dispersion in training, median", number(_median(rows, "train_dispersion"))),
        ("fills in a training window, fewest", number(_extreme(rows, "n_fills", np.nanmin))),
        *((reason, f"{count} segments") for reason, count in reasons.items()),
    ]
    hint = "Parameters used by the segments." + (f" {escape(shared)}." if shared else "")
    quality = card("Fits", hint, table("", fitted))
    if summary is None or run is None:
        return quality
    return pair(data_card(summary, run), quality)


def _extreme(rows: SegmentRows, name: str, extreme: Callable[[Floats], Any]) -> float | None:
    values = rows.numbers[name]
    return None if np.isnan(values).all() else float(extreme(values))


def _median(rows: SegmentRows, name: str) -> float | None:
    values = np.sort(rows.numbers[name][~np.isnan(rows.numbers[name])])
    return float(values[len(values) // 2]) if len(values) else None


def _table(rows: SegmentRows, over: EquityCurve | None, summary: Summary | None) -> str:
    quote = "" if summary is None else quote_asset(summary)
    pnl = None if over is None else earned(over, rows)
    head = ["from, UTC", "source", "A, 1/s", "k, 1/tick", "A, shrunk, 1/s", "k, shrunk, 1/tick", "fills in training"]
    names = ("start_us", "A", "k", "A_shrunk", "k_shrunk", "n_fills")
    columns = (rows.numbers[name].tolist() for name in names)
    cells = []
    for i, (start_us, *parameters, trained) in enumerate(zip(*columns, strict=True)):
        row: list[Cell] = [
            minute(int(start_us)),
            escape(rows.words["source"][i]),
            *(Amount(value, plus=False) for value in parameters),
            "–" if math.isnan(trained) else short(trained),
        ]
        cells.append([*row, Amount(float(pnl[i]))] if pnl is not None else row)
    hint = (
        "Names as in window_metrics.csv, which has more columns. Shrunk: to the mean of earlier segments, not traded."
    )
    return card("All segments", hint, grid([*head, f"PnL, {quote}"] if pnl is not None else head, cells))
