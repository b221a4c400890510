# Integers and fixed decimals as text, appended at a pointer; every function that appends returns the new end.

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    typedef __int128 mm_decimal_t;
    typedef unsigned __int128 mm_udecimal_t;
    /* "00", "01", ... "99": two digits a division, which halves the divisions. */
    static const char mm_pairs[] =
        "00010203040506070809101112131415161718192021222324"
        "25262728293031323334353637383940414243444546474849"
        "50515253545556575859606162636465666768697071727374"
        "75767778798081828384858687888990919293949596979899";
    """
    const char* PAIRS "mm_pairs"
    int trailing_zeros "__builtin_ctzll"(uint64_t word) noexcept nogil
    bint LITTLE_ENDIAN "(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)"
    ctypedef long long wide_t "mm_decimal_t"            # 128 bits in C
    ctypedef unsigned long long uwide_t "mm_udecimal_t"


cdef inline bint digits_of(uint64_t word, uint64_t* value) noexcept nogil:
    """Read the eight digits of a word, the first in its lowest byte; return False if one is not a digit."""
    if word & 0xF0F0F0F0F0F0F0F0u != 0x3030303030303030u:
        return False
    word &= 0x0F0F0F0F0F0F0F0Fu
    if (word + 0x0606060606060606u) & 0xF0F0F0F0F0F0F0F0u:
        return False
    word = (word * 10 + (word >> 8)) & 0x00FF00FF00FF00FFu
    word = (word * 100 + (word >> 16)) & 0x0000FFFF0000FFFFu
    value[0] = (word * 10000 + (word >> 32)) & 0xFFFFFFFFu
    return True


cdef inline bint eight_digits(const char* p, uint64_t* value) noexcept nogil:
    """Read eight digits as one word; return False if one is not a digit, and always on big-endian machines."""
    cdef uint64_t word
    memcpy(&word, p, 8)
    return LITTLE_ENDIAN and digits_of(word, value)


cdef inline const char* usual_decimal(const char* p, uint64_t* value) noexcept nogil:
    """Read a decimal of one to seven digits, a point and eight digits, in units of 1e-8, in two words.

    Return the position after it, NULL if the format differs. Up to 16 bytes are read, whatever they are.
    """
    cdef uint64_t word, points, whole, places
    cdef int count
    memcpy(&word, p, 8)
    points = word ^ 0x2E2E2E2E2E2E2E2Eu
    points = (points - 0x0101010101010101u) & ~points & 0x8080808080808080u  # the lowest bit marks the first point
    if points == 0 or not LITTLE_ENDIAN:
        return NULL
    count = trailing_zeros(points) >> 3
    # Digits move to the end of the word, after zeros.
    if count == 0 or not digits_of(word << (64 - 8 * count) | <uint64_t> 0x3030303030303030u >> 8 * count, &whole):
        return NULL
    if not eight_digits(p + count + 1, &places):
        return NULL
    value[0] = whole * 100000000u + places
    return p + count + 9


cdef inline uint64_t power_of_ten(int exponent) noexcept nogil:
    """For exponents up to 19."""
    cdef uint64_t power = 1
    cdef int i
    for i in range(exponent):
        power *= 10
    return power


cdef inline char* put_fixed(char* p, uint64_t value, int digits) noexcept nogil:
    cdef char* q = p + digits
    while q - p >= 2:
        q -= 2
        memcpy(q, PAIRS + 2 * (value % 100), 2)
        value //= 100
    if q > p:
        p[0] = <char> (48 + value)
    return p + digits


cdef inline char* put_eight(char* p, uint32_t value) noexcept nogil:
    """Append *value*, less than 10**8, with eight digits: in halves that do not wait for each other."""
    cdef uint32_t high = value // 10000
    cdef uint32_t low = value % 10000
    memcpy(p, PAIRS + 2 * (high // 100), 2)
    memcpy(p + 2, PAIRS + 2 * (high % 100), 2)
    memcpy(p + 4, PAIRS + 2 * (low // 100), 2)
    memcpy(p + 6, PAIRS + 2 * (low % 100), 2)
    return p + 8


cdef inline char* put_short(char* p, uint32_t value) noexcept nogil:
    """Append *value*, less than 10**8, with as many digits as it has."""
    cdef int digits = (
        1 + (value >= 10) + (value >= 100) + (value >= 1000) + (value >= 10000)
        + (value >= 100000) + (value >= 1000000) + (value >= 10000000)
    )
    return put_fixed(p, value, digits)


cdef inline char* put_whole(char* p, uint64_t value) noexcept nogil:
    cdef uint64_t high = value // 100000000
    if high == 0:
        return put_short(p, <uint32_t> value)
    if high < 100000000:
        p = put_short(p, <uint32_t> high)
    else:
        p = put_eight(put_short(p, <uint32_t> (high // 100000000)), <uint32_t> (high % 100000000))
    return put_eight(p, <uint32_t> (value % 100000000))


cdef inline char* put_signed(char* p, int64_t value) noexcept nogil:
    """With a minus where it is negative."""
    if value < 0:
        p[0] = c"-"
        return put_whole(p + 1, 0 - <uint64_t> value)
    return put_whole(p, <uint64_t> value)


cdef inline char* put_wide(char* p, uwide_t value) noexcept nogil:
    """*value* may have more than 64 bits."""
    cdef uwide_t high = value // power_of_ten(19)
    cdef uwide_t low = value % power_of_ten(19)
    if high == 0:
        return put_whole(p, <uint64_t> low)
    return put_fixed(put_whole(p, <uint64_t> high), <uint64_t> low, 19)


cdef inline char* put_decimal(char* p, wide_t value, int places) noexcept nogil:
    """In units of 10**-places."""
    cdef uwide_t size = <uwide_t> value
    cdef uint64_t small
    if value < 0:
        p[0] = c"-"
        p += 1
        size = 0 - size
    small = <uint64_t> size
    if small == size and places == 8:
        p = put_whole(p, small // 100000000)
        p[0] = c"."
        return put_eight(p + 1, <uint32_t> (small % 100000000))
    p = put_wide(p, size // power_of_ten(places))
    p[0] = c"."
    small = <uint64_t> (size % power_of_ten(places))
    return put_fixed(p + 1, small, places)
