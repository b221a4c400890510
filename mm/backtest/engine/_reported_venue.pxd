# cython: cdivision=True
# A venue whose orders end as they are reported.

from libc.stdint cimport int64_t

from mm.backtest.engine._account cimport wide
from mm.backtest.engine._own_orders cimport OwnOrders
from mm.backtest.engine._venue cimport OrderVenue
from mm.backtest.fills.base cimport NEVER, Order


cdef class ReportedVenue(OrderVenue):
    cdef bint reported                  # whether orders end by reports
    cdef bint binds                     # whether balances bind orders; the margin of contracts is the exchange's to judge
    cdef bint funds_known               # whether the balances below are those of the exchange
    cdef int64_t held_lots              # base asset that is free, or locked by our orders of this symbol
    cdef wide held_e16                  # quote asset, likewise, 1e-16
    cdef int64_t sends_from_us[2]       # since when orders leave again; sells, buys
    cdef int refused_code               # why they do not before

    cdef void report(self) noexcept
    cdef void hold(self, int64_t side, int64_t until_us) noexcept
    cdef int funds(self, int64_t held_lots, int64_t held_e8) except -1
    cdef int accepted(self, int64_t order_id, int64_t us) except -1
    cdef int rejected(self, int64_t order_id, int64_t us, int reason) except -1
    cdef int filled(
        self, int64_t order_id, int64_t us, int64_t side, int64_t ticks, int64_t lots, int64_t fee_lots, int64_t fee_e8,
        bint took
    ) except -1
    cdef int closed(self, int64_t order_id, int64_t us, bint expired) except -1
    cdef int open_again(self, int64_t order_id) except -1
    cdef int amended(self, int64_t order_id, int64_t us, int64_t lots, int64_t ticks) except -1
    cdef int amend_failed(self, int64_t order_id, int64_t us, bint refused, int reason) except -1
    cdef int add(self, Order* order, int64_t lots) except -1
    cdef int drop_move(self, Order* order) except -1
    cdef int complete(self, Order* order, int64_t us) except -1
