"""A backtest summary as text: a few lines for a notebook, a table for the terminal."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mm.backtest.metrics.notes import NO_REFERENCE, NULL, by_reason
from mm.backtest.metrics.numbers import NUMBERS, SummaryNumber
from mm.backtest.run_terms import of_all_legs, own_market_of, quoting_of
from mm.base.numbers import (
    ABOVE,
    MINUS,
    SHARPE_DAYS,
    UNDECIDED,
    duration,
    number,
    percent,
    sign_of,
    signed,
)
from mm.clock import iso
from mm.trials.own_content import STRESSED

NONE = "–"
_MONEY_PLACES = 3  # decimals of amounts and prices, at least; times and counts have fewer
_LEAST_UNITS = 25  # an amount of fewer units of its last decimal has three digits instead


def describe(summary: Mapping[str, Any]) -> str:
    inventory = summary["inventory"]
    base, quote = (f" {summary[asset]}".rstrip() for asset in ("base_asset", "quote_asset"))
    risk, legs = of_all_legs(summary), summary.get("legs") or {}
    own = own_market_of(summary) or summary
    parts = {**summary, **own}
    whole = f"{signed(quoting_of(summary))}{quote} with {', '.join(legs)}; alone " if legs else ""
    rows = {
        "Quoting": f"{whole}{signed(own['pnl_quoting'])}{quote} = spread {signed(parts['pnl_spread_capture'])}, "
        f"inventory {signed(parts['pnl_inventory'])}, fees {number(parts['fees'])}; "
        f"{beside(summary)}{worst(summary, '; ')}",
        "Risk": f"{sharpe(summary)}, "
        f"drawdown {number(risk['max_drawdown'])}{quote} over {duration(risk['drawdown_duration_s'])}",
        "Fills": f"{summary['n_fills']:,} of {summary['n_orders']:,} orders, {percent(summary['fill_ratio'])} of the "
        f"quantity; half-spread {number(summary['effective_half_spread'])}, "
        f"after 60 s {number(summary['realised_half_spread']['60'])}",
        "Inventory": f"rms {number(inventory['rms'], 3)}{base}, at most {number(inventory['max'], 3)}; "
        f"both sides quoted {percent(summary['two_sided_uptime'])} of the time",
        "Covered": f"{duration(summary['seconds_covered'])}, excluded {duration(excluded_s(summary))}",
        "Trials": tried_of(summary),
    }
    models = summary["models"]
    head = f"{summary['symbol']} {', '.join(summary['days'])}: {models['quote']} quotes, {models['fill']} fills"
    ended = {"LIQUIDATED": summary["liquidated_at"]} if summary.get("liquidated_at") else {}
    body = [f"  {name:<9} {text}" for name, text in (ended | rows).items() if text]
    cautions = [f"  ! {line}" for line in summary["warnings"] if not line.startswith(NULL)]
    return "\n".join([head, *body, *cautions])


def beside(summary: Mapping[str, Any]) -> str:
    return f"hold {signed(summary['pnl_hold'])}, account {signed(summary['pnl_total'])}"


def _drawdown(account: Mapping[str, Any]) -> str:
    share = account["max_drawdown_share"]
    return f"drawdown {_number(account['max_drawdown'], 4)}" + ("" if share is None else f" ({100 * share:.2f} %)")


def excluded_s(summary: Mapping[str, Any]) -> float:
    outside: float = summary["seconds_excluded"] - summary.get("seconds_between_days", 0.0)
    return max(outside, 0.0)


def _between(summary: Mapping[str, Any]) -> str:
    seconds = summary.get("seconds_between_days")
    return f", {_number(seconds, 0)} between the days" if seconds else ""


def text_of(summary: Mapping[str, Any]) -> str:
    (first, whole), *rows = [
        (figure.line, _LINES.get(figure.key, _plain)(summary, figure))
        for figure in NUMBERS
        if figure.line and _has(summary, figure.key)
    ]
    block, legs, band = (summary.get(name) for name in ("sensitivity", "legs", "pnl_band"))
    inside = []
    if block:
        whole += worst(summary, ", ")
        inside.append(("  sensitivity", sensitivity(assumed_rows(summary))))
        inside += [("  stressed", text) for text in stressed(block["rows"])]
    if legs:
        own = own_market_of(summary) or summary
        inside.append((f"  {summary['symbol']} alone", _number(own["pnl_quoting"], 4)))
        inside.append(("  with", f"{legs_of(legs)}; account {_number(of_all_legs(summary)['pnl_total'], 4)}"))
    if band:
        text = f"{_number(band['low'], 4)} to {_number(band['high'], 4)}, 95 % of {band['draws']} draws"
        inside.append(("  range by fit", text))
    ended = [("LIQUIDATED", summary["liquidated_at"])] if summary.get("liquidated_at") else []
    lines = [f"{name:<18}{value}" for name, value in (*ended, (first, whole), *inside, *rows)]
    notes = [warning for warning in summary["warnings"] if not warning.startswith(NULL)]
    if trials := tried_of(summary):
        lines.append(f"{'trials':<18}{trials}")
    return "\n".join([*lines, *tree(summary), *assumed(summary), *(f"note: {note}" for note in notes)])


def _has(summary: Mapping[str, Any], key: str) -> bool:
    return (
        bool(summary.get(key))
        if key in ("feed", "risk", "margin")
        else key in summary and (key, summary[key]) != ("funding", None)
    )


def _plain(summary: Mapping[str, Any], figure: SummaryNumber) -> str:
    value = summary[figure.key]
    return f"{value:,}" if isinstance(value, int) else _number(value, figure.digits)


def _paid(summary: Mapping[str, Any], figure: SummaryNumber) -> str:
    return _number(_negative(summary[figure.key]), figure.digits)


def _rejected(summary: Mapping[str, Any], figure: SummaryNumber) -> str:
    reasons = by_reason(summary["rejects"])
    return _plain(summary, figure) + (f" ({reasons})" if reasons else "")


def _held(summary: Mapping[str, Any], figure: SummaryNumber) -> str:
    return f"mean {_number(summary[figure.key]['mean'], 4)}, largest {_number(summary[figure.key]['max'], 4)}"


_LINES: Mapping[
    str, Callable[[Mapping[str, Any], SummaryNumber], str]
] = {  # of a key whose line says more than its value
    "pnl_quoting": lambda summary, figure: _number(quoting_of(summary), figure.digits),
    "funding": _paid,
    "fees": _paid,
    "pnl_total": lambda summary, figure: f"{_plain(summary, figure)}, {_drawdown(summary['account'])}",
    "quote_qty": lambda summary, figure: f"{_short(summary[figure.key])} {summary['base_asset']}".rstrip(),
    "n_rejects": _rejected,
    "n_fills": lambda summary, figure: f"{_plain(summary, figure)}, {summary['n_partial']:,} orders filled in parts",
    "inventory": _held,
    "seconds_covered": lambda summary, figure: (
        f"{_plain(summary, figure)}, {_number(excluded_s(summary), 0)} excluded{_between(summary)}"
    ),
    "feed": lambda summary, figure: feed_text(summary[figure.key]),
    "margin": lambda summary, figure: _margin(summary[figure.key]),
    "risk": lambda summary, figure: _limits(summary[figure.key]),
    "fifo_consistency": lambda summary, figure: (
        f"{100 * summary[figure.key]:.1f} % of the executed lots of the order log"
    ),
}


def _margin(margin: Mapping[str, Any]) -> str:
    used = "used up" if margin["ratio_max"] is None else f"at most {percent(margin['ratio_max'])} used"
    return (
        f"{margin['margin_type']}, leverage {margin['leverage']}; {used} "
        f"(maintenance {_number(margin['maintenance_max'], 4)}), mark {margin['mark']}"
    )


def feed_text(feed: Mapping[str, Any]) -> str:
    kind, late = feed.get("kind", "recorded"), feed["median_ms"]
    if kind != "recorded" or "p99_ms" not in feed:
        return f"{kind}: {feed['why']}"
    text = f"{kind}: median {late:.1f} ms, 99 % {feed['p99_ms']:.1f} ms after it happened"
    return f"{text}, our clock {signed(feed['clock_offset_ms'], 2)} ms from the exchange's"


def legs_of(legs: Mapping[str, Mapping[str, Any]]) -> str:
    places = {name: f"{leg['symbol']} {leg.get('market', '')}".rstrip() for name, leg in legs.items()}
    return "; ".join(
        f"{name} ({places[name]}) {_number(leg['pnl_quoting'], 4)}, {leg['n_fills']:,} fills, "
        f"fees {number(leg['fees'])}" + (f", funding {number(leg['funding'])}" if "funding" in leg else "")
        for name, leg in legs.items()
    )


def _limits(block: Mapping[str, Any]) -> str:
    text = ", ".join(f"{count:,} × {name}" for name, count in block["breaches"].items()) or "no breaches"
    killed = block["killed"]
    return text if killed is None else f"{text}; killed {iso(killed['us'])}: {killed['reason']}"


def sensitivity(rows: Sequence[Mapping[str, Any]]) -> str:
    ranges = []
    own = [row for row in rows if row["role"] == "headline"]
    by_latency = [row for row in rows if row["latency"] != 1]
    by_feed = [row for row in rows if own and row.get("feed") != own[0].get("feed")]
    by_fills = [row for row in rows if row not in [*own, *by_latency, *by_feed]]
    for name, kinds in (("fill assumption", by_fills), ("latency", by_latency), ("feed", by_feed)):
        pnls = [pnl for row in [*own, *kinds] if (pnl := quoting_of(row)) is not None]
        if kinds and pnls:
            ranges.append(f"{signed(min(pnls))} … {signed(max(pnls))} by {name}")
    return "PnL " + ", ".join(ranges) if ranges else NONE


def assumed_rows(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    rows = (summary.get("sensitivity") or {}).get("rows", ())
    return [row for row in rows if row.get("role") != STRESSED]


def stressed(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"{signed(quoting_of(row))} with the symbol's worst minute on record ({signed(100 * row['move'], 3)} %) at the "
        f"largest inventory ({signed(row['inventory'])})"
        for row in rows
        if row.get("role") == STRESSED and row["inventory"]
    ]


def worst(summary: Mapping[str, Any], before: str = "") -> str:
    """The least PnL of the sensitivity and its assumption, after *before*; empty without one."""
    rows = assumed_rows(summary)
    known = [(pnl, row["role"] != "headline", row) for row in rows if (pnl := quoting_of(row)) is not None]
    if not known:
        return ""
    pnl, _, row = min(known, key=lambda assumption: assumption[:2])
    if row["role"] == "headline":
        return f"{before}the least of {len(known)} assumptions"
    latency = "" if row["latency"] == 1 else f" at {_short(row['latency'])} × latency"
    own = [row.get("feed") for row in rows if row["role"] == "headline"]
    feed = "" if row.get("feed") in own else f" with FEED_LATENCY={row['feed']}"
    return f"{before}{signed(pnl)} under the worst of {len(known)} assumptions ({row['fills']}{latency}{feed})"


def assumptions(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    name, value = summary["reference"], summary["reference_why"]
    legs = summary.get("legs") or {}
    rows = [
        *([("all legs", f"account {signed(of_all_legs(summary)['pnl_total'])}, with {legs_of(legs)}")] if legs else []),
        ("reference", name + (f": {value}" if value else "")),
        ("curve", curve(summary)),
        ("fill model", f"{summary['models']['fill']}: {summary['fill_bias'] or 'bias unknown'}"),
        ("queue exponent", exponent(summary)),
        ("outside the fit", outside(summary)),
        ("quoted distance", quoted_distance(summary)),
        ("fills observed", " · ".join(by_distance(summary)) or NONE),
    ]
    return [row for row in rows if row[1] and (summary["fit"] or row[1] != NONE)]


def exponent(summary: Mapping[str, Any]) -> str:
    estimate = (summary.get("sensitivity") or {}).get("queue_exponent")
    if not estimate:
        return ""
    played, own = number(estimate["played"]), number(estimate["exponent"])
    interval = f"{number(estimate['low'])} to {number(estimate['high'])}"
    return (
        f"{played} played; {summary['symbol']}'s own is {own} ({interval}, {estimate['day']}): PnL of quoting "
        f"{signed(estimate['pnl_quoting'])} at {played}, {signed(estimate['pnl_at_estimate'])} at {own}"
    )


def assumed(summary: Mapping[str, Any]) -> list[str]:
    rows = assumptions(summary)
    if summary["gamma"] is not None:
        rows.insert(2, ("gamma", f"{number(summary['gamma'])} per tick and clip"))
    if (moved := (summary["fit"] or {}).get("adverse_ticks")) is not None:
        rows.insert(2, ("adverse_ticks", f"{number(moved)} ticks, adverse move of the mid after a fill, from the fit"))
    return ["assumptions", *(f"{'  ' + name:<18}{value}" for name, value in rows)]


def curve(summary: Mapping[str, Any]) -> str:
    fit = summary["fit"]
    if fit is None:
        return "no fit was given (FILL_PARAMS_FILE), so there are no predicted fills"
    shape = "" if fit["A"] is None else f"λ = {number(fit['A'])}/s · exp(−{number(fit['k'])} per tick · δ), "
    if fit.get("shape") not in (None, "exponential"):
        shape = f"{fit['shape']} (lambda_curve, used by optimal_curve); its exponential {shape}"
    verdict = f"{shape}{fit['status']} ({fit['path']})" + (f": {fit['reason']}" if fit["reason"] else "")
    if "quotes_from" in summary:
        verdict += f"; quotes_from: {summary['quotes_from']}"
    count = len(fit["warnings"])
    return verdict + (f"; {count} warning{'s' if count > 1 else ''} of the fit in summary.json" if count else "")


def outside(summary: Mapping[str, Any]) -> str:
    fit, share = summary["fit"] or {}, summary["share_outside_fit"]
    if share is None:
        unknown = fit and summary["reference"] != "mid"
        return f"unknown: {NO_REFERENCE.format(summary['reference'])}" if unknown else NONE
    near, far = fit.get("min_delta_ticks"), fit.get("max_delta_ticks")
    from_there = "" if summary["reference"] == "mid" else f" from the {summary['reference']}"
    reach = "" if near is None or far is None else f", {near:g} to {far:g} ticks{from_there}"
    return f"{percent(share)} of the order time (fitted distances{reach})"


def quoted_distance(summary: Mapping[str, Any]) -> str:
    ticks = summary["quoted_half_spread_ticks"]
    if ticks["p50"] is None:
        return NONE
    return f"median {number(ticks['p50'])} ticks from the mid, 80 % in {number(ticks['p10'])} to {number(ticks['p90'])}"


def by_distance(summary: Mapping[str, Any], most: int = 6) -> list[str]:
    rows = [row for row in summary["fills_by_distance"] if row.get("predicted") is not None]
    nearest, farthest = (rows[0], rows[-1]) if len(rows) > 1 else (None, None)
    largest = sorted(rows, key=lambda row: -max(row["predicted"], row["fills"]))[:most]
    texts: list[str] = []
    for row in sorted(largest, key=lambda row: row["from_ticks"]):
        near, far = number(row["from_ticks"]), number(row["to_ticks"])
        where = f"at {near}" if near == far else f"at {near} to {far}"
        if row is nearest or row is farthest:  # these two rows include all nearer or farther distances
            where = f"up to {far}" if row is nearest else f"from {near}"
        unit = "" if texts else " ticks from the mid"
        texts.append(f"{row['fills']:,} {where}{unit} ({number(row['predicted'], 3)} expected)")
    return texts


def tree(summary: Mapping[str, Any]) -> list[str]:
    trips, wait, asset = summary["round_trips"], summary["order_to_fill_s"], f" {summary['quote_asset']}".rstrip()
    branches = [
        ("PnL of quoting", _number(quoting_of(summary), 4, asset)),
        ("Sharpe ratio", sharpe(summary)),
        ("Max drawdown", _number(of_all_legs(summary)["max_drawdown"], 4, asset)),
        ("Total trades", f"{trips['n']:,} round trips"),
        ("Win rate", _percent(trips["win_rate"])),
        ("Avg trade", _number(trips["mean"], 6, asset)),
        ("Avg fill latency", f"{_number(wait['mean'], 3, ' s')} from sending, median {_number(wait['p50'], 3, ' s')}"),
        ("Fill rate", f"{_percent(summary['fill_ratio'])} of the quantity, {_percent(summary['hit_rate'])} of orders"),
    ]
    twigs = ["├──"] * (len(branches) - 1) + ["└──"]
    return [
        "performance",
        *(f"{twig} {name + ':':<18}{value}" for twig, (name, value) in zip(twigs, branches, strict=True)),
    ]


def sharpe(summary: Mapping[str, Any]) -> str:
    """The Sharpe ratio with its interval; below `SHARPE_DAYS` days the verdict on the PnL's sign."""
    days, numbers = days_of(summary), of_all_legs(summary)
    ends = numbers["sharpe_ci95"]
    if days >= SHARPE_DAYS:
        interval = "" if ends is None else f", 95 % from {_number(ends[0], 1)} to {_number(ends[1], 1)}"
        return NONE if numbers["sharpe"] is None else f"{_number(numbers['sharpe'], 2)} annualised{interval}"
    return f"{NONE}, {days} of {SHARPE_DAYS} days; PnL {sign_of_mean(summary)}"


def days_of(summary: Mapping[str, Any]) -> int:
    return len(summary.get("daily") or summary["days"])


def sign_of_mean(summary: Mapping[str, Any]) -> str:
    verdict = of_all_legs(summary).get("verdict")
    if verdict is None:
        return "without a verdict"
    text, days = str(verdict["text"]), days_of(summary)
    if verdict["lower95"] is None:
        return text
    whose = "of this day" if days == 1 else f"of these {days} days"
    told = f"{text} (95 %: {signed(verdict['lower95'])} to {signed(verdict['upper95'])}, {whose})"
    enough = verdict.get("days_to_decide")
    return f"{told}; {enough:,} days like {'this' if days == 1 else 'these'} would decide it" if enough else told


def tried(trials: Any, bound: float | None) -> str:
    """The number of designs tried on the days, and the lower *bound* that allows for them."""
    if not isinstance(trials, Mapping):
        return ""
    if trials["on_these_days"] > 1:
        allows = "" if bound is None else f"; the bound that allows for it: {signed(bound)}"
        independent = number(trials["independent"], 3)
        said = f"one of {trials['on_these_days']:,} tried on these days ({independent} independent){allows}"
    elif trials["known"]:
        others = "" if trials["known"] == 1 else f", of {trials['known']:,} known"
        said = f"the only one on record for these days{others}"
    else:
        said = "no trial is known: nothing was put on record"
    openings = trials["held_out_openings"]
    return said + (f"; held out, opened {'once' if openings == 1 else f'{openings:,} times'}" if openings else "")


def tried_of(summary: Mapping[str, Any]) -> str:
    verdict = of_all_legs(summary).get("verdict") or {}
    return tried(summary.get("trials"), verdict.get("lower95"))


def told_sign(summary: Mapping[str, Any]) -> str:
    """The verdict's sign, which colours a PnL, unless the worst assumption contradicts it."""
    verdict = of_all_legs(summary).get("verdict") or {}
    sign = sign_of(verdict.get("lower95"), verdict.get("upper95"))
    rows = assumed_rows(summary)
    if sign == ABOVE and any(
        (quoting_of(row) or 0) <= 0 or row.get("verdict", ABOVE) not in (None, ABOVE) for row in rows
    ):
        return UNDECIDED
    return sign


def _percent(share: float | None) -> str:
    return NONE if share is None else f"{100 * share:.1f} %"


def _number(value: float | None, places: int, unit: str = "") -> str:
    if value is None:
        return NONE
    if places >= _MONEY_PLACES and 0 < abs(value) < _LEAST_UNITS * 10**-places:  # millionths of a BTC
        return number(value, 3) + unit
    text = f"{value:,.{places}f}"
    return (text.replace("-", MINUS) if text.strip("-0.,") else text.replace("-", "")) + unit


def _short(value: float) -> str:
    return f"{value:.8f}".rstrip("0").rstrip(".")


def _negative(value: float | None) -> float | None:
    return None if value is None else 0.0 - value
