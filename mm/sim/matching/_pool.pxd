# Slots of equal size in one block of memory; freed slots are reused before the memory grows.
#
# A slot is identified by its number, since its address changes when the memory grows. Each item begins with an int32_t
# that the pool uses while the slot is free.

from libc.stdint cimport int32_t
from libc.stdlib cimport free, realloc

cdef enum:
    NONE = -1               # no slot
    MOST_SLOTS = 1 << 30

cdef struct Pool:
    char* items
    size_t size             # bytes per slot
    int32_t made            # slots allocated so far
    int32_t room
    int32_t spare           # the first free slot
    int32_t spares          # number of free slots


cdef inline void pool_open(Pool* pool, size_t size) noexcept nogil:
    pool.items = NULL
    pool.size = size
    pool.made = pool.room = pool.spares = 0
    pool.spare = NONE


cdef inline void pool_close(Pool* pool) noexcept nogil:
    free(pool.items)


cdef inline int pool_grow(Pool* pool) except -1 nogil:
    cdef int32_t room = 2 * pool.room + 64
    cdef char* items = <char*> realloc(pool.items, room * pool.size) if room < MOST_SLOTS else NULL
    if items is NULL:
        with gil:
            raise MemoryError(f"no memory for {room} slots of {pool.size} bytes in the order book")
    pool.items = items
    pool.room = room
    return 0


cdef inline int pool_reserve(Pool* pool, int32_t slots) except -1 nogil:
    """Make room for *slots* more slots; only here do addresses of items change."""
    return pool_grow(pool) if slots > pool.room - pool.made + pool.spares else 0


cdef inline int32_t pool_take(Pool* pool) noexcept nogil:
    """Return a reserved slot; its item is uninitialised."""
    cdef int32_t slot = pool.spare
    if slot == NONE:
        slot = pool.made
        pool.made += 1
    else:
        pool.spare = (<int32_t*> (pool.items + slot * pool.size))[0]
        pool.spares -= 1
    return slot


cdef inline void pool_give(Pool* pool, int32_t slot) noexcept nogil:
    (<int32_t*> (pool.items + slot * pool.size))[0] = pool.spare
    pool.spare = slot
    pool.spares += 1


cdef inline int32_t pool_used(const Pool* pool) noexcept nogil:
    return pool.made - pool.spares
