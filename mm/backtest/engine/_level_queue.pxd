# Queue positions of our orders, with levels looked up in an index instead of stored in a book.

cimport cython
from libc.stdint cimport int32_t, int64_t

from mm.backtest.engine._market cimport Market
from mm.backtest.engine._own_orders cimport OpenOrders
from mm.backtest.engine._taking cimport Prints
from mm.backtest.fills.base cimport FillModel, Order
from mm.tape._book cimport Change

# Columns of `mm.tape.level_changes.LevelIndex`, whose docstring describes them.
cdef struct Levels:
    const int64_t* page
    const int64_t* begin
    const Change* change
    const int32_t* mark
    const int64_t* fresh
    int64_t pages
    int64_t fresh_count
    int64_t base


@cython.final
cdef class LevelQueue:
    cdef FillModel fills
    cdef object owners                  # of the arrays below
    cdef Levels levels
    cdef const int64_t* book_us         # all books of the tape, not only those that change a best price
    cdef const int64_t* book_event
    cdef int64_t books, events
    cdef int64_t passed                 # number of them that have happened
    cdef int64_t first_trade            # of the window
    cdef Prints tail                    # trades of the previous tape after its last book
    cdef int64_t[2] page_at             # of the last searched level, in the index; sells, buys
    cdef int32_t* looked_up             # number of marks before the last search, by level: time only moves forward

    cdef int begin_tape(self, object books, object index, int64_t events, OpenOrders* open) except -1
    cdef int end_tape(self, OpenOrders* open, const Market* market) except -1
    cdef void begin_window(self, int64_t trade) noexcept nogil
    cdef void pass_time(self, int64_t us) noexcept nogil
    cdef void pass_trade(self, int64_t us, int64_t event) noexcept nogil
    cdef int rest(self, Order* order, const Market* market) except -1 nogil
    cdef int meet_trade(self, Order* order, int64_t lots) except -1 nogil
    cdef int renew(self, OpenOrders* open) except -1 nogil
    cdef int64_t offered_to(self, const Order* order, int64_t ticks, int64_t event, int64_t enough) noexcept nogil
    cdef int settle(self, OpenOrders* open) except -1 nogil

    cdef bint is_after_book(self, int64_t us, int64_t event) noexcept nogil
    cdef int64_t event_of(self, int64_t book) noexcept nogil
    cdef int join(self, Order* order) except -1 nogil
    cdef int follow(self, Order* order) except -1 nogil
    cdef int set_level(self, Order* order, int64_t lots) except -1 nogil
    cdef int64_t began(self, int64_t event) noexcept nogil
    cdef int64_t shown_lots(self, const Order* order, int64_t fresh) noexcept nogil
    cdef void find(self, Order* order, int64_t event) noexcept nogil
