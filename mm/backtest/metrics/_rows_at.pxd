# The row in force at an instant, sought from that of an instant near it, by an index of time, or by halving.

from libc.stdint cimport int32_t, int64_t


cdef inline int64_t row_at(const int64_t* us, int64_t width, int64_t rows, int64_t instant, int64_t at) noexcept nogil:
    """Return the last of rising rows, *width* cells each, that begins at or before *instant*; -1 before the first.

    It is sought from the row *at*, -1 for none. Four rows are compared without a branch: how many lie between two
    instants is chance, and a wrong guess of a branch costs more than all four.
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
    """Return the last of rising rows that begins at or before *instant*, -1 before the first, by halving."""
    cdef int64_t low = 0, high = rows, middle
    while low < high:
        middle = (low + high) >> 1
        if us[width * middle] <= instant:
            low = middle + 1
        else:
            high = middle
    return low - 1


cdef inline int64_t shift_of(const int64_t* us, int64_t width, int64_t rows) noexcept nogil:
    """Return the shift that makes as many stretches of time of rising *rows* as there are rows, or half as many."""
    cdef int64_t shift = 0
    while rows and (us[width * (rows - 1)] - us[0]) >> shift >= rows:
        shift += 1
    return shift


cdef inline void index_rows(
    const int64_t* us, int64_t width, int64_t rows, int64_t shift, int32_t* index
) noexcept nogil:
    """Set *index*, a cell for each row, to the last row before each stretch of 2^*shift* µs from the first row on."""
    cdef int64_t i, place
    for i in range(rows):
        index[i] = -1
    for i in range(rows):
        place = ((us[width * i] - us[0]) >> shift) + 1
        if place < rows:
            index[place] = <int32_t> i
    for i in range(1, rows):
        index[i] = max(index[i], index[i - 1])


cdef inline int64_t indexed_row_at(
    const int64_t* us, int64_t width, int64_t rows, int64_t shift, const int32_t* index, int64_t instant
) noexcept nogil:
    """Return the last of rising rows that begins at or before *instant*, -1 before the first, sought by their index."""
    cdef int64_t place
    if rows == 0 or instant < us[0]:
        return -1
    place = min((instant - us[0]) >> shift, rows - 1)
    return row_at(us, width, rows, instant, index[place])
