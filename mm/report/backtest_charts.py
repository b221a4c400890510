"""The charts of a backtest: over time, by source, by distance, and against the expected fills."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.arithmetic import changes, quantiles
from mm.backtest.metrics.markouts import HORIZONS_S
from mm.backtest.metrics.risk import LEAST_PERIODS, ROLLING, rolling_sharpe
from mm.clock import US_PER_S
from mm.numbers import SHARPE_DAYS, duration, number, percent, power, short, signed
from mm.report.drawn_columns import Units, unit_of
from mm.report.frame import base_asset, card, nothing, quote_asset, quoting, wide
from mm.report.run_columns import EquityCurve, MarketPrints, RunColumns
from mm.report.svg import HALF, NORMAL_95, TOP, WIDE, Plot, bar, padded, steps
from mm.report.timeline import Line, Marks, Panel, Spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.fills.intensity_piece import IntensityPiece

    Floats = NDArray[np.float64]
    Instants = NDArray[np.int64]

SIDES = (("BUY", 1, "buy", "bid"), ("SELL", -1, "sell", "ask"))
MARKED_FILLS = 400  # more are dots in the static picture: triangles would hide each other and the price
COUNT_BARS = 166
HOUR_US = 3_600 * US_PER_S
DECADES = 5  # below the highest rate; lower rates are not drawn
FAR = 5.0  # multiple of the largest value at which ends of intervals are cut
LEAST_S = 1.0  # minimum resting time of a distance


def panels(run: "RunColumns", curve: EquityCurve, summary: Mapping[str, Any]) -> list[Panel]:
    """Return the charts over time, from top to bottom; all share the span of *curve*."""
    quote, base = quote_asset(summary), base_asset(summary)
    marks = [_fills_of(run, word, sign, kind, summary["tick_size"]) for word, sign, kind, _ in SIDES]
    parts = [
        _line("spread captured", "line spread", curve.us, curve.spread),
        _line("inventory", "line carried", curve.us, curve.carried),
        _line("fees", "line fees", curve.us, -curve.fees),
    ]
    clip = short(summary["quote_qty"])
    equity = _line("quoting", "line", curve.us, curve.equity)
    below = _line("drawdown", "line fees", curve.us, under_water(curve.equity))
    held = _line("held", "line", curve.us, curve.inventory)
    return [
        _price_panel(run, curve, marks, quote, summary["tick_size"]),
        Panel("Fills", "", _counts_picture(run, curve), 84, marks=[without_tips(one) for one in marks], counts=True),
        _lines_panel(run, curve, ("PnL of the quoting", f"{quote}, without the inventory held"), [equity], 170),
        replace(
            _lines_panel(run, curve, ("Under water", f"{quote}, below the highest PnL"), [below], 90),
            zero=True,
        ),
        replace(
            _lines_panel(run, curve, ("PnL by source", f"{quote}, since the left edge; sums to PnL"), parts, 190),
            zero=True,
            since=True,
        ),
        _lines_panel(run, curve, ("Inventory", f"{base}; quoted quantity {clip}"), [held], 130),
        *_rate_panels(run, curve),
    ]


def under_water(equity: "Floats") -> "Floats":
    """Return the drawdown of *equity*: its distance below the running maximum; NaN stays NaN."""
    highest = np.maximum.accumulate(np.where(np.isnan(equity), -np.inf, equity))
    return np.where(np.isnan(equity), np.nan, equity - np.where(np.isinf(highest), 0.0, highest))


def _line(name: str, kind: str, us: "Instants", values: "Floats") -> Line:
    """Return a step line without rows that repeat the value, except the last."""
    at = np.append(changes(values.view(np.int64)), len(us) - 1)
    return Line(name, kind, us[at], values[at], unit_of(values))


def _fills_of(run: "RunColumns", word: str, sign: int, kind: str, tick: float) -> Marks:
    """Return the fills of one side, with their tooltips."""
    fills = run.fills
    rows = np.flatnonzero(np.asarray(fills["side"]) == word)
    us, price, qty, mid = (np.asarray(fills[name])[rows] for name in ("recv_us", "price", "qty", "mid"))
    us, price, mid = us.astype(np.int64), price.astype(np.float64), mid.astype(np.float64)
    reason = np.asarray(fills["reason"], dtype=object)[rows].tolist()
    later = [(f"markout after {h} s", sign * (run.later(us + h * US_PER_S) - price)) for h in HORIZONS_S]
    tip: list[tuple[str, Any, float]] = [
        ("fill", (rows + 1).astype(np.float64), 1.0),
        (word.lower(), qty.astype(np.float64), 1e-8),
        ("at", price, tick),
        ("reason", [str(one or "") for one in reason], 1.0),
        ("half-spread at the fill", sign * (mid - price), tick / 2),
        *((label, worth, tick / 2) for label, worth in later),
    ]
    return Marks(f"our {word.lower()}s", kind, sign, us, price, tick, tip)


def without_tips(marks: Marks) -> Marks:
    """Return *marks* without their tooltips, to be counted."""
    return Marks(marks.name, marks.kind, marks.side, marks.us, np.zeros(len(marks.us)), 1.0, stop=False)


def _price_panel(run: "RunColumns", curve: EquityCurve, marks: Sequence[Marks], quote: str, tick: float) -> Panel:
    """Return the chart of the market's best prices and prints, our quotes, our fills and refused orders."""
    us, mid = _within(curve, run.mid_us, run.mid)
    lines, prints = [Line("mid", "price", us, mid, tick / 2)], []
    if run.market is not None:
        market = run.market
        for name, values in (("bid", market.bid), ("ask", market.ask)):
            lines.append(Line(f"best {name}", f"touch {name}", *_within(curve, market.us, values), tick))
        prints = [_prints_of(market.prints[sign], sign, kind, tick) for _, sign, kind, _ in SIDES]
    quotes = [
        Spans(f"our {name}", f"quote {name}", resting.us, resting.until_us, resting.price, tick)
        for _, sign, _, name in SIDES
        if len((resting := run.quotes[sign]).us)
    ]
    every = [*marks, *prints, *_refused_of(run, tick)]
    picture = _price_chart(run, curve, (us, mid), every)
    return Panel("Price, quotes and fills", quote, picture, 290, lines, quotes, every)


def _within(curve: EquityCurve, us: "Instants", values: "Floats") -> tuple["Instants", "Floats"]:
    """Return the steps of *values* that are in force at some time of *curve*."""
    inside = (us >= curve.us[0]) | (np.append(us[1:], curve.us[-1]) > curve.us[0])
    if inside.all() and (us >= curve.us[0]).all():
        return us, values  # without copies of large arrays
    return np.maximum(us[inside], curve.us[0]), values[inside]


def _prints_of(prints: MarketPrints, sign: int, kind: str, tick: float) -> Marks:
    """Return the trades of the market of one aggressor."""
    who = "buyer" if sign > 0 else "seller"
    price, qty = Units(prints.ticks, prints.tick_e8), Units(prints.lots, prints.lot_e8)
    tip: list[tuple[str, Any, float]] = [(f"a {who} took", qty, 1e-8), ("at", price, tick)]
    return Marks(f"{who}s' trades", f"print {kind}", sign, prints.us, price, tick, tip, "dot", stop=False)


def _refused_of(run: "RunColumns", tick: float) -> list[Marks]:
    """Return the orders that the venue rejected, and those that our own checks withheld."""
    found: list[Marks] = []
    if run.refused is None:
        return found
    for sent, name, kind in ((True, "rejected", "cross"), (False, "not sent", "cross unsent")):
        rows = np.flatnonzero(run.refused.sent == sent)
        if not len(rows):
            continue
        side = ["buy" if one > 0 else "sell" for one in run.refused.side[rows].tolist()]
        price, reason = run.refused.price[rows], [run.refused.reason[row] for row in rows.tolist()]
        tip: list[tuple[str, Any, float]] = [(name, side, 1.0), ("at", price, tick), ("reason", reason, 1.0)]
        found.append(Marks(name, kind, 1, run.refused.us[rows], price, tick, tip, "cross", stop=False))
    return found


def _price_chart(run: RunColumns, curve: EquityCurve, path: tuple["Instants", "Floats"], marks: Sequence[Marks]) -> str:
    """Draw the mid, our fills and rejected orders; many fills are dots, as triangles would hide each other."""
    us, mid = path
    drawn = [one for one in marks if one.shape == "fill" or one.kind == "cross"]
    seen = np.concatenate([mid[~np.isnan(mid)], *(one.values for one in drawn)])
    if len(seen) == 0:
        return nothing("The book was never valid.")
    plot = Plot(WIDE, 290, curve.x, padded(seen.min(), seen.max()))
    few = sum(len(one.us) for one in drawn) <= MARKED_FILLS
    points = [
        plot.marks(one.us.astype(np.float64), np.asarray(one.values), one.side, one.kind, one.shape, few=few)
        for one in drawn
    ]
    line = plot.line(*steps(us, mid), "price")
    return plot.picture(
        _shade(plot, run),
        plot.value_axis(),
        plot.time_axis(),
        *([line, *points] if few else [*points, line]),
        title="Mid price over time and our fills",
    )


def _counts_picture(run: "RunColumns", curve: EquityCurve) -> str:
    """Draw the number of fills in each stretch of time: buys upwards, sells downwards."""
    us, side = np.asarray(run.fills["recv_us"], dtype=np.float64), np.asarray(run.fills["side"])
    edges = np.linspace(*curve.x, COUNT_BARS + 1)
    counts = {word: np.histogram(us[side == word], edges)[0] for word, *_ in SIDES}
    most = max(1.0, *(float(many.max()) for many in counts.values()))
    plot = Plot(WIDE, 84, curve.x, (-1.15 * most, 1.15 * most))
    bars = [plot.columns(edges, sign * counts[word], kind) for word, sign, kind, _ in SIDES]
    return plot.picture(plot.value_axis(count, 4), *bars, plot.time_axis(), title="Number of fills over time")


def count(value: float) -> str:
    """Return the absolute value of a whole number as text, else an empty text: an axis of counts has no halves."""
    return short(abs(value)) if value == round(value) else ""


def _lines_panel(
    run: "RunColumns", curve: EquityCurve, names: tuple[str, str], lines: Sequence[Line], height: int
) -> Panel:
    """Return a chart of step lines: its heading and a note."""
    seen = np.concatenate([line.values for line in lines])
    seen = seen[~np.isnan(seen)]
    if len(seen) == 0:
        picture = nothing("The book was never valid, so equity has no mark.")
    else:
        plot = Plot(WIDE, height, curve.x, padded(float(seen.min()), float(seen.max())))
        picture = plot.picture(
            _shade(plot, run),
            plot.value_axis(most=6 if height > 150 else 4),
            plot.time_axis(),
            *(plot.line(*steps(line.us, line.values), line.kind) for line in lines),
            title=f"{names[0]} over time",
        )
    return Panel(*names, picture, height, lines)


def _shade(plot: Plot, run: "RunColumns") -> str:
    return plot.spans(merged(run.excluded, plot.x), "off", "no valid book")


def merged(excluded: "Instants", x: tuple[float, float]) -> list[tuple[float, float]]:
    """Return the stretches within *x*; neighbours too close to be distinguished are merged."""
    apart = (x[1] - x[0]) / 1_000
    spans: list[tuple[float, float]] = []
    for first, last in np.clip(excluded, *x).tolist():
        if spans and first - spans[-1][1] < apart:
            spans[-1] = (spans[-1][0], max(last, spans[-1][1]))
        elif last > x[0] and first < x[1]:
            spans.append((first, last))
    return spans


def _rate_panels(run: "RunColumns", curve: EquityCurve) -> list[Panel]:
    """Return A and k over time, if a schedule changed them."""
    pieces = [piece for piece in run.rates if piece.end_us > curve.us[0] and piece.start_us < curve.us[-1]]
    if len(pieces) < 2:
        return []
    found = []
    for name, note, column in (("A", "1/s, of each segment", "A_bid"), ("k", "1/tick, of each segment", "k")):
        us, values = _held(pieces, column, curve)
        largest = max(getattr(piece, column) for piece in pieces)
        line = Line(name, "line", us, values, 10.0 ** (math.floor(math.log10(largest)) - 4) if largest > 0 else 1.0)
        found.append(_lines_panel(run, curve, (f"{name} in force", note), [line], 110))
    return found


def _held(pieces: "Sequence[IntensityPiece]", column: str, curve: EquityCurve) -> tuple["Instants", "Floats"]:
    """Return a parameter of the *pieces* as a step function over all of *curve*, NaN if none was in force."""
    rows: list[tuple[int, float]] = [(int(curve.us[0]), np.nan)]
    for piece in pieces:
        rows += [(max(piece.start_us, rows[-1][0]), getattr(piece, column)), (piece.end_us, np.nan)]
    rows = [row for row in rows if row[0] <= curve.us[-1]]
    us, values = (np.array(one) for one in zip(*rows, strict=True))
    last = np.append(us[1:] != us[:-1], True)
    return us[last], values[last]


def rolling_card(run: "RunColumns") -> str:
    """Return the annualised Sharpe ratio of the hour before each minute; empty for a run of at most an hour."""
    us = np.asarray(run.state["recv_us"], dtype=np.int64)
    ends, ratio = rolling_sharpe(us, run.quoting, ~np.isnan(run.quoting))
    if len(ends) <= ROLLING:
        return ""
    hint = (
        f"Annual, of the {ROLLING} minutes before, if {LEAST_PERIODS} of them count and not all are equal. A Sharpe "
        f"ratio of fewer than {SHARPE_DAYS} days is unreliable: only check whether its sign is stable."
    )
    known = ratio[~np.isnan(ratio)]
    if len(known) == 0:
        return card("Sharpe ratio, rolling", hint, nothing("The PnL of the quoting hardly ever changed."))
    plot = Plot(
        WIDE, 170, (float(us[0]), float(us[-1])), padded(min(0.0, float(known.min())), max(0.0, float(known.max())))
    )
    chart = plot.picture(
        plot.value_axis(most=5),
        plot.time_axis(),
        plot.path(ends.astype(np.float64), ratio, "line"),
        title="Annual Sharpe ratio of the hour before, over time",
    )
    return card("Sharpe ratio, rolling", hint, wide(chart))


def split_chart(summary: Mapping[str, Any]) -> str:
    """Draw spread, inventory and fees as steps from zero to the PnL."""
    if (pnl := quoting(summary)) is None:
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
    rows.append(("PnL", 0.0, pnl, pnl))
    plot = Plot(HALF, 250, padded(min(levels), max(levels), 0.01), (0, 4))
    # Names are on the left and amounts on the right, so the bars are limited to the space between.
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
    """Draw the realised half-spread some time after a fill, and the fee."""
    realised, errors = summary["realised_half_spread"], summary["adverse_selection_se"]
    points = [("at the fill", summary["effective_half_spread"], None)]
    points += [(f"{horizon} s", value, errors[horizon]) for horizon, value in realised.items()]
    known = [(name, value, NORMAL_95 * (error or 0)) for name, value, error in points if value is not None]
    if not known:
        return nothing("No fills at a valid mid.")
    low = min(0.0, *(value - error for _, value, error in known))
    high = max(0.0, *(value + error for _, value, error in known))
    fee_fits = fee_per_unit is not None and 0 < fee_per_unit < 3 * max(high, -low)
    plot = Plot(HALF, 250, (-0.5, len(known) - 0.5), padded(low, max(high, fee_per_unit) if fee_fits else high, 0.09))
    line = plot.path(np.arange(len(known), dtype=np.float64), np.array([value for _, value, _ in known]), "line")
    marks = [plot.value_axis(), line, plot.names([name for name, *_ in known], len(known))]
    if fee_fits and fee_per_unit is not None:
        marks.append(plot.level(fee_per_unit))
    for i, (name, value, error) in enumerate(known):
        marks.append(plot.whisker(i, value, (value - error, value + error), "whisker", f"{name}: {number(value)}"))
    return plot.picture(*marks, title="Realised half-spread after a fill, by horizon")


def distance_chart(fills: Mapping[str, Any], tick_size: float) -> str:
    """Draw the number of fills by distance from the mid at the fill, in ticks."""
    side, mid = np.asarray(fills["side"]), np.asarray(fills["mid"], dtype=np.float64)
    ticks = (mid - np.asarray(fills["price"], dtype=np.float64)) / tick_size * np.where(side == "BUY", 1, -1)
    known = ~np.isnan(ticks)
    if not known.any():
        return nothing("No fills.")
    edges = distance_edges(ticks[known])
    inside = np.clip(ticks, edges[0], edges[-1])
    counts = [np.histogram(inside[known & (side == word)], edges)[0] for word, *_ in SIDES]
    plot = Plot(HALF, 250, (edges[0], edges[-1]), (0, float(np.add(*counts).max()) * 1.06))
    marks = [plot.value_axis(count)]
    x, base = plot.across(edges), np.zeros(len(edges) - 1)
    for fills_of, (word, _, kind, _) in zip(counts, SIDES, strict=True):
        for i in np.flatnonzero(fills_of):
            top, bottom = float(plot.up(base[i] + fills_of[i])), float(plot.up(base[i]))
            span = f"{short(edges[i] + 0.25)} to {short(edges[i + 1] - 0.25)} ticks: {fills_of[i]} {word.lower()} fills"
            marks.append(bar(float(x[i]) + 1, top, (float(x[i + 1] - x[i]) - 2, bottom - top), kind, span))
        base = base + fills_of
    every = max(1, math.ceil((len(edges) - 1) / 8))
    marks += [plot.label(float(x[i]), short(edges[i] + 0.25)) for i in range(0, len(edges), every)]
    return plot.picture(*marks, title="Fills by distance from the mid, in ticks")


def distance_edges(ticks: "Floats", most: int = 24) -> "Floats":
    """Return the edges of nine to *most* bars that contain 99 % of the distances, in round numbers of half ticks.

    Edges are a quarter tick below a half or a whole tick, where no distance can be.
    """
    low, high = quantiles(ticks, [0.005, 0.995])
    raw = max((high - low + 0.5) / (most - 1), 0.5)
    power = 10.0 ** math.floor(math.log10(raw))
    width = next(max(power * factor, 0.5) for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first = math.floor((low + 0.25) / width)
    last = math.floor((high + 0.25) / width) + 1
    room = max(0, math.ceil((9 - (last - first)) / 2))
    return np.arange(first - room, last + room + 1, dtype=np.float64) * width - 0.25


def rate_chart(rows: Sequence[Mapping[str, Any]]) -> str:
    """Draw fills per second of one resting order by its distance, with 95 % bars, and the expected curve.

    Args:
        rows: ``fills_by_distance`` of the summary.
    """
    shown = [row for row in rows if row["exposure_s"] >= LEAST_S]
    if not any(row["fills"] for row in shown):
        return nothing("No fills at any distance with a second of resting quotes.")
    filled = [row for row in shown if row["fills"]]
    most = max(row["rate_per_s"] for row in filled)
    high = max(row["rate_high"] or 0.0 for row in filled)
    least = [row["rate_low"] or row["rate_per_s"] for row in filled]
    least += [row["rate_high"] / 2 for row in shown if not row["fills"] and row["rate_high"]]
    top = math.log10(min(max(most, high), FAR * most)) + 0.1
    bottom = max(top - DECADES, math.log10(min(least)) - 0.1)
    near, far = shown[0]["delta_ticks"], shown[-1]["delta_ticks"]
    room = max(0.5, 0.05 * (far - near))
    plot = Plot(HALF, 250, (near - room, far + room), (math.floor(bottom * 2) / 2, top))
    many = plot.y[1] - plot.y[0] > 1.5
    marks = [
        plot.value_axis(power if many else lambda value: number(10.0**value, 2)),
        plot.number_axis(short, 8),
        _expected(plot, shown),
    ]
    marks += [_whisker(plot, row) for row in shown]
    return plot.picture(*marks, title="Fills per second of one resting order, by distance from the mid in ticks")


def _expected(plot: Plot, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the line of expected rates by distance; empty without an intensity."""
    known = [row for row in rows if row.get("predicted")]
    if not known:
        return ""
    rate = np.log10([row["predicted"] / row["exposure_s"] for row in known])
    inside = np.where(rate < plot.y[0], np.nan, np.minimum(rate, plot.y[1]))
    return plot.path(np.array([row["delta_ticks"] for row in known], dtype=np.float64), inside, "dash")


def _whisker(plot: Plot, row: Mapping[str, Any]) -> str:
    """Return a distance's rate with its interval; without fills, the upper bound of the rate."""
    title = f"{short(row['from_ticks'])} to {short(row['to_ticks'])} ticks: {row['fills']:,} fills in "
    title += f"{duration(row['exposure_s'])} of orders, {number(row['rate_per_s'])} per second"
    if row.get("predicted") is not None:
        title += f"; {number(row['predicted'])} expected"
    ends = [row["rate_per_s"] if row[end] is None else row[end] for end in ("rate_low", "rate_high")]
    low, high = (math.log10(rate) if rate > 0 else -math.inf for rate in ends)
    if high <= plot.y[0]:
        return ""
    if row["fills"] == 0:
        return plot.whisker(row["delta_ticks"], plot.y[0], (low, high), "whisker none-yet", title)
    return plot.whisker(row["delta_ticks"], math.log10(row["rate_per_s"]), (low, high), "whisker", title)


def hours_chart(rows: Sequence[Mapping[str, Any]]) -> str:
    """Draw the fills of each hour with their 95 % interval, and the expected ones as a step line.

    Args:
        rows: ``fills_by_hour`` of the summary.
    """
    start = np.array([row["start_us"] for row in rows], dtype=np.int64)
    edges = np.append(start, start[-1] + HOUR_US).astype(np.float64)
    expected = np.array([row["predicted"] for row in rows])
    fills = np.array([row["fills"] for row in rows], dtype=np.float64)
    most = max(float(fills.max()), float(expected.max()), 1.0)
    high = max((row["rate_high"] or 0.0) * row["exposure_s"] for row in rows)
    plot = Plot(WIDE, 190, (edges[0], edges[-1]), (0.0, min(max(most, high), FAR * most) * 1.06))
    marks = [plot.value_axis(), plot.time_axis()]
    for row, at in zip(rows, (start + HOUR_US // 2).tolist(), strict=True):
        rates = (row["rate_per_s"] if row[end] is None else row[end] for end in ("rate_low", "rate_high"))
        low, up = (rate * row["exposure_s"] for rate in rates)
        title = f"{row['fills']:,} fills, {number(row['predicted'])} expected"
        marks.append(plot.whisker(at, float(row["fills"]), (low, up), "whisker", title))
    line = plot.path(np.repeat(edges, 2)[1:-1], np.repeat(expected, 2), "dash")
    return plot.picture(*marks, line, title=f"Fills by hour, {int(fills.sum()):,} in all, and expected fills")


def rate_hint(summary: Mapping[str, Any]) -> str:
    """Return the text above the chart: its contents, and all fills compared with the expected ones."""
    text = "Per second of one resting order, by ticks from the mid, 95 % bars from five-minute blocks."
    ratio = summary.get("fills_ratio") or {}
    if ratio.get("value") is None:
        return text
    ends = "" if ratio["low"] is None else f" (95 %: {percent(ratio['low'])} to {percent(ratio['high'])})"
    return f"{text} Dashed: expected by the fit; fills were {percent(ratio['value'])} of that{ends}."
