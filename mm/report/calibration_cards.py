"""The lower cards of the calibration page: other curves, what a fill costs later, spreads, volatility, days."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.numbers import number, percent, short, signed
from mm.report.frame import card, grid, nothing
from mm.report.svg import Plot, padded

if TYPE_CHECKING:
    from mm.calibration.calibrate import AdverseMove

HALF = 520
NORMAL_95 = 1.959964
HORIZON_S = 5  # of the drawn moves; the file has all horizons


def further_cards(content: Mapping[str, Any], moves: Sequence["AdverseMove"]) -> list[str]:
    """Return cards of what ``poisson_fit.json`` holds beside the fit (*content*), and of the *moves* after fills."""
    pairs = [
        (_curves(content.get("alternatives")), _moves(moves)),
        (_volatility(content.get("volatility") or {}), _spreads(content.get("by_spread") or [])),
    ]
    days = content.get("by_day") or []
    return [f'<div class="pair">{left}{right}</div>' for left, right in pairs] + ([_days(days)] if days else [])


def _curves(compared: Mapping[str, Any] | None) -> str:
    if not compared:
        return card("Other curves", "", nothing("There is too little to compare curves on."))
    least = min(curve["aic"] for curve in compared["curves"])
    rows = [
        (curve["name"].replace("_", " "), number(curve["aic"] - least), _gain(curve["unseen"], curve["unseen_se"]))
        for curve in compared["curves"]
    ]
    table = grid(("curve", "AIC, less the best", "nats a fill, unseen"), rows)
    return card("Other curves", escape(compared["sentence"]), table)


def _gain(gain: float | None, error: float | None) -> str:
    if gain is None:
        return "–"
    return signed(gain, 3) if not error else f"{signed(gain, 3)} ± {number(error, 2)}"


def _moves(moves: Sequence["AdverseMove"]) -> str:
    hint = (
        f"Ticks that the mid moves against an order within {HORIZON_S} s of a fill at each distance, 95 % bars by "
        f"blocks; dashed: the distance itself. A fill above the dashed line loses."
    )
    return card("What a fill costs later", hint, _moves_chart(moves))


def _moves_chart(moves: Sequence["AdverseMove"]) -> str:
    rows = [row for row in moves if row.side == "both" and row.horizon_s == HORIZON_S and row.hits]
    told = [row for row in rows if row.se_ticks is not None][:40]
    if not told:
        return nothing("Too few fills to follow.")
    delta = np.array([row.delta_ticks for row in told])
    mean = np.array([row.mean_move_ticks for row in told])
    error = NORMAL_95 * np.array([row.se_ticks or 0.0 for row in told])
    reach = float(max(3 * np.median(mean + error), delta[min(3, len(delta) - 1)]))  # wide bars may leave the chart
    plot = Plot(HALF, 250, padded(0.0, float(delta[-1])), padded(min(0.0, float(mean.min())), reach))
    line = np.array([0.0, min(float(delta[-1]), plot.y[1])])
    marks = [plot.value_axis(), plot.number_axis(short, 8), plot.path(line, line, "dash")]
    for x, y, half, row in zip(delta.tolist(), mean.tolist(), error.tolist(), told, strict=True):
        if y > plot.y[1]:
            continue
        said = f"{short(x)} ticks: {number(y)} ± {number(half)} ticks, {row.hits:,} fills"
        marks.append(plot.whisker(x, y, (max(y - half, plot.y[0]), min(y + half, plot.y[1])), "whisker", said))
    return plot.picture(*marks, title="Move of the mid against the order after a fill, by distance")


def _volatility(found: Mapping[str, Any]) -> str:
    steps = [point for point in found.get("signature", []) if point["variance_per_s"]]
    if not steps:
        return card("Volatility", "", nothing("The mid was never seen long enough."))
    error = found["se_sigma"]
    told = number(found["sigma_ticks_per_sqrt_s"]) + ("" if error is None else f" ± {number(error, 2)}")
    hint = (
        f"Signature: ticks per √s by the step it is sampled at. Two-scale, without the bounce: {told}; a bounce of "
        f"{number(found['bounce_ticks'], 2)} ticks."
    )
    seconds = np.array([float(point["step_s"]) for point in steps])
    sigma = np.sqrt([float(point["variance_per_s"]) for point in steps])
    plot = Plot(HALF, 250, padded(0.0, float(np.log10(seconds[-1])), 0.04), padded(0.0, float(sigma.max()), 0.08))
    marks = [plot.value_axis(), plot.path(np.log10(seconds), sigma, "line")]
    for x, y in zip(seconds.tolist(), sigma.tolist(), strict=True):
        at = float(plot.across(np.log10(x)))
        marks.append(plot.label(at, short(x)))
        title = f"sampled every {short(x)} s: {number(y)} ticks per root second"
        marks.append(plot.whisker(float(np.log10(x)), y, (y, y), "whisker", title))
    return card("Volatility", hint, plot.picture(*marks, title="Volatility by sampling step, in seconds"))


def _spreads(states: Sequence[Mapping[str, Any]]) -> str:
    hint = "The same fit on the time in which the spread was so many ticks."
    if not states:
        return card("By spread", hint, nothing("No spread was long enough in place."))
    rows = [
        (
            short(state["from_ticks"]) if state["from_ticks"] == state["to_ticks"] else _range(state),
            percent(state["share"]),
            number(state["A"]),
            number(state["k"]),
            f"{state['n_fills']:,.0f}",
            escape(state["status"]),
        )
        for state in states
    ]
    return card("By spread", hint, grid(("ticks", "of the time", "A", "k", "fills", ""), rows))


def _range(state: Mapping[str, Any]) -> str:
    last = "more" if state["to_ticks"] is None else short(state["to_ticks"])
    return f"{short(state['from_ticks'])} to {last}"


def _days(days: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (day["day"], number(day["A"]), number(day["k"]), f"{day['n_fills']:,.0f}", escape(day["status"]))
        for day in days
    ]
    return card("By day", "Each day alone.", grid(("day", "A", "k", "fills", ""), rows))
