# Sums, extremes and lags over a moving window: growing ring buffers of timestamps and whole numbers.
#
# All summed values are whole numbers, so that a sum does not depend on earlier additions and removals.

from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

cdef struct Entry:
    int64_t us
    int64_t value

cdef struct Ring:
    Entry* entries
    int64_t head            # index of the oldest entry
    int64_t count
    int64_t mask            # capacity - 1; the capacity is a power of two
    int64_t sum             # of the values


cdef inline void ring_close(Ring* ring) noexcept nogil:
    free(ring.entries)
    ring.entries = NULL


cdef inline void ring_clear(Ring* ring) noexcept nogil:
    ring.head = ring.count = ring.sum = 0


cdef inline Entry* ring_at(const Ring* ring, int64_t place) noexcept nogil:
    """Return the entry at an index, counted from the oldest."""
    return &ring.entries[(ring.head + place) & ring.mask]


cdef inline int ring_grow(Ring* ring) except -1 nogil:
    cdef int64_t room = 2 * (ring.mask + 1) if ring.entries else 64, place
    cdef Entry* entries = <Entry*> malloc(room * sizeof(Entry))
    if entries is NULL:
        with gil:
            raise MemoryError(f"no memory for a window of {room} entries")
    for place in range(ring.count):
        entries[place] = ring_at(ring, place)[0]
    free(ring.entries)
    ring.entries, ring.head, ring.mask = entries, 0, room - 1
    return 0


cdef inline int ring_push(Ring* ring, int64_t us, int64_t value) except -1 nogil:
    """Add the newest entry."""
    cdef Entry* entry
    if ring.entries is NULL or ring.count > ring.mask:
        ring_grow(ring)
    entry = ring_at(ring, ring.count)
    entry.us, entry.value = us, value
    ring.count += 1
    ring.sum += value
    return 0


cdef inline void ring_pop(Ring* ring) noexcept nogil:
    """Remove the oldest entry."""
    ring.sum -= ring.entries[ring.head].value
    ring.head = (ring.head + 1) & ring.mask
    ring.count -= 1


cdef inline void ring_expire(Ring* ring, int64_t until_us) noexcept nogil:
    """Remove entries up to and including *until_us*: the window is open at its start."""
    while ring.count and ring.entries[ring.head].us <= until_us:
        ring_pop(ring)
