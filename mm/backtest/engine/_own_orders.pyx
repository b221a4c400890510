# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Our open orders, our account, and the journal of both; shared by the order manager and its venue.

The order manager adds the orders that it sends, a venue reports their states; neither holds the other's state.
"""

from libc.math cimport NAN, fabs
from libc.stdint cimport int64_t

from mm.backtest.engine._account cimport Account, book_fill, cash_e16
from mm.backtest.engine._agenda cimport agenda_watch
from mm.backtest.engine._order_checks cimport MAKER_CREDIT, TAKER_CREDIT, Refused, order_count_filled, refused_note
from mm.backtest.engine._records cimport AMEND, CLOSE_FILLED, COVERED, FILL, PRICE_OUT_OF_BAND, REJECT, WOULD_CROSS
from mm.backtest.engine._records cimport Fill, record_fill, record_order, record_state, records_close, records_open
from mm.backtest.fills.base cimport FILLED, NEVER, REJECTED, Order


cdef class OwnOrders:
    def __cinit__(self, rules: object, keeps_orders: bool = True) -> None:
        self.account = Account(
            rules.start_lots,
            0,
            0,
            rules.start_cash_e8,
            rules.tick_lot_e16,
            rules.maker_fee_e8,
            rules.taker_fee_e8,
            rules.maker_unit_fee_e8 * rules.lot_e8,
            rules.taker_unit_fee_e8 * rules.lot_e8,
        )
        self.dearest_e16 = self.account.unit_e16 * (1.0 + 1e-8 * max(rules.maker_fee_e8, rules.taker_fee_e8, 0)) * (1.0 + 1e-9)
        self.count_cash()
        self.requotes, self.meet = rules.requote_on_fill, rules.own_orders_meet
        self.order_count = &self.own_count
        self.order_count.limits[0], self.order_count.limits[1] = rules.orders_per_10s, rules.orders_per_day
        self.order_count.limited = rules.orders_per_10s or rules.orders_per_day
        self.met[0].ticks = self.met[1].ticks = NAN
        records_open(&self.records, keeps_orders)
        orders_init(&self.open)

    def __dealloc__(self) -> None:
        free(self.fresh)
        free(self.ended)
        orders_free(&self.open)
        records_close(&self.records)

    cdef void note_met(self, const Order* order, int64_t us) noexcept nogil:
        """The other side has come to the price of an order."""
        self.met[slot_of(order.side)] = Met(<double> order.ticks, us)

    cdef int rejected(self, int64_t i, int64_t us, int reason) except -1 nogil:
        cdef Order* order = &self.open.orders[i]
        order.status = REJECTED
        self.slowest_ack_us = max(self.slowest_ack_us, us - order.sent_us)
        record_order(&self.records, order, us, REJECT, reason)
        if self.keeps_ends:
            self.keep_end(order, us, reason)
        if not order.manual:
            self.refuse_price(order, us, reason)
        if self.requotes and not order.manual or self.awaits_room[slot_of(order.side)]:
            follow(self, us)
        orders_drop(&self.open, i)
        self.open.changed = True
        return 0

    cdef void refuse_price(self, const Order* order, int64_t us, int reason) noexcept nogil:
        cdef Refused* refused = &self.refused[slot_of(order.side)]
        if reason != WOULD_CROSS and reason != PRICE_OUT_OF_BAND:
            return
        refused_note(refused, order, reason)
        refused.by_own = reason == WOULD_CROSS and orders_meet(self, order.side, order.ticks)
        if reason == WOULD_CROSS and not refused.by_own:
            self.note_met(order, us)

    cdef int moved(self, Order* order, int64_t us) except -1 nogil:
        """Give a resting order the price and quantity of its amendment: it is the last of that price's queue."""
        cdef int64_t filled = order.placed_lots - order.lots
        orders_unrest(&self.open, order)
        self.open.lots[slot_of(order.side)] += order.amend_lots - filled - order.lots - order.more_lots
        order.ticks, order.placed_lots, order.lots = order.move_ticks, order.amend_lots, order.amend_lots - filled
        order.active_us, order.amend_us, order.move_ticks, order.more_lots = us, NEVER, 0, 0
        forget_queue(order)
        orders_rest(&self.open, order)
        orders_next_due(&self.open)
        self.open.changed = True
        if self.awaits_room[slot_of(order.side)]:
            follow(self, us)
        return record_order(&self.records, order, us, AMEND, COVERED)

    cdef int stays(self, Order* order, int64_t us, int reason) except -1 nogil:
        """The exchange refused an amendment of the price: the order stays, and moves no more."""
        cdef Order refused = order[0]
        refused.ticks = order.move_ticks
        self.open.lots[slot_of(order.side)] -= order.more_lots
        order.amend_us, order.move_ticks, order.more_lots, order.moves = NEVER, 0, 0, NEVER
        self.open.changed = True
        self.refuse_price(&refused, us, reason)
        if self.requotes or self.awaits_room[slot_of(order.side)]:
            follow(self, us)
        return record_order(&self.records, &refused, us, AMEND, reason)

    cdef int amended(self, Order* order, int64_t us) except -1 nogil:
        """Reduce an order's quantity, keeping its queue position; no effect if as many lots have filled."""
        cdef int64_t filled = order.placed_lots - order.lots
        order.amend_us = NEVER
        if not filled < order.amend_lots < order.placed_lots:
            return 0
        self.open.lots[slot_of(order.side)] -= order.placed_lots - order.amend_lots
        order.lots = order.amend_lots - filled
        order.placed_lots = order.amend_lots
        order.amends += 1
        self.open.changed = True
        if self.awaits_room[slot_of(order.side)]:
            follow(self, us)
        return record_order(&self.records, order, us, AMEND, COVERED)

    cdef int filled(self, int64_t i, const Fill* fill, bint took) except -1 nogil:
        """Book a fill: position, cash and fee at once; the rest of the order stays. *took* marks a taker fill."""
        cdef Order* order = &self.open.orders[i]
        cdef int64_t message_us
        book_fill(&self.account, order.side, fill.ticks, fill.lots, fill.fee_e8)
        self.count_cash()
        if self.margined:
            self.margin.filled(fill.us, order.side, fill.ticks, fill.lots, fill.fee_e8)
            agenda_watch(&self.open.agenda, self.margin.due_us())
        self.open.changed = True
        if self.requotes or self.awaits_room[1 - slot_of(order.side)]:
            follow(self, fill.us)
        message_us = min(min(order.cancel_us, order.expire_us), order.amend_us)
        if fill_order(self, order, fill, fill.lots, took) and message_us <= self.open.agenda.message_us < NEVER:
            orders_next_message(&self.open)
        return record_state(&self.records, fill.us, &self.account, self.open.count)

    cdef int keep_fill(self, const Order* order, const Fill* fill, bint took) except -1 nogil:
        if self.fresh_count == self.fresh_room:
            self.fresh = <OwnFill*> longer(self.fresh, &self.fresh_room, sizeof(OwnFill))
        self.fresh[self.fresh_count] = OwnFill(fill.us, order.id, order.side, fill.ticks, fill.lots, order.lots, took)
        self.fresh_count += 1
        return 0

    cdef int keep_end(self, const Order* order, int64_t us, int reason) except -1 nogil:
        """For the strategy's next call, which follows."""
        if self.ended_count == self.ended_room:
            self.ended = <Ended*> longer(self.ended, &self.ended_room, sizeof(Ended))
        self.ended[self.ended_count] = Ended(order.id, us, order.placed_lots, order.lots, order.status, reason)
        self.ended_count += 1
        if self.requotes:
            follow(self, us)
        return 0

    cdef int paid(self, int64_t us, int64_t funding_e8) except -1 nogil:
        """Book funding of a perpetual: cash at once. The first state row precedes it."""
        if self.records.state.rows == 0:
            record_state(&self.records, us, &self.account, self.open.count)
        self.account.fees_e8 += funding_e8
        self.count_cash()
        self.open.changed = True
        return record_state(&self.records, us, &self.account, self.open.count)

    cdef void count_cash(self) noexcept nogil:
        """The nearest float, and a lower bound."""
        cdef double start = <double> self.account.start_cash_e8 * 1e8, fees = <double> self.account.fees_e8 * 1e8
        cdef double paid = <double> self.account.cash_tl * self.account.unit_e16
        self.sure = False
        self.cash = <double> cash_e16(&self.account) * 1e-16
        # Three roundings to 53 bits lose less than one part in 10^15 of each term; 10^-9 leaves ample room.
        self.sure_cash_e16 = start + paid - fees - 1e-9 * (fabs(start) + fabs(paid) + fabs(fees))


cdef void* longer(void* rows, int64_t* room, size_t size) except NULL nogil:
    """With more than twice their *room*, which is updated."""
    cdef int64_t wanted = 2 * room[0] + 16
    cdef void* found = realloc(rows, wanted * size)
    if found is NULL:
        with gil:
            raise MemoryError(f"no memory for {wanted} rows of {size} bytes")
    room[0] = wanted
    return found
