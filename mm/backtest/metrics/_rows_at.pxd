# Lookup of the row in force at an instant: from the row of a nearby instant, by a time index, or by binary search.

from libc.stdint cimport int32_t, int64_t


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


cdef inline int64_t sought_row_at(const int64_t* us, int64_t width, int64_t rows, int64_t instant) noexcept nogil:
    """Return the last of ascending rows that begins at or before *instant*, -1 before the first, by binary search."""
    cdef int64_t low = 0, high = rows, middle
    while low < high:
        middle = (low + high) >> 1
        if us[width * middle] <= instant:
            low = middle + 1
        else:
            high = middle
    return low - 1


cdef struct TimeIndex:      # of ascending rows, *width* cells each
    const int64_t* us
    int64_t width
    int64_t rows
    int64_t shift           # a stretch of time has 2^shift µs and, on average, one row or more
    int64_t stretches
    const int32_t* before   # the last row before each stretch from the first row on, then the last row; NULL: no index


cdef enum:
    FEW_ROWS = 16  # indexing this number of rows takes as long as one binary search


cdef inline TimeIndex index_of(
    const int64_t* us, int64_t width, int64_t rows, int64_t wanted, int32_t* room
) noexcept nogil:
    """Return the index of ascending rows; *room* stores it, and has one cell more than there are rows.

    If binary search is faster for the number of rows *wanted*, it has no stretches.
    """
    cdef TimeIndex index = TimeIndex(us, width, rows, 0, 0, NULL)
    cdef int64_t i, span
    if index.rows == 0 or wanted * FEW_ROWS < index.rows:
        return index
    span = index.us[index.width * (index.rows - 1)] - index.us[0]
    while span >> index.shift >= index.rows:
        index.shift += 1
    index.stretches = (span >> index.shift) + 1
    for i in range(index.stretches):
        room[i] = -1
    for i in range(index.rows):
        room[((index.us[index.width * i] - index.us[0]) >> index.shift) + 1] = <int32_t> i
    for i in range(1, index.stretches):
        room[i] = max(room[i], room[i - 1])
    index.before = room
    return index


cdef inline int64_t indexed_row_at(const TimeIndex* index, int64_t instant) noexcept nogil:
    """Return the last row that begins at or before *instant*, -1 before the first."""
    cdef int64_t stretch
    if index.before is NULL:
        return sought_row_at(index.us, index.width, index.rows, instant)
    if instant < index.us[0]:
        return -1
    stretch = min((instant - index.us[0]) >> index.shift, index.stretches)
    return row_at(index.us, index.width, index.rows, instant, index.before[stretch])
