# The base of queue models: subclasses return the share of cancelled lots that was ahead of us.

from mm.backtest.fills.base cimport FillModel

cdef class Queue(FillModel):
    cdef double ahead_share(self, double ahead, double behind) noexcept nogil

cdef class QueueProbPower(Queue):
    cdef readonly double exponent
