# cython: cdivision=True
# Risk limits as a pure function of an order, the account, the market and the clock, and the guard that holds the state
# of the function between requotes; docs/trading.md.

from libc.stdint cimport int64_t
from libc.stdlib cimport realloc

from mm.backtest.engine._account cimport Account, cash_e16, wide
from mm.backtest.engine._own_orders cimport OwnOrders
from mm.backtest.engine._venue cimport Touch
from mm.backtest.fills.base cimport MARKET, Order
from mm.backtest.quotes.base cimport Want

# Indices into the names of risk.py: kills, then pulls, then limits that withhold an order; the last withholds nothing.
cdef enum Limit:
    ALLOWED, MAX_DAILY_LOSS, MAX_DRAWDOWN, KILLED, MAX_MOVE, FEED_STALE, SLOW_ACK, PULLED
    MAX_POSITION, MAX_LEVERAGE, MAX_OPEN_ORDERS, MAX_ORDER_NOTIONAL, PRICE_BAND, ACCOUNT_NOTIONAL, ACCOUNT_ORDERS
    MAX_ORDERS_PER_S, WIDEN_BANDS

# Bounds in 1e-8 of the knob's unit, counts and µs unscaled; -1 is no limit.
cdef struct Limits:
    int64_t position_e8, leverage_e8, open_orders, notional_e8, band_e8, orders_per_s
    int64_t loss_e8, drawdown_e8, move_e8, stale_us, ack_us
    int64_t account_e8, account_orders  # of all symbols of the account
    int64_t unit_e16        # one tick·lot, in 1e-16 of the quote asset
    int64_t lot_e8

# Input of the limits. Sums with the mid are doubled, because the mid is stored doubled.
cdef struct Standing:
    int64_t us
    int64_t mid2            # 0 before the first
    int64_t low2, high2     # minimum and maximum of mid2 within the window of MAX_MOVE
    int64_t market_us       # what the market is as of: receive time of its last message, earlier if that was late
    int64_t ack_us          # slowest acknowledgement since the last requote, or longest pending one
    int64_t inventory_lots, target_lots
    int64_t open_lots[2]    # remaining lots of open orders; sells, buys
    int64_t open_orders[2]
    int64_t sent            # orders within the last second
    int64_t others_e8, others_orders    # notional and open orders of the account's other symbols
    int64_t rate_over, rate_under       # the numeraire of the account per quote asset; 0 under: it is the quote asset
    wide equity_e16         # twice
    wide day_e16, peak_e16  # twice: the equity at the start of the day, and the highest

cdef struct Breach:
    int limit
    wide value_e8, bound_e8

cdef struct Extreme:        # minimum or maximum of the values in a time window: a monotonic queue
    int64_t* cells          # pairs of an instant and a value
    int64_t first, last, room


cdef class Guard:
    cdef OwnOrders orders
    cdef Limits limits
    cdef Standing now
    cdef Extreme low, high
    cdef int64_t move_us                        # length of the window of MAX_MOVE
    cdef wide added_e16                         # equity outside the engine's account
    cdef bint has_limits
    cdef bint given_peak, given_day             # whether the peak equity, and that at the start of the day, are known
    cdef const int64_t[::1] band_shares_e8
    cdef const double[::1] band_factors
    cdef int64_t bands, band                    # number of bands, and of those reached
    cdef int64_t* sent_us                       # a ring of the last second's sends, from *sent_first* on
    cdef int64_t sent_first
    cdef int64_t others_late_us                 # how late another market is that the strategy sees
    cdef int64_t day_ends_us, healthy_us, killed_us
    cdef int pull, killed                       # the limit that pulled the quotes, or killed; 0 is none
    cdef bint pulled                            # whether quotes are pulled from outside
    cdef int64_t pulling                        # bits of the limits of this pull
    cdef int64_t breaking[2]                    # bits of the limits in this requote; sells, buys
    cdef int64_t before[2]                      # the same in the requote before

    cdef int keep_bands(self, const int64_t[::1] shares, const double[::1] factors) except -1
    cdef int look(self, int64_t us, const Touch* known) except -1 nogil
    cdef int halted(self) noexcept nogil
    cdef int observe(self, int64_t us, const Touch* known) except -1 nogil
    cdef int next_day(self, int64_t us) except -1 nogil
    cdef int stop(self, int64_t us, int found, const Breach* breach) except -1 nogil
    cdef int kill(self, int64_t us, int limit) noexcept nogil
    cdef int note(self, int64_t us, const Breach* breach, int64_t side) except -1 nogil
    cdef int widen(self, int64_t us, Want* want) except -1 nogil
    cdef int admit(self, int64_t us, const Order* order, wide notional_e16) except -1 nogil
    cdef void count(self, int64_t us) noexcept nogil


cdef inline int broken(Breach* breach, int limit, wide value_e8, wide bound_e8) noexcept nogil:
    breach.limit, breach.value_e8, breach.bound_e8 = limit, value_e8, bound_e8
    return limit


cdef inline wide share_e8(wide part, wide whole) noexcept nogil:
    """Return a share in 1e-8, rounded down; the maximum if *whole* is 0."""
    cdef wide share
    if whole <= 0:
        return <wide> 1 << 62
    share = part * 100000000 / whole
    return share - (share * whole > part * 100000000)


cdef inline wide fall_e8(wide twice_e16) noexcept nogil:
    """Return the amount in 1e-8 of a doubled amount in 1e-16, rounded down."""
    cdef wide amount = twice_e16 / 200000000
    return amount - (amount * 200000000 > twice_e16)


cdef inline wide numeraire_e8(const Standing* now, wide twice_e16, bint up) noexcept nogil:
    """Return a doubled amount in 1e-16 of the quote asset in 1e-8 of the numeraire, rounded towards 0, or *up*."""
    cdef wide unit = 200000000, over = twice_e16
    if now.rate_under:
        unit *= now.rate_under
        if max(over, -over) < (<wide> 1 << 126) / now.rate_over:
            over *= now.rate_over
        else:  # the product has no room
            unit /= now.rate_over
    return (over + unit - 1) / unit if up and over > 0 else over / unit


cdef inline int stopped(const Limits* limits, const Standing* now, Breach* breach) noexcept nogil:
    """First the limits that kill, then those that pull; 0 for none."""
    cdef wide lost = now.day_e16 - now.equity_e16, fell = now.peak_e16 - now.equity_e16
    cdef int64_t up = now.mid2 - now.low2, down = now.high2 - now.mid2
    if limits.loss_e8 >= 0 and lost > <wide> limits.loss_e8 * 200000000:
        return broken(breach, MAX_DAILY_LOSS, fall_e8(lost), limits.loss_e8)
    if limits.drawdown_e8 >= 0 and fell > 0 and (
        now.peak_e16 <= 0 or fell * 100000000 > now.peak_e16 * limits.drawdown_e8
    ):
        return broken(breach, MAX_DRAWDOWN, share_e8(fell, now.peak_e16), limits.drawdown_e8)
    if limits.move_e8 >= 0:
        if <wide> up * 100000000 > <wide> limits.move_e8 * now.low2:
            return broken(breach, MAX_MOVE, share_e8(up, now.low2), limits.move_e8)
        if <wide> down * 100000000 > <wide> limits.move_e8 * now.high2:
            return broken(breach, MAX_MOVE, share_e8(down, now.high2), limits.move_e8)
    if limits.stale_us >= 0 and now.us - now.market_us > limits.stale_us:
        return broken(breach, FEED_STALE, <wide> (now.us - now.market_us) * 100, <wide> limits.stale_us * 100)
    if limits.ack_us >= 0 and now.ack_us > limits.ack_us:
        return broken(breach, SLOW_ACK, <wide> now.ack_us * 100000, <wide> limits.ack_us * 100000)
    return ALLOWED


cdef inline int withheld(
    const Limits* limits, const Standing* now, const Order* order, wide notional_e16, Breach* breach
) noexcept nogil:
    """*notional_e16* is the order's price times its quantity."""
    cdef int slot = 1 if order.side > 0 else 0
    # The position if all open orders of this side fill, and this one; and from the target, as quotes count it.
    cdef wide lots = <wide> order.side * now.inventory_lots + now.open_lots[slot] + order.lots
    cdef wide off = lots - <wide> order.side * now.target_lots
    cdef wide exposed = lots * now.mid2 * limits.unit_e16
    cdef wide away = 2 * <wide> order.ticks - now.mid2
    cdef int64_t moved = order.move_ticks != 0  # an open order, of which *order* has the new price and the lots it adds
    if limits.position_e8 >= 0 and off > 0 and off * limits.lot_e8 > limits.position_e8:
        return broken(breach, MAX_POSITION, off * limits.lot_e8, limits.position_e8)
    if limits.leverage_e8 >= 0 and exposed > 0 and (
        now.equity_e16 <= 0 or exposed * 100000000 > now.equity_e16 * limits.leverage_e8
    ):
        return broken(breach, MAX_LEVERAGE, share_e8(exposed, now.equity_e16), limits.leverage_e8)
    if limits.open_orders >= 0 and now.open_orders[slot] - moved >= limits.open_orders:
        return broken(breach, MAX_OPEN_ORDERS, <wide> (now.open_orders[slot] + 1) * 100000000, <wide> limits.open_orders * 100000000)
    if limits.notional_e8 >= 0 and notional_e16 > <wide> limits.notional_e8 * 100000000:
        return broken(breach, MAX_ORDER_NOTIONAL, notional_e16 / 100000000, limits.notional_e8)
    if limits.band_e8 >= 0 and now.mid2 and order.kind != MARKET:
        if max(away, -away) * 100000000 > <wide> limits.band_e8 * now.mid2:
            return broken(breach, PRICE_BAND, share_e8(max(away, -away), now.mid2), limits.band_e8)
    if limits.account_e8 >= 0 and exposed > 0 and (
        numeraire_e8(now, exposed, True) > <wide> limits.account_e8 - now.others_e8
    ):
        return broken(breach, ACCOUNT_NOTIONAL, now.others_e8 + numeraire_e8(now, exposed, False), limits.account_e8)
    if limits.account_orders >= 0 and (
        now.others_orders + now.open_orders[0] + now.open_orders[1] - moved >= limits.account_orders
    ):
        return broken(
            breach, ACCOUNT_ORDERS, <wide> (now.others_orders + now.open_orders[0] + now.open_orders[1] + 1) * 100000000,
            <wide> limits.account_orders * 100000000,
        )
    if limits.orders_per_s >= 0 and now.sent >= limits.orders_per_s:
        return broken(breach, MAX_ORDERS_PER_S, <wide> (now.sent + 1) * 100000000, <wide> limits.orders_per_s * 100000000)
    return ALLOWED


cdef inline wide exposed_e8(Guard guard) noexcept nogil:
    """Notional in the numeraire at the last mid, rounded up, of the larger position if all open orders of a side
    fill."""
    cdef wide held = guard.orders.account.inventory_lots
    cdef wide lots = max(<wide> 0, max(held + guard.orders.open.lots[1], guard.orders.open.lots[0] - held))
    return numeraire_e8(&guard.now, lots * guard.now.mid2 * guard.orders.account.unit_e16, True)


cdef inline wide lost_today_e8(Guard guard) noexcept nogil:
    """As of the last requote; not known before the first."""
    return guard.now.day_e16 / 200000000 - guard.now.equity_e16 / 200000000


cdef inline wide worth_e16(const Account* account, wide added_e16, int64_t mid2) noexcept nogil:
    """Twice the equity at a mid, in 1e-16 of the quote asset."""
    return 2 * (cash_e16(account) + added_e16) + <wide> account.inventory_lots * mid2 * account.unit_e16


cdef inline int extreme_note(Extreme* kept, int64_t sign, int64_t us, int64_t value, int64_t since_us) except -1 nogil:
    """Add a value; remove those that it dominates (*sign* +1: the higher ones), and those before *since_us*."""
    cdef int64_t i
    cdef int64_t* cells = kept.cells
    while kept.last > kept.first and sign * cells[2 * kept.last - 1] >= sign * value:
        kept.last -= 1
    while kept.last > kept.first and cells[2 * kept.first] < since_us:
        kept.first += 1
    if kept.last == kept.room:
        for i in range(2 * (kept.last - kept.first)):
            cells[i] = cells[2 * kept.first + i]
        kept.last -= kept.first
        kept.first = 0
        if 2 * kept.last >= kept.room:
            kept.room = 2 * kept.room + 16
            kept.cells = cells = <int64_t*> realloc(cells, 2 * kept.room * sizeof(int64_t))
            if cells is NULL:
                with gil:
                    raise MemoryError(f"no memory for {kept.room} mids of the last second")
    cells[2 * kept.last], cells[2 * kept.last + 1] = us, value
    kept.last += 1
    return 0
