# Another market, as a run has received it by an instant.

from libc.stdint cimport int8_t, int64_t, uint8_t

from mm.signals.signal_set cimport Signal, SignalSet

cdef class OtherMarket:
    cdef readonly str name
    cdef readonly object grid           # type: Instrument
    cdef readonly SignalSet signals     # its signals, and its book
    cdef readonly int64_t now_us        # up to here its events have been taken
    cdef readonly int64_t heard_us      # arrival of its last event; -1 before the first
    cdef readonly int64_t late_us       # how late it is by its exchange's clock, as of that event
    cdef readonly int64_t broken        # number of times that its book has ended
    cdef int64_t delay_us, tick_e8
    cdef bint strict
    # the last trade
    cdef int64_t trade_us, trade_side, trade_ticks, trade_lots
    # a tape's columns
    cdef object tapes, owners           # those to come, and the columns of the current one
    cdef object last                    # the current tape
    cdef const int64_t* event_us
    cdef const int64_t* event_late_us   # NULL if it is in time
    cdef const int64_t* recv_seq
    cdef const int64_t* first_row
    cdef const int64_t* row_ticks
    cdef const int64_t* row_lots
    cdef const int8_t* row_side
    cdef const uint8_t* kind
    cdef int64_t events, next_event
    cdef int64_t end_us                 # of the current tape, where its book ends
    # events that were fed
    cdef object fed
    cdef int64_t fed_us                 # when the first of them is seen

    cdef int show(self, int64_t us) except -1 nogil
    cdef int take(
        self, int kind, int64_t us, int64_t seq,
        const int8_t* side, const int64_t* ticks, const int64_t* lots, int64_t rows,
    ) except -1 nogil
    cdef int turn(self) except -1
    cdef int take_fed(self, int64_t us) except -1
    cdef double log_mid(self) noexcept nogil
