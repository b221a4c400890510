"""Every number of summary.json, from the journal alone."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.journal import BREACHES, CANCEL_REQ, PLACE, Journal, Lives
from mm.backtest.metrics import risk
from mm.backtest.metrics.fills_forecast import forecast
from mm.backtest.metrics.json_values import finite, missing
from mm.backtest.metrics.markouts import HORIZONS_S, Mean, half_spreads, markouts
from mm.backtest.metrics.notes import (
    NOT_FINITE,
    NULL,
    basis,
    data_notes,
    doubtful_funding,
    fee_above_capture,
    filters_not_applied,
    implausible_fees,
    liquidated,
    no_plain_queue,
    notes,
    of_verdict,
    paid_as_on_spot,
    quoted,
    refused,
    swapped_quotes,
    unearned_fee,
    without_trades,
)
from mm.backtest.metrics.numbers import NET, NULLS
from mm.backtest.metrics.order_lives import fill_rates, for_another_day, partial_and_times
from mm.backtest.metrics.pnl import (
    AccountSeries,
    EquitySeries,
    Pnl,
    account_of,
    pairs,
    realised,
    round_trip_stats,
    split,
)
from mm.backtest.metrics.spans import PERIOD_US
from mm.backtest.metrics.verdict import NO_POSITIONS, Positions, Sample, judge, robust_units, verdicts
from mm.backtest.run_terms import EXCLUDED, NO_BOUNDS, NO_NEXT_MOVE, NO_SENSITIVITY
from mm.base.arithmetic import dot, quotient, whole_sum
from mm.base.arrays import Ints, Numbers
from mm.base.numbers import SHARPE_DAYS
from mm.clock import US_PER_S, iso
from mm.instrument import E8
from mm.trials.moves import WorstMoves
from mm.trials.on_record import ALONE
from mm.trials.own_content import TRIALS

if TYPE_CHECKING:
    from mm.backtest.run_terms import RunTerms

DRAWN = {
    "poisson": "are drawn independently of the market",
    "hawkes": "follow the times of the market's orders, not the prices that these reach",
    "predicted": "are drawn by predictions made before the price moves",
    "hybrid": "are in part drawn without the next move of the price",
}
MANY_RAISED = 0.01  # share of the messages; a normal clock correction affects fewer


def summarise(journal: Journal, terms: "RunTerms") -> dict[str, Any]:
    """JSON values only; undefined numbers are None, with the reason in ``warnings``.

    Money in the quote asset, inventory in the base asset, per-unit numbers in quote per base.
    """
    account = account_of(journal, terms)
    sent, (counts, placed_lots) = journal.order_lives, journal.order_totals()
    predicted, traded = _predicted(journal, terms, sent), whole_sum(journal.fills.lots)
    position = largest_position(account, terms)
    knows = terms.knows_next_move and terms.liquidated_us is None
    ratios = _risk(account, terms, {terms.instrument.symbol: position}, knows=knows)
    summary = {
        **_setup(terms),
        **_pnl(journal, account, terms),
        **_spreads(journal, terms),
        **_activity(journal, sent, counts, quotient(traded, placed_lots)),
        **refused(counts),
        **_inventory(account, terms),
        "largest_position": position,
        **ratios,
        "account": _account(account),
        **risk.daily(account, terms, journal.fills.us),
        **_coverage(journal, terms),
        **predicted,
        **scale(terms),
        **_optional(terms),
        **_limits(journal),
        "trials": dict(ALONE) if terms.trials is None else terms.trials.to_json(),
    }
    summary |= _volume(journal, account, terms, summary, traded)
    warnings = [*swapped_quotes(sent), *notes(counts, summary, reached=bool(sent.rested.any()))]
    warnings += unearned_fee(journal, terms, summary) or fee_above_capture(summary)
    warnings += [*_cautions(journal, terms), *of_verdict(summary)]
    warnings += [f"{TRIALS}{problem}" for problem in (terms.trials.problems if terms.trials else ())]
    summary = dict(finite(summary))
    summary["warnings"] = warnings + _why_null(summary)
    return _before_fees(summary, terms.unvalued_fees) if terms.unvalued_fees else summary


def strategy_summary(
    series: EquitySeries,
    terms: "RunTerms",
    positions: Positions = NO_POSITIONS,
    *,
    knows: bool,
    judges: bool = True,
) -> dict[str, Any]:
    """Summary over several markets; *knows*: all markets' fills know the next move; *judges*: with a verdict."""
    total, quoting = series.equity[-1] - series.equity[0], series.quoting[-1]
    money = {"pnl_total": total, "pnl_quoting": quoting, "pnl_hold": total - quoting}
    ratios = _risk(series, terms, positions, knows=knows) if judges else _ratios(series, terms, knows=knows)
    return dict(finite({name: series.quote(value) for name, value in money.items()} | ratios))


def _before_fees(summary: dict[str, Any], unvalued: Mapping[str, str]) -> dict[str, Any]:
    paid = ", ".join(f"{amount} {asset}" for asset, amount in unvalued.items())
    caution = (
        f"fees of {paid} have no known price in {summary['quote_asset']}: the parts of the PnL are before them, net "
        f"results are null, and drawdown and limits count their largest value"
    )
    withheld = dict.fromkeys(name for name in NET if name in summary)
    return summary | withheld | {"fees_unvalued": dict(unvalued), "warnings": [caution, *summary["warnings"]]}


def point_summary(journal: Journal, terms: "RunTerms", account: AccountSeries) -> dict[str, Any]:
    """The numbers by which a sweep compares points."""
    (counts, placed_lots), traded = journal.order_totals(), whole_sum(journal.fills.lots)
    summary = {
        **_setup(terms),
        **_parts(split(journal.fills, account, terms), account),
        "n_orders": int(counts[PLACE].sum()),
        "n_fills": len(journal.fills),
        "fill_ratio": quotient(traded, placed_lots),
        "volume": traded_volume(journal, terms, traded),
        **refused(counts),
        "inventory": _moments(account, terms, 0),
        "largest_position": largest_position(account, terms),
        **_ratios(account, terms, knows=terms.knows_next_move and terms.liquidated_us is None),
        **_coverage(journal, terms),
        **scale(terms),
        **_optional(terms),
        **_limits(journal),
    }
    warnings = [*data_notes(summary), *fee_above_capture(summary), *_cautions(journal, terms)]
    summary = dict(finite(summary))
    summary["warnings"] = warnings + _why_null(summary)
    return _before_fees(summary, terms.unvalued_fees) if terms.unvalued_fees else summary


def headline(journal: Journal, terms: "RunTerms") -> dict[str, Any]:
    account = account_of(journal, terms)
    pnl = split(journal.fills, account, terms)
    rms = risk.inventory_moments(account.clock, account.inventory, terms.target_lots)["rms"]
    _, after = half_spreads(journal, terms.instrument, [HORIZONS_S[-1]], terms.target_lots)
    moved = after[HORIZONS_S[-1]].mean().value
    numbers = {
        "pnl_quoting": None if pnl is None else account.quote(pnl.quoting),
        "pnl_total": None if pnl is None else account.quote(pnl.total),
        "sharpe": _sharpe_of_row(account, terms),
        "verdict": verdict_text(account) if terms.knows_next_move and terms.liquidated_us is None else None,
        "n_fills": len(journal.fills),
        "inventory_rms": None if rms is None else rms * (terms.instrument.lot_e8 / E8),
        f"adverse_selection_{HORIZONS_S[-1]}": moved,
    }
    return dict(finite(numbers))


def verdict_text(account: EquitySeries) -> str | None:
    verdict = judge(Sample.of(account.changes / account.per_quote))
    return None if verdict is None else verdict.text


def _sharpe_of_row(account: EquitySeries, terms: "RunTerms") -> float | None:
    if len(set(terms.days)) < SHARPE_DAYS or not terms.knows_next_move:
        return None
    return risk.sharpe(account.changes, _per_year(account, terms))


def _setup(terms: "RunTerms") -> dict[str, Any]:
    return {
        "symbol": terms.instrument.symbol,
        "days": list(dict.fromkeys(terms.days)),
        "models": {"quote": terms.quote_model, "fill": terms.fill_model},
        "knows_next_move": terms.knows_next_move,
        **basis(terms),
    }


def _parts(pnl: Pnl | None, account: AccountSeries) -> dict[str, float | None]:
    def worth(units: Callable[[Pnl], int]) -> float | None:
        return None if pnl is None else account.quote(units(pnl))

    return {
        "pnl_quoting": worth(lambda pnl: pnl.quoting),
        "pnl_hold": worth(lambda pnl: pnl.hold),
        "pnl_total": worth(lambda pnl: pnl.total),
        "pnl_spread_capture": worth(lambda pnl: pnl.spread),
        "pnl_inventory": worth(lambda pnl: pnl.inventory),
        "fees": worth(lambda pnl: pnl.fees),
    }


def _pnl(journal: Journal, account: AccountSeries, terms: "RunTerms") -> dict[str, Any]:
    pnl, matched = split(journal.fills, account, terms), pairs(journal.fills)
    closed = None if pnl is None else realised(journal.fills, matched, account)
    left = None if pnl is None or closed is None else pnl.quoting + pnl.fees - closed
    return {
        **_parts(pnl, account),
        "pnl_realised": _worth(account, closed),
        "pnl_unrealised": _worth(account, left),
        "initial_equity": _worth(account, None if pnl is None else int(account.equity[0])),
        "round_trips": round_trip_stats(journal.fills, matched, terms.instrument),
    }


def _worth(account: EquitySeries, units: int | None) -> float | None:
    return None if units is None else account.quote(units)


def _spreads(journal: Journal, terms: "RunTerms") -> dict[str, Any]:
    earned, groups = half_spreads(journal, terms.instrument, target_lots=terms.target_lots)
    effective = earned.value
    after = {str(h): means.mean() for h, means in groups.items()}
    left = {str(h): means.realised() for h, means in groups.items()}
    return {
        "adverse_selection": {h: mean.value for h, mean in after.items()},
        "adverse_selection_se": {h: mean.error for h, mean in after.items()},
        "adverse_selection_ci95": {h: mean.ci95 for h, mean in after.items()},
        "adverse_selection_left_out": {h: mean.left_out for h, mean in after.items()},
        "effective_half_spread": effective,
        "effective_half_spread_ci95": earned.ci95,
        "realised_half_spread": {
            h: None if effective is None or mean.value is None else effective + mean.value for h, mean in after.items()
        },
        "realised_half_spread_se": {h: mean.error for h, mean in left.items()},
        "realised_half_spread_ci95": {h: _realised_ends(effective, after[h], mean) for h, mean in left.items()},
        "markouts": markouts(groups),
    }


def _realised_ends(effective: float | None, moved: Mean, left: Mean) -> list[float] | None:
    if effective is None or moved.value is None or left.value is None or left.ci95 is None:
        return None
    off = effective + moved.value - left.value
    return [end + off for end in left.ci95]


def _activity(journal: Journal, sent: Lives, counts: Ints, fill_ratio: float | None) -> dict[str, Any]:
    fills, cancels = journal.fills, int(counts[CANCEL_REQ].sum())
    partial, times = partial_and_times(sent, fills)
    return {
        "n_orders": len(sent),
        "n_fills": len(fills),
        "n_partial": partial,
        "fill_ratio": fill_ratio,
        "quote_to_trade": quotient(len(sent) + cancels, len(fills)),
        **times,
    }


def _volume(
    journal: Journal, account: AccountSeries, terms: "RunTerms", summary: dict[str, Any], traded: int
) -> dict[str, Any]:
    grid, volume = terms.instrument, traded_volume(journal, terms, traded)
    quantity, notional, mean_size = volume["base"], volume["quote"], summary["inventory_from_target"]["abs_mean"]
    gross = None if summary["pnl_quoting"] is None else summary["pnl_quoting"] + summary["fees"]
    worth = quantity * grid.multiplier
    realised_at = {str(h): summary["realised_half_spread"][str(h)] for h in HORIZONS_S}
    kept = {h: None if value is None else value * worth for h, value in realised_at.items()}
    earned = {"pnl": gross, **kept}
    return {
        "volume": volume,
        "inventory_at_bound": _at_bound(account, terms),
        "inventory_turnover": quotient(quantity, mean_size or 0.0),
        "break_even_fee_rate": {
            name: None if value is None or not traded else value / notional for name, value in earned.items()
        },
    }


def traded_volume(journal: Journal, terms: "RunTerms", traded: int) -> dict[str, float]:
    grid = terms.instrument
    notional = dot(journal.fills.ticks.astype(np.float64), journal.fills.lots) * grid.tick_lot_e16 / E8 / E8
    return {"base": traded * grid.lot_e8 / E8, "quote": notional}


def _at_bound(account: AccountSeries, terms: "RunTerms") -> float | None:
    if terms.bound_clips is None:
        return None
    return risk.share_beyond(account.clock, account.inventory, terms.bound_clips * terms.quote_lots, terms.target_lots)


def _predicted(journal: Journal, terms: "RunTerms", sent: Lives) -> dict[str, Any]:
    intensity, offsets = terms.intensity, terms.offsets
    if intensity is not None and intensity.reference != "mid" and offsets is None:
        intensity = None
    rates, here = fill_rates(journal, sent, intensity, offsets)
    rates["fills_ratio"] = for_another_day(rates["fills_ratio"], (terms.fit or {}).get("log_rate_half"))
    by_engine = journal.counters["expected_fills"]
    expected = forecast(rates["fills_by_distance"], terms.earlier)
    return {
        "predicted_fills": here if by_engine is None else by_engine,
        "quoted_half_spread": quoted(rates["quoted_half_spread_ticks"], terms.instrument.tick_e8),
        **rates,
        **({} if expected is None else {"fills_forecast": expected}),
    }


def _inventory(account: AccountSeries, terms: "RunTerms") -> dict[str, Any]:
    from_zero = _moments(account, terms, 0)
    from_target = from_zero if terms.target_lots == 0 else _moments(account, terms, terms.target_lots)
    return {
        "inventory": {**from_zero, "half_life_s": risk.half_life_s(account.clock, account.inventory)},
        "inventory_from_target": from_target,
    }


def _moments(account: AccountSeries, terms: "RunTerms", target_lots: int) -> dict[str, float | None]:
    unit, moments = terms.instrument.lot_e8 / E8, risk.inventory_moments(account.clock, account.inventory, target_lots)
    return {name: None if value is None else value * unit for name, value in moments.items()}


def _per_year(account: EquitySeries, terms: "RunTerms") -> float:
    return risk.periods_per_year(account.spans, len(set(terms.days)), terms.days_a_year)


def largest_position(account: AccountSeries, terms: "RunTerms") -> dict[str, float]:
    """The largest inventory from its target, its worth then, and what the run's own worst minute costs there."""
    away = account.inventory - terms.target_lots
    row = int(np.abs(away).argmax()) if len(away) else 0
    held = int(away[row]) if len(away) else 0
    value = math.copysign(account.quote(abs(held) * int(account.marks2[row]) * account.half_tl), held) if held else 0.0
    begins = account.spans.periods
    first, last = (np.searchsorted(account.us, us, side="right") - 1 for us in (begins, begins + PERIOD_US))
    moves = WorstMoves.between(account.marks2[first], account.marks2[last])
    return {"inventory": held * terms.instrument.lot_e8 / E8, "value": value, "loss": moves.loss(value)}


def _risk(account: EquitySeries, terms: "RunTerms", positions: Positions, *, knows: bool) -> dict[str, Any]:
    changes = account.changes
    bootstrap = {
        "draws": risk.DRAWS,
        "periods": len(changes),
        "block_periods": risk.block_length(len(changes)) if len(changes) else 0,
        "seed": terms.seed,
    }
    ratios = _ratios(account, terms, knows=knows)
    sample = Sample.of(changes / account.per_quote, len(set(terms.days))) if knows else None
    judged = verdicts(sample, terms.trials, positions)
    psr = {name: judged.pop(name) for name in ("psr", "psr_alone")}
    first = judged | {"sharpe": ratios["sharpe"], "sharpe_autocorr": ratios["sharpe_autocorr"]}
    interval = risk.sharpe_ci95(changes, _per_year(account, terms), terms.seed) if knows else None
    return first | {"sharpe_ci95": interval, "sharpe_bootstrap": bootstrap} | ratios | psr


def _ratios(account: EquitySeries, terms: "RunTerms", *, knows: bool) -> dict[str, Any]:
    drawdowns = risk.drawdowns_of(*_marked(account, account.quoting))
    fall, lasted_us = drawdowns.deepest, drawdowns.longest_us
    changes, per_year = account.changes, _per_year(account, terms)
    gain, periods = 0 if fall is None else int(account.quoting[-1]), account.spans.covered_us / PERIOD_US
    pnl = changes / account.per_quote
    moments, judged = risk.moments(pnl, per_year), judge(Sample.of(pnl)) if knows else None
    return {
        "sharpe": risk.sharpe(changes, per_year),
        "sharpe_autocorr": risk.sharpe_autocorr(changes, per_year),
        "sortino": risk.sortino(changes, per_year),
        "calmar": None if not fall else risk.calmar(gain, int(fall), periods / per_year if per_year else 0.0),
        "max_drawdown": None if fall is None else account.quote(fall),
        "drawdown_duration_s": None if lasted_us is None else lasted_us / US_PER_S,
        "under_water": drawdowns.under_water(),
        "returns": moments
        | {
            "pnl_left_out": account.left_out,
            "drift_half_life_s": risk.drift_half_life_s(changes),
            "robust_unit": float(robust_units(pnl[:, None])[0]),
        },
        "psr": judged and judged.psr,
    }


def _marked(account: EquitySeries, money: Numbers) -> tuple[Ints, Numbers]:
    if account.valid.all():
        return account.clock, money
    return account.clock[account.valid], money[account.valid]


def _account(account: AccountSeries) -> dict[str, float | None]:
    clock_us, equity = _marked(account, account.equity)
    drawdowns = risk.drawdowns_of(clock_us, equity)
    known = drawdowns.deepest is not None and drawdowns.longest_us is not None
    start, end = (int(account.equity[row]) if known else None for row in (0, -1))
    peak = np.maximum.accumulate(equity).astype(np.float64)
    return {
        "equity_start": _worth(account, start),
        "equity_end": _worth(account, end),
        "max_drawdown": _worth(account, drawdowns.deepest if known else None),
        "max_drawdown_share": float(((peak - equity) / peak).max()) if known and peak[0] > 0 else None,
        "drawdown_duration_s": drawdowns.longest_us / US_PER_S if known and drawdowns.longest_us is not None else None,
    }


def _coverage(journal: Journal, terms: "RunTerms") -> dict[str, Any]:
    counters, between_us = journal.counters, terms.between_days_us
    return {
        "two_sided_uptime": quotient(counters["two_sided_us"], counters["valid_us"]),
        "seconds_covered": counters["valid_us"] / US_PER_S,
        "seconds_excluded": counters["invalid_us"] / US_PER_S,
        "spans": journal.spans.array.tolist(),
        **({"seconds_between_days": between_us / US_PER_S} if between_us else {}),
        "observed_fills": len(journal.fills),
    }


def scale(terms: "RunTerms") -> dict[str, Any]:
    instrument = terms.instrument
    return {
        "tick_size": instrument.tick_e8 / E8,
        "quote_qty": terms.quote_lots * instrument.lot_e8 / E8,
        "base_asset": instrument.base_asset,
        "quote_asset": instrument.quote_asset,
    }


def _optional(terms: "RunTerms") -> dict[str, Any]:
    parts = (
        ("feed", terms.feed),
        ("pnl_band", terms.pnl_band),
        ("sensitivity", terms.sensitivity),
        ("ended", terms.ended),
        ("others", terms.others),
        ("margin", terms.margin),
    )
    unknown = not all(known for _, known, _ in terms.funding_doubts)
    paid = None if terms.funding_e8 is None or unknown else terms.funding_e8 / E8
    funding = {} if terms.funding_e8 is None else {"funding": paid}
    from_curve = {"quotes_from": "curve"} if (terms.fit or {}).get("quotes_from") else {}
    excluded = {"excluded": list(terms.excluded)} if terms.excluded else {}
    fifo = {} if terms.fifo_consistency is None else {"fifo_consistency": terms.fifo_consistency}
    ended = {} if terms.liquidated_us is None else {"liquidated_at": iso(terms.liquidated_us)}
    unbounded = {"bounds": None, "open_share": None} if terms.unbounded else {}
    return (
        ended | funding | from_curve | excluded | fifo | unbounded | {name: dict(part) for name, part in parts if part}
    )


def _limits(journal: Journal) -> dict[str, Any]:
    if journal.breaches is None and journal.killed is None:
        return {}
    codes = [] if journal.breaches is None else journal.breaches.limit.tolist()
    count = {name: codes.count(code) for code, name in enumerate(BREACHES) if code in codes}
    killed = None if journal.killed is None else dict(zip(("us", "reason"), journal.killed, strict=True))
    return {"risk": {"breaches": count, "killed": killed}}


def _why_null(summary: dict[str, Any]) -> list[str]:
    names: dict[str, list[str]] = {}
    for key, value in summary.items():
        for name in missing(key, value, NULLS):
            names.setdefault(NULLS.get(name) or NULLS.get(key, NOT_FINITE), []).append(name)
    return [f"{NULL}{', '.join(keys)}: {reason}" for reason, keys in names.items()]


def _cautions(journal: Journal, terms: "RunTerms") -> list[str]:
    cautions = liquidated(terms)
    cautions += [f"the run ended early: {terms.ended['why']}"] if terms.ended and terms.ended["why"] else []
    if terms.played_once:
        cautions.append(f"{NO_SENSITIVITY}{terms.played_once}")
    if terms.unbounded:
        cautions.append(f"{NO_BOUNDS}{terms.unbounded}")
    cautions += [*terms.day_notes, *terms.model_notes]
    drawn = _drawn(terms)
    cautions += drawn or without_trades(terms)
    cautions += implausible_fees(terms)
    cautions += filters_not_applied(terms)
    cautions += paid_as_on_spot(journal, terms)
    cautions += doubtful_funding(terms)
    cautions += no_plain_queue(terms)
    drawn_from = journal.fill_reasons if terms.fill_model == "hybrid" else (terms.fill_model,)
    if any(word.startswith("trade_cross") for word in drawn_from):
        cautions.append(
            f"trade_cross {'' if terms.outearned else 'is the optimistic bound: it '}ignores the queue, and at the "
            f"touch it fills 13.9 ± 2.3 points too often (BTC/USD 2015, 4,321 orders of one step); "
            f"{_read(terms, 'compare this PnL with')} a run with queue_prob_power"
        )
    if terms.lost_lines:
        cautions.append(
            f"{terms.lost_lines:,} lines of the recorded files are lost: after them the book or the trades "
            f"are not updated, so fills are unreliable; mm data check lists the files"
        )
    if terms.clock_raised > MANY_RAISED * journal.counters["events"]:
        cautions.append(
            f"{terms.clock_raised:,} messages count as received at the same instant as those before them, because the "
            f"recorder's clock stepped back: no time passes while they are played; the log lists the files"
        )
    unmarked = int(np.count_nonzero(journal.fills.mid2 == 0))
    if unmarked:
        cautions.append(f"{unmarked} fills had no valid book; the PnL marks them at the last valid mid")
    if len(journal.mids) and journal.mids.mid2[-1] == 0:
        cautions.append("the run ended without a valid book; pnl_total is marked at the last valid mid")
    return cautions + [f"{EXCLUDED}{span}" for span in terms.excluded]


def _drawn(terms: "RunTerms") -> list[str]:
    if terms.knows_next_move:
        return []
    why = DRAWN.get(terms.fill_model, "do not depend on the next move of the price")
    return [
        f"{NO_NEXT_MOVE}: fills of {terms.fill_model} {why}, so they have less adverse selection than real ones, and "
        f"nothing is concluded from this PnL (no verdict, interval or rank): {_read(terms)} a run with a queue model"
    ]


def _read(terms: "RunTerms", way: str = "read this PnL as an upper bound, and compare it with") -> str:
    return "here it earned less than another assumption of the sensitivity; compare it with" if terms.outearned else way
