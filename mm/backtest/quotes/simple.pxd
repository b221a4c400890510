# The model of a trained agent, for the kernel that sets its actions.

from libc.stdint cimport int64_t

from mm.backtest.quotes.base cimport QuoteModel, View, Want
from mm.signals.predictor cimport Network

cdef enum:
    OWN = 6                             # inputs besides the signals

cdef struct Scale:
    double mean
    double scale

cdef class Agent(QuoteModel):
    cdef object terms                   # AgentTerms
    cdef readonly str sha256            # SHA-256 of its file; empty if there is none
    cdef readonly frozenset trained_on  # type: frozenset[tuple[str, str]]
    cdef Network network                # None if actions are set from outside
    cdef bint discrete
    cdef double tick, max_offset_ticks, distance_ticks, q_max, usual_distance_ticks, usual_queue
    cdef int64_t step_us, episode       # decisions of an episode
    cdef int inputs, count              # count: number of signals
    cdef int64_t* places                # indices of the signals in the view
    cdef Scale* scales
    cdef double* seen                   # double[inputs]: the last observation
    cdef double* answer                 # output of the network
    cdef double[3] action               # current action: bid offset, ask offset, size, each in [-1, 1]
    cdef int64_t next_us, last_us       # when the next decision is due; when quotes were last made
    cdef int64_t decided                # decisions so far

    cdef bint is_due(self, const View* view) noexcept nogil
    cdef int observe(self, const View* view) except -1 nogil
    cdef void decide(self, const View* view) noexcept nogil
    cdef void pick(self, int choice) noexcept nogil
    cdef void choose(self, const double* answer) noexcept nogil
