"""Charts of a calibration: the curve and its residuals over distance, the parameters over the day."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.base.arrays import Floats, Rows
from mm.base.numbers import NORMAL, number, short, significant
from mm.calibration.fit_result import ANY_SPREAD, EXPONENTIAL
from mm.calibration.goodness import Residuals, residuals
from mm.calibration.intervals import normal_of
from mm.calibration.points import Points
from mm.report import figures
from mm.report.figures import BAND, BUY, LOSS, MAIN, SELL, Figure, Panel, Scale, Trace
from mm.report.frame import card, chart, grid, interval, zoom_bar

if TYPE_CHECKING:
    from mm.calibration.calibrator import Measured
    from mm.calibration.fit_result import CurvePoint, PoissonFit

SIDES = ((1, BUY, "bids, hit by sellers"), (-1, SELL, "asks, hit by buyers"))
MOST_RESIDUALS = 60  # maximum number of distances drawn
NUDGE = 0.003  # of the width of the axis, between the points of the two sides
LEAST_DECADES = 0.5  # minimum room for intervals beyond the estimates of A on its chart
TINY = 1e-300  # minimum end of an interval, so that it has a logarithm
STEEP = 20.0  # residuals beyond which their scale is logarithmic
MOST_ROWS = 12  # of the table of λ, before its distances are spaced
DRAWN = 60  # points of a drawn exponential
PLAIN = "A·exp(−k·δ)"
Pieces = Sequence[tuple[int, int, "PoissonFit"]]


@dataclass(frozen=True)
class CurveArea:
    far: float
    low: int
    high: int

    @property
    def scale(self) -> Scale:
        return Scale(self.far)

    def x(self) -> dict[str, Any]:
        ends = self.scale.at([0.0, self.far]).tolist()
        room = 0.02 * (ends[1] or 1.0)
        return figures.numbers_axis("ticks", **self.scale.axis(), range=[-room, ends[1] + room])

    def y(self) -> dict[str, Any]:
        return {**figures.LOG, "range": [self.low, self.high]}

    def clipped(self, rates: Floats) -> Floats:
        return np.clip(rates, 10.0**self.low, 10.0**self.high)


def distances_card(measured: "Measured", fit: "PoissonFit") -> str:
    choice = fit.reference_choice
    reference = "" if choice is None else f" Counted from the {fit.reference}: {escape(choice.why)}."
    hint = (
        "Fills per second of one resting order, by its distance in ticks; 95 % Poisson bars, fitted line with its 95 % "
        "band by blocks. Distances without fills are in the fit, but not on this scale. Residuals are in standard "
        f"deviations; beyond the dashed lines is one in twenty.{reference}"
    )
    return card(
        "How often trades reach each distance",
        hint,
        chart(distances_figure(measured.shown, measured.fitted, fit), NONE),
    )


NONE = "No fills at any distance."


def distances_figure(shown: Points, fitted: Points, fit: "PoissonFit") -> Figure | None:
    area = curve_area(shown, fit)
    if area is None:
        return None
    panels = [Panel("Fills per second of one resting order", "by ticks", curve_traces(shown, fit, area), 330,
                    area.y())]  # fmt: skip
    rows = residuals(fitted, fit.A, fit.k)
    if len(_compared(rows)):
        panels.append(residual_panel(rows, area))
    return figures.stacked(panels, area.x())


def curve_figure(points: Points | None, fit: "PoissonFit") -> Figure | None:
    area = curve_area(points, fit)
    return None if area is None else figures.chart(curve_traces(points, fit, area), area.x(), 330, y=area.y())


def sides_of(points: Points | None) -> Sequence[tuple[int, str, str]]:
    return SIDES if points is None or points.side.any() else ((0, SELL, "both sides"),)


def curve_area(points: Points | None, fit: "PoissonFit") -> CurveArea | None:
    sides = [] if points is None else [residuals(points, None, None, side) for side, *_ in sides_of(points)]
    seen = [rows for rows in sides if rows.fills.sum() > 0]
    if not seen and (points is not None or fit.A is None or fit.k is None or fit.max_delta_ticks is None):
        return None
    if seen:
        far = max(float(rows.delta_ticks[rows.fills > 0].max()) for rows in seen)
        rates = np.concatenate([rows.rates()[0][rows.fills > 0] for rows in seen])
    else:
        far = fit.max_delta_ticks or 0.0
        rates = (fit.A or 0.0) * np.exp(-(fit.k or 0.0) * np.array([0.0, far]))
    return CurveArea(far * 1.04, math.floor(math.log10(rates.min() / 2)), math.ceil(math.log10(rates.max() * 1.1)))


def curve_traces(points: Points | None, fit: "PoissonFit", area: CurveArea) -> list[Trace]:
    lines, band = curves(fit, area.far / 1.04)
    traces = list[Trace]()
    if band is not None:
        x = area.scale.at(band[0])
        low, high = (area.clipped(10.0**end) for end in band[1:])
        more: dict[str, Any] = {"hoverinfo": "skip", "showlegend": False, "line": {"width": 0}}
        traces.append(figures.line("", x, low, **more))
        traces.append(figures.line("", x, high, **more, fill="tonexty", fillcolor=BAND))
    for place, (name, delta, log_rate) in enumerate(lines):
        inside = (log_rate >= area.low) & (log_rate <= area.high)
        rate = np.where(inside, 10.0**log_rate, np.nan)
        style, colour = ({"dash": "dash"}, LOSS) if place else ({"width": 2}, MAIN)
        tip = "%{text} ticks: %{y:.3~r} /s<extra>" + name + "</extra>"
        more = {"line": style, "text": [short(ticks) for ticks in delta.tolist()], "hovertemplate": tip}
        traces.append(figures.line(name, area.scale.at(delta), rate, colour, **more))
    sides = () if points is None else sides_of(points)
    return [*traces, *(_points(points, side, area) for side in sides if points is not None)]


def _points(points: Points, look: tuple[int, str, str], area: CurveArea) -> Trace:
    side, colour, name = look
    rows = residuals(points, None, None, side)
    at = np.flatnonzero((rows.fills > 0) & (rows.delta_ticks <= area.far))
    rate, low, high = (area.clipped(column[at]) for column in rows.rates())
    x = area.scale.at(rows.delta_ticks[at])
    tips = [
        f"{name}, {short(delta)} ticks: {fills:,g} fills in {seconds:,.0f} s of orders, {number(fills / seconds)} /s"
        for delta, fills, seconds in zip(
            *(column[at].tolist() for column in (rows.delta_ticks, rows.fills, rows.exposure_s)), strict=True
        )
    ]
    shift = -side * NUDGE * float(area.scale.at(area.far))
    return figures.points(name, x + shift, rate, colour, ends=(low, high), tips=tips, marker={"size": 6})


def _compared(rows: Residuals) -> Rows:
    z = rows.standardised[:MOST_RESIDUALS]
    shown = np.flatnonzero(~np.isnan(z) & ((rows.fills[: len(z)] > 0) | (rows.expected[: len(z)] >= 0.5)))
    at: Rows = np.flatnonzero(~np.isnan(z[: shown[-1] + 1])) if len(shown) else shown
    return at


def residual_panel(rows: Residuals, area: CurveArea) -> Panel:
    at = _compared(rows)
    z, delta = rows.standardised[at], rows.delta_ticks[at]
    x, scale = area.scale.at(delta), Scale(max(3.0, float(np.abs(z).max())), STEEP, signed=True)
    gaps = np.diff(x)
    apart = np.minimum(np.append(gaps, np.inf), np.append(np.inf, gaps))
    width = 0.8 * np.where(np.isinf(apart), 1.0, apart)
    traces = list[Trace]()
    for name, colour, rows_of in (("more than fitted", BUY, z >= 0), ("fewer", SELL, z < 0)):
        tips = [
            f"{short(delta[i])} ticks: {rows.fills[at[i]]:,g} fills, {number(float(rows.expected[at[i]]))} fitted, "
            f"residual {number(float(z[i]), 3)}"
            for i in np.flatnonzero(rows_of).tolist()
        ]
        traces.append(figures.bars(name, x[rows_of], scale.at(z[rows_of]), colour, tips, width=width[rows_of]))
    reach = float(scale.at(scale.reach)) * 1.05
    y = {**scale.axis((10,)), "range": [-reach, reach]}
    return Panel("Residuals", "standard deviations", traces, 170, y, [float(scale.at(edge)) for edge in (-2.0, 2.0)])


def curves(
    fit: "PoissonFit", far: float
) -> tuple[list[tuple[str, Floats, Floats]], tuple[Floats, Floats, Floats] | None]:
    """Return name, distances and log10 λ of each line up to *far* ticks, and the 95 % band of the chosen one."""
    if fit.A is None or fit.k is None:
        return [], None
    exponential, band = _exponential(fit, (fit.A, fit.k), far)
    if fit.shape is None or fit.shape.chosen == EXPONENTIAL or not fit.lambda_curve:
        return [(PLAIN, *exponential)], band
    chosen = escape(fit.shape.chosen.replace("_", " "))
    rows = [row for row in _rows(fit, ANY_SPREAD) if row.delta_ticks <= far]
    x, y = np.array([row.delta_ticks for row in rows]), np.log10([row.lambda_per_s for row in rows])
    banded = [row for row in rows if row.ci95 is not None and row.ci95[0] > 0]
    ends = np.log10([row.ci95 for row in banded if row.ci95 is not None]).reshape(-1, 2).T
    band = (np.array([row.delta_ticks for row in banded]), ends[0], ends[1])
    return [(chosen, x, y), (PLAIN, *exponential)], band


def _exponential(
    fit: "PoissonFit", rates: tuple[float, float], far: float
) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats, Floats] | None]:
    A, k = rates
    x = np.linspace(0.0, far * 1.04, DRAWN)
    y = (math.log(A) - k * x) / math.log(10)
    normal = normal_of(fit)
    if normal is None:
        return (x, y), None
    error_a, error_k, correlation = normal
    variance = error_a**2 - 2 * x * correlation * error_a * error_k + (x * error_k) ** 2
    off = NORMAL * np.sqrt(np.maximum(variance, 0.0)) / math.log(10)
    return (x, y), (x, y - off, y + off)


def curve_card(fit: "PoissonFit") -> str:
    if fit.shape is None or not fit.lambda_curve:
        return ""
    shape = fit.shape
    states = [name for name in dict.fromkeys(point.spread_state for point in fit.lambda_curve) if name != ANY_SPREAD]
    hint = (
        f"{escape(shape.why[:1].upper() + shape.why[1:])}. "
        f"Numbers: {', '.join(f'{name} {number(value)}' for name, value in shape.parameters.items()) or 'the table'}. "
        f"The interval of λ ends within a factor of two of it {stretch(shape.trusted_ticks)}; A·exp(−k·δ) lies within "
        f"that interval {stretch(shape.exponential_trusted_ticks)}."
    )
    head = ("ticks", "λ, 1/s", "95 %", "A·exp(−k·δ), 1/s", *(f"at spread {name}, 1/s" for name in states))
    return card("λ by distance and spread", hint, grid(head, list(_table(fit, states))))


def _table(fit: "PoissonFit", states: Sequence[str]) -> Iterator[tuple[str, ...]]:
    by_state = {name: {row.delta_ticks: row for row in _rows(fit, name)} for name in states}
    rows = _rows(fit, ANY_SPREAD)
    ahead = np.geomspace(MOST_ROWS, max(len(rows), MOST_ROWS), 9).astype(int) - 1
    for place in sorted({*range(min(MOST_ROWS, len(rows))), *np.minimum(ahead, len(rows) - 1).tolist()}):
        row = rows[place]
        plain = "–" if fit.A is None or fit.k is None else significant(fit.A * math.exp(-fit.k * row.delta_ticks))
        others = (by_state[name].get(row.delta_ticks) for name in states)
        yield (
            short(row.delta_ticks),
            significant(row.lambda_per_s),
            "–" if row.ci95 is None else " to ".join(map(significant, row.ci95)),
            plain,
            *("" if other is None else significant(other.lambda_per_s) for other in others),
        )


def _rows(fit: "PoissonFit", state: str) -> "list[CurvePoint]":
    return [point for point in fit.lambda_curve if point.spread_state == state]


def stretch(ticks: tuple[float, float] | None) -> str:
    if ticks is None:
        return "nowhere"
    near, far = map(short, ticks)
    return f"at {near} ticks" if near == far else f"from {near} to {far} ticks"


def pieces_card(pieces: Pieces, fit: "PoissonFit") -> str:
    hint = (
        "Each piece of the day alone, with 95 % intervals by its blocks of five minutes; dashed: the whole day. Where "
        "pieces differ by more than their bars, one A and k do not describe the day. A bar that ends at the edge of "
        "its chart extends beyond it."
    )
    body = chart(pieces_figure(pieces, fit), "No piece of the day gives a usable fit on its own.")
    return card("A and k over the day", hint, zoom_bar() + body)


def pieces_figure(pieces: Pieces, fit: "PoissonFit") -> Figure | None:
    if not any(fit.usable for *_, fit in pieces):
        return None
    panels = [_piece_panel(pieces, "k", "1/tick", fit.k), _piece_panel(pieces, "A", "1/s, logarithmic", fit.A)]
    return figures.stacked(panels, figures.time_axis(float(pieces[0][0]), float(pieces[-1][1])))


def _piece_panel(pieces: Pieces, name: str, unit: str, whole: float | None) -> Panel:
    log = name == "A"  # its intervals are multiplicative
    fits = [(start, end, fit) for start, end, fit in pieces if fit.usable]
    us = np.array([(start + end) // 2 for start, end, _ in fits], dtype=np.int64)
    value = np.array([fit.A if log else fit.k for *_, fit in fits], dtype=np.float64)
    known = [fit.headline_ci95(name) for *_, fit in fits]
    low, high = (
        np.array([estimate if ends is None else ends[i] for estimate, ends in zip(value.tolist(), known, strict=True)])
        for i in (0, 1)
    )
    values, ends = (
        np.log10(np.maximum(numbers, TINY)) if log else numbers
        for numbers in (np.append(value, value if whole is None else whole), np.append(low, high))
    )
    least, most = float(values.min()), float(values.max())
    room = max((most - least) / 3, LEAST_DECADES if log else most / 2)
    span = figures.padded(
        max(min(float(ends.min()), least), least - room), min(max(float(ends.max()), most), most + room)
    )
    edges = (10.0 ** span[0], 10.0 ** span[1]) if log else span
    tips = [
        f"{name} = {number(estimate)}, {interval((first, last) if first < last else None)}"
        for estimate, first, last in zip(value.tolist(), low.tolist(), high.tolist(), strict=True)
    ]
    y: dict[str, Any] = {"range": [math.log10(edge) for edge in edges] if log else list(edges)}
    y |= {"type": "log", **figures.log_labels(*edges)} if log else {}
    drawn = np.clip(low, *edges), np.clip(high, *edges)
    points = figures.points(name, figures.ms(us), value, MAIN, ends=drawn, tips=tips)
    return Panel(name, unit, [points], 170, y, [] if whole is None else [whole])
