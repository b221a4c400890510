"""The charts of a sweep's page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import product
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.page.frame import nothing, wide
from mm.page.heatmap import Heatmap, sizes
from mm.page.numbers import number, short
from mm.page.svg import BOTTOM, LEFT, RIGHT, TOP, Plot, padded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Row = Mapping[str, Any]
Axis = Mapping[str, Any]
MOST_MAPS, MOST_COURSES, MOST_DOTS, BINS = 12, 80, 1500, 28
_LETTER = 8.1  # width of a letter on a narrow screen, in the units of a chart


def maps(rows: Sequence[Row], axes: Sequence[Axis], rank_by: str) -> str:
    """Return a map of colours over the two axes with most values, for each choice of the others; empty under two."""
    varied = [axis for axis in axes if len(axis["values"]) > 1]
    if len(varied) < 2:
        return ""
    across, down = sorted(varied, key=lambda axis: -len(axis["values"]))[:2]
    others = [axis for axis in varied if axis not in (across, down)]
    choices = list(product(*(axis["values"] for axis in others)))
    if len(choices) > MOST_MAPS:
        return ""
    by_values = {tuple(row[axis["name"]] for axis in (*others, down, across)): row for row in reversed(rows)}
    pictures, everything = [], []
    for choice in choices:
        cells = [[by_values.get((*choice, d, a)) for a in across["values"]] for d in down["values"]]
        everything.append([[None if row is None else row[rank_by] for row in line] for line in cells])
        places = [
            (d, a) for d, line in enumerate(cells) for a, row in enumerate(line) if row is not None and row["rank"] == 1
        ]
        pictures.append((choice, everything[-1], places[0] if places else None))
    span = sizes([line for values in everything for line in values])
    drawn = []
    for choice, values, best in pictures:
        title = ", ".join(f"{axis['name']} {value}" for axis, value in zip(others, choice, strict=True))
        one = Heatmap((across["name"], across["values"]), (down["name"], down["values"]), values, best)
        texts = [[number(value, 3) for value in line] for line in values]
        heading = f'<p style="font-weight:600;margin-top:14px">{escape(title)}</p>' if title else ""
        picture = one.table(texts, f"{rank_by} {title}", span)
        drawn.append(heading + wide(picture))
    return "".join(drawn)


def against(rows: Sequence[Row], first: str, second: str, title: str) -> str:
    """Return each point by two of its numbers, the columns *first* and *second*; the best one is marked."""
    known = [row for row in rows if row[first] is not None and row[second] is not None]
    if len(known) < 2:
        return nothing("Fewer than two points have both numbers.")
    known = _some(known)
    x, y = (np.array([row[name] for row in known]) for name in (first, second))
    low, high = padded(min(x.min(), y.min(), 0.0), max(x.max(), y.max(), 0.0))
    plot = Plot(520, 350, (low, high), (low, high))
    dots = "".join(_dot(plot, a, b, row) for a, b, row in zip(x.tolist(), y.tolist(), known, strict=True))
    same = plot.path(np.array([low, high]), np.array([low, high]), "zero")
    return plot.picture(plot.value_axis(), plot.number_axis(short, 6), same, dots, title=title)


def _some(rows: Sequence[Row]) -> list[Row]:
    """Return *rows*, which are ranked, or as many of them as a chart shows: the best, and others evenly."""
    return [rows[i] for i in sorted({round(i) for i in np.linspace(0, len(rows) - 1, min(len(rows), MOST_DOTS))})]


def _dot(plot: Plot, x: float, y: float, row: Row) -> str:
    best = row["rank"] == 1
    told = f"point {row['point']}: {number(x)} then {number(y)}"
    at = f'cx="{float(plot.across(x)):.1f}" cy="{float(plot.up(y)):.1f}"'
    ring = f'<circle class="error" {at} r="9"/>' if best else ""
    return f'{ring}<circle class="point" {at} r="{5.5 if best else 4.5}"><title>{escape(told)}</title></circle>'


def spread(rows: Sequence[Row], luck: float | None) -> str:
    """Return how the trials' Sharpe ratios are spread, beside what the best of worthless ones would show."""
    trials = {row["digest"]: row["sharpe"] for row in rows if row["sharpe"] is not None}
    if len(trials) < 2:
        return nothing("Fewer than two trials have a Sharpe ratio.")
    values = np.array(list(trials.values()))
    low, high = padded(min(values.min(), 0.0), max(values.max(), luck or 0.0))
    edges = np.linspace(low, high, BINS + 1)
    counts = np.histogram(values, edges)[0].astype(np.float64)
    plot = Plot(520, 350, (low, high), (0.0, float(counts.max()) * 1.15))
    lines = ""
    if luck is not None:
        x = float(plot.across(luck))
        lines = f'<path class="dash" d="M{x:.1f} {TOP}V{plot.height - BOTTOM}"/>'
    whole = plot.value_axis(lambda value: short(value) if float(value).is_integer() else "", 5)
    bars = plot.columns(edges, counts, "gain")
    return plot.picture(whole, plot.number_axis(short, 6), bars, lines, title="Sharpe ratios of the trials")


@dataclass(frozen=True)
class Course:
    """What choosing by the past gained over time.

    Attributes:
        start_us: Begin of each period from the first choice on.
        total: PnL since then, beginning at that of the best trial: only the shape is compared.
    """

    start_us: "Floats"
    total: "Floats"

    @classmethod
    def of(
        cls, content: Mapping[str, Any], start_us: "Floats", columns: Sequence[int], pnl: "Floats"
    ) -> "Course | None":
        """Return the course of a sweep's ``walkforward``; None where it has none."""
        ahead = content["walkforward"]
        if ahead is None:
            return None
        pieces = [pnl[first:last, columns.index(point)] for point, first, last in ahead["spans"]]
        first = ahead["spans"][0][1]
        return cls(start_us[first:], np.cumsum(np.concatenate(pieces)))


def courses(start_us: "Floats", pnl: "Floats", columns: Sequence[int], best: int | None, chosen: Course | None) -> str:
    """Return the PnL of the trials over time, the best one and what choosing by the past gained in front."""
    totals = np.cumsum(pnl, axis=0)
    shown = list(range(totals.shape[1]))[:: max(1, totals.shape[1] // MOST_COURSES)]
    front = columns.index(best) if best in columns else None
    drawn = [totals[:, shown], *([totals[:, front]] if front is not None else []), *([chosen.total] if chosen else [])]
    low, high = min(0.0, *(float(one.min()) for one in drawn)), max(0.0, *(float(one.max()) for one in drawn))
    plot = Plot(1072, 320, (start_us[0], start_us[-1] + 6e7), padded(low, high))
    us = start_us.astype(np.int64) + 60_000_000
    others = "".join(plot.line(us, totals[:, column], "faint") for column in shown if column != front)
    lines = f'<g opacity="0.45">{others}</g>'
    first = plot.line(us, totals[:, front], "line") if front is not None else ""
    ahead = ""
    if chosen is not None:
        line = plot.line(chosen.start_us.astype(np.int64) + 60_000_000, chosen.total, "line")
        ahead = line.replace("<path ", '<path style="stroke:var(--sell)" ')
    return plot.picture(plot.value_axis(number), plot.time_axis(), lines, first, ahead, title="PnL over time")


def axes(rows: Sequence[Row], every: Sequence[Axis], rank_by: str) -> str:
    """Return, for each axis with several values, all points over its values, and the medians."""
    known = [row for row in rows if row["status"] == "ok" and row[rank_by] is not None]
    varied = [axis for axis in every if len(axis["values"]) > 1]
    if not known or not varied:
        return nothing("No axis has several values with a result.")
    known = _some(known)
    values = [row[rank_by] for row in known]
    span = padded(min(*values, 0.0), max(*values, 0.0))
    charts = [_axis(known, axis, rank_by, span) for axis in varied]
    pairs = [charts[i : i + 2] for i in range(0, len(charts), 2)]
    return "".join(f'<div class="pair">{"".join(f"<div>{one}</div>" for one in pair)}</div>' for pair in pairs)


def _axis(rows: Sequence[Row], axis: Axis, rank_by: str, span: tuple[float, float]) -> str:
    labels = list(dict.fromkeys(axis["values"]))
    plot = Plot(520, 230, (-0.5, len(labels) - 0.5), span)
    groups = [[row[rank_by] for row in rows if row[axis["name"]] == label] for label in labels]
    marks, widest = [], (plot.width - LEFT - RIGHT) / len(labels)
    for place, (label, group) in enumerate(zip(labels, groups, strict=True)):
        x = float(plot.across(place))
        text = label if len(label) * _LETTER < widest else label[: max(2, int(widest / _LETTER) - 1)] + "…"
        marks.append(plot.label(x, text))
        marks += [f'<circle class="point" cx="{x:.1f}" cy="{float(plot.up(value)):.1f}" r="4"/>' for value in group]
    there = [place for place, group in enumerate(groups) if group]
    middles = plot.path(np.array(there, dtype=float), np.array([median(groups[i]) for i in there]), "faint")
    name = f'<text class="name" x="{LEFT}" y="13">{escape(axis["name"])}</text>'
    return plot.picture(plot.value_axis(most=5), name, middles, *marks, title=f"{rank_by} over {axis['name']}")
