"""The summary of a backtest: every number of summary.json, from the journal alone."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest import metrics
from mm.backtest._text import NULL
from mm.backtest.attribution import HORIZONS_S, Ledger, adverse_selection, effective_half_spread, ledger, split
from mm.backtest.journal import ACTIONS
from mm.clock import US_PER_S
from mm.instrument import E8

if TYPE_CHECKING:
    from mm.backtest.journal import Journal
    from mm.backtest.result import Books

_NEVER_VALID = "the book was never valid"
_NO_VARIATION = "fewer than two 60 s periods with equity, or all alike"
_NO_FILLS = "no fills with a valid mid"
# Why a number can be undefined. A null in the summary is always one of these.
REASONS = {
    "pnl_total": _NEVER_VALID,
    "pnl_spread_capture": _NEVER_VALID,
    "pnl_inventory": _NEVER_VALID,
    "fees": _NEVER_VALID,
    "initial_equity": _NEVER_VALID,
    "adverse_selection": "no fill with a valid mid that long after it",
    "adverse_selection_se": "such fills in fewer than two blocks of five minutes",
    "effective_half_spread": _NO_FILLS,
    "realised_half_spread": "no fill with a valid mid that long after it",
    "fill_ratio": "nothing was placed",
    "quote_to_trade": "no fills",
    "two_sided_uptime": _NEVER_VALID,
    "inventory": "no time passed between state rows",
    "inventory.half_life_s": "the inventory was the same at every second",
    "sharpe": _NO_VARIATION,
    "sharpe_autocorr": _NO_VARIATION,
    "sharpe_ci95": "fewer than 20 periods of 60 s with equity, or changes too rare to resample",
    "sortino": "fewer than two 60 s periods with equity, or none of them lost",
    "calmar": "no drawdown",
    "max_drawdown": _NEVER_VALID,
    "drawdown_duration_s": _NEVER_VALID,
    "predicted_fills": "the fill model states no intensity",
}


def summarise(journal: "Journal", books: "Books") -> dict[str, Any]:
    """Return the summary: JSON values only, None where undefined, and why in ``warnings``.

    Money is in the quote asset, inventory in the base asset, per-unit numbers in quote asset per base asset.
    """
    account = ledger(journal.state, books.instrument, books.initial_cash_e8)
    risk, left_out = _risk(account, books.seed)
    summary = {
        "symbol": books.instrument.symbol,
        "days": list(dict.fromkeys(books.days)),
        "models": {"quote": books.quote_model, "fill": books.fill_model},
        **_pnl(journal, account),
        **_spreads(journal, books),
        **_activity(journal),
        "inventory": _inventory(account, books),
        **risk,
        **_coverage(journal),
        **_scale(books),
        **{name: dict(found) for name, found in (("feed", books.feed), ("pnl_band", books.pnl_band)) if found},
    }
    summary["warnings"] = _cautions(journal, books, left_out) + _why_null(summary)
    return summary


def _pnl(journal: "Journal", account: Ledger) -> dict[str, float | None]:
    pnl = split(journal.fills, account)
    if pnl is None:
        return dict.fromkeys(("pnl_total", "pnl_spread_capture", "pnl_inventory", "fees", "initial_equity"))
    # Each is the nearest float to an exact decimal, so as text the parts add up to the total exactly.
    return {
        "pnl_total": account.quote(pnl.spread + pnl.inventory - pnl.fees),
        "pnl_spread_capture": account.quote(pnl.spread),
        "pnl_inventory": account.quote(pnl.inventory),
        "fees": account.quote(pnl.fees),
        "initial_equity": account.quote(account.equity[0]),
    }


def _spreads(journal: "Journal", books: "Books") -> dict[str, Any]:
    effective = effective_half_spread(journal.fills, books.instrument).value
    after = {str(h): adverse_selection(journal, books.instrument, h) for h in HORIZONS_S}
    return {
        "adverse_selection": {h: mean.value for h, mean in after.items()},
        "adverse_selection_se": {h: mean.error for h, mean in after.items()},
        "adverse_selection_left_out": {h: mean.left_out for h, mean in after.items()},
        "effective_half_spread": effective,
        "realised_half_spread": {
            h: None if effective is None or mean.value is None else effective + mean.value for h, mean in after.items()
        },
    }


def _activity(journal: "Journal") -> dict[str, Any]:
    orders, fills = journal.orders, journal.fills
    action = np.ascontiguousarray(orders[:, 2])
    placed = np.flatnonzero(action == ACTIONS.index("PLACE"))
    cancels = int(np.count_nonzero(action == ACTIONS.index("CANCEL_REQ")))
    placed_lots = orders[placed, 6]
    return {
        "n_orders": len(placed),
        "n_fills": len(fills),
        "n_partial": metrics.partial_orders(fills[:, 1], fills[:, 4], orders[placed, 1], placed_lots),
        "fill_ratio": metrics.quotient(metrics.exact_sum(fills[:, 4]), metrics.exact_sum(placed_lots)),
        "quote_to_trade": metrics.quotient(len(placed) + cancels, len(fills)),
    }


def _inventory(account: Ledger, books: "Books") -> dict[str, float | None]:
    lot_e8 = books.instrument.lot_e8
    moments = metrics.inventory_moments(account.us, account.inventory)
    scaled = {name: None if value is None else value * lot_e8 / E8 for name, value in moments.items()}
    return {**scaled, "half_life_s": metrics.half_life_s(account.us, account.inventory)}


def _risk(account: Ledger, seed: int) -> tuple[dict[str, Any], int]:
    """Return the risk figures, and how many 60 s periods had to be left out of them."""
    changes, left_out = metrics.period_changes(account.us, account.equity, account.valid)
    us, equity = account.us[account.valid], account.equity[account.valid]
    fall = metrics.max_drawdown(equity)
    lasted_us = metrics.drawdown_duration_us(us, equity)
    gain = 0 if fall is None else int(account.equity[-1]) - int(account.equity[0])
    return {
        "sharpe": metrics.sharpe(changes),
        "sharpe_autocorr": metrics.sharpe_autocorr(changes),
        "sharpe_ci95": metrics.sharpe_ci95(changes, seed),
        "sharpe_bootstrap": {
            "draws": metrics.DRAWS,
            "periods": len(changes),
            "block_periods": metrics.block_length(len(changes)) if len(changes) else 0,
            "seed": seed,
        },
        "sortino": metrics.sortino(changes),
        "calmar": None if not fall else metrics.calmar(gain, int(fall), int(account.us[-1] - account.us[0])),
        "max_drawdown": None if fall is None else account.quote(fall),
        "drawdown_duration_s": None if lasted_us is None else lasted_us / US_PER_S,
    }, left_out


def _coverage(journal: "Journal") -> dict[str, Any]:
    counters = journal.counters
    return {
        "two_sided_uptime": metrics.quotient(counters["two_sided_us"], counters["valid_us"]),
        "seconds_covered": counters["valid_us"] / US_PER_S,
        "seconds_excluded": counters["invalid_us"] / US_PER_S,
        "predicted_fills": counters["expected_fills"],
        "observed_fills": len(journal.fills),
    }


def _scale(books: "Books") -> dict[str, Any]:
    instrument = books.instrument
    return {
        "tick_size": instrument.tick_e8 / E8,
        "quote_qty": books.quote_lots * instrument.lot_e8 / E8,
        "base_asset": instrument.base_asset,
        "quote_asset": instrument.quote_asset,
    }


def _why_null(summary: dict[str, Any]) -> list[str]:
    """Return one sentence for each reason why some numbers are null, naming them."""
    names: dict[str, list[str]] = {}
    for key, value in summary.items():
        for name in _missing(key, value):
            names.setdefault(REASONS.get(name) or REASONS[key], []).append(name)
    return [f"{NULL}{', '.join(keys)}: {reason}" for reason, keys in names.items()]


def _missing(key: str, value: object) -> list[str]:
    """Return the names of what is None under a *key*: itself, or those of its parts that are."""
    if not isinstance(value, dict):
        return [key] if value is None else []
    parts = [f"{key}.{part}" for part, number in value.items() if number is None]
    return [key] if parts and len(parts) == len(value) and key in REASONS else parts


def _cautions(journal: "Journal", books: "Books", left_out: int) -> list[str]:
    """Return what a reader must know before believing the numbers."""
    cautions = []
    if any(word.startswith("poisson") for word in (books.fill_model, *journal.fill_reasons)):
        cautions.append(
            "Poisson fills are drawn without looking at the market, so they have no adverse selection by construction: "
            "read this PnL as an upper bound, beside a run with trade_cross or a queue model"
        )
    unmarked = int((journal.fills[:, 7] == 0).sum())
    if unmarked:
        cautions.append(f"{unmarked} fills met no valid book; the PnL marks them at the last valid mid")
    if left_out:
        cautions.append(f"{left_out} periods of 60 s without a valid book at both ends are not in Sharpe and Sortino")
    if len(journal.mids) and journal.mids[-1, 1] == 0:
        cautions.append("the run ended without a valid book; pnl_total is marked at the last valid mid")
    return cautions
