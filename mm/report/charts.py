"""The charts of the report page, each from the columns of a run's files or from its summary."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.arithmetic import quantiles
from mm.numbers import number, short, signed
from mm.report.frame import nothing
from mm.report.over_time import count
from mm.report.svg import LEFT, RIGHT, TOP, Plot, bar, padded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

HALF = 520
SIDES = (("BUY", "buy"), ("SELL", "sell"))
HORIZON_ERROR = 1.96


def split_chart(summary: Mapping[str, Any]) -> str:
    """Draw spread, inventory and fees as steps from zero to the PnL."""
    if summary["pnl_total"] is None:
        return nothing("The book was never valid, so there is no PnL to split.")
    parts = [
        ("Spread captured", summary["pnl_spread_capture"]),
        ("Inventory", summary["pnl_inventory"]),
        ("Fees", -summary["fees"]),
    ]
    levels = [0.0]
    for _, amount in parts:
        levels.append(levels[-1] + amount)
    rows = [(name, levels[i], levels[i + 1], amount) for i, (name, amount) in enumerate(parts)]
    rows.append(("PnL", 0.0, summary["pnl_total"], summary["pnl_total"]))
    plot = Plot(HALF, 250, padded(min(levels), max(levels), 0.01), (0, 4))
    # Names stand on the left and amounts on the right, so the bars keep to what is between.
    left, scale = 128, (HALF - 128 - 92) / (plot.x[1] - plot.x[0])
    marks = []
    for i, (name, start, end, amount) in enumerate(rows):
        y = TOP + 8 + i * 56
        low, high = (left + (level - plot.x[0]) * scale for level in sorted((start, end)))
        kind = "gain" if amount >= 0 else "loss"
        marks.append(f'<text class="name" x="0" y="{y + 22}">{name}</text>')
        if amount:
            marks.append(bar(low, y, (high - low, 34), kind, f"{name}: {number(amount, 6)}"))
        marks.append(f'<text class="value end" x="{HALF}" y="{y + 22}">{signed(amount)}</text>')
        if i < len(parts):
            at = left + (end - plot.x[0]) * scale
            marks.append(f'<path class="zero" d="M{at:.1f} {y + 34}v22"/>')
    zero = left - plot.x[0] * scale
    return plot.picture(f'<path class="zero" d="M{zero:.1f} {TOP}V{TOP + 218}"/>', *marks, title="PnL by source")


def markout_chart(summary: Mapping[str, Any], fee_per_unit: float | None) -> str:
    """Draw what was left of the half-spread some time after a fill, and the fee it had to pay for."""
    realised, errors = summary["realised_half_spread"], summary["adverse_selection_se"]
    points = [("at the fill", summary["effective_half_spread"], None)]
    points += [(f"{horizon} s", value, errors[horizon]) for horizon, value in realised.items()]
    known = [(name, value, HORIZON_ERROR * (error or 0)) for name, value, error in points if value is not None]
    if not known:
        return nothing("No fills to follow.")
    low = min(0.0, *(value - error for _, value, error in known))
    high = max(0.0, *(value + error for _, value, error in known))
    fee_fits = fee_per_unit is not None and 0 < fee_per_unit < 3 * max(high, -low)
    plot = Plot(HALF, 250, (-0.5, len(known) - 0.5), padded(low, max(high, fee_per_unit) if fee_fits else high, 0.09))
    places = [(float(plot.across(i)), float(plot.up(value))) for i, (_, value, _) in enumerate(known)]
    marks = [plot.value_axis(), f'<path class="line" d="M{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>']
    if fee_fits and fee_per_unit is not None:
        marks.append(f'<path class="dash" d="M{LEFT} {float(plot.up(fee_per_unit)):.1f}H{HALF - RIGHT}"/>')
    for (x, y), (name, value, error) in zip(places, known, strict=True):
        low_end, high_end = float(plot.up(value - error)), float(plot.up(value + error))
        marks.append(f'<path class="error" d="M{x:.1f} {low_end:.1f}V{high_end:.1f}"/>')
        marks.append(
            f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{name}: {number(value)}</title></circle>'
        )
        marks.append(plot.label(x, name))
    return plot.picture(*marks, title="Half-spread left after a fill, by horizon")


def distance_chart(fills: Mapping[str, Any], tick_size: float) -> str:
    """Draw how many fills happened at each distance from the mid of their instant, in ticks."""
    side, mid = np.asarray(fills["side"]), np.asarray(fills["mid"], dtype=np.float64)
    ticks = (mid - np.asarray(fills["price"], dtype=np.float64)) / tick_size * np.where(side == "BUY", 1, -1)
    known = ~np.isnan(ticks)
    if not known.any():
        return nothing("No fills.")
    edges = distance_edges(ticks[known])
    inside = np.clip(ticks, edges[0], edges[-1])
    counts = [np.histogram(inside[known & (side == word)], edges)[0] for word, _ in SIDES]
    plot = Plot(HALF, 250, (edges[0], edges[-1]), (0, float(np.add(*counts).max()) * 1.06))
    marks = [plot.value_axis(count)]
    x, base = plot.across(edges), np.zeros(len(edges) - 1)
    for fills_of, (word, kind) in zip(counts, SIDES, strict=True):
        for i in np.flatnonzero(fills_of):
            top, bottom = float(plot.up(base[i] + fills_of[i])), float(plot.up(base[i]))
            span = f"{short(edges[i] + 0.25)} to {short(edges[i + 1] - 0.25)} ticks: {fills_of[i]} {word.lower()} fills"
            marks.append(bar(float(x[i]) + 1, top, (float(x[i + 1] - x[i]) - 2, bottom - top), kind, span))
        base = base + fills_of
    every = max(1, math.ceil((len(edges) - 1) / 8))
    marks += [plot.label(float(x[i]), short(edges[i] + 0.25)) for i in range(0, len(edges), every)]
    return plot.picture(*marks, title="Fills by distance from the mid, in ticks")


def distance_edges(ticks: "Floats", most: int = 24) -> "Floats":
    """Return the edges of nine to *most* bars that hold 99 of 100 distances, in round numbers of half ticks.

    An edge lies a quarter tick below a half tick or a whole one, where no distance can be.
    """
    low, high = quantiles(ticks, [0.005, 0.995])
    raw = max((high - low + 0.5) / (most - 1), 0.5)
    power = 10.0 ** math.floor(math.log10(raw))
    width = next(max(power * factor, 0.5) for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first = math.floor((low + 0.25) / width)
    last = math.floor((high + 0.25) / width) + 1
    room = max(0, math.ceil((9 - (last - first)) / 2))
    return np.arange(first - room, last + room + 1, dtype=np.float64) * width - 0.25
