# Guéant's general quotes, of which those of Guéant, Lehalle and Fernandez-Tapia are one case.

from mm.backtest.quotes.bounded cimport Bounded

cdef class Gueant(Bounded):
    cdef readonly double gamma, xi, delta, drift, impact
    cdef bint closed, forever
    cdef double of_k, of_A          # what the numbers below are made of
    cdef double edge, eta, risk     # ticks; per second; rho for a sigma of 1

    cdef void know(self, double k, double A) noexcept nogil
