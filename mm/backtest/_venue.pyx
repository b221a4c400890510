# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The exchange's side: how the recorded market moves, and what becomes of our orders in it."""

from libc.math cimport fabs
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free

from mm.backtest._account cimport Account, book_fill, cash_e16, fee_e8, notional_e16, wide
from mm.tape._book cimport book_apply, book_clear, book_close, book_lots_at, book_show
from mm.backtest._filters cimport Filters, in_band, surely_in_band
from mm.tape._kinds cimport DEPTH, GAP, TRADE
from mm.backtest._order_count cimport MAKER_CREDIT, TAKER_CREDIT, order_count_filled
from mm.backtest._orders cimport desk_close, desk_drop, desk_find, desk_next_due, desk_next_message, desk_open, desk_rank
from mm.backtest._orders cimport desk_rest, desk_unrest, slot_of
from mm.backtest._prints cimport prints_add, prints_at
from mm.backtest._records cimport AMEND, BOOK_INVALID, BY_BOOK, BY_DRAW, BY_TRADE, CANCEL_ACK, CLOSE_FILLED, COVERED
from mm.backtest._records cimport EPOCH_BREAK, EXPIRE, FILL, INSUFFICIENT_CASH, INSUFFICIENT_INVENTORY, PRICE_OUT_OF_BAND, REJECT, WOULD_CROSS
from mm.backtest._records cimport Fill, record_fill, record_order, record_state, records_close, records_open
from mm.backtest._refused cimport refused_note
from mm.backtest._taker cimport Market, first_met, next_met, offered, takeable, taking_notional_e16
from mm.backtest.fills.base cimport CANCELLED, CANCELLING, EXPIRED, FILLED, FOK, IOC, LIMIT_MAKER, LIVE, MARKET
from mm.backtest.fills.base cimport NEVER, REJECTED, SENT, FillModel, Order, Trade


cdef class Venue:
    """One symbol's market as it was recorded, with our orders, account and journal beside it.

    Args:
        fills: The fill model.
        rules: ``mm.backtest.rules.Rules``.
    """

    def __cinit__(self, _quotes: object, fills: FillModel, rules: object) -> None:
        self.fills = fills
        self.enforce_balances = rules.enforce_balances
        self.account = Account(rules.start_lots, 0, 0, rules.start_cash_e8, rules.tick_e8 * rules.lot_e8, 0, 0)
        self.account.maker_fee_e8, self.account.taker_fee_e8 = rules.maker_fee_e8, rules.taker_fee_e8
        self.dearest_e16 = self.account.unit_e16 * (1.0 + 1e-8 * max(rules.maker_fee_e8, rules.taker_fee_e8, 0)) * (1.0 + 1e-9)
        self.count_cash()
        self.filters = filters_of(rules)
        self.taker_reason = len(fills.reasons)
        self.two_sided_since_us = self.follow_us = NEVER
        self.followed_us = -1
        self.step_lots, self.follows = rules.step_lots, rules.requote_on_fill
        self.order_count.limits[0], self.order_count.limits[1] = rules.orders_per_10s, rules.orders_per_day
        records_open(&self.records)
        desk_open(&self.desk)
        self.market = Market(&self.book, &self.taken)

    def __dealloc__(self) -> None:
        if self.opened:
            book_close(&self.book)
        desk_close(&self.desk)
        free(self.printed.rows)
        free(self.taken.rows)
        records_close(&self.records)

    # ------------------------------------------------------------------ the market

    cdef int change_book(self, int64_t event, int64_t us) except -1 nogil:
        """Apply a SNAPSHOT, DEPTH or GAP, or the KEYFRAME a tape begins with."""
        cdef int64_t row, rows
        if self.kind[event] != DEPTH:
            book_clear(&self.book)
            self.set_valid(self.kind[event] != GAP, max(us, self.start_us))
        if self.skims:
            if <int32_t> self.reach[event] == ALWAYS:
                self.book.best_bid, self.book.best_ask = self.move_bid_ticks[self.next_move], self.move_ask_ticks[self.next_move]
                self.next_move += 1
            return 0
        row, rows = self.first_row[event], self.first_row[event + 1] - self.first_row[event]
        if rows and self.best_only:
            book_show(&self.book, &self.row_side[row], &self.row_ticks[row], &self.row_lots[row], rows)
        elif rows:
            book_apply(&self.book, &self.row_side[row], &self.row_ticks[row], &self.row_lots[row], rows)
        return 0

    cdef void set_valid(self, bint valid, int64_t us) noexcept nogil:
        if self.valid and not valid and self.begun:
            self.valid_us += us - self.valid_since_us
        elif valid and not self.valid:
            self.valid_since_us = us
        self.valid = valid

    cdef void look(self, int64_t us, int64_t recv_seq) noexcept nogil:
        """Take note of the best prices after a book event."""
        self.top.us = us
        self.top.recv_seq = recv_seq
        self.top.book = &self.book
        self.top.bid_ticks = self.book.best_bid
        self.top.ask_ticks = self.book.best_ask
        if self.skims:
            return
        self.top.bid_lots = book_lots_at(&self.book, 1, self.book.best_bid) if self.book.best_bid else 0
        self.top.ask_lots = book_lots_at(&self.book, -1, self.book.best_ask) if self.book.best_ask else 0

    cdef int see(self, int64_t us, int64_t recv_seq) except -1 nogil:
        """Look at the book after an event, and ask the fill model about it."""
        cdef int64_t sides
        self.look(us, recv_seq)
        note_mid(self, us)
        if self.fills.asks_level:
            if self.desk.resting[0] + self.desk.resting[1]:
                self.tell_levels()
            self.printed.used = 0
        self.taken.used = 0
        if self.fills.asks_book and self.desk.resting[0] + self.desk.resting[1]:
            self.ask_book(us)
        self.last_book_us = us
        if self.fills.draws:
            sides = self.fills.on_top(&self.top)
            if sides & 1:
                self.redraw(1, us)
            if sides & 2:
                self.redraw(-1, us)
        self.watch_sides(us)
        return 0

    cdef int gap(self, int64_t us, int64_t recv_seq) except -1 nogil:
        """End the epoch: no book, no resting orders."""
        cdef int64_t i = 0
        book_clear(&self.book)
        self.set_valid(False, us)
        while i < self.desk.open:
            if self.desk.orders[i].status == SENT:
                i += 1
                continue
            self.desk.orders[i].cancel_us = us
            self.desk.orders[i].cancel_reason = EPOCH_BREAK
            self.close(i, us, CANCELLED, CANCEL_ACK)
        desk_next_message(&self.desk)
        return self.see(us, recv_seq)

    cdef int trade(self, int64_t event, int64_t us) except -1 nogil:
        """Take note of a print, and show it to the fill model."""
        cdef int64_t row = self.first_row[event]
        cdef Trade print_
        print_.us = us
        print_.side = self.row_side[row]
        print_.ticks = self.row_ticks[row]
        print_.lots = self.row_lots[row]
        print_.id = self.event_id[event]
        self.last_trade_event = event
        if print_.ticks < self.mean.low_ticks or self.mean.low_ticks == 0:
            self.mean.low_ticks = print_.ticks
        self.mean.high_ticks = max(self.mean.high_ticks, print_.ticks)
        if self.fills.asks_level:
            prints_add(&self.printed, &print_)
        if self.shown(print_.side, print_.ticks):
            self.show(&print_)
        return 0

    cdef int reached(self, int64_t event, int64_t us) except -1 nogil:
        """Show the fill model a print that reaches an order of ours, as `reach` tells of it."""
        cdef int64_t ticks = <int32_t> self.reach[event]
        cdef Trade print_
        print_.lots = self.reach[event] >> 32
        if ticks == ALWAYS or print_.lots == ALWAYS or not self.fills.reached_only:
            return self.trade(event, us)
        print_.us, print_.id = us, -1
        print_.side, print_.ticks = (1, ticks) if ticks > 0 else (-1, -ticks)
        return self.show(&print_)

    cdef int show(self, Trade* print_) except -1 nogil:
        """Show a print to the fill model, order by order."""
        cdef int64_t i, n = desk_rank(&self.desk), lots
        cdef Order* order
        print_.lots = self.fills.print_lots(print_)
        for i in range(n):
            order = desk_find(&self.desk, self.desk.ranking[i])
            lots = self.fills.on_trade(order, print_)
            lots = whole_steps(self, order, min(min(lots, order.lots), print_.lots))
            if lots > 0:
                print_.lots -= lots
                self.fill(order - self.desk.orders, print_.us, lots, self.fills.by + BY_TRADE)
        return 0

    cdef inline bint shown(self, int64_t side, int64_t ticks) noexcept nogil:
        """Tell whether the fill model is to see a print."""
        if not self.fills.asks_trade:
            return False
        if not self.fills.reached_only:
            return self.desk.resting[0] + self.desk.resting[1] > 0
        return ticks >= self.desk.nearest[0] if side > 0 else ticks <= self.desk.nearest[1]

    cdef int ask_book(self, int64_t us) except -1 nogil:
        """Ask the fill model about a book change, order by order."""
        cdef int64_t i, n = desk_rank(&self.desk), lots
        cdef Order* order
        for i in range(n):
            order = desk_find(&self.desk, self.desk.ranking[i])
            lots = self.fills.on_book(order, &self.top, us - max(self.last_book_us, order.active_us))
            lots = whole_steps(self, order, min(lots, order.lots))
            if lots > 0:
                self.fill(order - self.desk.orders, us, lots, self.fills.by + BY_BOOK)
        return 0

    cdef int tell_levels(self) except -1 nogil:
        """Tell the fill model of each resting order at whose price other lots are displayed than before."""
        cdef int64_t i, n = desk_rank(&self.desk), lots, before
        cdef Order* order
        for i in range(n):
            order = desk_find(&self.desk, self.desk.ranking[i])
            lots = book_lots_at(&self.book, <int> order.side, order.ticks)
            before = order.level_lots
            order.level_lots = lots
            order.printed_lots = prints_at(&self.printed, -order.side, order.ticks)
            if lots != before or order.printed_lots:
                self.fills.on_level(order, before, lots)
        return 0

    cdef int redraw(self, int64_t side, int64_t us) except -1 nogil:
        """Begin a new stretch of intensity for the resting orders of a side."""
        cdef int64_t i
        if self.desk.resting[slot_of(side)] == 0:
            return 0
        for i in range(self.desk.open):
            if self.desk.orders[i].side == side and self.desk.orders[i].status != SENT:
                self.expected_fills += self.fills.expected(&self.desk.orders[i], us)
                self.fills.draw(&self.desk.orders[i], &self.top, us)
        desk_next_due(&self.desk)
        return 0

    cdef int fill_due(self, int64_t us) except -1 nogil:
        """Fill what the model drew for this instant, by order id."""
        cdef int64_t i = 0, before
        while i < self.desk.open:
            before = self.desk.open
            if self.desk.orders[i].due_us == us:
                self.fill(i, us, self.desk.orders[i].lots, self.fills.drawn_by() + BY_DRAW)
            if self.desk.open == before:
                i += 1
        return 0

    cdef int deliver(self, int64_t us) except -1 nogil:
        """Let the messages of an instant take effect, by order id."""
        cdef int64_t i = 0, before, next_us = NEVER
        cdef bint cancelled
        cdef Order* order
        while i < self.desk.open:
            before = self.desk.open
            order = &self.desk.orders[i]
            if order.status == SENT:
                if order.active_us != us:
                    next_us = min(next_us, order.active_us)
                    i += 1
                    continue
                self.arrive(i, us)
                if self.desk.open != before:
                    continue
                order = &self.desk.orders[i]
            if order.amend_us == us:
                self.amend_now(order, us)
            cancelled = order.cancel_us == us
            if cancelled or order.expire_us == us:
                self.close(i, us, CANCELLED if cancelled else EXPIRED, CANCEL_ACK if cancelled else EXPIRE)
            else:
                next_us = min(next_us, min(min(order.cancel_us, order.expire_us), order.amend_us))
                i += 1
        self.desk.next_message_us = next_us
        self.watch_sides(us)
        return 0

    cdef int arrive(self, int64_t i, int64_t us) except -1 nogil:
        """Let an order reach the exchange: it takes, it rests, or it is rejected."""
        cdef Order* order = &self.desk.orders[i]
        cdef int64_t before = self.desk.open, met = first_met(&self.market, order)
        cdef int reason = COVERED
        if not self.valid:
            reason = BOOK_INVALID
        elif met and order.kind == LIMIT_MAKER:
            reason = WOULD_CROSS
        elif order.kind != MARKET and not surely_in_band(&self.filters, &self.mean, order.side, order.ticks) and (
            not self.in_band(order, us)
        ):
            reason = PRICE_OUT_OF_BAND
        else:
            reason = covered(self, order, True)
        if reason != COVERED:
            order.status = REJECTED
            record_order(&self.records, order, us, REJECT, reason)
            if not order.by_hand:
                if reason == WOULD_CROSS or reason == PRICE_OUT_OF_BAND:
                    refused_note(&self.refused[slot_of(order.side)], order, reason)
                self.follow(us)
            desk_drop(&self.desk, i)
            self.desk.moved = True
            return 0
        order.status = LIVE if order.cancel_us == NEVER else CANCELLING
        desk_rest(&self.desk, order)
        if order.kind != LIMIT_MAKER:
            self.desk.moved = True  # it binds less
        if met and (order.kind != FOK or takeable(&self.market, order) == order.lots):
            self.take(i, us)
            if self.desk.open < before:
                return 0
        if order.kind >= IOC:
            return self.close(i, us, EXPIRED, EXPIRE)
        if not self.skims:
            order.level_lots = book_lots_at(&self.book, <int> order.side, order.ticks)
            order.printed_lots = prints_at(&self.printed, -order.side, order.ticks)
        self.fills.on_rest(order, &self.top)
        if self.fills.draws:
            self.redraw(order.side, us)
        return 0

    cdef bint in_band(self, const Order* order, int64_t us) noexcept nogil:
        """Tell whether the exchange takes an order's price, in view of the trades of the last minutes."""
        cdef int64_t event, row
        self.average()
        while self.mean.first_event < self.next_event and (
            self.event_us[self.mean.first_event] <= us - self.filters.average_us
        ):
            event = self.sequence[self.mean.first_event] if self.lagging else self.mean.first_event
            if self.kind[event] == TRADE and self.mean.lots:
                row = self.first_row[event]
                self.mean.lots -= self.row_lots[row]
                self.mean.notional_tl -= <wide> self.row_ticks[row] * self.row_lots[row]
            self.mean.first_event += 1
        return in_band(&self.filters, &self.mean, order.side, order.ticks)

    cdef void average(self) noexcept nogil:
        """Take the trades into the mean price that came since it was last asked for."""
        cdef int64_t event, row
        while self.mean.next_event < self.next_event:
            event = self.sequence[self.mean.next_event] if self.lagging else self.mean.next_event
            self.mean.next_event += 1
            if self.kind[event] == TRADE:
                row = self.first_row[event]
                self.mean.last_ticks = self.row_ticks[row]
                if self.filters.average_us:
                    self.mean.lots += self.row_lots[row]
                    self.mean.notional_tl += <wide> self.row_ticks[row] * self.row_lots[row]

    cdef int take(self, int64_t i, int64_t us) except -1 nogil:
        """Fill an order from the other side of the book, level by level; the recorded market stays as it is."""
        cdef Order* order = &self.desk.orders[i]
        cdef int64_t ticks = first_met(&self.market, order), left = order.lots, behind
        cdef Fill fill
        cdef Trade took
        while ticks and left:
            fill.lots = min(left, offered(&self.market, order, ticks))
            behind = next_met(&self.market, order, ticks)
            if fill.lots:
                left -= fill.lots
                took.us, took.side, took.ticks, took.lots, took.id = us, order.side, ticks, fill.lots, 0
                prints_add(&self.taken, &took)
                fill.us, fill.ticks, fill.reason = us, ticks, self.taker_reason
                fill.fee_e8 = fee_e8(notional_e16(&self.account, ticks, fill.lots), self.account.taker_fee_e8)
                self.book_order(i, &fill)
            ticks = behind
        return 0

    cdef int exactly_covered(self, const Order* order, bint arrives) noexcept nogil:
        """Return the same as ``covered``, of what each of our other orders binds."""
        cdef int64_t i, bound_lots = 0
        cdef wide bound_e16 = 0
        cdef const Order* other
        for i in range(self.desk.open):
            other = &self.desk.orders[i]
            if other.side != order.side or other.id == order.id:
                continue
            if other.status == SENT if arrives else other.cancel_req_us != NEVER:
                continue
            if other.side > 0:
                bound_e16 += self.cost_e16(other)
            else:
                bound_lots += other.lots
        if order.side < 0:
            return COVERED if self.account.inventory_lots - bound_lots >= order.lots else INSUFFICIENT_INVENTORY
        if cash_e16(&self.account) - bound_e16 >= self.cost_e16(order):
            return COVERED
        return INSUFFICIENT_CASH

    cdef void count_cash(self) noexcept nogil:
        """Note the cash as floats: the nearest, and one that is surely not above it."""
        cdef double start = <double> self.account.start_cash_e8 * 1e8, fees = <double> self.account.fees_e8 * 1e8
        cdef double paid = <double> self.account.cash_tl * self.account.unit_e16
        self.sure = False
        self.cash = <double> cash_e16(&self.account) * 1e-16
        self.sure_cash_e16 = start + paid - fees - 1e-9 * (fabs(start) + fabs(paid) + fabs(fees))

    cdef wide cost_e16(self, const Order* order) noexcept nogil:
        """Return what a buy binds: its notional and fee, as a taker's where it may take."""
        cdef wide notional = notional_e16(&self.account, order.ticks, order.lots)
        cdef int64_t rate_e8 = self.account.maker_fee_e8
        if order.kind != LIMIT_MAKER and order.status == SENT:
            rate_e8 = max(rate_e8, self.account.taker_fee_e8)
        if order.kind == MARKET:
            notional = taking_notional_e16(&self.market, &self.account, order)
        return notional + <wide> fee_e8(notional, rate_e8) * 100000000

    cdef int amend_now(self, Order* order, int64_t us) except -1 nogil:
        """Let an amendment take effect: fewer lots, the place in the queue kept; too late where they have filled."""
        cdef int64_t filled = order.placed_lots - order.lots
        order.amend_us = NEVER
        if not filled < order.amend_lots < order.placed_lots:
            return 0
        self.desk.lots[slot_of(order.side)] -= order.placed_lots - order.amend_lots
        order.lots = order.amend_lots - filled
        order.placed_lots = order.amend_lots
        self.desk.moved = True
        return record_order(&self.records, order, us, AMEND, COVERED)

    cdef int close(self, int64_t i, int64_t us, int status, int action) except -1 nogil:
        """End a resting order with a row."""
        cdef Order* order = &self.desk.orders[i]
        if self.fills.draws:
            self.expected_fills += self.fills.expected(order, us)
        desk_unrest(&self.desk, order)
        if order.cancel_req_us == NEVER:
            self.desk.moved = True
        order.status = status
        record_order(&self.records, order, us, action, COVERED)
        desk_drop(&self.desk, i)
        return 0

    cdef int fill(self, int64_t i, int64_t us, int64_t lots, int64_t reason) except -1 nogil:
        """Fill a resting order at its own price."""
        cdef const Order* order = &self.desk.orders[i]
        cdef Fill fill
        fill.us, fill.ticks, fill.lots, fill.reason = us, order.ticks, lots, reason
        fill.fee_e8 = fee_e8(notional_e16(&self.account, order.ticks, lots), self.account.maker_fee_e8)
        return self.book_order(i, &fill)

    cdef int book_order(self, int64_t i, const Fill* fill) except -1 nogil:
        """Book a fill: position, cash and fee at once; the rest of the order stays."""
        cdef Order* order = &self.desk.orders[i]
        book_fill(&self.account, order.side, fill.ticks, fill.lots, fill.fee_e8)
        self.count_cash()
        self.desk.moved = True
        self.follow(fill.us)
        if order.lots == order.placed_lots:
            order_count_filled(&self.order_count, fill.us, TAKER_CREDIT if fill.reason == self.taker_reason else MAKER_CREDIT)
        order.lots -= fill.lots
        self.desk.lots[slot_of(order.side)] -= fill.lots
        if order.lots == 0:
            order.status = FILLED
        record_order(&self.records, order, fill.us, FILL, COVERED)
        record_fill(&self.records, order, fill, &self.account)
        if order.lots == 0:
            self.close(i, fill.us, FILLED, CLOSE_FILLED)
            desk_next_message(&self.desk)
            self.watch_sides(fill.us)
        record_state(&self.records, fill.us, &self.account, self.desk.open)
        return 0

    cdef void follow(self, int64_t us) noexcept nogil:
        """Let a requote follow at the end of this instant; one at most follows in any."""
        if self.follows and us != self.followed_us:
            self.follow_us = us

    cdef void watch_sides(self, int64_t us) noexcept nogil:
        """Count the time during which the book is valid and we rest on both sides."""
        cdef bint both = self.valid and self.desk.resting[0] and self.desk.resting[1]
        if both and self.two_sided_since_us == NEVER:
            self.two_sided_since_us = us
        elif not both and self.two_sided_since_us != NEVER:
            self.two_sided_us += us - self.two_sided_since_us
            self.two_sided_since_us = NEVER


cdef int64_t most(int64_t limit_e8, int64_t unit_e8) noexcept:
    """Return a limit in whole units: 0 is none, and -1 one that is less than a unit, which nothing keeps."""
    return limit_e8 // unit_e8 or (-1 if limit_e8 else 0)


cdef Filters filters_of(object rules):
    """Return the filters of *rules* in ticks and lots."""
    cdef Filters filters
    told = rules.filters
    filters.min_ticks, filters.max_ticks = -(-told.min_price_e8 // rules.tick_e8), most(told.max_price_e8, rules.tick_e8)
    filters.min_lots, filters.max_lots = -(-told.min_qty_e8 // rules.lot_e8), most(told.max_qty_e8, rules.lot_e8)
    filters.max_notional_e16 = <wide> (<int64_t> told.max_notional_e8) * 100000000
    filters.up_e8[0], filters.up_e8[1] = told.ask_up_e8, told.bid_up_e8
    filters.down_e8[0], filters.down_e8[1] = told.ask_down_e8, told.bid_down_e8
    filters.average_us = told.average_mins * 60_000_000
    filters.percent = bool(told.ask_up_e8 or told.bid_up_e8 or told.ask_down_e8 or told.bid_down_e8)
    return filters
