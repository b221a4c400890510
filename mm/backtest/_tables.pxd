# Growing tables of int64 rows: where the kernel writes its journal.

from libc.stdint cimport int64_t
from libc.stdlib cimport realloc

cdef struct Table:
    int64_t* cells
    int64_t used            # rows
    int64_t room
    int64_t width


cdef inline int64_t* new_row(Table* table) except NULL nogil:
    """Return the cells of a new last row; the caller fills them all."""
    cdef int64_t room
    if table.used == table.room:
        room = 2 * table.room + 1024
        table.cells = <int64_t*> realloc(table.cells, room * table.width * sizeof(int64_t))
        if table.cells is NULL:
            with gil:
                raise MemoryError(f"no memory for {room} journal rows")
        table.room = room
    table.used += 1
    return table.cells + (table.used - 1) * table.width
