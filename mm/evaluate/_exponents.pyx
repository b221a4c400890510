# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Queue positions under many exponents in one replay of a day, as the replay costs more than all queues."""

from libc.stdint cimport int64_t, uint8_t

from mm.backtest.fills.base cimport Order, Top, Trade
from mm.backtest.fills.queue cimport QueueProbPower

import numpy as np
from numpy.typing import NDArray


cdef class QueueByExponents(QueueProbPower):
    """`queue_prob_power` for orders of one lot with many exponents, each with its own queue position of an order.

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
