"""The curves of some windows of a schedule, side by side on one scale, in the style of a calibration's page."""

from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.metrics.arithmetic import median
from mm.calibration.fit_result import EXPONENTIAL
from mm.numbers import number, power, short
from mm.report.calibration_charts import BOTH, SIDES, curve_area, whiskers
from mm.report.curve import lines, stretch
from mm.report.frame import card, in_row, minute
from mm.report.svg import HALF, Plot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mm.walkforward.window_shapes import WindowShape

HEIGHT = 230
FAR = 2.0  # end of the charts, as a multiple of the median reach of the windows
CURVES = (("line", "the curve that was chosen"), ("fees", "A·exp(−k·δ), dashed"))
KEYS = (*BOTH, *CURVES, ("off", "no interval within a factor of two"))


def shapes_card(shapes: "Sequence[WindowShape]") -> str:
    """Return the card of the windows with known curves; empty without one."""
    areas = [curve_area(one.points, one.fit) for one in shapes]
    drawn = [(one, area) for one, area in zip(shapes, areas, strict=True) if area is not None]
    if not drawn:
        return ""
    reach = [area.x[1] for _, area in drawn]
    x = 0.0, min(max(reach), FAR * median(np.array(reach)))  # one far window must not flatten the others
    y = min(area.y[0] for _, area in drawn), max(area.y[1] for _, area in drawn)
    pictures = in_row(*(_figure(one, Plot(HALF, HEIGHT, x, y)) for one, _ in drawn))
    hint = (
        "Fills per second of one resting order by its distance in ticks, in the training windows of some segments, "
        "with 95 % Poisson bars; each curve with its 95 % band, on one scale for all. Shapes are compared once an "
        "hour; the segments between keep the shape and set its level to their own fills."
    )
    return card("Shapes of windows", hint, pictures, KEYS)


def _figure(shape: "WindowShape", plot: Plot) -> str:
    """Return the picture of one window, below its time and a description of its curve."""
    start_us, _, train_start_us, train_end_us = shape.span_us
    chosen = shape.fit.shape.chosen if shape.fit.shape else EXPONENTIAL
    trusted = shape.fit.shape.trusted_ticks if shape.fit.shape else None
    note = f"{chosen.replace('_', ' ')}, k {number(shape.fit.k, 3)} /tick, trusted {stretch(trusted)}"
    far = plot.x[1] / 1.04
    marks = [_untrusted(plot, trusted), plot.value_axis(power), plot.number_axis(short), *lines(plot, shape.fit, far)]
    for side, kind, name in SIDES:
        marks += whiskers(plot, shape.points.where(shape.points.side == side), (side, kind, name))
    title = f"Fills per second by distance, trained from {minute(train_start_us)} to {minute(train_end_us)}"
    return f"<figure><h3>{minute(start_us)} <small>{note}</small></h3>{plot.picture(*marks, title=title)}</figure>"


def _untrusted(plot: Plot, trusted: tuple[float, float] | None) -> str:
    """Return bands over the distances at which the interval of λ exceeds a factor of two."""
    near, far = plot.x
    spans = [(near, far)] if trusted is None else [(near, trusted[0]), (trusted[1], far)]
    shown = [(max(a, near), min(b, far)) for a, b in spans if np.diff(np.clip((a, b), near, far))[0] > 0]
    return plot.spans(shown, "off", "the interval of λ does not end within a factor of two of it")
