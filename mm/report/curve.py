"""λ(δ) on the page of a calibration: the lines of its chart, and a card of its numbers by distance and spread."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from mm.calibration.fit_result import ANY_SPREAD, EXPONENTIAL
from mm.numbers import number, short
from mm.report.figures import NORMAL_95
from mm.report.frame import card, grid, interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.calibration.fit_result import CurvePoint, PoissonFit

    Floats = NDArray[np.float64]

MOST_ROWS = 12
POINTS = 60  # points of a drawn exponential
PLAIN = "A·exp(−k·δ)"


@dataclass(frozen=True)
class RateCurve:
    """A line of λ over distance, in logarithms to base ten.

    Attributes:
        name: Name in the legend; HTML.
        dashed: Whether it is drawn for comparison only.
        delta_ticks: Distances, ascending.
        rate: log10 of fills per second at each.
    """

    name: str
    dashed: bool
    delta_ticks: "Floats"
    rate: "Floats"


def curves(fit: "PoissonFit", far: float) -> tuple[list[RateCurve], "tuple[Floats, Floats, Floats] | None"]:
    """Return the lines of the chart up to *far* ticks, and distances and ends of the 95 % band of the chosen one.

    If another curve was chosen, the exponential is added; without a fit there are no lines.
    """
    if fit.A is None or fit.k is None:
        return [], None
    exponential, band = _exponential(fit, (fit.A, fit.k), far)
    if fit.shape is None or fit.shape.chosen == EXPONENTIAL or not fit.lambda_curve:
        return [RateCurve(PLAIN, False, *exponential)], band
    chosen = escape(fit.shape.chosen.replace("_", " "))
    rows = [one for one in _rows(fit, ANY_SPREAD) if one.delta_ticks <= far]
    x, y = np.array([one.delta_ticks for one in rows]), np.log10([one.lambda_per_s for one in rows])
    banded = [one for one in rows if one.ci95 is not None and one.ci95[0] > 0]
    ends = np.log10([one.ci95 for one in banded if one.ci95 is not None]).reshape(-1, 2).T
    found = (np.array([one.delta_ticks for one in banded]), ends[0], ends[1])
    return [RateCurve(chosen, False, x, y), RateCurve(PLAIN, True, *exponential)], found


def _exponential(
    fit: "PoissonFit", rates: tuple[float, float], far: float
) -> tuple[tuple["Floats", "Floats"], "tuple[Floats, Floats, Floats] | None"]:
    """Return the line of A and k (*rates*), and its 95 % band, if known."""
    A, k = rates
    x = np.linspace(0.0, far * 1.04, POINTS)
    y = (math.log(A) - k * x) / math.log(10)
    if fit.se_logA is None or fit.se_k is None or fit.cov_logA_k is None:
        return (x, y), None
    variance = fit.se_logA**2 - 2 * x * fit.cov_logA_k + (x * fit.se_k) ** 2
    off = NORMAL_95 * np.sqrt(np.maximum(variance, 0.0)) / math.log(10)
    return (x, y), (x, y - off, y + off)


def curve_card(fit: "PoissonFit") -> str:
    """Return the card of the curve: the choice, its valid range, and λ by distance and state of the spread."""
    if fit.shape is None or not fit.lambda_curve:
        return ""
    shape = fit.shape
    states = [name for name in dict.fromkeys(one.spread_state for one in fit.lambda_curve) if name != ANY_SPREAD]
    hint = (
        f"{escape(shape.why[:1].upper() + shape.why[1:])}. "
        f"Numbers: {', '.join(f'{name} {number(value)}' for name, value in shape.parameters.items()) or 'the table'}. "
        f"The interval of λ ends within a factor of two of it {stretch(shape.trusted_ticks)}; A·exp(−k·δ) lies within "
        f"that interval {stretch(shape.exponential_trusted_ticks)}."
    )
    head = ("ticks", "λ, 1/s", "95 %", "A·exp(−k·δ)", *(f"at spread {name}" for name in states))
    return card("λ by distance and spread", hint, grid(head, list(_table(fit, states))))


def _table(fit: "PoissonFit", states: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield one row per distance, nearest first; beyond the first dozen, for progressively fewer distances."""
    by_state = {name: {one.delta_ticks: one for one in _rows(fit, name)} for name in states}
    rows = _rows(fit, ANY_SPREAD)
    ahead = np.geomspace(MOST_ROWS, max(len(rows), MOST_ROWS), 9).astype(int) - 1
    for place in sorted({*range(min(MOST_ROWS, len(rows))), *np.minimum(ahead, len(rows) - 1).tolist()}):
        one = rows[place]
        plain = "–" if fit.A is None or fit.k is None else number(fit.A * math.exp(-fit.k * one.delta_ticks))
        others = (by_state[name].get(one.delta_ticks) for name in states)
        yield (
            short(one.delta_ticks),
            number(one.lambda_per_s),
            interval(one.ci95).removeprefix("95 %: "),
            plain,
            *("" if other is None else number(other.lambda_per_s) for other in others),
        )


def _rows(fit: "PoissonFit", state: str) -> "list[CurvePoint]":
    return [one for one in fit.lambda_curve if one.spread_state == state]


def stretch(ticks: tuple[float, float] | None) -> str:
    """Return a range in ticks, as words."""
    if ticks is None:
        return "nowhere"
    near, far = map(short, ticks)
    return f"at {near} ticks" if near == far else f"from {near} to {far} ticks"
