# Counts the past events of a tape that is played on its best prices, which leave most events out.

from libc.stdint cimport int64_t

from mm.tape._memory cimport prefetch

cdef struct Happened:
    const int64_t* event_us     # of all events of the tape, non-decreasing
    int64_t events              # number of counted events; 0 before the tape's window begins
    int64_t count               # events before the last instant


cdef inline int64_t events_before(Happened* happened, int64_t us) noexcept nogil:
    """Return the number of events before an instant; instants must not decrease between calls."""
    cdef int64_t count = happened.count, begin, i
    prefetch(&happened.event_us[count + 32])
    while count + 8 <= happened.events and happened.event_us[count + 7] < us:
        count += 8
    begin = count
    for i in range(begin, min(begin + 8, happened.events)):  # counted without a branch, which would be mispredicted
        count += happened.event_us[i] < us
    happened.count = count
    return count
