# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The venue interface, to which an order manager sends its orders, and the order rules of all exchanges."""

from libc.stdint cimport int64_t

from mm.backtest.engine._account cimport cash_e16, fee_e8, notional_e16, wide
from mm.backtest.engine._order_checks cimport Filters
from mm.backtest.engine._own_orders cimport OwnOrders, slot_of
from mm.backtest.engine._records cimport COVERED, INSUFFICIENT_CASH, INSUFFICIENT_INVENTORY
from mm.backtest.fills.base cimport LIMIT_MAKER, MARKET, NEVER, SENT, Order
from mm.tape._book cimport book_close


cdef class OrderVenue:
    """Base of venues, to which an order manager sends its orders: a recorded market, a paper live feed, or a gateway.

    A venue overrides `send`, `cancel`, `amend` and `taking_e16`, updates `now_us`, and reports the state of each order
    to *orders*: `accepted`, `rejected`, `amended`, `filled`, `closed`. It never calls the order manager.
    """

    def __init__(self, orders: OwnOrders, rules: object) -> None:
        self.orders = orders
        self.enforce_balances = rules.enforce_balances
        self.filters = filters_of(rules)
        self.step_lots = rules.step_lots
        self.two_sided_since_us, self.trades = NEVER, True
        self.lot_e16 = <wide> (<int64_t> rules.lot_e8) * 100000000

    def __dealloc__(self) -> None:
        if self.opened:
            book_close(&self.book)

    cdef int send(self, Order* order) except -1 nogil:
        """Send a new order at `now_us`; set when it arrives (``active_us``) and expires, as far as known."""
        return 0

    cdef int cancel(self, Order* order) except -1 nogil:
        """Send a cancel at `now_us`; set when it takes effect (``cancel_us``), as far as known."""
        return 0

    cdef int amend(self, Order* order) except -1 nogil:
        """Send an amendment to ``amend_lots`` (and ``move_ticks``) at `now_us`; set when it takes effect (``amend_us``)."""
        return 0

    cdef bint holds(self, int64_t side) noexcept nogil:
        return False

    cdef wide taking_e16(self, const Order* order) noexcept nogil:
        return 0

    cdef int exactly_covered(self, const Order* order, bint arrives) noexcept nogil:
        """As ``covered``, from the exact costs of all our open orders."""
        cdef int64_t i, bound_lots = 0
        cdef wide bound_e16 = 0
        cdef const Order* other
        cdef int asset
        if self.others:
            asset = self.assets[0 if order.side < 0 else 1]
            bound_e16 = order.lots * self.lot_e16 if order.side < 0 else self.cost_e16(order)
            bound_e16 += self.locked_e16(asset, order, arrives, self.others)
            if self.held_e16(asset, self.others) >= bound_e16:
                return COVERED
            return INSUFFICIENT_INVENTORY if order.side < 0 else INSUFFICIENT_CASH
        for i in range(self.orders.open.count):
            other = &self.orders.open.orders[i]
            if other.side != order.side or other.id == order.id:
                continue
            if other.status == SENT if arrives else other.cancel_req_us != NEVER:
                continue
            if other.side > 0:
                bound_e16 += self.cost_e16(other)
            else:
                bound_lots += other.lots
        if order.side < 0:
            return COVERED if self.orders.account.inventory_lots - bound_lots >= order.lots else INSUFFICIENT_INVENTORY
        if cash_e16(&self.orders.account) - bound_e16 >= self.cost_e16(order):
            return COVERED
        return INSUFFICIENT_CASH

    cdef wide held_e16(self, int asset, int64_t others) noexcept nogil:
        """In 1e-16, of this venue and as many *others* after it in the ring."""
        cdef wide held = 0
        if self.assets[0] == asset:
            held += self.orders.account.inventory_lots * self.lot_e16
        if self.assets[1] == asset:
            held += cash_e16(&self.orders.account)
        return held if others == 0 else held + self.beside.held_e16(asset, others - 1)

    cdef wide locked_e16(self, int asset, const Order* order, bint arrives, int64_t others) noexcept nogil:
        """What open orders lock of an asset in 1e-16, in this venue and as many *others* after it.

        At a requote (*arrives* False) another market's orders lock until their end is known; *order* is NULL there.
        """
        cdef int64_t i
        cdef wide locked = 0
        cdef const Order* open
        for i in range(0 if self.idle else self.orders.open.count):
            open = &self.orders.open.orders[i]
            if self.assets[slot_of(open.side)] != asset or self.leaves_out(open, order, arrives):
                continue
            locked += open.lots * self.lot_e16 if open.side < 0 else self.cost_e16(open)
        return locked if others == 0 else locked + self.beside.locked_e16(asset, NULL, arrives, others - 1)

    cdef bint leaves_out(self, const Order* open, const Order* order, bint arrives) noexcept nogil:
        """Whether an open order locks nothing when *order* is judged; *order* is NULL if it is of another market."""
        if order is not NULL and open.id == order.id:
            return True
        if arrives:
            return open.status == SENT
        return order is not NULL and open.cancel_req_us != NEVER

    cdef wide cost_e16(self, const Order* order) noexcept nogil:
        """The cash that a buy locks: notional and fee, the taker fee if it may take; no rebate lowers it."""
        cdef wide notional = notional_e16(&self.orders.account, order.ticks, order.lots)
        cdef int64_t rate_e8 = max(self.orders.account.maker_fee_e8, 0)
        if order.kind != LIMIT_MAKER and order.status == SENT:
            rate_e8 = max(rate_e8, self.orders.account.taker_fee_e8)
        if order.kind == MARKET:
            notional = self.taking_e16(order)
        return notional + <wide> fee_e8(notional, rate_e8) * 100000000


cdef int64_t most(int64_t limit_e8, int64_t unit_e8) noexcept:
    """Return a limit in whole units; 0 is none, -1 a limit below one unit, which no order meets."""
    return limit_e8 // unit_e8 or (-1 if limit_e8 else 0)


cdef Filters filters_of(object rules):
    cdef Filters filters
    given = rules.filters
    filters.min_ticks, filters.max_ticks = -(-given.min_price_e8 // rules.tick_e8), most(given.max_price_e8, rules.tick_e8)
    filters.min_lots, filters.max_lots = -(-given.min_qty_e8 // rules.lot_e8), most(given.max_qty_e8, rules.lot_e8)
    filters.market_min_lots = -(-given.market_min_qty_e8 // rules.lot_e8)
    filters.market_max_lots = most(given.market_max_qty_e8, rules.lot_e8)
    filters.market_step_lots = max(given.market_step_e8 // rules.lot_e8, 1)
    filters.max_position_lots = most(given.max_position_e8, rules.lot_e8)
    filters.min_to_market, filters.max_to_market = given.min_to_market, given.max_to_market
    filters.max_notional_e16 = <wide> (<int64_t> given.max_notional_e8) * 100000000
    filters.up_e8[0], filters.up_e8[1] = given.ask_up_e8, given.bid_up_e8
    filters.down_e8[0], filters.down_e8[1] = given.ask_down_e8, given.bid_down_e8
    filters.average_us = given.average_mins * 60_000_000
    filters.percent = bool(given.ask_up_e8 or given.bid_up_e8 or given.ask_down_e8 or given.bid_down_e8)
    return filters
