"""The charts of the walk-forward page: parameters, unseen data and equity, all over the same segments."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.clock import iso
from mm.numbers import number, short, signed
from mm.report.frame import nothing
from mm.report.svg import LEFT, RIGHT, Plot, bar, padded

if TYPE_CHECKING:
    from mm.report.course import Course
    from mm.walkforward.out_of_sample import Floats, SegmentRows

WIDE, HALF = 1072, 520
USUAL, OTHER = "whisker buy", "whisker sell"
FAR = 5.0  # times the median, beyond which the end of an interval is cut
LEAST_FORESEEN = 0.5  # fills of a distance whose ratio is drawn
MOST_DISTANCES = 24


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
        near, far = (float(np.clip(end, *plot.y)) if own else min(float(value[i]), top) for end in (low[i], high[i]))
        interval = f", 95 % {number(low[i])} to {number(high[i])}" if own else ""
        said = f"{_when(rows, i)}: {name} = {number(value[i])}{interval}, {rows.words['source'][i]}"
        marks.append(plot.whisker(_middle(rows, i), min(float(value[i]), top), (near, far), _kind(fitted[i]), said))
    return plot.picture(*marks, title=f"{name} of each segment")


def ratio_chart(rows: "SegmentRows") -> str:
    """Draw fills seen over fills foreseen of every segment, on data that its fit had not seen."""
    ratio, low, high = (rows.numbers[f"test_ratio{end}"] for end in ("", "_low", "_high"))
    known = np.flatnonzero(~np.isnan(ratio))
    if not len(known):
        return nothing("No segment foresaw a fill.")
    top = max(2.0, min(float(high[known].max()), FAR * max(float(np.median(ratio[known])), 0.5)))
    plot = Plot(WIDE, 190, rows.x, (0.0, top * 1.04))
    marks = [_unquoted(plot, rows), plot.value_axis(most=5), plot.time_axis(), _level(plot, 1.0)]
    for i in known.tolist():
        ends = (float(min(low[i], top)), float(min(high[i], top)))
        inside = low[i] <= 1 <= high[i]
        seen, mean = rows.numbers["test_fills"][i], rows.numbers["test_expected"][i]
        said = f"{_when(rows, i)}: {seen:,.0f} fills, {number(mean)} foreseen, ratio {number(ratio[i])}"
        marks.append(plot.whisker(_middle(rows, i), float(min(ratio[i], top)), ends, _kind(inside), said))
    return plot.picture(*marks, title="Fills seen over fills foreseen, by segment")


def rate_chart(rows: "SegmentRows") -> str:
    """Draw hits an order-hour in training and in the segment that follows."""
    trained = _an_hour(rows.numbers["n_fills"], rows.numbers["train_exposure_s"])
    tested = _an_hour(rows.numbers["test_fills"], rows.numbers["test_exposure_s"])
    both = np.concatenate([trained, tested])
    if np.isnan(both).all():
        return nothing("Nothing was measured.")
    plot = Plot(WIDE, 170, rows.x, padded(0.0, float(np.nanmax(both))))
    return plot.picture(
        plot.value_axis(most=5),
        plot.time_axis(),
        _steps(plot, rows, trained, "faint"),
        _steps(plot, rows, tested),
        title="Hits an order-hour, in training and in the segment",
    )


def _an_hour(hits: "Floats", seconds: "Floats") -> "Floats":
    """Return hits an order-hour; NaN where nothing was at rest."""
    rate: Floats = np.full(len(hits), np.nan)
    np.divide(3_600 * hits, seconds, out=rate, where=seconds > 0)
    return rate


def distance_chart(by_delta: list[Mapping[str, Any]]) -> str:
    """Draw fills seen over foreseen at every distance, of the whole run."""
    told = [row for row in by_delta if row["expected"] >= LEAST_FORESEEN][:MOST_DISTANCES]
    if not told:
        return nothing("Nothing was foreseen.")
    top = max(2.0, min(max(row["ratio_high"] for row in told), FAR))
    plot = Plot(HALF, 250, (-0.6, len(told) - 0.4), (0.0, top * 1.04))
    marks = [plot.value_axis(), _level(plot, 1.0)]
    every = max(1, math.ceil(len(told) / 10))
    for i, row in enumerate(told):
        ends = (min(row["ratio_low"], top), min(row["ratio_high"], top))
        inside = row["ratio_low"] <= 1 <= row["ratio_high"]
        name = short(row["delta_ticks"])
        said = f"{name} ticks: {row['fills']:,.0f} fills, {number(row['expected'])} foreseen"
        marks.append(plot.whisker(i, min(row["ratio"], top), ends, _kind(inside), said))
        if i % every == 0:
            marks.append(plot.label(float(plot.across(i)), name))
    return plot.picture(*marks, title="Fills seen over fills foreseen, by distance in ticks")


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


def _level(plot: Plot, value: float) -> str:
    return f'<path class="dash" d="M{LEFT} {float(plot.up(value)):.1f}H{plot.width - RIGHT}"/>'


def _kind(usual: object) -> str:
    return USUAL if usual else OTHER


def _middle(rows: "SegmentRows", i: int) -> float:
    return float(rows.numbers["start_us"][i] + rows.numbers["end_us"][i]) / 2


def _when(rows: "SegmentRows", i: int) -> str:
    return iso(int(rows.numbers["start_us"][i]))[11:16]
