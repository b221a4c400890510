# Conversion of Python arguments to numbers within their ranges.

from cpython.number cimport PyNumber_Index
from libc.stdint cimport INT64_MAX, int64_t

cdef extern from *:
    """
    #include <stdint.h>
    #define MM_MOST_TICKS ((INT64_C(1) << 40) - 1)
    #define MM_MOST_LOTS ((INT64_C(1) << 48) - 1)
    #define MM_MOST_FIRST_ID (INT64_C(1) << 62)
    """
    const int64_t MOST_TICKS "MM_MOST_TICKS"
    const int64_t MOST_LOTS "MM_MOST_LOTS"
    const int64_t MOST_FIRST_ID "MM_MOST_FIRST_ID"


cdef inline int64_t whole(object value, str name) except? -1:
    """Return an argument as an integer; floats are refused, even whole ones."""
    try:
        return <int64_t> PyNumber_Index(value)
    except OverflowError:
        raise ValueError(f"{name} {value}: has more than 64 bits") from None
    except TypeError:
        raise TypeError(f"{name} {value!r}: not a whole number") from None


cdef inline int64_t some_id(object order_id) except? -1:
    """Return an order id; an id beyond 64 bits becomes 0, which no order has."""
    try:
        return <int64_t> PyNumber_Index(order_id)
    except OverflowError:
        return 0


cdef inline int64_t first_id(object value, str name) except -1:
    """Return a last id in use; new ids start after it."""
    cdef int64_t first = whole(value, name)
    if not 0 <= first <= MOST_FIRST_ID:
        raise ValueError(f"{name} {first}: not within 0 to {MOST_FIRST_ID}")
    return first


cdef inline int a_side(object value) except 0:
    cdef int64_t side = whole(value, "side")
    if side != 1 and side != -1:
        raise ValueError(f"side {side}: neither +1 to buy nor -1 to sell")
    return side


cdef inline int64_t most_of(object limit) except -1:
    """Return the requested number; None means all."""
    cdef int64_t most = INT64_MAX if limit is None else whole(limit, "limit")
    if most < 0:
        raise ValueError(f"limit {most}: below 0; None is without a limit")
    return most
