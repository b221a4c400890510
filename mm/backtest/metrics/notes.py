"""Notes of a summary: assumptions of the run, rejected orders, range and quality of the fit, missing numbers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.journal import ACTIONS, REJECT_REASONS, TAKEN
from mm.backtest.margin_terms import DOCUMENTED
from mm.backtest.metrics.order_lives import MOST_OUTSIDE
from mm.backtest.metrics.verdict import undone_words
from mm.backtest.run_terms import (
    DAYS_NOT_PLAYED,
    FEE_RATE,
    IMPLAUSIBLE_FEE,
    SPOT_FEES,
    UNEARNED_FEE,
    break_even_ticks,
    fraction_of,
)
from mm.base.arrays import Floats, Ints
from mm.base.numbers import duration, number, signed, with_plain_minus
from mm.clock import iso, missing_days
from mm.instrument import E8, short_text
from mm.trials.own_content import UNDONE

if TYPE_CHECKING:
    from mm.backtest.journal import Journal, Lives
    from mm.backtest.run_terms import RunTerms


SHARES = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
NEAR_LIQUIDATION = 0.5  # maintenance margin over margin balance, from which what is assumed of a margin is noted
LITTLE_UPTIME = 0.9  # share of the covered time with orders on both sides, below which a note is added
LITTLE_AT_BOUND = 0.05  # share of the covered time at the inventory bound, from which that note names it
MOST_CAUSES = 3  # number of reasons listed for quotes that were not sent; rarer ones explain little
OTHER_LEVEL = 1.2  # ratio of fills to predicted fills (or its inverse) above which a significant difference is noted
DRIFT_HALF_LIVES = 60  # of covered time, below which a drift of the mean PnL is noted
UNKNOWN_S = 30  # of a valid book until the volatility is estimated: `FEWEST` of _volatility.pxd
_NO_MARKET_S = 0.1  # shorter than an order takes to rest
_TOO_SHORT = f": one that follows the volatility waits for {UNKNOWN_S} s of a valid book, longer than this run"
MANY_REJECTS = 0.01  # share of the orders; a note is added above it
MARGIN_REJECTS = ("insufficient_margin", "above_bracket")
FEW_ENDED = 10  # fills and rejections, below which they explain no uptime
_NO_QUOTE = np.iinfo(np.int64).max
MANY_CROSSING = 0.05  # share of the orders; above it the note says why
NO_REFERENCE = "the fit measures distances from {!r}, whose path this kind of run does not record"
UPPER = ": an upper bound of the PnL"  # end of a fill model's bias
FROM_THE_MID = "quotes and fills of this run measure distances from the mid"
# Reasons for which an order was not sent or was rejected, with the remedy.
WAYS: Mapping[str, str] = {
    "would_cross": "each would have crossed the book when it arrived; quote further from it, or with less latency",
    "insufficient_cash": "there is not enough cash for one; raise INITIAL_CASH, or lower QUOTE_QTY or MIN_NOTIONAL",
    "insufficient_inventory": "there is not enough to sell; raise INITIAL_INVENTORY, or lower QUOTE_QTY",
    "min_notional": "price times quantity is below MIN_NOTIONAL; raise QUOTE_QTY to reach it, or lower MIN_NOTIONAL; "
    "submit takes a price in ticks (price / tick size) and a quantity in lots, or by qty= in the base asset",
    "book_invalid": "the book was not valid when quotes were due; see mm data coverage",
    "price_not_positive": "the quote model returns prices of 0 or less",
    "quantity_below_step": "the quantity is below one step of the exchange; raise QUOTE_QTY, or lower QTY_STEP; "
    "lots of submit are such steps, and qty= is in the base asset",
    "quantity_out_of_range": "the exchange does not accept this quantity (LOT_SIZE, QTY_STEP); set another QUOTE_QTY",
    "max_notional": "price times quantity is above the maximum notional of instrument.json; lower QUOTE_QTY",
    "price_out_of_band": "the exchange does not accept this price (filters of instrument.json); quote nearer the mid",
    "price_rejected": "the price was just rejected and the touch has not moved since; quote further from it",
    "order_limit_10s": "the exchange accepts no more orders in 10 s; raise REQUOTE_INTERVAL_MS or ORDER_LIMIT_10S",
    "order_limit_day": "the exchange accepts no more orders this day; raise REQUOTE_INTERVAL_MS or ORDER_LIMIT_DAY",
    "insufficient_margin": "the margin does not cover one (−2019); raise INITIAL_CASH or LEVERAGE, or lower QUOTE_QTY",
    "above_bracket": "the position would be above the bracket of its leverage (−2027); lower LEVERAGE or QUOTE_QTY",
    "reduce_only": "the exchange took only orders that reduce the position, which was above the bracket of its "
    "leverage, or the account broke a trading rule (−4400); lower LEVERAGE or MAX_POSITION, or quote less often",
    "exchange_refused": "see the reject rows of the audit log (−2022: the order to replace had just filled)",
    "max_daily_loss": "the day's loss ended all trading; raise MAX_DAILY_LOSS",
    "max_drawdown": "the drawdown ended all trading; raise MAX_DRAWDOWN",
    "killed": "all trading was ended from outside",
    "max_move": "the mid moved too fast, and quotes were pulled; raise MAX_MOVE",
    "feed_stale_s": "no market message arrived, or late ones, and quotes were pulled; raise FEED_STALE_S",
    "latency_threshold_ms": "orders were accepted too late, and quotes were pulled; raise LATENCY_THRESHOLD_MS",
    "pulled": "quotes were pulled from outside",
    "max_position": "the position could have grown beyond its limit; raise MAX_POSITION, or lower QUOTE_QTY",
    "max_leverage": "position over equity could have grown beyond its limit; raise MAX_LEVERAGE, or lower QUOTE_QTY",
    "max_open_orders": "too many orders of the side were open; raise MAX_OPEN_ORDERS",
    "max_order_notional": "price times quantity is over the limit; raise MAX_ORDER_NOTIONAL, or lower QUOTE_QTY",
    "price_band": "the price was too far from the mid; raise PRICE_BAND, or quote nearer to it",
    "account_max_notional": "the notional of all symbols could have grown beyond its limit; raise ACCOUNT_MAX_NOTIONAL",
    "account_max_open_orders": "too many orders of all symbols were open; raise ACCOUNT_MAX_OPEN_ORDERS",
    "max_orders_per_s": "too many orders were sent within a second; raise MAX_ORDERS_PER_S or REQUOTE_INTERVAL_MS",
}
TOO_LITTLE = 0.95  # share of the executed lots of a log that were first in their queue (`RunTerms.fifo_consistency`)
MOST_UNTRADED = 0.5  # share of a run in long spans without trades (`RunTerms.untraded`), above which there is a note
NULL = "null: "  # prefix of warnings that only explain nulls
NOT_FINITE = "it would not be a finite number"


def refused(counts: Ints) -> dict[str, Any]:
    """Rejected and unsent orders, in total and by reason, the most frequent first; *counts* are by action and
    reason.
    """
    counted: dict[str, Any] = {}
    for name, action in (("rejects", "REJECT"), ("skips", "SKIP")):
        count = counts[ACTIONS.index(action), : len(REJECT_REASONS)].tolist()
        ordered = sorted(zip(count, REJECT_REASONS, strict=True), key=lambda pair: -pair[0])
        counted |= {f"n_{name}": sum(count), name: {reason: rows for rows, reason in ordered if rows}}
    return counted


def quoted(ticks: Mapping[str, float | None], tick_e8: int) -> dict[str, float | None]:
    return {name: None if value is None else value * tick_e8 / E8 for name, value in ticks.items()}


def basis(terms: "RunTerms") -> dict[str, Any]:
    fit = terms.fit
    reference = "mid" if terms.intensity is None else terms.intensity.reference
    return {
        "reference": reference,
        "reference_why": (fit or {}).get("reference_why") or (FROM_THE_MID if reference == "mid" else None),
        "fit": None if fit is None else {name: value for name, value in fit.items() if name != "reference_why"},
        "fill_bias": terms.fill_bias.removesuffix(UPPER) if terms.fill_bias and terms.outearned else terms.fill_bias,
        **({"strategy": dict(terms.strategy)} if terms.strategy else {}),
        **({"predictors": [dict(predictor) for predictor in terms.predictors]} if terms.predictors else {}),
        **({"agent_days": list(terms.agent_days)} if terms.agent_days else {}),
        **_gamma(terms.gammas),
        "target_inventory": terms.target_lots * terms.instrument.lot_e8 / E8,
    }


def _gamma(gammas: Floats | None) -> dict[str, Any]:
    if gammas is None:
        return {"gamma": None}
    values, counts = gammas[np.argsort(gammas[:, 0])].T
    upto = np.cumsum(counts)
    quantiles = {name: float(values[np.searchsorted(upto, share * upto[-1])]) for name, share in SHARES.items()}
    return {"gamma": quantiles["p50"]} | ({"gamma_quantiles": quantiles} if len(set(quantiles.values())) > 1 else {})


def notes(counts: Ints, summary: Mapping[str, Any], *, reached: bool) -> list[str]:
    texts = [reason] if (reason := why_no_orders(counts, reached=reached)) else []
    if summary["n_rejects"] > MANY_REJECTS * summary["n_orders"]:
        share = f"{100 * summary['n_rejects'] / summary['n_orders']:.1f} %" if summary["n_orders"] else "more than all"
        texts.append(
            f"{summary['n_rejects']:,} of {summary['n_orders']:,} orders ({share}) were rejected: "
            f"{by_reason(summary['rejects'])}{_why_crossing(summary)}"
            + "".join(f"; {name}: {WAYS[name]}" for name in MARGIN_REJECTS if name in summary["rejects"])
        )
    if not summary["n_fills"] and not texts[:1]:
        texts.append(_nothing_filled(summary))
    if not reason:
        texts += one_sided(summary)
    texts += _of_the_days(summary)
    return [*texts, *_of_the_fit(summary), *_of_predictors(summary.get("predictors", ()))]


def data_notes(summary: Mapping[str, Any]) -> list[str]:
    predictors = _of_predictors(summary.get("predictors", ()))
    return [*_of_the_days(summary), *_in_sample(summary["fit"] or {}), *predictors]


def _of_the_days(summary: Mapping[str, Any]) -> list[str]:
    texts = [note for leg in summary.get("others", {}).values() for note in leg["notes"]]
    if days := summary.get("agent_days"):
        texts.append(
            f"agent_in_sample: the agent was trained on {', '.join(days)}, which this run plays: the PnL is in-sample; "
            f"play days that it was not trained on"
        )
    if between := missing_days(summary["days"]):
        texts.append(
            f"{DAYS_NOT_PLAYED}: the run leaves out {between} between its days: inventory, cash and open orders carry "
            f"over, and the inventory PnL has the move of the mid meanwhile; run the parts separately, or add the days"
        )
    return texts


def one_sided(summary: Mapping[str, Any]) -> list[str]:
    uptime, skips = summary["two_sided_uptime"], summary["skips"]
    if uptime is None or uptime >= LITTLE_UPTIME:
        return []
    head = f"orders rested on both sides in {100 * uptime:.0f} % of the time"
    if (bound := summary.get("inventory_at_bound") or 0) >= LITTLE_AT_BOUND:
        head += f", and the inventory was at the bound of the quotes, where one side is empty, in {100 * bound:.0f} %"
    if not skips:
        ended, rested = summary["n_fills"] + summary["n_rejects"], summary["quoted_half_spread"]["p50"] is not None
        if not rested or ended < max(MANY_CROSSING * summary["n_orders"], FEW_ENDED):
            return [head] if bound >= LITTLE_AT_BOUND else []  # else the strategy itself takes, or quotes one side
        return [
            f"{head}: each of {ended:,} fills and rejections left a side empty until the next order arrived, and each "
            f"moved quote until its replacement did; else the model wanted no quote there"
        ]
    causes = "; ".join(f"{reason} {count:,} ({WAYS[reason]})" for reason, count in list(skips.items())[:MOST_CAUSES])
    return [f"{head}; not sent: {causes}"]


def swapped_quotes(sent: "Lives") -> list[str]:
    """Name bids that were sent at or above the asks of the same instant."""
    us, at = np.unique(sent.sent_us, return_inverse=True)
    bid, ask = np.full(len(us), -_NO_QUOTE), np.full(len(us), _NO_QUOTE)
    np.maximum.at(bid, at[sent.side > 0], sent.ticks[sent.side > 0])
    np.minimum.at(ask, at[sent.side < 0], sent.ticks[sent.side < 0])
    both = (bid > -_NO_QUOTE) & (ask < _NO_QUOTE)
    swapped = int((both & (bid >= ask)).sum())
    if swapped <= MANY_CROSSING * int(both.sum()):
        return []
    return [
        f"your bid is at or above your ask at {swapped:,} of {int(both.sum()):,} instants with both: check which is "
        f"which, as in Quotes(bid_ticks, ask_ticks), and that no skew is larger than the spread"
    ]


def _why_crossing(summary: Mapping[str, Any]) -> str:
    if summary["rejects"].get("would_cross", 0) <= MANY_CROSSING * summary["n_orders"]:
        return ""
    half = summary["quoted_half_spread_ticks"]["p50"]
    where = "" if half is None else f" {number(half)} ticks from the mid"
    return (
        f" (its quotes{where} are nearer than the market moves until an order arrives, above all after a fill, whose "
        f"book is not known yet; quote behind the market as the default strategy does, or with less latency)"
    )


def of_verdict(numbers: Mapping[str, Any]) -> list[str]:
    if "undone_by" not in numbers:  # of a sweep's point
        return []
    undone, half_life_s = numbers["undone_by"], numbers["returns"]["drift_half_life_s"]
    lines = [] if undone is None else [f"{UNDONE}{undone_words(undone)}"]
    covered_s = numbers["returns"]["periods"] * numbers["returns"]["period_s"]
    if numbers["verdict"] and half_life_s and covered_s < DRIFT_HALF_LIVES * half_life_s:
        lines.append(
            f"the mean PnL drifts, with a half-life of {duration(half_life_s)} in {duration(covered_s)}: its interval "
            f"needs {DRIFT_HALF_LIVES} half-lives, and is too narrow here; play more days"
        )
    return lines + left_out(numbers)


def left_out(summary: Mapping[str, Any]) -> list[str]:
    verdict, lost = summary["verdict_alone"] or {}, summary["returns"]["pnl_left_out"]
    if verdict.get("lower95") is None or 2 * abs(lost) <= verdict["upper95"] - verdict["lower95"]:
        return []
    fell = with_plain_minus(signed(lost))
    return [
        f"{fell} of the PnL fell outside the whole minutes with a market: in moves over a night or an outage, "
        f"or in the last part of a span; verdict and ratios are without it"
    ]


def no_plain_queue(terms: "RunTerms") -> list[str]:
    share = terms.fifo_consistency
    if share is None or share >= TOO_LITTLE:
        return []
    return [
        f"only {100 * share:.1f} % of the executed lots belonged to the first order of their queue: the market is no "
        f"plain FIFO (pro rata, leading market makers), or its executions carry another price than their orders; "
        f'compare the readings (FILL_PARAMS_JSON=\'{{"reading": "order"}}\')'
    ]


def without_trades(terms: "RunTerms") -> list[str]:
    if terms.untraded is None or terms.untraded <= MOST_UNTRADED:
        return []
    when = "all" if terms.untraded == 1 else f"{100 * terms.untraded:.0f} %"
    return [
        f"no trade in {when} of the time: fills there come only from the book moving through an order, the most "
        f"costly ones, and PnL, fill ratio and win rate are not what a market with trades gives; check that the "
        f"capture has its trade stream"
    ]


def unearned_fee(journal: "Journal", terms: "RunTerms", summary: Mapping[str, Any]) -> list[str]:
    if (short := short_of_fee(journal, terms, summary["quoted_half_spread_ticks"]["p50"])) is None:
        return []
    half, fee = short
    if half <= 0:  # orders that cross are no quotes
        return []
    return [
        f"{UNEARNED_FEE}: the median quoted half-spread is {half:,g} ticks, and the maker fee {fee:,.4g} ticks: the "
        f"quotes cannot earn it; set MAKER_FEE_RATE to your account's rate, or quote wider"
    ]


def short_of_fee(journal: "Journal", terms: "RunTerms", half: float | None) -> tuple[float, float] | None:
    """Half-spread and maker fee in ticks, if the half-spread is smaller."""
    mids = journal.mids.mid2
    if half is None or not (mids > 0).any():
        return None
    grid, mid = terms.instrument, float(np.median(mids[mids > 0])) / 2
    fee = break_even_ticks(terms.maker_fees_e8, mid, grid.tick_e8, grid.multiplier)
    return (half, fee) if half < fee else None


def fee_above_capture(summary: Mapping[str, Any]) -> list[str]:
    fees, captured = summary["fees"], summary["pnl_spread_capture"]
    if fees is None or captured is None or not summary["n_fills"] or fees <= max(captured, 0.0):
        return []
    if captured <= 0:
        return [
            f"{UNEARNED_FEE}: the fills paid {number(-captured)} of spread and {number(fees)} of fees: orders that "
            f"cross pay both; cross less often, or let them rest"
        ]
    return [
        f"{UNEARNED_FEE}: the fees are more than the spread that the fills captured; set MAKER_FEE_RATE to your "
        f"account's rate, or quote wider"
    ]


def implausible_fees(terms: "RunTerms") -> list[str]:
    texts = []
    for knob, rate_e8 in terms.implausible_fees.items():
        share = f"{'a rebate of ' if rate_e8 < 0 else ''}{short_text(100 * abs(rate_e8))} %"
        texts.append(
            f"{IMPLAUSIBLE_FEE}: {knob} is {short_text(rate_e8)}, {share} of the notional; {fraction_of(knob, rate_e8)}"
        )
    return texts


def filters_not_applied(terms: "RunTerms") -> list[str]:
    names = terms.instrument.filters.not_applied
    return (
        [f"filters of instrument.json that are not applied: {names}; the exchange may reject orders by them"]
        if names
        else []
    )


def paid_as_on_spot(journal: "Journal", terms: "RunTerms") -> list[str]:
    reasons = journal.fill_reasons
    took = journal.fills.reason == (reasons.index(TAKEN) if TAKEN in reasons else -1)
    filled = {"MAKER_FEE_RATE": not took.all(), "TAKER_FEE_RATE": took.any()}
    if not (knobs := [knob for knob in terms.spot_fees if filled[knob]]):
        return []
    return [
        f"{SPOT_FEES}: fills paid {FEE_RATE} ({', '.join(knobs)}), the default, which is Spot's fee, and this is a day "
        f"of USD-M futures; set the rate of your account there"
    ]


def liquidated(terms: "RunTerms") -> list[str]:
    """What a liquidation means for the numbers, and what is unknown about the margin."""
    if terms.margin is None:
        return []
    margin, texts = terms.margin, list[str]()
    if terms.liquidated_us is not None:
        fee = margin.get("clearance_fee")
        how = "another position of the account was closed"
        if fee is not None:
            how = f"the position was closed, as the exchange in a box does, with clearance fees of {number(fee)}"
        texts.append(
            f"liquidated at {iso(terms.liquidated_us)}: the margin was used up, {how}; the run ends there"
            f", and nothing is concluded from its PnL. Auto-deleveraging is not played; lower LEVERAGE or the position"
        )
    if parts := margin.get("liquidated_in_part"):
        times = "once" if parts == 1 else f"{parts} times"
        texts.append(
            f"liquidated in part {times}: the margin was used up, and a part of the position was closed, as the "
            f"exchange in a box does; clearance fees {number(margin['clearance_fee'])}; lower LEVERAGE or the position"
        )
    near = margin["ratio_max"] >= NEAR_LIQUIDATION
    if margin["mark"] != "recorded" and near:
        texts.append(f"mark prices: {margin['mark']}; the mid at each whole second stands in for the exchange's")
    if margin["brackets"] == DOCUMENTED and near:
        texts.append(f"leverage brackets are {DOCUMENTED}; set BRACKETS_FILE to the symbol's")
    return texts


def doubtful_funding(terms: "RunTerms") -> list[str]:
    texts = []
    for known in (False, True):
        some = [(iso(us), why) for us, of, why in terms.funding_doubts if of is known]
        if some:
            at = ", ".join(text for text, _ in some[:3]) + (f" and {len(some) - 3} more" if len(some) > 3 else "")
            what = "was paid at what was known around it" if known else "is unknown, and no PnL contains it"
            texts.append(f"funding due at {at} {what}: {some[0][1]}")
    return texts


def by_reason(counts: Mapping[str, int]) -> str:
    """Write the counts as ``would_cross 12, min_notional 3``."""
    return ", ".join(f"{reason} {count:,}" for reason, count in counts.items())


def why_no_orders(counts: Ints, *, reached: bool) -> str | None:
    """None if an order reached the book, or none was requested."""
    if reached or counts[ACTIONS.index("FILL")].any():
        return None
    unsent = counts[[ACTIONS.index("SKIP"), ACTIONS.index("REJECT")]].sum(axis=0)
    codes = set(np.flatnonzero(unsent).tolist())
    reasons = [
        f"{name} ({WAYS[name]})" if name in WAYS else name
        for code, name in enumerate(REJECT_REASONS)
        if name and code in codes
    ]
    return f"no order reached the book: {'; '.join(reasons)}" if reasons else None


def _nothing_filled(summary: Mapping[str, Any]) -> str:
    if summary["seconds_covered"] < _NO_MARKET_S:
        return (
            f"nothing filled: the window has no market, for its book was valid for {summary['seconds_covered']:g} s; "
            f"see its first and last time, in UTC, and mm data coverage"
        )
    if not summary["n_orders"]:
        short = summary["seconds_covered"] <= UNKNOWN_S
        return (
            f"nothing filled: the quote model quoted nothing{_TOO_SHORT if short else ''}; "
            f"see its parameters and mm data coverage"
        )
    median = summary["quoted_half_spread_ticks"]["p50"]
    where = "none rested on a valid book" if median is None else f"they rested a median {median:,g} ticks from the mid"
    predicted = summary["predicted_fills"]
    expected = "" if predicted is None else f", where the fit expects {predicted:,.3g} fills in all"
    return (
        f"nothing filled: {summary['n_orders']:,} orders were sent and {where}{expected}; quote nearer to the mid, or "
        f"compare another fill model"
    )


def _of_predictors(predictors: Sequence[Mapping[str, Any]]) -> list[str]:
    texts = []
    for predictor in predictors:
        name = f"the {predictor['model']} of {predictor['target']} over {predictor['horizon']:g} s"
        if predictor["in_sample"]:
            texts.append(
                f"predictor_in_sample: {name} was fitted on {', '.join(predictor['days'])}, not before this run: the "
                f"PnL is in-sample; fit it on earlier days"
            )
        if not predictor["usable"]:
            texts.append(f"predictor_not_usable: {name} does not beat {predictor['does_not_beat']} out of sample")
    return texts


def _of_the_fit(summary: Mapping[str, Any]) -> list[str]:
    fit, median = summary["fit"], summary["quoted_half_spread_ticks"]["p50"]
    if fit is None:
        return []
    texts = _in_sample(fit)
    near, far, share = fit["min_delta_ticks"], fit["max_delta_ticks"], summary["share_outside_fit"]
    reach = "" if near is None or far is None else f"{near:g} to {far:g} ticks from the {summary['reference']}"
    if fit.get("quotes_from"):
        texts.append(f"quotes_from: {fit['quotes_from']}: the fit is {fit['status']}: {fit['reason']}")
    elif fit["status"] in ("misfit", "poor_fit"):
        texts.append(f"the fit is {fit['status']}: {fit['reason']}; its A and k describe the flow roughly at best")
    from_mid = summary["reference"] == "mid"
    if not from_mid and share is None:
        texts.append(
            f"{NO_REFERENCE.format(summary['reference'])}: share_outside_fit is null, and fills by distance "
            f"have no expected fills"
        )
    elif from_mid and reach and median is not None and not near <= median <= far:
        texts.append(
            f"the median quoted distance is {median:,g} ticks, outside the fitted distances ({reach}): "
            f"predictions there are extrapolated"
        )
    elif share is not None and share > MOST_OUTSIDE:
        texts.append(f"{100 * share:.0f} % of the order time is outside the fitted distances ({reach})")
    if (differs := (fit.get("measured_under") or {}).get("differs")) is not None:
        texts.append(
            f"the fit measured {differs}: its predictions do not apply to these orders; calibrate with this run's "
            f"CALIB_FILLS and CALIB_ORDER_QTY"
        )
    texts += _other_level(summary, fit)
    if fit.get("lacks"):
        texts.append(
            f"the fit {fit['path']} comes from an older version and lacks {', '.join(fit['lacks'])}; "
            f"calibrate again to have them"
        )
    return texts


def _in_sample(fit: Mapping[str, Any]) -> list[str]:
    if not fit.get("in_sample") or not fit.get("used", True):
        return []
    return [
        f"fit_in_sample: the fit uses data of {fit['day']}, which is not before this run: the PnL is in-sample; "
        f"give a fit of earlier days, or run mm walkforward"
    ]


def given_text(ratio: Mapping[str, Any]) -> str:
    given = ratio.get("given")
    return f" given {given}" if given else ""


def _other_level(summary: Mapping[str, Any], fit: Mapping[str, Any]) -> list[str]:
    ratio = summary["fills_ratio"]
    value, low, high = (ratio[name] for name in ("value", "low", "high"))
    if not value or low is None or low <= 1 <= high or 1 / OTHER_LEVEL <= value <= OTHER_LEVEL:
        return []
    why = []
    if not fit.get("in_sample") and fit.get("day") not in (None, ",".join(summary["days"])):
        why.append(f"the fit is of {fit['day']}")
    if fit.get("measured_under") is None:
        why.append("it counts trades that reach a price, not fills under this run's fill model (CALIB_FILLS)")
    reasons = f"; {', and '.join(why)}" if why else ""
    return [
        f"{summary['observed_fills']:,} fills observed and {summary['predicted_fills']:,.0f} predicted, a ratio of "
        f"{value:.2f} (95 %{given_text(ratio)}: {low:.2f} to {high:.2f}){reasons}"
    ]
