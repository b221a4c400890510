# A short list of lots that traded at prices since the last book event: prints of the market, or what we took.

from libc.stdint cimport int64_t
from libc.stdlib cimport realloc

from mm.backtest.fills.base cimport Trade

cdef struct Prints:
    Trade* rows
    int64_t used
    int64_t room


cdef inline int prints_add(Prints* prints, const Trade* trade) except -1 nogil:
    """Append one."""
    cdef int64_t room = 2 * prints.room + 64
    if prints.used == prints.room:
        prints.rows = <Trade*> realloc(prints.rows, room * sizeof(Trade))
        if prints.rows is NULL:
            with gil:
                raise MemoryError(f"no memory for {room} prints")
        prints.room = room
    prints.rows[prints.used] = trade[0]
    prints.used += 1
    return 0


cdef inline int64_t prints_at(const Prints* prints, int64_t side, int64_t ticks) noexcept nogil:
    """Return the lots that aggressors of *side* traded at a price."""
    cdef int64_t i, lots = 0
    for i in range(prints.used):
        if prints.rows[i].ticks == ticks and prints.rows[i].side == side:
            lots += prints.rows[i].lots
    return lots
