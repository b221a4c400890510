# The order log: rows of ten int64, as order_log.py names them, until somebody takes them.

from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc

cdef enum Row:
    ROW_NEW = 1
    ROW_TRADE, ROW_LEVEL, ROW_REST, ROW_CANCEL, ROW_REDUCE, ROW_EXPIRE, ROW_REFUSE

cdef enum Reason:
    REASON_IOC = 1
    REASON_FOK, REASON_STP

cdef enum:
    WIDTH = 10

cdef struct Log:
    int64_t* cells
    int64_t used            # rows
    int64_t room
    bint on


cdef inline int log_grow(Log* log) except -1 nogil:
    cdef int64_t room = 2 * log.room + 512
    cdef int64_t* cells = <int64_t*> realloc(log.cells, room * WIDTH * sizeof(int64_t))
    if cells is NULL:
        with gil:
            raise MemoryError(f"no memory for {room} rows of the order log; take them more often")
    log.cells = cells
    log.room = room
    return 0


cdef inline int log_reserve(Log* log, int64_t rows) except -1 nogil:
    """Make sure that a few more rows find room."""
    return log_grow(log) if log.used + rows > log.room else 0


cdef inline int64_t* log_row(Log* log) noexcept nogil:
    """Return the cells of a new last row, whose room was reserved; the caller fills them all."""
    log.used += 1
    return log.cells + (log.used - 1) * WIDTH
