"""The account at every state row, PnL decomposition, and the round trips of the fills.

Amounts are integers of one unit, the largest that divides both a half tick·lot and 1e-8 of the quote asset; each is
converted to float once, at the end. So total = quoting + hold and quoting = spread + inventory − fees hold exactly.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics._money import columns, first_in_first_out, matched_sums, round_trips, rows_every, split_sums
from mm.backtest.metrics.arithmetic import median
from mm.clock import US_PER_S
from mm.errors import MMError
from mm.instrument import E8

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mm.backtest.journal import Journal, Table
    from mm.backtest.run_terms import RunTerms
    from mm.instrument import Instrument

    Column = NDArray[np.int64]
    Floats = NDArray[np.float64]

SAFE = 2**62
PERIOD_US = 60_000_000


def periods(us: "Column", valid: "NDArray[np.bool_]") -> tuple["Column", "NDArray[np.bool_]"]:
    """Return the rows at the ends of the 60 s periods from the first row on, and which periods count.

    The row at an instant is the last one at or before it. A period does not count if equity at either of its ends is
    not *valid* (no mid) or older than a period (nothing was recorded).
    """
    if len(us) == 0:
        return np.empty(0, np.int64), np.empty(0, np.bool_)
    row = rows_every(us, PERIOD_US)
    known = valid[row] & (us[0] + PERIOD_US * np.arange(len(row)) - us[row] < PERIOD_US)
    return row, known[1:] & known[:-1]


@dataclass(frozen=True)
class AccountSeries:
    """The exact account at every state row.

    Attributes:
        us: Instants of the rows.
        inventory: Inventory in lots.
        marks2: Bid + ask in ticks; if the book is invalid, that of the last row before (else after) with a valid book.
        valid: Whether the book was valid.
        equity: Cash + inventory at the mark, in units (Python integers if 64 bits are too few).
        quoting: PnL of the quoting since the first row: change of equity less that of the target inventory at the
            mark, and without the funding of the target; in units.
        half_tl: Units per half tick·lot.
        fee: Units per 1e-8 of the quote asset.
        per_quote: Units per unit of the quote asset.
    """

    us: "Column"
    inventory: "Column"
    marks2: "Column"
    valid: "NDArray[np.bool_]"
    equity: "NDArray[Any]"
    quoting: "NDArray[Any]"
    half_tl: int
    fee: int
    per_quote: int

    @cached_property
    def periods(self) -> tuple["Column", "NDArray[np.bool_]"]:
        """The `periods` of its rows."""
        return periods(self.us, self.valid)

    def quote(self, units: int) -> float:
        """Return *units* converted to the quote asset."""
        return int(units) / self.per_quote


def account_of(journal: "Journal", terms: "RunTerms") -> AccountSeries:
    """Return the account of a run."""
    return ledger(journal.state, terms.instrument, terms.initial_cash_e8, terms.target_lots, terms.target_funding)


def changes_60s(account: AccountSeries) -> tuple["Floats", "NDArray[np.bool_]"]:
    """Return the quoting PnL of each of the 60 s `periods`, in the quote asset, and which periods count."""
    row, used = account.periods
    return np.diff(account.quoting[row]).astype(np.float64) / account.per_quote, used


def ledger(
    state: "Table",
    instrument: "Instrument",
    initial_cash_e8: int,
    target_lots: int = 0,
    target_funding: "Sequence[tuple[int, int]]" = (),
) -> AccountSeries:
    """Return the account of a journal's *state* rows.

    *target_funding* are the instants and amounts, in 1e-8 of the quote asset, of the funding of the target inventory.
    """
    half_tl, fee = 5 * instrument.tick_lot_e16, 10**9  # in units of 1e-17
    common = math.gcd(half_tl, fee)  # a divisor of 10**17, too
    half_tl, fee = half_tl // common, fee // common
    us, inventory, marks2, valid, units, sizes = columns(state, half_tl, fee, initial_cash_e8)
    most_cash, most_held, highest, most_fees = sizes
    most_held += abs(target_lots)
    if half_tl * (2 * most_cash + most_held * highest) + fee * (abs(initial_cash_e8) + 2 * most_fees) >= SAFE:
        cash_tl, fees_e8 = state[:, 2].astype(object), state[:, 3].astype(object)
        units = half_tl * (2 * cash_tl + inventory.astype(object) * marks2) + fee * (initial_cash_e8 - fees_e8)
    quoting = units - half_tl * target_lots * marks2.astype(units.dtype)
    for at_us, paid_e8 in target_funding:
        row = int(np.searchsorted(us, at_us, side="right"))
        if row and us[row - 1] == at_us:
            row -= 1  # the last row of the instant follows the payment
        quoting[row:] += fee * paid_e8
    return AccountSeries(us, inventory, marks2, valid, units, quoting - quoting[:1], half_tl, fee, 10**17 // common)


@dataclass(frozen=True)
class Pnl:
    """A run's PnL from its first to its last state row, in units of the ledger.

    total = quoting + hold, and quoting = spread + inventory − fees, where inventory is that beyond the target, and
    hold is what the target inventory alone earned.
    """

    total: int
    quoting: int
    hold: int
    spread: int
    inventory: int
    fees: int


def split(fills: "Table", account: "AccountSeries", terms: "RunTerms | None" = None) -> Pnl | None:
    """Return the PnL and its parts, or None if no state row has a valid book to mark at.

    Spread is the sum of s·q·(m − p) over fills, with the mid m before the fill; inventory is the position beyond the
    target of *terms* (0 without) times the move of the mid between fills, minus the funding paid for it; hold is the
    same of the target. All are summed from the fills alone and checked against the account.

    Raises:
        MMError: If fills and state rows do not add up, which is a bug in the engine.
    """
    if not account.valid.any():
        return None
    target, funding_e8 = (0, 0) if terms is None else (terms.target_lots, terms.funding_e8 or 0)
    kept_e8 = 0 if terms is None else sum(paid_e8 for _, paid_e8 in terms.target_funding)
    marks2, first = fill_marks(fills, account), (int(account.marks2[0]), int(account.inventory[0]))
    last2 = int(account.marks2[-1])
    (spread, held, fees), (highest, price, most, lots, fee) = split_sums(fills, marks2, first, last2)
    largest = 2 * max(highest, 2 * price) * max(most, lots, 1)
    if max(largest, fee) * (len(fills) + 1) >= SAFE:
        spread, held, fees = _split_exactly(fills.astype(object), [first[0], *marks2.tolist(), last2], first[1])
    carried = target * (last2 - first[0])
    hold = carried * account.half_tl - kept_e8 * account.fee
    inventory = (held - carried) * account.half_tl - (funding_e8 - kept_e8) * account.fee
    quoting = spread * account.half_tl + inventory - fees * account.fee
    total = int(account.equity[-1]) - int(account.equity[0])
    if residual := total - quoting - hold or int(account.quoting[-1]) - quoting:
        raise MMError(
            f"journal: fills and state rows differ by {account.quote(residual)} of the quote asset over "
            f"{len(fills)} fills; this is a fault of the engine, please report it with the run's manifest"
        )
    return Pnl(total, quoting, hold, spread * account.half_tl, inventory, fees * account.fee)


def _split_exactly(fills: "NDArray[Any]", marks2: list[int], held: int) -> tuple[int, int, int]:
    """Return the sums of ``split_sums`` if 64 bits are too few: *fills* are Python integers."""
    side, ticks, lots, fee_e8, after = (fills[:, column] for column in (2, 3, 4, 5, 8))
    marks = np.array(marks2, object)
    spread = (side * lots * (marks[1:-1] - 2 * ticks)).sum()
    return int(spread), int((np.array([held, *after], object) * np.diff(marks)).sum()), int(fee_e8.sum())


def fill_marks(fills: "Table", account: "AccountSeries") -> "Column":
    """Return bid + ask, in ticks, at each fill; if its book was not valid, the mark of the account at that time."""
    marks2 = fills[:, 7].copy()
    if (marks2 > 0).all():
        return marks2
    unmarked = np.flatnonzero(marks2 <= 0)
    row = np.searchsorted(account.us, fills[unmarked, 0], side="right") - 1
    marks2[unmarked] = account.marks2[np.maximum(row, 0)]
    return marks2


@dataclass(frozen=True)
class Pairs:
    """Matched lots, one row per pair of a buying and a selling fill.

    Attributes:
        buy: Row of the buying fill.
        sell: Row of the selling fill.
        lots: Number of lots matched between them.
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
    """Return the exact PnL of the *matched* lots before fees, in units of the ledger."""
    earned, move, lots = matched_sums(fills, matched.buy, matched.sell, matched.lots)
    if move * lots * max(len(matched.lots), 1) >= SAFE:
        moves = (fills[matched.sell, 3] - fills[matched.buy, 3]).astype(object)
        earned = int((moves * matched.lots.astype(object)).sum())
    return 2 * account.half_tl * earned


def round_trip_stats(fills: "Table", matched: Pairs, instrument: "Instrument") -> dict[str, Any]:
    """Return the round trips of *matched* lots; money in the quote asset, after the fees of both ends.

    Each fill that reduces the position ends one round trip, of all lots it closes; the trip begins at the mean opening
    instant of these lots, and ``holding_s`` is the median duration. A win has a PnL above 0. Without round trips, all
    but ``n`` are None.
    """
    if len(matched.lots) == 0:
        return {"n": 0, **dict.fromkeys(("win_rate", "mean", "median", "best", "worst", "holding_s"))}
    notional = instrument.tick_lot_e16 / (E8 * E8)
    result, held_us = round_trips(fills, matched.buy, matched.sell, matched.lots, notional, E8)
    return {
        "n": len(result),
        "win_rate": float(np.count_nonzero(result > 0)) / len(result),
        "mean": float(result.mean()),
        "median": median(result),
        "best": float(result.max()),
        "worst": float(result.min()),
        "holding_s": median(held_us) / US_PER_S,
    }
