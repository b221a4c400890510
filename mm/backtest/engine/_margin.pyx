# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Watches the margin of our position in a contract, without the interpreter while nothing can happen.

The account in Python (``mm.backtest.margin``) books each fill in exact integers and says between which mark prices no
position is liquidated. From these the next instant follows at which it must be asked again, so an event costs nothing.
"""

from libc.math cimport fabs
from libc.stdint cimport int64_t

from mm.backtest.fills.base cimport NEVER

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mm.backtest.engine.contract_margin import ContractMargin

cdef enum:
    BLOCK_BITS = 6                      # marks in a block whose lowest and highest price are known: 64
    BLOCK = 1 << BLOCK_BITS


cdef class MarginWatch:
    """The marks of a tape, and the bounds of the account.

    Args:
        leverage: Leverage of the contract.
        most_e8: Largest notional at that leverage, 1e-8 of the quote asset.
        plain: Whether cheap bounds may tell that an order is covered.
    """

    def __init__(
        self, account: ContractMargin, leverage: int, lot_e8: int, tick_e8: int, most_e8: int, plain: bool
    ) -> None:
        self.account, self.leverage, self.plain = account, leverage, plain
        self.lot_e8, self.unit_e8, self.most_e8 = lot_e8, <double> lot_e8 * tick_e8 / 1e8, most_e8
        self.now_e8, self.low_e8, self.high_e8 = -1, -1, NEVER

    def take(self, us: NDArray[np.int64], mark_e8: NDArray[np.int64]) -> None:
        """Of the next tape; the last mark of the tape before stays in force."""
        cdef const int64_t[::1] instants = us, prices = mark_e8, lowest, highest
        firsts = np.arange(0, len(mark_e8), <int64_t> BLOCK)
        lowest = low = np.minimum.reduceat(mark_e8, firsts) if len(firsts) else np.empty(0, np.int64)
        highest = high = np.maximum.reduceat(mark_e8, firsts) if len(firsts) else np.empty(0, np.int64)
        self.owners = (us, mark_e8, low, high)
        self.next, self.marks = 0, instants.shape[0]
        if self.marks:
            self.mark_us, self.mark_e8 = &instants[0], &prices[0]
            self.lowest, self.highest = &lowest[0], &highest[0]

    def mark_before(self, int64_t us) -> int:
        """Not before earlier instants; -1 for none."""
        self.pass_marks(us)
        return self.now_e8

    def bound(self, low_e8: int, high_e8: int) -> None:
        """Set the mark prices from which on the account must be asked again, below and above."""
        self.low_e8, self.high_e8 = low_e8, min(high_e8, NEVER)

    def begin(self, start_cost_e8: int) -> None:
        """Set what the position at the start cost, 1e-8 of the quote asset."""
        self.start_cost_e8 = start_cost_e8

    cdef void pass_marks(self, int64_t us) noexcept nogil:
        while self.next < self.marks and self.mark_us[self.next] < us:
            self.now_e8 = self.mark_e8[self.next]
            self.next += 1

    cdef int64_t due_us(self) noexcept nogil:
        """The next mark at or beyond a bound; NEVER for none."""
        cdef int64_t at = self.next
        if self.low_e8 < 0 and self.high_e8 >= NEVER:
            return NEVER
        while at < self.marks:
            if at & (BLOCK - 1) == 0 and self.low_e8 < self.lowest[at >> BLOCK_BITS] and self.highest[at >> BLOCK_BITS] < self.high_e8:
                at += BLOCK
                continue
            if not self.low_e8 < self.mark_e8[at] < self.high_e8:
                return self.mark_us[at]
            at += 1
        return NEVER

    cdef bint is_above(self, int64_t us, int64_t lots) noexcept nogil:
        """Return whether a position is above the bracket of its leverage, at the mark price before an instant."""
        self.pass_marks(us)
        return self.now_e8 > 0 and fabs(<double> lots * self.now_e8) * self.lot_e8 * 1e-8 > self.most_e8

    cdef bint surely(
        self, int64_t side, int64_t ticks, int64_t lots, int64_t bid, double held, double equity_e8, const double* open_e8
    ) noexcept nogil:
        """Return whether the margin covers an order by far more than the rounding errors of floats.

        *held* is the position in lots, *equity_e8* the margin balance at the mark price, *open_e8* the notionals of the
        open sells and buys. The exact rule is ``Wallet.refusal``.
        """
        cdef double price = <double> ticks, mark = <double> self.now_e8, worth, notional, after, lost
        if not self.plain or self.now_e8 <= 0 or ticks <= 0:
            return False
        if side < 0 and bid > ticks:
            price = <double> bid
        notional = price * self.unit_e8 * lots
        worth = held * mark * self.lot_e8 * 1e-8
        if side > 0:
            after = max(fabs(worth + open_e8[1] + notional), fabs(worth - open_e8[0]))
        else:
            after = max(fabs(worth + open_e8[1]), fabs(worth - open_e8[0] - notional))
        lost = max(0.0, side * (notional - mark * self.lot_e8 * 1e-8 * lots))
        if after >= self.most_e8 * (1.0 - 1e-9):
            return False
        return after / self.leverage + lost + 1e-9 * (after + lost + fabs(equity_e8)) + 1e3 < equity_e8

    cdef int refusal(
        self, int64_t us, int64_t side, int64_t ticks, int64_t lots, int64_t bid, int64_t ask
    ) except -1 nogil:
        """The reason as in the journal; 0 for none."""
        with gil:
            return self.account.refusal(us, side, ticks, lots, bid, ask)

    cdef int filled(self, int64_t us, int64_t side, int64_t ticks, int64_t lots, int64_t fee_e8) except -1 nogil:
        if self.settles:
            return 0
        with gil:
            self.account.filled(us, side, ticks, lots, fee_e8)
        return 0

    cdef int due(self, int64_t us) except -1 nogil:
        with gil:
            self.account.due(us)
        return 0
