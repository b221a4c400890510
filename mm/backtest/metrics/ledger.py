"""The account at every state row, without a rounding.

It is kept in integers of one unit, the largest that divides both a half tick·lot and 1e-8 of the quote asset; a number
becomes a float once, at the end.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.journal import Table
    from mm.instrument import Instrument

    Column = NDArray[np.int64]


@dataclass(frozen=True)
class Ledger:
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


def ledger(state: "Table", instrument: "Instrument", initial_cash_e8: int) -> Ledger:
    """Return the account of a journal's *state* rows."""
    us, inventory, cash_tl, fees_e8, mid2, _ = state.T
    half_tl, fee = 5 * instrument.tick_e8 * instrument.lot_e8, 10**9  # of 1e-17
    common = math.gcd(half_tl, fee)  # a divisor of 10**17, too
    half_tl, fee = half_tl // common, fee // common
    marks2 = last_valid(mid2)
    largest = half_tl * (2 * _size(cash_tl) + _size(inventory) * _size(marks2)) + fee * (
        initial_cash_e8 + _size(fees_e8)
    )
    exact = np.int64 if largest < 2**62 else object
    equity = half_tl * (2 * cash_tl.astype(exact) + inventory.astype(exact) * marks2)
    equity = equity + fee * (initial_cash_e8 - fees_e8.astype(exact))
    return Ledger(us, inventory, marks2, mid2 > 0, equity, half_tl, fee, 10**17 // common)


def last_valid(mid2: "Column") -> "Column":
    """Return *mid2* with each 0 replaced by the last value before it, or the first after it, that is not 0."""
    valid = np.flatnonzero(mid2)
    if len(valid) == 0:
        return mid2
    last = np.searchsorted(valid, np.arange(len(mid2)), side="right") - 1
    return mid2[valid[np.maximum(last, 0)]]


def _size(values: "Column") -> int:
    return int(np.abs(values).max(initial=0))
