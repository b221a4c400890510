# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Single-pass kernels over state rows or fills: account, inventory, drawdowns, PnL parts and round trips.

Integers are added with 64 bits that wrap around; every function that adds them also returns the largest magnitudes, by
which its caller checks whether an overflow was possible.
"""

from libc.math cimport fabs
from libc.stdint cimport int64_t, uint8_t, uint64_t

from mm.backtest.metrics._rows_at cimport row_at

from typing import TYPE_CHECKING

import numpy as np

from mm.tape.columns import in_pieces

if TYPE_CHECKING:
    from typing import Any

WHOLE = (1 << 64) - 1  # type: int  # mask of 64 bits
cdef enum:
    BLOCK = 128  # values that are added in sequence, in eight partial sums


def columns(
    table: NDArray[np.int64], half_tl: int, fee: int, initial_cash_e8: int
) -> tuple[
    NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64], tuple[int, int, int, int]
]:
    """Return instant, inventory in lots, mark, validity of the book and equity of each state row; and magnitudes.

    A mark is bid + ask in ticks; if the book is invalid, the mark of the last row before (else after) with a valid one.
    Equity is cash plus inventory at the mark, in the units of a ledger. Magnitudes are the greatest absolute cash in
    tick·lots, inventory, mark and fees. A mapped *table* is read in pieces, which are released.
    """
    cdef const int64_t[:, ::1] state
    cdef int64_t rows = len(table), begin, i, at, mark = 0, first = -1, cash = 0, held = 0, fees = 0, most = 0
    cdef uint64_t per_half = half_tl & WHOLE, per_fee = fee & WHOLE, initial = initial_cash_e8 & WHOLE
    us, inventory, marks2 = np.empty(rows, np.int64), np.empty(rows, np.int64), np.empty(rows, np.int64)
    valid, worth = np.empty(rows, np.bool_), np.empty(rows, np.int64)
    cdef int64_t[::1] all_us = us, all_held = inventory, marks = marks2, units = worth
    cdef uint8_t[::1] is_valid = valid.view(np.uint8)
    for begin, piece in in_pieces(table):
        state = piece
        with nogil:
            for i in range(state.shape[0]):
                at = begin + i
                all_us[at], all_held[at], is_valid[at] = state[i, 0], state[i, 1], state[i, 4] > 0
                if state[i, 4] != 0:
                    mark = state[i, 4]
                    if first < 0:
                        first = at
                marks[at], units[at] = mark, equity(&state[i, 0], mark, per_half, per_fee, initial)
                held, cash = max(held, size(state[i, 1])), max(cash, size(state[i, 2]))
                fees, most = max(fees, size(state[i, 3])), max(most, size(mark))
    state = table
    with nogil:
        for i in range(first):  # without a valid book before
            marks[i], units[i] = marks[first], equity(&state[i, 0], marks[first], per_half, per_fee, initial)
    return us, inventory, marks2, valid, worth, (cash, held, most, fees)


cdef inline int64_t equity(
    const int64_t* row, int64_t mark2, uint64_t per_half, uint64_t per_fee, uint64_t initial_cash_e8
) noexcept nogil:
    """Return the equity of a state row at a mark; it wraps around."""
    cdef uint64_t half_tl = 2 * <uint64_t> row[2] + <uint64_t> row[1] * <uint64_t> mark2
    return <int64_t> (per_half * half_tl + per_fee * (initial_cash_e8 - <uint64_t> row[3]))


def held_sums(
    const int64_t[::1] us, const int64_t[::1] inventory, target: int
) -> tuple[float, float, float, int, int]:
    """Return Σ t·d, Σ t·|d| and Σ t·d² over rows, and the least and the greatest d, which is inventory minus *target*.

    t is the time from a row to the next one. Summation is pairwise, as in ``numpy.sum``.
    """
    cdef double sums[3]
    cdef int64_t rows = us.shape[0], i, less = target, least = inventory[0], most = least
    with nogil:
        _pairwise(&us[0], &inventory[0], less, rows - 1, sums)
        for i in range(rows):
            least, most = min(least, inventory[i]), max(most, inventory[i])
    return sums[0], sums[1], sums[2], least - less, most - less


cdef void _pairwise(
    const int64_t* us, const int64_t* inventory, int64_t target, int64_t rows, double* sums
) noexcept nogil:
    """Set *sums* to the sums of ``held_sums`` over *rows* rows, each of which lasts until the next."""
    cdef double part[8][3]
    cdef double other[3]
    cdef int64_t i, half
    cdef int j, k
    if rows > BLOCK:
        half = rows // 2 - rows // 2 % 8
        _pairwise(us, inventory, target, half, sums)
        _pairwise(us + half, inventory + half, target, rows - half, other)
        for k in range(3):
            sums[k] += other[k]
        return
    for k in range(3):
        sums[k] = 0
    i = 0
    if rows >= 8:
        for j in range(8):
            for k in range(3):
                part[j][k] = 0
        while i + 8 <= rows:
            for j in range(8):
                _add(part[j], us + i + j, inventory[i + j] - target)
            i += 8
        for k in range(3):
            sums[k] = ((part[0][k] + part[1][k]) + (part[2][k] + part[3][k])) + (
                (part[4][k] + part[5][k]) + (part[6][k] + part[7][k])
            )
    while i < rows:
        _add(sums, us + i, inventory[i] - target)
        i += 1


cdef inline void _add(double* sums, const int64_t* us, int64_t away) noexcept nogil:
    cdef double time = <double> (us[1] - us[0]), far = <double> away
    sums[0] += time * far
    sums[1] += time * fabs(far)
    sums[2] += time * (far * far)


cdef inline int64_t size(int64_t value) noexcept nogil:
    return -value if value < 0 else value


ctypedef fused Whole:
    int64_t
    object  # Python integers, if 64 bits are too few


def falls(const int64_t[::1] us, equity: NDArray[Any]) -> tuple[Any, int, int, bool]:
    """Return the drawdown figures of at least one row of equity.

    The maximum drawdown; the longest time from a peak to the next row at least as high, or to the end; the time below
    a peak, each row until the next; and whether the last row is below one. Later rows at the height of a peak are also
    peaks. *equity* is int64, or Python integers.
    """
    return falls_in[object](us, equity) if equity.dtype == object else falls_in[int64_t](us, equity)


cdef tuple falls_in(const int64_t[::1] us, Whole[::1] equity):
    cdef int64_t i, peak = 0, longest = 0, below = 0, rows = us.shape[0]
    cdef Whole top = equity[0], deepest = top - top
    for i in range(1, rows):
        if equity[i] < top:
            deepest = max(deepest, top - equity[i])
            if i + 1 < rows:
                below += us[i + 1] - us[i]
            continue
        if i - peak > 1:
            longest = max(longest, us[i] - us[peak])
        top, peak = equity[i], i
    return deepest, max(longest, us[rows - 1] - us[peak]), below, equity[rows - 1] < top


def rows_every(const int64_t[:] us, int64_t step_us) -> NDArray[np.int64]:
    """Return the last row at or before each instant, *step_us* apart from the first row on; there is at least one."""
    cdef int64_t rows = us.shape[0], stride = us.strides[0] // sizeof(int64_t), i, at = 0, last = 0
    found = np.empty((us[rows - 1] - us[0]) // step_us + 1, np.int64)
    cdef int64_t[::1] row = found
    for i in range(row.shape[0]):
        # The search starts where the row would be if this step had as many rows as the one before.
        row[i] = row_at(&us[0], stride, rows, us[0] + i * step_us, min(2 * at - last, rows - 1))
        last, at = at, row[i]
    return found


def split_sums(
    const int64_t[:, ::1] fills, const int64_t[::1] marks2, first: tuple[int, int], last_mark2: int
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
    cdef uint64_t spread = 0, moved = 0, fees = 0  # signed values; unsigned, so that overflow is defined
    cdef int64_t i, mark = first[0], held = first[1], ending = last_mark2
    cdef int64_t marks = max(size(mark), size(ending)), prices = 0, most = size(held), lots = 0, fee = 0
    with nogil:
        for i in range(fills.shape[0]):
            spread += <uint64_t> (fills[i, 2] * fills[i, 4]) * <uint64_t> (marks2[i] - 2 * fills[i, 3])
            moved += <uint64_t> held * <uint64_t> (marks2[i] - mark)
            fees += <uint64_t> fills[i, 5]
            mark, held = marks2[i], fills[i, 8]
            marks, prices = max(marks, size(mark)), max(prices, size(fills[i, 3]))
            most, lots, fee = max(most, size(held)), max(lots, size(fills[i, 4])), max(fee, size(fills[i, 5]))
        moved += <uint64_t> held * <uint64_t> (ending - mark)
    return (<int64_t> spread, <int64_t> moved, <int64_t> fees), (marks, prices, most, lots, fee)


def first_in_first_out(const int64_t[:, :] fills) -> NDArray[np.int64]:
    """Return buys and sells matched first in, first out, int64[3, pairs]: row of the buy, row of the sell, lots."""
    pairs = np.empty((3, fills.shape[0]), np.int64)
    cdef int64_t[:, ::1] found = pairs, side = np.empty((2, fills.shape[0] + 1), np.int64)  # rows of buys and of sells
    cdef int64_t i, lots, buy = 0, sell = 0, buys = 0, sells = 0, bought = 0, sold = 0, count = 0
    with nogil:
        for i in range(fills.shape[0]):  # written to both; a counter advances only for its side (no branch)
            side[0, buys] = side[1, sells] = i
            buys += (fills[i, 2] > 0) & (fills[i, 4] != 0)
            sells += (fills[i, 2] < 0) & (fills[i, 4] != 0)
        while True:
            if bought == 0:
                if buy == buys:
                    break
                bought = fills[side[0, buy], 4]
                buy += 1
            if sold == 0:
                if sell == sells:
                    break
                sold = fills[side[1, sell], 4]
                sell += 1
            lots = min(bought, sold)
            found[0, count], found[1, count], found[2, count] = side[0, buy - 1], side[1, sell - 1], lots
            bought -= lots
            sold -= lots
            count += 1
    return pairs[:, :count]


def matched_sums(
    const int64_t[:, ::1] fills, const int64_t[::1] buy, const int64_t[::1] sell, const int64_t[::1] lots
) -> tuple[int, int, int]:
    """Return the PnL of pairs of matched lots, in tick·lots; and the greatest absolute move and quantity of a pair."""
    cdef uint64_t earned = 0
    cdef int64_t i, move, moves = 0, most = 0
    with nogil:
        for i in range(buy.shape[0]):
            move = fills[sell[i], 3] - fills[buy[i], 3]
            earned += <uint64_t> move * <uint64_t> lots[i]
            moves, most = max(moves, size(move)), max(most, size(lots[i]))
    return <int64_t> earned, moves, most


def round_trips(
    const int64_t[:, ::1] fills,
    const int64_t[::1] buy,
    const int64_t[::1] sell,
    const int64_t[::1] lots,
    double notional,
    double e8,
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
    cdef int64_t i, end, at = -1, last = -1
    cdef double earned, weight = 0, opened = 0, quantity
    result, held_us = np.empty(buy.shape[0]), np.empty(buy.shape[0])
    cdef double[::1] gains = result, times = held_us
    with nogil:
        for i in range(buy.shape[0]):
            end, quantity = max(buy[i], sell[i]), <double> lots[i]
            if end != last:
                if at >= 0:
                    times[at] = <double> (fills[last, 0] - fills[0, 0]) - opened / weight
                at += 1
                gains[at] = weight = opened = 0
                last = end
            earned = <double> (fills[sell[i], 3] - fills[buy[i], 3]) * notional - _fee(fills, sell[i], e8)
            gains[at] += quantity * (earned - _fee(fills, buy[i], e8))
            weight += quantity
            opened += quantity * <double> (fills[min(buy[i], sell[i]), 0] - fills[0, 0])
        if at >= 0:
            times[at] = <double> (fills[last, 0] - fills[0, 0]) - opened / weight
    return result[: at + 1], held_us[: at + 1]


cdef inline double _fee(const int64_t[:, ::1] fills, int64_t row, double e8) noexcept nogil:
    """Return the fee per lot of a fill, in the quote asset."""
    return <double> fills[row, 5] / e8 / <double> fills[row, 4]
