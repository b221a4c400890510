# The order log: rows of ten int64, named in order_log.py, buffered until they are taken.

from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc

cdef enum:
    ROW_NEW = 1
    ROW_TRADE, ROW_LEVEL, ROW_REST, ROW_CANCEL, ROW_REDUCE, ROW_EXPIRE, ROW_REFUSE

cdef enum:
    REASON_IOC = 1
    REASON_FOK, REASON_STP

cdef enum:
    WIDTH = 10
    ROWS_AGAIN = 1 << 16    # upper limit of the rows allocated at once after rows were taken

cdef struct Log:
    int64_t* cells
    int64_t used            # number of rows
    int64_t room
    int64_t first_room      # rows to allocate at once
    bint on


cdef inline int log_grow(Log* log) except -1 nogil:
    cdef int64_t room = 2 * log.room + 512 if log.room else max(512, log.first_room)
    cdef int64_t* cells = <int64_t*> realloc(log.cells, room * WIDTH * sizeof(int64_t))
    if cells is NULL:
        with gil:
            raise MemoryError(f"no memory for {room} rows of the order log; take them more often")
    log.cells = cells
    log.room = room
    return 0


cdef inline int log_reserve(Log* log, int64_t rows) except -1 nogil:
    return log_grow(log) if log.used + rows > log.room else 0


cdef inline int64_t* log_row(Log* log) noexcept nogil:
    """Return the cells of a new last row; room must be reserved, and the caller sets all cells."""
    log.used += 1
    return log.cells + (log.used - 1) * WIDTH


cdef inline int64_t* log_handed(Log* log) noexcept nogil:
    """Return the memory of all rows, which the caller must free, and leave the log empty."""
    cdef int64_t* cells = log.cells
    log.first_room = min(log.room, ROWS_AGAIN)
    log.cells = NULL
    log.used = log.room = 0
    return cells
