"""Charts over time that stay small for days of any length: thinned for the visible span, exact when zoomed.

A series is thinned on the server to the first, lowest, highest and last value of each pixel; if the span has few rows,
all of them are drawn. Dragging over a chart selects a shorter span, for which the series are thinned again.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import streamlit as st

from mm.clock import US_PER_MS, US_PER_S, iso
from mm.dataclass import dataclass, field
from mm.report.svg import envelope

MAIN, BUY, SELL, THIRD, GAIN, LOSS, SOFT = "#4c78dd", "#1a9aa6", "#e0703a", "#9a63c9", "#2a9d78", "#d9534f", "#8a8f98"
COLUMNS = 1_200  # pixels to which a chart is thinned
MOST_MARKS = 800  # maximum points or quotes of one kind; more would overlap
TICKS, TICK_PX = 5, 36  # maximum labels of an axis, and the height of each
SHORTEST_US = 1_000
DAY_US = 86_400 * US_PER_S
DRAG = "span"  # the name of the selection by dragging

Instants = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Spec = dict[str, Any]
"""A chart, or a part of one, as a vega-lite specification; data are tables."""
Span = tuple[int, int]
"""First and last visible instant, µs."""


@dataclass(frozen=True)
class Trace:
    """A line over time.

    Attributes:
        name: Name in the legend.
        us: Instants, µs, ascending.
        values: NaN for missing values.
        colour: Colour of the line.
        straight: Whether the points are joined by lines; else a value holds until the next one.
    """

    name: str
    us: Instants
    values: Floats
    colour: str = MAIN
    straight: bool = False


@dataclass(frozen=True)
class Dots:
    """Points over time: fills, trades.

    Attributes:
        name, us, values, colour: As in `Trace`.
        shape: A shape of vega: ``circle``, ``triangle-up``, ``triangle-down``, ``cross``.
        tips: Further columns for the tooltip.
    """

    name: str
    us: Instants
    values: Floats
    colour: str
    shape: str = "circle"
    tips: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bars:
    """Values with start and end: our quotes.

    Attributes:
        name, us, values, colour: As in `Trace`.
        until_us: End of each, µs.
    """

    name: str
    us: Instants
    until_us: Instants
    values: Floats
    colour: str


def thinned(trace: Trace, span: Span, columns: int = COLUMNS) -> list[tuple[Floats, Floats]]:
    """Return the pieces of a trace within a span, split at missing values: instants (µs) and values.

    If a pixel has more than four rows, its first, lowest, highest and last are kept; else all are. A value that holds
    is extended to the left edge, and to the right edge if the trace continues beyond it.
    """
    first = max(0, int(np.searchsorted(trace.us, span[0], side="right")) - 1)
    last = int(np.searchsorted(trace.us, span[1], side="right"))
    us, values = trace.us[first:last], trace.values[first:last]
    if not trace.straight:
        us = np.maximum(us, span[0])
        if len(us) and last < len(trace.us):
            us, values = np.append(us, span[1]), np.append(values, values[-1])
    if len(us) > 4 * columns:
        return envelope(us, values, (float(us[0]), float(us[-1]) + 1), columns)
    known = ~np.isnan(values)
    cuts = np.flatnonzero(np.diff(known)) + 1
    pieces = zip(np.split(us, cuts), np.split(values, cuts), strict=True)
    return [(a.astype(np.float64), b) for a, b in pieces if len(b) and not np.isnan(b[0])]


def few(us: Instants, span: Span, most: int = MOST_MARKS) -> npt.NDArray[np.intp]:
    """Return the rows within a span, evenly thinned to at most *most*."""
    rows = np.arange(*np.searchsorted(us, (span[0], span[1] + 1)))
    return rows[:: max(1, -(-len(rows) // most))]


def over_time(
    traces: Sequence[Trace], span: Span, marks: Sequence[Dots | Bars] = (), *, height: int = 180, zero: bool = False
) -> Spec:
    """Return a chart of a span.

    Args:
        traces: Lines, drawn below the marks.
        span: The visible span.
        marks: Points and quotes.
        height: In pixels.
        zero: Whether the value axis includes zero.
    """
    x = {
        "field": "t",
        "type": "temporal",
        "scale": {"type": "utc", "nice": False},
        "axis": {"title": None, "labelOverlap": True, "format": _format(span)},
    }
    enc = {
        "x": x,
        "y": quantity("v", zero=zero),
        "color": colours({one.name: one.colour for one in [*traces, *marks]}),
    }
    enc["y"]["axis"]["tickCount"] = min(TICKS, height // TICK_PX)
    # An invisible layer sets the ends of the axis.
    ends = layer(pl.DataFrame({"t": [one / US_PER_MS for one in span]}), {"type": "rule", "opacity": 0}, {"x": x})
    ends["params"] = [{"name": DRAG, "select": {"type": "interval", "encodings": ["x"]}}]
    lines = [_line(one, span, enc) for one in traces]
    return chart([ends, *lines, *(_mark(one, span, enc) for one in marks)], height)


def chart(layers: Sequence[Spec], height: int) -> Spec:
    """Return a chart of several overlaid layers, for `streamlit.vega_lite_chart`."""
    tables = {f"table{place}": one["data"] for place, one in enumerate(layers)}
    named = [{**one, "data": {"name": name}} for name, one in zip(tables, layers, strict=True)]
    return {"layer": named, "height": height, "datasets": tables}


def layer(rows: pl.DataFrame, mark: Spec, encoding: Spec) -> Spec:
    """Return marks of a kind for the rows of a table."""
    return {"data": rows, "mark": mark, "encoding": encoding}


def quantity(field: str, title: str | None = None, *, zero: bool = True, **more: Any) -> Spec:
    """Return a numeric channel, with an axis of few labels; *more* is passed to the scale."""
    scale = {"nice": False, "padding": 6, **({} if "type" in more else {"zero": zero}), **more}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": {"title": title, "tickCount": TICKS}}


def colours(names: Mapping[str, str]) -> Spec:
    """Return the colour channel by name, with a legend if there are several names."""
    legend = {"title": None, "orient": "top"} if len(names) > 1 else None
    scale = {"domain": list(names), "range": list(names.values())}
    return {"field": "name", "type": "nominal", "scale": scale, "legend": legend}


def _format(span: Span) -> str:
    """Return the time format for the axis of a span."""
    lasts = span[1] - span[0]
    if lasts > 2 * DAY_US:
        return "%d %b %H:%M"
    return "%H:%M" if lasts > 600 * US_PER_S else "%H:%M:%S" if lasts > 10 * US_PER_S else "%H:%M:%S.%L"


def _line(trace: Trace, span: Span, enc: Spec) -> Spec:
    pieces = thinned(trace, span)
    rows = pl.DataFrame(
        {
            "t": np.concatenate([us for us, _ in pieces] or [np.empty(0)]) / US_PER_MS,
            "v": np.concatenate([values for _, values in pieces] or [np.empty(0)]),
            "piece": np.repeat(np.arange(len(pieces)), [len(us) for us, _ in pieces]),
            "name": trace.name,
        }
    )
    how = "linear" if trace.straight else "step-after"
    mark = {"type": "line", "interpolate": how, "strokeWidth": 1.3, "clip": True}
    return layer(rows, mark, {**enc, "detail": {"field": "piece", "type": "nominal"}})


def _mark(one: Dots | Bars, span: Span, enc: Spec) -> Spec:
    if isinstance(one, Bars):
        seen = np.flatnonzero((one.until_us > span[0]) & (one.us < span[1]))
        seen = seen[:: max(1, -(-len(seen) // MOST_MARKS))]
        ends = (np.clip(side[seen], *span) / US_PER_MS for side in (one.us, one.until_us))
        rows = pl.DataFrame({"v": one.values[seen], "name": one.name, **dict(zip(("t", "u"), ends, strict=True))})
        return layer(rows, {"type": "rule", "strokeWidth": 1.8, "clip": True}, {**enc, "x2": {"field": "u"}})
    at = few(one.us, span)
    tips = {name: [str(column[row]) for row in at.tolist()] for name, column in one.tips.items()}
    times = {"time": [iso(us)[11:] for us in one.us[at].tolist()]}
    rows = pl.DataFrame({"t": one.us[at] / US_PER_MS, "v": one.values[at], "name": one.name, **times, **tips})
    mark = {"type": "point", "shape": one.shape, "size": 30, "filled": True, "opacity": 0.85, "clip": True}
    tip = [{"field": name} for name in ("name", "time", "v", *tips)]
    return layer(rows, mark, {**enc, "tooltip": tip})


class Zoom:
    """The visible span of the charts of a page; dragging over one of them shortens it for all.

    Args:
        name: Name of the page and its content: another run starts with its whole span.
        whole: First and last available instant, µs.
    """

    def __init__(self, name: str, whole: Span) -> None:
        self._key, self._whole = f"zoom {name}", (whole[0], max(whole[1], whole[0] + SHORTEST_US))

    @property
    def span(self) -> Span:
        """The visible span."""
        found: Span = st.session_state.get(self._key, self._whole)
        return found

    def bar(self) -> None:
        """Draw the span, and the buttons that make it longer."""
        first, last = self.span
        caption, wider, whole = st.columns([6, 1, 1], vertical_alignment="center")
        caption.caption(f"{iso(first)[:23]} to {iso(last)[11:23]} UTC. Drag over a chart to zoom; all charts follow.")
        zoomed = self.span != self._whole
        wider.button("Zoom out", key=f"{self._key} wider", on_click=self.widen, disabled=not zoomed, width="stretch")
        whole.button("Whole", key=f"{self._key} whole", on_click=self.reset, disabled=not zoomed, width="stretch")

    def draw(self, title: str, drawn: Spec) -> None:
        """Draw a chart below its title; dragging over it zooms."""
        st.markdown(f"**{title}**")
        key = f"{self._key} {title} {self.span}"
        choose = partial(self._dragged, key)
        st.vega_lite_chart(spec=drawn, key=key, on_select=choose, selection_mode=DRAG, width="stretch")

    def choose(self, first_ms: float, last_ms: float) -> None:
        """Show the span between two instants, in ms, at least one millisecond; instants outside are clipped."""
        first, last = (round(one * US_PER_MS) for one in sorted((first_ms, last_ms)))
        first = min(max(first, self._whole[0]), self._whole[1] - SHORTEST_US)
        st.session_state[self._key] = (first, min(max(last, first + SHORTEST_US), self._whole[1]))

    def widen(self) -> None:
        """Show a span that is four times as long."""
        first, last = self.span
        more = 3 * (last - first) // 2
        self.choose((first - more) / US_PER_MS, (last + more) / US_PER_MS)

    def reset(self) -> None:
        """Show the whole span."""
        st.session_state.pop(self._key, None)

    def _dragged(self, key: str) -> None:
        found = st.session_state[key].selection.get(DRAG, {})
        ends = next(iter(found.values()), None)
        if ends and len(ends) == 2:
            self.choose(float(ends[0]), float(ends[1]))
