"""How often our quotes filled at each distance, as the report page draws it, beside what was foreseen."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.clock import US_PER_S
from mm.numbers import lasting, number, percent, short
from mm.report.frame import nothing
from mm.report.svg import Plot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

HALF, WIDE = 520, 1072
HOUR_US = 3_600 * US_PER_S
DECADES = 5  # below the highest rate; what is lower is not drawn
LEAST_S = 1.0  # distances that had less time say nothing


def rate_chart(rows: Sequence[Mapping[str, Any]]) -> str:
    """Draw fills a second of one resting order by its distance, with 95 % Poisson bars, and the curve foreseen.

    Args:
        rows: ``fills_by_distance`` of the summary.
    """
    told = [row for row in rows if row["exposure_s"] >= LEAST_S]
    if not any(row["fills"] for row in told):
        return nothing("No fills at any distance that our quotes had for a second.")
    top = math.log10(max(row["rate_high"] for row in told if row["fills"])) + 0.1
    lowest = min(row["rate_low"] if row["fills"] else row["rate_high"] / 2 for row in told)
    bottom = max(top - DECADES, math.log10(lowest) - 0.1)
    near, far = told[0]["delta_ticks"], told[-1]["delta_ticks"]
    room = max(0.5, 0.05 * (far - near))
    plot = Plot(HALF, 250, (near - room, far + room), (math.floor(bottom * 2) / 2, top))
    many = plot.y[1] - plot.y[0] > 1.5
    marks = [plot.value_axis(_power if many else _rate), plot.number_axis(short, 8), _foreseen(plot, told)]
    marks += [_whisker(plot, row) for row in told]
    return plot.picture(*marks, title="Fills a second of one resting order, by distance from the mid in ticks")


def _power(value: float) -> str:
    """Return a power of ten as the axis says it, and nothing between them."""
    return short(10.0**value) if value == round(value) else ""


def _rate(value: float) -> str:
    """Return what a rule between powers of ten stands for."""
    return number(10.0**value, 2)


def _foreseen(plot: Plot, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the line through what the intensity foresees at each distance; nothing without one."""
    known = [row for row in rows if row.get("predicted")]
    if not known:
        return ""
    rate = np.log10([row["predicted"] / row["exposure_s"] for row in known])
    inside = np.where(rate < plot.y[0], np.nan, np.minimum(rate, plot.y[1]))
    return plot.path(np.array([row["delta_ticks"] for row in known], dtype=np.float64), inside, "dash")


def _whisker(plot: Plot, row: Mapping[str, Any]) -> str:
    """Return a distance's rate with its interval; where nothing filled, how high the rate may still be."""
    said = f"{short(row['from_ticks'])} to {short(row['to_ticks'])} ticks: {row['fills']:,} fills in "
    said += f"{lasting(row['exposure_s'])} of orders, {number(row['rate_per_s'])} a second"
    if row.get("predicted") is not None:
        said += f"; {number(row['predicted'])} foreseen"
    low, high = (math.log10(rate) if rate > 0 else -math.inf for rate in (row["rate_low"], row["rate_high"]))
    ends = max(low, plot.y[0]), min(high, plot.y[1])
    if ends[1] <= plot.y[0]:
        return ""
    if row["fills"] == 0:
        return plot.whisker(row["delta_ticks"], plot.y[0], ends, "whisker none-yet", said)
    return plot.whisker(row["delta_ticks"], max(math.log10(row["rate_per_s"]), plot.y[0]), ends, "whisker", said)


def hours_chart(rows: Sequence[Mapping[str, Any]]) -> str:
    """Draw the fills of each hour with the 95 % interval of what was foreseen, as a step line.

    Args:
        rows: ``fills_by_hour`` of the summary.
    """
    start = np.array([row["start_us"] for row in rows], dtype=np.int64)
    edges = np.append(start, start[-1] + HOUR_US).astype(np.float64)
    foreseen = np.array([row["predicted"] for row in rows])
    fills = np.array([row["fills"] for row in rows], dtype=np.float64)
    high = [row["rate_high"] * row["exposure_s"] for row in rows]
    plot = Plot(WIDE, 190, (edges[0], edges[-1]), (0.0, max(*high, float(foreseen.max()), 1.0) * 1.06))
    marks = [plot.value_axis(), plot.time_axis()]
    for row, at in zip(rows, (start + HOUR_US // 2).tolist(), strict=True):
        ends = (row["rate_low"] * row["exposure_s"], row["rate_high"] * row["exposure_s"])
        said = f"{row['fills']:,} fills, {number(row['predicted'])} foreseen"
        marks.append(plot.whisker(at, float(row["fills"]), ends, "whisker", said))
    line = plot.path(np.repeat(edges, 2)[1:-1], np.repeat(foreseen, 2), "dash")
    return plot.picture(*marks, line, title=f"Fills by hour, {int(fills.sum()):,} in all, and what was foreseen")


def told_of_rates(summary: Mapping[str, Any]) -> str:
    """Return what stands above the chart: what is drawn, and how all fills compare with what was foreseen."""
    text = "A second of one resting order, by ticks from the mid, 95 % Poisson bars."
    ratio = summary.get("fills_ratio") or {}
    if ratio.get("value") is None:
        return text
    return (
        f"{text} Dashed: foreseen by A and k; {percent(ratio['value'])} of that filled "
        f"(95 %: {percent(ratio['low'])} to {percent(ratio['high'])})."
    )
