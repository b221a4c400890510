# Fed events as columns of a tape, which grow at the end and are cleared at the start.

from libc.stdint cimport int8_t, int64_t, uint8_t

cdef class EventBuffer:
    cdef readonly int64_t[::1] event_us, event_exch_us, event_late_us, recv_seq, event_id, first_row, row_ticks, row_lots
    cdef readonly uint8_t[::1] kind
    cdef readonly int8_t[::1] row_side
    cdef int64_t events, rows
    cdef bint has_book          # whether a book is valid after the last of them
    cdef readonly int64_t fed, fed_rows # total number of events added, and of their rows without KEYFRAMEs'
    cdef int64_t last_us        # instant of the last event added

    cdef bint changed           # whether the columns were reallocated since this was reset
    cdef int extend(self, object events, int64_t after_us) except -1
    cdef int append(self, object event) except -1
    cdef int reserve(self, int64_t events, int64_t rows) except -1
    cdef int drop(self, int64_t events) except -1
