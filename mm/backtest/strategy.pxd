# Strategies that send their orders themselves: the base of compiled ones, and what Python ones receive.

from libc.stdint cimport int64_t

from mm.backtest.engine._order_manager cimport OrderManager
from mm.backtest.engine._own_orders cimport Ended, OwnOrders
from mm.backtest.fills.base cimport Order
from mm.backtest.quotes.base cimport OwnFill, PythonQuoteModel, QuoteModel, View

cdef class Strategy(QuoteModel):
    cdef OrderManager manager
    cdef OwnOrders sent                     # the orders of the manager
    cdef const View* view                   # of the current call
    cdef int64_t wake_us
    cdef bint wake_on_best

    cdef int on_event(self, const View* view) except -1 nogil
    cdef int on_end(self, const View* view, const Ended* ended) except -1 nogil
    cdef int64_t submit(self, int64_t side, int64_t ticks, int64_t lots, int64_t kind) except -1 nogil
    cdef bint cancel(self, int64_t order_id) except -1 nogil
    cdef bint amend(self, int64_t order_id, int64_t lots) except -1 nogil
    cdef int64_t count(self) noexcept nogil
    cdef const Order* order_at(self, int64_t i) noexcept nogil

cdef class Orders:
    cdef OrderManager manager
    cdef dict own, named                    # open orders by id, and by client id
    cdef dict until                         # instant at which an order is to be cancelled, by id
    cdef list fills_, ended_
    cdef int64_t us, wake_us, clip          # clip: in lots of the tape
    cdef int64_t step_lots                  # lots of the tape in an order step
    cdef bint active, on_best, maker_only
    cdef public bint dark                   # whether the market is not open to orders: there are no data of it now

    cdef int begin(self, int64_t us, int64_t clip) except -1
    cdef int note_fill(self, const OwnFill* fill) except -1
    cdef int finish(self) except -1
    cdef int check(self) except -1
    cdef int64_t lots_of(self, object qty) except -1
    cdef OwnOrder find(self, object order)

cdef class OwnOrder:
    cdef Orders orders
    cdef readonly int64_t id
    cdef readonly object client_id          # type: str | None
    cdef readonly int64_t side, ticks, sent_us
    cdef readonly str kind, reason
    cdef readonly object end_us             # type: int | None
    cdef int64_t status_, placed_lots, rest_lots    # lots of the tape
    cdef const Order* seen(self)

cdef class LegModel(QuoteModel):
    cdef readonly Orders orders

cdef class PythonStrategy(PythonQuoteModel):
    cdef OrderManager manager
    cdef Orders orders
