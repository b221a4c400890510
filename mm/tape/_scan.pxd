# Scanners over one line of text, which must end with a newline. None of them skips a newline, since it is no digit,
# blank or expected character; therefore none needs a bounds check.

from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from libc.string cimport memcmp

from mm._decimals cimport eight_digits, usual_decimal

cdef struct Grid:
    uint64_t step       # 0 before the first value
    uint64_t inverse    # of the step's odd part, modulo 2**64
    uint64_t limit      # the largest possible quotient
    int shift           # the step's power of two
    bint fixed          # a value off the grid is an error; else the grid becomes finer

cdef enum:
    # Keys of a depth message, first those whose value is a single number.
    RECV_MS = 0
    RECV_US, RECV_SEQ, EXCHANGE, MATCHED, FIRST_ID, LAST_ID, RUN, BIDS, ASKS, OTHER
    NUMBERS = RUN + 1
    USUAL_LEVEL = 39    # bytes of the longest level in the exchange's format with up to seven digits before each point


# Prices and quantities are checked against their step, and divided by it, for every level of a day. A division takes
# some 25 cycles; one multiplication is enough: modulo 2**64 an odd step has an inverse, and multiplying by it turns a
# multiple of the step into the quotient, and any other value into a number above the largest quotient. The step's power
# of two is removed by a rotation; a remainder there ends up in the highest bits, also above the limit.

cdef inline Grid grid_of(uint64_t step, bint fixed) noexcept nogil:
    cdef Grid grid
    cdef uint64_t odd = step
    cdef int turn
    grid.step, grid.inverse, grid.limit, grid.shift, grid.fixed = step, 1, 0, 0, fixed
    if step:
        while not odd & 1:
            odd >>= 1
            grid.shift += 1
        for turn in range(6):  # Newton: each iteration doubles the number of correct bits
            grid.inverse *= 2 - odd * grid.inverse
        grid.limit = <uint64_t> -1 // step
    return grid


cdef inline uint64_t steps_of(const Grid* grid, uint64_t value) noexcept nogil:
    """value / step by one multiplication; a remainder gives more than ``grid.limit``."""
    cdef uint64_t steps = value * grid.inverse
    return (steps >> grid.shift) | (steps << ((64 - grid.shift) & 63))


cdef inline bint on_grid(Grid* grid, uint64_t value) noexcept nogil:
    """A grid that is not fixed is refined if necessary."""
    cdef uint64_t step, rest
    if steps_of(grid, value) <= grid.limit:
        return True
    if grid.fixed:
        return False
    step, rest = grid.step, value
    while rest:
        step, rest = rest, step % rest
    grid[0] = grid_of(step, False)
    return True


cdef inline const char* blank(const char* p) noexcept nogil:
    while p[0] == c" " or p[0] == c"\t" or p[0] == c"\r":
        p += 1
    return p


cdef inline bint take(const char** at, char sign) noexcept nogil:
    if at[0][0] != sign:
        at[0] = blank(at[0])
        if at[0][0] != sign:
            return False
    at[0] += 1
    return True


cdef inline bint is_digit(char sign) noexcept nogil:
    return c"0" <= sign <= c"9"


cdef inline bint whole_number(const char** at, const char* end, int64_t* value) noexcept nogil:
    """Read a whole number of at most 18 digits; False if there is none."""
    cdef const char* p = at[0]
    cdef uint64_t number = 0, next_eight
    while end - p >= 8 and p - at[0] <= 8 and eight_digits(p, &next_eight):
        number = number * 100000000u + next_eight
        p += 8
    while is_digit(p[0]) and p - at[0] <= 18:
        number = number * 10 + (p[0] - c"0")
        p += 1
    if not 0 < p - at[0] <= 18:  # any 18 digits fit into int64
        return False
    value[0] = number
    at[0] = p
    return True


cdef inline bint decimal(const char** at, const char* end, int64_t* value) noexcept nogil:
    """Read a plain decimal in units of 1e-8; False if it is invalid, too large or too fine."""
    cdef const char* p = at[0]
    cdef uint64_t whole = 0, places = 0
    cdef int n
    if end - p >= 16:
        p = usual_decimal(p, &whole)
        if p != NULL and not is_digit(p[0]):
            value[0] = whole
            at[0] = p
            return True
        p, whole = at[0], 0
    while is_digit(p[0]):
        whole = whole * 10 + (p[0] - c"0")
        p += 1
    if not 0 < p - at[0] <= 11:
        return False
    if p[0] == c".":
        p += 1
        if end - p >= 8 and eight_digits(p, &places):
            p += 8
        else:
            for n in range(8):
                places *= 10
                if is_digit(p[0]):
                    places += p[0] - c"0"
                    p += 1
        while p[0] == c"0":
            p += 1
    if is_digit(p[0]) or whole * 100000000u + places > <uint64_t> INT64_MAX:
        return False
    value[0] = whole * 100000000u + places
    at[0] = p
    return True


cdef inline bint usual_level(const char** at, int64_t* price, int64_t* qty) noexcept nogil:
    """Read a level in the exchange's format, ["60000.10000000","0.00120000"]; else return False without moving *at*.

    A price of 0 is no level; up to `USUAL_LEVEL` bytes are read.
    """
    cdef const char* p = at[0]
    if memcmp(p, b'["', 2) != 0:
        return False
    p = usual_decimal(p + 2, <uint64_t*> price)
    if p == NULL or price[0] == 0 or memcmp(p, b'","', 3) != 0:
        return False
    p = usual_decimal(p + 3, <uint64_t*> qty)
    if p == NULL or memcmp(p, b'"]', 2) != 0:
        return False
    at[0] = p + 2
    return True


cdef inline bint past_value(const char** at, const char* end) noexcept nogil:
    """Skip one JSON value of any form; False if it does not end before *end*."""
    cdef const char* p = at[0]
    cdef int depth = 0
    while p < end:
        if p[0] == c'"':
            p += 1
            while p < end and p[0] != c'"':
                p += 2 if p[0] == c"\\" else 1
        elif p[0] == c"[" or p[0] == c"{":
            depth += 1
        elif depth == 0 and (p[0] == c"," or p[0] == c"}"):
            break
        elif p[0] == c"]" or p[0] == c"}":
            depth -= 1
        p += 1
    at[0] = p
    return p < end and depth == 0


cdef inline int key_of(const char* key, Py_ssize_t size) noexcept nogil:
    if size == 1:
        if key[0] == c"b":
            return BIDS
        if key[0] == c"a":
            return ASKS
        if key[0] == c"U":
            return FIRST_ID
        if key[0] == c"u":
            return LAST_ID
        if key[0] == c"E":
            return EXCHANGE
        if key[0] == c"T":
            return MATCHED
    elif size == 7 and memcmp(key, b"recv_us", 7) == 0:
        return RECV_US
    elif size == 7 and memcmp(key, b"recv_ms", 7) == 0:
        return RECV_MS
    elif size == 8 and memcmp(key, b"recv_seq", 8) == 0:
        return RECV_SEQ
    elif size == 6 and memcmp(key, b"run_id", 6) == 0:
        return RUN
    return OTHER


cdef inline int flag(const char* text, Py_ssize_t size) noexcept nogil:
    """Read a boolean as written by this project, by Python, or as a digit; -1 if it is not a boolean."""
    if size == 1 and (text[0] == c"0" or text[0] == c"1"):
        return text[0] == c"1"
    if size == 4 and (text[0] == c"t" or text[0] == c"T") and memcmp(text + 1, b"rue", 3) == 0:
        return 1
    if size == 5 and (text[0] == c"f" or text[0] == c"F") and memcmp(text + 1, b"alse", 4) == 0:
        return 0
    return -1
