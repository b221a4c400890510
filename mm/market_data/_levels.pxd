# Levels in the exchange's format, and one side of a book: the interface of `_levels` for other kernels.

from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from libc.string cimport memcmp

from mm._decimals cimport eight_digits, power_of_ten, put_eight, put_fixed, put_whole, usual_decimal

cdef enum:
    SHORTEST = 9       # bytes of ["1","0"] without a comma
    LONGEST_CELL = 22  # bytes of a price or a quantity with its comma: 11 digits, the point, eight places
    FIRST_ROOM = 64    # initial capacity in levels
    ODD = -1           # as a quantity: the texts differ from the canonical ones, and are kept in `odd`

cdef struct Level:
    int64_t key  # the price in 1e-8, negative for an ask, so that the best is the greatest
    int64_t qty  # in 1e-8, or ODD
    int price_places, qty_places  # of the texts


cdef inline int64_t gcd(int64_t one, int64_t other) noexcept nogil:
    while other:
        one, other = other, one % other
    return one


cdef inline const char* plain(const char* p, const char* end, int64_t* value) noexcept nogil:
    """Read a decimal in the exchange's format; return the position after it, NULL if the format differs."""
    cdef const char* first = p
    cdef const char* after
    cdef uint64_t whole = 0, places
    if end - p >= 16:
        after = usual_decimal(p, &whole)
        if after is not NULL and (p[0] != c"0" or p[1] == c"."):
            value[0] = <int64_t> whole
            return after
        whole = 0
    while p < end and c"0" <= p[0] <= c"9" and p - first <= 11:
        whole = whole * 10 + <uint64_t> (p[0] - c"0")
        p += 1
    if not 0 < p - first <= 11 or (first[0] == c"0" and p - first > 1):
        return NULL
    if end - p < 9 or p[0] != c"." or not eight_digits(p + 1, &places):
        return NULL
    whole = whole * 100000000u + places
    if whole > <uint64_t> INT64_MAX:
        return NULL
    value[0] = <int64_t> whole
    return p + 9


cdef inline const char* decimal(const char* p, const char* end, int64_t* value, int* places) noexcept nogil:
    """Read a decimal of up to eight *places*, without leading zeros; return the position after it, or NULL."""
    cdef const char* first = p
    cdef const char* after = plain(p, end, value)
    cdef uint64_t whole = 0
    places[0] = 8
    if after is not NULL:
        return after
    while p < end and c"0" <= p[0] <= c"9" and p - first <= 11:
        whole = whole * 10 + <uint64_t> (p[0] - c"0")
        p += 1
    if not 0 < p - first <= 11 or (first[0] == c"0" and p - first > 1):
        return NULL
    places[0] = 0
    if p < end and p[0] == c".":
        p += 1
        first = p
        while p < end and c"0" <= p[0] <= c"9" and p - first < 8:
            whole = whole * 10 + <uint64_t> (p[0] - c"0")
            p += 1
        if p == first:
            return NULL
        places[0] = <int> (p - first)
    whole *= power_of_ten(8 - places[0])
    if whole > <uint64_t> INT64_MAX:
        return NULL
    value[0] = <int64_t> whole
    return p


cdef inline const char* read_level(const char* p, const char* end, Level* level) noexcept nogil:
    """Read ``["price","quantity"]``; return the position after it, NULL if the format differs."""
    if end - p < SHORTEST or memcmp(p, b'["', 2):
        return NULL
    p = decimal(p + 2, end, &level.key, &level.price_places)
    if p is NULL or end - p < 3 or memcmp(p, b'","', 3):
        return NULL
    p = decimal(p + 3, end, &level.qty, &level.qty_places)
    if p is NULL or end - p < 2 or memcmp(p, b'"]', 2):
        return NULL
    return p + 2


cdef inline char* put(char* p, int64_t value, int places) noexcept nogil:
    """Append *value*, in 1e-8, with *places* decimal places."""
    p = put_whole(p, <uint64_t> value // 100000000u)
    if places == 0:
        return p
    p[0] = c"."
    if places == 8:
        return put_eight(p + 1, <uint64_t> value % 100000000u)
    return put_fixed(p + 1, <uint64_t> value % 100000000u // power_of_ten(8 - places), places)


cdef class Side:
    cdef object number
    cdef int sign
    cdef Level* room
    cdef Py_ssize_t size, begin, count
    cdef dict odd

    cdef Py_ssize_t place_of(self, key) except -1
    cdef Py_ssize_t place(self, int64_t key) noexcept nogil
    cdef int set(self, int64_t key, const Level* level) except -1 nogil
    cdef int set_texts(self, str price, str qty) except -1
    cdef void close_up(self, Py_ssize_t at) noexcept nogil
    cdef Level* make_way(self, Py_ssize_t at) except NULL nogil
    cdef int widen(self) except -1
    cdef tuple texts(self, const Level* level)


cdef char* put_cells(char* p, Side bids, Side asks, Py_ssize_t n) noexcept nogil
