# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The paper venue: plays a market, recorded or live, and matches our orders in it."""

cimport cython
from libc.math cimport isnan
from libc.stdint cimport int64_t
from libc.stdlib cimport free

from mm.backtest.engine._account cimport Account, cash_e16, fill_fee_e8, wide
from mm.backtest.engine._agenda cimport agenda_changed
from mm.backtest.engine._latency cimport OF_AMEND, OF_CANCEL, OF_ORDER, latency_us
from mm.backtest.engine._level_queue cimport LevelQueue
from mm.backtest.engine._market cimport Market, last_second, pass_trades_before
from mm.backtest.engine._order_checks cimport in_band, mean_after, surely_in_band
from mm.backtest.engine._order_queue cimport OrderQueue
from mm.backtest.engine._own_orders cimport (
    UNDERWAY, OpenOrders, OwnOrders, Ranked, order_accepted, order_closed, orders_meet, orders_next_due, orders_next_message,
    orders_rest, orders_unrest, slot_of,
)
from mm.backtest.engine._records cimport (
    BOOK_INVALID, BY_BOOK, BY_DRAW, BY_TRADE, CANCEL_ACK, COVERED, EPOCH_BREAK, EXPIRE, PRICE_OUT_OF_BAND, SELF_TRADE, WOULD_CROSS, Fill,
)
from mm.backtest.engine._taking cimport Depth, accepted, first_crossed, next_crossed, offered, prints_add, prints_at, takeable, taking_notional_e16
from mm.backtest.engine._reported_venue cimport ReportedVenue
from mm.backtest.engine._venue cimport cover, covered, note_mid, note_top, watch_sides
from mm.backtest.fills.base cimport (
    CANCELLED, EXPIRED, FOK, IOC, LIMIT_MAKER, MARKET, NEEDS_BOOKS, NEEDS_DRAWS, NEEDS_LEVELS, NEEDS_ORDER_LOG, NEEDS_PRINTS,
    NEEDS_TRADES, NEVER, SENT, SKIPS_UNCROSSED, SKIPS_UNREACHED, FillModel, Order, Top, Trade,
)
from mm.tape._book cimport book_apply, book_clear, book_lots_at
from mm.tape._kinds cimport DEPTH, GAP


cdef inline int64_t whole_steps(PaperVenue venue, const Order* order, int64_t lots) noexcept nogil:
    """In whole steps of the exchange; a fill that closes the order is unchanged."""
    return lots if venue.step_lots == 1 or lots >= order.lots else lots - lots % venue.step_lots


@cython.final
cdef class PaperVenue(ReportedVenue):
    """One symbol's market with our orders: applies latencies, executes or rests arriving orders, fills by a model."""

    def __init__(self, orders: OwnOrders, fills: FillModel, rules: object) -> None:
        ReportedVenue.__init__(self, orders, rules)
        self.fills = fills
        fills.use_step(rules.step_lots)
        fills.restart()
        self.queue, self.log, self.by_orders = LevelQueue(fills), OrderQueue(), (fills.needs & NEEDS_ORDER_LOG) != 0
        self.ttl_us, self.moves = rules.ttl_us, rules.order_modify
        self.latency.order_us, self.latency.cancel_us = rules.order_latency_us, rules.cancel_latency_us
        if rules.latencies is not None:
            self.draw_latencies(rules.latencies, rules.latency_seed)
        self.taker_reason = len(fills.reasons)
        self.depth = Depth(&self.book, &self.printed, &self.taken)
        names = getattr(fills, "signals", ())
        if names:
            from mm.signals.families import SIGNALS  # imported here: most runs have no signals

            self.signals, self.signalled = SIGNALS.set_of(names, rules, step_lots=rules.step_lots), True
            fills.observe(self.signals, rules.tick_e8)

    def __dealloc__(self) -> None:
        free(self.printed.rows)
        free(self.taken.rows)
        free(self.mean.trades)

    # ------------------------------------------------------------------ our messages

    cdef int draw_latencies(self, object latencies, seed) except -1:
        self.order_latencies, self.cancel_latencies = latencies.order_us, latencies.cancel_us
        self.latency.orders, self.latency.cancels = &self.order_latencies[0], &self.cancel_latencies[0]
        self.latency.count = self.order_latencies.shape[0]
        self.latency.seed, self.latency.rate, self.latency.in_order = seed, -1, latencies.in_order
        if latencies.rate_per_s is not None:
            self.latency_rates = latencies.rate_per_s
            self.latency.rates = &self.latency_rates[0]
        return 0

    cdef inline int64_t travel_us(self, int message, int64_t order_id, int64_t nth) noexcept nogil:
        if self.latency.orders is NULL:
            return self.latency.cancel_us if message == OF_CANCEL else self.latency.order_us
        return self.drawn_us(message, order_id, nth)

    cdef int64_t drawn_us(self, int message, int64_t order_id, int64_t nth) noexcept nogil:
        cdef int64_t rate = 0 if self.latency.rates is NULL else last_second(&self.market, self.now_us)
        return latency_us(&self.latency, message, order_id, nth, rate)

    cdef int send(self, Order* order) except -1 nogil:
        if self.reported:
            return 0
        order.active_us = max(self.now_us + self.travel_us(OF_ORDER, order.id, 0), self.last_active_us)
        self.last_active_us = order.active_us
        if self.ttl_us:
            order.expire_us = order.active_us + self.ttl_us
        return 0

    cdef int cancel(self, Order* order) except -1 nogil:
        if self.reported:
            return 0
        # A cancel never overtakes its order. Cancels of equal latency stay in sequence without further checks.
        order.cancel_us = max(max(self.now_us + self.travel_us(OF_CANCEL, order.id, 0), order.active_us), self.last_cancel_us)
        if self.latency.orders is not NULL:
            self.last_cancel_us = order.cancel_us
        return 0

    cdef int amend(self, Order* order) except -1 nogil:
        if self.reported:
            order.amend_us = UNDERWAY
            return 0
        order.amend_us = max(self.now_us + self.travel_us(OF_AMEND, order.id, order.moves), order.active_us)
        return 0

    cdef wide taking_e16(self, const Order* order) noexcept nogil:
        return taking_notional_e16(&self.depth, &self.orders.account, order)

    cdef int deliver(self, int64_t us) except -1 nogil:
        """Apply the messages of an instant: amendments of prices in the order of sending, then others by order id."""
        cdef OpenOrders* open = &self.orders.open
        cdef int64_t i = 0, order_id, next_us = NEVER
        cdef bint cancelled
        cdef Order* order
        self.prevented = False
        if self.moves:
            self.move_all(us)
        while i < open.count:
            order = &open.orders[i]
            order_id = order.id
            if order.status == SENT:
                if order.active_us != us:
                    next_us = min(next_us, order.active_us)
                    i += 1
                    continue
                self.arrive(i, us)
                i = min(i, open.count)
                while i and open.orders[i - 1].id >= order_id:  # earlier ones that it met have ended
                    i -= 1
                if i == open.count or open.orders[i].id != order_id:  # it ended at once: the next one is now at i
                    continue
                order = &open.orders[i]
            if order.amend_us == us:
                self.orders.amended(order, us)
            cancelled = order.cancel_us == us
            if cancelled or order.expire_us == us:
                self.close(i, us, CANCELLED if cancelled else EXPIRED, CANCEL_ACK if cancelled else EXPIRE)
            else:
                next_us = min(next_us, min(min(order.cancel_us, order.expire_us), order.amend_us))
                i += 1
        open.agenda.message_us = next_us
        if self.prevented:  # the messages of those that ended are void
            orders_next_message(open)
        watch_sides(self, us)
        return 0

    cdef int arrive(self, int64_t i, int64_t us) except -1 nogil:
        """Process the arrival of an order, or of an amendment that moves a resting one to another price."""
        cdef OpenOrders* open = &self.orders.open
        cdef Order* order = &open.orders[i]
        cdef const Order* terms = order
        cdef Order moved
        cdef int64_t before, crossed_ticks
        cdef int reason = COVERED
        cdef bint moves = order.status != SENT, crosses
        if moves:
            self.orders.slowest_ack_us = max(self.orders.slowest_ack_us, us - order.sent_us)
            moved = order[0]
            moved.ticks, moved.lots = order.move_ticks, order.amend_lots - (order.placed_lots - order.lots)
            if moved.lots <= 0:
                return self.close(i, us, CANCELLED, CANCEL_ACK)
            terms = &moved
            orders_unrest(open, order)  # its old terms need no margin
        crossed_ticks = first_crossed(&self.depth, terms)
        crosses = crossed_ticks != 0
        if self.by_orders:
            self.log.pass_time(self.past_us)
            crosses = self.log.crosses(terms)
        if not self.touch.valid:
            reason = BOOK_INVALID
        elif terms.kind == LIMIT_MAKER and (crosses or orders_meet(self.orders, terms.side, terms.ticks)):
            reason = WOULD_CROSS
        elif terms.kind != MARKET and not surely_in_band(&self.filters, &self.mean, terms.side, terms.ticks) and (
            not in_band(&self.filters, mean_after(&self.mean, us - self.filters.average_us), terms.side, terms.ticks)
        ):
            reason = PRICE_OUT_OF_BAND
        else:
            reason = covered(self, terms, True)
            if self.orders.margined and reason == COVERED:
                reason = self.short_of_margin(terms)
        if moves:
            orders_rest(open, order)
        if reason != COVERED:
            return self.stays(i, us, reason) if moves else self.orders.rejected(i, us, reason)
        if moves:
            if self.fills.needs & NEEDS_DRAWS:
                self.expected_fills += self.fills.expected(order, us)
            self.orders.moved(order, us)
        else:
            order_accepted(self.orders, order)
        if order.kind != LIMIT_MAKER:
            open.changed = True  # it locks less cash
            if order.kind != FOK or takeable(&self.depth, order) == order.lots:
                i = self.prevent(i, us)
                before = open.count
                if crossed_ticks:
                    self.take(i, us)
                if open.count < before:
                    return 0
                order = &open.orders[i]
            if order.kind >= IOC:
                return self.close(i, us, EXPIRED, EXPIRE)
        if self.by_levels:
            pass_trades_before(&self.market, self.past_us)
            self.queue.pass_time(self.past_us)
            return self.queue.rest(order, &self.market)
        if self.by_orders:
            self.log.rest(order)
            self.look_for_meets()
            return 0
        if not self.market.best:
            order.level_lots = book_lots_at(&self.book, <int> order.side, order.ticks)
            order.printed_lots = prints_at(&self.printed, -order.side, order.ticks)
        self.fills.on_rest(order, &self.touch.top)
        if self.fills.needs & NEEDS_DRAWS:
            self.redraw(order.side, us)
        return 0

    cdef int stays(self, int64_t i, int64_t us, int reason) except -1 nogil:
        """Keep an order at its price, as its amendment was refused; end it if the new price would have taken."""
        self.orders.stays(&self.orders.open.orders[i], us, reason)
        return self.close(i, us, CANCELLED, CANCEL_ACK) if reason == WOULD_CROSS else 0

    cdef int move_all(self, int64_t us) except -1 nogil:
        """Apply the amendments of prices that arrive at an instant."""
        cdef const OpenOrders* open = &self.orders.open
        cdef const Order* order
        cdef int64_t i, at = 0
        while at >= 0:
            at = -1
            for i in range(open.count):
                order = &open.orders[i]
                if order.amend_us == us and order.move_ticks and (at < 0 or order.move_turn < open.orders[at].move_turn):
                    at = i
            if at >= 0:
                self.arrive(at, us)
        return 0

    cdef int short_of_margin(self, const Order* order) except -1 nogil:
        """The reason if the margin does not cover an arriving order, or it is too large for the leverage; else 0."""
        cdef const Account* account = &self.orders.account
        cdef const Top* top = &self.touch.top
        cdef const OpenOrders* open = &self.orders.open
        cdef double open_e8[2]
        cdef double equity_e8
        cdef int slot
        cdef int64_t rank
        self.orders.margin.pass_marks(self.past_us)  # what is sent without latency arrives after the mark of its instant
        for slot in range(2):
            open_e8[slot] = 0.0
            for rank in range(open.resting[slot]):
                open_e8[slot] += <double> open.ranked[slot][rank].ticks * open.ranked[slot][rank].order.lots
            open_e8[slot] *= self.orders.margin.unit_e8
        equity_e8 = <double> (cash_e16(account) / 100000000) - self.orders.margin.start_cost_e8
        equity_e8 += <double> account.inventory_lots * self.orders.margin.now_e8 * self.orders.margin.lot_e8 * 1e-8
        if self.orders.margin.surely(
            order.side, 0 if order.kind == MARKET else order.ticks, order.lots, top.bid_ticks,
            <double> account.inventory_lots, equity_e8, open_e8,
        ):
            return COVERED
        return self.orders.margin.refusal(
            self.past_us, order.side, 0 if order.kind == MARKET else order.ticks, order.lots, top.bid_ticks, top.ask_ticks
        )

    cdef int64_t prevent(self, int64_t i, int64_t us) except -1 nogil:
        """End our orders of the other side that an arriving order meets before it is filled; return its new index.

        They have arrived before it, so they come before it in the array.
        """
        cdef OpenOrders* open = &self.orders.open
        cdef const Order* order = &open.orders[i]
        cdef int slot = 1 - slot_of(order.side)
        cdef int64_t rank = 0
        cdef Order* other
        if not self.orders.meet:
            return i
        if self.by_orders:
            self.log.settle(open, self.step_lots)
        while rank < open.resting[slot] and accepted(order, open.ranked[slot][rank].ticks):
            other = open.ranked[slot][rank].order
            if self.lots_before(order, other) >= <double> order.lots:
                rank += 1
                continue
            other.cancel_reason = SELF_TRADE
            self.close(other - open.orders, us, EXPIRED, EXPIRE)
            self.prevented = True
            i -= 1
            order = &open.orders[i]
        return i

    cdef double lots_before(self, const Order* order, const Order* other) noexcept nogil:
        """The lots that an order takes before it meets one of ours: at better prices, and ahead at its price."""
        cdef int64_t ticks = first_crossed(&self.depth, order), lots = 0
        while ticks and order.side * (other.ticks - ticks) > 0:
            lots += offered(&self.depth, order, ticks)
            ticks = next_crossed(&self.depth, order, ticks)
        if ticks == other.ticks and not isnan(other.ahead_lots):
            return lots + min(other.ahead_lots * <double> self.step_lots, <double> offered(&self.depth, order, ticks))
        return lots

    cdef int take(self, int64_t i, int64_t us) except -1 nogil:
        """Fill an order from the other side of the book, level by level; the book itself is unchanged."""
        cdef Order* order = &self.orders.open.orders[i]
        cdef int64_t ticks = first_crossed(&self.depth, order), left = order.lots, placed = order.lots, next_ticks
        cdef int slot = slot_of(order.side)
        cdef Fill fill
        cdef Trade took
        while ticks and left:
            fill.lots = min(left, offered(&self.depth, order, ticks))
            next_ticks = next_crossed(&self.depth, order, ticks)  # before a last fill ends the order
            if fill.lots:
                left -= fill.lots
                took.us, took.side, took.ticks, took.lots, took.id = us, order.side, ticks, fill.lots, 0
                prints_add(&self.taken, &took)
                fill.us, fill.ticks, fill.reason, fill.mid2 = us, ticks, self.taker_reason, self.orders.records.mid2
                fill.fee_e8 = fill_fee_e8(&self.orders.account, ticks, fill.lots, True)
                self.book_fill(i, &fill)
            ticks = next_ticks
        if left:
            self.met_lots[slot] += placed - left
        return 0

    # ------------------------------------------------------------------ the market

    cdef void begin_events(self) noexcept nogil:
        """Trades of the previous series are not in the mean price."""
        mean_after(&self.mean, NEVER)
        self.past_us = 0

    cdef int show_event(self, int64_t event, int64_t us) except -1 nogil:
        cdef const Market* market = &self.market
        cdef int64_t row = market.first_row[event]
        return self.signals.take(
            market.kind[event], us, market.recv_seq[event],
            &market.row_side[row], &market.row_ticks[row], &market.row_lots[row], market.first_row[event + 1] - row,
        )

    cdef int change_book(self, int64_t event, int64_t us) except -1 nogil:
        """Apply a SNAPSHOT, DEPTH or GAP, or the KEYFRAME a tape begins with, which has just happened."""
        cdef const Market* market = &self.market
        cdef int64_t row, rows, at = market.books.next - 1
        cdef int kind = market.book_kind[at] if market.best else market.kind[event]
        self.event = event
        if self.signalled:
            self.show_event(event, us)
        if kind != DEPTH:
            if self.by_levels:
                self.queue.pass_trade(us, event)
                self.queue.settle(&self.orders.open)
                self.queue.passed += 1
            self.begins_book = True
            book_clear(&self.book)
            self.touch.valid = kind != GAP
            cover(self, max(us, market.start_us))
        if market.best:
            self.book.best_ask, self.book.best_bid = market.ticks[0][at], market.ticks[1][at]
            if market.lots[0] is not NULL:
                self.touch.top.ask_lots, self.touch.top.bid_lots = market.lots[0][at], market.lots[1][at]
            return 0
        row, rows = market.first_row[event], market.first_row[event + 1] - market.first_row[event]
        return book_apply(&self.book, &market.row_side[row], &market.row_ticks[row], &market.row_lots[row], rows) if rows else 0

    cdef bint skips_books(self) noexcept nogil:
        """Whether the fill model can skip books that move the best prices, but reach no order of ours."""
        if not self.market.best or not self.begun or self.fills.needs & NEEDS_DRAWS or (self.fills.needs & NEEDS_BOOKS and not self.fills.skips & SKIPS_UNCROSSED):
            return False
        return self.by_levels or not self.fills.needs & NEEDS_LEVELS

    cdef int move_price(self, int64_t us) except -1 nogil:
        """Move the best prices without calling the fill model; the book has no levels."""
        cdef Market* market = &self.market
        cdef int64_t at = market.books.next
        market.trades.next = max(market.trades.next, market.trades_stop[at])
        market.books.next += 1
        self.now_us = self.last_book_us = us
        self.book.best_ask = self.touch.top.ask_ticks = market.ticks[0][at]
        self.book.best_bid = self.touch.top.bid_ticks = market.ticks[1][at]
        if market.lots[0] is not NULL:
            self.touch.top.ask_lots, self.touch.top.bid_lots = market.lots[0][at], market.lots[1][at]
        self.best_moved()
        return note_mid(self, us)

    cdef int on_book(self, int64_t us, int64_t recv_seq) except -1 nogil:
        cdef bint rests = self.orders.open.resting[0] + self.orders.open.resting[1] > 0
        cdef int64_t before2 = self.orders.records.mid2
        cdef bint moved
        note_top(self, us, recv_seq, not self.market.best)
        note_mid(self, us)
        if self.fills.needs & NEEDS_LEVELS:
            if rests and self.by_levels:
                if self.begins_book:
                    self.queue.renew(&self.orders.open)
            elif rests:
                self.match_levels()
        self.begins_book = False
        self.printed.used = self.taken.used = 0
        moved = self.best_moved()
        if rests and self.fills.needs & NEEDS_BOOKS:
            self.match_book(us, before2, moved)
        self.last_book_us = us
        if self.fills.needs & NEEDS_DRAWS:
            self.begin_stretches(self.fills.on_top(&self.touch.top), us)
        watch_sides(self, us)
        return 0

    cdef int on_gap(self, int64_t us, int64_t recv_seq) except -1 nogil:
        """End the epoch: no book, no resting orders."""
        if self.signalled:
            self.signals.take(GAP, us, recv_seq, NULL, NULL, NULL, 0)
        book_clear(&self.book)
        self.touch.top.bid_lots = self.touch.top.ask_lots = 0
        self.touch.valid = False
        cover(self, us)
        if not self.reported:
            self.end_resting(us, EPOCH_BREAK)
        return self.on_book(us, recv_seq)

    cdef int end_resting(self, int64_t us, int reason) except -1 nogil:
        cdef OpenOrders* open = &self.orders.open
        cdef int64_t i = 0
        while i < open.count:
            if open.orders[i].status == SENT:
                i += 1
                continue
            open.orders[i].cancel_us = us
            open.orders[i].cancel_reason = reason
            self.close(i, us, CANCELLED, CANCEL_ACK)
        orders_next_message(open)
        return 0

    cdef int on_trade(self, Trade* trade, int64_t event) except -1 nogil:
        """Match our orders with a trade; return whether one filled, or a stretch began."""
        cdef int64_t sell, buy
        cdef int sides, filled = False
        if self.signalled:
            self.show_event(event, trade.us)
        if not self.market.best:
            prints_add(&self.printed, trade)
        self.reached(&sell, &buy)
        if reaches(trade.side, trade.ticks, sell, buy):
            if self.by_levels:
                self.queue.pass_trade(trade.us, event)
            filled = self.match_trade(trade)
        if self.fills.needs & NEEDS_PRINTS and trade.us >= self.market.start_us:
            sides = self.fills.on_print(trade.side, trade.us, self.market.recv_seq[event], self.market.exch_us[event])
            self.begin_stretches(sides, trade.us)
            return True
        return filled

    cdef inline void reached(self, int64_t* sell, int64_t* buy) noexcept nogil:
        """Set the prices that call the fill model: buyer prints from *sell* up, seller prints from *buy* down."""
        cdef const OpenOrders* open = &self.orders.open
        sell[0], buy[0] = open.nearest[0], open.nearest[1]
        if not self.fills.needs & NEEDS_TRADES or open.resting[0] + open.resting[1] == 0:
            sell[0], buy[0] = NEVER, -1
        elif not self.fills.skips & SKIPS_UNREACHED:
            sell[0], buy[0] = 0, NEVER

    cdef int match_trade(self, Trade* trade) except -1 nogil:
        """Call the fill model with a trade, order by order; return whether one has filled.

        A fill may end an order: the next one then has its rank. If the model needs only prints that reach an order,
        only orders of the other side are visited, until the first that is not reached.
        """
        cdef int slot = slot_of(trade.side)
        cdef int64_t printed_lots = trade.lots
        trade.lots = self.fills.print_lots(trade)
        if self.fills.skips & SKIPS_UNREACHED:
            return self.match_side(1 - slot, trade, printed_lots)
        return self.match_side(1, trade, printed_lots) | self.match_side(0, trade, printed_lots)

    cdef int match_side(self, int slot, Trade* trade, int64_t printed_lots) except -1 nogil:
        cdef OpenOrders* open = &self.orders.open
        cdef int64_t rank = 0, lots, beyond, resting = open.resting[slot]
        cdef bint filled = False
        cdef const Ranked* ranked = open.ranked[slot]
        cdef Order* order
        while rank < resting:
            order = ranked[rank].order
            beyond = trade.side * (trade.ticks - ranked[rank].ticks)
            if beyond < 0 and self.fills.skips & SKIPS_UNREACHED:
                break
            if beyond == 0 and self.by_levels:
                self.queue.meet_trade(order, printed_lots)
            lots = self.fills.on_trade(order, trade)
            rank += 1
            if lots <= 0:
                continue
            lots = whole_steps(self, order, min(min(lots, order.lots), trade.lots))
            if lots > 0:
                trade.lots -= lots
                filled = True
                self.fill(order - open.orders, trade.us, lots, self.fills.by + BY_TRADE, self.orders.records.mid2)
                rank -= open.resting[slot] != resting
                resting = open.resting[slot]
        return filled

    cdef bint best_moved(self) noexcept nogil:
        """Note the best prices; return whether one is another than at the last book event."""
        cdef const OpenOrders* open = &self.orders.open
        cdef int64_t ask = self.book.best_ask, bid = self.book.best_bid
        cdef bint moved = ask != self.last_best[0] or bid != self.last_best[1]
        self.last_best[0], self.last_best[1] = ask, bid
        if moved and bid < open.nearest[0]:
            self.met_lots[0] = 0
        if moved and not open.nearest[1] >= ask > 0:
            self.met_lots[1] = 0
        return moved

    cdef int64_t offered_to(self, const Order* order, int64_t enough) noexcept nogil:
        """Lots that the other side displays at an order's price or better, counted up to *enough*."""
        cdef int64_t ticks = first_crossed(&self.depth, order), lots = 0
        if self.by_levels:
            return self.queue.offered_to(order, ticks, self.event, enough) if ticks else 0
        while ticks and lots < enough:
            lots += book_lots_at(&self.book, <int> -order.side, ticks)
            ticks = next_crossed(&self.depth, order, ticks)
        return lots

    cdef bint crossed(self) noexcept nogil:
        cdef OpenOrders* open = &self.orders.open
        return self.book.best_bid >= open.nearest[0] or open.nearest[1] >= self.book.best_ask > 0

    cdef int match_book(self, int64_t us, int64_t mid2, bint moved) except -1 nogil:
        """*mid2* is the last valid one before the change, *moved* whether a best price is another.

        What the other side offers is met once while its best price reaches ours.
        """
        cdef OpenOrders* open = &self.orders.open
        cdef int64_t rank, lots, resting, shown
        cdef int slot
        cdef bint first, offers = self.fills.needs & NEEDS_LEVELS
        cdef Order* order
        if self.fills.skips & SKIPS_UNCROSSED and not self.crossed():
            return 0
        for slot in range(1, -1, -1):
            rank, resting, first = 0, open.resting[slot], True
            while rank < resting:
                order = open.ranked[slot][rank].order
                if offers:
                    shown = self.offered_to(order, self.met_lots[slot] + order.lots) if moved else 0
                    if moved and first:
                        self.met_lots[slot] = min(self.met_lots[slot], shown)
                    order.offered_lots = max(shown - self.met_lots[slot], 0)
                    first = False
                lots = self.fills.on_book(order, &self.touch.top, us - max(self.last_book_us, order.active_us))
                lots = whole_steps(self, order, min(lots, order.lots))
                if lots > 0:
                    self.met_lots[slot] += lots
                    self.fill(order - open.orders, us, lots, self.fills.by + BY_BOOK, mid2)
                rank += open.resting[slot] == resting
                resting = open.resting[slot]
        return 0

    cdef int match_levels(self) except -1 nogil:
        """Call the fill model with each resting order at whose price the displayed lots changed, or something traded."""
        cdef OpenOrders* open = &self.orders.open
        cdef int64_t rank, lots, before
        cdef int slot
        cdef Order* order
        for slot in range(1, -1, -1):
            for rank in range(open.resting[slot]):
                order = open.ranked[slot][rank].order
                lots = book_lots_at(&self.book, slot + slot - 1, order.ticks)
                before = order.level_lots
                order.level_lots = lots
                order.printed_lots = prints_at(&self.printed, -order.side, order.ticks)
                if lots != before or order.printed_lots:
                    self.fills.on_level(order, before, lots)
        return 0

    cdef int begin_stretches(self, int sides, int64_t us) except -1 nogil:
        """Begin a stretch of intensity for the sides returned by the fill model: 1 buys, 2 sells, 3 both."""
        if sides & 1:
            self.redraw(1, us)
        if sides & 2:
            self.redraw(-1, us)
        return 0

    cdef int redraw(self, int64_t side, int64_t us) except -1 nogil:
        cdef OpenOrders* open = &self.orders.open
        cdef int64_t i
        if open.resting[slot_of(side)] == 0:
            return 0
        for i in range(open.count):
            if open.orders[i].side == side and open.orders[i].status != SENT:
                self.expected_fills += self.fills.expected(&open.orders[i], us)
                self.fills.draw(&open.orders[i], &self.touch.top, us)
        orders_next_due(open)
        return 0

    cdef int fill_due(self, int64_t us) except -1 nogil:
        """In ascending order id."""
        cdef OpenOrders* open = &self.orders.open
        cdef int64_t i = 0, before
        if self.by_orders:
            return self.match_meets(us)
        while i < open.count:
            before = open.count
            if open.orders[i].due_us == us:
                self.fill(i, us, open.orders[i].lots, self.fills.drawn_by() + BY_DRAW, self.orders.records.mid2)
            if open.count == before:
                i += 1
        return 0

    # ------------------------------------------------------------------ every order of the market

    cdef void look_for_meets(self) noexcept nogil:
        cdef OpenOrders* open = &self.orders.open
        open.agenda.fill_us = self.log.reaching(open)
        agenda_changed(&open.agenda)

    cdef int match_meets(self, int64_t us) except -1 nogil:
        self.log.pass_time(us)
        while self.log.met < self.log.meets and self.log.meet_us[self.log.met] == us:
            self.log.begin_meets()
            self.match_meet(1, us)
            self.match_meet(0, us)
            self.log.end_meets()
        self.log.pass_time(us + 1)
        self.look_for_meets()
        return 0

    cdef int match_meet(self, int slot, int64_t us) except -1 nogil:
        """Fill a side's orders by the market's next order, in price-time order."""
        cdef OpenOrders* open = &self.orders.open
        cdef int64_t rank = 0, lots, resting = open.resting[slot]
        cdef Order* order
        cdef int reason
        while rank < resting:
            order = open.ranked[slot][rank].order
            rank += 1
            lots = whole_steps(self, order, min(self.log.left_for(order), order.lots))
            if lots <= 0:
                continue
            self.log.take(order, lots)
            reason = BY_TRADE if self.log.kind == 0 else BY_BOOK
            self.fill(order - open.orders, us, lots, self.fills.by + reason, self.orders.records.mid2)
            rank -= open.resting[slot] != resting
            resting = open.resting[slot]
        return 0

    # ------------------------------------------------------------------ reports

    cdef inline int close(self, int64_t i, int64_t us, int status, int action) except -1 nogil:
        if self.fills.needs & NEEDS_DRAWS:
            self.expected_fills += self.fills.expected(&self.orders.open.orders[i], us)
        return order_closed(self.orders, i, us, status, action)

    cdef int fill(self, int64_t i, int64_t us, int64_t lots, int64_t reason, int64_t mid2) except -1 nogil:
        """At its own price; *mid2*: the last valid one before the event that fills the order."""
        cdef const Order* order = &self.orders.open.orders[i]
        cdef Fill fill
        fill.us, fill.ticks, fill.lots, fill.reason, fill.mid2 = us, order.ticks, lots, reason, mid2
        fill.fee_e8 = fill_fee_e8(&self.orders.account, order.ticks, lots, False)
        return self.book_fill(i, &fill)

    cdef int book_fill(self, int64_t i, const Fill* fill) except -1 nogil:
        cdef const Order* order = &self.orders.open.orders[i]
        cdef bint ends = order.lots == fill.lots
        if ends and self.fills.needs & NEEDS_DRAWS:
            self.expected_fills += self.fills.expected(order, fill.us)
        self.orders.filled(i, fill, fill.reason == self.taker_reason)
        if ends:
            watch_sides(self, fill.us)
        return 0
