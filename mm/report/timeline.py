"""Charts over one span of time that zoom together: still pictures, and the columns from which a script redraws them.

The pictures are what is seen without scripts. With them, `drawing.js` draws them again from the whole data,
for the span that `zoom.js` lets a reader choose.
"""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.clock import US_PER_MS
from mm.report.frame import wide
from mm.report.svg import BOTTOM, LEFT, RIGHT, TOP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Instants = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

MOST_POINTS = 150_000  # of one line; more are thinned, peaks kept

_SCRIPTS = tuple(Path(__file__).with_name(name) for name in ("reading.js", "drawing.js", "zoom.js"))


@dataclass(frozen=True)
class Line:
    """A value over time that holds until the next one.

    Attributes:
        name: What it is, for the legend; HTML.
        kind: Its class, of the style sheet.
        us: Instants, rising.
        values: NaN where there is none.
        unit: Values are kept as multiples of it.
    """

    name: str
    kind: str
    us: "Instants"
    values: "Floats"
    unit: float


@dataclass(frozen=True)
class Stays:
    """Values that each hold for a time of their own, as our quotes do; they may overlap.

    Attributes:
        name, kind, unit: As of a :class:`Line`.
        us: When each begins, rising.
        until_us: When it ends.
        values: None is NaN.
    """

    name: str
    kind: str
    us: "Instants"
    until_us: "Instants"
    values: "Floats"
    unit: float

    def sampled(self, every: int) -> "Stays":
        """Return one of *every* so many, each until the next is drawn or the last of those left out ended."""
        if every == 1:
            return self
        last = np.append(np.arange(every, len(self.us), every), len(self.us)) - 1
        return replace(self, us=self.us[::every], until_us=self.until_us[last], values=self.values[::every])


@dataclass(frozen=True)
class Marks:
    """Things that happened, at a value: fills.

    Attributes:
        name, kind, unit: As of a :class:`Line`.
        side: +1 is drawn as an upward triangle, -1 as a downward one.
        us: Instants, rising.
        values: None is NaN.
        tip: What stands under the pointer: a label, and numbers with their unit, or words.
    """

    name: str
    kind: str
    side: int
    us: "Instants"
    values: "Floats"
    unit: float
    tip: Sequence[tuple[str, "Floats | Sequence[str]", float]] = ()

    def sampled(self, every: int) -> "Marks":
        """Return one of *every* so many."""
        tip = [(label, values[::every], unit) for label, values, unit in self.tip]
        return replace(self, us=self.us[::every], values=self.values[::every], tip=tip)


@dataclass(frozen=True)
class Panel:
    """One chart of a timeline.

    Attributes:
        title: What is drawn; HTML.
        note: Its unit, and what else is to know; HTML.
        picture: It as SVG, for who runs no scripts.
        height: Of the picture.
        lines, stays, marks: What is in it.
        zero: Whether zero is always in sight.
        since: Whether values are shown as their change since the left edge of what is in sight.
        counts: Whether the marks are counted instead of drawn, the lower side downwards.
    """

    title: str
    note: str
    picture: str
    height: int
    lines: Sequence[Line] = ()
    stays: Sequence[Stays] = ()
    marks: Sequence[Marks] = ()
    zero: bool = False
    since: bool = False
    counts: bool = False


def timeline(panels: Sequence[Panel], x: tuple[float, float], excluded: "NDArray[np.int64]") -> str:
    """Return *panels* one below the other, their data, and what moves them; the page needs :func:`script`, too.

    Args:
        panels: From top to bottom.
        x: First and last instant, in µs.
        excluded: First and last µs of each stretch to shade.
    """
    columns = _Columns(int(x[0]))
    data = {
        "from": int(x[0]) / US_PER_MS,
        "until": x[1] / US_PER_MS,
        "margins": [LEFT, RIGHT, TOP, BOTTOM],
        "off": [columns.instants(excluded[:, 0]), columns.instants(excluded[:, 1])],
        "panels": [columns.panel(panel) for panel in panels],
        "columns": columns.packed,
    }
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<div class="timeline" tabindex="0" role="group" aria-label="{_HELP}">{_bar()}'
        f'{"".join(map(_figure, panels))}<div class="tip" hidden></div></div>'
        f'<script type="application/json" id="timeline">{text}</script>'
    )


class _Columns:
    """The columns of a timeline that begins at *start_us*: what panels name by their numbers."""

    def __init__(self, start_us: int) -> None:
        self._start_us = start_us
        self._numbers: dict[bytes, int] = {}
        self.packed: list[dict[str, Any]] = []

    def panel(self, panel: Panel) -> dict[str, Any]:
        """Return a panel as the script reads it."""
        return {
            "height": panel.height,
            "zero": panel.zero,
            "since": panel.since,
            "counts": panel.counts,
            "lines": [self._line(line) for line in panel.lines],
            "stays": [self._stays(stays) for stays in panel.stays],
            "marks": [self._marks(marks) for marks in panel.marks],
        }

    def instants(self, us: "Instants") -> int:
        """Return the number of a column of ms since the start."""
        return self._column((us - self._start_us) // US_PER_MS)

    def _line(self, line: Line) -> dict[str, Any]:
        values, low = whole(line.values, line.unit)
        at = changes(values)
        at = at[extremes(values[at], MOST_POINTS)]
        scale = {"kind": line.kind, "low": low, "unit": line.unit}
        return {**scale, "t": self.instants(line.us[at]), "v": self._column(values[at])}

    def _stays(self, stays: Stays) -> dict[str, Any]:
        values, low = whole(stays.values, stays.unit)
        scale = {"kind": stays.kind, "low": low, "unit": stays.unit}
        us, until_us = stays.us - self._start_us, stays.until_us - self._start_us
        lasted = until_us // US_PER_MS - us // US_PER_MS
        return {**scale, "t": self.instants(stays.us), "lasted": self._column(lasted), "v": self._column(values)}

    def _marks(self, marks: Marks) -> dict[str, Any]:
        values, low = whole(marks.values, marks.unit)
        scale = {"kind": marks.kind, "side": marks.side, "low": low, "unit": marks.unit}
        tip = [self._tip(*one) for one in marks.tip]
        return {**scale, "t": self.instants(marks.us), "v": self._column(values), "tip": tip}

    def _tip(self, label: str, values: "Floats | Sequence[str]", unit: float) -> dict[str, Any]:
        if isinstance(values, np.ndarray):
            numbers, low = whole(values, unit)
            return {"label": label, "v": self._column(numbers), "low": low, "unit": unit}
        words = sorted(set(values))
        number = {word: i for i, word in enumerate(words)}
        codes = np.array([number[word] for word in values], np.int64)
        return {"label": label, "v": self._column(codes), "words": words}

    def _column(self, numbers: "NDArray[np.int64]") -> int:
        """Return the number of a column; equal ones are kept once."""
        known = len(self.packed)
        number = self._numbers.setdefault(numbers.tobytes(), known)
        if number == known:
            self.packed.append(packed(numbers))
        return number


_HELP = "Charts over time. Drag to zoom, arrows to move, plus and minus, 0 for all."
_BUTTONS = (
    ("out", "−", "zoom out (−)"),
    ("in", "+", "zoom in (+)"),
    ("left", "◀", "earlier (left arrow)"),
    ("right", "▶", "later (right arrow)"),
    ("3600", "1 h", "an hour"),
    ("600", "10 min", "ten minutes"),
    ("60", "1 min", "a minute"),
    ("back", "‹ fill", "the fill before (p)"),
    ("next", "fill ›", "the next fill (n)"),
    ("all", "all", "the whole time (0, or double-click)"),
)


def _bar() -> str:
    """Return what moves the charts; the script shows it."""
    buttons = "".join(f'<button data-do="{do}" title="{title}">{text}</button>' for do, text, title in _BUTTONS)
    return (
        f'<div class="bar" hidden><output></output><span>{buttons}</span>'
        "<i>or drag, shift-drag, wheel, arrows</i></div>"
    )


def _figure(panel: Panel) -> str:
    """Return a panel's heading and its still picture."""
    drawn: list[tuple[str, Sequence[Line | Stays | Marks]]] = [
        ("line", panel.lines),
        ("stays", panel.stays),
        ("marks", panel.marks),
    ]
    keys = "".join(
        f'<span><i class="key {one.kind}"></i>{one.name} <b data-{what}></b></span>'
        for what, several in drawn
        for one in several
    )
    return (
        f"<figure><figcaption><h3>{panel.title} <small>{panel.note}</small></h3>"
        f'<p class="legend">{keys}</p></figcaption>{wide(panel.picture)}</figure>'
    )


def script() -> str:
    """Return the script that lets a reader zoom into the timeline of a page."""
    parts = "\n".join(path.read_text(encoding="utf-8") for path in _SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


_WIDTHS = (1, 2, 4)
_INDEX_BITS = 24  # a column of more rows is not thinned in one go
_VALUE_BITS = 62 - _INDEX_BITS


def packed(numbers: "Ints") -> dict[str, Any]:
    """Return *numbers* as their differences, in one, two or four bytes each, whichever is shortest.

    Returns:
        ``bytes`` of a difference; ``steps``, all of them; ``at`` and ``far``, the places (4 bytes) and the values (8,
        floating) of those that do not fit, which are 0 among the steps. Little-endian, base64.
    """
    steps = np.diff(numbers, prepend=0)
    size = np.abs(steps)
    fits = [(width, np.flatnonzero(size >= 1 << 8 * width - 1)) for width in _WIDTHS]
    width, far = min(fits, key=lambda fit: len(steps) * fit[0] + len(fit[1]) * 12)
    near = steps.astype(f"<i{width}")
    near[far] = 0
    return {
        "bytes": width,
        "steps": _text(near),
        "at": _text(far.astype("<u4")),
        "far": _text(steps[far].astype("<f8")),
    }


def _text(array: "NDArray[Any]") -> str:
    return b64encode(array.tobytes()).decode()


def unit_of(values: "Floats") -> float:
    """Return a power of ten that tells *values* to six digits of their range; NaN is passed over."""
    known = values[~np.isnan(values)]
    reach = float(known.max() - known.min()) if len(known) else 0.0
    return float(10.0 ** (np.floor(np.log10(reach)) - 6)) if reach > 0 else 1.0


def whole(values: "Floats", unit: float) -> tuple["Ints", float]:
    """Return *values* as whole *units* above the least of them, plus one, with 0 for NaN; and the least."""
    hole = np.isnan(values)
    low = float(values[~hole].min()) if not hole.all() else 0.0
    return np.where(hole, 0, np.rint((np.nan_to_num(values) - low) / unit) + 1).astype(np.int64), low


def changes(values: "Ints") -> "NDArray[np.intp]":
    """Return where *values* differ from the one before; the first always does."""
    return np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1]))) if len(values) else np.arange(0)


def extremes(values: "Ints", most: int) -> "NDArray[np.intp]":
    """Return the rows to keep of a step function so that *most* or fewer are left.

    Of each equal share of the rows the first, the least, the greatest and the last are kept, so no peak is lost.
    """
    if len(values) <= most:
        return np.arange(len(values))
    first = np.unique(np.linspace(0, len(values), max(1, most // 4), endpoint=False).astype(np.int64))
    last = np.append(first[1:], len(values)) - 1
    over = max(0, int(values.max() - values.min()).bit_length() - _VALUE_BITS)
    rows = np.arange(len(values))
    least = np.minimum.reduceat((values - values.min()) >> over << _INDEX_BITS | rows, first)
    greatest = np.minimum.reduceat((values.max() - values) >> over << _INDEX_BITS | rows, first)
    mask = (1 << _INDEX_BITS) - 1
    return np.unique(np.concatenate((first, least & mask, greatest & mask, last)))
