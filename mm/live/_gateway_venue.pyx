# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A venue backed by a gateway: orders are queued as messages, and their outcome is reported from outside.

The order manager uses it like any venue. A message is a tuple in a queue; the gateway takes it, sends it to an
exchange and reports acceptances, fills and ends by order id, in the order of their arrival.
"""

from libc.stdint cimport int64_t

from mm.backtest.engine._own_orders cimport UNDERWAY, OwnOrders
from mm.backtest.engine._reported_venue cimport ReportedVenue
from mm.backtest.fills.base cimport Order

from mm.backtest.journal import KINDS


cdef class GatewayVenue(ReportedVenue):
    """Orders that are sent out of this process; whether and when they arrive is not known here."""

    def __init__(self, orders: OwnOrders, rules: object) -> None:
        ReportedVenue.__init__(self, orders, rules)
        self.messages = []
        self.report()

    # ------------------------------------------------------------------ messages of the order manager

    cdef int send(self, Order* order) except -1 nogil:
        with gil:
            self.queue("place", order, order.lots)
        return 0

    cdef int cancel(self, Order* order) except -1 nogil:
        with gil:
            self.queue("cancel", order, order.lots)
        return 0

    cdef int amend(self, Order* order) except -1 nogil:
        order.amend_us = UNDERWAY
        with gil:
            self.queue("move" if order.move_ticks else "amend", order, order.amend_lots)
        return 0

    cdef int queue(self, str action, Order* order, int64_t lots) except -1:
        ticks = order.move_ticks if action == "move" else order.ticks
        self.messages.append((action, order.id, order.side, ticks, lots, KINDS[order.kind]))
        return 0
