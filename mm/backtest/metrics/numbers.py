"""Every number of ``summary.json``: its unit, its meaning, and why it can be undefined."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

QUOTE, BASE, UNIT, SHARE, RATIO, SECONDS = "quote", "base", "quote per base", "share", "ratio", "s"
COUNT, TICKS, RATE, GAMMA = "count", "ticks", "1/s", "1/(tick·clip)"

_NEVER_VALID = "the book was never valid"
_NO_VARIATION = "fewer than two 60 s periods with a market, or all equal"
_FEW_FILLS = "such fills in fewer than five effective blocks, or fewer than 20 of them"
_NO_FILL_LATER = "no fill with a valid mid that long after it"
_NO_TIME = "no time passed with a market"
_NOT_KNOWING = "or fills that do not know the next move"
_NOTHING_RESTED = "no order rested on a valid book"
_FEW_BLOCKS = "fewer than two blocks of five minutes with fills or time at rest"
_NO_ENDS = f"no fill was predicted, or {_FEW_BLOCKS}"
_NOT_SENT = "no fills of an order that was sent in this run"
_TIMES = "`n`, `mean`, `p50`, `p99`, `p999`, `max`, `histogram` (upper edge, count)"


@dataclass(frozen=True, slots=True)
class SummaryNumber:
    """A number of a summary, or several that belong together.

    Attributes:
        meaning: Markdown; empty if the key says it.
        group: Its heading on the page and in a tear sheet; empty if it is not shown there.
        line: Its name in the terminal; empty if it is not printed.
        compared: Values in a tear sheet, for an asterisk: ``*``, ``*.rms``.
    """

    key: str
    unit: str = ""
    meaning: str = ""
    null: str = ""
    group: str = ""
    line: str = ""
    digits: int = 4
    compared: tuple[str, ...] = ()


_ITSELF = ("*",)
PROFIT, RISK = "Profit", "Risk"
NUMBERS = (
    SummaryNumber(
        "pnl_quoting",
        QUOTE,
        "what the quotes earned: `pnl_spread_capture + pnl_inventory − fees`",
        _NEVER_VALID,
        PROFIT,
        "PnL of quoting",
        compared=_ITSELF,
    ),
    SummaryNumber(
        "pnl_spread_capture", QUOTE, "Σ s·q·(m − p)", _NEVER_VALID, PROFIT, "  spread capture", compared=_ITSELF
    ),
    SummaryNumber(
        "pnl_inventory",
        QUOTE,
        "Σ (q − q*)·Δm, less funding on q − q*",
        _NEVER_VALID,
        PROFIT,
        "  inventory",
        compared=_ITSELF,
    ),
    SummaryNumber(
        "funding",
        QUOTE,
        "of a perpetual: what was paid on the position; part of the PnL of inventory and hold",
        "a payment on a position was due for which the day has neither rate nor mark price",
        line="    with funding",
    ),
    SummaryNumber(
        "fees", QUOTE, "commissions paid, rebates negative", _NEVER_VALID, PROFIT, "  fees", compared=_ITSELF
    ),
    SummaryNumber(
        "pnl_hold",
        QUOTE,
        "what holding q* earned by itself: Σ q*·Δm (less funding on q*)",
        _NEVER_VALID,
        PROFIT,
        "hold",
        compared=_ITSELF,
    ),
    SummaryNumber(
        "pnl_total", QUOTE, "`pnl_quoting + pnl_hold`, exactly", _NEVER_VALID, PROFIT, "account", compared=_ITSELF
    ),
    SummaryNumber(
        "pnl_realised",
        QUOTE,
        "before fees, first in, first out; with `pnl_unrealised` less fees it is `pnl_quoting`",
        _NEVER_VALID,
        PROFIT,
    ),
    SummaryNumber("pnl_unrealised", QUOTE, "the rest of it, at the last mark", _NEVER_VALID, PROFIT),
    SummaryNumber("initial_equity", QUOTE, "at the first state row", _NEVER_VALID, PROFIT),
    SummaryNumber(
        "account",
        QUOTE,
        "the whole account: `equity_start`, `equity_end`, `max_drawdown` and its share, duration",
        f"{_NEVER_VALID}, or the equity began at 0 or below",
        "The whole account, with the inventory held",
    ),
    SummaryNumber(
        "own_market",
        QUOTE,
        "with [other markets](write_a_strategy.md#another-market-and-a-hedge): PnL, verdict, drawdown and ratios of "
        "the own market alone; those keys of the summary are then of all legs together (the exact sum), all others of "
        "the own market. `null` where quote assets differ: then nothing is of all legs",
        compared=("*.pnl_quoting", "*.pnl_total", "*.max_drawdown"),
    ),
    SummaryNumber("others", "", "what was seen of other markets"),
    SummaryNumber("legs", "", "the numbers of our orders in each other market"),
    SummaryNumber("daily", QUOTE, "per day: quoting PnL, fills, equity; they add up"),
    SummaryNumber("volume", "", "traded, in `base` and `quote`", group="Volume", compared=("*.quote",)),
    SummaryNumber(
        "inventory_turnover",
        RATIO,
        "traded quantity over the mean distance from the target",
        "the inventory never left its target, or no time passed with a market",
        "Volume",
    ),
    SummaryNumber(
        "break_even_fee_rate",
        SHARE,
        "the maker fee at which `pnl_quoting` is zero; at 1, 5, 30, 60 s the fee that equals the realised half-spread",
        "no fills, or none with a valid mid that long after it",
        "Break-even fee rate",
    ),
    SummaryNumber(
        "round_trips",
        QUOTE,
        "`n`, `win_rate`, `mean`, `median`, `best`, `worst`, `holding_s`; a trip ends with each fill that closes lots",
        "no quantity was bought and sold again",
        "Round trips",
        compared=("*.n", "*.win_rate", "*.mean"),
    ),
    SummaryNumber(
        "effective_half_spread",
        UNIT,
        "mean of s·(m − p), weighted by quantity, like the two below",
        "no fills with a valid mid",
        compared=_ITSELF,
    ),
    SummaryNumber("adverse_selection", UNIT, "mean of s·(m_h − m) at 0, 1, 5, 30, 60 s", _NO_FILL_LATER),
    SummaryNumber("realised_half_spread", UNIT, "their sum", _NO_FILL_LATER, compared=("*.60",)),
    SummaryNumber("adverse_selection_se", UNIT, "its error by blocks", _FEW_FILLS),
    SummaryNumber("realised_half_spread_se", UNIT, "its error by blocks", _FEW_FILLS),
    SummaryNumber("adverse_selection_ci95", UNIT, "its 95 % interval", _FEW_FILLS),
    SummaryNumber("realised_half_spread_ci95", UNIT, "its 95 % interval", _FEW_FILLS),
    SummaryNumber("effective_half_spread_ci95", UNIT, "its 95 % interval", _FEW_FILLS),
    SummaryNumber("adverse_selection_left_out", COUNT, "fills whose horizon ends after the data or a gap"),
    SummaryNumber(
        "markouts",
        UNIT,
        "the same by side, by adding or unwinding, and by distance; with `se`, `ci95`, `n_effective_blocks`",
        _FEW_FILLS,
    ),
    SummaryNumber("quote_qty", BASE, "the clip", line="quote"),
    SummaryNumber("n_orders", COUNT, "orders sent", line="orders", compared=_ITSELF),
    SummaryNumber(
        "n_rejects", COUNT, "refused by the exchange; `rejects` by reason", line="rejected", compared=_ITSELF
    ),
    SummaryNumber("n_skips", COUNT, "wanted and not sent; `skips` by reason"),
    SummaryNumber("n_fills", COUNT, "fills", line="fills", compared=_ITSELF),
    SummaryNumber("n_partial", COUNT, "orders with a fill smaller than themselves"),
    SummaryNumber(
        "predicted_fills",
        COUNT,
        "the run's intensity integrated over its orders; `observed_fills` beside it",
        "no intensity predicts fills",
        line="fills expected",
        digits=1,
    ),
    SummaryNumber(
        "fills_ratio",
        RATIO,
        "fills over predicted fills, with an interval for clustered fills; of a schedule, and of a fit of three days "
        "or more, it is predictive (errors by blocks, the variance between days), else `given` says given what",
        "no intensity predicts fills from the mid, or a fifth of the order time was outside the fit",
    ),
    SummaryNumber("fills_ratio.given", null="the interval is predictive, or there is no ratio"),
    SummaryNumber("fills_ratio.low", null=_FEW_BLOCKS),
    SummaryNumber("fills_ratio.high", null=_FEW_BLOCKS),
    SummaryNumber("fill_ratio", SHARE, "filled over placed quantity", "nothing was placed", compared=_ITSELF),
    SummaryNumber("hit_rate", SHARE, "orders with a fill", "nothing was placed", compared=_ITSELF),
    SummaryNumber("quote_to_trade", RATIO, "orders and cancels per fill", "no fills"),
    SummaryNumber(
        "fills_by_distance",
        "",
        "by distance from the mid (`from_ticks` to `to_ticks`): seconds, fills, rate, predicted, ratio, `pit` (Poisson "
        "probability of fewer fills, uniform for a correct model)",
        "no fill was predicted",
    ),
    SummaryNumber("fills_by_hour", "", "the same by hour", "no fill was predicted"),
    *(
        SummaryNumber(f"{rows}.{name}_{end}", null=why)
        for rows in ("fills_by_distance", "fills_by_hour")
        for name, why in (("rate", _FEW_BLOCKS), ("ratio", _NO_ENDS))
        for end in ("low", "high")
    ),
    SummaryNumber(
        "inventory",
        BASE,
        "`mean`, `abs_mean`, `rms` by time, `max`, `half_life_s` (autocorrelation below ½ on a 1 s grid)",
        _NO_TIME,
        "Inventory",
        "inventory",
    ),
    SummaryNumber("inventory.half_life_s", null="the inventory was the same at every second"),
    SummaryNumber(
        "inventory_from_target", BASE, "the same from `target_inventory`", _NO_TIME, compared=("*.rms", "*.max")
    ),
    SummaryNumber(
        "inventory_at_bound",
        SHARE,
        "of the time at the model's bound",
        "the quote model has no bound of the inventory, or no time passed with a market",
    ),
    SummaryNumber(
        "two_sided_uptime",
        SHARE,
        "of the covered time with orders at rest on both sides",
        "there was no time with a market",
        line="two-sided uptime",
        digits=3,
        compared=_ITSELF,
    ),
    SummaryNumber("seconds_covered", SECONDS, "the length of the `spans`", line="seconds", digits=0, compared=_ITSELF),
    SummaryNumber("seconds_excluded", SECONDS, "the rest"),
    SummaryNumber(
        "fifo_consistency",
        "",
        "under `queue_orders`, the share of executed lots whose order was the first of its queue: 1 in a plain FIFO",
        line="first in queue",
    ),
    SummaryNumber("excluded", "", "the spans of the days that a fault of the data takes out, each with its cause"),
    SummaryNumber(
        "spans",
        "µs",
        "begin and end of each stretch with a market: the book valid, the market open, a walk-forward's first segment "
        "begun, no trades missing, no book that trades print through, in a trade the exchange reached",
    ),
    SummaryNumber("quoted_half_spread", UNIT, "`p10`, `p50`, `p90` of the distance over time at rest", _NOTHING_RESTED),
    SummaryNumber("quoted_half_spread_ticks", TICKS, "the same", _NOTHING_RESTED),
    SummaryNumber("quote_lifetime_s", SECONDS, _TIMES, "no order rested and ended"),
    SummaryNumber("order_to_ack_s", SECONDS, "the same, from sending to the answer", "no order arrived"),
    SummaryNumber("live_to_fill_s", SECONDS, "the same, from resting to a fill", _NOT_SENT),
    SummaryNumber("order_to_fill_s", SECONDS, "the same, from sending to a fill", _NOT_SENT),
    SummaryNumber(
        "feed",
        "",
        "how far the exchange was ahead of us: `kind` (`recorded`, `constant`, `none`), `why`, `median_ms`; of a "
        "recorded one `p99_ms` and `clock_offset_ms` ([engine](engine.md#feed-latency))",
        line="feed",
    ),
    SummaryNumber("feed.median_ms", null="a trade does not measure it; mm latency does"),
    SummaryNumber(
        "liquidated_at",
        "",
        "of a contract whose position was liquidated: when (UTC); PnL and time end there, and nothing is concluded",
    ),
    SummaryNumber(
        "margin",
        "",
        "of a contract's account: `leverage`, `margin_type`, where `brackets` and `mark` are from; at the mark prices "
        "the largest margins of the position, `initial_max` and `maintenance_max` (quote), `ratio_max` (maintenance "
        "margin over margin balance, a ratio: 1 liquidates) and `leverage_max` (notional over that balance, a ratio), "
        "of cross positions the account's; `clearance_fee` of liquidations (quote), `liquidated_in_part`: how many of "
        "them left a part of the position",
        line="margin",
    ),
    SummaryNumber("margin.ratio_max", null="the margin balance was 0 or below at a mark price"),
    SummaryNumber("margin.leverage_max", null="the margin balance was 0 or below at a mark price"),
    SummaryNumber("risk", "", "with limits: `breaches` by knob, `killed`", line="risk"),
    SummaryNumber("risk.killed", null="nothing ended all trading"),
    SummaryNumber(
        "strategy",
        "",
        "the quote model with its steps and parameters in effect (`fit`, `tape`, `touch`, `auto` say where they come "
        "from)",
    ),
    SummaryNumber(
        "gamma", GAMMA, "risk aversion, median where it varies", "the quote model has no gamma, or quoted nothing"
    ),
    SummaryNumber("quotes_from", "", "`curve` where a misfit is replaced"),
    SummaryNumber(
        "fit",
        "",
        "path, day, `in_sample`, `status`, A, k, shape of the fit",
        "no fit or schedule was given, or it does not state it",
    ),
    SummaryNumber(
        "fit.adverse_ticks",
        null="the quote model has no such parameter, it was set, or the fit has no moves after fills",
    ),
    SummaryNumber("fit.measured_under", null="the fit counts trades, not the fills of a fill model (CALIB_FILLS)"),
    SummaryNumber(
        "fit.measured_under.differs",
        null="the run uses the fill model and quantity of the fit, or draws fills from it",
    ),
    SummaryNumber("reference", "", "the price of distances"),
    SummaryNumber("reference_why", "", "why that one", "the fit does not state it"),
    SummaryNumber("fill_bias", "", "the fill model's known bias", "the fill model declares none"),
    SummaryNumber(
        "share_outside_fit",
        SHARE,
        "order time outside the fitted distances",
        "no fit states its range of distances",
    ),
    SummaryNumber(
        "knows_next_move",
        "",
        "whether the fill model's fills come with the moves that cause them: not `poisson`, `hawkes`, `predicted`, a "
        "`hybrid` with one, or a class with `knows_next_move = False`. Without, no verdict, interval, probability, "
        "bound, rank by bound or deflated Sharpe ratio is given anywhere",
    ),
    SummaryNumber(
        "verdict",
        QUOTE,
        "the expected sum of X over the periods `above 0`, `below 0`, `undecided` (`lower95`, `upper95`: long-run "
        "error, Student's t), `too short to test` under 20 periods; none without `knows_next_move`. It is of these "
        "days, on which all intervals of the trials on record hold at once; an undecided one has `days_to_decide`, how "
        "many days like these would decide it",
        f"the same quoting PnL in every period, too few of them, {_NOT_KNOWING}",
    ),
    SummaryNumber("verdict.days_to_decide", null="the verdict is not undecided"),
    SummaryNumber(
        "undone_by",
        QUOTE,
        "what would undo a verdict above 0 from fewer than 20 losing periods: one `loss` (the sum of X), "
        "`times_the_largest` seen, and `once_in_s`, the least rate of it that the covered time excludes at 95 %",
        "the verdict is not above 0, or from 20 losing periods or more",
    ),
    SummaryNumber("undone_by.times_the_largest", null="no period lost anything"),
    SummaryNumber("undone_by_alone", null="the verdict alone is not above 0, or from 20 losing periods or more"),
    SummaryNumber("undone_by_alone.times_the_largest", null="no period lost anything"),
    SummaryNumber("verdict_alone.days_to_decide", null="the verdict alone is not undecided"),
    SummaryNumber(
        "verdict_alone",
        QUOTE,
        "the same as if nothing else had been tried",
        f"the same quoting PnL in every period, too few of them, {_NOT_KNOWING}",
    ),
    SummaryNumber(
        "trials",
        "",
        "[what was tried](#trials-on-record): `known` below `OUT_ROOT`, designs `on_these_days` with this one, as many "
        "`independent` ones as these are worth, `this_is_new`, `held_out_openings` of these days",
    ),
    SummaryNumber(
        "sharpe",
        "annual",
        "60 s periods, ddof 1, × √`returns.periods_per_year`",
        _NO_VARIATION,
        RISK,
        compared=_ITSELF,
    ),
    SummaryNumber("sharpe_autocorr", "annual", "with autocorrelation (Lo 2002)", _NO_VARIATION, RISK),
    SummaryNumber(
        "sharpe_ci95",
        "annual",
        "by block bootstrap; `sharpe_bootstrap` has its terms",
        f"fewer than 20 periods of 60 s, too rare changes, {_NOT_KNOWING}",
    ),
    SummaryNumber(
        "sortino",
        "annual",
        "over losses alone",
        "fewer than two 60 s periods with a market, or none with a loss",
        RISK,
    ),
    SummaryNumber("calmar", "annual", "annualised PnL over `max_drawdown`", "no drawdown", RISK),
    SummaryNumber("sharpe_daily", "annual", "over days, × √(days a year)", "fewer than two days, or all equal"),
    SummaryNumber(
        "returns",
        QUOTE,
        "moments of the periods, `autocorr_inflation` (long-run over independent variance), `pnl_left_out` (PnL in no "
        "period), `drift_half_life_s` of the mean (0 without a drift; noted where the run has under 60 of them)",
        _NO_VARIATION,
        "Changes of PnL, by period",
    ),
    SummaryNumber(
        "psr",
        SHARE,
        "1 − p of the one-sided test that the mean of X is not above 0, with the verdict's error",
        f"fewer than 20 periods of 60 s in which anything was earned or lost, or all equal, {_NOT_KNOWING}",
    ),
    SummaryNumber(
        "psr_alone",
        SHARE,
        "the same as if nothing else had been tried; `psr` is its power by the independent trials",
        f"fewer than 20 periods of 60 s with a market, or all equal, {_NOT_KNOWING}",
    ),
    SummaryNumber("max_drawdown", QUOTE, "of X", _NEVER_VALID, RISK, compared=_ITSELF),
    SummaryNumber("drawdown_duration_s", SECONDS, "the longest, from a peak to its recovery", _NEVER_VALID, RISK),
    SummaryNumber(
        "under_water", "", "the drawdowns of X", "the book was never valid, or no time passed with one", "Under water"
    ),
    SummaryNumber("sensitivity", QUOTE, "see below", "the same as in the run's own numbers, under that assumption"),
)
NULLS: Mapping[str, str] = {number.key: number.null for number in NUMBERS if number.null}
COMPARED = tuple(name.replace("*", number.key) for number in NUMBERS for name in number.compared)


# Units of members that are not in the unit of their key; a member that ends with _s is in seconds.
_MEMBER_UNITS = {
    "account.max_drawdown_share": SHARE,
    "volume.base": BASE,
    "volume.quote": QUOTE,
    "round_trips.n": COUNT,
    "round_trips.win_rate": SHARE,
    "returns.periods": COUNT,
    "returns.periods_per_year": COUNT,
    "returns.gained": SHARE,
    "returns.lost": SHARE,
    "returns.skew": RATIO,
    "returns.kurtosis": RATIO,
    "returns.sharpe_per_period": RATIO,
    "returns.autocorr_inflation": RATIO,
    "under_water.s": SECONDS,
    "under_water.share": SHARE,
}
_BY_KEY = {number.key: number for number in NUMBERS}


def unit_of(key: str, member: str = "") -> str:
    if member.endswith("_s"):
        return SECONDS
    return _MEMBER_UNITS.get(f"{key}.{member}", _BY_KEY[key].unit)


def groups() -> Iterator[tuple[str, list[str]]]:
    for heading in dict.fromkeys(number.group for number in NUMBERS if number.group):
        yield heading, [number.key for number in NUMBERS if number.group == heading]


def table() -> Iterator[str]:
    yield "| key | unit | meaning | `null` if |"
    yield "|---|---|---|---|"
    for number in NUMBERS:
        if number.meaning:
            yield f"| `{number.key}` | {number.unit} | {number.meaning} | {number.null} |"


def value_at(summary: Mapping[str, Any], name: str) -> Any:
    value: Any = summary
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
