"""The curves of some windows of a schedule, side by side on one scale, in the style of a calibration's page."""

from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.metrics.arithmetic import median
from mm.calibration.fit_result import EXPONENTIAL
from mm.numbers import number
from mm.report import figures
from mm.report.calibration_charts import CurveArea, curve_area, curve_traces
from mm.report.curve import stretch
from mm.report.figures import SHADE, Figure
from mm.report.frame import card, chart, in_row, minute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mm.walkforward.window_shapes import WindowShape

HEIGHT = 210
FAR = 2.0  # end of the charts, as a multiple of the median reach of the windows


def shapes_card(shapes: "Sequence[WindowShape]") -> str:
    """Return the card of the windows with known curves; empty without one."""
    areas = [curve_area(one.points, one.fit) for one in shapes]
    drawn = [(one, area) for one, area in zip(shapes, areas, strict=True) if area is not None]
    if not drawn:
        return ""
    reach = [area.far for _, area in drawn]
    far = min(max(reach), FAR * median(np.array(reach)))  # one far window must not flatten the others
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
    drawn = figures.chart(curve_traces(shape.points, shape.fit, area), area.x(), HEIGHT, y=area.y())
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
