"""Polars frames of a finished backtest for notebooks, with the types of `mm.tape.frames`."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.journal import ACTIONS, CANCEL_REASONS, REJECT_REASONS, STATUSES
from mm.backtest.metrics.markouts import just_after, moves
from mm.backtest.metrics.pnl import account_of
from mm.errors import UsageError
from mm.instrument import E8
from mm.tape.frames import floats, frame, instants, sides, words

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from mm.backtest.journal import Journal
    from mm.backtest.metrics.pnl import AccountSeries
    from mm.backtest.run_terms import RunTerms

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


def orders_frame(journal: "Journal", terms: "RunTerms") -> "pl.DataFrame":
    """Return the order rows; see `mm.backtest.result.Result.orders_frame`."""
    us, order_id, action, status, side, ticks, lots, remaining, *times, reject, cancel = journal.orders.T
    active, expire, cancel_req, cancel_effective = map(instants, times)
    grid = terms.instrument
    return frame(
        {
            "time": instants(us),
            "order_id": order_id,
            "action": words(ACTIONS, action),
            "status": words(STATUSES, status),
            "side": sides(side),
            "price": floats(ticks, grid.tick_e8),
            "qty": floats(lots, grid.lot_e8),
            "remaining_qty": floats(remaining, grid.lot_e8),
            "active_time": active,
            "expire_time": expire,
            "cancel_request_time": cancel_req,
            "cancel_effective_time": cancel_effective,
            "reject_reason": words(REJECT_REASONS[1:], reject - 1),
            "cancel_reason": words(CANCEL_REASONS[1:], cancel - 1),
        }
    )


def fills_frame(journal: "Journal", terms: "RunTerms") -> "pl.DataFrame":
    """Return the fills; see `mm.backtest.result.Result.fills_frame`."""
    inventory = floats(journal.fills[:, 8], terms.instrument.lot_e8)
    fee, reason = floats(journal.fills[:, 5]), words(journal.fill_reasons, journal.fills[:, 6])
    return frame({**_fills(journal, terms), "fee": fee, "reason": reason, "inventory": inventory})


def markouts_frame(journal: "Journal", terms: "RunTerms", horizons_s: Sequence[float]) -> "pl.DataFrame":
    """Return the markouts of each fill; see `mm.backtest.result.Result.markouts_frame`."""
    side, ticks, mid2 = journal.fills[:, 2], journal.fills[:, 3], journal.fills[:, 7]
    half, after2 = (terms.instrument.tick_e8, 2 * E8), just_after(journal)
    known = (mid2 > 0) & (after2 > 0)
    later: dict[str, Any] = {"markout_0s": np.where(known, floats(side * (after2 - 2 * ticks), *half), np.nan)}
    for horizon_s in horizons_s:
        if not horizon_s > 0:
            raise UsageError(f"a horizon is {horizon_s} s; give seconds above 0")
        move2, known = moves(journal, horizon_s)
        markout = floats(side * (move2 + mid2 - 2 * ticks), *half)
        later[f"markout_{horizon_s:g}s"] = np.where(known, markout, np.nan)
    return frame({**_fills(journal, terms), **later})


def state_frame(journal: "Journal", terms: "RunTerms") -> "pl.DataFrame":
    """Return the state rows; see `mm.backtest.result.Result.state_frame`."""
    account = account_of(journal, terms)
    return frame(
        {
            "time": instants(account.us),
            **account_columns(account, journal.state[:, 4], terms),
            "open_orders": journal.state[:, 5],
        }
    )


def equity_frame(journal: "Journal", terms: "RunTerms") -> "pl.DataFrame":
    """Return the equity over time; see `mm.backtest.result.Result.equity_frame`."""
    account = account_of(journal, terms)
    valid, equity = account.valid, account.equity[account.valid]
    pnl = account.quoting[valid] - account.quoting[valid][:1]
    drawdown = np.maximum.accumulate(pnl) - pnl if len(pnl) else pnl
    return frame(
        {
            "time": instants(account.us[valid]),
            "equity": floats(equity, per=account.per_quote),
            "pnl": floats(pnl, per=account.per_quote),
            "drawdown": floats(drawdown, per=account.per_quote),
            "inventory": floats(account.inventory[valid], terms.instrument.lot_e8),
        }
    )


ACCOUNT = ("inventory", "cash", "mid", "mtm_value", "equity")
"""The columns of `account_columns`."""


def account_columns(
    account: "AccountSeries", mid2: "Ints", terms: "RunTerms", names: Sequence[str] = ACCOUNT
) -> dict[str, "Floats"]:
    """Return the exact account at every state row, by the column *names* of the state file; NaN without a book."""

    def held() -> "NDArray[Any]":
        return account.half_tl * account.inventory.astype(account.equity.dtype) * account.marks2

    def valued(exact: "NDArray[Any]") -> "Floats":
        return np.where(account.valid, floats(exact, per=account.per_quote), np.nan)

    make: dict[str, Callable[[], Floats]] = {
        "inventory": lambda: floats(account.inventory, terms.instrument.lot_e8),
        "cash": lambda: floats(account.equity - held(), per=account.per_quote),
        "mid": lambda: mids(mid2, terms),
        "mtm_value": lambda: valued(held()),
        "equity": lambda: valued(account.equity),
    }
    return {name: make[name]() for name in names}


def mids(mid2: "Ints", terms: "RunTerms") -> "Floats":
    """Return mids in the quote asset; NaN while the book was not valid."""
    return np.where(mid2 > 0, floats(mid2, terms.instrument.tick_e8, 2 * E8), np.nan)


def _fills(journal: "Journal", terms: "RunTerms") -> dict[str, Any]:
    """Return the first columns of every frame of fills."""
    us, order_id, side, ticks, lots, _, _, mid2, _ = journal.fills.T
    return {
        "time": instants(us),
        "order_id": order_id,
        "side": sides(side),
        "price": floats(ticks, terms.instrument.tick_e8),
        "qty": floats(lots, terms.instrument.lot_e8),
        "mid": mids(mid2, terms),
    }
