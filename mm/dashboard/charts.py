"""Charts over time that stay small however long a day was: thinned for the span that is seen, exact when zoomed.

A series is thinned on the server to the first, least, greatest and last value of each pixel; where the span has few
rows, all of them are drawn. A drag over a chart chooses a shorter span, for which the series are thinned again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import streamlit as st

from mm.clock import US_PER_MS, US_PER_S, iso
from mm.report.svg import envelope

MAIN, BUY, SELL, THIRD, GAIN, LOSS, SOFT = "#4c78dd", "#1a9aa6", "#e0703a", "#9a63c9", "#2a9d78", "#d9534f", "#8a8f98"
COLUMNS = 1_200  # pixels that a chart is thinned to
MOST_MARKS = 800  # points or quotes of one kind: more would hide each other
TICKS, TICK_PX = 5, 36  # labels of an axis at most, and the height that each needs
SHORTEST_US = 1_000
DAY_US = 86_400 * US_PER_S
DRAG = "span"  # the name of the selection by dragging

Instants = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Spec = dict[str, Any]
"""A chart, or a part of one, in the words of vega-lite; data are tables."""
Span = tuple[int, int]
"""First and last instant that is seen, µs."""


@dataclass(frozen=True)
class Trace:
    """A line over time.

    Attributes:
        name: What it is, for the legend.
        us: Instants, rising.
        values: NaN where there is none.
        colour: Of the line.
        straight: Whether lines join the points; else a value holds until the next one.
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
        name, us, values, colour: As of a `Trace`.
        shape: Of vega: ``circle``, ``triangle-up``, ``triangle-down``, ``cross``.
        tips: Further columns that show under the pointer.
    """

    name: str
    us: Instants
    values: Floats
    colour: str
    shape: str = "circle"
    tips: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bars:
    """Values that each hold for a time of their own: our quotes.

    Attributes:
        name, us, values, colour: As of a `Trace`.
        until_us: When each ends.
    """

    name: str
    us: Instants
    until_us: Instants
    values: Floats
    colour: str


def thinned(trace: Trace, span: Span, columns: int = COLUMNS) -> list[tuple[Floats, Floats]]:
    """Return the pieces of a trace within a span, split where it has no value: instants (µs) and values.

    Where more than four rows fall on a pixel, the first, least, greatest and last of each pixel stay; else all do. A
    value that holds reaches from the left edge, and to the right edge where the trace goes on beyond it.
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
    """Return the rows within a span, taken evenly where they are more than *most*."""
    rows = np.arange(*np.searchsorted(us, (span[0], span[1] + 1)))
    return rows[:: max(1, -(-len(rows) // most))]


def over_time(
    traces: Sequence[Trace], span: Span, marks: Sequence[Dots | Bars] = (), *, height: int = 180, zero: bool = False
) -> Spec:
    """Return a chart of a span.

    Args:
        traces: Lines, drawn below the marks.
        span: What is seen.
        marks: Points and quotes.
        height: In pixels.
        zero: Whether the axis of values has zero.
    """
    x = {
        "field": "t",
        "type": "temporal",
        "scale": {"type": "utc", "nice": False},
        "axis": {"title": None, "labelOverlap": True, "format": _format(span)},
    }
    ways = {
        "x": x,
        "y": quantity("v", zero=zero),
        "color": colours({one.name: one.colour for one in [*traces, *marks]}),
    }
    ways["y"]["axis"]["tickCount"] = min(TICKS, height // TICK_PX)
    # What is not drawn gives the axis its ends.
    ends = layer(pl.DataFrame({"t": [one / US_PER_MS for one in span]}), {"type": "rule", "opacity": 0}, {"x": x})
    ends["params"] = [{"name": DRAG, "select": {"type": "interval", "encodings": ["x"]}}]
    lines = [_line(one, span, ways) for one in traces]
    return chart([ends, *lines, *(_mark(one, span, ways) for one in marks)], height)


def chart(layers: Sequence[Spec], height: int) -> Spec:
    """Return a chart of several layers over each other, as `streamlit.vega_lite_chart` takes it."""
    tables = {f"table{place}": one["data"] for place, one in enumerate(layers)}
    named = [{**one, "data": {"name": name}} for name, one in zip(tables, layers, strict=True)]
    return {"layer": named, "height": height, "datasets": tables}


def layer(rows: pl.DataFrame, mark: Spec, encoding: Spec) -> Spec:
    """Return marks of a kind for the rows of a table."""
    return {"data": rows, "mark": mark, "encoding": encoding}


def quantity(field: str, title: str | None = None, *, zero: bool = True, **more: Any) -> Spec:
    """Return a channel of numbers, with an axis of few labels; *more* belongs to the scale."""
    scale = {"nice": False, "padding": 6, **({} if "type" in more else {"zero": zero}), **more}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": {"title": title, "tickCount": TICKS}}


def colours(names: Mapping[str, str]) -> Spec:
    """Return the channel of colours by name, with a legend where there are several names."""
    legend = {"title": None, "orient": "top"} if len(names) > 1 else None
    scale = {"domain": list(names), "range": list(names.values())}
    return {"field": "name", "type": "nominal", "scale": scale, "legend": legend}


def _format(span: Span) -> str:
    """Return how the axis of a span names its instants."""
    lasts = span[1] - span[0]
    if lasts > 2 * DAY_US:
        return "%d %b %H:%M"
    return "%H:%M" if lasts > 600 * US_PER_S else "%H:%M:%S" if lasts > 10 * US_PER_S else "%H:%M:%S.%L"


def _line(trace: Trace, span: Span, ways: Spec) -> Spec:
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
    return layer(rows, mark, {**ways, "detail": {"field": "piece", "type": "nominal"}})


def _mark(one: Dots | Bars, span: Span, ways: Spec) -> Spec:
    if isinstance(one, Bars):
        seen = np.flatnonzero((one.until_us > span[0]) & (one.us < span[1]))
        seen = seen[:: max(1, -(-len(seen) // MOST_MARKS))]
        ends = (np.clip(side[seen], *span) / US_PER_MS for side in (one.us, one.until_us))
        rows = pl.DataFrame({"v": one.values[seen], "name": one.name, **dict(zip(("t", "u"), ends, strict=True))})
        return layer(rows, {"type": "rule", "strokeWidth": 1.8, "clip": True}, {**ways, "x2": {"field": "u"}})
    at = few(one.us, span)
    tips = {name: [str(column[row]) for row in at.tolist()] for name, column in one.tips.items()}
    times = {"time": [iso(us)[11:] for us in one.us[at].tolist()]}
    rows = pl.DataFrame({"t": one.us[at] / US_PER_MS, "v": one.values[at], "name": one.name, **times, **tips})
    mark = {"type": "point", "shape": one.shape, "size": 30, "filled": True, "opacity": 0.85, "clip": True}
    tip = [{"field": name} for name in ("name", "time", "v", *tips)]
    return layer(rows, mark, {**ways, "tooltip": tip})


class Zoom:
    """The span that the charts of a page show; a drag over one of them shortens it for all.

    Args:
        name: Of the page and what it shows: another run begins with its whole span.
        whole: First and last instant that there is.
    """

    def __init__(self, name: str, whole: Span) -> None:
        self._key, self._whole = f"zoom {name}", (whole[0], max(whole[1], whole[0] + SHORTEST_US))

    @property
    def span(self) -> Span:
        """What is seen."""
        found: Span = st.session_state.get(self._key, self._whole)
        return found

    def bar(self) -> None:
        """Draw the span, and the buttons that make it longer."""
        first, last = self.span
        caption, wider, whole = st.columns([6, 1, 1], vertical_alignment="center")
        caption.caption(f"{iso(first)[:23]} to {iso(last)[11:23]} UTC. Drag over a chart to zoom in; all follow.")
        zoomed = self.span != self._whole
        wider.button("Wider", key=f"{self._key} wider", on_click=self.widen, disabled=not zoomed, width="stretch")
        whole.button("Whole", key=f"{self._key} whole", on_click=self.reset, disabled=not zoomed, width="stretch")

    def draw(self, title: str, drawn: Spec) -> None:
        """Draw a chart below its title; a drag over it zooms."""
        st.markdown(f"**{title}**")
        key = f"{self._key} {title} {self.span}"
        choose = partial(self._dragged, key)
        st.vega_lite_chart(spec=drawn, key=key, on_select=choose, selection_mode=DRAG, width="stretch")

    def choose(self, first_ms: float, last_ms: float) -> None:
        """See the span between two instants, in ms, a millisecond at least; raises nothing for what lies outside."""
        first, last = (round(one * US_PER_MS) for one in sorted((first_ms, last_ms)))
        first = min(max(first, self._whole[0]), self._whole[1] - SHORTEST_US)
        st.session_state[self._key] = (first, min(max(last, first + SHORTEST_US), self._whole[1]))

    def widen(self) -> None:
        """See four times as much."""
        first, last = self.span
        more = 3 * (last - first) // 2
        self.choose((first - more) / US_PER_MS, (last + more) / US_PER_MS)

    def reset(self) -> None:
        """See all."""
        st.session_state.pop(self._key, None)

    def _dragged(self, key: str) -> None:
        found = st.session_state[key].selection.get(DRAG, {})
        ends = next(iter(found.values()), None)
        if ends and len(ends) == 2:
            self.choose(float(ends[0]), float(ends[1]))
