# cython: cdivision=True
# A venue backed by a gateway: orders are queued as messages, and their outcome is reported from outside.

from libc.stdint cimport int64_t

from mm.backtest.engine._reported_venue cimport ReportedVenue
from mm.backtest.fills.base cimport Order

cdef class GatewayVenue(ReportedVenue):
    cdef list messages                  # not yet collected

    cdef int queue(self, str action, Order* order, int64_t lots) except -1
