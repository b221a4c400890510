"""Draw charts as inline SVG: scales, axes, and marks whose size in bytes is independent of the length of the run.

Colours and fonts are classes; the page's style sheet defines them for light and dark mode.
"""

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.clock import US_PER_S
from mm.dataclass import dataclass
from mm.numbers import labels
from mm.report._drawn_rows import envelope_rows, points_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Instants = NDArray[np.int64]

WIDE, HALF = 1072, 520  # widths of a picture: of a card, and of one of two side by side
LEFT, RIGHT, TOP, BOTTOM = 64, 22, 12, 26
HALF_LETTER = 4  # maximum half width of a letter in a label
NORMAL_95 = 1.959964  # standard errors on either side of a 95 % interval
MAX_DOTS = 3_000
# Seconds between time labels; the first that leaves enough room is used.
TIME_STEPS = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 2592000)


@dataclass(frozen=True, eq=False)
class Plot:
    """A drawing area and the values at its edges.

    Attributes:
        width: Width of the whole picture, in units of its view box.
        height: Height, in the same units.
        x: Values at the left and the right edge.
        y: Values at the bottom and the top edge.
    """

    width: int
    height: int
    x: tuple[float, float]
    y: tuple[float, float]

    def across(self, values: "Floats | float") -> Any:
        """Return the horizontal positions of *values*."""
        low, high = self.x
        return LEFT + (values - low) / (high - low) * (self.width - LEFT - RIGHT)

    def up(self, values: "Floats | float") -> Any:
        """Return the vertical positions of *values*."""
        low, high = self.y
        return self.height - BOTTOM - (values - low) / (high - low) * self.depth

    @property
    def depth(self) -> int:
        """The height between the margins."""
        return self.height - TOP - BOTTOM

    def picture(self, *marks: str, title: str) -> str:
        """Return the whole SVG; *title* is for screen readers."""
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(title)}">'
            + "".join(marks)
            + "</svg>"
        )

    def value_axis(self, text: Callable[[float], str] | None = None, most: int = 6) -> str:
        """Return labelled rules at about *most* round values; labels are short enough for the margin, or from *text*.

        There is no rule where *text* is empty; the one at zero is stronger.
        """
        values = round_values(*self.y, most)
        texts = [text(value) for value in values] if text else labels(values)
        marks = []
        for value, label in zip(values, texts, strict=True):
            if not label:
                continue
            y = float(self.up(value))
            kind = "zero" if value == 0 else "rule"
            marks.append(f'<path class="{kind}" d="M{LEFT} {y:.1f}H{self.width - RIGHT}"/>')
            marks.append(f'<text class="tick end" x="{LEFT - 8}" y="{y + 3.5:.1f}">{escape(label)}</text>')
        return "".join(marks)

    def time_axis(self) -> str:
        """Return labels in UTC below a plot with x in µs."""
        marks = []
        for us, label in time_labels(*self.x):
            x = float(self.across(us))
            marks.append(f'<path class="rule" d="M{x:.1f} {self.height - BOTTOM}v4"/>')
            marks.append(self.label(min(x, self.width - HALF_LETTER * len(label)), label))
        return "".join(marks)

    def number_axis(self, text: Callable[[float], str], most: int = 12) -> str:
        """Return labels below the plot at about *most* round values of x; none where *text* is empty."""
        marks = []
        for value in filter(text, round_values(*self.x, most)):
            x = float(self.across(value))
            marks.append(f'<path class="rule" d="M{x:.1f} {self.height - BOTTOM}v4"/>')
            marks.append(self.label(x, text(value)))
        return "".join(marks)

    def path(self, x: "Floats", y: "Floats", kind: str) -> str:
        """Return a line through points of ascending x; NaN splits it."""
        pieces, pen = [], "M"
        for a, b in zip(self.across(x).tolist(), self.up(y).tolist(), strict=True):
            if math.isnan(b):
                pen = "M"
                continue
            pieces.append(f"{pen}{a:.1f} {b:.1f}")
            pen = "L"
        return f'<path class="{kind}" d="{"".join(pieces)}"/>'

    def band(self, x: "Floats", low: "Floats", high: "Floats", kind: str) -> str:
        """Return the area between two lines over x."""
        across, up = np.append(self.across(x), self.across(x)[::-1]), np.append(self.up(high), self.up(low)[::-1])
        points = points_text(across, up, " ", ",", "")[1:]
        return f'<path class="{kind}" d="M{points}z"/>' if points else ""

    def whisker(self, x: float, y: float, ends: tuple[float, float], kind: str, title: str) -> str:
        """Return a point with an error bar to *ends*, all in values; *title* is the tooltip.

        Values outside the plot are drawn at its edge, points in a pale colour.
        """
        at, (bottom, top) = float(self.across(x)), self.y
        middle, low, high = (float(self.up(min(max(value, bottom), top))) for value in (y, *ends))
        kind += "" if self.y[0] <= y <= self.y[1] else " beyond"
        return (
            f'<g class="{kind}"><title>{escape(title)}</title><path d="M{at:.1f} {low:.1f}V{high:.1f}"/>'
            f'<circle cx="{at:.1f}" cy="{middle:.1f}" r="3.5"/></g>'
        )

    def level(self, value: float, kind: str = "dash") -> str:
        """Return a horizontal line at *value*."""
        return f'<path class="{kind}" d="M{LEFT} {float(self.up(value)):.1f}H{self.width - RIGHT}"/>'

    def names(self, texts: Sequence[str], most: int) -> str:
        """Return labels at x = 0, 1, 2, …, at most *most* of them."""
        every = max(1, math.ceil(len(texts) / most))
        return "".join(self.label(float(self.across(i)), texts[i]) for i in range(0, len(texts), every))

    def label(self, x: float, text: str, kind: str = "tick mid") -> str:
        """Return *text* below the plot, centred at *x*."""
        return f'<text class="{kind}" x="{x:.1f}" y="{self.height - BOTTOM + 17}">{escape(text)}</text>'

    def line(self, us: "Instants", values: "Floats", kind: str) -> str:
        """Return a line through *values* over time: minimum and maximum of every two units of width."""
        columns = (self.width - LEFT - RIGHT) // 2
        pieces = []
        for piece in envelope(us, values, self.x, columns):
            x, y = self.across(piece[0]), self.up(piece[1])
            points = points_text(x, y, " ", ",", "")[1:]
            pieces.append(f"M{points}" if len(x) > 1 else f"M{points}h1")
        return f'<path class="{kind}" d="{"".join(pieces)}"/>'

    def spans(self, spans: Sequence[tuple[float, float]], kind: str, title: str) -> str:
        """Return full-height bands over stretches of x, at least one unit wide; *title* is the tooltip."""
        marks = []
        for first, last in spans:
            left, right = float(self.across(first)), float(self.across(last))
            marks.append(f"M{left:.1f} {TOP}h{max(1.0, right - left):.1f}v{self.depth}H{left:.1f}z")
        return f'<path class="{kind}" d="{"".join(marks)}"><title>{escape(title)}</title></path>' if marks else ""

    def columns(self, edges: "Floats", values: "Floats", kind: str) -> str:
        """Return one bar from zero between each two *edges* of x."""
        x, y, zero = self.across(edges), self.up(values), float(self.up(0.0))
        marks = [
            f"M{x[i] + 0.5:.1f} {zero:.1f}V{y[i]:.1f}H{x[i + 1] - 0.5:.1f}V{zero:.1f}z" for i in np.flatnonzero(values)
        ]
        return f'<path class="{kind}" d="{"".join(marks)}"/>'

    def marks(self, x: "Floats", y: "Floats", side: int, kind: str, shape: str = "fill", *, few: bool = True) -> str:
        """Return one small mark per point; points at the same position are drawn once.

        Args:
            x, y: The points; NaN is omitted.
            side: +1 is an upward triangle.
            kind: Their class.
            shape: ``fill`` is a triangle, ``cross`` a cross.
            few: False draws dots instead.
        """
        places = np.stack([self.across(x), self.up(y)], axis=1)
        places = places[~np.isnan(places).any(axis=1)]
        cell = 2.0
        while len(cells := _distinct_places(np.round(places / cell))) > MAX_DOTS:
            cell *= 1.5
        tip = -4.5 * side
        mark = (
            "h.01"
            if not few
            else "m-3.5-3.5l7 7m0-7l-7 7"
            if shape == "cross"
            else f"m0 {tip:g}l3.2 {-2 * tip:g}h-6.4z"
        )
        across, up = (cells * cell).T
        marks = points_text(across, up, "M", " ", mark, whole=True)
        return f'<path class="{kind}{"" if few or shape == "cross" else " dots"}" d="{marks}"/>' if marks else ""


def _distinct_places(places: "Floats") -> "Floats":
    """Return distinct *places*, rows of x and y, from left to right and from top to bottom."""
    ordered = places[np.lexsort((places[:, 1], places[:, 0]))]
    new = np.ones(len(ordered), bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return ordered[new]


def bar(x: float, y: float, size: tuple[float, float], kind: str, title: str) -> str:
    """Return a bar of *size* (width, height) with its top left corner at *x*, *y*; *title* is the tooltip."""
    width, height = size
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{max(height, 0.5):.1f}" '
        f'rx="1.5"><title>{escape(title)}</title></rect>'
    )


def envelope(us: "Instants", values: "Floats", x: tuple[float, float], columns: int) -> list[tuple["Floats", "Floats"]]:
    """Return *values* thinned to the minimum and maximum of each column, in their order.

    A stretch of NaN that fills a column or more splits the line; each piece has its instants and its values.
    """
    rows, holes = envelope_rows(np.asarray(us, np.float64), np.asarray(values, np.float64), *x, columns)
    pieces = np.split(rows, holes) if len(rows) else []
    return [(us[piece].astype(np.float64), values[piece]) for piece in pieces]


def steps(us: "Instants", values: "Floats") -> tuple["Instants", "Floats"]:
    """Return the corners of the step function in which each value is valid until the next instant."""
    return np.repeat(us, 2)[1:], np.repeat(values, 2)[:-1]


def padded(low: float, high: float, share: float = 0.06) -> tuple[float, float]:
    """Return a range slightly wider than *low* to *high*, never empty."""
    room = (high - low) * share or abs(high) * 1e-4 or 1.0
    return low - room, high + room


def round_values(low: float, high: float, most: int = 6) -> list[float]:
    """Return the multiples of 1, 2 or 5 times a power of ten within the range, about *most* of them."""
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def time_labels(low_us: float, high_us: float, most: int = 10) -> list[tuple[int, str]]:
    """Return round instants and their labels in UTC: the time, or the day at its start."""
    span_s = (high_us - low_us) / US_PER_S
    step_s = next((step for step in TIME_STEPS if span_s / step <= most), TIME_STEPS[-1])
    step_us = step_s * US_PER_S
    labels = []
    for us in range(-int(-low_us // step_us) * step_us, int(high_us) + 1, step_us):
        at = datetime.fromtimestamp(us // US_PER_S, timezone.utc)
        midnight = us % (86_400 * US_PER_S) == 0
        labels.append((us, at.strftime("%d %b" if midnight else "%H:%M:%S" if step_s < 60 else "%H:%M")))
    return labels
