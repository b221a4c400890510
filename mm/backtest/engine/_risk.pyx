# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Risk limits, and the guard that applies them in the order manager; docs/trading.md specifies both.

The limits are one pure function in two halves (``_risk.pxd``): `stopped` returns the limit that stops all quotes,
`withheld` the limit that an order would breach. ``check`` is the Python interface of both, ``risk.py`` has the limits and
their units.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from mm.backtest.engine._account cimport Account, wide
from mm.backtest.engine._own_orders cimport OpenOrders, OwnOrders, slot_of
from mm.backtest.engine._records cimport ORDER_LIMIT_DAY, record_breach
from mm.backtest.engine._venue cimport Touch
from mm.backtest.fills.base cimport LIMIT_MAKER, MARKET, NEVER, SENT, Order
from mm.backtest.quotes.base cimport Want

import numpy as np

from mm.backtest.risk import LIMITS, RiskBreach, RiskLimits, RiskOrder, RiskStanding, day_end_us

cdef int64_t SECOND_US = 1000000
cdef int64_t HEALTHY_US = 10000000     # without a breach, before quotes resume
cdef wide MOST = <wide> 1 << 62        # largest value in a row of breaches


cdef int64_t bound_of(object given):
    return -1 if given is None else given


cdef int take_limits(Limits* limits, object given, object rules) except -1:
    given = given or RiskLimits()
    limits.unit_e16, limits.lot_e8 = rules.tick_lot_e16, rules.lot_e8
    limits.position_e8, limits.leverage_e8 = bound_of(given.max_position_e8), bound_of(given.max_leverage_e8)
    limits.open_orders, limits.notional_e8 = bound_of(given.max_open_orders), bound_of(given.max_order_notional_e8)
    limits.band_e8, limits.orders_per_s = bound_of(given.price_band_e8), bound_of(given.max_orders_per_s)
    limits.loss_e8, limits.drawdown_e8 = bound_of(given.max_daily_loss_e8), bound_of(given.max_drawdown_e8)
    limits.move_e8, limits.stale_us = bound_of(given.max_move_e8), bound_of(given.feed_stale_us)
    limits.ack_us = bound_of(given.slow_ack_us)
    limits.account_e8 = limits.account_orders = -1
    return 0


def check(limits: RiskLimits, rules: object, standing: RiskStanding, order: RiskOrder | None = None) -> RiskBreach | None:
    """Return the breached limit, or None: by the account and the market, or by a requested *order*.

    Args:
        order: The order; None checks only the limits on all quotes.
    """
    cdef Limits bounds
    cdef Standing now
    cdef Breach breach
    cdef Order wanted
    cdef wide notional_e16 = 0
    memset(&wanted, 0, sizeof(Order))
    take_limits(&bounds, limits, rules)
    now.us, now.mid2, now.low2, now.high2 = standing.us, standing.mid2_ticks, standing.low2_ticks, standing.high2_ticks
    now.market_us, now.ack_us, now.inventory_lots = standing.market_us, standing.ack_us, standing.inventory_lots
    now.target_lots = standing.target_lots
    now.open_lots[0], now.open_lots[1] = standing.open_sell_lots, standing.open_buy_lots
    now.open_orders[0], now.open_orders[1] = standing.open_sells, standing.open_buys
    now.sent = standing.sent
    now.others_e8 = now.others_orders = now.rate_under = 0
    now.equity_e16 = <wide> (<int64_t> standing.equity_e8) * 200000000
    now.day_e16 = <wide> (<int64_t> standing.day_equity_e8) * 200000000
    now.peak_e16 = <wide> (<int64_t> standing.peak_equity_e8) * 200000000
    cdef int found = stopped(&bounds, &now, &breach)
    if found == ALLOWED and order is not None:
        wanted.side, wanted.lots = order.side, order.lots
        wanted.kind = LIMIT_MAKER if order.priced else MARKET
        wanted.ticks = order.ticks
        notional_e16 = <wide> wanted.ticks * wanted.lots * bounds.unit_e16
        found = withheld(&bounds, &now, &wanted, notional_e16, &breach)
    if found == ALLOWED:
        return None
    return RiskBreach(LIMITS[found], <int64_t> kept_e8(breach.value_e8), <int64_t> kept_e8(breach.bound_e8))


cdef inline double away(double ticks, int64_t side, double mid, double factor) noexcept nogil:
    """A price *factor* times as far from the mid; unchanged on the other side of the mid."""
    return mid - factor * (mid - ticks) if <double> side * (mid - ticks) > 0.0 else ticks


cdef inline wide kept_e8(wide value) noexcept nogil:
    return max(min(value, MOST), -MOST)


cdef inline wide scaled_peak(wide peak, wide equity, wide more) noexcept nogil:
    """The peak after a transfer of *more*: the same multiple of the equity as before."""
    if equity <= 0 or equity + more <= 0:
        return peak + more
    # peak · more / equity in two parts, since the product of all digits has no room
    return peak + more * (peak / equity) + <wide> (<double> more * (<double> (peak % equity) / <double> equity))


cdef class Guard:
    """The limits of one order manager, and their state between requotes.

    Args:
        rules: ``mm.backtest.rules.Rules``; without limits it only handles `pull` and `kill`.
    """

    def __init__(self, orders: OwnOrders, rules: object) -> None:
        self.orders = orders
        given = rules.risk
        self.has_limits = given is not None
        take_limits(&self.limits, given, rules)
        self.now.target_lots = rules.target
        self.move_us = max(SECOND_US, rules.requote_us)
        self.day_ends_us = -NEVER
        given = given or RiskLimits()
        self.added_e16 = <wide> (<int64_t> given.added_equity_e8) * 100000000
        if given.peak_equity_e8 is not None:
            self.now.peak_e16 = <wide> (<int64_t> given.peak_equity_e8) * 200000000
        if given.day_equity_e8 is not None:
            self.now.day_e16 = <wide> (<int64_t> given.day_equity_e8) * 200000000
        shares = np.array([share for share, _ in given.widen_bands], np.int64)
        factors = np.array([factor for _, factor in given.widen_bands], np.float64)
        self.keep_bands(shares, factors)
        if self.limits.orders_per_s > 0:
            self.sent_us = <int64_t*> calloc(self.limits.orders_per_s, sizeof(int64_t))
            if self.sent_us is NULL:
                raise MemoryError(f"no memory for {self.limits.orders_per_s} orders per second")
        self.given_peak, self.given_day = given.peak_equity_e8 is not None, given.day_equity_e8 is not None

    cdef int keep_bands(self, const int64_t[::1] shares, const double[::1] factors) except -1:
        self.band_shares_e8, self.band_factors = shares, factors
        self.bands = shares.shape[0]
        return 0

    def __dealloc__(self) -> None:
        free(self.low.cells)
        free(self.high.cells)
        free(self.sent_us)

    # ------------------------------------------------------------------ at a requote

    cdef int look(self, int64_t us, const Touch* known) except -1 nogil:
        """Check account and market, which must have both best prices; return the limit that stops all quotes, or 0."""
        cdef Breach breach
        cdef int found
        self.before[0], self.before[1] = self.breaking[0], self.breaking[1]
        self.breaking[0] = self.breaking[1] = 0
        if not self.killed:
            self.observe(us, known)
            found = stopped(&self.limits, &self.now, &breach) if self.has_limits else ALLOWED
            if found:
                self.stop(us, found, &breach)
            elif us >= self.healthy_us:
                self.pull = 0
                self.pulling = 0
        return self.halted()

    cdef int halted(self) noexcept nogil:
        if self.killed:
            return self.killed
        return PULLED if self.pulled else self.pull

    cdef int observe(self, int64_t us, const Touch* known) except -1 nogil:
        cdef int64_t i, wait_us = self.orders.slowest_ack_us
        self.orders.slowest_ack_us = 0
        for i in range(self.orders.open.count):
            if self.orders.open.orders[i].status == SENT or self.orders.open.orders[i].move_ticks:
                wait_us = max(wait_us, us - self.orders.open.orders[i].sent_us)
        self.now.us, self.now.ack_us = us, wait_us
        self.now.market_us = min(known.market_us, us - self.others_late_us)
        self.now.mid2 = known.top.bid_ticks + known.top.ask_ticks
        if self.limits.move_e8 >= 0:
            extreme_note(&self.low, 1, us, self.now.mid2, us - self.move_us)
            extreme_note(&self.high, -1, us, self.now.mid2, us - self.move_us)
            self.now.low2, self.now.high2 = self.low.cells[2 * self.low.first + 1], self.high.cells[2 * self.high.first + 1]
        self.now.equity_e16 = worth_e16(&self.orders.account, self.added_e16, self.now.mid2)
        if us >= self.day_ends_us:
            self.next_day(us)
        if not self.given_peak:
            self.now.peak_e16 = self.now.equity_e16
            self.given_peak = True
        self.now.peak_e16 = max(self.now.peak_e16, self.now.equity_e16)
        return 0

    cdef int next_day(self, int64_t us) except -1 nogil:
        """The given equity of the first day stays."""
        if not self.given_day:
            self.now.day_e16 = self.now.equity_e16
        self.given_day = False
        with gil:
            self.day_ends_us = day_end_us(us)
        return 0

    cdef int stop(self, int64_t us, int found, const Breach* breach) except -1 nogil:
        if found <= KILLED:
            self.note(us, breach, 0)
            return self.kill(us, found)
        self.healthy_us = us + HEALTHY_US
        if not self.pulling >> found & 1:
            self.note(us, breach, 0)
        self.pulling |= <int64_t> 1 << found
        if self.pull == 0:
            self.pull = found
        return 0

    cdef int kill(self, int64_t us, int limit) noexcept nogil:
        self.killed, self.killed_us = limit, us
        return 0

    cdef int note(self, int64_t us, const Breach* breach, int64_t side) except -1 nogil:
        return record_breach(
            &self.orders.records, us, breach.limit, <int64_t> kept_e8(breach.value_e8), <int64_t> kept_e8(breach.bound_e8), side
        )

    cdef int widen(self, int64_t us, Want* want) except -1 nogil:
        cdef int64_t held = self.orders.account.inventory_lots - self.now.target_lots, i = 0
        cdef wide share = share_e8(<wide> max(held, -held) * self.limits.lot_e8, self.limits.position_e8)
        cdef double mid = 0.5 * <double> self.now.mid2, factor
        cdef Breach breach
        while i < self.bands and share >= self.band_shares_e8[i]:
            i += 1
        if i and i != self.band:
            broken(&breach, WIDEN_BANDS, share, self.band_shares_e8[i - 1])
            self.note(us, &breach, 0)
        self.band = i
        if i:
            factor = self.band_factors[i - 1]
            want.bid_ticks = away(want.bid_ticks, 1, mid, factor)
            want.ask_ticks = away(want.ask_ticks, -1, mid, factor)
            for i in range(want.ladders[1].count):
                want.ladders[1].levels[i].ticks = away(want.ladders[1].levels[i].ticks, 1, mid, factor)
            for i in range(want.ladders[0].count):
                want.ladders[0].levels[i].ticks = away(want.ladders[0].levels[i].ticks, -1, mid, factor)
        return 0

    def used(self) -> dict[str, float]:
        """At the last requote, and for open orders. Limits on money have no share before the first requote."""
        cdef Standing now
        if not self.has_limits:
            return {}
        self.count(self.now.us)
        now = self.now
        held = abs(now.inventory_lots)
        off = now.inventory_lots - now.target_lots
        most = max(0, off + now.open_lots[1], now.open_lots[0] - off)
        equity, day, peak = <double> now.equity_e16, <double> now.day_e16, <double> now.peak_e16
        mid = 1e-16 * 0.5 * now.mid2 * <double> self.limits.unit_e16
        money = {
            "MAX_DAILY_LOSS": (5e-17 * (day - equity), 1e-8 * self.limits.loss_e8),
            "MAX_DRAWDOWN": ((peak - equity) / peak if peak > 0 else 0.0, 1e-8 * self.limits.drawdown_e8),
            "MAX_LEVERAGE": (held * mid / (5e-17 * equity) if equity > 0 else 0.0, 1e-8 * self.limits.leverage_e8),
        }
        parts = (money if now.mid2 else {}) | {
            "FEED_STALE_S": (now.us - now.market_us, self.limits.stale_us),
            "LATENCY_THRESHOLD_MS": (now.ack_us, self.limits.ack_us),
            "MAX_POSITION": (most * self.limits.lot_e8, self.limits.position_e8),
            "MAX_OPEN_ORDERS": (max(now.open_orders[0], now.open_orders[1]), self.limits.open_orders),
            "MAX_ORDERS_PER_S": (now.sent, self.limits.orders_per_s),
        }
        if now.low2 > 0:
            move = max((now.mid2 - now.low2) / <double> now.low2, (now.high2 - now.mid2) / <double> now.high2)
            parts["MAX_MOVE"] = (move, 1e-8 * self.limits.move_e8)
        return {name: max(value / bound, 0.0) for name, (value, bound) in parts.items() if bound > 0}

    def equities_e8(self) -> tuple[int, int, int] | None:
        """Return the equity at the last requote, at the start of the day, and the highest, in 1e-8 of the quote asset.

        None before the first requote. The latter two are the initial values of a resumed run
        (`mm.backtest.risk.RiskLimits`).
        """
        if not self.now.mid2:
            return None
        return tuple(
            [<int64_t> (self.now.equity_e16 / 200000000), <int64_t> (self.now.day_e16 / 200000000),
             <int64_t> (self.now.peak_e16 / 200000000)]
        )

    @property
    def observed_us(self) -> int:
        """Instant of the last requote and of `equities_e8`; 0 before the first."""
        return self.now.us

    def transfer(self, value_e8: int) -> None:
        """Count an amount that came into the account without a trade, in 1e-8 of the quote asset; negative if it went.

        It is no profit and no loss: the loss of the day, and the drawdown as a share of the peak, stay as they are.
        """
        cdef wide before = self.now.equity_e16, more = <wide> (<int64_t> value_e8) * 200000000
        self.added_e16 += more / 2
        if self.given_day or self.now.mid2:
            self.now.day_e16 += more
        if self.now.mid2:
            self.now.equity_e16 += more
        if self.given_peak:
            self.now.peak_e16 = scaled_peak(self.now.peak_e16, before if self.now.mid2 else self.now.peak_e16, more)

    # ------------------------------------------------------------------ the account's other symbols

    def allow(self, bounds: tuple[int | None, int | None], others: tuple[int, int]) -> None:
        """Set the limits of the whole account, and what its other symbols use of them.

        Args:
            bounds: Notional in 1e-8 of the quote asset, and number of open orders; None is no limit.
            others: The same of the other symbols.
        """
        self.limits.account_e8, self.limits.account_orders = bound_of(bounds[0]), bound_of(bounds[1])
        self.now.others_e8, self.now.others_orders = others

    def used_of_account(self) -> tuple[int, int]:
        """What this market uses of the account's limits: notional in 1e-8, rounded up, and open orders.

        Notional of the larger position, if all open orders of a side fill, at the last requote's mid; 0 before the
        first.
        """
        return <int64_t> exposed_e8(self), self.orders.open.count

    @property
    def lost_e8(self) -> int | None:
        """The loss since the day began, as of the last requote, in 1e-8 of the quote asset; None before the first."""
        return <int64_t> lost_today_e8(self) if self.now.mid2 else None

    # ------------------------------------------------------------------ at an order

    cdef int admit(self, int64_t us, const Order* order, wide notional_e16) except -1 nogil:
        """Return the reason, as in the journal, for which an order is withheld; or 0, counting it as sent.

        The first of consecutive withheld orders adds a row to the breaches.
        """
        cdef Breach breach
        cdef int found = self.halted(), slot = slot_of(order.side)
        cdef int64_t bit
        if found or not self.has_limits:
            return ORDER_LIMIT_DAY + found if found else 0
        self.count(us)
        found = withheld(&self.limits, &self.now, order, notional_e16, &breach)
        if found == ALLOWED:
            if self.limits.orders_per_s > 0:
                self.sent_us[(self.sent_first + self.now.sent) % self.limits.orders_per_s] = us
                self.now.sent += 1
            return 0
        bit = <int64_t> 1 << found
        if not (self.before[slot] | self.breaking[slot]) & bit:
            self.note(us, &breach, order.side)
        self.breaking[slot] |= bit
        return ORDER_LIMIT_DAY + found

    cdef void count(self, int64_t us) noexcept nogil:
        """Update open and sent orders, and the equity at the last requote's mid; without one it is not known."""
        cdef int64_t i
        self.now.inventory_lots = self.orders.account.inventory_lots
        if self.now.mid2:
            self.now.equity_e16 = worth_e16(&self.orders.account, self.added_e16, self.now.mid2)
        self.now.open_lots[0], self.now.open_lots[1] = self.orders.open.lots[0], self.orders.open.lots[1]
        if self.limits.open_orders >= 0 or self.limits.account_orders >= 0:
            self.now.open_orders[0] = self.now.open_orders[1] = 0
            for i in range(self.orders.open.count):
                self.now.open_orders[slot_of(self.orders.open.orders[i].side)] += 1
        while self.now.sent and self.sent_us[self.sent_first] <= us - SECOND_US:
            self.sent_first = (self.sent_first + 1) % self.limits.orders_per_s
            self.now.sent -= 1
