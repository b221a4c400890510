"""The page of a walk-forward, and of a schedule: what was fitted, how it did on unseen data, what it earned."""

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.notes import NULL
from mm.clock import iso
from mm.errors import BrokenFile
from mm.numbers import number, short, signed
from mm.report.backtest import data_card, sensitivity_card, split_card
from mm.report.frame import (
    About,
    Row,
    abreast,
    card,
    document,
    earnings,
    estimate,
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
    wide,
)
from mm.report.run_columns import Course, RunColumns, course, read_columns
from mm.report.svg import HALF, NORMAL_95, WIDE, Plot, bar, padded
from mm.walkforward.out_of_sample import SegmentRows, read_segments

if TYPE_CHECKING:
    from mm.calibration.points import Floats
    from mm.calibration.schedule import Schedule
    from mm.report.run_columns import Course
    from mm.walkforward.out_of_sample import SegmentRows

SCHEDULE, METRICS, UNSEEN, BACKTEST = "poisson_schedule.json", "window_metrics.csv", "oos_metrics.json", "backtest"
INSIDE = (("buy", "1 is inside the interval"), ("sell", "1 is outside"))
SOURCES = (("buy", "fitted"), ("sell", "carried or default"), ("off", "none: nothing is quoted"))
USUAL, OTHER = "whisker buy", "whisker sell"
FAR = 5.0  # times the median, beyond which the end of an interval is cut
LEAST_EXPECTED = 0.5  # fills of a distance whose ratio is drawn
MOST_DISTANCES = 24
Content = Mapping[str, Any]


def page(
    folder: Path, about: About | None = None, honesty: Content | None = None, run: RunColumns | None = None
) -> str:
    """Return the page of the run in *folder* as HTML.

    Args:
        folder: With the schedule and its metrics; a walk-forward's has a backtest's folder, too.
        about: The command and the knobs, to print at the end.
        honesty: The honesty block, where it was played after the run.
        run: The columns of the backtest, where they need not be read from its files.

    Raises:
        BrokenFile: If a file of the run cannot be read.
    """
    about = about or About()
    schedule, unseen = _content(folder / SCHEDULE), _content(folder / UNSEEN)
    rows = read_segments(folder / METRICS)
    traded = (folder / BACKTEST).is_dir()
    kind = "walk-forward" if traded else "schedule"
    title = f"{schedule['symbol']} {schedule['day']}"
    summary = _content(folder / BACKTEST / "summary.json") if traded else None
    if summary is not None and honesty is not None:
        summary = {**summary, "honesty": honesty}
    body = [_header(schedule, kind, about), _tiles(rows, unseen, summary), _notes(rows, summary)]
    if not len(rows):
        body.append(card("Segments", "", nothing("No segment: the day is not longer than the training window.")))
    else:
        if traded and run is None:
            run = read_columns(folder / BACKTEST, schedule["symbol"])
        over = course(run) if run is not None and len(run.state["recv_us"]) else None
        if over is not None:
            rows = replace(rows, extent=(min(over.x[0], rows.x[0]), max(over.x[1], rows.x[1])))
        if summary is not None:
            body += _traded(summary, over, rows, about.folder)
        body += [
            abreast(*_fitted(rows), kind="wholes"),
            *_unseen(rows, unseen),
            _data(rows, summary, run),
            _table(rows, over),
        ]
    return document(f"{title} · {kind}", [*body, origin(about)])


def _content(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BrokenFile(f"{path}: cannot be read ({error}); make the run again") from error
    return found


def _header(schedule: Content, kind: str, about: About) -> str:
    return header(str(schedule["symbol"]), str(schedule["day"]), schedule_line(schedule, kind) + about.name)


def schedule_line(schedule: Content, kind: str) -> str:
    """Return in a line how the windows of a ``poisson_schedule.json`` follow each other."""
    train, step = (number(schedule[f"{name}_min"]) for name in ("train_window", "step"))
    return f"{kind}: windows of {train} min, every {step} min, {escape(str(schedule['fallback_policy']))}"


def segments_of(schedule: "Schedule") -> SegmentRows:
    """Return the segments of a schedule as rows; intervals are those of its standard errors (Wald, 95 %)."""
    names = ("start_us", "end_us", "A", "k", "se_k", "se_logA")
    rows = [[np.nan if (value := getattr(one, name)) is None else value for name in names] for one in schedule.segments]
    numbers = dict(zip(names, np.array(rows, np.float64).T, strict=True))
    off_k, off_A = NORMAL_95 * numbers["se_k"], np.exp(NORMAL_95 * numbers["se_logA"])
    numbers |= {"k_low": numbers["k"] - off_k, "k_high": numbers["k"] + off_k}
    numbers |= {"A_low": numbers["A"] / off_A, "A_high": numbers["A"] * off_A}
    return SegmentRows(numbers, {"source": [one.source for one in schedule.segments]})


def _tiles(rows: SegmentRows, unseen: Content, summary: Content | None) -> str:
    sources = rows.words["source"]
    counts = [(name, sources.count(name)) for name in ("carried", "default", "none")]
    others = [f"{count} {name}" for name, count in counts if count]
    used = unseen["modes"][unseen["mode"]]
    clock = unseen["time_rescaling"]
    expected = rows.numbers["test_expected"]
    seen = float(rows.numbers["test_fills"][~np.isnan(expected)].sum())
    ratio = seen / float(np.nansum(expected)) if np.nansum(expected) > 0 else None
    first = earnings(summary) if summary else [_spread(rows, "k", "k, 1/tick"), _spread(rows, "A", "A, 1/s")]
    return tiles(
        *first,
        tile("Segments fitted", f"{sources.count('fitted')} of {len(rows)}", ", ".join(others) or "none carried"),
        tile("Fills over expected", number(ratio, 3), f"{seen:,.0f} fills out of sample"),
        tile("Log-likelihood per fill", number(used["loglik_per_fill"]), f"unseen, {escape(unseen['mode'])} windows"),
        tile("Model's clock", number(clock["mean_wait"], 3), "1 where the model holds"),
    )


def _spread(rows: SegmentRows, name: str, title: str) -> str:
    values = rows.numbers[name][~np.isnan(rows.numbers[name])]
    ends = f"from {number(float(values.min()), 3)} to {number(float(values.max()), 3)}" if len(values) else "none"
    return tile(f"{title}, median", number(_median(rows, name)), ends)


def _notes(rows: SegmentRows, summary: Content | None) -> str:
    warnings = [] if summary is None else [line for line in summary["warnings"] if not line.startswith(NULL)]
    if len(rows) and np.isnan(rows.numbers["A"]).all():
        status, reason = rows.words["status"][-1], rows.words["reason"][-1]
        warnings.append(f"no segment has parameters, so there is nothing to trade on; the last one: {status}, {reason}")
    low, high = (rows.numbers[f"test_ratio_{end}"] for end in ("low", "high"))
    off, known = int(np.count_nonzero((low > 1) | (high < 1))), int(np.count_nonzero(~np.isnan(low)))
    if known and off > 0.2 * known:
        warnings.append(
            f"{off} of {known} segments had a number of fills outside the 95 % interval of their fit; "
            "with a right model it would be one in twenty"
        )
    return notes(warnings, "notes")


def _traded(summary: Content, over: Course | None, rows: SegmentRows, folder: str) -> list[str]:
    quote = quote_asset(summary)
    equity = card(
        "Equity",
        f"Change since the start, in {quote}; ticks are where a segment begins, bars what each earned.",
        nothing("There are no state rows.") if over is None else wide(equity_chart(over, rows)),
        (("off", "nothing is quoted"),),
    )
    named = ("n_orders", "n_fills", "predicted_fills", "fill_ratio", "two_sided_uptime", "max_drawdown", "psr")
    numbers: list[Row] = [(name, number(summary.get(name), 6)) for name in named]
    own = f"{BACKTEST}/report.html"
    numbers.append(("the backtest's own page", f'<a href="{escape(folder + own)}">{own}</a>'))
    return [
        equity,
        pair(
            split_card(summary),
            card("The backtest in numbers", "Names are those of its summary.json.", table("", numbers)),
        ),
        sensitivity_card(summary),
    ]


def _fitted(rows: SegmentRows) -> list[str]:
    return [
        card(
            "k over the day",
            "Of each segment, in 1/tick, with the 95 % interval of its training; a segment trades on what ended "
            "before it began.",
            wide(parameter_chart(rows, "k")),
            SOURCES,
        ),
        card("A over the day", "Likewise, in 1/s.", wide(parameter_chart(rows, "A")), SOURCES),
    ]


def _unseen(rows: SegmentRows, unseen: Content) -> list[str]:
    modes = [
        (
            f"<b>{escape(mode)}</b>" if mode == unseen["mode"] else escape(mode),
            number(one["loglik_per_fill"]),
            "used" if mode == unseen["mode"] else estimate(one["gain_over_used"], one["se_gain"]),
            number(one["foreseen"]),
            number(one["ratio"], 3),
        )
        for mode, one in unseen["modes"].items()
    ]
    return [
        abreast(
            card(
                "Out of sample",
                "Fills over expected fills of each segment, exact 95 % Poisson intervals; pale: off the scale.",
                wide(ratio_chart(rows)),
                INSIDE,
            ),
            card(
                "In sample and out of sample",
                "Fills per order-hour, blue in the segment and grey in its training window; far apart, the market "
                "moved on faster than the windows.",
                wide(rate_chart(rows)),
            ),
            kind="wholes",
        ),
        pair(
            card(
                "By distance",
                "Fills out of sample over those expected, by distance in ticks: where the curve has the wrong shape.",
                distance_chart(unseen["by_delta"]),
                INSIDE,
            ),
            card(
                "Other windows on the same data",
                f"Over {unseen['segments_compared']} segments and {unseen['fills_compared']:,.0f} fills; above 0 is "
                "better than what was used.",
                grid(("mode", "log-lik. per fill", "beside used", "expected", "ratio"), modes),
            ),
        ),
    ]


def _data(rows: SegmentRows, summary: Content | None, run: RunColumns | None) -> str:
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
    quality = card("Fits", "What the segments traded on.", table("", fitted))
    if summary is None or run is None:
        return quality
    return pair(data_card(summary, run), quality)


def _extreme(rows: SegmentRows, name: str, extreme: Callable[["Floats"], Any]) -> float | None:
    values = rows.numbers[name]
    return None if np.isnan(values).all() else float(extreme(values))


def _median(rows: SegmentRows, name: str) -> float | None:
    values = np.sort(rows.numbers[name][~np.isnan(rows.numbers[name])])
    return float(values[len(values) // 2]) if len(values) else None


def _table(rows: SegmentRows, over: Course | None) -> str:
    pnl = None if over is None else earned(over, rows)
    head = ["from", "source", "A", "k", "fills in training", "fills", "expected", "ratio", "95 %"]
    cells = []
    for i in range(len(rows)):
        one = {name: float(column[i]) for name, column in rows.numbers.items()}
        ends = (
            "–"
            if np.isnan(one["test_ratio"])
            else f"{number(one['test_ratio_low'], 3)} to " + number(one["test_ratio_high"], 3)
        )
        row = [
            minute(int(one["start_us"])),
            escape(rows.words["source"][i]),
            *(number(one[name]) for name in ("A", "k")),
            short(one["n_fills"]) if not np.isnan(one["n_fills"]) else "–",
            number(one["test_fills"]),
            number(one["test_expected"]),
            number(one["test_ratio"], 3),
            ends,
        ]
        cells.append([*row, signed(float(pnl[i]), 3)] if pnl is not None else row)
    hint = "Names and more columns are those of window_metrics.csv."
    return card("All segments", hint, grid([*head, "PnL"] if pnl is not None else head, cells))


def parameter_chart(rows: "SegmentRows", name: str) -> str:
    """Draw *name* (``A`` or ``k``) of every segment, with the 95 % interval of its own training where it was fitted."""
    value, low, high = (rows.numbers[column] for column in (name, f"{name}_low", f"{name}_high"))
    fitted = np.array([source == "fitted" for source in rows.words["source"]])
    known = ~np.isnan(value)
    if not known.any():
        return nothing("No segment has parameters.")
    ends = np.concatenate([value[known], high[fitted & ~np.isnan(high)]])
    top = min(float(ends.max()), FAR * float(np.median(value[known])))
    least = float(np.concatenate([value[known], low[fitted & ~np.isnan(low)]]).min())
    plot = Plot(WIDE, 190, rows.x, padded(min(least, top), top))
    marks = [_unquoted(plot, rows), plot.value_axis(most=5), plot.time_axis(), _steps(plot, rows, value)]
    for i in np.flatnonzero(known).tolist():
        own = fitted[i] and not math.isnan(low[i])
        bar_ends = (low[i], high[i]) if own else (value[i], value[i])
        interval = f", 95 % {number(low[i])} to {number(high[i])}" if own else ""
        title = f"{_when(rows, i)}: {name} = {number(value[i])}{interval}, {rows.words['source'][i]}"
        marks.append(plot.whisker(_middle(rows, i), value[i], bar_ends, _kind(fitted[i]), title))
    return plot.picture(*marks, title=f"{name} of each segment")


def ratio_chart(rows: "SegmentRows") -> str:
    """Draw fills over expected fills of every segment, on data that its fit did not use."""
    ratio, low, high = (rows.numbers[f"test_ratio{end}"] for end in ("", "_low", "_high"))
    known = np.flatnonzero(~np.isnan(ratio))
    if not len(known):
        return nothing("No segment expected a fill.")
    top = max(2.0, min(float(high[known].max()), FAR * max(float(np.median(ratio[known])), 0.5)))
    plot = Plot(WIDE, 190, rows.x, (0.0, top * 1.04))
    marks = [_unquoted(plot, rows), plot.value_axis(most=5), plot.time_axis(), plot.level(1.0)]
    for i in known.tolist():
        inside = low[i] <= 1 <= high[i]
        seen, mean = rows.numbers["test_fills"][i], rows.numbers["test_expected"][i]
        title = f"{_when(rows, i)}: {seen:,.0f} fills, {number(mean)} expected, ratio {number(ratio[i])}"
        marks.append(plot.whisker(_middle(rows, i), ratio[i], (low[i], high[i]), _kind(inside), title))
    return plot.picture(*marks, title="Fills over expected fills, by segment")


def rate_chart(rows: "SegmentRows") -> str:
    """Draw fills per order-hour in training and in the segment that follows."""
    trained = _per_hour(rows.numbers["n_fills"], rows.numbers["train_exposure_s"])
    tested = _per_hour(rows.numbers["test_fills"], rows.numbers["test_exposure_s"])
    both = np.concatenate([trained, tested])
    if np.isnan(both).all():
        return nothing("Nothing was measured.")
    plot = Plot(WIDE, 170, rows.x, padded(0.0, float(np.nanmax(both))))
    return plot.picture(
        plot.value_axis(most=5),
        plot.time_axis(),
        _steps(plot, rows, trained, "faint"),
        _steps(plot, rows, tested),
        title="Fills per order-hour, in training and in the segment",
    )


def _per_hour(hits: "Floats", seconds: "Floats") -> "Floats":
    """Return fills per order-hour; NaN where nothing was at rest."""
    rate: Floats = np.full(len(hits), np.nan)
    np.divide(3_600 * hits, seconds, out=rate, where=seconds > 0)
    return rate


def distance_chart(by_delta: list[Mapping[str, Any]]) -> str:
    """Draw fills over expected fills at every distance, of the whole run."""
    shown = [row for row in by_delta if row["expected"] >= LEAST_EXPECTED][:MOST_DISTANCES]
    if not shown:
        return nothing("No fills were expected.")
    top = max(2.0, min(max(row["ratio_high"] for row in shown), FAR))
    plot = Plot(HALF, 250, (-0.6, len(shown) - 0.4), (0.0, top * 1.04))
    names = [short(row["delta_ticks"]) for row in shown]
    marks = [plot.value_axis(), plot.level(1.0), plot.names(names, 10)]
    for i, row in enumerate(shown):
        ends = row["ratio_low"], row["ratio_high"]
        title = f"{names[i]} ticks: {row['fills']:,.0f} fills, {number(row['expected'])} expected"
        marks.append(plot.whisker(i, row["ratio"], ends, _kind(ends[0] <= 1 <= ends[1]), title))
    return plot.picture(*marks, title="Fills over expected fills, by distance in ticks")


def equity_chart(run: "Course", rows: "SegmentRows") -> str:
    """Draw the change of equity, with the segments' boundaries, and below what each segment earned."""
    if np.isnan(run.equity).all():
        return nothing("The book was never valid, so equity has no mark.")
    plot = Plot(WIDE, 250, rows.x, padded(min(0.0, np.nanmin(run.equity)), max(0.0, np.nanmax(run.equity))))
    edges = "".join(f"M{at:.1f} {plot.height - 26}v-5" for at in plot.across(rows.numbers["start_us"]).tolist())
    picture = plot.picture(
        _unquoted(plot, rows),
        plot.value_axis(),
        plot.time_axis(),
        f'<path class="zero" d="{edges}"/>',
        plot.line(run.us, run.equity, "line"),
        title="Equity over time, and where segments begin",
    )
    return picture + _earned_chart(run, rows)


def earned(run: "Course", rows: "SegmentRows") -> "Floats":
    """Return what each segment earned: equity at its end less that at its begin; 0 where there is no mark."""
    known = ~np.isnan(run.equity)
    us, equity = run.us[known], run.equity[known]
    if len(us) == 0:
        return np.zeros(len(rows))
    at = [
        equity[np.maximum(np.searchsorted(us, rows.numbers[name], side="right") - 1, 0)]
        for name in ("start_us", "end_us")
    ]
    return np.asarray(at[1] - at[0])


def _earned_chart(run: "Course", rows: "SegmentRows") -> str:
    pnl = earned(run, rows)
    if not pnl.any():
        return ""
    plot = Plot(WIDE, 110, rows.x, padded(min(0.0, float(pnl.min())), max(0.0, float(pnl.max()))))
    left, right = (plot.across(rows.numbers[name]) for name in ("start_us", "end_us"))
    zero, marks = float(plot.up(0.0)), [plot.value_axis(most=4)]
    for i, amount in enumerate(pnl.tolist()):
        y = float(plot.up(amount))
        size = (float(right[i] - left[i]) - 2, abs(y - zero))
        if amount:
            kind = "gain" if amount > 0 else "loss"
            marks.append(bar(float(left[i]) + 1, min(y, zero), size, kind, f"{_when(rows, i)}: {signed(amount)}"))
    return plot.picture(*marks, title="What each segment earned")


def _steps(plot: Plot, rows: "SegmentRows", value: "Floats", kind: str = "line") -> str:
    """Return a line that holds each segment's value from its begin to its end; a hole where it has none."""
    x = np.stack([rows.numbers["start_us"], rows.numbers["end_us"]], axis=1).ravel()
    return plot.path(x, np.clip(np.repeat(value, 2), *plot.y), kind)


def _unquoted(plot: Plot, rows: "SegmentRows") -> str:
    """Return bands over what has no parameters: segments, and all before the first one."""
    without = np.flatnonzero(np.isnan(rows.numbers["A"]))
    spans = [(float(rows.numbers["start_us"][i]), float(rows.numbers["end_us"][i])) for i in without]
    before = [(rows.x[0], rows.own[0])] if rows.x[0] < rows.own[0] else []
    return plot.spans([*before, *spans], "off", "no parameters: nothing is quoted")


def _kind(usual: object) -> str:
    return USUAL if usual else OTHER


def _middle(rows: "SegmentRows", i: int) -> float:
    return float(rows.numbers["start_us"][i] + rows.numbers["end_us"][i]) / 2


def _when(rows: "SegmentRows", i: int) -> str:
    return iso(int(rows.numbers["start_us"][i]))[11:16]
