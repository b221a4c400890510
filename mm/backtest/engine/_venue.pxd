# The venue interface of an order manager: it accepts messages, and has order rules and a clock.

from libc.stdint cimport int64_t

from mm.backtest.engine._account cimport wide
from mm.backtest.engine._order_checks cimport Filters
from mm.backtest.engine._own_orders cimport OwnOrders
from mm.backtest.engine._records cimport COVERED
from mm.backtest.fills.base cimport MARKET, Order, Top
from mm.tape._book cimport MARGIN_TICKS, Book, book_move

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
    cdef Filters filters                # its order rules beyond its grid
    cdef int64_t step_lots              # its quantity step
    cdef bint enforce_balances
    cdef bint exact                     # whether `exactly_covered` alone decides: the account is not that of the run
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
    """Return whether the cash covers a buy and all our open ones by a margin far above the rounding errors of floats."""
    cdef double dearest = <double> max(order.ticks, orders.open.dearest_ticks)
    cdef double bound = dearest * (<double> orders.open.lots[1] + <double> order.lots)
    if order.kind == MARKET:
        return False
    return bound * orders.dearest_e16 + 1e8 * (orders.open.count + 1) < orders.sure_cash_e16
