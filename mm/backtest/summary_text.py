"""A backtest summary as text: a few lines for a notebook, a table for the terminal."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import UNSET

from mm.backtest.metrics.notes import NO_REFERENCE, NULL, by_reason
from mm.backtest.metrics.numbers import NUMBERS, Summary
from mm.backtest.metrics.summary_number import given
from mm.backtest.metrics.verdict import GAIN, LOSS, colour, words
from mm.backtest.run_terms import quoting_of
from mm.base.day_notes import once_for_days
from mm.base.numbers import (
    ABOVE,
    MINUS,
    SHARPE_DAYS,
    duration,
    noun,
    number,
    percent,
    signed,
)
from mm.clock import iso
from mm.trials.own_content import STRESSED

NONE = "–"
LAST_IN_QUEUE = "queue_back"
HORIZONS = ("1", "5", "30", "60")  # s, of the markouts
_MONEY_PLACES = 3  # decimals of amounts and prices, at least; times and counts have fewer
_MONEY_DIGITS = 4
_LEAST_UNITS = 25  # an amount of fewer units of its last decimal has three digits instead


def describe(content: Mapping[str, Any]) -> str:
    summary = Summary.read(content)
    inventory = summary.inventory
    base, quote = (f" {asset}".rstrip() for asset in (summary.base_asset, summary.quote_asset))
    risk, legs = summary.whole, given(summary.legs) or {}
    own = summary.own or summary
    parts = summary.parted
    whole = f"{signed(summary.quoting)}{quote} with {', '.join(legs)}; alone " if legs else ""
    rows = {
        "Quoting": f"{whole}{signed(own.pnl_quoting)}{quote} = spread {signed(parts.pnl_spread_capture)}, "
        f"inventory {signed(parts.pnl_inventory)}, fees {number(parts.fees)}; "
        f"{beside(summary)}{worst(summary, '; ')}",
        "Risk": f"{sharpe(summary)}, "
        f"drawdown {number(risk.max_drawdown)}{quote} over {duration(risk.drawdown_duration_s)}",
        "Fills": f"{summary.n_fills:,} of {summary.n_orders:,} orders, {percent(summary.fill_ratio)} of the "
        f"quantity; half-spread {number(summary.effective_half_spread)}, "
        f"after 60 s {number(summary.realised_half_spread['60'])}",
        "Inventory": f"rms {number(inventory['rms'], 3)}{base}, at most {number(inventory['max'], 3)}; "
        f"both sides quoted {percent(summary.two_sided_uptime)} of the time",
        "Covered": f"{duration(summary.seconds_covered)}, excluded {duration(excluded_s(summary))}",
        "Bounds": bounds_text(summary),
        "Trials": tried_of(summary),
    }
    models = summary.models
    head = f"{summary.symbol} {', '.join(summary.days)}: {models['quote']} quotes, {models['fill']} fills"
    ended = {"LIQUIDATED": given(summary.liquidated_at)} if given(summary.liquidated_at) else {}
    body = [f"  {name:<9} {text}" for name, text in (ended | rows).items() if text]
    cautions = [f"  ! {line}" for line in summary.warnings if not line.startswith(NULL)]
    return "\n".join([head, *body, *cautions])


def beside(summary: Summary) -> str:
    return f"hold {signed(summary.pnl_hold)}, account {signed(summary.pnl_total)}"


def _drawdown(account: Mapping[str, Any]) -> str:
    share = account["max_drawdown_share"]
    return f"drawdown {_number(account['max_drawdown'], 4)}" + ("" if share is None else f" ({100 * share:.2f} %)")


def excluded_s(summary: Summary) -> float:
    return max((summary.seconds_excluded or 0.0) - (given(summary.seconds_between_days) or 0.0), 0.0)


def _between(summary: Summary) -> str:
    seconds = given(summary.seconds_between_days)
    return f", {_number(seconds, 0)} between the days" if seconds else ""


def text_of(content: Mapping[str, Any]) -> str:
    summary = Summary.read(content)
    (first, whole), *rows = [
        (one.line, _line(summary, name)) for name, one in NUMBERS.items() if one.line and _has(summary, name)
    ]
    rows += reading(summary)
    block, legs, band = given(summary.sensitivity), given(summary.legs), given(summary.pnl_band)
    inside = []
    if block:
        whole += worst(summary, ", ")
        inside.append(("  sensitivity", sensitivity(assumed_rows(summary))))
        inside += [("  stressed", text) for text in stressed(block["rows"])]
    if legs:
        own = summary.own or summary
        inside.append((f"  {summary.symbol} alone", _number(own.pnl_quoting, 4)))
        inside.append(("  with", f"{legs_of(legs)}; account {_number(summary.whole.pnl_total, 4)}"))
    if band:
        text = f"{_number(band['low'], 4)} to {_number(band['high'], 4)}, 95 % of {band['draws']} draws"
        inside.append(("  range by fit", text))
    ended = [("LIQUIDATED", given(summary.liquidated_at))] if given(summary.liquidated_at) else []
    lines = [f"{name:<18}{value}" for name, value in (*ended, (first, whole), *inside, *rows)]
    notes = [warning for warning in summary.warnings if not warning.startswith(NULL)]
    if trials := tried_of(summary):
        lines.append(f"{'trials':<18}{trials}")
    return "\n".join([*lines, *tree(summary), *assumed(summary), *(f"note: {note}" for note in once_for_days(notes))])


def reading(summary: Summary) -> list[tuple[str, str]]:
    """What a reader looks for first: the fee at which nothing is left, and what fills are worth afterwards."""
    told = (("bounds", bounds_text(summary)), ("break-even fee", break_even(summary)))
    rows = [(name, text) for name, text in told if text]
    later = [(seconds, summary.realised_half_spread.get(seconds)) for seconds in HORIZONS]
    if any(value is not None for _, value in later):
        asset = f" {summary.quote_asset}".rstrip()
        text = ", ".join(f"{signed(value)} after {seconds} s" for seconds, value in later)
        rows.append(("markouts", f"{text}{asset} per unit"))
    return rows


def bounds_text(summary: Summary) -> str:
    """What the same quotes earn at the back and in front of every queue; empty without bounds."""
    bounds = given(summary.bounds)
    if not bounds:
        return ""
    ends = bounds["back"], bounds["front"]
    asset = f" {summary.quote_asset or ''}".rstrip()

    def between(key: str, text: Callable[[Any], str]) -> str:
        return " to ".join(NONE if end[key] is None else text(end[key]) for end in ends)

    share = given(summary.open_share)
    left = "" if share is None else f"; open: {percent(share)} of the chosen one's"
    return (
        f"PnL {between('pnl_quoting', signed)}{asset} from the back of every queue to the front, "
        f"fills {between('n_fills', '{:,}'.format)}, share filled {between('fill_ratio', percent)}, "
        f"markout after 5 s {between('markout_5s', signed)}{left}"
    )


def break_even(summary: Summary) -> str | None:
    """The rate that leaves nothing, beside the mean rate paid; None without a fill."""
    rate, turnover, fees = (
        (summary.break_even_fee_rate or {}).get("pnl"),
        summary.volume["quote"],
        summary.fees,
    )
    if rate is None or not turnover or fees is None:
        return None
    return f"{number(100 * rate, 3)} % of turnover leaves nothing; {number(100 * fees / turnover, 3)} % was paid"


def expected_fills(summary: Summary) -> str:
    """Fills observed over those that the fit expects, with the ratio's interval."""
    ratio = summary.fills_ratio or {}
    value, low, high = (ratio.get(name) for name in ("value", "low", "high"))
    if value is None:
        return ""
    ends = "" if low is None or high is None else f", 95 %: {number(low, 3)} to {number(high, 3)}"
    forecast = given(summary.fills_forecast)
    by_then = "" if forecast is None else _by_earlier_days(forecast)
    return f"{summary.observed_fills:,} observed, ratio {number(value, 3)}{ends}{by_then}"


def _by_earlier_days(forecast: Mapping[str, Any]) -> str:
    days, low, high = (forecast[name] for name in ("days", "low", "high"))
    when = days[0] if len(days) == 1 else f"{len(days)} days from {days[0]} on"
    given = f", given {forecast['given']}" if forecast["given"] else ""
    ends = "" if low is None else f" (95 %{given}: {low:,.0f} to {high:,.0f})"
    return f"; {forecast['value']:,.1f} expected by the ratios of {when}{ends}"


def _has(summary: Summary, name: str) -> bool:
    value = getattr(summary, name)
    if name in ("feed", "risk", "margin"):
        return bool(value)
    return value is not UNSET and (name, value) != ("funding", None)


def _line(summary: Summary, name: str) -> str:
    more = _LINES.get(name)
    return _plain(summary, name) if more is None else more(summary)


def _plain(summary: Summary, name: str) -> str:
    value = getattr(summary, name)
    return f"{value:,}" if isinstance(value, int) else _number(value, NUMBERS[name].digits)


def _paid(value: float | None) -> str:
    return _number(_negative(value), _MONEY_DIGITS)


def _expected(summary: Summary) -> str:
    return ", ".join(filter(None, (_plain(summary, "predicted_fills"), expected_fills(summary))))


def _rejected(summary: Summary) -> str:
    reasons = by_reason(summary.rejects)
    return _plain(summary, "n_rejects") + (f" ({reasons})" if reasons else "")


def _covered(summary: Summary) -> str:
    excluded = _number(excluded_s(summary), 0)
    return f"{_plain(summary, 'seconds_covered')}, {excluded} excluded{_between(summary)}"


def _first_in_queue(summary: Summary) -> str:
    return f"{100 * (given(summary.fifo_consistency) or 0.0):.1f} % of the executed lots of the order log"


def _held(inventory: Mapping[str, Any]) -> str:
    return f"mean {_number(inventory['mean'], _MONEY_DIGITS)}, largest {_number(inventory['max'], _MONEY_DIGITS)}"


_LINES: Mapping[str, Callable[[Summary], str]] = {  # of a key whose line says more than its value
    "pnl_quoting": lambda summary: _number(summary.quoting, _MONEY_DIGITS),
    "funding": lambda summary: _paid(given(summary.funding)),
    "fees": lambda summary: _paid(summary.fees),
    "pnl_total": lambda summary: f"{_plain(summary, 'pnl_total')}, {_drawdown(summary.account or {})}",
    "predicted_fills": _expected,
    "quote_qty": lambda summary: f"{_short(summary.quote_qty)} {summary.base_asset}".rstrip(),
    "n_rejects": _rejected,
    "n_fills": lambda summary: f"{_plain(summary, 'n_fills')}, {summary.n_partial:,} orders filled in parts",
    "inventory": lambda summary: _held(summary.inventory),
    "seconds_covered": _covered,
    "feed": lambda summary: feed_text(given(summary.feed) or {}),
    "margin": lambda summary: _margin(given(summary.margin) or {}),
    "risk": lambda summary: _limits(given(summary.risk) or {}),
    "fifo_consistency": _first_in_queue,
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


def assumed_rows(summary: Summary) -> list[Mapping[str, Any]]:
    rows = (given(summary.sensitivity) or {}).get("rows", ())
    return [row for row in rows if row.get("role") != STRESSED]


def stressed(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"{signed(quoting_of(row))} with the symbol's worst minute on record ({signed(100 * row['move'], 3)} %) at the "
        f"largest inventory ({signed(row['inventory'])})"
        for row in rows
        if row.get("role") == STRESSED and row["inventory"]
    ]


def worst(summary: Summary, before: str = "") -> str:
    """The least PnL of the sensitivity and its assumption, after *before*; empty without one."""
    rows = assumed_rows(summary)
    known = [(pnl, row["role"] != "headline", row) for row in rows if (pnl := quoting_of(row)) is not None]
    if not known:
        return ""
    pnl, _, row = min(known, key=lambda assumption: assumption[:2])
    latency = "" if row["latency"] == 1 else f" at {_short(row['latency'])} × latency"
    last = [quoting_of(row) for row in rows if row["fills"] == LAST_IN_QUEUE and row["latency"] == 1]
    first = next((own for own, is_other, _ in known if not is_other), None)
    more = first is not None and any(earned is not None and earned > first for earned in last)
    beyond = "; no bound: the last in the queue earns more" if more else ""
    if row["role"] == "headline":
        return f"{before}the least of {len(known)} assumptions{beyond}"
    own = [row.get("feed") for row in rows if row["role"] == "headline"]
    feed = "" if row.get("feed") in own else f" with FEED_LATENCY={row['feed']}"
    where = f"{row['fills']}{latency}{feed}"
    return f"{before}{signed(pnl)} under the worst of {len(known)} assumptions ({where}){beyond}"


def assumptions(summary: Summary) -> list[tuple[str, str]]:
    name, value = summary.reference, summary.reference_why
    legs = given(summary.legs) or {}
    rows = [
        *([("all legs", f"account {signed(summary.whole.pnl_total)}, with {legs_of(legs)}")] if legs else []),
        ("reference", name + (f": {value}" if value else "")),
        ("curve", curve(summary)),
        ("fill model", f"{summary.models['fill']}: {summary.fill_bias or 'bias unknown'}"),
        ("queue exponent", exponent(summary)),
        ("outside the fit", outside(summary)),
        ("quoted distance", quoted_distance(summary)),
        ("fills observed", " · ".join(by_distance(summary)) or NONE),
    ]
    return [row for row in rows if row[1] and (summary.fit or row[1] != NONE)]


def exponent(summary: Summary) -> str:
    estimate = (given(summary.sensitivity) or {}).get("queue_exponent")
    if not estimate:
        return ""
    played, own = number(estimate["played"]), number(estimate["exponent"])
    interval = f"{number(estimate['low'])} to {number(estimate['high'])}"
    return (
        f"{played} played; {summary.symbol}'s own is {own} ({interval}, {estimate['day']}): PnL of quoting "
        f"{signed(estimate['pnl_quoting'])} at {played}, {signed(estimate['pnl_at_estimate'])} at {own}"
    )


def assumed(summary: Summary) -> list[str]:
    rows = assumptions(summary)
    if summary.gamma is not None:
        rows.insert(2, ("gamma", f"{number(summary.gamma)} per tick and clip"))
    if (moved := (summary.fit or {}).get("adverse_ticks")) is not None:
        rows.insert(2, ("adverse_ticks", f"{number(moved)} ticks, adverse move of the mid after a fill, from the fit"))
    return ["assumptions", *(f"{'  ' + name:<18}{value}" for name, value in rows)]


def curve(summary: Summary) -> str:
    fit = summary.fit
    if fit is None:
        return "no fit was given (FILL_PARAMS_FILE), so there are no predicted fills"
    shape = "" if fit["A"] is None else f"λ = {number(fit['A'])}/s · exp(−{number(fit['k'])} per tick · δ), "
    if fit.get("shape") not in (None, "exponential"):
        shape = f"{fit['shape']} (lambda_curve, used by optimal_curve); its exponential {shape}"
    verdict = f"{shape}{fit['status']} ({fit['path']})"
    if fit["reason"] and fit["status"] not in ("misfit", "poor_fit"):  # of these a note has it
        verdict += f": {fit['reason']}"
    if source := given(summary.quotes_from):
        verdict += f"; quotes_from: {source}"
    count = len(fit["warnings"])
    return verdict + (f"; {count} warning{'s' if count > 1 else ''} of the fit in summary.json" if count else "")


def outside(summary: Summary) -> str:
    fit, share = summary.fit or {}, summary.share_outside_fit
    if share is None:
        unknown = fit and summary.reference != "mid"
        return f"unknown: {NO_REFERENCE.format(summary.reference)}" if unknown else NONE
    near, far = fit.get("min_delta_ticks"), fit.get("max_delta_ticks")
    from_there = "" if summary.reference == "mid" else f" from the {summary.reference}"
    reach = "" if near is None or far is None else f", {near:g} to {far:g} ticks{from_there}"
    return f"{percent(share)} of the order time (fitted distances{reach})"


def quoted_distance(summary: Summary) -> str:
    ticks = summary.quoted_half_spread_ticks
    if ticks["p50"] is None:
        return NONE
    return f"median {number(ticks['p50'])} ticks from the mid, 80 % in {number(ticks['p10'])} to {number(ticks['p90'])}"


def by_distance(summary: Summary, most: int = 6) -> list[str]:
    rows = [row for row in summary.fills_by_distance or () if row.get("predicted") is not None]
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


def tree(summary: Summary) -> list[str]:
    trips, wait, asset = summary.round_trips, summary.order_to_fill_s, f" {summary.quote_asset}".rstrip()
    branches = [
        ("PnL of quoting", _number(summary.quoting, 4, asset)),
        ("Sharpe ratio", sharpe(summary)),
        ("Max drawdown", _number(summary.whole.max_drawdown, 4, asset)),
        ("Total trades", f"{trips['n']:,} round trips"),
        ("Win rate", _percent(trips["win_rate"])),
        ("Avg trade", _number(trips["mean"], 6, asset)),
        ("Avg fill latency", f"{_number(wait['mean'], 3, ' s')} from sending, median {_number(wait['p50'], 3, ' s')}"),
        ("Fill rate", f"{_percent(summary.fill_ratio)} of the quantity, {_percent(summary.hit_rate)} of orders"),
    ]
    twigs = ["├──"] * (len(branches) - 1) + ["└──"]
    return [
        "performance",
        *(f"{twig} {name + ':':<18}{value}" for twig, (name, value) in zip(twigs, branches, strict=True)),
    ]


def sharpe(summary: Summary) -> str:
    """The Sharpe ratio with its interval; below `SHARPE_DAYS` days the verdict on the PnL's sign."""
    days, numbers = days_of(summary), summary.whole
    ends = numbers.sharpe_ci95
    if days >= SHARPE_DAYS:
        interval = "" if ends is None else f", 95 % from {_number(ends[0], 1)} to {_number(ends[1], 1)}"
        return NONE if numbers.sharpe is None else f"{_number(numbers.sharpe, 2)} annualised{interval}"
    return f"{NONE}, {days} of {SHARPE_DAYS} days; PnL {sign_of_mean(summary)}"


def days_of(summary: Summary) -> int:
    return len(summary.daily or summary.days)


def sign_of_mean(summary: Summary) -> str:
    return words(summary.whole.verdict, days_of(summary))


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
        said = "nothing is remembered, so no other trial is known (in Python, give out_root)"
    if forgotten := trials.get("forgotten"):
        said += f"; {forgotten:,} {noun(forgotten, 'trial')} of these days were forgotten (mm runs trials)"
    if gone := trials.get("off_record"):
        said += f"; {gone:,} finished {noun(gone, 'run')} of these days {'is' if gone == 1 else 'are'} not on record"
    openings = trials["held_out_openings"]
    return said + (f"; held out, opened {'once' if openings == 1 else f'{openings:,} times'}" if openings else "")


def tried_of(summary: Summary) -> str:
    verdict = summary.whole.verdict or {}
    return tried(summary.trials, verdict.get("lower95"))


def told_colour(summary: Summary) -> str:
    """The verdict's, which colours a PnL, unless the worst assumption contradicts one above 0."""
    numbers = summary.whole
    kind, rows = colour(numbers.verdict, numbers.undone_by), assumed_rows(summary)
    rows += list((given(summary.bounds) or {}).values())
    denied = any((quoting_of(row) or 0) <= 0 or row.get("verdict", ABOVE) not in (None, ABOVE) for row in rows)
    return "" if denied and kind != LOSS else kind


def is_decided(summary: Summary) -> bool:
    """Whether parts of the PnL have colours, too."""
    return told_colour(summary) in (GAIN, LOSS)


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
