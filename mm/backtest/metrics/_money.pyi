# Generated from mm/backtest/metrics/_money.pyx by `make stubs`; edit that file instead.

"""Single-pass kernels over state rows or fills: account, inventory, drawdowns, PnL parts and round trips.

Integers are added with 64 bits that wrap around; every function that adds them also returns the largest magnitudes, by
which its caller checks whether an overflow was possible.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

WHOLE: int  # mask of 64 bits

def columns(
    table: NDArray[np.int64], half_tl: int, fee: int, initial_cash_e8: int
) -> tuple[
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.bool_],
    NDArray[np.int64],
    tuple[int, int, int, int],
]:
    """Return instant, inventory in lots, mark, validity of the book and equity of each state row; and magnitudes.

    A mark is bid + ask in ticks; if the book is invalid, the mark of the last row before (else after) with a valid one.
    Equity is cash plus inventory at the mark, in the units of a ledger. Magnitudes are the greatest absolute cash in
    tick·lots, inventory, mark and fees. A mapped *table* is read in pieces, which are released.
    """

def held_sums(us: NDArray[np.int64], inventory: NDArray[np.int64], target: int) -> tuple[float, float, float, int, int]:
    """Return Σ t·d, Σ t·|d| and Σ t·d² over rows, and the least and the greatest d, which is inventory minus *target*.

    t is the time from a row to the next one. Summation is pairwise, as in ``numpy.sum``.
    """

def falls(us: NDArray[np.int64], equity: NDArray[Any]) -> tuple[Any, int, int, bool]:
    """Return the drawdown figures of at least one row of equity.

    The maximum drawdown; the longest time from a peak to the next row at least as high, or to the end; the time below
    a peak, each row until the next; and whether the last row is below one. Later rows at the height of a peak are also
    peaks. *equity* is int64, or Python integers.
    """

def rows_every(us: NDArray[np.int64], step_us: int) -> NDArray[np.int64]:
    """Return the last row at or before each instant, *step_us* apart from the first row on; there is at least one."""

def split_sums(
    fills: NDArray[np.int64], marks2: NDArray[np.int64], first: tuple[int, int], last_mark2: int
) -> tuple[tuple[int, int, int], tuple[int, int, int, int, int]]:
    """Return spread capture against the marks, inventory times the moves of the mark, and fees; and magnitudes.

    Args:
        fills: The table of a journal.
        marks2: Bid + ask at each fill, in ticks.
        first: Mark and inventory at the start.
        last_mark2: Mark at the end.

    Returns:
        Both PnL parts in half tick·lots, and fees in 1e-8; then the greatest absolute mark, price, inventory, quantity
        and fee.
    """

def first_in_first_out(fills: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return buys and sells matched first in, first out, int64[3, pairs]: row of the buy, row of the sell, lots."""

def matched_sums(
    fills: NDArray[np.int64], buy: NDArray[np.int64], sell: NDArray[np.int64], lots: NDArray[np.int64]
) -> tuple[int, int, int]:
    """Return the PnL of pairs of matched lots, in tick·lots; and the greatest absolute move and quantity of a pair."""

def round_trips(
    fills: NDArray[np.int64],
    buy: NDArray[np.int64],
    sell: NDArray[np.int64],
    lots: NDArray[np.int64],
    notional: float,
    e8: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the PnL of each round trip after fees, and the µs from the mean opening instant of its lots to its end.

    Args:
        fills: The table of a journal.
        buy: Row of the buying fill of each pair of matched lots.
        sell: Row of the selling fill. The later row of each pair is non-decreasing.
        lots: Lots of the pair.
        notional: Value of a tick·lot in the quote asset.
        e8: Units of fees per unit of the quote asset.
    """
