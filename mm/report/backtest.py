"""The report page of a run: one self-contained HTML file, in light or dark mode."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.notes import NULL, by_reason
from mm.backtest.metrics.numbers import PARTS, QUOTE, SECONDS, SHARE, UNIT, Summary, groups, unit_of
from mm.backtest.metrics.summary_number import given
from mm.backtest.metrics.verdict import unseen
from mm.backtest.run_terms import ASSUMED_FEES, NO_SENSITIVITY, quoting_of
from mm.backtest.summary_text import (
    HORIZONS,
    assumed_rows,
    assumptions,
    break_even,
    excluded_s,
    expected_fills,
    feed_text,
    stressed,
    tried_of,
)
from mm.base.numbers import SHARPE_DAYS, duration, number, percent, probability, short, signed
from mm.clock import US_PER_S, iso
from mm.report.backtest_charts import (
    bounds_figure,
    distance_figure,
    equity_figure,
    hours_figure,
    market_figure,
    markout_figure,
    rate_figure,
    rate_hint,
    split_figure,
)
from mm.report.contents import PAGE, SUMMARY
from mm.report.earned import draws_cards, hour_by_day_card, inventory_card, returns_card, rolling_card
from mm.report.figures import thinned
from mm.report.frame import (
    About,
    Amount,
    Cell,
    Row,
    annualised,
    base_asset,
    card,
    chart,
    coloured,
    column,
    document,
    earnings,
    grid,
    header,
    in_assets,
    in_row,
    interval,
    listed,
    minute,
    notes,
    nothing,
    origin,
    quote_asset,
    table,
    tile,
    tiles,
    too_short,
    zoom_bar,
)
from mm.report.hours import hours_card
from mm.report.run_columns import RunColumns

if TYPE_CHECKING:
    from mm.backtest.result import Result

ZOOM = zoom_bar("fill")
SIGNED = ("pnl_quoting", "pnl_spread_capture", "pnl_inventory", "pnl_hold", "pnl_total")
DRAWDOWNS = 5
MINUTE_S = 60
LONGEST = 3  # stretches without a book in the list
EFFECTIVE = (  # knobs shown at the top of the page, by name
    "quote_params_json",
    "fill_params_json",
    "order_latency_ms",
    "cancel_latency_ms",
    "requote_interval_ms",
    "maker_fee_rate",
    "initial_cash",
    "initial_inventory",
    "others",
)
BOUND_NAMES = {"back": "behind us (the back)", "chosen": "as chosen", "front": "before us (the front)"}


def page(
    content: Mapping[str, Any],
    run: RunColumns,
    about: About | None = None,
    extra_notes: Sequence[str] = (),
) -> str:
    summary = Summary.read(content)
    about, fills = about or About(), run.fills
    lines = [*extra_notes, *(line for line in summary.warnings if not line.startswith(NULL))]
    fit = summary.fit or {}
    of_fit = [f"the fit: {line}" for line in fit.get("warnings", ()) if not _is_said(line, fit)]
    above = [*headline(summary, run, about.name), notes(lines, of_fit)]
    left = column(equity_card(summary, run), bounds_card(summary), sensitivity_card(summary))
    first = in_row(left, column(assumptions_card(summary, about), drawdowns_card(summary, run)))
    activity = card("Activity", "Orders and fills.", table("", activity_rows(summary)))
    below = [
        in_row(split_card(summary), _markout_card(summary, fills), _distance_card(summary, fills), _rate_card(summary)),
        in_row(markouts_card(summary), days_card(summary), kind="wholes"),
        *earned_cards(summary, run),
        in_row(hours_card(run, summary), _hours_card(summary), kind="wholes"),
        fills_card(summary, run),
        f'<div class="trio">{activity}{selection_card(summary)}{data_card(summary, run)}</div>',
        numbers_card(summary),
        origin(about),
    ]
    drawn = time_card(summary, run)
    return document(f"{title_of(summary)} · backtest", [*above, first, drawn, *below], about.plotly)


def write_summary(result: "Result", folder: Path, run: RunColumns, about: About | None = None) -> dict[str, int | None]:
    summary = json.dumps(result.summary, indent=1, allow_nan=False, ensure_ascii=False)
    (folder / SUMMARY).write_text(summary + "\n", encoding="utf-8", errors="backslashreplace")
    (folder / PAGE).write_text(page(result.summary, run, about), encoding="utf-8")
    return {SUMMARY: None, PAGE: None}


def _is_said(line: str, fit: Mapping[str, Any]) -> bool:
    """Whether a warning of the fit is the reason of its status, which is a note of the run."""
    return bool(fit.get("reason")) and line.startswith(fit["reason"])


def title_of(summary: Summary) -> str:
    return f"{summary.symbol} {_days(summary)}"


def _days(summary: Summary) -> str:
    return " – ".join(dict.fromkeys([*summary.days[:1], *summary.days[-1:]]))


def headline(summary: Summary, run: RunColumns, name: str = "") -> tuple[str, str]:
    us, models = np.asarray(run.state["recv_us"], dtype=np.int64), summary.models
    window = f"{minute(us[0])} – {minute(us[-1])} UTC" if len(us) else "no state rows"
    line = f"{escape(models['quote'])} quotes, {escape(models['fill'])} fills · {window}{name}"
    return header(summary.symbol, _days(summary), line), _tiles(summary)


def _worth_tiles(summary: Summary) -> list[str]:
    rate, made = (summary.break_even_fee_rate or {}).get("pnl"), []
    if rate is not None and (told := break_even(summary)) is not None:
        made.append(tile("Break-even fee", f"{number(100 * rate, 3)} %", told.partition("; ")[2]))
    later = [(seconds, summary.realised_half_spread.get(seconds)) for seconds in HORIZONS]
    if later[-1][1] is not None:
        before = ", ".join(f"{signed(value, 3)} after {seconds} s" for seconds, value in later[:-1])
        unit = f"{quote_asset(summary)} per {base_asset(summary)}"
        made.append(tile("Worth of a fill after 60 s", signed(later[-1][1], 3), before, unit=unit))
    if told := expected_fills(summary):
        made.append(tile("Fills expected", number(summary.predicted_fills), told, unit="fills"))
    return made


def _tiles(summary: Summary) -> str:
    target, risk = summary.target_inventory, summary.whole
    inventory = summary.inventory_from_target or summary.inventory
    longest = f"longest {duration(risk.drawdown_duration_s)}"
    most = f"target {short(target or 0.0)}, at most {number(inventory['max'], 3)} from it"
    ended, margin = given(summary.liquidated_at), given(summary.margin) or {}
    fee = f"the position was closed; fees {number(margin.get('clearance_fee'))} {quote_asset(summary)}"
    return tiles(
        *([tile("Liquidated", ended[11:19], f"{ended[:10]} UTC: {fee}")] if ended else []),
        *earnings(summary),
        tile("Max drawdown", number(risk.max_drawdown), longest, unit=quote_asset(summary)),
        tile("Fills", f"{summary.n_fills:,}", f"{percent(summary.fill_ratio)} of placed quantity", unit="fills"),
        *_worth_tiles(summary),
        tile("Inventory from its target, rms", number(inventory["rms"], 3), most, unit=base_asset(summary)),
        tile("Quoting both sides", percent(summary.two_sided_uptime), "of the time with a market"),
    )


def equity_card(summary: Summary, run: RunColumns) -> str:
    drawn = None if len(run.state["recv_us"]) == 0 else equity_figure(run, run.curve, summary)
    body = chart(drawn, "The book was never valid, so equity has no mark.")
    legs = " Of all legs and of each; under water are all together." if run.legs else ""
    return card("Equity", f"Without the inventory held; it zooms with the charts below.{legs}", body)


def drawdowns_card(summary: Summary, run: RunColumns) -> str:
    worst = run.curve.worst(DRAWDOWNS) if len(run.state["recv_us"]) else []
    if not worst:
        return ""
    rows = [
        (
            minute(one.peak_us),
            Amount(one.depth, plus=False),
            minute(one.lowest_us),
            "not by the end" if one.until_us is None else minute(one.until_us),
            "–" if one.until_us is None else duration((one.until_us - one.peak_us) / US_PER_S),
        )
        for one in worst
    ]
    head = ("highest PnL, UTC", f"depth, {quote_asset(summary)}", "lowest, UTC", "recovered, UTC", "took")
    return card("Worst drawdowns", "Of the PnL of the quoting, the deepest first.", grid(head, rows))


def time_card(summary: Summary, run: RunColumns) -> str:
    if len(run.state["recv_us"]) == 0:
        return card("Over time", "", nothing("There are no state rows."))
    off = f" Shaded: no market, {duration(excluded_s(summary))}." if summary.seconds_excluded else ""
    hint = (
        "Drag to zoom, double-click for all; a click on a name hides or shows it. Point at a fill to see its reason "
        f"and its markouts; mm runs explain shows the market around it.{off}"
    )
    figure = market_figure(run, run.curve, summary)
    few = thinned(figure)
    drawn = f'<p class="hint">Drawn: {few}; the numbers of fills are complete.</p>' if few else ""
    return card("Over time", hint, ZOOM + chart(figure) + drawn)


def split_card(summary: Summary) -> str:
    body = chart(split_figure(summary), "The book was never valid, so there is no PnL to split.")
    return card("PnL by source", f"In {quote_asset(summary)}, from zero to the PnL of the quoting.", body)


def _markout_card(summary: Summary, fills: Mapping[str, Any]) -> str:
    quantity = float(np.asarray(fills["qty"], dtype=np.float64).sum())
    fees = summary.parted.fees
    fee = None if quantity == 0 or fees is None else fees / quantity
    paid = f" Fees cost {number(fee)} per unit (dashed if within the scale)." if fee else ""
    hint = f"Realised half-spread, in {quote_asset(summary)} per unit, with 95 % bars.{paid}"
    return card("Markouts of fills", hint, chart(markout_figure(summary, fee), "No fills at a valid mid."))


def _distance_card(summary: Summary, fills: Mapping[str, Any]) -> str:
    hint = "Ticks from the mid at the fill; the outermost bars include larger distances."
    return card("Fills by distance", hint, chart(distance_figure(fills, summary.tick_size), "No fills."))


def _rate_card(summary: Summary) -> str:
    body = chart(
        rate_figure(summary.fills_by_distance or []), "No fills at any distance with a second of resting quotes."
    )
    return card("Fill rate by distance", rate_hint(summary), body)


def _hours_card(summary: Summary) -> str:
    rows = summary.fills_by_hour or []
    if not rows:
        return ""
    hint = "By hour, 95 % bars (five-minute blocks); dashed: expected by the fit. They differ where the fit is wrong."
    return card("Fills and expected fills", hint, chart(hours_figure(rows)))


def numbers_card(summary: Summary) -> str:
    own, whole = summary.own, summary.whole
    alone = [name for name in (*SIGNED, *PARTS) if own and name in (given(summary.own_market) or (*SIGNED, *PARTS))]
    numbers = replace(annualised(summary), **{name: getattr(own, name) for name in alone})
    left_out = summary.adverse_selection_left_out or {}
    quote, each = in_assets(QUOTE, summary), in_assets(UNIT, summary)
    moves = summary.adverse_selection
    tables = {
        "All legs together": [(name, _in(signed(getattr(whole, name), 6), quote)) for name in SIGNED if name in alone],
        **{heading: [row for key in keys for row in _rows(numbers, key)] for heading, keys in groups()},
        "Half-spread": [
            ("effective", _in(number(summary.effective_half_spread), each)),
            *((f"realised after {h} s", _in(number(value), each)) for h, value in summary.realised_half_spread.items()),
        ],
        "Move of the mid after a fill (fills left out)": [
            (f"{h} s ({left_out[h]})", _in(signed(value), each)) for h, value in moves.items()
        ],
    }
    drawn = "".join(table(caption, rows) for caption, rows in tables.items() if rows)
    bootstrap = summary.sharpe_bootstrap or {}
    hint = (
        f"Sharpe and Sortino from {bootstrap['periods']} periods of 60 s; interval by {bootstrap['draws']:,} circular "
        f"block resamples of {bootstrap['block_periods']} periods. Names as in summary.json."
    ) + too_short(summary)
    undefined = listed([line for line in summary.warnings if line.startswith(NULL)], "why")
    return card("All numbers", hint, f'<div class="groups">{drawn}</div>{undefined}')


def _in(text: str, unit: str) -> str:
    return f"{text} <small>{unit}</small>" if unit and text != "–" else text


def _rows(numbers: Summary, key: str) -> list[Row]:
    value = getattr(numbers, key)
    members = value.items() if isinstance(value, Mapping) else [("", value)]
    return [
        (
            f"after {member} s" if member.isdigit() else member or key,
            _in_unit(each, unit_of(key, member), numbers, plus=key in SIGNED),
        )
        for member, each in members
    ]


def _in_unit(value: float | bool | None, unit: str, numbers: Summary, *, plus: bool) -> str:
    """A share in % and a time in its largest units, as in the tiles; anything else with its unit."""
    if unit == SHARE and isinstance(value, float):
        return percent(value)
    if unit == SECONDS and isinstance(value, float | int) and value >= MINUTE_S:
        return duration(value)
    return _in(_written(value, plus=plus), in_assets(unit, numbers))


def _written(value: float | bool | None, *, plus: bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return signed(value, 6) if plus else number(value, 6)


def assumptions_card(summary: Summary, about: About) -> str:
    if summary.reference is None:  # a version that knew of none
        return ""
    title = "Assumptions and parameters"
    reasons = f" ({by_reason(summary.rejects)})" if summary.rejects else ""
    rejected = f"{summary.n_rejects:,} of {summary.n_orders:,} orders{reasons}"
    said = {**dict(assumptions(summary)), "rejected": rejected}
    trust = [(name, escape(curve_sentence(summary) if name == "curve" else text)) for name, text in said.items()]
    effective: list[Row] = [
        *([] if summary.gamma is None else [("gamma", number(summary.gamma))]),
        ("clip", f"{short(summary.quote_qty)} {base_asset(summary)}"),
        ("target inventory", short(summary.target_inventory or 0.0)),
    ]
    effective += used_parameters(summary)
    assumed_fees = any(line.startswith(ASSUMED_FEES) for line in summary.warnings)  # a note says which were played
    for name in EFFECTIVE:
        value = about.knobs.get(name, {}).get("value")
        if value is not None and not (assumed_fees and name == "maker_fee_rate"):
            effective.append((name, short_value(value)))
    hint = "Ordered by the effect of an error: check from the top."
    half = -(-len(effective) // 2)
    parameters = table("Parameters in effect", effective[:half]) + table("\xa0", effective[half:])
    body = f'<div class="basis">{table("Assumptions", trust)}</div><div class="basis two">{parameters}</div>'
    return card(title, hint, body)


def curve_sentence(summary: Summary) -> str:
    fit = summary.fit
    if fit is None:
        return "No fit was given (FILL_PARAMS_FILE), so no fills are expected."
    exponential = "" if fit["A"] is None else f"λ = {number(fit['A'])}/s · exp(−{number(fit['k'])} per tick · δ)"
    shape = fit.get("shape")
    what = f"Orders fill at {exponential or 'the rates of the segments'}"
    if shape not in (None, "exponential"):
        what = f"Orders fill by a {shape} curve" + (f", near {exponential}" if exponential else "")
    used = "; quotes use the curve" if given(summary.quotes_from) == "curve" else ""
    return f"{what}, from {fit['path']} with status {fit['status']}{used}."


def used_parameters(summary: Summary) -> list[Row]:
    fit, rows = summary.fit or {}, []

    def take(model: Mapping[str, Any]) -> None:
        for name, value in model["parameters"].items():
            if name == "gamma" and value == "auto":
                continue  # its median is shown above
            given = fit.get(name) if value == "fit" else None
            labels = {"fit": "fit", "tape": "of the tape", "touch": "touch, of the displayed spread"}
            text = short_value(labels.get(value, value)) if given is None else f"{number(given)} (fit)"
            rows.append((f"{name}, {model['model']}", text))
        for inner in model.get("inner", ()):
            take(inner)

    if strategy := given(summary.strategy):
        take(strategy)
    if (moved := fit.get("adverse_ticks")) is not None and not any(
        name.startswith("adverse_ticks") for name, _ in rows
    ):
        rows.append(("adverse_ticks", f"{number(moved)} (fit)"))
    return rows


def short_value(value: object) -> str:
    text = number(value) if isinstance(value, float) else str(value)
    return escape(text[1:-1].replace('"', "") if text.startswith("{") else text)


LISTED = 500  # fills in the table; the file has all
_OF_A_FILL = ("recv_us", "side", "price", "qty", "mid", "fee", "reason")


def fills_card(summary: Summary, run: RunColumns) -> str:
    count = len(run.fills["recv_us"])
    if not count:
        return ""
    first = max(0, count - LISTED)
    columns = [np.asarray(run.fills[name])[first:] for name in _OF_A_FILL]
    fills = zip(*(column.tolist() for column in columns), strict=True)
    rows = [_fill_row(place, *fill) for place, fill in enumerate(fills, first + 1)][::-1]
    trips = summary.round_trips
    text = f"{trips['n']:,} round trips" + (f", {percent(trips['win_rate'])} of them with a gain" if trips["n"] else "")
    if trips["n"]:
        text += f", on average {signed(trips['mean'])} {quote_asset(summary)}, held {duration(trips['holding_s'])}"
    left = f" The last {LISTED:,} of {count:,}; fills_{escape(summary.symbol)}.csv has all." if first else ""
    hint = (
        f"{text}. The newest first; click on a head to sort. mm runs explain RUN --fill N shows the market around "
        f"fill N, and with --picture FILE.html draws it.{left}"
    )
    quote, base = quote_asset(summary), base_asset(summary)
    head: tuple[str, ...] = ("fill", "time, UTC", "side", f"price, {quote}", f"quantity, {base}")
    head += (f"half-spread at the fill, {quote}", f"fee, {quote}", "reason")
    listing = f"<details><summary>{len(rows):,} fills</summary>{grid(head, rows, 'listing')}</details>"
    return card("Fills and round trips", hint, listing)


def _fill_row(place: int, us: int, side: str, *values: Any) -> tuple[Cell, ...]:
    price, qty, mid, fee, reason = values
    sign = 1 if side == "BUY" else -1
    worth = None if np.isnan(float(mid)) else sign * (float(mid) - float(price))
    return (
        str(place),
        iso(int(us))[5:23].replace("T", " "),
        f'<span class="{side.lower()}">{side.lower()}</span>',
        Amount(float(price), plus=False, exact=True),
        Amount(float(qty), plus=False, exact=True),
        Amount(worth),
        Amount(float(fee), plus=False),
        escape(str(reason or "")),
    )


def activity_rows(summary: Summary) -> list[Row]:
    rows: list[Row] = [
        ("orders placed", f"{summary.n_orders:,}"),
        *([] if summary.n_rejects is None else [("rejected", f"{summary.n_rejects:,}")]),
        ("fills", f"{summary.n_fills:,}"),
        ("fills expected by the intensity", number(summary.predicted_fills)),
        ("orders with partial fills", f"{summary.n_partial:,}"),
        ("filled over placed quantity", percent(summary.fill_ratio)),
        ("messages per fill", number(summary.quote_to_trade)),
        ("time with quotes on both sides", percent(summary.two_sided_uptime)),
    ]
    times = ((summary.quote_lifetime_s, "lifetime of a quote"), (summary.live_to_fill_s, "resting time before a fill"))
    rows += [(f"{name}, median", duration(took["p50"], exact=True)) for took, name in times if took is not None]
    return rows


def data_card(summary: Summary, run: RunColumns) -> str:
    covered, excluded = summary.seconds_covered or 0.0, excluded_s(summary)
    share = excluded / (covered + excluded) if covered + excluded else None
    length = run.excluded[:, 1] - run.excluded[:, 0]
    rows: list[Row] = [
        ("time with a market", duration(covered)),
        ("time excluded", f"{duration(excluded)} ({percent(share)})" if excluded else "none"),
        ("stretches without a market", f"{np.count_nonzero(length):,}"),
        ("changes of the mid", f"{np.count_nonzero(~np.isnan(run.mid)):,}"),
    ]
    longest = [row for row in np.argsort(-length, kind="stable")[:LONGEST].tolist() if length[row]]
    for row in sorted(longest):
        begin = iso(int(run.excluded[row, 0]))[:19].replace("T", " ")
        rows.append((f"from {begin}", f"{duration(float(length[row]) / US_PER_S)} excluded"))
    if feed := given(summary.feed):
        rows.append(("feed", escape(feed_text(feed))))
    hint = (
        "Statistics leave out the time without a market: no valid book, a closed exchange, the training of a "
        "walk-forward. Charts over time shade it."
    )
    return card("Data", hint, table("", rows))


def selection_card(summary: Summary) -> str:
    rows: list[Row] = [
        ("Sharpe, annual", number((annual := annualised(summary)).sharpe, 3)),
        ("interval", interval(annual.sharpe_ci95, 3)),
        ("corrected for autocorrelation", number(annual.sharpe_autocorr, 3)),
        ("1 − p, one-sided, of a mean PnL above 0", probability(summary.psr)),
    ]
    returns = summary.returns or {}
    rows += [
        (f"{name} of {returns['period_s']} s changes", number(returns[name], 3))
        for name in ("skew", "kurtosis")
        if name in returns
    ]
    if band := given(summary.pnl_band):
        rows.append((f"PnL under {band['draws']:g} redrawn fits", f"{signed(band['low'])} to {signed(band['high'])}"))
    if said := tried_of(summary):
        rows.append(("trials", escape(said)))
    if beyond := unseen(summary.whole.verdict, returns.get("periods", 0) * returns.get("period_s", 0)):
        rows.append(("losses not seen yet", beyond))
    hint = "The verdict and the probability allow for the trials on record of these days."
    return card("Skill or selection", hint + too_short(summary), table("", rows))


def markouts_card(summary: Summary) -> str:
    by_kind = {(row["fills"], row["horizon_s"]): row for row in summary.markouts or []}
    if not by_kind:
        return ""
    kinds, horizons = (dict.fromkeys(key[place] for key in by_kind) for place in (0, 1))
    kinds = {kind: None for kind in kinds if not _same(by_kind, kind, horizons)}
    rows = []
    for kind in kinds:
        cells = [by_kind.get((kind, horizon)) for horizon in horizons]
        count = max(row["n"] for row in cells if row)
        rows.append((escape(str(kind)), f"{count:,}", *map(_worth, cells)))
    hint = (
        f"Realised half-spread at each horizon, per {base_asset(summary)}, with its 95 % interval where there are "
        "enough fills; one that excludes 0 has a colour."
    )
    unit = quote_asset(summary)
    head = ("fills", "number", *(f"{horizon} s, {unit}" for horizon in horizons))
    return card("Markouts by kind of fill", hint, grid(head, rows))


def _same(by_kind: Mapping[tuple[str, int], Mapping[str, Any]], kind: str, horizons: Iterable[int]) -> bool:
    side = {"adding": "buy", "unwinding": "sell"}.get(kind)
    numbers = ("n", "realised")
    rows = [(by_kind.get((kind, horizon)), by_kind.get((side or "", horizon))) for horizon in horizons]
    return side is not None and all(a and b and all(a[name] == b[name] for name in numbers) for a, b in rows)


def _worth(row: Mapping[str, Any] | None) -> Cell:
    if row is None:
        return "–"
    ends = row.get("realised_ci95")  # older runs have the interval of the move alone
    shown = f' <small class="line">{interval(ends, 2).removeprefix("95 %: ")}</small>' if ends else ""
    return coloured(row["realised"], ends, math.floor(row.get("n_effective_blocks") or 0), shown)


def days_card(summary: Summary) -> str:
    days = summary.daily or []
    if len(days) < 2:
        return ""
    equity = [Amount(float(f"{day['equity']:.8g}"), plus=False, exact=True) for day in days]
    rows = [
        (escape(day["day"]), Amount(day["pnl"]), f"{day['n_fills']:,}", end)
        for day, end in zip(days, equity, strict=True)
    ]
    hint = f"Sharpe over days, annual: {number(summary.sharpe_daily, 3)}." if len(days) >= SHARPE_DAYS else ""
    unit = quote_asset(summary)
    return card("By day", hint, grid(("day", f"PnL, {unit}", "fills", f"equity at its end, {unit}"), rows))


def earned_cards(summary: Summary, run: RunColumns) -> list[str]:
    if len(run.state["recv_us"]) == 0:
        return []
    days = summary.daily or []
    rolling = rolling_card([day["day"] for day in days], [day["pnl"] for day in days], summary.sharpe_daily)
    by_day, by_inventory = hour_by_day_card(summary, run), inventory_card(summary, run)
    first = [in_row(returns_card(summary, run), by_day), by_inventory] if by_day else []
    first = first or [in_row(returns_card(summary, run), by_inventory)]
    return [*first, draws_cards(summary, run), rolling]


def bounds_card(summary: Summary) -> str:
    """Three curves of the PnL, and what lies between; empty without bounds."""
    curve, bounds = given(summary.bounds_curve), given(summary.bounds)
    if not curve or not bounds:
        return ""
    rows = [
        (
            text,
            Amount(bounds[name]["pnl_quoting"]),
            f"{bounds[name]['n_fills']:,}",
            percent(bounds[name]["fill_ratio"]),
            Amount(bounds[name]["markout_5s"]),
        )
        for name, text in BOUND_NAMES.items()
    ]
    unit = quote_asset(summary)
    head = ("cancelled lots were", f"PnL of the quoting, {unit}", "fills", "share filled", f"markout after 5 s, {unit}")
    share = given(summary.open_share)
    left = "" if share is None else f" Open: {percent(share)} of the chosen PnL."
    hint = (
        "A public book does not tell whether a cancellation stood before or behind an order: the same quotes behind "
        f"and before every cancelled lot, and as the chosen model has it. The verdict is of the least.{left}"
    )
    return card("Bounds", hint, chart(bounds_figure(curve, unit)) + grid(head, rows))


def sensitivity_card(summary: Summary) -> str:
    """Without a sensitivity, tell how to add it."""
    rows: Sequence[Mapping[str, Any]] = (given(summary.sensitivity) or {}).get("rows", ())
    title = "Sensitivity"
    if not rows:
        adding = "SENSITIVITY=1 adds backtests with optimistic and pessimistic fills, and with other latencies."
        if given(summary.ended):  # of a shadow or a trade
            adding = "A backtest of the day that this run recorded plays it under other assumptions, too."
        why = [escape(line) for line in summary.warnings or () if line.startswith(NO_SENSITIVITY)]
        return card(title, (why or [adding])[0], "")
    headline = next((row for row in rows if row.get("role") == "headline"), rows[0])
    quote, base = quote_asset(summary), base_asset(summary)
    head: tuple[str, ...] = (
        "assumption",
        f"PnL of the quoting, {quote}",
        "fills",
        f"inventory from its target, rms, {base}",
    )
    head += (f"mid after 60 s, {quote}",)
    cells = [
        (
            f'{escape(str(row["fills"]))} <small class="line">{escape(_difference(row, headline))}</small>',
            Amount(quoting_of(row)),
            "–" if row["n_fills"] is None else f"{row['n_fills']:,}",
            Amount(row["inventory_rms"], plus=False),
            Amount(row["adverse_selection_60"]),
        )
        for row in rows
    ]
    unsure = len({(quoting_of(row) or 0) > 0 for row in assumed_rows(summary)}) > 1
    verdict = "The sign of the PnL depends on the assumptions." if unsure else "The PnL has the same sign in all."
    hint = f"The same strategy under other fill models, at other latencies, and with the other feed. {verdict}"
    hint += "".join(f" Stressed: {escape(text)}." for text in stressed(rows))
    return card(title, hint, grid(head, cells))


def _difference(row: Mapping[str, Any], headline: Mapping[str, Any]) -> str:
    role, latency, feed = row.get("role"), row["latency"], row.get("feed")
    differs = [
        "" if role in (None, "other") else str(role),
        "" if latency == headline["latency"] else f"{short(latency)} × latency",
        "" if feed == headline.get("feed") else f"feed {feed}",
    ]
    return " · ".join(filter(None, differs))
