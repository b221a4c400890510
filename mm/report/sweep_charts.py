"""The charts of a sweep's points: a number over the values of each axis, and one number over another; all zoom."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.dataclass import dataclass
from mm.numbers import number, short
from mm.report.drawn_columns import unit_of
from mm.report.frame import card, nothing
from mm.report.svg import HALF, Plot, padded
from mm.report.timeline import Line, Marks, Panel, TimelineAxis, places, timeline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Row = Mapping[str, Any]
Axis = Mapping[str, Any]
MOST_DOTS = 1500
_LETTER = 8.1  # width of a letter on a narrow screen, in the units of a chart
_BESIDE = 0.3  # maximum offset of points to either side of a value, as a share of its space
_THOUSANDS = 4  # minimum decimal places by which numbers of an axis are distinguished, relative to its range


@dataclass(frozen=True)
class PointsChart:
    """The data for the charts of a sweep's points.

    Attributes:
        rows: Rows of ``sweep.json``, ranked.
        axes: Axes of ``sweep.json``.
        metrics: The columns drawn over each axis, from top to bottom.
    """

    rows: Sequence[Row]
    axes: Sequence[Axis]
    metrics: Sequence[str]

    def axis_cards(self) -> list[str]:
        """Return a card for each axis with several values: every point over its values, and the medians."""
        known = [row for row in self.rows if row["status"] == "ok" and row[self.metrics[0]] is not None]
        varied = [axis for axis in self.axes if len(axis["values"]) > 1]
        if not known or not varied:
            return [card("By axis", "", nothing("No axis has several values with a result."))]
        shown = some(known)
        few = "" if len(shown) == len(known) else f" {len(shown):,} of {len(known):,} points: the best, others evenly."
        hint = f"A mark is a point of the grid, the line the median at each value.{few}"
        return [card(f"By {escape(axis['name'])}", hint, self._axis(shown, axis)) for axis in varied]

    def against(self, first: str, second: str, names: tuple[str, str]) -> str:
        """Return each point by two of its numbers, the columns *first* (across) and *second* (upwards).

        Args:
            first, second: Columns; points that lack one of them are omitted.
            names: Names of the numbers, for axis and heading.
        """
        known = [row for row in self.rows if row[first] is not None and row[second] is not None]
        if len(known) < 2:
            return nothing("Fewer than two points have both numbers.")
        known = sorted(some(known), key=lambda row: float(row[first]))
        x, y = (np.array([row[name] for row in known], dtype=np.float64) for name in (first, second))
        low, high = padded(min(x.min(), y.min(), 0.0), max(x.max(), y.max(), 0.0))
        plot = Plot(HALF, 350, (low, high), (low, high))
        per = 10.0 ** (math.floor(math.log10(high - low)) - _THOUSANDS + 1)
        ends = np.array([low, high])
        same = Line("", "faint", places(ends / per), ends, unit_of(ends), straight=True)
        marks = self._marks(known, places(x / per), y, names[1])
        dots = "".join(_dot(plot, a, b, row) for a, b, row in zip(x.tolist(), y.tolist(), known, strict=True))
        picture = plot.picture(
            plot.value_axis(), plot.number_axis(short, 6), plot.path(ends, ends, "zero"), dots, title=names[1]
        )
        panel = Panel(names[1], f"over the value {names[0]}", picture, 350, [same], marks=marks)
        span = places(ends / per).astype(float)
        return timeline([panel], (span[0], span[1]), axis=TimelineAxis(names[0], stop="", per=per))

    def _axis(self, rows: Sequence[Row], axis: Axis) -> str:
        labels = list(dict.fromkeys(axis["values"]))
        rows = [row for row in rows if row[axis["name"]] in labels]  # a model may not take the axis: GRID_UNFIT
        if not rows:
            return nothing("No point with a result uses this axis.")
        offset = self._offset_of_equals(rows, axis)
        x = np.array([labels.index(row[axis["name"]]) + offset[_others(row, self.axes, axis)] for row in rows])
        order = np.argsort(x, kind="stable")
        ranked = [rows[i] for i in order.tolist()]
        panels = [self._panel(ranked, x[order], axis, labels, metric) for metric in self.metrics]
        ends = places(np.array([-0.5, len(labels) - 0.5])).astype(float)
        return timeline(panels, (ends[0], ends[1]), axis=TimelineAxis(axis["name"], stop="", names=labels))

    def _offset_of_equals(self, rows: Sequence[Row], axis: Axis) -> dict[tuple[str, ...], float]:
        """Return the offset of a point from its value, by its values on the other axes: equal ones are aligned."""
        every = list(dict.fromkeys(_others(row, self.axes, axis) for row in sorted(rows, key=lambda row: row["point"])))
        step = 2 * _BESIDE / max(1, len(every) - 1) if len(every) > 1 else 0.0
        return {one: (place - (len(every) - 1) / 2) * step for place, one in enumerate(every)}

    def _panel(self, rows: Sequence[Row], x: "Floats", axis: Axis, labels: Sequence[str], metric: str) -> Panel:
        values = np.array([np.nan if row[metric] is None else row[metric] for row in rows], dtype=np.float64)
        of_label = [[row[metric] for row in rows if row[axis["name"]] == label] for label in labels]
        groups = [[value for value in group if value is not None] for group in of_label]
        middle = np.array([median(group) if group else np.nan for group in groups])
        edges = np.arange(len(labels) + 1, dtype=np.float64) - 0.5
        held = Line("median", "faint", places(edges), np.append(middle, middle[-1]), unit_of(values))
        picture = self._picture(rows, x, values, (labels, middle), (axis["name"], metric))
        return Panel(metric, "", picture, 230, [held], marks=self._marks(rows, places(x), values, metric), zero=True)

    def _picture(
        self,
        rows: Sequence[Row],
        x: "Floats",
        y: "Floats",
        medians: tuple[Sequence[str], "Floats"],
        names: tuple[str, str],
    ) -> str:
        """Return the static picture of a panel; *medians* are the labels of the values and the median of each."""
        labels, middle = medians
        known = y[~np.isnan(y)]
        span = padded(min(0.0, float(known.min())), max(0.0, float(known.max()))) if len(known) else (0.0, 1.0)
        plot = Plot(HALF, 230, (-0.5, len(labels) - 0.5), span)
        room = float(plot.across(1) - plot.across(0))
        marks = [plot.label(float(plot.across(i)), _cut(label, room)) for i, label in enumerate(labels)]
        edges = np.repeat(np.arange(len(labels) + 1) - 0.5, 2)[1:-1]
        line = plot.path(edges, np.repeat(middle, 2), "faint")
        dots = [
            _dot(plot, a, b, row) for a, b, row in zip(x.tolist(), y.tolist(), rows, strict=True) if not math.isnan(b)
        ]
        return plot.picture(plot.value_axis(most=5), line, *marks, *dots, title=f"{names[1]} over {names[0]}")

    def _marks(self, rows: Sequence[Row], us: "NDArray[np.int64]", values: "Floats", name: str) -> list[Marks]:
        """Return the points as marks with their names as tooltips, and the best one again, in front."""
        unit = unit_of(values)
        tip: list[tuple[str, Any, float]] = [
            ("rank", [number(row["rank"]) for row in rows], 1.0),
            ("point", [str(row["point"]) for row in rows], 1.0),
            *((axis["name"], [row[axis["name"]] or "–" for row in rows], 1.0) for axis in self.axes),
            (name, [number(value) for value in values.tolist()], 1.0),
            ("fills", [number(row["n_fills"], 9) for row in rows], 1.0),
        ]
        best = [i for i, row in enumerate(rows) if row["rank"] == 1]
        first = Marks("best", "trial best", 1, us[best], values[best], unit, _of(tip, best), "dot", stop=False)
        return [Marks("points", "trial", 1, us, values, unit, tip, "dot", stop=False), *([first] if best else [])]


def some(rows: Sequence[Row]) -> list[Row]:
    """Return the ranked *rows*, or as many as a chart can show: the best ones, and an even selection of the others."""
    return [rows[i] for i in sorted({round(i) for i in np.linspace(0, len(rows) - 1, min(len(rows), MOST_DOTS))})]


def _of(tip: Sequence[tuple[str, Any, float]], at: Sequence[int]) -> list[tuple[str, Any, float]]:
    return [(label, [values[i] for i in at], unit) for label, values, unit in tip]


def _others(row: Row, axes: Sequence[Axis], axis: Axis) -> tuple[str, ...]:
    return tuple(row[one["name"]] for one in axes if one["name"] != axis["name"])


def _dot(plot: Plot, x: float, y: float, row: Row) -> str:
    best = row["rank"] == 1
    at = f'cx="{float(plot.across(x)):.1f}" cy="{float(plot.up(y)):.1f}"'
    ring = f'<circle class="error" {at} r="9"/>' if best else ""
    tip = f"point {row['point']}: {number(y)}"
    return f'{ring}<circle class="point" {at} r="{5.5 if best else 4.5}"><title>{escape(tip)}</title></circle>'


def _cut(label: str, room: float) -> str:
    return label if len(label) * _LETTER < room else label[: max(2, int(room / _LETTER) - 1)] + "…"
