# Queue positions of our orders, with levels looked up in an index instead of stored in a book.

cimport cython
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t

from mm.backtest._happened cimport Happened
from mm.backtest._own_orders cimport OpenOrders
from mm.backtest._taking cimport Prints
from mm.backtest.fills.base cimport FillModel, Order, Top, Trade
from mm.tape._book cimport Book, Change

# Columns of `mm.tape.level_changes.LevelIndex`, whose docstring describes them.
cdef struct Levels:
    const int64_t* page
    const int64_t* begin
    const Change* change
    const int32_t* mark
    const int64_t* fresh
    const uint8_t* kind
    int64_t pages
    int64_t fresh_count
    int64_t base
    int64_t kinds
    int64_t framed
    const int64_t* books        # NULL if the events are in the order of the tape


# The best prices, and the lots at them, after each event that changes either; sells, buys.
cdef struct Tops:
    const int64_t* event        # its index in the best prices
    const int64_t* ticks[2]
    const int64_t* lots[2]
    int64_t count
    int64_t happened            # the last past one, at the last call; -1 for none


@cython.final
cdef class LevelQueue:
    cdef FillModel fills
    cdef object index                   # of the tape, and the columns of its best prices used here
    cdef Levels levels
    cdef const int64_t[::1] place, first_row, event_us, event_id, row_ticks, row_lots, reach
    cdef const uint8_t[::1] kind
    cdef const int8_t[::1] row_side
    cdef const int64_t[::1] top_event, top_bid_ticks, top_bid_lots, top_ask_ticks, top_ask_lots
    cdef Tops tops                      # of the best prices
    cdef bint is_open                   # whether a book of this tape has begun
    cdef Happened* happened             # of the window's events
    cdef int64_t passed_us              # events before it have happened
    cdef int64_t printed_from           # no print before it counts
    cdef int64_t begun                  # event after the one that began a book; -1 after other book events
    cdef int64_t book_from, book_next   # no event from the first of these on is a book event before the second
    cdef int64_t print_at               # index in the best prices of the matched print,
    cdef int64_t print_lots             # and its lots
    cdef int64_t[2] page_at             # of the last searched level, in the index; sells, buys

    cdef int begin_tape(
        self, object tape, object index, Happened* happened, OpenOrders* open, const Prints* printed
    ) except -1
    cdef void begin_window(self, int64_t start_us) noexcept nogil
    cdef void note_book(self, int64_t event, bint begins) noexcept nogil
    cdef void rest(self, Order* order, const Top* top) noexcept nogil
    cdef int meet_print(self, Order* order, const Top* top) except -1 nogil
    cdef bint absorbs(self, Order* order, const Top* top) except -1 nogil
    cdef int renew(self, OpenOrders* open, const Top* top) except -1 nogil
    cdef int settle(self, OpenOrders* open, const Top* top) except -1 nogil
    cdef int restore(self, Book* book, Prints* printed) except -1 nogil

    cdef int64_t events_before(self, int64_t us) noexcept nogil
    cdef int walk_all(self, OpenOrders* open, const Top* top, int64_t event) except -1 nogil
    cdef int64_t top_before(self, int64_t event, int64_t now) noexcept nogil
    cdef int64_t top_place(self, int64_t top) noexcept nogil
    cdef int meet(self, Order* order, const Top* top) except -1 nogil
    cdef int64_t book_after(self, int64_t event) noexcept nogil
    cdef void count_print(self, Order* order) noexcept nogil
    cdef int follow(self, Order* order, int64_t event) except -1 nogil
    cdef int walk_touch(self, Order* order, int64_t event) except -1 nogil
    cdef int walk(self, Order* order, int64_t event) except -1 nogil
    cdef int join(self, Order* order, const Top* top, int64_t now) except -1 nogil
    cdef int set_level(self, Order* order, int64_t lots) except -1 nogil
    cdef int64_t first_print(self, int64_t event) noexcept nogil
    cdef int64_t printed_lots(self, int64_t event, const Order* order) noexcept nogil
