"""The charts of segments: the fit, its fills on unseen data, the PnL, and the curves of some training windows."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.arithmetic import median
from mm.base.arrays import Floats, Ints, Mask
from mm.base.numbers import number, short, signed
from mm.calibration.fit_result import EXPONENTIAL
from mm.clock import US_PER_S, iso
from mm.report import figures
from mm.report.calibration_charts import CurveArea, curve_area, curve_traces, stretch
from mm.report.figures import BUY, MAIN, SELL, SHADE, SOFT, Figure, Panel, Trace
from mm.report.frame import card, chart, in_row, minute

if TYPE_CHECKING:
    from mm.report.run_columns import EquityCurve
    from mm.walkforward.out_of_sample import SegmentRows
    from mm.walkforward.window_shapes import WindowShape


SHAPE_HEIGHT = 210
SHAPE_FAR = 2.0  # end of the charts of curves, as a multiple of the median reach of the windows
FAR = 5.0  # multiple of the median at which ends of intervals are cut
LEAST_EXPECTED = 0.5  # minimum of expected fills at a distance for its ratio to be drawn
MOST_DISTANCES = 24
SEGMENTS_SHOWN = 5  # visible after a step to the next one
INSIDE, OUTSIDE = ("1 is inside the interval", BUY), ("1 is outside", SELL)
NO_FIT = "none: nothing is quoted"


def segments_figure(rows: "SegmentRows", run: "EquityCurve | None", quote: str) -> Figure:
    """Return the charts of segments over time, from top to bottom.

    Args:
        rows: The segments; at least one.
        run: The account of the backtest; None without trading.
        quote: Name of the quote asset, HTML.
    """
    panels = [] if run is None or np.isnan(run.equity).all() else _account_panels(rows, run, quote)
    panels += parameter_panels(rows)
    if not np.isnan(rows.numbers["test_ratio"]).all():
        panels.append(_ratio_panel(rows))
    seen, expected = _rates(rows)
    if not np.isnan(np.concatenate([seen, expected])).all():
        lines = [_held(rows, "expected by the previous fit", expected, SOFT), _held(rows, "observed", seen, MAIN)]
        unit = "fills per order-hour at a segment's distances"
        panels.append(Panel("Observed and expected", unit, lines, 150, figures.FROM_ZERO))
    return figures.stacked(panels, figures.time_axis(*rows.x), unquoted(rows), NO_FIT)


def parameter_panels(rows: "SegmentRows") -> list[Panel]:
    """Return k and A of every segment; those of fitted ones with the 95 % interval of their training."""
    units = {"k": "1/tick, of each segment, with the 95 % interval of its training", "A": "1/s, of each segment"}
    return [
        _parameter_panel(rows, name, unit) for name, unit in units.items() if not np.isnan(rows.numbers[name]).all()
    ]


def parameters_figure(rows: "SegmentRows") -> Figure | None:
    """Return k and A of every segment; None if no segment has parameters."""
    panels = parameter_panels(rows)
    return figures.stacked(panels, figures.time_axis(*rows.x), unquoted(rows), NO_FIT) if panels else None


def step_s(rows: "SegmentRows") -> float:
    """Return the seconds shown after a step to the next segment."""
    return SEGMENTS_SHOWN * float(median(rows.numbers["end_us"] - rows.numbers["start_us"])) / US_PER_S


def _account_panels(rows: "SegmentRows", run: "EquityCurve", quote: str) -> list[Panel]:
    pnl = earned(run, rows)
    middle = _middles(rows, np.ones(len(rows), np.bool_))
    start, end = rows.with_market()
    width = figures.ms((end - start) * 0.9)
    tips = [f"{_when(rows, i)}: {signed(amount)}" for i, amount in enumerate(pnl.tolist())]
    bars = figures.bars("PnL", figures.ms(middle), pnl, figures.signs(pnl), tips, width=width)
    return [
        Panel(
            "Equity", f"{quote}, change since the start, at the mid", [figures.step("equity", run.us, run.equity)], 200
        ),
        Panel("PnL of each segment", quote, [bars], 100, figures.FROM_ZERO),
    ]


def _parameter_panel(rows: "SegmentRows", name: str, unit: str) -> Panel:
    value, low, high = (rows.numbers[column] for column in (name, f"{name}_low", f"{name}_high"))
    fitted, known = np.array(rows.words["source"]) == "fitted", ~np.isnan(value)
    span = _parameter_range(rows, name)
    traces = [_held(rows, name, value, MAIN, showlegend=False)]
    for title, colour, at in (("fitted", BUY, fitted & known), ("carried or default", SELL, ~fitted & known)):
        if not at.any():
            continue
        # The interval of a carried fit belongs to another window.
        ends = [np.where(np.isnan(end) | ~fitted, value, end)[at] for end in (low, high)]
        tips = [
            f"{_when(rows, i)}: {name} = {number(float(value[i]))}"
            + (f", 95 % {number(float(low[i]))} to {number(float(high[i]))}" if fitted[i] and low[i] == low[i] else "")
            + f", {rows.words['source'][i]}"
            for i in np.flatnonzero(at).tolist()
        ]
        bars = (np.clip(ends[0], *span), np.clip(ends[1], *span))
        x, shown = figures.ms(_middles(rows, at)), np.clip(value[at], *span)
        traces.append(figures.points(title, x, shown, colour, ends=bars, tips=tips, meta={"stop": True}))
    return Panel(f"{name} of each segment", unit, traces, 150, {"range": list(span)})


def _parameter_range(rows: "SegmentRows", name: str) -> tuple[float, float]:
    """Return the range of the chart of a parameter: all values, and a part of long intervals."""
    value, low, high = (rows.numbers[column] for column in (name, f"{name}_low", f"{name}_high"))
    fitted = np.array([source == "fitted" for source in rows.words["source"]])
    known = ~np.isnan(value)
    ends = np.concatenate([value[known], high[fitted & ~np.isnan(high)]])
    top = min(float(ends.max()), FAR * median(value[known]))
    least = float(np.concatenate([value[known], low[fitted & ~np.isnan(low)]]).min())
    return figures.padded(min(least, top), top)


def _ratio_panel(rows: "SegmentRows") -> Panel:
    ratio, low, high = (rows.numbers[f"test_ratio{end}"] for end in ("", "_low", "_high"))
    known = ~np.isnan(ratio)
    inside = ~((low > 1) | (high < 1))  # also if the run is too short for an interval
    top = max(2.0, min(float(np.fmax(ratio, high)[known].max()), FAR * max(median(ratio[known]), 0.5)))
    low, high = (np.where(np.isnan(end), ratio, end) for end in (low, high))
    traces = list[Trace]()
    for (name, colour), at in ((INSIDE, known & inside), (OUTSIDE, known & ~inside)):
        if not at.any():
            continue
        tips = [
            f"{_when(rows, i)}: {rows.numbers['test_fills'][i]:,.0f} fills, "
            f"{number(float(rows.numbers['test_expected'][i]))} expected, ratio {number(float(ratio[i]))}"
            for i in np.flatnonzero(at).tolist()
        ]
        shown, *ends = (np.clip(one[at], 0.0, top) for one in (ratio, low, high))
        x = figures.ms(_middles(rows, at))
        traces.append(figures.points(name, x, shown, colour, ends=(ends[0], ends[1]), tips=tips))
    unit = "fills over expected fills of each segment, 95 % intervals from five-minute blocks"
    return Panel("Out of sample", unit, traces, 160, {"range": [0.0, top * 1.04]}, [1.0])


def _middles(rows: "SegmentRows", at: Mask) -> Ints:
    start, end = rows.with_market()
    middle: Ints = ((start + end)[at] / 2).astype(np.int64)
    return middle


def _held(rows: "SegmentRows", name: str, value: Floats, colour: str, **more: Any) -> Trace:
    """Return a step line with the value of each segment from its start to its end."""
    start, end = (rows.numbers[one].astype(np.int64) for one in ("start_us", "end_us"))
    us, values = np.stack([start, end], axis=1).ravel(), np.stack([value, np.full(len(value), np.nan)], axis=1).ravel()
    kept = np.append(us[1:] != us[:-1], True)  # drops an end that is also the start of the next segment
    return figures.step(name, us[kept], values[kept], colour, **more)


def _rates(rows: "SegmentRows") -> tuple[Floats, Floats]:
    """Return the fills per order-hour of each segment, observed and expected, both over its own distances and time.

    The rate of the training is not comparable: another window may measure other distances. NaN without resting orders.
    """
    seconds, found = rows.numbers["test_exposure_s"], []
    for name in ("test_fills", "test_expected"):
        rate: Floats = np.full(len(seconds), np.nan)
        np.divide(3_600 * rows.numbers[name], seconds, out=rate, where=seconds > 0)
        found.append(rate)
    return found[0], found[1]


def distance_figure(by_delta: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Return fills over expected fills at every distance, for the whole run; None if no fills were expected."""
    shown = [row for row in by_delta if row["expected"] >= LEAST_EXPECTED][:MOST_DISTANCES]
    if not shown:
        return None
    top = max(2.0, min(max(row["ratio_high"] or row["ratio"] for row in shown), FAR))
    ends = [[row["ratio"] if row[end] is None else row[end] for row in shown] for end in ("ratio_low", "ratio_high")]
    inside = [row["ratio_low"] is None or low <= 1 <= high for row, low, high in zip(shown, *ends, strict=True)]
    traces = list[Trace]()
    for (name, colour), wanted in ((INSIDE, True), (OUTSIDE, False)):
        at = [i for i, one in enumerate(inside) if one == wanted]
        if not at:
            continue
        tips = [
            f"{short(shown[i]['delta_ticks'])} ticks: {shown[i]['fills']:,.0f} fills, "
            f"{number(shown[i]['expected'])} expected"
            for i in at
        ]
        low, high = (np.clip([end[i] for i in at], 0.0, top) for end in ends)
        ratio = np.clip([shown[i]["ratio"] for i in at], 0.0, top)
        traces.append(figures.points(name, at, ratio, colour, ends=(low, high), tips=tips))
    labels = [short(row["delta_ticks"]) for row in shown]
    x = figures.numbers_axis("ticks", tickvals=list(range(len(shown))), ticktext=labels)
    return figures.chart(traces, x, y={"range": [0.0, top * 1.04]}, levels=[1.0])


def earned(run: "EquityCurve", rows: "SegmentRows") -> Floats:
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


def unquoted(rows: "SegmentRows") -> Ints:
    """Return first and last µs of each stretch without parameters: segments, and the time before the first one."""
    without = np.isnan(rows.numbers["A"])
    spans = np.stack([rows.numbers[name][without] for name in ("start_us", "end_us")], axis=1)
    before = [(rows.x[0], rows.own[0])] if rows.x[0] < rows.own[0] else []
    return np.array([*before, *spans.tolist()], dtype=np.int64).reshape(-1, 2)


def _when(rows: "SegmentRows", i: int) -> str:
    return iso(int(rows.numbers["start_us"][i]))[11:16]


def shapes_card(shapes: "Sequence[WindowShape]") -> str:
    """Return the card of the windows with known curves; empty without one."""
    areas = [curve_area(one.points, one.fit) for one in shapes]
    drawn = [(one, area) for one, area in zip(shapes, areas, strict=True) if area is not None]
    if not drawn:
        return ""
    reach = [area.far for _, area in drawn]
    far = min(max(reach), SHAPE_FAR * median(np.array(reach)))  # one far window must not flatten the others
    same = CurveArea(far, min(area.low for _, area in drawn), max(area.high for _, area in drawn))
    hint = (
        "Fills per second of one resting order by its distance in ticks, in the training windows of some segments, "
        "with 95 % Poisson bars; each curve with its 95 % band, on one scale for all. Shaded: no interval within a "
        "factor of two. Shapes are compared once an hour; the segments between keep the shape and set its level to "
        "their own fills."
    )
    return card("Shapes of windows", hint, in_row(*(_window(one, same) for one, _ in drawn)))


def _window(shape: "WindowShape", area: CurveArea) -> str:
    """Return the chart of one window, below its time and a description of its curve."""
    chosen = shape.fit.shape.chosen if shape.fit.shape else EXPONENTIAL
    trusted = shape.fit.shape.trusted_ticks if shape.fit.shape else None
    note = f"{chosen.replace('_', ' ')}, k {number(shape.fit.k, 3)} /tick, trusted {stretch(trusted)}"
    head = f"<h3>{minute(shape.span_us[0])} <small>{note}</small></h3>"
    return f"<div>{head}{chart(window_figure(shape, area))}</div>"


def window_figure(shape: "WindowShape", area: CurveArea) -> Figure:
    """Return the curve of one window within *area*; distances without a useful interval are shaded."""
    trusted = shape.fit.shape.trusted_ticks if shape.fit.shape else None
    drawn = figures.chart(curve_traces(shape.points, shape.fit, area), area.x(), SHAPE_HEIGHT, y=area.y())
    spans = [(0.0, area.far)] if trusted is None else [(0.0, trusted[0]), (trusted[1], area.far)]
    edges = [area.scale.at(np.clip(one, 0.0, area.far)).tolist() for one in spans]
    band = {
        "type": "rect",
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "fillcolor": SHADE,
        "line": {"width": 0},
        "layer": "below",
    }
    drawn["layout"]["shapes"] += [{**band, "x0": first, "x1": last} for first, last in edges if last > first]
    return drawn
