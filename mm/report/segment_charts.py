"""Charts of segments: the fit, the PnL, and the curves of some training windows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.base.arithmetic import median
from mm.base.arrays import Floats, Ints, Mask
from mm.base.numbers import number, signed
from mm.calibration.fit_result import EXPONENTIAL
from mm.clock import US_PER_S, iso
from mm.report import figures
from mm.report.calibration_charts import CurveArea, curve_area, curve_traces, stretch
from mm.report.figures import BUY, MAIN, SELL, SHADE, Figure, Panel, Trace
from mm.report.frame import card, chart, in_row, minute

if TYPE_CHECKING:
    from mm.report.run_columns import EquityCurve
    from mm.walkforward.window_metrics import SegmentRows
    from mm.walkforward.window_shapes import WindowShape


SHAPE_HEIGHT = 210
SHAPE_FAR = 2.0  # end of the charts of curves, as a multiple of the median reach of the windows
FAR = 5.0  # multiple of the median at which ends of intervals are cut
SEGMENTS_SHOWN = 5  # visible after a step to the next one
NO_FIT = "none: nothing is quoted"


def segments_figure(rows: "SegmentRows", run: "EquityCurve | None", quote: str) -> Figure:
    panels = [] if run is None or np.isnan(run.equity).all() else _account_panels(rows, run, quote)
    panels += parameter_panels(rows)
    return figures.stacked(panels, figures.time_axis(*rows.x), unquoted(rows), NO_FIT)


def parameter_panels(rows: "SegmentRows") -> list[Panel]:
    units = {
        "k": "1/tick, with the 95 % interval of its training, by blocks",
        "A": "1/s, of each segment",
    }
    return [
        _parameter_panel(rows, name, unit) for name, unit in units.items() if not np.isnan(rows.numbers[name]).all()
    ]


def parameters_figure(rows: "SegmentRows") -> Figure | None:
    panels = parameter_panels(rows)
    return figures.stacked(panels, figures.time_axis(*rows.x), unquoted(rows), NO_FIT) if panels else None


def step_s(rows: "SegmentRows") -> float:
    return SEGMENTS_SHOWN * float(median(rows.numbers["end_us"] - rows.numbers["start_us"])) / US_PER_S


def _account_panels(rows: "SegmentRows", run: "EquityCurve", quote: str) -> list[Panel]:
    pnl = earned(run, rows)
    middle = _middles(rows, np.ones(len(rows), np.bool_))
    start, end = rows.with_market()
    width = figures.ms((end - start) * 0.9)
    tips = [f"{_when(rows, i)}: {signed(amount)}" for i, amount in enumerate(pnl.tolist())]
    bars = figures.bars("PnL", figures.ms(middle), pnl, MAIN, tips, width=width)
    return [
        Panel(
            "PnL of the quoting",
            f"{quote}, since the start, at the mid",
            [figures.step("equity", run.us, run.equity)],
            200,
        ),
        Panel("PnL of each segment", quote, [bars], 100, figures.FROM_ZERO),
    ]


def _parameter_panel(rows: "SegmentRows", name: str, unit: str) -> Panel:
    value, low, high = (rows.numbers[column] for column in (name, f"{name}_low", f"{name}_high"))
    fitted, known = np.array(rows.words["source"]) == "fitted", ~np.isnan(value)
    span = _parameter_range(rows, name)
    traces = [_held(rows, name, value, MAIN, showlegend=False)]
    drawn = rows.numbers[f"{name}_shrunk"]
    if not np.isnan(drawn).all():
        traces.append(_held(rows, "drawn to the mean", np.clip(drawn, *span), MAIN, line={"dash": "dot"}))
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
        x, shown = figures.ms(_middles(rows, at)), np.clip(value[at], *span)
        bars, beyond = figures.within(x, (ends[0], ends[1]), span, colour)
        traces += [figures.points(title, x, shown, colour, ends=bars, tips=tips, meta={"stop": True}), *beyond]
    return Panel(f"{name} of each segment", unit, traces, 150, {"range": list(span)})


def _parameter_range(rows: "SegmentRows", name: str) -> tuple[float, float]:
    value, low, high = (rows.numbers[column] for column in (name, f"{name}_low", f"{name}_high"))
    fitted = np.array([source == "fitted" for source in rows.words["source"]])
    known = ~np.isnan(value)
    ends = np.concatenate([value[known], high[fitted & ~np.isnan(high)]])
    top = min(float(ends.max()), FAR * median(value[known]))
    least = float(np.concatenate([value[known], low[fitted & ~np.isnan(low)]]).min())
    return figures.padded(min(least, top), top)


def _middles(rows: "SegmentRows", at: Mask) -> Ints:
    start, end = rows.with_market()
    middle: Ints = ((start + end)[at] / 2).astype(np.int64)
    return middle


def _held(rows: "SegmentRows", name: str, value: Floats, colour: str, **more: Any) -> Trace:
    start, end = (rows.numbers[edge].astype(np.int64) for edge in ("start_us", "end_us"))
    us, values = np.stack([start, end], axis=1).ravel(), np.stack([value, np.full(len(value), np.nan)], axis=1).ravel()
    kept = np.append(us[1:] != us[:-1], True)  # drops an end that is also the start of the next segment
    return figures.step(name, us[kept], values[kept], colour, **more)


def earned(run: "EquityCurve", rows: "SegmentRows") -> Floats:
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
    """Return stretches (µs) without parameters: segments, and the time before the first."""
    without = np.isnan(rows.numbers["A"])
    spans = np.stack([rows.numbers[name][without] for name in ("start_us", "end_us")], axis=1)
    before = [(rows.x[0], rows.own[0])] if rows.x[0] < rows.own[0] else []
    return np.array([*before, *spans.tolist()], dtype=np.int64).reshape(-1, 2)


def _when(rows: "SegmentRows", i: int) -> str:
    return iso(int(rows.numbers["start_us"][i]))[11:16]


def shapes_card(shapes: "Sequence[WindowShape]") -> str:
    areas = [curve_area(shape.points, shape.fit) for shape in shapes]
    drawn = [(shape, area) for shape, area in zip(shapes, areas, strict=True) if area is not None]
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
    return card("Shapes of windows", hint, in_row(*(_window(shape, same) for shape, _ in drawn)))


def _window(shape: "WindowShape", area: CurveArea) -> str:
    chosen = shape.fit.shape.chosen if shape.fit.shape else EXPONENTIAL
    trusted = shape.fit.shape.trusted_ticks if shape.fit.shape else None
    note = f"{chosen.replace('_', ' ')}, k {number(shape.fit.k, 3)} /tick, trusted {stretch(trusted)}"
    head = f"<h3>{minute(shape.span_us[0])} <small>{note}</small></h3>"
    return f"<div>{head}{chart(window_figure(shape, area))}</div>"


def window_figure(shape: "WindowShape", area: CurveArea) -> Figure:
    trusted = shape.fit.shape.trusted_ticks if shape.fit.shape else None
    drawn = figures.chart(curve_traces(shape.points, shape.fit, area), area.x(), SHAPE_HEIGHT, y=area.y())
    spans = [(0.0, area.far)] if trusted is None else [(0.0, trusted[0]), (trusted[1], area.far)]
    edges = [area.scale.at(np.clip(span, 0.0, area.far)).tolist() for span in spans]
    band = {
        "type": "rect",
        "yref": "y domain",
        "y0": 0,
        "y1": 1,
        "fillcolor": SHADE,
        "line": {"width": 0},
        "layer": "below",
    }
    drawn["layout"]["shapes"] += [{**band, "x0": first, "x1": last} for first, last in edges if last > first]
    return drawn
