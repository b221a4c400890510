# Lookup of the row in force at an instant: from the row of a nearby instant.

from libc.stdint cimport int64_t


cdef inline int64_t row_at(const int64_t* us, int64_t width, int64_t rows, int64_t instant, int64_t at) noexcept nogil:
    """Return the last of ascending rows, *width* cells each, that begins at or before *instant*; -1 before the first.

    The search starts from the row *at*, -1 for none. Four rows are compared without a branch: the number of rows
    between two instants is random, and a mispredicted branch costs more than all four.
    """
    cdef int64_t step
    cdef const int64_t* row
    while at >= 0 and us[width * at] > instant:
        at -= 1
    while at + 4 < rows:
        row = us + width * (at + 1)
        step = (row[0] <= instant) + (row[width] <= instant) + (row[2 * width] <= instant) + (row[3 * width] <= instant)
        at += step
        if step < 4:
            return at
    while at + 1 < rows and us[width * (at + 1)] <= instant:
        at += 1
    return at
