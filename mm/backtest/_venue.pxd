# The exchange's side of a backtest: a recorded market, and our orders in it.

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t

from mm.backtest._account cimport Account, wide
from mm.tape._book cimport Book
from mm.backtest._filters cimport Filters, Mean
from mm.backtest._order_count cimport OrderCount
from mm.backtest._orders cimport Desk
from mm.backtest._prints cimport Prints
from mm.backtest._records cimport COVERED, Fill, Records, record_mid
from mm.backtest._refused cimport Refused
from mm.backtest._taker cimport Market
from mm.backtest.fills.base cimport MARKET, FillModel, Order, Top, Trade

cdef extern from "<stdint.h>":
    const int32_t ALWAYS "INT32_MAX"    # of projection.py

cdef class Venue:
    cdef FillModel fills
    # the tape
    cdef const int64_t[::1] event_us, recv_us, sequence, recv_seq, event_id, first_row, row_ticks, row_lots
    cdef const uint8_t[::1] kind
    cdef const int8_t[::1] row_side
    cdef bint lagging                   # whether events have an exchange's order beside the order of receipt
    cdef bint best_only                 # whether the tape shows one level a side
    cdef bint skims                     # whether it is played by prices alone: of such a tape, for models to which
    cdef const int64_t[::1] reach       # nothing else matters
    cdef const int64_t[::1] move_event, move_us, move_bid_ticks, move_ask_ticks, move_low_ticks, move_high_ticks
    cdef int64_t next_move, moves
    cdef int64_t next_event, events, start_us
    cdef int64_t last_trade_event       # of this tape, -1 before its first
    # the market
    cdef Book book
    cdef bint opened, valid, begun
    cdef Top top
    cdef int64_t mid2, last_book_us     # mid2 is 0 while there is none
    cdef bint mid_lost                  # since whoever looks last set it back
    cdef Prints printed                 # since the last book event, where the fill model follows levels
    cdef Prints taken                   # by us from the book, since its last event
    cdef Market market
    # our orders
    cdef Desk desk
    cdef int64_t step_lots              # the exchange's quantity step
    cdef OrderCount order_count
    cdef Refused refused[2]             # sells, buys
    cdef bint follows                   # whether a requote follows on a fill or a rejection
    cdef int64_t follow_us, followed_us # when one does next, and did last
    cdef Account account
    cdef bint enforce_balances
    cdef double cash, sure_cash_e16     # the account's
    cdef bint sure                      # whether the cash is enough for all open buys, for sure
    cdef double dearest_e16             # a tick·lot with the larger fee, rounded up
    cdef Filters filters
    cdef Mean mean                      # of the last trades, where the filters ask for it
    cdef int64_t taker_reason
    # what is counted and recorded
    cdef int64_t valid_us, valid_since_us, two_sided_us, two_sided_since_us
    cdef double expected_fills
    cdef Records records

    cdef bint in_band(self, const Order* order, int64_t us) noexcept nogil
    cdef void average(self) noexcept nogil
    cdef bint shown(self, int64_t side, int64_t ticks) noexcept nogil
    cdef int change_book(self, int64_t event, int64_t us) except -1 nogil
    cdef void set_valid(self, bint valid, int64_t us) noexcept nogil
    cdef void look(self, int64_t us, int64_t recv_seq) noexcept nogil
    cdef int see(self, int64_t us, int64_t recv_seq) except -1 nogil
    cdef int gap(self, int64_t us, int64_t recv_seq) except -1 nogil
    cdef int trade(self, int64_t event, int64_t us) except -1 nogil
    cdef int reached(self, int64_t event, int64_t us) except -1 nogil
    cdef int show(self, Trade* print_) except -1 nogil
    cdef int ask_book(self, int64_t us) except -1 nogil
    cdef int tell_levels(self) except -1 nogil
    cdef int redraw(self, int64_t side, int64_t us) except -1 nogil
    cdef int fill_due(self, int64_t us) except -1 nogil
    cdef int deliver(self, int64_t us) except -1 nogil
    cdef int arrive(self, int64_t i, int64_t us) except -1 nogil
    cdef int take(self, int64_t i, int64_t us) except -1 nogil
    cdef void follow(self, int64_t us) noexcept nogil
    cdef void count_cash(self) noexcept nogil
    cdef int exactly_covered(self, const Order* order, bint arrives) noexcept nogil
    cdef wide cost_e16(self, const Order* order) noexcept nogil
    cdef int amend_now(self, Order* order, int64_t us) except -1 nogil
    cdef int close(self, int64_t i, int64_t us, int status, int action) except -1 nogil
    cdef int fill(self, int64_t i, int64_t us, int64_t lots, int64_t reason) except -1 nogil
    cdef int book_order(self, int64_t i, const Fill* fill) except -1 nogil
    cdef void watch_sides(self, int64_t us) noexcept nogil


cdef inline int note_mid(Venue venue, int64_t us) except -1 nogil:
    """Write down the mid where it is another."""
    cdef int64_t bid = venue.top.bid_ticks, ask = venue.top.ask_ticks, mid2 = bid + ask if bid and ask else 0
    if mid2 != venue.mid2:
        venue.mid2 = mid2
        record_mid(&venue.records, us, mid2)
        if mid2 == 0:
            venue.mid_lost = True
    return 0


cdef inline int covered(Venue venue, const Order* order, bint arrives) noexcept nogil:
    """Return why the balance does not cover *order*, or 0: at the requote, or when it arrives."""
    if not venue.enforce_balances:
        return COVERED
    if order.side > 0:
        if not (arrives and venue.sure):
            venue.sure = surely_covered(venue, order)
        if venue.sure:
            return COVERED
    elif venue.account.inventory_lots - venue.desk.lots[0] >= (0 if arrives else order.lots):
        return COVERED  # for all open sells
    return venue.exactly_covered(order, arrives)


cdef inline bint surely_covered(Venue venue, const Order* order) noexcept nogil:
    """Tell whether the cash is enough for a buy and all our open ones, by far more than floats may be wrong."""
    cdef double dearest = <double> max(order.ticks, venue.desk.dearest_ticks)
    cdef double bound = dearest * (<double> venue.desk.lots[1] + <double> order.lots)
    if order.kind == MARKET:
        return False
    return bound * venue.dearest_e16 + 1e8 * (venue.desk.open + 1) < venue.sure_cash_e16


cdef inline int64_t whole_steps(Venue venue, const Order* order, int64_t lots) noexcept nogil:
    """Return what of a fill is whole steps of the exchange; one that closes the order is as it is."""
    return lots if venue.step_lots == 1 or lots >= order.lots else lots - lots % venue.step_lots
