# Guéant's general quotes, of which those of Guéant, Lehalle and Fernandez-Tapia are one case.

from mm.backtest.quotes.bounded cimport Bounded
from mm.backtest.quotes.distances cimport Market

cdef class Gueant(Bounded):
    cdef readonly double xi, delta, drift, impact
    cdef bint closed, forever
    cdef bint own_xi                # whether xi is not gamma
    cdef double of_k, of_A, of_gamma  # what the numbers below are made of
    cdef double edge, eta, risk     # ticks; per second; rho for a sigma of 1

    cdef void note(self, const Market* market) noexcept nogil
    cdef void know(self, const Market* market) noexcept nogil
