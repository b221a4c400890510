# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Fills by queue position, estimated from an aggregated (L2) book."""

from libc.math cimport log
from libc.math cimport pow as power
from libc.stdint cimport int64_t, uint8_t

from mm.backtest.fills.base cimport FillModel, Order, Top, Trade

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mm.backtest import declarations



cdef class Queue(FillModel):
    """A resting order fills when all lots ahead of it at its price have traded or been cancelled.

    - on arrival, the lots displayed at its price, less those printed there since the last book event, are ahead
    - a print at its price from the other side consumes the lots ahead first; its remaining lots fill the order
    - a print beyond its price fills it, because trades do not skip a better price
    - a decrease of the displayed lots by more than the printed lots is cancellations; the share `ahead_share` of them
      was ahead of us, and the lots ahead never exceed the displayed lots
    - the other side's best price at or beyond its price fills the remaining lots

    Subclasses implement `ahead_share`.
    """

    def __cinit__(self, *_args, **_kwargs) -> None:
        self.needs_trades = self.needs_book = self.needs_levels = self.reached_only = self.crossed_only = True
        self.by_levels = True

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how a copy is made: from the parameters, as nothing else lasts from run to run."""
        return partial(type(self), **self.parameters()), (), getattr(self, "__dict__", None)

    def parameters(self) -> dict[str, Any]:
        """Return the values of its parameters, by name."""
        return {}

    @property
    def reasons(self) -> tuple[str, ...]:
        """Fill reasons: after a trade, after a book change, drawn (unused)."""
        return "queue:trade", "queue:book", "queue:hazard"

    cdef double ahead_share(self, double ahead, double behind) noexcept nogil:
        """Return the share of cancelled lots at our price that was ahead of us, given the lots *ahead* and *behind*."""
        return 0.0

    cdef int on_rest(self, Order* order, const Top* top) except -1 nogil:
        set_ahead(order, <double> (order.level_lots - order.printed_lots))
        return 0

    cdef int64_t on_trade(self, Order* order, const Trade* trade) except -1 nogil:
        cdef int64_t beyond = order.side * (order.ticks - trade.ticks)
        cdef double excess
        if trade.side == order.side or beyond < 0:
            return 0
        if beyond > 0:
            set_ahead(order, 0.0)
            return min(order.lots, trade.lots)
        excess = <double> trade.lots - order.ahead_lots
        set_ahead(order, -excess)
        return min(order.lots, <int64_t> excess) if excess > 0.0 else 0

    cdef int on_level(self, Order* order, int64_t before_lots, int64_t after_lots) except -1 nogil:
        cdef double ahead = order.ahead_lots, behind, cancelled, ahead_cancelled
        behind = max(<double> (before_lots - order.printed_lots) - ahead, 0.0)
        cancelled = <double> (before_lots - order.printed_lots - after_lots)
        if cancelled > 0.0 and ahead > 0.0:
            ahead_cancelled = self.ahead_share(ahead, behind) * cancelled
            ahead -= max(ahead_cancelled, cancelled - behind)
        set_ahead(order, min(ahead, <double> after_lots))
        return 0

    cdef int64_t on_book(self, Order* order, const Top* top, int64_t elapsed_us) except -1 nogil:
        cdef int64_t other = top.ask_ticks if order.side > 0 else top.bid_ticks
        return order.lots if other and order.side * (order.ticks - other) >= 0 else 0


cdef inline void set_ahead(Order* order, double lots) noexcept nogil:
    """Set the lots ahead."""
    order.ahead_lots = max(lots, 0.0)


cdef class QueueRiskAverse(Queue):
    """All cancellations are behind us; only prints, or fewer displayed lots than lots ahead, advance the queue."""

    declared = declarations.QueueRiskAverse


cdef class QueueProbPower(Queue):
    """A cancellation was ahead of us with probability a^n / (a^n + b^n), a lots ahead and b behind."""

    declared = declarations.QueueProbPower

    def __init__(self, **given: Any) -> None:
        self.exponent = self.declared.settle(given)["exponent"]

    def parameters(self) -> dict[str, Any]:
        """Return the values of its parameters, by name."""
        return {"exponent": self.exponent}

    cdef double ahead_share(self, double ahead, double behind) noexcept nogil:
        # If (b / a)^n overflows, the share is 0: all behind. A product is faster than a power.
        cdef double ratio = behind / ahead
        return 1.0 / (1.0 + (ratio * ratio * ratio if self.exponent == 3.0 else power(ratio, self.exponent)))


cdef class QueueProbLog(Queue):
    """A cancellation was ahead of us with probability ln(1 + a) / (ln(1 + a) + ln(1 + b)), in lots."""

    declared = declarations.QueueProbLog

    cdef double ahead_share(self, double ahead, double behind) noexcept nogil:
        # log is faster than log1p, whose additional digits matter far below one lot only.
        cdef double first = log(1.0 + ahead), both = first + log(1.0 + behind)
        return first / both if both > 0.0 else 1.0


cdef class QueueByExponents(QueueProbPower):
    """`queue_prob_power` for orders of one lot with many exponents, each with its own queue position of an order.

    One replay of a day costs more than the queues of all exponents (`mm.evaluate.queue_exponent`).

    - all rules are those of `QueueProbPower`, separately for each exponent
    - orders share the lots of a print separately for each exponent
    - an order is filled once it is filled under all exponents

    Args:
        exponents: The exponents.
        orders: Total number of orders; their ids count from 1.
    """

    cdef double[::1] exponents
    cdef double[:, ::1] ahead   # by id and exponent
    cdef uint8_t[:, ::1] filled
    cdef int64_t[::1] left      # of the print that orders are matched with, by exponent

    def __init__(self, exponents: NDArray[np.float64], Py_ssize_t orders) -> None:
        super().__init__(exponent=float(exponents[0]))
        self.exponents = exponents.copy()
        self.ahead = np.zeros((orders + 1, len(exponents)))
        self.filled = np.zeros((orders + 1, len(exponents)), np.uint8)
        self.left = np.zeros(len(exponents), np.int64)

    def ahead_lots(self, Py_ssize_t order_id) -> NDArray[np.float64]:
        """Return the lots ahead of a resting order, by exponent; 0 if it has filled."""
        return np.where(self.filled[order_id], 0.0, self.ahead[order_id])

    cdef int on_rest(self, Order* order, const Top* top) except -1 nogil:
        cdef Py_ssize_t i
        if order.id >= self.ahead.shape[0]:
            with gil:
                raise IndexError(f"order {order.id}, but there is room for {self.ahead.shape[0] - 1}; give more orders")
        QueueProbPower.on_rest(self, order, top)
        for i in range(self.exponents.shape[0]):
            self.ahead[order.id, i] = order.ahead_lots
        return 0

    cdef int64_t print_lots(self, const Trade* trade) except -1 nogil:
        cdef Py_ssize_t i
        for i in range(self.left.shape[0]):
            self.left[i] = trade.lots
        return trade.lots

    cdef int64_t on_trade(self, Order* order, const Trade* trade) except -1 nogil:
        cdef Trade print_ = trade[0]
        cdef int64_t lots
        cdef Py_ssize_t i, open = 0
        for i in range(self.exponents.shape[0]):
            if self.filled[order.id, i]:
                continue
            print_.lots, order.ahead_lots = self.left[i], self.ahead[order.id, i]
            lots = min(QueueProbPower.on_trade(self, order, &print_), self.left[i])
            self.ahead[order.id, i] = order.ahead_lots
            self.left[i] -= lots
            self.filled[order.id, i] = lots > 0
            open += lots == 0
        return order.lots if open == 0 else 0

    cdef int on_level(self, Order* order, int64_t before_lots, int64_t after_lots) except -1 nogil:
        cdef Py_ssize_t i
        for i in range(self.exponents.shape[0]):
            if not self.filled[order.id, i]:
                self.exponent, order.ahead_lots = self.exponents[i], self.ahead[order.id, i]
                QueueProbPower.on_level(self, order, before_lots, after_lots)
                self.ahead[order.id, i] = order.ahead_lots
        return 0
