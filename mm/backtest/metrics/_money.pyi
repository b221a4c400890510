# Generated from mm/backtest/metrics/_money.pyx by `make stubs`; edit that file instead.

"""One pass each over state rows or fills: the account, what was held, drawdowns, parts of the gain, and round trips.

Whole numbers are added as 64 bits that wrap around; every function also returns the sizes by which its caller knows
whether they could have.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

WHOLE: int  # the bits of a number

def columns(
    state: NDArray[np.int64], half_tl: int, fee: int, initial_cash_e8: int
) -> tuple[
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.bool_],
    NDArray[np.int64],
    tuple[int, int, int, int],
]:
    """Return instants, lots held, marks, whether the book was valid, and equity of each state row; and sizes.

    A mark is bid + ask in ticks; where the book was not valid that of the last row before (else after) where it was.
    Equity is cash and inventory at the marks, in the units of a ledger. Sizes are the greatest absolute cash in
    tick·lots, inventory, mark and fees.
    """

def held_sums(us: NDArray[np.int64], inventory: NDArray[np.int64], target: int) -> tuple[float, float, float, int, int]:
    """Return Σ t·d, Σ t·|d| and Σ t·d² over rows, and the least and the greatest d, which is inventory less *target*.

    The time t of a row lasts until the next one. Halves are added first, as ``numpy.sum`` does it.
    """

def falls(us: NDArray[np.int64], equity: NDArray[Any]) -> tuple[Any, int, int, bool]:
    """Return how equity fell below its highest value so far, in rows of which there is one or more.

    The deepest fall; the longest time from a peak to the next row at least as high, or to the end; the time below a
    peak, each row until the next; and whether the last row is below one. Rows that follow a peak at its height are
    peaks. *equity* is int64, or Python integers.
    """

def rows_every(us: NDArray[np.int64], step_us: int) -> NDArray[np.int64]:
    """Return the last of rising rows at or before each instant from the first one on, *step_us* apart; there is one."""

def split_sums(
    fills: NDArray[np.int64], marks2: NDArray[np.int64], first: tuple[int, int], last_mark2: int
) -> tuple[tuple[int, int, int], tuple[int, int, int, int, int]]:
    """Return what fills earned against their marks, what was held times the moves of the mark, and fees; and sizes.

    Args:
        fills: The table of a journal.
        marks2: Bid + ask at each of them, in ticks.
        first: Mark and inventory at the begin.
        last_mark2: Mark at the end.

    Returns:
        Both gains in half tick·lots, and fees in 1e-8; then the greatest absolute mark, price, inventory, quantity and
        fee.
    """

def matched_sums(
    fills: NDArray[np.int64], buy: NDArray[np.int64], sell: NDArray[np.int64], lots: NDArray[np.int64]
) -> tuple[int, int, int]:
    """Return what pairs of matched lots earned, in tick·lots; and the greatest absolute move and quantity of a pair."""

def round_trips(
    fills: NDArray[np.int64],
    buy: NDArray[np.int64],
    sell: NDArray[np.int64],
    lots: NDArray[np.int64],
    notional: float,
    e8: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what each round trip earned after fees, and the µs from the mean instant of its lots to its end.

    Args:
        fills: The table of a journal.
        buy: Of each pair of matched lots the fill that bought.
        sell: The fill that sold. The later one of both rises.
        lots: What they share.
        notional: What a tick·lot is worth in the quote asset.
        e8: Units of fees in one of the quote asset.
    """
