# Which events of a tape have happened, where it is played on its best prices, which leave most of them out.

from libc.stdint cimport int64_t

from mm.tape._memory cimport prefetch

cdef struct Happened:
    const int64_t* event_us     # of all events of the tape, never falling
    int64_t events              # how many of them count: none before the tape's window has begun
    int64_t count               # have happened, as last looked


cdef inline int64_t happened_before(Happened* happened, int64_t us) noexcept nogil:
    """Return how many events were before an instant; instants must not fall from call to call."""
    cdef int64_t count = happened.count, begin, i
    prefetch(&happened.event_us[count + 32])
    while count + 8 <= happened.events and happened.event_us[count + 7] < us:
        count += 8
    begin = count
    for i in range(begin, min(begin + 8, happened.events)):  # counted, because nobody foresees where to stop
        count += happened.event_us[i] < us
    happened.count = count
    return count
