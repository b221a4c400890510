# cython: cdivision=True
# Latency of our messages: constant, or drawn from measured latencies.

from libc.stdint cimport int64_t, uint64_t

from mm.backtest.engine._draws cimport uniform

cdef enum Message:
    OF_ORDER = 0
    OF_CANCEL = 1
    OF_AMEND = 2

cdef struct Latency:
    int64_t order_us        # without measured latencies
    int64_t cancel_us
    const int64_t* orders   # measured, or NULL
    const int64_t* cancels
    const double* rates     # market messages per second at each measurement, ascending; NULL if not given
    int64_t count
    int64_t nearest         # first of the tenth of the measurements nearest to *rate*
    int64_t rate            # of the last message; -1 before it
    uint64_t seed
    bint in_order           # whether each order has its own, by its id


cdef inline int64_t latency_us(
    Latency* latency, int message, int64_t order_id, int64_t nth, int64_t rate
) noexcept nogil:
    """Return a measured latency for the *nth* message of its kind about an order, at *rate* market messages per second.

    If rates were measured, it is drawn from the tenth of the measurements with the nearest rates.
    """
    cdef int64_t among = latency.count
    cdef const int64_t* measured = latency.cancels if message == OF_CANCEL else latency.orders
    if latency.in_order:
        return measured[(order_id - 1) % latency.count]
    if latency.rates is not NULL:
        among = (latency.count + 9) // 10
        if rate != latency.rate:  # messages of one instant have one rate
            latency.nearest, latency.rate = nearest_to(latency, rate, among), rate
    return measured[latency.nearest + <int64_t> (uniform(latency.seed, order_id, message, nth) * among)]


cdef inline int64_t nearest_to(const Latency* latency, int64_t rate, int64_t among) noexcept nogil:
    cdef int64_t first = 0, last = latency.count - among, middle
    while first < last:
        middle = (first + last) >> 1
        if <double> rate - latency.rates[middle] > latency.rates[middle + among] - <double> rate:
            first = middle + 1
        else:
            last = middle
    return first
