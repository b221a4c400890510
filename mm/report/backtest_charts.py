"""The charts of a backtest: over time, by source, by distance, and against expected fills."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import cycle, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.markouts import HORIZONS_S
from mm.backtest.metrics.notes import given_text
from mm.backtest.metrics.numbers import Summary
from mm.backtest.summary_text import is_decided
from mm.base.arithmetic import quantiles
from mm.base.arrays import Floats, Ints, Rows
from mm.base.numbers import duration, number, percent, short, signed
from mm.clock import US_PER_S
from mm.report import figures
from mm.report.figures import BUY, GAIN, LOSS, MAIN, SELL, SOFT, THIRD, Figure, Panel, Trace
from mm.report.frame import base_asset, quote_asset
from mm.report.run_columns import EquityCurve, RunColumns

if TYPE_CHECKING:
    from mm.backtest.fills.intensity_piece import IntensityPiece


SIDES = (("BUY", 1, BUY, "bid"), ("SELL", -1, SELL, "ask"))
MARKED_FILLS = 400  # more are small dots behind the prices, which large marks would hide
PRINTS = 2_500  # of the market's prints of one side; they are drawn if a reader asks for them
MANY_REFUSED = 200  # more marks of orders would cover the prices: they are drawn if a reader asks for them
COUNT_BARS = 166
NO_MARKET = "no market"  # no valid book, a closed exchange, the training of a walk-forward
MOST_SERIES = 8  # of a strategy's series that are drawn
MOST_BARS = 24  # of the fills by distance
HOUR_US = 3_600 * US_PER_S
LEGS = ("#b8962e", "#d36ba6", SELL)  # colours of other markets
FAR = 5.0  # multiple of the largest value at which ends of intervals are cut
LEAST_S = 1.0  # minimum resting time of a distance
DECADES = 5  # below the highest rate; lower rates are not drawn


def equity_figure(run: RunColumns, curve: EquityCurve, terms: Summary) -> Figure | None:
    if np.isnan(curve.equity).all():
        return None
    return figures.stacked(equity_panels(run, curve, terms, 200), *_x(run, curve), NO_MARKET)


def bounds_figure(curve: Mapping[str, Any], unit: str) -> Figure | None:
    """Draw the PnL of the bounds and the band between the least and the largest at each instant."""
    if len(curve["us"]) == 0:
        return None
    x = figures.ms(curve["us"])
    back, chosen, front = (np.asarray(curve[name]) for name in ("back", "chosen", "front"))
    low, high = (end([back, chosen, front], axis=0) for end in (np.min, np.max))
    none: dict[str, Any] = {"hoverinfo": "skip", "showlegend": False, "line": {"width": 0}}
    traces = [
        figures.line("", x, low, **none),
        figures.line("", x, high, **none, fill="tonexty", fillcolor=figures.BAND),
        figures.line("back", x, back, LOSS, line={"dash": "dot"}),
        figures.line("front", x, front, GAIN, line={"dash": "dot"}),
        figures.line("chosen", x, chosen, MAIN),
    ]
    axis = figures.time_axis(curve["us"][0], curve["us"][-1])
    return figures.stacked([Panel("PnL of the quoting", unit, traces, 200)], axis)


def market_figure(run: RunColumns, curve: EquityCurve, terms: Summary) -> Figure:
    return figures.stacked(market_panels(run, curve, terms), *_x(run, curve), NO_MARKET)


def whole_figure(run: RunColumns, curve: EquityCurve, terms: Summary) -> Figure:
    equity = [] if np.isnan(curve.equity).all() else equity_panels(run, curve, terms)
    return figures.stacked([*equity, *market_panels(run, curve, terms)], *_x(run, curve), NO_MARKET)


def equity_panels(run: RunColumns, curve: EquityCurve, terms: Summary, height: int = 170) -> list[Panel]:
    near = np.asarray(run.fills["recv_us"], dtype=np.int64)
    below = figures.step("drawdown", curve.us, curve.drawdown, LOSS, near, fill="tozeroy")
    parts = {name: earned for name, (earned, _) in curve.legs.items()}
    traces = _of_legs(curve, {terms.symbol: curve.own, **parts} if parts else {}, near)
    traces.append(figures.step(_whole(curve), curve.us, curve.equity, MAIN, near))
    return [
        Panel("PnL of the quoting", quote_asset(terms), traces, height),
        Panel("Under water", f"{quote_asset(terms)}, below the highest PnL", [below], 70, figures.FROM_ZERO),
    ]


def _whole(curve: EquityCurve) -> str:
    return "all legs" if curve.legs else "PnL"


def _of_legs(curve: EquityCurve, values: Mapping[str, Floats], near: Ints) -> list[Trace]:
    colours = dict(zip(curve.legs, cycle(LEGS)))
    return [
        figures.step(escape(name), curve.us, of_leg, colours.get(name, SOFT), near, line={"width": 1})
        for name, of_leg in values.items()
    ]


def market_panels(run: RunColumns, curve: EquityCurve, terms: Summary) -> list[Panel]:
    quote, base = quote_asset(terms), base_asset(terms)
    near = np.asarray(run.fills["recv_us"], dtype=np.int64)
    parts = [
        figures.step(name, curve.us, values, colour, near)
        for name, colour, values in (
            ("spread captured", GAIN, curve.spread),
            ("inventory", THIRD, curve.carried),
            ("fees", LOSS, -curve.fees),
            (_whole(curve), MAIN, curve.equity),
        )
    ]
    parts[-1:-1] = _of_legs(curve, {name: earned for name, (earned, _) in curve.legs.items()}, near)
    held = [figures.step(terms.symbol if curve.legs else "held", curve.us, curve.inventory, MAIN, near)]
    held += _of_legs(curve, {name: inventory for name, (_, inventory) in curve.legs.items()}, near)
    there = ", of the other markets in their own unit" if curve.legs else ""
    return [
        price_panel(run, curve, quote),
        *own_panels(run, curve),
        count_panel(run, curve),
        Panel("PnL by source", f"{quote}, since the start; they add up to the PnL", parts, 170),
        Panel("Inventory", f"{base}{there}; quoted quantity {short(terms.quote_qty)}", held, 110),
        *_rate_panels(run, curve),
    ]


def _x(run: RunColumns, curve: EquityCurve) -> tuple[dict[str, Any], Ints]:
    return figures.time_axis(*curve.x), figures.merged(run.excluded, curve.x)


def price_panel(run: RunColumns, curve: EquityCurve, quote: str) -> Panel:
    near = np.asarray(run.fills["recv_us"], dtype=np.int64)
    us, mid = _within(curve, run.mid_us, run.mid)
    fills = [_fills_of(run, word, sign, colour) for word, sign, colour, _ in SIDES]
    few = len(near) <= MARKED_FILLS
    lines, prints = [], []
    if run.market is not None:
        market = run.market
        for (_, sign, colour, name), values in zip(SIDES, (market.bid, market.ask), strict=True):
            at, best = _within(curve, market.us, values)
            lines.append(figures.step(f"best {name}", at, best, colour, near, line={"width": 1}, opacity=0.55))
            prints.append(_prints_of(run, sign, colour))
    lines.append(figures.step("mid", us, mid, SOFT, near, line={"width": 1.4}))
    quotes = [
        figures.spans(f"our {name}", resting.us, resting.until_us, resting.price, colour)
        for _, sign, colour, name in SIDES
        if len((resting := run.quotes[sign]).us)
    ]
    traces = [*prints, *quotes, *([] if few else fills), *lines, *(fills if few else []), *_refused_of(run)]
    return Panel("Price, quotes and fills", quote, traces, 320)


def _within(curve: EquityCurve, us: Ints, values: Floats) -> tuple[Ints, Floats]:
    inside = (us >= curve.us[0]) | (np.append(us[1:], curve.us[-1]) > curve.us[0])
    return np.maximum(us[inside], curve.us[0]), values[inside]


def _fills_of(run: RunColumns, word: str, sign: int, colour: str) -> Trace:
    fills = run.fills
    many = len(fills["recv_us"]) > MARKED_FILLS
    rows = np.flatnonzero(np.asarray(fills["side"]) == word)
    every, rows = len(rows), some(rows, figures.MOST)
    us, price, qty, mid = (np.asarray(fills[name])[rows] for name in ("recv_us", "price", "qty", "mid"))
    us, price, mid = us.astype(np.int64), price.astype(np.float64), mid.astype(np.float64)
    later = [sign * (run.later(us + h * US_PER_S) - price) for h in HORIZONS_S]
    number_ = np.asarray(fills["fill"])[rows] if "fill" in fills else rows  # a part of a run has their places
    told = np.stack([number_ + 1.0, qty.astype(np.float64), sign * (mid - price), *later], axis=1).round(10)
    reason = np.asarray(fills["reason"], dtype=object)[rows].tolist()
    after = ", ".join(f"{h} s %{{customdata[{place}]:.3~r}}" for place, h in enumerate(HORIZONS_S, 3))
    tip = (
        f"fill %{{customdata[0]:.0f}}: {word.lower()} %{{customdata[1]:.6~r}} at %{{y:,.10~r}}, %{{text}}<br>"
        f"half-spread %{{customdata[2]:.3~r}}; markouts {after}<extra></extra>"
    )
    mark = {"size": 4, "opacity": 0.5} if many else {"size": 9, "symbol": f"triangle-{'up' if sign > 0 else 'down'}"}
    texts = [str(code or "") for code in reason]
    more: dict[str, Any] = {"customdata": told.astype(np.float32), "text": texts, "hovertemplate": tip}
    more["meta"] = {"stop": True, "of": every}
    return figures.points(f"our {word.lower()}s", figures.ms(us), price, colour, marker=mark, **more)


def some(rows: Rows, most: int) -> Rows:
    return rows[:: max(1, -(-len(rows) // most))]


def _prints_of(run: RunColumns, sign: int, colour: str) -> Trace:
    assert run.market is not None
    prints, who = run.market.prints[sign], "buyer" if sign > 0 else "seller"
    rows = figures.drawn_rows(np.asarray(prints.ticks, dtype=np.float64), most=PRINTS)
    shown = prints.at(rows)
    tip = f"a {who} took %{{customdata:.6~r}} at %{{y:,.10~r}}<extra></extra>"
    more: dict[str, Any] = {"customdata": shown.qty, "hovertemplate": tip, "visible": "legendonly", "legendrank": 2_000}
    more["meta"] = {"of": len(prints.us)}
    mark = {"size": 3, "opacity": 0.5}
    return figures.points(f"{who}s' trades", figures.ms(shown.us), shown.price, colour, marker=mark, **more)


def _refused_of(run: RunColumns) -> list[Trace]:
    traces = list[Trace]()
    if run.refused is None:
        return traces
    for sent, name, colour in ((True, "rejected", LOSS), (False, "not sent", SOFT)):
        all_ = np.flatnonzero(run.refused.sent == sent)
        if not len(all_):
            continue
        rows = some(all_, PRINTS)
        side = ["buy" if sign > 0 else "sell" for sign in run.refused.side[rows].tolist()]
        tips = [
            f"{name}: {way} at {short(price)}, {run.refused.reason[row]}"
            for way, price, row in zip(side, run.refused.price[rows].tolist(), rows.tolist(), strict=True)
        ]
        mark = {"symbol": "x-thin", "size": 7, "line": {"color": colour, "width": 1.6}}
        x, price = figures.ms(run.refused.us[rows]), run.refused.price[rows]
        more: dict[str, Any] = {"visible": "legendonly"} if len(all_) > MANY_REFUSED else {}
        traces.append(figures.points(name, x, price, colour, tips=tips, marker=mark, meta={"of": len(all_)}, **more))
    return traces


def own_panels(run: RunColumns, curve: EquityCurve) -> list[Panel]:
    """The series that the strategy recorded, each on its own axis."""
    near = np.asarray(run.fills["recv_us"], dtype=np.int64)
    known = {name: series for name, series in run.recorded.items() if len(series[0])}
    more = f"; {len(known) - MOST_SERIES} more in series.csv" if len(known) > MOST_SERIES else ""
    return [
        Panel(
            *(escape(name), f"recorded by the strategy{more}"),
            *([figures.step(escape(name), *_within(curve, us, values), MAIN, near)], 90),
        )
        for name, (us, values) in list(known.items())[:MOST_SERIES]
    ]


def count_panel(run: RunColumns, curve: EquityCurve) -> Panel:
    return Panel("Fills", "number, buys upwards", _counts(run, curve), 70)


def _counts(run: RunColumns, curve: EquityCurve) -> list[Trace]:
    us, side = np.asarray(run.fills["recv_us"], dtype=np.float64), np.asarray(run.fills["side"])
    edges = np.linspace(*curve.x, COUNT_BARS + 1)
    bars = list[Trace]()
    for word, sign, colour, _ in SIDES:
        counts = np.histogram(us[side == word], edges)[0]
        middle = figures.ms((edges[1:] + edges[:-1]) / 2)
        tip = f"%{{customdata}} {word.lower()}s<extra></extra>"
        more: dict[str, Any] = {"customdata": counts.astype(np.int32), "hovertemplate": tip, "showlegend": False}
        bars.append(figures.bars(f"{word.lower()}s", middle, (sign * counts).astype(np.int32), colour, **more))
    return bars


def _rate_panels(run: RunColumns, curve: EquityCurve) -> list[Panel]:
    pieces = [piece for piece in run.rates if piece.end_us > curve.us[0] and piece.start_us < curve.us[-1]]
    if len(pieces) < 2:
        return []
    return [
        Panel(f"{name} in force", unit, [figures.step(name, *_held(pieces, column, curve))], 90)
        for name, unit, column in (("A", "1/s, of each segment", "A_bid"), ("k", "1/tick, of each segment", "k"))
    ]


def _held(pieces: "Sequence[IntensityPiece]", column: str, curve: EquityCurve) -> tuple[Ints, Floats]:
    rows: list[tuple[int, float]] = [(int(curve.us[0]), np.nan)]
    for piece in pieces:
        rows += [(max(piece.start_us, rows[-1][0]), getattr(piece, column)), (piece.end_us, np.nan)]
    rows = [row for row in rows if row[0] <= curve.us[-1]]
    us, values = (np.array(column) for column in zip(*rows, strict=True))
    last = np.append(us[1:] != us[:-1], True)
    return us[last], values[last]


def split_figure(summary: Summary) -> Figure | None:
    if (pnl := summary.quoting) is None:
        return None
    parts = {
        "Spread captured": summary.pnl_spread_capture or 0.0,
        "Inventory": summary.pnl_inventory or 0.0,
        "Fees": -(summary.fees or 0.0),
    }
    if summary.has_other_part and (own := summary.own):
        parts["Other markets"] = pnl - (own.pnl_quoting or 0.0)
    parts["PnL"] = pnl
    decided = is_decided(summary)
    up, down = (GAIN, LOSS) if decided else (MAIN, SOFT)
    trace = {
        "type": "waterfall",
        "orientation": "h",
        "y": [f"{name} {signed(amount)}" for name, amount in parts.items()],
        "x": list(parts.values()),
        "measure": [*("relative" for _ in range(len(parts) - 1)), "total"],
        "increasing": {"marker": {"color": up}},
        "decreasing": {"marker": {"color": down}},
        "totals": {"marker": {"color": figures.signs([pnl], decided=decided)[0]}},
        "connector": {"line": {"color": SOFT, "width": 1}},
        "hovertemplate": "%{y}<extra></extra>",
    }
    y = {"autorange": "reversed", "zeroline": False}
    ends = np.cumsum(list(parts.values())[:-1])
    span = figures.padded(min(0.0, float(ends.min())), max(0.0, float(ends.max())))
    return figures.chart([trace], figures.numbers_axis(quote_asset(summary), range=list(span)), y=y)


def markout_rows(summary: Summary) -> list[tuple[str, float, Sequence[float] | None]]:
    """Return name, half-spread and 95 % interval at the fill and each horizon; empty for an account.

    An interval is None with too few fills or blocks, or in an older run.
    """
    realised = summary.realised_half_spread or {}
    ends = summary.realised_half_spread_ci95 or dict.fromkeys(realised)
    at_once: Any = summary.effective_half_spread
    rows = [("at the fill", at_once, summary.effective_half_spread_ci95)]
    rows += [(f"{horizon} s", value, ends[horizon]) for horizon, value in realised.items()]
    return [row for row in rows if row[1] is not None]


def markout_trace(
    rows: Sequence[tuple[str, float, Sequence[float] | None]], name: str, colour: str, scale: float = 1.0
) -> Trace:
    """Multiply each by *scale*, with the bars of their intervals."""
    names, values, ends = zip(*rows, strict=True)
    at = scale * np.array(values)
    low, high = (
        scale * np.array([v if e is None else e[i] for v, e in zip(values, ends, strict=True)]) for i in (0, 1)
    )
    tips = [
        f"{of}: {number(value)}" + (f" (95 % {number(first)} to {number(last)})" if known else "")
        for of, value, first, last, known in zip(names, at.tolist(), low.tolist(), high.tolist(), ends, strict=True)
    ]
    style = {"mode": "lines+markers", "line": {"width": 1, "color": colour}}
    return figures.points(name, names, at, colour, ends=(low, high), tips=tips, **style)


def markout_figure(summary: Summary, fee_per_unit: float | None) -> Figure | None:
    rows = markout_rows(summary)
    if not rows:
        return None
    reach = [0.0, *(value for _, value, _ in rows), *(end for *_, ends in rows for end in ends or ())]
    fits = fee_per_unit is not None and 0 < fee_per_unit < 3 * max(*reach, -min(reach))
    levels = [float(fee_per_unit)] if fits and fee_per_unit is not None else []
    traces = [markout_trace(rows, "half-spread", MAIN)]
    unit = f"{quote_asset(summary)} per {base_asset(summary)}"
    more: dict[str, Any] = {"title": "Half-spread", "unit": unit, "y": figures.FROM_ZERO, "levels": levels}
    return figures.chart(traces, figures.names_axis(), **more)


def distance_figure(fills: Mapping[str, Any], tick_size: float) -> Figure | None:
    side, mid = np.asarray(fills["side"]), np.asarray(fills["mid"], dtype=np.float64)
    ticks = (mid - np.asarray(fills["price"], dtype=np.float64)) / tick_size * np.where(side == "BUY", 1, -1)
    known = ~np.isnan(ticks)
    if not known.any():
        return None
    edges = distance_edges(ticks[known])
    inside = np.clip(ticks, edges[0], edges[-1])
    spans = [f"{short(a + 0.25)} to {short(b - 0.25)} ticks" for a, b in pairwise(edges.tolist())]
    traces = list[Trace]()
    for word, _, colour, _ in SIDES:
        counts = np.histogram(inside[known & (side == word)], edges)[0]
        tips = [f"{span}: {count:,} {word.lower()} fills" for span, count in zip(spans, counts.tolist(), strict=True)]
        middle = (edges[1:] + edges[:-1]) / 2
        traces.append(figures.bars(f"our {word.lower()}s", middle, counts.astype(np.int32), colour, tips))
    return figures.chart(traces, figures.numbers_axis("ticks from the mid"), title="Fills", unit="number")


def distance_edges(ticks: Floats) -> Floats:
    """Return edges of nine to `MOST_BARS` bars with 99 % of the distances, in round half ticks."""
    low, high = quantiles(ticks, [0.005, 0.995])
    raw = max((high - low + 0.5) / (MOST_BARS - 1), 0.5)
    power = 10.0 ** math.floor(math.log10(raw))
    width = next(max(power * factor, 0.5) for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first = math.floor((low + 0.25) / width)
    last = math.floor((high + 0.25) / width) + 1
    room = max(0, math.ceil((9 - (last - first)) / 2))
    return np.arange(first - room, last + room + 1, dtype=np.float64) * width - 0.25


def rate_figure(rows: Sequence[Mapping[str, Any]]) -> Figure | None:
    shown = [row for row in rows if row["exposure_s"] >= LEAST_S]
    filled = [row for row in shown if row["fills"]]
    if not filled:
        return None
    scale = figures.Scale(max(abs(row["delta_ticks"]) for row in shown))
    rate = np.array([row["rate_per_s"] for row in filled], dtype=np.float64)
    top = float(rate.max()) * FAR
    bottom = max(float(rate.min()) / FAR, top * 10.0**-DECADES)
    low, high = (
        [row["rate_per_s"] if row[end] is None else row[end] for row in filled] for end in ("rate_low", "rate_high")
    )
    at = scale.at([row["delta_ticks"] for row in filled])
    ends, beyond = figures.within(at, (low, high), (bottom, top), MAIN)
    traces = [figures.points("fills", at, rate, MAIN, ends=ends, tips=[_rate_tip(row) for row in filled]), *beyond]
    bounds = [row for row in shown if not row["fills"] and bottom < (row["rate_high"] or 0.0)]
    if bounds:
        most, at = [min(row["rate_high"], top) for row in bounds], scale.at([row["delta_ticks"] for row in bounds])
        mark = {"symbol": "triangle-down-open", "size": 7}
        tips = [_rate_tip(row) for row in bounds]
        traces.append(figures.points("no fills: at most", at, most, SOFT, tips=tips, marker=mark))
    expected = [row for row in shown if row.get("predicted")]
    if expected:
        curve = np.array([row["predicted"] / row["exposure_s"] for row in expected])
        curve, at = np.where(curve < bottom, np.nan, curve), scale.at([row["delta_ticks"] for row in expected])
        tip = "%{y:.3~r} per second expected<extra></extra>"
        traces.append(figures.line("expected by the fit", at, curve, LOSS, line={"dash": "dash"}, hovertemplate=tip))
    y = {**figures.LOG, "range": [math.log10(bottom), math.log10(top)]}
    x = figures.numbers_axis("ticks from the mid", **scale.axis())
    return figures.chart(traces, x, title="Rate", unit="1/s", y=y)


def _rate_tip(row: Mapping[str, Any]) -> str:
    told = f"{short(row['from_ticks'])} to {short(row['to_ticks'])} ticks: {row['fills']:,} fills in "
    told += f"{duration(row['exposure_s'])} of orders, {number(row['rate_per_s'])} per second"
    return told if row.get("predicted") is None else f"{told}; {number(row['predicted'])} expected"


def hours_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    start = np.array([row["start_us"] for row in rows], dtype=np.int64)
    edges = np.append(start, start[-1] + HOUR_US)
    expected = np.array([row["predicted"] for row in rows], dtype=np.float64)
    fills = np.array([row["fills"] for row in rows], dtype=np.float64)
    most = FAR * max(float(fills.max()), float(expected.max()), 1.0)
    low, high = (
        [(row["rate_per_s"] if row[end] is None else row[end]) * row["exposure_s"] for row in rows]
        for end in ("rate_low", "rate_high")
    )
    middle = figures.ms(start + HOUR_US // 2)
    ends, beyond = figures.within(middle, (low, high), (0.0, most), MAIN)
    tips = [f"{row['fills']:,} fills, {number(row['predicted'])} expected" for row in rows]
    traces = [
        figures.step(
            "expected by the fit", edges, np.append(expected, expected[-1:]), LOSS, line={"dash": "dash", "shape": "hv"}
        ),
        figures.points("fills", middle, fills, MAIN, ends=ends, tips=tips),
        *beyond,
    ]
    x = figures.time_axis(float(edges[0]), float(edges[-1]))
    return figures.chart(traces, x, 190, title="Fills", unit="number", y=figures.FROM_ZERO)


def rate_hint(summary: Summary) -> str:
    text = "Per second of one resting order, by ticks from the mid, 95 % bars from five-minute blocks."
    ratio = summary.fills_ratio or {}
    if ratio.get("value") is None:
        return text
    ends = (
        ""
        if ratio["low"] is None
        else f" (95 %{given_text(ratio)}: {percent(ratio['low'])} to {percent(ratio['high'])})"
    )
    return f"{text} Dashed: expected by the fit; fills were {percent(ratio['value'])} of that{ends}."
