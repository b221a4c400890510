# Hash index from a number to a slot: open addressing, at most half full, without tombstones, so its size depends on the
# maximum number of simultaneous keys, not on all keys over time. 0 is not a valid key.

from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free

from mm.sim.matching._pool cimport NONE

cdef struct Entry:
    int64_t key
    int32_t slot

cdef struct Index:
    Entry* entries
    int64_t mask            # capacity - 1; 0 before the first key
    int64_t used


cdef inline int64_t index_home(const Index* index, int64_t key) noexcept nogil:
    """Return the preferred position of *key*; eight consecutive keys are next to each other."""
    cdef uint64_t mixed = (<uint64_t> key >> 3) * <uint64_t> 0x9E3779B97F4A7C15
    return (<int64_t> (mixed >> 32) * 8 + (key & 7)) & index.mask


cdef inline int64_t index_place(const Index* index, int64_t key) noexcept nogil:
    """Return the position of *key*, or the free position for it."""
    cdef int64_t place = index_home(index, key)
    while index.entries[place].key != key and index.entries[place].key:
        place = (place + 1) & index.mask
    return place


cdef inline int32_t index_find(const Index* index, int64_t key) noexcept nogil:
    """NONE if *key* is not present."""
    cdef int64_t place
    if index.mask == 0:
        return NONE
    place = index_place(index, key)
    return index.entries[place].slot if index.entries[place].key else NONE


cdef inline int index_grow(Index* index) except -1 nogil:
    cdef Index grown
    cdef int64_t place, new
    grown.mask = 2 * index.mask + 1 if index.mask else 127
    grown.used = index.used
    grown.entries = <Entry*> calloc(grown.mask + 1, sizeof(Entry))
    if grown.entries is NULL:
        with gil:
            raise MemoryError(f"no memory for an index of {grown.mask + 1} numbers")
    if index.mask:
        for place in range(index.mask + 1):
            if index.entries[place].key:
                new = index_place(&grown, index.entries[place].key)
                grown.entries[new] = index.entries[place]
    free(index.entries)
    index[0] = grown
    return 0


cdef inline int index_reserve(Index* index) except -1 nogil:
    return index_grow(index) if 2 * (index.used + 1) > index.mask else 0


cdef inline void index_put(Index* index, int64_t key, int32_t slot) noexcept nogil:
    """*key* is new; room must be reserved."""
    cdef int64_t place = index_place(index, key)
    index.entries[place].key = key
    index.entries[place].slot = slot
    index.used += 1


cdef inline void index_drop(Index* index, int64_t key) noexcept nogil:
    """Remove *key*, which is present, and fill the gap with later entries of its probe sequence."""
    cdef int64_t gap = index_place(index, key), place = gap
    index.used -= 1
    while True:
        place = (place + 1) & index.mask
        if index.entries[place].key == 0:
            index.entries[gap].key = 0
            return
        if ((place - index_home(index, index.entries[place].key)) & index.mask) >= ((place - gap) & index.mask):
            index.entries[gap] = index.entries[place]
            gap = place
