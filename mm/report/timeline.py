"""Charts over a common span of time, or of numbers, that zoom together: static pictures, and data to redraw them.

Without scripts the page shows the pictures. With scripts, `drawing.js` redraws them from the data for the span that the
reader selects with `zoom.js`. Data too large for a page are thinned by one rule (`drawn_rows`): all rows near a fill
are kept, and of the others the extremes of equal shares of the rows.
"""

import json
from collections.abc import Iterator, Sequence
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.arithmetic import changes
from mm.clock import US_PER_MS
from mm.dataclass import dataclass, replace
from mm.report.drawn_columns import Near, Packed, Units, drawn_rows, evenly, extremes, packed, whole
from mm.report.frame import wide
from mm.report.svg import BOTTOM, LEFT, RIGHT, TOP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Instants = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Rows = NDArray[np.intp]

MOST_BYTES = 1_300_000  # limit for the columns of a page
MOST_ROWS = (150_000, 80_000, 40_000, 20_000, 10_000, 5_000, 2_500)  # per series: the largest that fits is used
ROW_BYTES = 7.0  # estimate of the bytes per drawn row, before any are written
LEAST_SHARE = 0.8  # of the bytes of a row that it takes if a size has more rows, whose differences are smaller
UNIT = 1_000_000  # µs per 1 on an axis of numbers
NUMBERS = (np.ndarray, Units)
CLOSE_MS = 60_000  # span shown after a step to the next fill

_SCRIPTS = tuple(Path(__file__).with_name(f"{name}.js") for name in ("reading", "drawing", "marks", "zoom"))


@dataclass(frozen=True, eq=False)
class Line:
    """A step function of time: each value is valid until the next one.

    Attributes:
        name: Name in the legend; HTML. Empty: not in the legend; such lines come last.
        kind: Its class in the style sheet.
        us: Instants, ascending.
        values: Values; NaN for none.
        unit: Values are stored as multiples of it.
        straight: Whether straight lines join the points, instead of steps.
    """

    name: str
    kind: str
    us: "Instants"
    values: "Floats"
    unit: float
    straight: bool = False

    def thinned(self, most: int, near: "Near") -> "Line":
        """Return the line with about *most* rows, including all near the instants *near* if there is room."""
        at, us, codes = self.steps
        at = at[drawn_rows(us, most, near, partial(extremes, codes))]
        return replace(self, us=self.us[at], values=self.values[at])

    @cached_property
    def steps(self) -> tuple["Rows", "Instants", "Ints"]:
        """The rows at which the value changes, their instants, and values as from `whole`."""
        codes = whole(self.values, self.unit)[0]
        at = np.arange(len(codes)) if self.straight else changes(codes)
        return at, self.us[at], codes[at]

    @property
    def rows(self) -> int:
        """Number of rows at which the value changes."""
        return len(self.steps[0])


@dataclass(frozen=True, eq=False)
class Spans:
    """Values that are each valid for a span of time, such as our quotes; they may overlap.

    Attributes:
        name, kind, unit: As in :class:`Line`.
        us: Start of each span, ascending.
        until_us: End of each span.
        values: Values; none is NaN.
        bars: Whether each is drawn as a bar from zero.
    """

    name: str
    kind: str
    us: "Instants"
    until_us: "Instants"
    values: "Floats"
    unit: float
    bars: bool = False

    @property
    def rows(self) -> int:
        """Number of spans."""
        return len(self.us)

    def thinned(self, most: int, near: "Near") -> "Spans":
        """Return about *most*, as `Line.thinned`; each lasts until the next drawn one or the last omitted one ends."""
        at = drawn_rows(self.us, most, near, evenly)
        if len(at) == len(self.us):
            return self
        last = np.append(at[1:], len(self.us)) - 1
        return replace(self, us=self.us[at], until_us=self.until_us[last], values=self.values[at])


@dataclass(frozen=True, eq=False)
class Marks:
    """Events at values, drawn as marks.

    Attributes:
        name, kind, unit: As in :class:`Line`.
        side: +1 is drawn as an upward triangle, -1 as a downward one.
        us: Instants, ascending.
        values: Values; none is NaN.
        tip: Contents of the tooltip: a label, and numbers with their unit, or words.
        shape: ``fill`` (a triangle), ``cross``, ``dot``, or ``whisker``: a point with an error bar.
        ends: Minimum and maximum of each error bar.
        stop: Whether the buttons step from one to the next.
    """

    name: str
    kind: str
    side: int
    us: "Instants"
    values: "Floats | Units"
    unit: float
    tip: Sequence[tuple[str, "Floats | Units | Sequence[str]", float]] = ()
    shape: str = "fill"
    ends: "tuple[Floats, Floats] | None" = None
    stop: bool = True

    @property
    def rows(self) -> int:
        """Number of marks."""
        return len(self.us)

    @cached_property
    def codes(self) -> "Ints":
        """Their values as from `whole`, or other whole numbers with the same differences."""
        return self.values.units if isinstance(self.values, Units) else whole(self.values, self.unit)[0]

    def thinned(self, most: int, near: "Near") -> "Marks":
        """Return about *most* of them, as `Line.thinned`: of dots the extremes, of others one of several."""
        dots = self.shape == "dot"
        at = drawn_rows(self.us, most, near, partial(extremes, self.codes) if dots else evenly)
        if len(at) == len(self.us):
            return self
        tip = [
            (label, values[at] if isinstance(values, NUMBERS) else [values[i] for i in at.tolist()], unit)
            for label, values, unit in self.tip
        ]
        ends = None if self.ends is None else (self.ends[0][at], self.ends[1][at])
        return replace(self, us=self.us[at], values=self.values[at], tip=tip, ends=ends)


@dataclass(frozen=True, eq=False)
class Panel:
    """One chart of a timeline.

    Attributes:
        title: Title; HTML.
        note: Its unit, and further remarks; HTML.
        picture: The chart as SVG, for readers without scripts.
        height: Height of the picture.
        lines, spans, marks: Its contents.
        zero: Whether zero is always visible.
        since: Whether values are shown as their change since the left edge of the visible span.
        counts: Whether the marks are counted instead of drawn, with side -1 downwards.
        log: Whether values are logarithms to base ten; the axis then has powers of ten.
    """

    title: str
    note: str
    picture: str
    height: int
    lines: Sequence[Line] = ()
    spans: Sequence[Spans] = ()
    marks: Sequence[Marks] = ()
    zero: bool = False
    since: bool = False
    counts: bool = False
    log: bool = False

    def series(self) -> "Iterator[Line | Spans | Marks]":
        """Yield its lines, spans and marks."""
        yield from self.lines
        yield from self.spans
        yield from self.marks

    def thinned(self, most: int, near: "Near") -> "Panel":
        """Return it with about *most* rows per series, if possible all of those near the instants *near*.

        Counted marks are not thinned.
        """
        if self.counts:
            return self
        thin = partial(_thinned, most=most, near=near)
        return replace(self, lines=thin(self.lines), spans=thin(self.spans), marks=thin(self.marks))


def _thinned(series: "Sequence[Any]", *, most: int, near: "Near") -> list[Any]:
    return [one.thinned(most, near) for one in series]


@dataclass(frozen=True, eq=False)
class TimelineAxis:
    """The horizontal axis of the charts of a timeline.

    Attributes:
        unit: Unit of the axis, in a word; empty for time.
        stop: Target of the buttons, in a word; empty for no buttons.
        close_ms: Span shown after a step of the buttons.
        per: Value of one unit on an axis of numbers, which are stored to a thousandth of it.
        names: Labels at 0, 1, 2, … instead of the number.
    """

    unit: str = ""
    stop: str = "fill"
    close_ms: float = CLOSE_MS
    per: float = 1.0
    names: Sequence[str] = ()


OF_TIME = TimelineAxis()


def places(numbers: "Floats | float") -> "Instants":
    """Return the positions of *numbers* on an axis of numbers, as instants, the unit of x of a timeline."""
    found: Instants = np.rint(np.asarray(numbers) * UNIT).astype(np.int64)
    return found


def timeline(
    panels: Sequence[Panel],
    x: tuple[float, float],
    excluded: "NDArray[np.int64] | None" = None,
    axis: TimelineAxis = OF_TIME,
) -> str:
    """Return stacked *panels*, their data, and the controls; the page also needs :func:`script`.

    Args:
        panels: Panels from top to bottom.
        x: First and last instant, in µs.
        excluded: First and last µs of each stretch to shade; None for none.
        axis: The horizontal axis.
    """
    excluded = np.empty((0, 2), dtype=np.int64) if excluded is None else excluded
    text, thinned = _data(panels, x, excluded, axis)
    return (
        f'<div class="timeline" tabindex="0" role="group" aria-label="{_HELP}">{_bar(axis)}'
        f'{"".join(map(_figure, panels))}{_left_out(panels, thinned)}<div class="tip" hidden></div>'
        f'<script type="application/json">{text}</script></div>'
    )


def _data(
    panels: Sequence[Panel], x: tuple[float, float], excluded: "NDArray[np.int64]", axis: TimelineAxis
) -> tuple[str, Sequence[Panel]]:
    """Return the data for the script, and the panels with the rows in it: as many as the page has room for."""
    fills = [one.us for panel in panels for one in panel.marks if one.stop]
    near = Near(np.sort(np.concatenate(fills)) if fills else np.empty(0, dtype=np.int64))
    rows = np.array([one.rows for panel in panels if not panel.counts for one in panel.series()], np.int64)
    sizes = sorted(MOST_ROWS)
    sizes = sizes[: 1 + sum(one < rows.max(initial=0) for one in sizes)]  # larger ones make no difference
    drawn = [int(np.minimum(rows, size).sum()) for size in sizes]
    low, high, row_bytes, least_bytes = 0, len(sizes) - 1, ROW_BYTES, 0.0
    write = cache(partial(_written, panels, near=near, x=x, excluded=excluded, axis=axis))
    # The size of the text grows about as the number of rows; one that is surely too large is not written.
    while low < high and drawn[low + 1] * least_bytes <= MOST_BYTES:
        likely = sum(count * row_bytes <= MOST_BYTES for count in drawn) - 1
        at = min(max(likely, low + 1), high)
        size = write(sizes[at])[0].size
        low, high = (at, high) if size <= MOST_BYTES else (low, at - 1)
        row_bytes = size / drawn[at]
        least_bytes = LEAST_SHARE * row_bytes
    columns, thinned = write(sizes[low])
    return columns.text(), thinned


def _written(
    panels: Sequence[Panel],
    most: int,
    near: Near,
    x: tuple[float, float],
    excluded: "NDArray[np.int64]",
    axis: TimelineAxis,
) -> tuple["_Columns", Sequence[Panel]]:
    """Return the result of `_data` before its encoding, with about *most* rows per series."""
    drawn = [panel.thinned(most, near) for panel in panels]
    columns = _Columns(int(x[0]))
    data = {
        "from": int(x[0]) / US_PER_MS,
        "until": x[1] / US_PER_MS,
        "margins": [LEFT, RIGHT, TOP, BOTTOM],
        "unit": axis.unit,
        "close": axis.close_ms,
        "per": axis.per,
        "names": list(axis.names),
        "off": [columns.instants(excluded[:, 0]), columns.instants(excluded[:, 1])],
        "panels": [columns.panel(panel) for panel in drawn],
    }
    columns.head = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return columns, drawn


def _left_out(panels: Sequence[Panel], drawn: Sequence[Panel]) -> str:
    """Return a sentence about data missing from the page; empty if none is missing."""
    pairs = [
        pair for panel in zip(panels, drawn, strict=True) for pair in zip(*(one.series() for one in panel), strict=True)
    ]
    few = {
        one.name: f"{one.name} {len(left.us):,} of {len(one.us):,}"
        for one, left in pairs
        if one.name and len(left.us) < len(one.steps[0] if isinstance(one, Line) else one.us)
    }
    if not few:
        return ""
    text = "Thinned to keep the page small: all rows near fills are kept if they fit, elsewhere the extremes"
    return f'<p class="hint">{text}: {"; ".join(few.values())}.</p>'


class _Columns:
    """The columns of a timeline that begins at *start_us*; panels refer to them by number.

    Attributes:
        head: All other data for the script, as JSON; set after the last column.
    """

    def __init__(self, start_us: int) -> None:
        self._start_us = start_us
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._packed: list[Packed] = []
        self.head = ""

    @property
    def size(self) -> int:
        """Length of the text, without making it."""
        return len(_WHOLE % (self.head[:-1], "," * (len(self._packed) - 1))) + sum(one.size for one in self._packed)

    def text(self) -> str:
        """Return the data for the script."""
        return _WHOLE % (self.head[:-1], ",".join(one.text() for one in self._packed))

    def panel(self, panel: Panel) -> dict[str, Any]:
        """Return a panel in the form that the script reads."""
        return {
            "height": panel.height,
            "zero": panel.zero,
            "since": panel.since,
            "counts": panel.counts,
            "log": panel.log,
            "lines": [self._line(line) for line in panel.lines],
            "spans": [self._spans(spans) for spans in panel.spans],
            "marks": [self._marks(marks) for marks in panel.marks],
        }

    def instants(self, us: "Instants") -> int:
        """Return the number of a column of ms since the start."""
        return self._column((us - self._start_us) // US_PER_MS)

    def _line(self, line: Line) -> dict[str, Any]:
        values, low = whole(line.values, line.unit)
        scale = {"kind": line.kind, "low": low, "unit": line.unit, "straight": line.straight}
        return {**scale, "t": self.instants(line.us), "v": self._column(values)}

    def _spans(self, spans: Spans) -> dict[str, Any]:
        values, low = whole(spans.values, spans.unit)
        scale = {"kind": spans.kind, "low": low, "unit": spans.unit, "bars": spans.bars}
        us, until_us = spans.us - self._start_us, spans.until_us - self._start_us
        lasted = until_us // US_PER_MS - us // US_PER_MS
        return {**scale, "t": self.instants(spans.us), "lasted": self._column(lasted), "v": self._column(values)}

    def _marks(self, marks: Marks) -> dict[str, Any]:
        columns = np.stack([np.asarray(marks.values), *(marks.ends or ())])
        (values, *ends), low = whole(columns, marks.unit)
        scale = {"kind": marks.kind, "side": marks.side, "low": low, "unit": marks.unit}
        tip = [self._tip(*one) for one in marks.tip]
        drawn = {"shape": marks.shape, "stop": marks.stop, "ends": [self._column(one) for one in ends] or None}
        return {**scale, **drawn, "t": self.instants(marks.us), "v": self._column(values), "tip": tip}

    def _tip(self, label: str, values: "Floats | Units | Sequence[str]", unit: float) -> dict[str, Any]:
        if isinstance(values, NUMBERS):
            numbers, low = whole(np.asarray(values), unit)
            return {"label": label, "v": self._column(numbers), "low": low, "unit": unit}
        words = sorted(set(values))
        number = {word: i for i, word in enumerate(words)}
        codes = np.array([number[word] for word in values], np.int64)
        return {"label": label, "v": self._column(codes), "words": words}

    def _column(self, numbers: "NDArray[np.int64]") -> int:
        """Return the number of a column; equal columns are stored once."""
        column, known = packed(numbers), len(self._packed)
        key = (column.width, *(part.tobytes() for part in column[1:]))
        number = self._numbers.setdefault(key, known)
        if number == known:
            self._packed.append(column)
        return number


_WHOLE = '%s,"columns":[%s]}'
_HELP = "Charts over time. Drag to zoom, arrows to move, plus and minus, 0 for all."
_MOVES = (
    ("out", "−", "zoom out (−)"),
    ("in", "+", "zoom in (+)"),
    ("left", "◀", "earlier (left arrow)"),
    ("right", "▶", "later (right arrow)"),
)
_SPANS = (("3600", "1 h", "an hour"), ("600", "10 min", "ten minutes"), ("60", "1 min", "a minute"))


def _bar(axis: TimelineAxis) -> str:
    """Return the controls of the charts; the script shows them."""
    stops = (
        ("back", f"‹ {axis.stop}", f"the previous {axis.stop} (p)"),
        ("next", f"{axis.stop} ›", f"the next {axis.stop} (n)"),
    )
    whole = ("all", "all", "the whole span (0, or double-click)")
    every = (*_MOVES, *(() if axis.unit else _SPANS), *(stops if axis.stop else ()), whole)
    buttons = "".join(f'<button data-do="{do}" title="{title}">{text}</button>' for do, text, title in every)
    return (
        f'<div class="bar" hidden><output></output><span>{buttons}</span>'
        "<i>or drag, shift-drag, wheel, arrows</i></div>"
    )


def _figure(panel: Panel) -> str:
    """Return a panel's heading and its static picture."""
    drawn: list[tuple[str, Sequence[Line | Spans | Marks]]] = [
        ("line", panel.lines),
        ("spans", panel.spans),
        ("marks", panel.marks),
    ]
    keys = "".join(
        f'<span><i class="key {one.kind}"></i>{one.name} <b data-{what}></b></span>'
        for what, several in drawn
        for one in several
        if one.name
    )
    return (
        f"<figure><figcaption><h3>{panel.title} <small>{panel.note}</small></h3>"
        f'<p class="legend">{keys}</p></figcaption>{wide(panel.picture)}</figure>'
    )


def script() -> str:
    """Return the script with which a reader zooms into the timeline of a page."""
    parts = "\n".join(path.read_text(encoding="utf-8") for path in _SCRIPTS)
    return f'"use strict";\nfor (const root of document.querySelectorAll(".timeline")) {{\n{parts}}}\n'
