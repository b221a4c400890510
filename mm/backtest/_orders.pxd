# Our open orders: found by id or in price-time order, and when the next of them is due.

from libc.stdint cimport int64_t

from mm.backtest.fills.base cimport Order

cdef struct Desk:
    Order* orders           # SENT, LIVE and CANCELLING, by id
    int64_t open            # how many
    int64_t* ranking        # ids of the resting orders in price-time order
    int64_t ranked          # how many, -1 where the ranking is stale
    int64_t resting[2]      # LIVE and CANCELLING; sells, buys
    int64_t next_message_us # earliest arrival, cancel, amendment or expiry
    int64_t next_due_us     # earliest drawn fill
    int64_t room

cdef void desk_open(Desk* desk) noexcept nogil
cdef void desk_close(Desk* desk) noexcept nogil
cdef Order new_order(int64_t us, int64_t side, int64_t ticks, int64_t lots, int64_t kind) noexcept nogil
cdef int desk_add(Desk* desk, const Order* order) except -1 nogil
cdef void desk_drop(Desk* desk, int64_t i) noexcept nogil
cdef int64_t desk_rank(Desk* desk) noexcept nogil
cdef Order* desk_find(Desk* desk, int64_t order_id) noexcept nogil
cdef int64_t desk_lots(const Desk* desk, int64_t side) noexcept nogil
cdef int64_t desk_current(const Desk* desk, int64_t side) noexcept nogil
cdef void desk_next_message(Desk* desk) noexcept nogil
cdef void desk_next_due(Desk* desk) noexcept nogil
