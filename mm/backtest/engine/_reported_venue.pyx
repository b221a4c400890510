# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A venue whose orders end as they are reported: those of a gateway, and of a trade that is played again.

Reports come by order id, in the order of their arrival.
"""

from libc.stdint cimport int64_t

from mm.backtest.engine._account cimport book_fill, wide
from mm.backtest.engine._agenda cimport Agenda, agenda_follow
from mm.backtest.engine._own_orders cimport (
    UNDERWAY, OpenOrders, OwnOrders, fill_order, new_order, order_accepted, order_closed, orders_find, slot_of,
)
from mm.backtest.engine._records cimport (
    AMEND, CANCEL_ACK, CLOSE_FILLED, COVERED, EXPIRE, INSUFFICIENT_CASH, INSUFFICIENT_INVENTORY, NOT_CANCELLED, Fill,
    record_fill, record_order, record_state,
)
from mm.backtest.engine._venue cimport OrderVenue
from mm.backtest.fills.base cimport CANCELLED, CANCELLING, EXPIRED, FILLED, LIMIT, LIVE, NEVER, SENT, Order

from mm.backtest.journal import REJECT_REASONS

cdef int64_t NO_MORE_AMENDS = 1 << 62   # number of amendments of an order that cannot be amended again


cdef class ReportedVenue(OrderVenue):
    """Orders whose outcome is reported from outside once `reported` is set.

    Args:
        orders: Our orders and account.
        rules: ``mm.backtest.rules.Rules``.
    """

    def __init__(self, orders: OwnOrders, rules: object) -> None:
        OrderVenue.__init__(self, orders, rules)
        self.refused_code = REJECT_REASONS.index("exchange_refused")

    cdef void report(self) noexcept:
        self.reported = self.exact = True
        self.binds, self.enforce_balances = self.enforce_balances, True  # `exactly_covered` is asked at any rate

    cdef bint holds(self, int64_t side) noexcept nogil:
        return self.reported and self.now_us < self.sends_from_us[slot_of(side)]

    cdef int exactly_covered(self, const Order* order, bint arrives) noexcept nogil:
        """Return COVERED if the balances of the exchange cover an order and those that stay open; else the reason.

        An order whose cancel is requested locks nothing: its cancel, or the replacement, leaves before the new order.
        While a side is held, none of its orders leaves.
        """
        cdef OpenOrders* open = &self.orders.open
        cdef const Order* other
        cdef int64_t i, lots = order.lots
        cdef wide bound_e16 = self.cost_e16(order)
        if not self.reported:
            return OrderVenue.exactly_covered(self, order, arrives)
        if self.holds(order.side):
            return self.refused_code
        if not self.binds or not self.funds_known:
            return COVERED
        for i in range(open.count):
            other = &open.orders[i]
            if other.side != order.side or other.id == order.id or other.cancel_req_us != NEVER:
                continue
            lots += other.lots
            bound_e16 += self.cost_e16(other)
        if order.side < 0:
            return COVERED if lots <= self.held_lots else INSUFFICIENT_INVENTORY
        return COVERED if bound_e16 <= self.held_e16 else INSUFFICIENT_CASH

    cdef int funds(self, int64_t held_lots, int64_t held_e8) except -1:
        """Take over what the balances leave to our orders, the open ones included: base in lots, quote in 1e-8."""
        cdef wide held_e16 = <wide> held_e8 * 100000000
        if not self.funds_known or self.held_lots != held_lots or self.held_e16 != held_e16:
            self.orders.open.changed = True
        self.held_lots, self.held_e16, self.funds_known = held_lots, held_e16, True
        return 0

    cdef void hold(self, int64_t side, int64_t until_us) noexcept:
        """Send no order of a side before an instant, nor before the next requote of the grid, once that has begun."""
        cdef const Agenda* agenda = &self.orders.open.agenda
        cdef int64_t next_us = agenda.held_us if agenda.driven else agenda.requote_us
        self.sends_from_us[slot_of(side)] = until_us if next_us == NEVER else max(until_us, next_us)

    # ------------------------------------------------------------------ reports

    cdef int accepted(self, int64_t order_id, int64_t us) except -1:
        cdef Order* order = orders_find(&self.orders.open, order_id)
        if order is NULL or order.status != SENT:
            return 0
        order.active_us = us
        order_accepted(self.orders, order)
        if order.cancel_req_us != NEVER:
            order.status = CANCELLING
        return 1

    cdef int rejected(self, int64_t order_id, int64_t us, int reason) except -1:
        cdef Order* order = orders_find(&self.orders.open, order_id)
        if order is NULL:
            return 0
        if order.status != SENT:
            return self.closed(order_id, us, False)
        self.orders.rejected(order - self.orders.open.orders, us, reason)
        return 1

    cdef int filled(
        self, int64_t order_id, int64_t us, int64_t side, int64_t ticks, int64_t lots, int64_t fee_lots, int64_t fee_e8,
        bint took
    ) except -1:
        """Book an execution; if its order is not open here (of an earlier run), the record has the order id 0.

        A fee in the base asset (*fee_lots*) is deducted from the change of the position, and *fee_e8* is the value of
        the whole fee in the quote asset: a buy of 10 lots with a fee of one lot is booked as 9 lots and a fee of the
        price of one lot, so that position and cash equal the exchange's.
        """
        cdef OwnOrders orders = self.orders
        cdef Order* order = orders_find(&orders.open, order_id)
        cdef Order unknown
        cdef Fill fill
        fill.us, fill.ticks, fill.lots, fill.fee_e8 = us, ticks, lots - side * fee_lots, fee_e8
        fill.reason, fill.mid2 = 1 if took else 0, orders.records.mid2
        book_fill(&orders.account, side, ticks, fill.lots, fee_e8)
        orders.count_cash()
        if order is NULL:
            new_order(&unknown, us, side, ticks, lots, LIMIT)
            unknown.lots = 0
            record_fill(&orders.records, &unknown, &fill, &orders.account)
            if orders.keeps_fills:
                orders.keep_fill(&unknown, &fill, took)
        else:
            self.accepted(order_id, us)
            if lots > order.lots:  # that many are left only since its amendment
                self.add(order, min(lots - order.lots, order.more_lots))
            fill_order(orders, order, &fill, min(lots, order.lots), took)
        orders.open.changed = True
        if orders.requotes or orders.awaits_room[1 - slot_of(side)]:
            agenda_follow(&orders.open.agenda, us)
        return record_state(&orders.records, us, &orders.account, orders.open.count)

    cdef int closed(self, int64_t order_id, int64_t us, bint expired) except -1:
        cdef Order* order = orders_find(&self.orders.open, order_id)
        if order is NULL:
            return 0
        self.accepted(order_id, us)
        if not expired:
            order.cancel_us = us
        order_closed(
            self.orders, order - self.orders.open.orders, us, EXPIRED if expired else CANCELLED,
            EXPIRE if expired else CANCEL_ACK,
        )
        return 1

    cdef int add(self, Order* order, int64_t lots) except -1:
        order.lots += lots
        order.placed_lots += lots
        order.more_lots -= lots
        return 0

    cdef int amended(self, int64_t order_id, int64_t us, int64_t lots, int64_t ticks) except -1:
        """Change the total quantity of an order to *lots*, its price to *ticks* (0: as it is); if as many have filled,
        the order ends.
        """
        cdef Order* order = orders_find(&self.orders.open, order_id)
        cdef int64_t filled
        if order is NULL:
            return 0
        self.accepted(order_id, us)
        filled, order.amend_us = order.placed_lots - order.lots, NEVER
        order.amend_lots = lots = max(lots, filled)
        if lots > filled and ticks:
            self.orders.slowest_ack_us = max(self.orders.slowest_ack_us, us - order.sent_us)
            order.move_ticks = ticks
            return self.orders.moved(order, us)
        self.drop_move(order)
        if lots >= order.placed_lots and order.lots:
            return 0
        if lots > filled:
            return self.orders.amended(order, us)
        self.orders.open.lots[slot_of(order.side)] -= order.lots
        order.lots, order.placed_lots = 0, lots
        record_order(&self.orders.records, order, us, AMEND, COVERED)
        return self.complete(order, us)

    cdef int drop_move(self, Order* order) except -1:
        self.orders.open.lots[slot_of(order.side)] -= order.more_lots
        order.move_ticks = order.more_lots = 0
        return 0

    cdef int complete(self, Order* order, int64_t us) except -1:
        order.status = FILLED
        return order_closed(self.orders, order - self.orders.open.orders, us, FILLED, CLOSE_FILLED)

    cdef int amend_failed(self, int64_t order_id, int64_t us, bint refused, int reason) except -1:
        """Record that an amendment failed, by the exchange for *reason*; an order that it *refused* to amend is not
        amended again.
        """
        cdef Order* order = orders_find(&self.orders.open, order_id)
        if order is NULL:
            return 0
        if order.move_ticks and refused:
            self.orders.stays(order, us, reason)
        else:
            self.drop_move(order)
            order.amends = NO_MORE_AMENDS if refused else order.amends
        order.amend_us = NEVER
        self.orders.open.changed = True
        return self.complete(order, us) if order.lots == 0 else 1

    cdef int open_again(self, int64_t order_id) except -1:
        cdef Order* order = orders_find(&self.orders.open, order_id)
        if order is NULL or order.cancel_req_us == NEVER:
            return 0
        order.cancel_req_us, order.cancel_reason = NEVER, NOT_CANCELLED
        if order.status == CANCELLING:
            order.status = LIVE
        self.orders.open.changed = True
        return 1
