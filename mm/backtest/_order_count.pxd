# The exchange's limits on new orders: how many an account may send in ten seconds and in a day.

from libc.stdint cimport int64_t

from mm.backtest._records cimport COVERED, ORDER_LIMIT_10S, ORDER_LIMIT_DAY

cdef enum:
    MAKER_CREDIT = 5        # orders given back at the first fill of one that rested
    TAKER_CREDIT = 1

cdef struct OrderCount:
    int64_t limits[2]       # 0 is none
    int64_t counts[2]
    int64_t ends_us[2]      # of the running spans


cdef inline void order_count_roll(OrderCount* count, int64_t us) noexcept nogil:
    """Begin anew what has ended; a span begins at a multiple of itself."""
    cdef int64_t ten_s = 10000000, day = 86400000000
    if us >= count.ends_us[0]:
        count.ends_us[0] = us - us % ten_s + ten_s
        count.counts[0] = 0
    if us >= count.ends_us[1]:
        count.ends_us[1] = us - us % day + day
        count.counts[1] = 0


cdef inline int order_count_reason(OrderCount* count, int64_t us) noexcept nogil:
    """Return why no order may be sent now, or 0."""
    order_count_roll(count, us)
    if count.limits[0] and count.counts[0] >= count.limits[0]:
        return ORDER_LIMIT_10S
    if count.limits[1] and count.counts[1] >= count.limits[1]:
        return ORDER_LIMIT_DAY
    return COVERED


cdef inline void order_count_filled(OrderCount* count, int64_t us, int64_t credit) noexcept nogil:
    """Give orders back: the exchange does so when one is filled for the first time."""
    order_count_roll(count, us)
    count.counts[0] = max(count.counts[0] - credit, 0)
    count.counts[1] = max(count.counts[1] - credit, 0)
