# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# The paper venue: a market, recorded or live, and our orders in it.

from libc.stdint cimport int64_t

from mm.backtest.engine._account cimport wide
from mm.backtest.engine._latency cimport Latency
from mm.backtest.engine._level_queue cimport LevelQueue
from mm.backtest.engine._market cimport Market
from mm.backtest.engine._order_checks cimport MeanPrice
from mm.backtest.engine._order_queue cimport OrderQueue
from mm.backtest.engine._own_orders cimport OpenOrders
from mm.backtest.engine._records cimport Fill
from mm.backtest.engine._taking cimport Depth, Prints
from mm.backtest.engine._reported_venue cimport ReportedVenue
from mm.backtest.fills.base cimport NEEDS_BOOKS, FillModel, Order, Trade
from mm.signals.signal_set cimport SignalSet
from mm.tape._kinds cimport DEPTH


cdef class PaperVenue(ReportedVenue):
    cdef FillModel fills
    cdef SignalSet signals              # read by the fill model, else None
    cdef bint signalled                 # whether there are any
    cdef Market market                  # the events
    cdef object columns                 # which own its arrays
    cdef bint by_levels                 # whether queue positions are looked up in an index of the levels
    cdef LevelQueue queue               # which looks them up
    cdef bint by_orders                 # whether our orders fill by every order of the market
    cdef OrderQueue log                 # of these orders
    cdef int64_t past_us                # the market events before it have happened
    cdef bint begins_book               # whether the last book event began a book
    cdef int64_t last_book_us
    cdef int64_t event                  # the last book event's position in the tape
    cdef int64_t[2] last_best           # best ask and bid at the last book event
    cdef int64_t[2] met_lots            # offered by the other side and met by ours, while it reaches sells, buys
    cdef Prints printed                 # since the last book event, if every event is visited
    cdef Prints taken                   # by us from the book, since its last event
    cdef Depth depth                    # what our orders can take
    cdef bint prevented                 # whether an order of ours ended at this instant, since another one met it
    cdef MeanPrice mean                 # of the last trades, if the filters need it
    # latency of our messages
    cdef Latency latency
    cdef const int64_t[::1] order_latencies, cancel_latencies
    cdef const double[::1] latency_rates
    cdef int64_t last_active_us, last_cancel_us     # messages of one kind keep their order
    cdef int64_t ttl_us
    cdef bint moves                     # whether amendments change prices
    # counters
    cdef int64_t taker_reason
    cdef double expected_fills

    cdef int draw_latencies(self, object latencies, seed) except -1
    cdef int64_t travel_us(self, int message, int64_t order_id, int64_t nth) noexcept nogil
    cdef int64_t drawn_us(self, int message, int64_t order_id, int64_t nth) noexcept nogil
    cdef void begin_events(self) noexcept nogil
    cdef int show_event(self, int64_t event, int64_t us) except -1 nogil
    cdef int change_book(self, int64_t event, int64_t us) except -1 nogil
    cdef bint skips_books(self) noexcept nogil
    cdef int move_price(self, int64_t us) except -1 nogil
    cdef int on_book(self, int64_t us, int64_t recv_seq) except -1 nogil
    cdef int on_gap(self, int64_t us, int64_t recv_seq) except -1 nogil
    cdef int on_trade(self, Trade* trade, int64_t event) except -1 nogil
    cdef void reached(self, int64_t* sell, int64_t* buy) noexcept nogil
    cdef int match_trade(self, Trade* trade) except -1 nogil
    cdef int match_side(self, int slot, Trade* trade, int64_t printed_lots) except -1 nogil
    cdef int match_book(self, int64_t us, int64_t mid2, bint moved) except -1 nogil
    cdef int match_levels(self) except -1 nogil
    cdef bint best_moved(self) noexcept nogil
    cdef int64_t offered_to(self, const Order* order, int64_t enough) noexcept nogil
    cdef bint crossed(self) noexcept nogil
    cdef int begin_stretches(self, int sides, int64_t us) except -1 nogil
    cdef int redraw(self, int64_t side, int64_t us) except -1 nogil
    cdef int fill_due(self, int64_t us) except -1 nogil
    cdef void look_for_meets(self) noexcept nogil
    cdef int match_meets(self, int64_t us) except -1 nogil
    cdef int match_meet(self, int slot, int64_t us) except -1 nogil
    cdef int deliver(self, int64_t us) except -1 nogil
    cdef int arrive(self, int64_t i, int64_t us) except -1 nogil
    cdef int move_all(self, int64_t us) except -1 nogil
    cdef int stays(self, int64_t i, int64_t us, int reason) except -1 nogil
    cdef int short_of_margin(self, const Order* order) except -1 nogil
    cdef int end_resting(self, int64_t us, int reason) except -1 nogil
    cdef int64_t prevent(self, int64_t i, int64_t us) except -1 nogil
    cdef double lots_before(self, const Order* order, const Order* other) noexcept nogil
    cdef int take(self, int64_t i, int64_t us) except -1 nogil
    cdef int close(self, int64_t i, int64_t us, int status, int action) except -1 nogil
    cdef int fill(self, int64_t i, int64_t us, int64_t lots, int64_t reason, int64_t mid2) except -1 nogil
    cdef int book_fill(self, int64_t i, const Fill* fill) except -1 nogil


cdef inline bint moves_price(PaperVenue venue, const Market* market) noexcept nogil:
    """Whether the next book moves a best price, and neither reaches an order of ours nor begins or ends a book."""
    cdef int64_t at = market.books.next, ask = market.ticks[0][at]
    cdef const OpenOrders* open = &venue.orders.open
    if market.book_kind[at] != DEPTH:
        return False
    return not venue.fills.needs & NEEDS_BOOKS or not (market.ticks[1][at] >= open.nearest[0] or open.nearest[1] >= ask > 0)


cdef inline bint reaches(int64_t side, int64_t ticks, int64_t sell, int64_t buy) noexcept nogil:
    return ticks >= sell if side > 0 else ticks <= buy
