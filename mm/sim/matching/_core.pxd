# Interface of the matching core for other kernels; its Python interface is _core.pyi.
#
# Functions under "for other kernels" take and return numbers, check their arguments and raise the same errors as the
# equivalent Python method.
#
#     matching.place(us, account, side, ticks, lots, kind, stp)     submit
#     matching.withdraw(us, order_id)                               cancel
#     matching.shrink(us, order_id, lots)                           reduce; no effect unless below the remaining lots
#     matching.renew(us, order_id, ticks, lots, kind, stp)          replace

from libc.stdint cimport int32_t, int64_t

from mm.sim.matching._index cimport Index
from mm.sim.matching._ladder cimport Ladder
from mm.sim.matching._log cimport Log
from mm.sim.matching._owners cimport Owners
from mm.sim.matching._pool cimport Pool

cdef enum:
    WOULD_CROSS = -1        # returned instead of an order id
    FAILED = -2             # returned if an exception is set

# order_log.py has the same numbers. The enums are unnamed, since a range check would cast its value to 32 bits.
cdef enum:
    LIMIT = 0
    MAKER, IOC, FOK, MARKET

cdef enum:
    STP_NONE = 0
    STP_EXPIRE_TAKER, STP_EXPIRE_MAKER, STP_EXPIRE_BOTH, STP_DECREMENT

cdef enum:
    OP_SUBMIT = 1
    OP_CANCEL, OP_REDUCE, OP_REPLACE

cdef struct Order:          # a resting order
    int32_t behind          # next order in the queue, NONE for the last
    int32_t ahead
    int32_t level
    int32_t owner
    int64_t id
    int64_t lots            # remaining
    int32_t place           # index among its owner's orders

cdef struct Command:        # a row of run(), whose last column is an order id or a stp
    int64_t us, op, account, side, ticks, lots, kind, order_id, stp

cdef struct Taker:          # an incoming order, before it rests
    int64_t id
    int64_t account
    int64_t side
    int64_t ticks           # limit price, 0 for MARKET
    int64_t reach           # the worst price at which it trades
    int64_t left            # remaining lots
    int64_t stp

cdef class Matching:
    cdef readonly int64_t last_order_id, last_trade_id, update_id
    cdef int64_t us                     # time of the last command
    cdef Ladder ladder
    cdef Pool slots                     # of the resting orders
    cdef Index by_id
    cdef Owners owners
    cdef Log log                        # log.used rows of ten cells not returned by take_log yet, newest last
    cdef int32_t[2] top                 # best level of the asks, of the bids

    # for other kernels
    cdef int64_t place(self, int64_t us, int64_t account, int64_t side, int64_t ticks, int64_t lots, int64_t kind, int64_t stp) except FAILED nogil
    cdef int64_t withdraw(self, int64_t us, int64_t order_id) except FAILED nogil
    cdef int64_t shrink(self, int64_t us, int64_t order_id, int64_t lots) except FAILED nogil
    cdef int64_t renew(self, int64_t us, int64_t order_id, int64_t ticks, int64_t lots, int64_t kind, int64_t stp) except FAILED nogil
    cdef int64_t play(self, const Command* command, int64_t row) except FAILED nogil
    cdef int64_t best_ticks(self, int side) noexcept nogil                      # 0 if the side is empty
    cdef int64_t live(self, int64_t account) noexcept nogil                     # number of its resting orders
    cdef int64_t live_order(self, int64_t account, int64_t k) noexcept nogil    # id of the k-th, 0 <= k < live(account)
    cdef const Order* resting_order(self, int64_t order_id) noexcept nogil      # until the next command; NULL if none
    cdef int64_t price_of(self, const Order* order) noexcept nogil
    cdef int side_of(self, const Order* order) noexcept nogil
    cdef int64_t account_of(self, const Order* order) noexcept nogil
