# cython: cdivision=True
# The exchange's checks of a new order beyond its grid: filters of price and size, limits on the number of orders of an
# account in ten seconds and in a day, and the last rejected price.

from libc.stdint cimport int64_t
from libc.stdlib cimport realloc
from libc.string cimport memmove

from mm.backtest.engine._account cimport wide
from mm.backtest.engine._records cimport COVERED, ORDER_LIMIT_10S, ORDER_LIMIT_DAY, WOULD_CROSS
from mm.backtest.fills.base cimport Order

cdef struct Filters:
    int64_t min_ticks, max_ticks        # 0 is no limit, here and below
    int64_t min_lots, max_lots
    wide max_notional_e16
    int64_t market_min_lots, market_max_lots, market_step_lots  # of MARKET orders
    int64_t max_position_lots           # of the inventory and all open buys
    bint min_to_market, max_to_market   # whether the limits of the notional apply to MARKET orders
    int64_t up_e8[2]                    # multiples of the mean price; sells, buys
    int64_t down_e8[2]
    int64_t average_us
    bint percent                        # whether any of the multiples is a limit


cdef struct Traded:
    int64_t us
    int64_t ticks
    int64_t lots


# The prices of the last trades, weighted by quantity.
cdef struct MeanPrice:
    Traded* trades                      # *first* to *stop*: of the last minutes
    int64_t first, stop, room
    wide notional_tl
    int64_t lots
    int64_t last_ticks                  # of the last trade, 0 before the first
    int64_t low_ticks, high_ticks       # bounds of all trade prices


cdef inline int mean_add(MeanPrice* mean, int64_t us, int64_t ticks, int64_t lots, bint averages) except -1 nogil:
    """Add a trade; *averages* is whether the mean is over the last minutes, not the price of the last trade."""
    cdef int64_t used = mean.stop - mean.first
    mean.last_ticks = ticks
    mean.low_ticks = min(mean.low_ticks, ticks) or ticks
    mean.high_ticks = max(mean.high_ticks, ticks)
    if not averages:
        return 0
    if mean.stop == mean.room:
        if 2 * used < mean.room:
            memmove(mean.trades, mean.trades + mean.first, used * sizeof(Traded))
            mean.first, mean.stop = 0, used
        else:
            mean.room = 2 * mean.room + 1024
            mean.trades = <Traded*> realloc(mean.trades, mean.room * sizeof(Traded))
            if mean.trades is NULL:
                with gil:
                    raise MemoryError(f"no memory for the trades of a mean price, {mean.room}")
    mean.trades[mean.stop] = Traded(us, ticks, lots)
    mean.stop += 1
    mean.lots += lots
    mean.notional_tl += <wide> ticks * lots
    return 0


cdef inline const MeanPrice* mean_after(MeanPrice* mean, int64_t us) noexcept nogil:
    while mean.first < mean.stop and mean.trades[mean.first].us <= us:
        mean.lots -= mean.trades[mean.first].lots
        mean.notional_tl -= <wide> mean.trades[mean.first].ticks * mean.trades[mean.first].lots
        mean.first += 1
    return mean


cdef inline bint surely_in_band(const Filters* filters, const MeanPrice* mean, int64_t side, int64_t ticks) noexcept nogil:
    """For every mean price within the range of all trades."""
    cdef int slot = 1 if side > 0 else 0
    if filters.min_ticks and ticks < filters.min_ticks or filters.max_ticks and ticks > filters.max_ticks:
        return False
    if not filters.percent:
        return True
    if filters.up_e8[slot] and <wide> ticks * 100000000 > <wide> mean.low_ticks * filters.up_e8[slot]:
        return False
    return not (filters.down_e8[slot] and <wide> ticks * 100000000 < <wide> mean.high_ticks * filters.down_e8[slot])


cdef inline bint in_band(const Filters* filters, const MeanPrice* mean, int64_t side, int64_t ticks) noexcept nogil:
    """And within the limits around the mean price, if there is one."""
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


cdef enum:
    MAKER_CREDIT = 5        # orders credited at the first fill of a resting order
    TAKER_CREDIT = 1

cdef struct OrderCount:
    int64_t limits[2]       # 0 is none
    int64_t counts[2]
    int64_t ends_us[2]      # of the current intervals
    bint limited            # whether any limit is set; else nothing is counted


cdef inline void order_count_roll(OrderCount* count, int64_t us) noexcept nogil:
    """Start new intervals in place of ended ones; they are aligned to multiples of their length."""
    cdef int64_t ten_s = 10000000, day = 86400000000
    if us >= count.ends_us[0]:
        count.ends_us[0] = us - us % ten_s + ten_s
        count.counts[0] = 0
    if us >= count.ends_us[1]:
        count.ends_us[1] = us - us % day + day
        count.counts[1] = 0


cdef inline int order_count_reason(OrderCount* count, int64_t us) noexcept nogil:
    if not count.limited:
        return COVERED
    order_count_roll(count, us)
    if count.limits[0] and count.counts[0] >= count.limits[0]:
        return ORDER_LIMIT_10S
    if count.limits[1] and count.counts[1] >= count.limits[1]:
        return ORDER_LIMIT_DAY
    return COVERED


cdef inline void order_count_sent(OrderCount* count) noexcept nogil:
    if count.limited:
        count.counts[0] += 1
        count.counts[1] += 1


cdef inline void order_count_filled(OrderCount* count, int64_t us, int64_t credit) noexcept nogil:
    """Credit orders, as the exchange does at the first fill of an order."""
    if not count.limited:
        return
    order_count_roll(count, us)
    count.counts[0] = max(count.counts[0] - credit, 0)
    count.counts[1] = max(count.counts[1] - credit, 0)


# The last price rejected on a side, which is not sent again until the touch has moved.
cdef struct Refused:
    int64_t ticks           # 0 is none
    int64_t kind
    bint crossed            # whether it would have crossed; then all prices beyond would too
    bint by_own             # whether it would have met an order of ours: it is sent again when that has ended
    int64_t bid_ticks       # the touch at the first requote after the rejection; -1 before that
    int64_t ask_ticks


cdef inline void refused_note(Refused* refused, const Order* order, int reason) noexcept nogil:
    refused.ticks, refused.kind, refused.crossed = order.ticks, order.kind, reason == WOULD_CROSS
    refused.bid_ticks = refused.ask_ticks = -1
    refused.by_own = False


cdef inline void refused_look(Refused* refused, int64_t bid_ticks, int64_t ask_ticks) noexcept nogil:
    """Update the touch at a requote; clear the price if the touch has moved."""
    if refused.ticks == 0:
        return
    if refused.bid_ticks < 0:
        refused.bid_ticks, refused.ask_ticks = bid_ticks, ask_ticks
    elif refused.bid_ticks != bid_ticks or refused.ask_ticks != ask_ticks:
        refused.ticks = 0


cdef inline bint refused_again(const Refused* refused, const Order* order) noexcept nogil:
    if refused.ticks == 0 or order.kind != refused.kind:
        return False
    return order.ticks == refused.ticks or (refused.crossed and order.side * (order.ticks - refused.ticks) > 0)
