"""The charts of a sweep: its grid, numbers over axes and over one another, PnL over time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import product
from statistics import median
from typing import Any

import numpy as np

from mm.base.arrays import Floats
from mm.base.numbers import number
from mm.instrument import assets_of
from mm.report import figures
from mm.report.figures import MAIN, SELL, SOFT, Figure, Panel, Trace
from mm.report.frame import card, chart, nothing

Row = Mapping[str, Any]
Axis = Mapping[str, Any]
Content = Mapping[str, Any]
MOST_DOTS, MOST_MAPS, MOST_CURVES = 1500, 12, 80
RANKED = 15  # points in the ranking
PERIOD_US = 60_000_000
RANKS = {
    "pnl_lower95": "lower bound",
    "pnl_quoting": "PnL of quoting",
    "max_drawdown": "largest drawdown",
    "bound": "least of the bounds",
}
_BESIDE = 0.3  # maximum offset of points to either side of a value, as a share of its space


def rank_name(key: str) -> str:
    return RANKS.get(key, key)


def grid_figures(rows: Sequence[Row], axes: Sequence[Axis], rank_by: str) -> list[tuple[str, Figure]]:
    varied = [axis for axis in axes if len(axis["values"]) > 1]
    if len(varied) < 2:
        return []
    across, down = sorted(varied, key=lambda axis: -len(axis["values"]))[:2]
    others = [axis for axis in varied if axis not in (across, down)]
    choices = list(product(*(axis["values"] for axis in others)))
    if len(choices) > MOST_MAPS:
        return []
    by_values = {tuple(row[axis["name"]] for axis in (*others, down, across)): row for row in reversed(rows)}
    span = [abs(row[rank_by]) for row in rows if row[rank_by] is not None]
    titled = []
    for choice in choices:
        cells = [[by_values.get((*choice, d, a)) for a in across["values"]] for d in down["values"]]
        values = [[None if row is None else row[rank_by] for row in line] for line in cells]
        cells_known = sum(value is not None for line in values for value in line)
        if 2 * cells_known < len(across["values"]) * len(down["values"]):
            continue  # designs of a search have few neighbours
        places = [
            (d, a) for d, line in enumerate(cells) for a, row in enumerate(line) if row is not None and row["rank"] == 1
        ]
        title = ", ".join(f"{axis['name']} {value}" for axis, value in zip(others, choice, strict=True))
        names, labels = ((axis["name"], axis["values"]) for axis in (across, down))
        best, reach = (places[0] if places else None), max(span, default=1.0)
        titled.append((title, figures.heat(names, labels, values, best, span=(-reach, reach))))
    return titled


def pnl_figure(content: Content, start_us: Floats, columns: Sequence[int], pnl: Floats) -> Figure:
    best = None if content["best"] is None else content["best"]["point"]
    totals, us = np.cumsum(pnl, axis=0), start_us + PERIOD_US
    front = columns.index(best) if best in columns else None
    traces = list[Trace]()
    for column in range(0, totals.shape[1], max(1, totals.shape[1] // MOST_CURVES)):
        if column != front:
            faint = {"line": {"width": 1}, "opacity": 0.4, "showlegend": False, "hoverinfo": "skip"}
            traces.append(_path(f"point {columns[column]}", us, totals[:, column], SOFT, **faint))
    if front is not None:
        traces.append(_path(f"best in hindsight, point {best}", us, totals[:, front], MAIN))
    if (ahead := content["walkforward"]) is not None:
        pieces = [pnl[first:last, columns.index(point)] for point, first, last in ahead["spans"]]
        since = us[ahead["spans"][0][1] :]
        traces.append(_path("walk-forward choice", since, np.cumsum(np.concatenate(pieces)), SELL))
    axis = figures.time_axis(float(start_us[0]), float(us[-1]))
    asset = assets_of(content.get("symbol", ""))[1]
    return figures.chart(traces, axis, 320, title="PnL", unit=escape(asset), y=figures.FROM_ZERO)


def _path(name: str, us: Floats, values: Floats, colour: str, **more: Any) -> Trace:
    rows = figures.drawn_rows(values)
    return figures.line(name, figures.ms(us[rows]), values[rows], colour, **more)


def ranking_figure(content: Content) -> Figure | None:
    rank_by, axes = content["rank_by"], [axis["name"] for axis in content["axes"]]
    rows = [row for row in content["rows"] if row["status"] == "ok" and row[rank_by] is not None][:RANKED]
    if not rows:
        return None
    values = [float(row[rank_by]) for row in rows]
    names = [escape(f"{row['rank']}. " + ", ".join(f"{axis} {row[axis]}" for axis in axes)) for row in rows]
    tips = [f"{name}: {number(value)}" for name, value in zip(names, values, strict=True)]
    trace = figures.bars(rank_by, values, names, figures.MAIN, tips, orientation="h")
    return figures.chart(
        [trace], figures.numbers_axis(rank_name(rank_by)), 26 * len(rows) + 10, y={"autorange": "reversed"}
    )


@dataclass(frozen=True)
class PointsChart:
    rows: Sequence[Row]
    axes: Sequence[Axis]
    metrics: Sequence[str]
    unit: str = ""

    def axis_cards(self) -> list[str]:
        known = [row for row in self.rows if row["status"] == "ok" and row[self.metrics[0]] is not None]
        varied = [axis for axis in self.axes if len(axis["values"]) > 1]
        if not known or not varied:
            return [card("By axis", "", nothing("No axis has several values with a result."))]
        shown = some(known)
        few = "" if len(shown) == len(known) else f" {len(shown):,} of {len(known):,} points: the best, others evenly."
        hint = f"A mark is a point of the grid, the best in orange; the line is the median at each value.{few}"
        none = "No point with a result uses this axis."
        return [card(f"By {escape(axis['name'])}", hint, chart(self.axis_figure(shown, axis), none)) for axis in varied]

    def axis_figure(self, rows: Sequence[Row], axis: Axis) -> Figure | None:
        labels = list(dict.fromkeys(axis["values"]))
        rows = [row for row in rows if row[axis["name"]] in labels]  # a model may not take the axis: GRID_UNFIT
        if not rows:
            return None
        offset = self._offset_of_equals(rows, axis)
        x = np.array([labels.index(row[axis["name"]]) + offset[_others(row, self.axes, axis)] for row in rows])
        panels = [self._panel(rows, x, axis, labels, metric) for metric in self.metrics]
        names = {
            "tickvals": list(range(len(labels))),
            "ticktext": list(map(escape, labels)),
            "range": [-0.5, len(labels) - 0.5],
        }
        figure = figures.stacked(panels, figures.numbers_axis(escape(axis["name"]), **names))
        figure["layout"]["hovermode"] = "closest"
        return figure

    def compare(self, first: str, second: str, names: tuple[str, str]) -> Figure | None:
        known = [row for row in self.rows if row[first] is not None and row[second] is not None]
        if len(known) < 2:
            return None
        known = some(known)
        x, y = (np.array([row[name] for row in known], dtype=np.float64) for name in (first, second))
        ends = figures.padded(min(x.min(), y.min(), 0.0), max(x.max(), y.max(), 0.0))
        same = figures.line("equal", list(ends), list(ends), SOFT, line={"dash": "dot"}, hoverinfo="skip")
        traces = [same, *self._points(known, x, y, names[1])]
        across, up = (f"{name}, {self.unit}" if self.unit else name for name in names)
        y_axis = {"range": list(ends), "title": {"text": up}}
        return figures.chart(traces, figures.numbers_axis(across, range=list(ends)), 320, y=y_axis)

    def _offset_of_equals(self, rows: Sequence[Row], axis: Axis) -> dict[tuple[str, ...], float]:
        every = list(dict.fromkeys(_others(row, self.axes, axis) for row in sorted(rows, key=lambda row: row["point"])))
        step = 2 * _BESIDE / max(1, len(every) - 1) if len(every) > 1 else 0.0
        return {point: (place - (len(every) - 1) / 2) * step for place, point in enumerate(every)}

    def _panel(self, rows: Sequence[Row], x: Floats, axis: Axis, labels: Sequence[str], metric: str) -> Panel:
        values = np.array([np.nan if row[metric] is None else row[metric] for row in rows], dtype=np.float64)
        of_label = [[row[metric] for row in rows if row[axis["name"]] == label] for label in labels]
        groups = [[value for value in group if value is not None] for group in of_label]
        middle = np.array([median(group) if group else np.nan for group in groups])
        edges = np.arange(len(labels) + 1, dtype=np.float64) - 0.5
        held = figures.line(
            "median", edges, np.append(middle, middle[-1:]), SOFT, line={"shape": "hv"}, hoverinfo="skip"
        )
        traces = [{**point, "showlegend": False} for point in (held, *self._points(rows, x, values, metric))]
        unit = self.unit if metric.startswith(("pnl_", "max_drawdown")) else ""
        return Panel(rank_name(metric), unit, traces, 190, figures.FROM_ZERO)

    def _points(self, rows: Sequence[Row], x: Floats, values: Floats, name: str) -> list[Trace]:
        tips = [
            f"rank {number(row['rank'])}, point {row['point']}<br>"
            + "<br>".join(f"{escape(axis['name'])} {escape(str(row[axis['name']] or '–'))}" for axis in self.axes)
            + f"<br>{name} {number(value if not math.isnan(value) else None)}, {number(row['n_fills'], 9)} fills"
            for row, value in zip(rows, values.tolist(), strict=True)
        ]
        best = [i for i, row in enumerate(rows) if row["rank"] == 1]
        traces = [figures.points("points", x, values, MAIN, tips=tips, marker={"size": 8, "opacity": 0.55})]
        if best:
            mark = {"size": 12, "line": {"width": 2, "color": MAIN}}
            first = figures.points("best", x[best], values[best], SELL, tips=[tips[i] for i in best], marker=mark)
            traces.append(first)
        return traces


def some(rows: Sequence[Row]) -> list[Row]:
    return [rows[i] for i in sorted({round(i) for i in np.linspace(0, len(rows) - 1, min(len(rows), MOST_DOTS))})]


def _others(row: Row, axes: Sequence[Axis], axis: Axis) -> tuple[str, ...]:
    return tuple(row[each["name"]] for each in axes if each["name"] != axis["name"])
