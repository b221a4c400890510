# What the exchange asks of an order's price and size, beyond its grid.

from libc.stdint cimport int64_t

from mm.backtest._account cimport wide

cdef struct Filters:
    int64_t min_ticks, max_ticks        # 0 asks nothing, here as everywhere
    int64_t min_lots, max_lots
    wide max_notional_e16
    int64_t up_e8[2], down_e8[2]        # multiples of the mean price; sells, buys
    int64_t average_us
    bint percent                        # whether any of the multiples asks something


# The prices of the last trades, weighted by quantity.
cdef struct Mean:
    int64_t first_event                 # of the tape, not older than the window
    int64_t next_event                  # of the tape, not in the sums yet
    wide notional_tl
    int64_t lots
    int64_t last_ticks                  # of the last trade, 0 before one
    int64_t low_ticks, high_ticks       # no trade has been below or above


cdef inline bint surely_in_band(const Filters* filters, const Mean* mean, int64_t side, int64_t ticks) noexcept nogil:
    """Tell whether a price lies within its limits wherever the mean price lies between all trades."""
    cdef int slot = 1 if side > 0 else 0
    if filters.min_ticks and ticks < filters.min_ticks or filters.max_ticks and ticks > filters.max_ticks:
        return False
    if not filters.percent:
        return True
    if filters.up_e8[slot] and <wide> ticks * 100000000 > <wide> mean.low_ticks * filters.up_e8[slot]:
        return False
    return not (filters.down_e8[slot] and <wide> ticks * 100000000 < <wide> mean.high_ticks * filters.down_e8[slot])


cdef inline bint in_band(const Filters* filters, const Mean* mean, int64_t side, int64_t ticks) noexcept nogil:
    """Tell whether a price lies within its limits, and within those about the mean price, if there is one."""
    cdef int slot = 1 if side > 0 else 0
    cdef wide notional = mean.notional_tl if mean.lots else mean.last_ticks
    cdef wide price = <wide> ticks * 100000000 * (mean.lots if mean.lots else 1)
    if filters.min_ticks and ticks < filters.min_ticks or filters.max_ticks and ticks > filters.max_ticks:
        return False
    if not filters.percent or notional == 0:
        return True
    if filters.up_e8[slot] and price > notional * filters.up_e8[slot]:
        return False
    return not (filters.down_e8[slot] and price < notional * filters.down_e8[slot])
