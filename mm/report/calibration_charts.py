"""The charts of a calibration: the curve and its residuals over distance, and the parameters over the day."""

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from mm.calibration.goodness import Residuals, residuals
from mm.calibration.points import Points
from mm.clock import US_PER_MS
from mm.dataclass import dataclass
from mm.numbers import number, power, short
from mm.report.curve import curves, keys, lines
from mm.report.drawn_columns import unit_of
from mm.report.frame import (
    ChartPart,
    card,
    interval,
    nothing,
)
from mm.report.svg import WIDE, Plot, bar, padded
from mm.report.timeline import Line, Marks, Panel, Spans, TimelineAxis, places, timeline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.calibration.calibrator import Measured
    from mm.calibration.fit_result import PoissonFit

    Floats = NDArray[np.float64]

BOTH = (("buy", "bids, hit by sellers"), ("sell", "asks, hit by buyers"))
SIDES = ((1, "buy", "bid"), (-1, "sell", "ask"))
MOST_RESIDUALS = 60  # maximum number of distances drawn
NUDGE = 0.06  # ticks between the points of the two sides
LEAST_DECADES = 0.5  # minimum room for intervals beyond the estimates of A on its chart
TINY = 1e-300  # minimum end of an interval, so that it has a logarithm
Pieces = Sequence[tuple[int, int, "PoissonFit"]]


def distances_card(measured: "Measured", fit: "PoissonFit") -> str:
    """Return the card of the curve and its residuals, which zoom together."""
    part, rest = curve_part(measured.shown, fit), residual_part(measured.fitted, fit)
    plot, rows = curve_area(measured.shown, fit), residuals(measured.fitted, fit.A, fit.k)
    if plot is None:
        return part.card()
    (_, far), (low, high) = plot.x, plot.y
    points, lines = [], []
    for side, kind, name in _sides(measured.shown):
        seen = residuals(measured.shown, None, None, side)
        at = seen.fills > 0
        rate, *ends = (np.log10(column[at]) for column in seen.rates())
        tip = [("ticks", seen.delta_ticks[at], 1e-3), ("fills", seen.fills[at].astype(np.float64), 1.0)]
        tip += [("in s of orders", seen.exposure_s[at], 1e-2), ("per second", 10**rate, 1e-9)]
        drawn = (np.clip(rate, low, high), np.clip(ends[0], low, high), np.clip(ends[1], low, high))
        us = places(seen.delta_ticks[at] - side * NUDGE * far / 20)
        bars = (drawn[1], drawn[2])
        points.append(Marks(name, f"whisker {kind}".strip(), 1, us, drawn[0], 1e-5, tip, "whisker", bars, stop=False))
    found, band = curves(fit, far / 1.04)
    for curve in found:
        inside = np.where((curve.rate < low) | (curve.rate > high), np.nan, curve.rate)
        lines.append(Line(curve.name, curve.kind, places(curve.delta_ticks), inside, 1e-5, straight=True))
    for end in () if band is None else band[1:]:
        inside = np.where((end < low) | (end > high), np.nan, end)
        lines.append(Line("", "faint", places(band[0] if band else end), inside, 1e-5, straight=True))
    shapes = Panel(
        "Fills per second of one resting order", "by ticks", part.picture, 330, lines, marks=points, log=True
    )
    charts = timeline(
        [shapes, residual_panel(rows, rest)], (0.0, float(places(np.array(far)))), None, TimelineAxis("ticks", "")
    )
    return card(part.title, part.hint, charts)


def residual_panel(rows: Residuals, part: ChartPart) -> Panel:
    """Return the residuals as a panel below the curve; *part* has their static picture."""
    at = _compared(rows)
    z, delta = rows.standardised[at], rows.delta_ticks[at]
    half = _bar_width(delta) / 2
    bars = [
        Spans(name, kind, places(delta[rows_of] - half), places(delta[rows_of] + half), z[rows_of], 1e-4, bars=True)
        for name, kind, rows_of in (("more than fitted", "buy", z >= 0), ("fewer", "sell", z < 0))
    ]
    ends = places(np.array([0.0, 2.0 * max(1.0, float(delta.max(initial=0.0)))]))
    levels = [Line("", "dash", ends, np.full(2, value), 1.0, straight=True) for value in (-2.0, 2.0)]
    return Panel(part.title, part.note, part.picture, 170, levels, bars, zero=True)


def pieces_card(pieces: Pieces, fit: "PoissonFit") -> str:
    """Return the card of A and k over the day, which zoom together."""
    hint = (
        "Each piece of the day alone, with 95 % intervals by its blocks of five minutes; dashed: the whole day. Where "
        "pieces differ by more than their bars, one A and k do not describe the day. A bar that ends at the edge of "
        "its chart extends beyond it."
    )
    if not any(one.usable for *_, one in pieces):
        return card("A and k over the day", hint, nothing("No piece of the day gives a usable fit on its own."))
    x = (float(pieces[0][0]), float(pieces[-1][1]))
    close_ms = 5 * (x[1] - x[0]) / len(pieces) / US_PER_MS
    panels = [
        _piece_panel(pieces, name, note, whole)
        for name, note, whole in (("k", "1/tick", fit.k), ("A", "1/s, logarithmic", fit.A))
    ]
    return card("A and k over the day", hint, timeline(panels, x, None, TimelineAxis(stop="piece", close_ms=close_ms)))


def _piece_panel(pieces: Pieces, name: str, note: str, whole: float | None) -> Panel:
    found = _Estimates.of(pieces, name, whole)
    words = [(label, [number(value) for value in column.tolist()], 1.0) for label, column in found.named(name)]
    value, low, high = found.drawn()
    unit = unit_of(np.concatenate([value, low, high]))
    points = Marks(name, "whisker", 1, found.us, value, unit, words, "whisker", (low, high), stop=name == "k")
    ends = np.array([pieces[0][0], pieces[-1][1]], dtype=np.int64)
    level = [] if whole is None else [Line("whole day", "dash", ends, np.full(2, found.scaled(whole)), unit)]
    picture = parameter_chart(pieces, name, whole, f"{name} of each piece of the day")
    return Panel(name, note, picture, 190, level, marks=[points], log=found.log)


def residual_part(points: Points, fit: "PoissonFit") -> ChartPart:
    """Return the chart of the residuals of the *points*."""
    note = "by distance, in standard deviations (deviance residuals); beyond the dashed lines is one in twenty"
    chart = residual_chart(residuals(points, fit.A, fit.k))
    return ChartPart("Residuals", note, chart, (("buy", "more than fitted"), ("sell", "fewer")))


def curve_part(points: Points | None, fit: "PoissonFit") -> ChartPart:
    """Return the chart of the *points* and the fitted line; only the line if the points are unknown."""
    hint = (
        "Fills per second of one resting order, by its distance in ticks; 95 % Poisson bars, fitted line with its "
        "95 % band. Distances without fills are in the fit, but not on this scale." + _reference(fit)
    )
    seen = () if points is None else BOTH
    title, note = "How often trades reach each distance", "fills per second of one resting order, by ticks"
    return ChartPart(title, note, curve_chart(points, fit), (*seen, *keys(fit)), hint)


def _reference(fit: "PoissonFit") -> str:
    """Return a sentence on the choice of the reference price; empty if none was compared."""
    choice = fit.reference_choice
    return "" if choice is None else f" Counted from the {fit.reference}: {escape(choice.why)}."


def _sides(points: Points | None) -> Sequence[tuple[int, str, str]]:
    """Return the sides of the points: both together if they have none."""
    return SIDES if points is None or points.side.any() else ((0, "", "both sides"),)


def curve_area(points: Points | None, fit: "PoissonFit") -> Plot | None:
    """Return the area of the curve's chart, with logarithmic y; None if there is nothing to draw."""
    sides = [] if points is None else [residuals(points, None, None, side) for side, *_ in _sides(points)]
    seen = [rows for rows in sides if rows.fills.sum() > 0]
    if not seen and (points is not None or fit.A is None or fit.k is None or fit.max_delta_ticks is None):
        return None
    if seen:
        far = max(float(rows.delta_ticks[rows.fills > 0].max()) for rows in seen)
        rates = np.concatenate([rows.rates()[0][rows.fills > 0] for rows in seen])
    else:
        far = fit.max_delta_ticks or 0.0
        rates = (fit.A or 0.0) * np.exp(-(fit.k or 0.0) * np.array([0.0, far]))
    low, high = math.floor(math.log10(rates.min() / 2)), math.ceil(math.log10(rates.max() * 1.1))
    return Plot(WIDE, 330, (0.0, far * 1.04), (float(low), float(high)))


def curve_chart(points: Points | None, fit: "PoissonFit") -> str:
    """Draw fills per second at each distance, on a logarithmic scale, with 95 % intervals, and the fitted line."""
    plot = curve_area(points, fit)
    if plot is None:
        return nothing("No fills at any distance.")
    far = plot.x[1] / 1.04
    marks = [plot.value_axis(power), plot.number_axis(short), *lines(plot, fit, far)]
    if points is not None:
        for side, kind, name in _sides(points):
            marks += whiskers(plot, points, (side, kind, name))
    return plot.picture(*marks, title="Fills per second by distance, and the fitted curve")


def _compared(rows: Residuals, most: int = MOST_RESIDUALS) -> "NDArray[np.intp]":
    """Return the distances with a residual, up to the last with fills or expected fills."""
    z = rows.standardised[:most]
    shown = np.flatnonzero(~np.isnan(z) & ((rows.fills[:most] > 0) | (rows.expected[:most] >= 0.5)))
    at: NDArray[np.intp] = np.flatnonzero(~np.isnan(z[: shown[-1] + 1])) if len(shown) else shown
    return at


def _bar_width(delta: "NDArray[np.float64]") -> float:
    return 0.72 * float(np.diff(delta).min()) if len(delta) > 1 else 0.5


def residual_chart(rows: Residuals) -> str:
    """Draw the residual of each distance: fills minus fitted fills, in standard deviations."""
    at = _compared(rows)
    if not len(at):
        return nothing("There is no fit to compare with.")
    z, delta = rows.standardised[at], rows.delta_ticks[at]
    reach = max(3.0, float(np.abs(z).max()))
    plot = Plot(WIDE, 170, (0.0, max(1.0, float(delta[-1]) * 1.04)), padded(-reach, reach, 0.04))
    marks = [plot.value_axis(most=5), plot.level(-2.0), plot.level(2.0), plot.number_axis(short)]
    wide, zero = float(plot.across(_bar_width(delta)) - plot.across(0.0)), float(plot.up(0.0))
    for i, value in enumerate(z.tolist()):
        top, kind = float(plot.up(value)), "buy" if value >= 0 else "sell"
        row = int(at[i])
        title = f"{short(delta[i])} ticks: {rows.fills[row]:,g} fills, {number(float(rows.expected[row]))} fitted"
        x = float(plot.across(float(delta[i]))) - wide / 2
        marks.append(bar(x, min(top, zero), (wide, abs(top - zero)), kind, title))
    return plot.picture(*marks, title="Standardised residuals by distance")


@dataclass(frozen=True)
class _Estimates:
    """A parameter of each piece with a usable fit, with the ends of its interval.

    Attributes:
        us: The middle of each piece.
        value, low, high: Estimates and ends of intervals.
        whole: Estimate of the whole day; None if unknown.
        log: Whether the logarithm to base ten is drawn: for A, which has multiplicative intervals.
    """

    us: "NDArray[np.int64]"
    value: "Floats"
    low: "Floats"
    high: "Floats"
    whole: float | None
    log: bool

    @classmethod
    def of(cls, pieces: Pieces, name: str, whole: float | None) -> "_Estimates":
        """Return the parameter *name* (``A`` or ``k``); at least one of the *pieces* is usable."""
        fits = [(start, end, fit) for start, end, fit in pieces if fit.usable]
        us = np.array([(start + end) // 2 for start, end, _ in fits], dtype=np.int64)
        value, low, high = np.array([_ends(fit, name) for *_, fit in fits], dtype=np.float64).T
        return cls(us, value, low, high, whole, name == "A")

    def named(self, name: str) -> "tuple[tuple[str, Floats], ...]":
        """Return the tooltips."""
        return (name, self.value), ("95 % from", self.low), ("to", self.high)

    def scaled(self, values: "float | Floats") -> "Floats":
        """Return *values* as they are drawn."""
        return np.log10(np.maximum(values, TINY)) if self.log else np.asarray(values, dtype=np.float64)

    @property
    def span(self) -> tuple[float, float]:
        """Range of the chart: all estimates, and as much of the intervals as does not flatten them."""
        known = self.scaled(np.append(self.value, self.value if self.whole is None else self.whole))
        low, high = float(known.min()), float(known.max())
        room = max((high - low) / 3, LEAST_DECADES if self.log else high / 2)
        least, most = float(self.scaled(self.low).min()), float(self.scaled(self.high).max())
        return padded(max(min(least, low), low - room), min(max(most, high), high + room))

    def drawn(self) -> "tuple[Floats, Floats, Floats]":
        """Return estimates and ends as they are drawn; an end beyond the chart is at its edge."""
        value, low, high = (np.clip(self.scaled(one), *self.span) for one in (self.value, self.low, self.high))
        return value, low, high


def parameter_chart(pieces: Pieces, name: str, whole: float | None, title: str) -> str:
    """Draw *name* (``A`` or ``k``) of each piece with its 95 % interval, and that of the whole tape as a line."""
    if not any(fit.usable for *_, fit in pieces):
        return nothing("No piece of the day gives a usable fit on its own.")
    found = _Estimates.of(pieces, name, whole)
    plot = Plot(WIDE, 190, (float(pieces[0][0]), float(pieces[-1][1])), found.span)
    text = (lambda exponent: number(10**exponent, 2)) if found.log else None
    marks = [plot.value_axis(text, most=5), plot.time_axis()]
    if whole is not None:
        marks.append(plot.level(float(found.scaled(whole))))
    numbers = zip(found.us.tolist(), found.value.tolist(), found.low.tolist(), found.high.tolist(), strict=True)
    for (middle, *own), at, *ends in zip(numbers, *(column.tolist() for column in found.drawn()), strict=True):
        value, least, most = own
        tip = f"{name} = {number(value)}, {interval((least, most) if least < most else None)}"
        marks.append(plot.whisker(middle, at, (ends[0], ends[1]), "whisker", tip))
    return plot.picture(*marks, title=title)


def whiskers(plot: Plot, points: Points, one: tuple[int, str, str]) -> list[str]:
    """Return the rates of one side's *points* with their 95 % bars; *one* is the side, its class and its name."""
    side, kind, name = one
    rows, shift = residuals(points, None, None, side), -side * NUDGE * plot.x[1] / 1.04 / 20
    marks = []
    for delta, fills, seconds, rate, low, high in zip(
        rows.delta_ticks.tolist(), rows.fills.tolist(), rows.exposure_s.tolist(), *(r.tolist() for r in rows.rates()),
        strict=True,
    ):  # fmt: skip
        if fills == 0 or delta + shift > plot.x[1]:
            continue
        ends = math.log10(low), math.log10(high)
        title = f"{name}, {short(delta)} ticks: {fills:,g} fills in {seconds:,.0f} s, {number(rate)} /s"
        marks.append(plot.whisker(delta + shift, math.log10(rate), ends, f"whisker {kind}", title))
    return marks


def _ends(fit: "PoissonFit", name: str) -> tuple[float, float, float]:
    """Return a parameter of a usable fit and the ends of its interval; without an interval both are the parameter."""
    value, interval = fit.A if name == "A" else fit.k, fit.headline_ci95(name)
    return value or math.nan, *(interval or (value or math.nan, value or math.nan))
