# Cash and position, exactly: cash flow in tick·lots, fees and funding in 1e-8 of the quote asset.

from libc.stdint cimport int64_t

cdef extern from *:
    """
    typedef __int128 mm_wide;
    /* Round a / b half to even, b > 0. */
    static inline mm_wide mm_half_even(mm_wide a, mm_wide b) {
        mm_wide q = a / b, r = a % b, twice;
        if (r < 0) { r += b; q -= 1; }
        twice = 2 * r;
        if (twice > b || (twice == b && (q & 1))) q += 1;
        return q;
    }
    """
    ctypedef long long wide "mm_wide"      # 128 bits in C
    wide half_even "mm_half_even"(wide a, wide b) noexcept nogil

cdef struct Account:
    int64_t inventory_lots
    int64_t cash_tl         # signed sum of fill notionals, buys negative
    int64_t fees_e8         # including funding paid
    int64_t start_cash_e8
    int64_t unit_e16        # one tick·lot, in 1e-16 of the quote asset
    int64_t maker_fee_e8    # rates
    int64_t taker_fee_e8
    int64_t maker_lot_fee_e16   # per lot, in addition to the rates
    int64_t taker_lot_fee_e16


cdef inline wide notional_e16(const Account* account, int64_t ticks, int64_t lots) noexcept nogil:
    """In 1e-16 of the quote asset."""
    return <wide> ticks * lots * account.unit_e16


cdef inline int64_t fee_e8(wide notional_e16, int64_t rate_e8) noexcept nogil:
    """Rounded half even to 1e-8 of the quote asset."""
    return <int64_t> half_even(notional_e16 * rate_e8, <wide> 10000000000000000)


cdef inline int64_t fill_fee_e8(const Account* account, int64_t ticks, int64_t lots, bint took) noexcept nogil:
    """By notional and by lots, rounded half even to 1e-8 of the quote asset."""
    cdef int64_t rate_e8 = account.taker_fee_e8 if took else account.maker_fee_e8
    cdef int64_t lot_fee_e16 = account.taker_lot_fee_e16 if took else account.maker_lot_fee_e16
    cdef wide by_lots = <wide> lots * lot_fee_e16 * 100000000
    return <int64_t> half_even(notional_e16(account, ticks, lots) * rate_e8 + by_lots, <wide> 10000000000000000)


cdef inline wide cash_e16(const Account* account) noexcept nogil:
    return (
        <wide> account.start_cash_e8 * 100000000
        + <wide> account.cash_tl * account.unit_e16
        - <wide> account.fees_e8 * 100000000
    )


cdef inline void book_fill(Account* account, int64_t side, int64_t ticks, int64_t lots, int64_t fee) noexcept nogil:
    account.inventory_lots += side * lots
    account.cash_tl -= side * ticks * lots
    account.fees_e8 += fee
