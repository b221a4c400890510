"""Charts as plotly figures: plain dictionaries in plotly's schema, with arrays and lists as data."""

import json
import math
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np

from mm.base.arrays import Floats, Ints, Numbers, Rows
from mm.base.numbers import short, signed
from mm.clock import US_PER_MS

Trace = dict[str, Any]
Figure = dict[str, Any]

# Readable on white and on black, so that a figure needs no colours of a theme.
MAIN, BUY, SELL, THIRD, GAIN, LOSS, SOFT = "#4c78dd", "#1a9aa6", "#e0703a", "#9a63c9", "#2a9d78", "#d9534f", "#8a8f98"
SERIES = (MAIN, THIRD, GAIN, LOSS, SELL, "#b8962e", "#d36ba6", SOFT)  # of several runs in one chart
SHADE, BAND = "rgba(138,143,152,0.18)", "rgba(76,120,221,0.15)"
MOST = 5_000  # points of a trace
LINE_PX, AXIS_PX, TOP_PX = 21, 46, 6
DIGITS = ",.8~r"  # up to eight significant digits, never with an exponent
INSTANT = "%d %b %H:%M:%S.%L"
DIVERGING = [[0.0, LOSS], [0.5, "rgba(138,143,152,0.08)"], [1.0, GAIN]]


def drawn_rows(values: Floats, keep: Rows | None = None, most: int = MOST) -> Rows:
    """Return at most *most* rows: first, lowest, highest and last of equal groups, and those to *keep*."""
    count = len(values)
    if count <= most:
        return np.arange(count)
    kept = np.empty(0, np.intp) if keep is None else np.unique(keep[(keep >= 0) & (keep < count)])
    kept = kept[:: max(1, -(-len(kept) // (most // 2)))]
    size = -(-count // max(1, (most - len(kept)) // 4))
    groups = -(-count // size)
    padded = np.full(groups * size, np.nan)
    padded[:count] = values
    table, begin = padded.reshape(groups, size), np.arange(groups) * size
    lowest = np.where(np.isnan(table), np.inf, table).argmin(axis=1)
    highest = np.where(np.isnan(table), -np.inf, table).argmax(axis=1)
    last = np.minimum(begin + size, count) - 1
    return np.unique(np.concatenate([begin, begin + lowest, begin + highest, last, kept]))


def ms(us: Numbers | Sequence[float]) -> Floats:
    return np.asarray(us, dtype=np.float64) / US_PER_MS


def line(name: str, x: Any, y: Any, colour: str = MAIN, **more: Any) -> Trace:
    """NaN splits the line; *more* replaces or adds properties of the trace."""
    style = {"color": colour, "width": 1.5, **more.pop("line", {})}
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": style, **more}


def step(name: str, us: Ints, values: Floats, colour: str = MAIN, near: Ints | None = None, **more: Any) -> Trace:
    """Each value holds until the next one; NaN ends it."""
    keep = None
    if near is not None and len(near):
        at = np.searchsorted(us, near, side="right") - 1
        keep = np.concatenate([at - 1, at, at + 1])
    rows = drawn_rows(values, keep)
    us, values = us[rows], values[rows]
    ends = 1 + np.flatnonzero(~np.isnan(values[:-1]) & np.isnan(values[1:]))  # a value holds until it ends
    us, values = np.insert(us, ends, us[ends]), np.insert(values, ends, values[ends - 1])
    return line(name, ms(us), values, colour, line={"shape": "hv", **more.pop("line", {})}, **more)


def spans(name: str, us: Ints, until_us: Ints, values: Floats, colour: str, **more: Any) -> Trace:
    if len(us) > 1:
        new = np.append(True, (values[1:] != values[:-1]) | (us[1:] > until_us[:-1]))
        first = np.flatnonzero(new)
        us, until_us, values = us[first], np.maximum.reduceat(until_us, first), values[first]
    rows = np.arange(len(us))[:: max(1, -(-len(us) // (MOST // 3)))]
    if len(rows) < len(us):
        until_us = until_us[np.append(rows[1:], len(us)) - 1]
        us, values = us[rows], values[rows]
        more = {"opacity": 0.5, **more, "line": {"width": 1}}
    x = np.stack([us, until_us, until_us], axis=1).ravel()
    y = np.stack([values, values, np.full(len(values), np.nan)], axis=1).ravel()
    return line(name, ms(x), y, colour, line={"width": 2, **more.pop("line", {})}, **more)


def points(
    name: str,
    x: Any,
    y: Any,
    colour: str,
    *,
    ends: "tuple[Any, Any] | None" = None,
    tips: Sequence[str] | None = None,
    **more: Any,
) -> Trace:
    marker = {"color": colour, "size": 7, **more.pop("marker", {})}
    trace = {"type": "scatter", "mode": "markers", "name": name, "x": x, "y": y, "marker": marker, **more}
    if ends is not None:
        low, high = (np.asarray(end, dtype=np.float64) for end in ends)
        at = np.asarray(y, dtype=np.float64)
        error = {"type": "data", "symmetric": False, "array": high - at, "arrayminus": at - low}
        trace["error_y"] = {**error, "width": 0, "thickness": 1.3, "color": colour}
    if tips is not None:
        trace |= {"text": list(tips), "hovertemplate": "%{text}<extra></extra>"}
    return trace


def within(
    x: Floats, ends: tuple[Any, Any], span: tuple[float, float], colour: str
) -> tuple[tuple[Floats, Floats], list[Trace]]:
    """Error bars that end within *span* of the scale, and marks where they go beyond it."""
    low, high = (np.asarray(end, dtype=np.float64) for end in ends)
    marks = []
    for beyond, edge, symbol in ((high > span[1], span[1], "up"), (low < span[0], span[0], "down")):
        if beyond.any():
            more: dict[str, Any] = {"cliponaxis": False, "hoverinfo": "skip", "showlegend": False}
            mark = {"symbol": f"triangle-{symbol}", "size": 6}
            at = np.full(np.count_nonzero(beyond), edge)
            marks.append(points("beyond the scale", np.asarray(x)[beyond], at, colour, marker=mark, **more))
    return (np.clip(low, *span), np.clip(high, *span)), marks


def bars(name: str, x: Any, y: Any, colour: Any, tips: Sequence[str] | None = None, **more: Any) -> Trace:
    trace = {"type": "bar", "name": name, "x": x, "y": y, "marker": {"color": colour}, **more}
    return trace if tips is None else trace | {"hovertext": list(tips), "hovertemplate": "%{hovertext}<extra></extra>"}


def signs(values: Iterable[float], *, decided: bool) -> list[str]:
    """One colour for all if their sum's sign is not *decided*."""
    return [(GAIN if value >= 0 else LOSS) if decided else MAIN for value in values]


@dataclass(frozen=True, eq=False)
class Panel:
    """One of several charts above each other, which share the horizontal axis."""

    title: str
    unit: str
    traces: Sequence[Trace]
    height: int
    y: Mapping[str, Any] = field(default_factory=dict)
    levels: Sequence[float] = ()


def stacked(
    panels: Sequence[Panel], x: Mapping[str, Any], excluded: Ints | None = None, off: str = "no valid book"
) -> Figure:
    """Stack them from top to bottom: they zoom together, and one label shows all their values.

    *excluded* has first and last µs of stretches to shade; *off* is their meaning in the legend.
    """
    heads = [_head_px(panel) for panel in panels]
    total = sum(panel.height for panel in panels) + sum(heads)
    top, traces, notes, shapes, layout = float(total), list[Trace](), list[Any](), list[Any](), dict[str, Any]()
    below = list[Any]()  # of each panel: what a page needs to place its title and its legend in its own width
    for place, (panel, head) in enumerate(zip(panels, heads, strict=True)):
        number = "" if place == 0 else str(place + 1)
        upper = (top - head) / total
        domain = [max(0.0, (top - head - panel.height) / total), upper]
        ticks = {"nticks": min(_MOST_TICKS, panel.height // _TICK_PX)}
        layout[f"yaxis{number}"] = {**_Y_AXIS, **ticks, "domain": domain, **panel.y}
        layout[f"legend{number}"] = _legend(panel, upper, total)
        titled = [LETTER_PX * len(text) for text in (panel.title, f"{panel.title}  {panel.unit}")]
        names = [*_names(panel), *([] if place or excluded is None or not len(excluded) else [off])]
        below.append({"panel": number, "height": panel.height, "names": len(names), "px": titled, **_widths(names)})
        if panel.title:
            text = f"<b>{panel.title}</b>" + (f'  <span style="color:{SOFT}">{panel.unit}</span>' if panel.unit else "")
            at = {"xref": "paper", "x": 0, "xanchor": "left", "yref": "paper", "y": upper, "yanchor": "bottom"}
            lift = head - LINE_PX - TOP_PX + 3
            notes.append({"text": text, "showarrow": False, **at, "yshift": lift, "align": "left"})
        alone = {"showlegend": False} if panel.title and len(panel.traces) == 1 else {}
        traces += [{**trace, "yaxis": f"y{number}", "legend": f"legend{number}", **alone} for trace in panel.traces]
        shapes += [_level(value, number) for value in panel.levels]
        top -= head + panel.height
    lowest = "" if len(panels) == 1 else str(len(panels))
    many = [trace for panel in panels for trace in panel.traces if trace["type"] == "bar"]
    if excluded is not None and len(excluded):
        layout["yaxis99"] = {"domain": [0, 1], "range": [0, 1], "overlaying": "y", "visible": False, "fixedrange": True}
        traces.insert(0, _excluded(excluded, off))
    axis = {**_X_AXIS, "anchor": f"y{lowest}", "domain": [0, 1], **x}
    return {
        "data": traces,
        "layout": {
            **layout,
            "xaxis": axis,
            "annotations": notes,
            "shapes": shapes,
            "meta": {"panels": below, "line": LINE_PX, "top": TOP_PX, "letter": LETTER_PX},
            "height": total + TOP_PX + AXIS_PX + (18 if _titled(x) else 0),
            "margin": {"l": 64, "r": TOOLS_PX, "t": TOP_PX, "b": AXIS_PX + (18 if _titled(x) else 0)},
            "hovermode": "x unified" if len(panels) > 1 else "closest",
            "hoversubplots": "axis",
            "barmode": "relative" if many else "group",
            "bargap": 0.08,
            "separators": ".,",
            "modebar": {"orientation": "v"},
        },
    }


def chart(
    traces: Sequence[Trace], x: Mapping[str, Any], height: int = 250, title: str = "", unit: str = "", **panel: Any
) -> Figure:
    return stacked([Panel(title, unit, traces, height, **panel)], x)


def time_axis(first_us: float, last_us: float) -> dict[str, Any]:
    span = [first_us / US_PER_MS, last_us / US_PER_MS]
    return {"type": "date", "range": span, "hoverformat": INSTANT, "autotickangles": [0]}


def numbers_axis(title: str, **more: Any) -> dict[str, Any]:
    return {"title": {"text": title}, "hoverformat": DIGITS, "zeroline": False, **more}


def names_axis(**more: Any) -> dict[str, Any]:
    return {"type": "category", **more}


@dataclass(frozen=True)
class Scale:
    reach: float
    linear: float = 60.0
    signed: bool = False

    def at(self, values: Any) -> Floats:
        linear: Floats = np.asarray(values, dtype=np.float64)
        return linear if self.reach <= self.linear else np.sign(linear) * np.log1p(np.abs(linear))

    def axis(self, factors: Sequence[int] = (1, 3)) -> dict[str, Any]:
        if self.reach <= self.linear:
            return {}
        steps = [factor * 10.0**power for power in range(12) for factor in factors if factor * 10**power <= self.reach]
        labels = sorted({0.0, *steps, *(-step for step in steps)}) if self.signed else [0.0, *steps]
        return {
            "tickvals": self.at(labels).tolist(),
            "ticktext": [f"{label:,.0f}".replace("-", "−") for label in labels],
        }


LOG = {"type": "log", "dtick": 1}
FROM_ZERO = {"rangemode": "tozero"}


def log_labels(low: float, high: float) -> dict[str, Any]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if math.log10(high / low) <= 2 else (1,)
    values = [factor * 10.0**decade for decade in decades for factor in factors]
    return {"tickvals": values, "ticktext": [short(value) for value in values]}


def heat(
    across: tuple[str, Sequence[str]],
    down: tuple[str, Sequence[str]],
    values: Sequence[Sequence[float | None]],
    best: tuple[int, int] | None = None,
    *,
    span: tuple[float, float] | None = None,
    row_px: int = 34,
    **more: Any,
) -> Figure:
    """Gains are green, losses red; *best* is framed. *span* is the range of the colours, if several maps share it."""
    reach = max([abs(value) for value in (*(span or ()), *known(values))], default=1.0) or 1.0
    trace = {
        "type": "heatmap",
        "z": [list(row) for row in values],
        "x": list(range(len(across[1]))),
        "y": list(range(len(down[1]))),
        "colorscale": DIVERGING,
        "zmin": -reach,
        "zmax": reach,
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
        "texttemplate": "%{z:,.3~r}",
        "hovertemplate": "%{z:,.6~r}<extra></extra>",
        **more,
    }
    frame = {"type": "rect", "xref": "x", "yref": "y", "line": {"color": MAIN, "width": 2.5}}
    shapes = [] if best is None else [
        {**frame, "x0": best[1] - 0.5, "x1": best[1] + 0.5, "y0": best[0] - 0.5, "y1": best[0] + 0.5}
    ]  # fmt: skip
    named = any((across[0], down[0]))
    height = max(110 if named else 60, row_px * len(down[1])) + (80 if named else 42)
    title = "<br>".join(f"{escape(name)} {way}" for name, way in ((down[0], "↓"), (across[0], "→")) if name)
    ticks = {"showgrid": False, "zeroline": False, "automargin": True, "fixedrange": True}
    return {
        "data": [trace],
        "layout": {
            "xaxis": {**_labels(across[1]), **ticks, "side": "top", "title": {"text": title, "standoff": 6}},
            "yaxis": {**_labels(down[1]), **ticks, "autorange": "reversed"},
            "shapes": shapes,
            "height": height,
            "margin": {"l": 64, "r": 12, "t": 72 if named else 34, "b": 8},
            "hovermode": "closest",
        },
    }


MOST_BINS, TAIL = 40, 0.005


def histogram(values: Floats, unit: str, what: str, height: int = 200) -> Figure:
    low, high = np.quantile(values, (TAIL, 1 - TAIL)) if len(values) > 1 / TAIL else (values.min(), values.max())
    edges = np.histogram_bin_edges(values, min(MOST_BINS, max(5, round(2 * len(values) ** 0.5))), (low, high))
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
    ends = [signed(edge, 3) for edge in edges.tolist()]
    ends[0], ends[-1] = signed(float(values.min()), 3), signed(float(values.max()), 3)
    tips = [f"{count:,} {what} from {a} to {b}" for count, (a, b) in zip(counts.tolist(), pairwise(ends), strict=True)]
    trace = bars(what, (edges[1:] + edges[:-1]) / 2, counts.astype(np.int32), MAIN, tips)
    return chart([trace], numbers_axis(unit), height)


def known(values: Iterable[Iterable[float | None]]) -> list[float]:
    return [value for row in values for value in row if value is not None]


def to_json(figure: Figure) -> str:
    """Arrays become base64 for plotly; equal figures give equal text."""
    return json.dumps(figure, default=_array, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def plain(figure: Figure) -> Figure:
    def listed(array: Numbers) -> Any:
        return [None if value is None or math.isnan(value) else value for value in array.tolist()]

    without_arrays: Figure = json.loads(json.dumps(figure, default=listed))
    return without_arrays


def _array(values: Numbers) -> Any:
    if not isinstance(values, np.ndarray):
        return values.item()
    if values.dtype.kind not in "fiu":
        return values.tolist()
    kind = f"{values.dtype.kind}{values.dtype.itemsize}" if values.dtype.itemsize <= 4 else "f8"
    encoded = {"dtype": kind, "bdata": b64encode(np.ascontiguousarray(values, dtype=f"<{kind}").data).decode()}
    return encoded if values.ndim == 1 else {**encoded, "shape": ", ".join(map(str, values.shape))}


_MOST_TICKS, _TICK_PX = 6, 20  # labels of a vertical axis, and the height that each needs
_Y_AXIS = {
    "hoverformat": DIGITS,
    "exponentformat": "none",
    "separatethousands": True,
    "nticks": _MOST_TICKS,
    "zeroline": True,
    "automargin": True,
}
_X_AXIS = {"exponentformat": "none", "separatethousands": True, "showspikes": True, "spikemode": "across"}
_X_AXIS |= {"ticklabelstandoff": 8, "spikethickness": 1, "spikedash": "dot", "spikecolor": SOFT, "spikesnap": "cursor"}
NARROW_PX = 640  # width at which titles and legends fit side by side, or the lines of a legend are counted
TOOLS_PX = 34  # beside the chart, so that its tools cover neither legend nor lines
LETTER_PX, KEY_PX = 6.6, 48  # of text, and of the mark of a name in a legend


def _names(panel: Panel) -> list[str]:
    alone = panel.title and len(panel.traces) == 1
    return (
        []
        if alone
        else [trace["name"] for trace in panel.traces if trace.get("name") and trace.get("showlegend", True)]
    )


def _legend_beside(panel: Panel) -> bool:
    wide = sum(LETTER_PX * len(name) + KEY_PX for name in _names(panel))
    return bool(panel.title) and LETTER_PX * len(panel.title + panel.unit) + wide < NARROW_PX


def _head_px(panel: Panel) -> int:
    below = _lines_below(panel)
    return LINE_PX * (bool(panel.title) + below) + TOP_PX + 5 * bool(below)


def _lines_below(panel: Panel) -> int:
    if not _names(panel) or _legend_beside(panel):
        return 0
    return math.ceil(len(_names(panel)) / (NARROW_PX // _widths(_names(panel))["column"]))


def _widths(names: Sequence[str]) -> dict[str, float]:
    each = [LETTER_PX * len(name) + KEY_PX for name in names]
    return {"whole": sum(each), "column": max(each, default=0)}


def _legend(panel: Panel, upper: float, total: int) -> dict[str, Any]:
    more = {"orientation": "h", "traceorder": "normal", "itemsizing": "constant", "font": {"size": 12}}
    if _legend_beside(panel):
        return {"x": 1, "xanchor": "right", "y": upper, "yanchor": "bottom", **more}
    top = upper + (LINE_PX * _lines_below(panel) + 5) / total
    return {"x": 0, "xanchor": "left", "y": top, "yanchor": "top", **more}


def _titled(axis: Mapping[str, Any]) -> bool:
    return bool(axis.get("title", {}).get("text"))


def _level(value: float, number: str) -> dict[str, Any]:
    where = {"xref": "paper", "x0": 0, "x1": 1, "yref": f"y{number}", "y0": value, "y1": value}
    return {"type": "line", **where, "layer": "below", "line": {"color": LOSS, "width": 1.2, "dash": "dash"}}


def _excluded(excluded: Ints, off: str) -> Trace:
    first, last = np.asarray(excluded, dtype=np.float64).T
    x = np.stack([first, first, last, last, np.full(len(first), np.nan)], axis=1).ravel()
    y = np.tile([0.0, 1.0, 1.0, 0.0, np.nan], len(first))
    area = {"fill": "toself", "fillcolor": SHADE, "line": {"width": 0}, "hoverinfo": "skip", "yaxis": "y99"}
    return {"type": "scatter", "mode": "lines", "name": off, "x": ms(x), "y": y, **area, "legend": "legend"}


def _labels(labels: Sequence[str]) -> dict[str, Any]:
    return {"tickmode": "array", "tickvals": list(range(len(labels))), "ticktext": list(map(escape, labels))}


def thinned(figure: Figure) -> str:
    every = [(trace["name"], len(trace["x"]), (trace.get("meta") or {}).get("of", 0)) for trace in figure["data"]]
    return "; ".join(f"{name} {shown:,} of {all_:,}" for name, shown, all_ in every if shown < all_)


def merged(excluded: Ints, x: tuple[float, float]) -> Ints:
    """Clip to *x*; indistinguishably close neighbours become one."""
    apart = (x[1] - x[0]) / 1_000
    spans: list[tuple[float, float]] = []
    for first, last in np.clip(excluded, *x).tolist():
        if spans and first - spans[-1][1] < apart:
            spans[-1] = (spans[-1][0], max(last, spans[-1][1]))
        elif last > x[0] and first < x[1]:
            spans.append((first, last))
    return np.array(spans, dtype=np.int64).reshape(-1, 2)


def padded(low: float, high: float) -> tuple[float, float]:
    room = (high - low) * 0.06 or abs(high) * 1e-4 or 1.0
    return low - room, high + room
