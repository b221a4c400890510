"""The charts of segments, static and as panels that zoom: the fit, its fills on unseen data, and the PnL."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.arithmetic import median
from mm.clock import US_PER_MS, iso
from mm.numbers import number, short, signed
from mm.report.drawn_columns import unit_of
from mm.report.frame import nothing
from mm.report.svg import HALF, WIDE, Plot, bar, padded
from mm.report.timeline import Line, Marks, Panel, Spans, TimelineAxis

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.report.run_columns import EquityCurve
    from mm.walkforward.out_of_sample import SegmentRows

    Floats = NDArray[np.float64]

USUAL, OTHER = "whisker buy", "whisker sell"
FAR = 5.0  # multiple of the median at which ends of intervals are cut
LEAST_EXPECTED = 0.5  # minimum of expected fills at a distance for its ratio to be drawn
MOST_DISTANCES = 24
SEGMENTS_SHOWN = 5  # visible after a step to the next one


def panels(rows: "SegmentRows", run: "EquityCurve | None", quote: str) -> list[Panel]:
    """Return the charts of segments over time, from top to bottom.

    Args:
        rows: The segments; at least one.
        run: The account of the backtest; None without trading.
        quote: Name of the quote asset, HTML.
    """
    return [
        *([] if run is None else _account_panels(rows, run, quote)),
        _parameter_panel(rows, "k", "1/tick, of each segment, with the 95 % interval of its training", stop=True),
        _parameter_panel(rows, "A", "1/s, of each segment"),
        _ratio_panel(rows),
        _rate_panel(rows),
    ]


def axis(rows: "SegmentRows") -> TimelineAxis:
    """Return the axis of the charts; its buttons step from segment to segment."""
    length_us = median(rows.numbers["end_us"] - rows.numbers["start_us"])
    return TimelineAxis(stop="segment", close_ms=SEGMENTS_SHOWN * length_us / US_PER_MS)


def _account_panels(rows: "SegmentRows", run: "EquityCurve", quote: str) -> list[Panel]:
    equity = Line("equity", "line", run.us, run.equity, unit_of(run.equity))
    pnl = earned(run, rows)
    start, end = (rows.numbers[name].astype(np.int64) for name in ("start_us", "end_us"))
    bars = [
        Spans(name, kind, start[at], end[at], pnl[at], unit_of(pnl), bars=True)
        for name, kind, at in (("gain", "gain", pnl > 0), ("loss", "loss", pnl < 0))
    ]
    note = f"{quote}, change since the start, at the mid; ticks in the static picture mark starts of segments"
    return [
        Panel("Equity", note, equity_chart(run, rows), 250, [equity]),
        Panel("PnL of each segment", quote, earned_chart(run, rows), 110, spans=bars, zero=True),
    ]


def _parameter_panel(rows: "SegmentRows", name: str, note: str, *, stop: bool = False) -> Panel:
    picture = parameter_chart(rows, name)
    value = rows.numbers[name]
    if np.isnan(value).all():
        return Panel(f"{name} of each segment", note, picture, 190)
    span, unit = _parameter_range(rows, name), unit_of(value)
    source = np.array(rows.words["source"])
    marks = []
    ends = (rows.numbers[f"{name}_low"], rows.numbers[f"{name}_high"])
    for title, kind, at in (
        ("fitted", USUAL, (source == "fitted") & ~np.isnan(value)),
        ("carried or default", OTHER, (source != "fitted") & ~np.isnan(value)),
    ):
        # The interval of a carried fit belongs to another window.
        low, high = (np.where(np.isnan(end) | (kind == OTHER), value, end)[at] for end in ends)
        tip = [(name, value[at], unit), ("95 % from", low, unit), ("to", high, unit)]
        tip += [("trades in training", rows.numbers["n_fills"][at], 1.0)]
        drawn = (np.clip(value[at], *span), np.clip(low, *span), np.clip(high, *span))
        marks.append(_points(_middles(rows, at), (title, kind), drawn, tip, stop=stop))
    line = _held(rows, name, "line", np.clip(value, *span))
    return Panel(f"{name} of each segment", note, picture, 190, [line], marks=marks)


def _ratio_panel(rows: "SegmentRows") -> Panel:
    title, note = "Out of sample", "fills over expected fills of each segment, 95 % intervals from five-minute blocks"
    ratio, low, high = (rows.numbers[f"test_ratio{end}"] for end in ("", "_low", "_high"))
    picture, known = ratio_chart(rows), ~np.isnan(ratio)
    if not known.any():
        return Panel(title, note, picture, 190)
    span = (0.0, _ratio_top(rows))
    inside = ~((low > 1) | (high < 1))  # also if the run is too short for an interval
    low, high = (np.where(np.isnan(end), ratio, end) for end in (low, high))
    marks = []
    for name, kind, at in (
        ("1 is inside the interval", USUAL, known & inside),
        ("1 is outside", OTHER, known & ~inside),
    ):
        tip = [("fills", rows.numbers["test_fills"][at], 1.0), ("expected", rows.numbers["test_expected"][at], 0.01)]
        tip += [("ratio", ratio[at], 1e-4), ("95 % from", low[at], 1e-4), ("to", high[at], 1e-4)]
        drawn = (np.clip(ratio[at], *span), np.clip(low[at], *span), np.clip(high[at], *span))
        marks.append(_points(_middles(rows, at), (name, kind), drawn, tip))
    one = Line("", "dash", np.array(rows.x, dtype=np.int64), np.ones(2), 1.0, straight=True)
    return Panel(title, note, picture, 190, [one], marks=marks, zero=True)


def _rate_panel(rows: "SegmentRows") -> Panel:
    seen, expected = _rates(rows)
    lines = [_held(rows, "observed", "line", seen), _held(rows, "expected by the previous fit", "faint", expected)]
    note = "fills per order-hour at a segment's distances; where they differ, the market changed since the training"
    return Panel("Observed and expected", note, rate_chart(rows), 170, lines, zero=True)


def _points(
    us: "NDArray[np.int64]",
    name: tuple[str, str],
    drawn: "tuple[Floats, Floats, Floats]",
    tip: list[tuple[str, Any, float]],
    *,
    stop: bool = False,
) -> Marks:
    """Return points with error bars: *name* is the legend text and their class; *drawn* are values and both ends."""
    values, *ends = drawn
    return Marks(*name, 1, us, values, unit_of(np.concatenate(drawn)), tip, "whisker", (ends[0], ends[1]), stop)


def _middles(rows: "SegmentRows", at: "NDArray[np.bool_]") -> "NDArray[np.int64]":
    middle: NDArray[np.int64] = ((rows.numbers["start_us"] + rows.numbers["end_us"])[at] / 2).astype(np.int64)
    return middle


def _held(rows: "SegmentRows", name: str, kind: str, value: "Floats") -> Line:
    """Return a step line with the value of each segment from its start to its end."""
    start, end = (rows.numbers[one].astype(np.int64) for one in ("start_us", "end_us"))
    us, values = np.stack([start, end], axis=1).ravel(), np.stack([value, np.full(len(value), np.nan)], axis=1).ravel()
    kept = np.append(us[1:] != us[:-1], True)  # drops an end that is also the start of the next segment
    return Line(name, kind, us[kept], values[kept], unit_of(value))


def parameter_chart(rows: "SegmentRows", name: str) -> str:
    """Draw *name* (``A`` or ``k``) of every segment; fitted segments with the 95 % interval of their training."""
    value, low, high = (rows.numbers[column] for column in (name, f"{name}_low", f"{name}_high"))
    fitted = np.array([source == "fitted" for source in rows.words["source"]])
    known = ~np.isnan(value)
    if not known.any():
        return nothing("No segment has parameters.")
    plot = Plot(WIDE, 190, rows.x, _parameter_range(rows, name))
    marks = [_unquoted(plot, rows), plot.value_axis(most=5), plot.time_axis(), _steps(plot, rows, value)]
    for i in np.flatnonzero(known).tolist():
        own = fitted[i] and not math.isnan(low[i])
        bar_ends = (low[i], high[i]) if own else (value[i], value[i])
        interval = f", 95 % {number(low[i])} to {number(high[i])}" if own else ""
        title = f"{_when(rows, i)}: {name} = {number(value[i])}{interval}, {rows.words['source'][i]}"
        marks.append(plot.whisker(_middle(rows, i), value[i], bar_ends, _kind(fitted[i]), title))
    return plot.picture(*marks, title=f"{name} of each segment")


def _parameter_range(rows: "SegmentRows", name: str) -> tuple[float, float]:
    """Return the range of the chart of a parameter: all values, and a part of long intervals."""
    value, low, high = (rows.numbers[column] for column in (name, f"{name}_low", f"{name}_high"))
    fitted = np.array([source == "fitted" for source in rows.words["source"]])
    known = ~np.isnan(value)
    ends = np.concatenate([value[known], high[fitted & ~np.isnan(high)]])
    top = min(float(ends.max()), FAR * median(value[known]))
    least = float(np.concatenate([value[known], low[fitted & ~np.isnan(low)]]).min())
    return padded(min(least, top), top)


def ratio_chart(rows: "SegmentRows") -> str:
    """Draw fills over expected fills of every segment, on data not used by its fit."""
    ratio, low, high = (rows.numbers[f"test_ratio{end}"] for end in ("", "_low", "_high"))
    known = np.flatnonzero(~np.isnan(ratio))
    if not len(known):
        return nothing("No segment expected a fill.")
    plot = Plot(WIDE, 190, rows.x, (0.0, _ratio_top(rows) * 1.04))
    marks = [_unquoted(plot, rows), plot.value_axis(most=5), plot.time_axis(), plot.level(1.0)]
    for i in known.tolist():
        inside = not (low[i] > 1 or high[i] < 1)
        seen, mean = rows.numbers["test_fills"][i], rows.numbers["test_expected"][i]
        title = f"{_when(rows, i)}: {seen:,.0f} fills, {number(mean)} expected, ratio {number(ratio[i])}"
        ends = (ratio[i], ratio[i]) if math.isnan(low[i]) else (low[i], high[i])
        marks.append(plot.whisker(_middle(rows, i), ratio[i], ends, _kind(inside), title))
    return plot.picture(*marks, title="Fills over expected fills, by segment")


def _ratio_top(rows: "SegmentRows") -> float:
    ratio, high = rows.numbers["test_ratio"], rows.numbers["test_ratio_high"]
    known = ~np.isnan(ratio)
    return max(2.0, min(float(np.fmax(ratio, high)[known].max()), FAR * max(median(ratio[known]), 0.5)))


def rate_chart(rows: "SegmentRows") -> str:
    """Draw fills per order-hour of each segment, observed and expected."""
    seen, expected = _rates(rows)
    both = np.concatenate([seen, expected])
    if np.isnan(both).all():
        return nothing("Nothing was measured.")
    plot = Plot(WIDE, 170, rows.x, padded(0.0, float(np.nanmax(both))))
    return plot.picture(
        plot.value_axis(most=5),
        plot.time_axis(),
        _steps(plot, rows, expected, "faint"),
        _steps(plot, rows, seen),
        title="Fills per order-hour of each segment, observed and expected by the previous fit",
    )


def _rates(rows: "SegmentRows") -> "tuple[Floats, Floats]":
    """Return the fills per order-hour of each segment, observed and expected, both over its own distances and time.

    The rate of the training is not comparable: another window may measure other distances. NaN without resting orders.
    """
    seconds, found = rows.numbers["test_exposure_s"], []
    for name in ("test_fills", "test_expected"):
        rate: Floats = np.full(len(seconds), np.nan)
        np.divide(3_600 * rows.numbers[name], seconds, out=rate, where=seconds > 0)
        found.append(rate)
    return found[0], found[1]


def distance_chart(by_delta: list[Mapping[str, Any]]) -> str:
    """Draw fills over expected fills at every distance, for the whole run."""
    shown = [row for row in by_delta if row["expected"] >= LEAST_EXPECTED][:MOST_DISTANCES]
    if not shown:
        return nothing("No fills were expected.")
    top = max(2.0, min(max(row["ratio_high"] or row["ratio"] for row in shown), FAR))
    plot = Plot(HALF, 250, (-0.6, len(shown) - 0.4), (0.0, top * 1.04))
    names = [short(row["delta_ticks"]) for row in shown]
    marks = [plot.value_axis(), plot.level(1.0), plot.names(names, 10)]
    for i, row in enumerate(shown):
        ends = tuple(row["ratio"] if row[end] is None else row[end] for end in ("ratio_low", "ratio_high"))
        inside = row["ratio_low"] is None or ends[0] <= 1 <= ends[1]
        title = f"{names[i]} ticks: {row['fills']:,.0f} fills, {number(row['expected'])} expected"
        marks.append(plot.whisker(i, row["ratio"], ends, _kind(inside), title))
    return plot.picture(*marks, title="Fills over expected fills, by distance in ticks")


def equity_chart(run: "EquityCurve", rows: "SegmentRows") -> str:
    """Draw the change of equity with the boundaries of segments, and the PnL of each segment below."""
    if np.isnan(run.equity).all():
        return nothing("The book was never valid, so equity has no mark.")
    plot = Plot(WIDE, 250, rows.x, padded(min(0.0, np.nanmin(run.equity)), max(0.0, np.nanmax(run.equity))))
    edges = "".join(f"M{at:.1f} {plot.height - 26}v-5" for at in plot.across(rows.numbers["start_us"]).tolist())
    return plot.picture(
        _unquoted(plot, rows),
        plot.value_axis(),
        plot.time_axis(),
        f'<path class="zero" d="{edges}"/>',
        plot.line(run.us, run.equity, "line"),
        title="Equity over time, with the starts of segments",
    )


def earned(run: "EquityCurve", rows: "SegmentRows") -> "Floats":
    """Return the PnL of each segment: equity at its end less equity at its start; 0 without a mark."""
    known = ~np.isnan(run.equity)
    us, equity = run.us[known], run.equity[known]
    if len(us) == 0:
        return np.zeros(len(rows))
    at = [
        equity[np.maximum(np.searchsorted(us, rows.numbers[name], side="right") - 1, 0)]
        for name in ("start_us", "end_us")
    ]
    return np.asarray(at[1] - at[0])


def earned_chart(run: "EquityCurve", rows: "SegmentRows") -> str:
    """Draw the PnL of each segment."""
    pnl = earned(run, rows)
    if not pnl.any():
        return nothing("The PnL of every segment is 0.")
    plot = Plot(WIDE, 110, rows.x, padded(min(0.0, float(pnl.min())), max(0.0, float(pnl.max()))))
    left, right = (plot.across(rows.numbers[name]) for name in ("start_us", "end_us"))
    zero, marks = float(plot.up(0.0)), [plot.value_axis(most=4), plot.time_axis()]
    for i, amount in enumerate(pnl.tolist()):
        y = float(plot.up(amount))
        size = (float(right[i] - left[i]) - 2, abs(y - zero))
        if amount:
            kind = "gain" if amount > 0 else "loss"
            marks.append(bar(float(left[i]) + 1, min(y, zero), size, kind, f"{_when(rows, i)}: {signed(amount)}"))
    return plot.picture(*marks, title="PnL of each segment")


def _steps(plot: Plot, rows: "SegmentRows", value: "Floats", kind: str = "line") -> str:
    """Return a line with each segment's value from its start to its end; a hole if it has none."""
    x = np.stack([rows.numbers["start_us"], rows.numbers["end_us"]], axis=1).ravel()
    return plot.path(x, np.clip(np.repeat(value, 2), *plot.y), kind)


def _unquoted(plot: Plot, rows: "SegmentRows") -> str:
    """Return bands over stretches without parameters: segments, and the time before the first one."""
    return plot.spans(unquoted(rows).tolist(), "off", "no parameters: nothing is quoted")


def unquoted(rows: "SegmentRows") -> "NDArray[np.int64]":
    """Return first and last µs of each stretch without parameters: segments, and the time before the first one."""
    without = np.isnan(rows.numbers["A"])
    spans = np.stack([rows.numbers[name][without] for name in ("start_us", "end_us")], axis=1)
    before = [(rows.x[0], rows.own[0])] if rows.x[0] < rows.own[0] else []
    return np.array([*before, *spans.tolist()], dtype=np.int64).reshape(-1, 2)


def _kind(usual: object) -> str:
    return USUAL if usual else OTHER


def _middle(rows: "SegmentRows", i: int) -> float:
    return float(rows.numbers["start_us"][i] + rows.numbers["end_us"][i]) / 2


def _when(rows: "SegmentRows", i: int) -> str:
    return iso(int(rows.numbers["start_us"][i]))[11:16]
