# Queue positions and fills of our orders by every order of the market (`mm.tape.order_index`).

cimport cython
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t

from mm.backtest.engine._own_orders cimport OpenOrders
from mm.backtest.fills.base cimport Order

# Rows of `mm.tape.order_index.OrderIndex`, whose docstring describes them.
cdef packed struct OrderChange:
    int32_t step
    int32_t joined
    int64_t lots

cdef packed struct Meet:
    int64_t ticks
    int64_t lots
    int32_t joined
    int8_t side
    uint8_t kind
    uint8_t begins
    uint8_t _unused


@cython.final
cdef class OrderQueue:
    cdef object owners                  # of the arrays below
    cdef bint attached                  # whether there are any
    cdef const int64_t* step_us         # on the clock of the run
    cdef const int64_t* meet_us
    cdef const Meet* meet
    cdef const int32_t* near            # positions of meets
    cdef const int64_t* level
    cdef const int64_t* begin
    cdef const OrderChange* change
    cdef const int32_t* top_step
    cdef const int64_t* best[2]         # asks, bids
    cdef int64_t steps, meets, nears, levels, tops
    cdef int64_t passed                 # number of steps that have happened
    cdef int64_t met                    # and of meets: fills of ours among these are done
    cdef int64_t near_at                # number of *near* that have happened
    cdef int64_t* left                  # lots left of the meets of the next order of the market
    cdef int64_t several, room          # their number, and the length of the array
    cdef uint8_t kind                   # of the meet that left the first lots, in the last call of `left_for`
    cdef int64_t top_at                 # number of *tops* that have happened

    cdef int begin_tape(self, object index, object reading, object tape, object feed, OpenOrders* open) except -1
    cdef void pass_time(self, int64_t us) noexcept nogil
    cdef bint crosses(self, const Order* order) noexcept nogil
    cdef void rest(self, Order* order) noexcept nogil
    cdef int64_t reaching(self, const OpenOrders* open) noexcept nogil
    cdef int begin_meets(self) except -1 nogil
    cdef void end_meets(self) noexcept nogil
    cdef int64_t left_for(self, const Order* order) noexcept nogil
    cdef void take(self, const Order* order, int64_t lots) noexcept nogil
    cdef void settle(self, OpenOrders* open, int64_t step_lots) noexcept nogil

    cdef void find(self, Order* order) noexcept nogil


cdef inline bint meets(const Meet* meet, int64_t side, int64_t ticks, int64_t rank) noexcept nogil:
    """Whether a meet proves that our order was reached, which rests at a price behind all of a lower rank."""
    cdef int64_t beyond = side * (ticks - meet.ticks)
    return meet.side == -side and (beyond > 0 or (beyond == 0 and meet.joined >= rank))
