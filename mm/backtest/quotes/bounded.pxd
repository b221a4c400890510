# The base of quotes that follow from the values of inventory levels.

from libc.stdint cimport int64_t

from mm.backtest.quotes.distances cimport Distances, Market
from mm.backtest.quotes.levels cimport Levels

cdef struct Problem:
    double rho              # see levels.pyx
    double tilt
    double time             # infinite: for ever
    double bend
    double edge             # ticks, the distance that a step of 0 gives
    double ticks            # of distance that a step of 1 makes

cdef struct Node:
    Problem posed
    double* steps           # NaN where not solved for yet

cdef class Bounded(Distances):
    cdef Levels levels
    cdef double* memory
    cdef Node own                   # the last problem that was solved by itself
    cdef Node* nodes                # for problems on a grid
    cdef bint by_rho, by_time, varies  # which of both change from one requote to the next
    cdef Problem asked              # at the last requote, with this inventory, and what the answer was
    cdef double asked_q, bid, ask
    cdef bint rough                 # whether nodes were too far apart for the last step

    cdef void begin(self, double q_max) except *
    cdef void problem(self, const Market* market, Problem* posed) noexcept nogil
    cdef void set_distances(
        self, double q, const Problem* posed, bint between, double* bid, double* ask
    ) noexcept nogil
    cdef double step_at(self, const Problem* posed, double place, bint between) noexcept nogil
    cdef double step(self, const Problem* posed, int64_t place, bint between) noexcept nogil
    cdef double between_nodes(self, const Problem* posed, int64_t place) noexcept nogil
    cdef double along_time(self, const Problem* posed, double rho, int64_t rho_name, int64_t place) noexcept nogil
    cdef double between(self, const double* steps, double at) noexcept nogil
    cdef double node_step(
        self, const Problem* posed, double rho, double time, int64_t rho_name, int64_t time_name, int64_t place
    ) noexcept nogil
    cdef double known_step(self, Node* node, const Problem* posed, int64_t place) noexcept nogil
