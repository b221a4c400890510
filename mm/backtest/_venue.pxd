# What an order manager needs of an exchange: it accepts messages, has its rules for orders, and has a clock.

from libc.stdint cimport int64_t

from mm.backtest._account cimport wide
from mm.backtest._order_checks cimport Filters
from mm.backtest._own_orders cimport OwnOrders
from mm.backtest._records cimport COVERED
from mm.backtest.fills.base cimport MARKET, Order, Top

# The best prices, as somebody has received them: the exchange itself, or we where our feed lags.
cdef struct Touch:
    Top top
    bint valid                  # whether there is a book
    bint mid_lost               # whether the mid was missing since the last volatility sample
    int64_t mid2                # best bid + best ask, 0 while there is none
    int64_t market_us            # when the last message of the market came; kept where limits are set


cdef class OrderVenue:
    cdef OwnOrders orders               # to which it reports
    cdef int64_t now_us                 # its clock
    cdef Filters filters                # its rules for orders beside its grid
    cdef int64_t step_lots              # its quantity step
    cdef bint enforce_balances

    # messages of the order manager
    cdef int send(self, Order* order) except -1 nogil
    cdef int cancel(self, Order* order) except -1 nogil
    cdef int amend(self, Order* order) except -1 nogil
    # what a MARKET order would pay or get now
    cdef wide taking_e16(self, const Order* order) noexcept nogil

    cdef int exactly_covered(self, const Order* order, bint arrives) noexcept nogil
    cdef wide cost_e16(self, const Order* order) noexcept nogil


cdef inline int covered(OrderVenue venue, const Order* order, bint arrives) noexcept nogil:
    """Return why the balance does not cover *order*, or 0: at the requote, or when it arrives.

    Sums in 128 bits over all open orders decide; the bounds before them spare most orders that work.
    """
    if not venue.enforce_balances:
        return COVERED
    if order.side > 0:
        if not (arrives and venue.orders.sure):
            venue.orders.sure = surely_covered(venue.orders, order)
        if venue.orders.sure:
            return COVERED
    elif venue.orders.account.inventory_lots - venue.orders.open.lots[0] >= (0 if arrives else order.lots):
        return COVERED  # for all open sells
    return venue.exactly_covered(order, arrives)


cdef inline bint surely_covered(OwnOrders orders, const Order* order) noexcept nogil:
    """Return whether the cash is enough for a buy and all our open ones, by far more than floats may be wrong."""
    cdef double dearest = <double> max(order.ticks, orders.open.dearest_ticks)
    cdef double bound = dearest * (<double> orders.open.lots[1] + <double> order.lots)
    if order.kind == MARKET:
        return False
    return bound * orders.dearest_e16 + 1e8 * (orders.open.count + 1) < orders.sure_cash_e16
