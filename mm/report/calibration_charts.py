"""The charts of the calibration page: the curve, its residuals, and A and k over the day."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mm.calibration.goodness import Residuals, residuals
from mm.calibration.points import Floats, Points
from mm.numbers import number, short
from mm.report.frame import nothing
from mm.report.svg import LEFT, RIGHT, Plot, bar, padded

if TYPE_CHECKING:
    from mm.calibration.fit_result import PoissonFit

Pieces = Sequence[tuple[int, int, "PoissonFit"]]

WIDE, HALF = 1072, 520
NORMAL_95 = 1.959964
SIDES = ((1, "buy", "bid"), (-1, "sell", "ask"))
NUDGE = 0.06  # ticks that part the two sides' points


def curve_chart(points: Points, fit: "PoissonFit") -> str:
    """Draw fills a second at each distance, on a logarithmic scale, with 95 % intervals, and the fitted line."""
    sides = [(side, kind, name, residuals(points, None, None, side)) for side, kind, name in SIDES]
    seen = [rows for *_, rows in sides if rows.fills.sum() > 0]
    if not seen:
        return nothing("No fills at any distance.")
    far = max(float(rows.delta_ticks[rows.fills > 0].max()) for rows in seen)
    rates = np.concatenate([rows.rates()[0][rows.fills > 0] for rows in seen])
    low, high = math.floor(math.log10(rates.min() / 2)), math.ceil(math.log10(rates.max() * 1.1))
    plot = Plot(WIDE, 330, (0.0, far * 1.04), (float(low), float(high)))
    marks = [plot.value_axis(_power), plot.number_axis(short)]
    if fit.A is not None and fit.k is not None:
        marks += _line(plot, fit, (fit.A, fit.k), far)
    for side, kind, name, rows in sides:
        marks += _whiskers(plot, rows, -side * NUDGE * far / 20, kind, name)
    return plot.picture(*marks, title="Fills a second by distance, and the fitted curve")


def residual_chart(rows: Residuals, most: int = 60) -> str:
    """Draw by how many standard deviations each distance has more or fewer fills than fitted."""
    z, delta = rows.standardised[:most], rows.delta_ticks[:most]
    told = np.flatnonzero(~np.isnan(z) & ((rows.fills[:most] > 0) | (rows.expected[:most] >= 0.5)))
    if not len(told):
        return nothing("There is no fit to compare with.")
    z, delta = z[: told[-1] + 1], delta[: told[-1] + 1]
    reach = max(3.0, float(np.abs(z).max()))
    plot = Plot(HALF, 250, (-0.7, len(z) - 0.3), padded(-reach, reach, 0.04))
    marks = [plot.value_axis()]
    marks += [f'<path class="dash" d="M{LEFT} {float(plot.up(at)):.1f}H{HALF - RIGHT}"/>' for at in (-2.0, 2.0)]
    wide, zero = float(plot.across(1.0) - plot.across(0.0)) * 0.72, float(plot.up(0.0))
    for i, value in enumerate(z.tolist()):
        top, kind = float(plot.up(value)), "buy" if value >= 0 else "sell"
        title = f"{short(delta[i])} ticks: {rows.fills[i]:,g} fills, {number(float(rows.expected[i]))} fitted"
        x = float(plot.across(i)) - wide / 2
        marks.append(bar(x, min(top, zero), (wide, abs(top - zero)), kind, title))
    every = max(1, math.ceil(len(z) / 12))
    marks += [plot.label(float(plot.across(i)), short(delta[i])) for i in range(0, len(z), every)]
    return plot.picture(*marks, title="Standardised residuals by distance")


def parameter_chart(pieces: Pieces, name: str, whole: float | None, title: str) -> str:
    """Draw *name* (``A`` or ``k``) of each piece with its 95 % interval, and the whole tape's as a line."""
    found = [(start, end, *_ends(fit, name)) for start, end, fit in pieces if fit.usable]
    if not found:
        return nothing("No piece of the day gives a usable fit on its own.")
    x = (float(pieces[0][0]), float(pieces[-1][1]))
    values = [value for *_, value, _, _ in found] + [whole or found[0][2]]
    low, high = min(end for *_, end, _ in found), max(end for *_, end in found)
    top = min(high, 4 * max(values))  # a piece that knows nothing must not flatten the others
    plot = Plot(WIDE, 190, x, padded(max(low, 0.0), top))
    marks = [plot.value_axis(most=5), plot.time_axis()]
    if whole is not None:
        y = float(plot.up(whole))
        marks.append(f'<path class="dash" d="M{LEFT} {y:.1f}H{WIDE - RIGHT}"/>')
    for start, end, value, least, most in found:
        interval = f"95 % {number(least)} to {number(most)}" if least < most else "no interval"
        said = f"{name} = {number(value)}, {interval}"
        marks.append(plot.whisker((start + end) / 2, value, (max(least, plot.y[0]), min(most, top)), "whisker", said))
    return plot.picture(*marks, title=title)


def _power(value: float) -> str:
    return f"{10.0**value:g}" if value == round(value) else ""


def _line(plot: Plot, fit: "PoissonFit", rates: tuple[float, float], far: float) -> list[str]:
    """Return the line of A and k (*rates*) with the band of its 95 % interval."""
    A, k = rates
    x = np.linspace(0.0, far * 1.04, 60)
    y = (math.log(A) - k * x) / math.log(10)
    marks = []
    if fit.se_logA is not None and fit.se_k is not None and fit.cov_logA_k is not None:
        variance = fit.se_logA**2 - 2 * x * fit.cov_logA_k + (x * fit.se_k) ** 2
        off = NORMAL_95 * np.sqrt(np.maximum(variance, 0.0)) / math.log(10)
        marks.append(plot.band(x, _held(plot, y - off), _held(plot, y + off), "band"))
    inside = np.where(y >= plot.y[0], y, np.nan)
    return [*marks, plot.path(x, inside, "line")]


def _held(plot: Plot, y: Floats) -> Floats:
    return np.clip(y, *plot.y)


def _whiskers(plot: Plot, rows: Residuals, shift: float, kind: str, name: str) -> list[str]:
    marks = []
    for delta, fills, seconds, rate, low, high in zip(
        rows.delta_ticks.tolist(), rows.fills.tolist(), rows.exposure_s.tolist(), *(r.tolist() for r in rows.rates()),
        strict=True,
    ):  # fmt: skip
        if fills == 0 or delta + shift > plot.x[1]:
            continue
        ends = max(math.log10(low), plot.y[0]), min(math.log10(high), plot.y[1])
        said = f"{name}, {short(delta)} ticks: {fills:,g} fills in {seconds:,.0f} s, {number(rate)} /s"
        marks.append(plot.whisker(delta + shift, math.log10(rate), ends, f"whisker {kind}", said))
    return marks


def _ends(fit: "PoissonFit", name: str) -> tuple[float, float, float]:
    """Return a parameter of a usable fit and the ends of its interval; itself where it has none, as in one block."""
    value, interval = (fit.A, fit.ci95_A) if name == "A" else (fit.k, fit.ci95_k)
    return value or math.nan, *(interval or (value or math.nan, value or math.nan))
