# The venue interface of an order manager: it accepts messages, and has order rules and a clock.

from libc.stdint cimport int64_t

from mm.backtest.engine._account cimport wide
from mm.backtest.engine._order_checks cimport Filters
from mm.backtest.engine._own_orders cimport OwnOrders
from mm.backtest.engine._records cimport COVERED, record_mid, record_span
from mm.backtest.fills.base cimport MARKET, NEVER, Order, Top
from mm.tape._book cimport MARGIN_TICKS, Book, book_lots_at, book_move

# The best prices at the exchange, or as received locally if our feed lags.
cdef struct Touch:
    Top top
    bint valid                  # whether there is a book
    bint mid_lost               # whether the mid was missing since the last volatility sample
    int64_t mid2                # best bid + best ask, 0 while there is none
    int64_t market_us            # receive time of the last market message, less how late it was; set if there are limits


cdef inline int centre_book(Book* book) except -1:
    """Move the window of a book of fed events to its best prices when they come near its edge.

    The range affects only speed; levels beyond it are in a short list.
    """
    cdef int64_t margin = (book.hi - book.lo) // 8
    cdef bint near_low = book.lo > 0 and book.best_bid < book.lo + margin
    if book.best_bid and book.best_ask and (near_low or book.best_ask >= book.hi - margin):
        book_move(book, max(book.best_bid - MARGIN_TICKS, 0), book.best_ask + MARGIN_TICKS)
    return 0


cdef class OrderVenue:
    cdef OwnOrders orders               # receives its reports
    cdef int64_t now_us                 # its clock
    # its market
    cdef Book book                      # where only best prices are read, these alone
    cdef Touch touch
    cdef bint opened, begun             # whether the book is open, and whether one was valid
    cdef bint trades                    # whether the strategy may quote: within the hours, after its training, in reach
    cdef bint covered                   # whether it could: it may, and there is a valid book
    cdef int64_t begun_us, valid_us, covered_since_us, two_sided_us, two_sided_since_us
    cdef Filters filters                # its order rules beyond its grid
    cdef int64_t step_lots              # its quantity step
    cdef bint enforce_balances
    cdef bint exact                     # whether `exactly_covered` alone decides: the account is not the run's
    # the other markets whose orders the same balances cover, a ring of venues
    cdef OrderVenue beside              # the next of the ring; None without one
    cdef int64_t others                 # number of other venues in it
    cdef int assets[2]                  # base and quote asset, as numbers of the ring
    cdef bint idle                      # whether it has no market now: its orders count as withdrawn
    cdef wide lot_e16                   # one lot, 1e-16 of the base asset

    # messages of the order manager
    cdef int send(self, Order* order) except -1 nogil
    cdef int cancel(self, Order* order) except -1 nogil
    cdef int amend(self, Order* order) except -1 nogil
    # whether orders and amendments of a side wait
    cdef bint holds(self, int64_t side) noexcept nogil
    # notional of a MARKET order now
    cdef wide taking_e16(self, const Order* order) noexcept nogil

    cdef int exactly_covered(self, const Order* order, bint arrives) noexcept nogil
    cdef wide cost_e16(self, const Order* order) noexcept nogil
    cdef wide held_e16(self, int asset, int64_t others) noexcept nogil
    cdef wide locked_e16(self, int asset, const Order* order, bint arrives, int64_t others) noexcept nogil
    cdef bint leaves_out(self, const Order* open, const Order* order, bint arrives) noexcept nogil


cdef inline void watch_sides(OrderVenue venue, int64_t us) noexcept nogil:
    cdef bint both = venue.covered and venue.orders.open.resting[0] and venue.orders.open.resting[1]
    if both and venue.two_sided_since_us == NEVER:
        venue.two_sided_since_us = us
    elif not both and venue.two_sided_since_us != NEVER:
        venue.two_sided_us += us - venue.two_sided_since_us
        venue.two_sided_since_us = NEVER


cdef inline int cover(OrderVenue venue, int64_t us) except -1 nogil:
    cdef bint covered = venue.touch.valid and venue.trades and venue.begun
    if covered == venue.covered:
        return 0
    venue.covered = covered
    if covered:
        venue.covered_since_us = us
    else:
        venue.valid_us += us - venue.covered_since_us
        record_span(&venue.orders.records, venue.covered_since_us, us)
    watch_sides(venue, us)
    return 0


cdef inline void note_top(OrderVenue venue, int64_t us, int64_t recv_seq, bint lots) noexcept nogil:
    """Set the best prices after a book event, and the *lots* there if the book has them."""
    cdef Top* top = &venue.touch.top
    cdef int64_t bid = venue.book.best_bid, ask = venue.book.best_ask
    top.us, top.recv_seq, top.book, top.bid_ticks, top.ask_ticks = us, recv_seq, &venue.book, bid, ask
    if lots:
        top.bid_lots = book_lots_at(&venue.book, 1, bid) if bid else 0
        top.ask_lots = book_lots_at(&venue.book, -1, ask) if ask else 0


cdef inline int note_mid(OrderVenue venue, int64_t us) except -1 nogil:
    cdef int64_t bid = venue.touch.top.bid_ticks, ask = venue.touch.top.ask_ticks, mid2 = bid + ask if bid and ask else 0
    if mid2 != venue.touch.mid2:
        venue.touch.mid2 = mid2
        record_mid(&venue.orders.records, us, mid2)
        if mid2 == 0:
            venue.touch.mid_lost = True
    return 0


cdef inline int covered(OrderVenue venue, const Order* order, bint arrives) noexcept nogil:
    """Return the reason if the balance does not cover *order*, else 0; *arrives* is False at the requote.

    Exact sums in 128 bits over all open orders decide; for most orders cheap bounds make them unnecessary.
    """
    if not venue.enforce_balances:
        return COVERED
    if venue.exact:
        return venue.exactly_covered(order, arrives)
    if order.side > 0:
        if not (arrives and venue.orders.sure):
            venue.orders.sure = surely_covered(venue.orders, order)
        if venue.orders.sure:
            return COVERED
    elif venue.orders.account.inventory_lots - venue.orders.open.lots[0] >= (0 if arrives else order.lots):
        return COVERED  # for all open sells
    return venue.exactly_covered(order, arrives)


cdef inline bint surely_covered(OwnOrders orders, const Order* order) noexcept nogil:
    """Whether the cash covers a buy and all our open ones by a margin far above the rounding errors of floats."""
    cdef double dearest = <double> max(order.ticks, orders.open.dearest_ticks)
    cdef double bound = dearest * (<double> orders.open.lots[1] + <double> order.lots)
    if order.kind == MARKET:
        return False
    return bound * orders.dearest_e16 + 1e8 * (orders.open.count + 1) < orders.sure_cash_e16
