"""The account at every state row, where the PnL came from, and the round trips of the fills.

All of it is kept in integers of one unit, the largest that divides both a half tick·lot and 1e-8 of the quote asset;
a number becomes a float once, at the end. So pnl_total = spread + inventory − fees holds to the last unit.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics._passes import first_in_first_out
from mm.backtest.metrics.arithmetic import quantiles
from mm.clock import US_PER_S
from mm.errors import MMError
from mm.instrument import E8

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.journal import Table
    from mm.instrument import Instrument

    Column = NDArray[np.int64]
    Floats = NDArray[np.float64]

SAFE = 2**62


@dataclass(frozen=True)
class AccountSeries:
    """The account at every state row, exactly.

    Attributes:
        us: Instants of the rows.
        inventory: Lots held.
        marks2: Bid + ask in ticks; where the book is not valid, that of the last row before (else after) where it is.
        valid: Whether the book was valid.
        equity: Cash + inventory at the mark, in units (Python integers where 64 bits are too few).
        half_tl: Units in a half tick·lot.
        fee: Units in 1e-8 of the quote asset.
        per_quote: Units in one of the quote asset.
    """

    us: "Column"
    inventory: "Column"
    marks2: "Column"
    valid: "NDArray[np.bool_]"
    equity: "NDArray[Any]"
    half_tl: int
    fee: int
    per_quote: int

    def quote(self, units: int) -> float:
        """Return so many *units* in the quote asset."""
        return int(units) / self.per_quote


def ledger(state: "Table", instrument: "Instrument", initial_cash_e8: int) -> AccountSeries:
    """Return the account of a journal's *state* rows."""
    us, inventory, cash_tl, fees_e8, mid2, _ = state.T
    half_tl, fee = 5 * instrument.tick_lot_e16, 10**9  # of 1e-17
    common = math.gcd(half_tl, fee)  # a divisor of 10**17, too
    half_tl, fee = half_tl // common, fee // common
    marks2 = last_valid(mid2)
    largest = half_tl * (2 * _size(cash_tl) + _size(inventory) * _size(marks2)) + fee * (
        initial_cash_e8 + _size(fees_e8)
    )
    exact = np.int64 if largest < 2**62 else object
    equity = half_tl * (2 * cash_tl.astype(exact) + inventory.astype(exact) * marks2)
    equity = equity + fee * (initial_cash_e8 - fees_e8.astype(exact))
    return AccountSeries(us, inventory, marks2, mid2 > 0, equity, half_tl, fee, 10**17 // common)


def last_valid(mid2: "Column") -> "Column":
    """Return *mid2* with each 0 replaced by the last value before it, or the first after it, that is not 0."""
    valid = np.flatnonzero(mid2)
    if len(valid) in (0, len(mid2)):
        return np.ascontiguousarray(mid2)
    row = np.zeros(len(mid2), np.int64)
    row[valid] = valid
    row[: valid[0]] = valid[0]
    return mid2[np.maximum.accumulate(row)]


def _size(values: "Column") -> int:
    return int(np.abs(values).max(initial=0))


@dataclass(frozen=True)
class Pnl:
    """A run's gain from its first to its last state row, in units of the ledger: total = spread + inventory − fees."""

    total: int
    spread: int
    inventory: int
    fees: int


def split(fills: "Table", account: "AccountSeries", funding_e8: int = 0) -> Pnl | None:
    """Return the PnL and its parts, or None where no state row has a valid book to mark at.

    Spread is s·q·(m − p) of each fill at the mid it met; inventory is what was held times the move of the mid
    between fills, less the funding that was paid for holding it (*funding_e8*, 1e-8 of the quote asset). They
    are summed from the fills alone and held against the account.

    Raises:
        MMError: If fills and state rows do not add up, which is a fault of the engine.
    """
    if not account.valid.any():
        return None
    _, _, side, ticks, lots, fee_e8, _, _, after = fills.T
    marks2 = np.concatenate(([account.marks2[0]], fill_marks(fills, account), [account.marks2[-1]]))
    held = np.concatenate(([account.inventory[0]], after))
    largest = 2 * max(_size(marks2), 2 * _size(ticks)) * max(_size(held), _size(lots), 1)
    exact = np.int64 if max(largest, _size(fee_e8)) * (len(fills) + 1) < SAFE else object
    marks2 = marks2.astype(exact)
    spread = int((side * lots * (marks2[1:-1] - 2 * ticks)).sum())
    inventory = int((held * np.diff(marks2)).sum())
    fees = int(fee_e8.astype(exact).sum())
    pnl = Pnl(
        total=int(account.equity[-1]) - int(account.equity[0]),
        spread=spread * account.half_tl,
        inventory=inventory * account.half_tl - funding_e8 * account.fee,
        fees=fees * account.fee,
    )
    residual = pnl.total - (pnl.spread + pnl.inventory - pnl.fees)
    if residual:
        raise MMError(
            f"journal: fills and state rows differ by {account.quote(residual)} of the quote asset over "
            f"{len(fills)} fills; this is a fault of the engine, please report it with the run's manifest"
        )
    return pnl


def fill_marks(fills: "Table", account: "AccountSeries") -> "Column":
    """Return bid + ask, in ticks, at each fill; where its book was not valid, the mark of the account then."""
    marks2 = fills[:, 7].copy()
    unmarked = np.flatnonzero(marks2 <= 0)
    row = np.searchsorted(account.us, fills[unmarked, 0], side="right") - 1
    marks2[unmarked] = account.marks2[np.maximum(row, 0)]
    return marks2


@dataclass(frozen=True)
class Pairs:
    """Lots bought and sold again, a row for each two fills that share some.

    Attributes:
        buy: Row of the fill that bought.
        sell: Row of the fill that sold.
        lots: What they share.
    """

    buy: "Column"
    sell: "Column"
    lots: "Column"

    @property
    def closing(self) -> "Column":
        """The later fill of each pair."""
        return np.maximum(self.buy, self.sell)


def pairs(fills: "Table") -> Pairs:
    """Return *fills*, in their order, matched first in, first out."""
    return Pairs(*first_in_first_out(fills))


def realised(fills: "Table", matched: Pairs, account: "AccountSeries") -> int:
    """Return what the *matched* lots earned before fees, exactly, in units of the ledger."""
    move = fills[matched.sell, 3] - fills[matched.buy, 3]
    largest = int(np.abs(move).max(initial=0)) * int(matched.lots.max(initial=0))
    exact = np.int64 if largest * max(len(move), 1) < SAFE else object
    return 2 * account.half_tl * int((move.astype(exact) * matched.lots.astype(exact)).sum())


def trips(fills: "Table", matched: Pairs, instrument: "Instrument") -> dict[str, Any]:
    """Return the round trips of *matched* lots; money in the quote asset, after the fees of both ends.

    A round trip ends with each fill that closes something, and is of all that it closes; its beginning is the mean
    instant of the lots it closes, and ``holding_s`` the median time from there. A win is above 0. Without a round
    trip, all but ``n`` is None.
    """
    if len(matched.lots) == 0:
        return {"n": 0, **dict.fromkeys(("win_rate", "mean", "median", "best", "worst", "holding_s"))}
    lots = matched.lots.astype(np.float64)
    notional = instrument.tick_lot_e16 / (E8 * E8)
    fee = fills[:, 5] / E8 / fills[:, 4]
    earned = lots * ((fills[matched.sell, 3] - fills[matched.buy, 3]) * notional - fee[matched.sell] - fee[matched.buy])
    ends = matched.closing  # they rise
    begins = np.diff(ends, prepend=-1) > 0
    closing, trip = ends[begins], np.cumsum(begins) - 1
    opened_us = fills[np.minimum(matched.buy, matched.sell), 0] - fills[0, 0]
    result = np.bincount(trip, weights=earned)
    begun_us = np.bincount(trip, weights=lots * opened_us) / np.bincount(trip, weights=lots)
    held_us = fills[closing, 0] - fills[0, 0] - begun_us
    return {
        "n": len(result),
        "win_rate": float(np.count_nonzero(result > 0)) / len(result),
        "mean": float(result.mean()),
        "median": quantiles(result, [0.5])[0],
        "best": float(result.max()),
        "worst": float(result.min()),
        "holding_s": quantiles(held_us, [0.5])[0] / US_PER_S,
    }
