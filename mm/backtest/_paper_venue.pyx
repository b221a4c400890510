# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The paper venue: plays a market, recorded or live, and matches our orders in it."""

cimport cython
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free

from mm.backtest._account cimport fill_fee_e8, notional_e16, wide
from mm.backtest._happened cimport events_before
from mm.backtest._latency cimport OF_AMEND, OF_CANCEL, OF_ORDER, latency_us
from mm.backtest._level_queue cimport LevelQueue
from mm.backtest._order_checks cimport in_band, surely_in_band
from mm.backtest._own_orders cimport (
    OpenOrders, OwnOrders, Ranked, order_accepted, order_closed, orders_alone, orders_next_due, orders_next_message, slot_of,
    PRICED,
)
from mm.backtest._records cimport (
    BOOK_INVALID, BY_BOOK, BY_DRAW, BY_TRADE, CANCEL_ACK, COVERED, EPOCH_BREAK, EXPIRE, PRICE_OUT_OF_BAND, WOULD_CROSS, Fill,
)
from mm.backtest._taking cimport Market, first_crossed, next_crossed, offered, prints_add, prints_at, takeable, taking_notional_e16
from mm.backtest._venue cimport OrderVenue, covered
from mm.backtest.fills.base cimport (
    CANCELLED, EXPIRED, FOK, IOC, LIMIT_MAKER, MARKET, NEVER, SENT, WHOLE_BOOK, FillModel, Order, Trade,
)
from mm.tape._book cimport book_apply, book_close, book_lots_at, book_show, book_span
from mm.tape._kinds cimport DEPTH, GAP, TRADE
from mm.tape._memory cimport prefetch

cdef int64_t SECOND_US = 1000000
cdef uint64_t EVERY = ~<uint64_t> 0      # all ranks, as bits


@cython.final
cdef class PaperVenue(OrderVenue):
    """One symbol's market with our orders: applies latencies, executes or rests arriving orders, fills by a model.

    Args:
        orders: Our orders and account.
        fills: The fill model.
        rules: ``mm.backtest.rules.Rules``.
    """

    def __init__(self, orders: OwnOrders, fills: FillModel, rules: object) -> None:
        OrderVenue.__init__(self, orders, rules)
        self.fills = fills
        fills.restart()
        self.reached_only = fills.needs_trades and fills.reached_only
        self.reads_levels = fills.needs_levels or fills.looks == WHOLE_BOOK
        self.queue = LevelQueue(fills)
        orders.open.counts_prices = fills.needs_levels
        self.ttl_us = rules.ttl_us
        self.latency.order_us, self.latency.cancel_us = rules.order_latency_us, rules.cancel_latency_us
        if rules.latencies is not None:
            self.draw_latencies(rules.latencies, rules.latency_seed)
        self.taker_reason = len(fills.reasons)
        self.two_sided_since_us = NEVER
        self.market = Market(&self.book, &self.printed, &self.taken)
        names = getattr(fills, "signals", ())
        if names:
            from mm.signals.families import SIGNALS  # imported here: most runs have no signals

            self.signals, self.signalled = SIGNALS.set_of(names, rules), True
            fills.observe(self.signals, rules.tick_e8)

    def __dealloc__(self) -> None:
        if self.opened:
            book_close(&self.book)
        free(self.printed.rows)
        free(self.taken.rows)

    # ------------------------------------------------------------------ our messages

    cdef int draw_latencies(self, object latencies, seed) except -1:
        """Use measured latencies."""
        self.order_latencies, self.cancel_latencies = latencies.order_us, latencies.cancel_us
        self.latency.orders, self.latency.cancels = &self.order_latencies[0], &self.cancel_latencies[0]
        self.latency.count = self.order_latencies.shape[0]
        self.latency.seed, self.latency.rate = seed, -1
        if latencies.rate_per_s is not None:
            self.latency_rates = latencies.rate_per_s
            self.latency.rates = &self.latency_rates[0]
        return 0

    cdef inline int64_t travel_us(self, int message, int64_t order_id) noexcept nogil:
        """Return the latency of a message sent now."""
        if self.latency.orders is NULL:
            return self.latency.cancel_us if message == OF_CANCEL else self.latency.order_us
        return self.drawn_us(message, order_id)

    cdef int64_t drawn_us(self, int message, int64_t order_id) noexcept nogil:
        """Return a measured latency, given the events in the last second; separate, so that `travel_us` is inlined."""
        return latency_us(&self.latency, message, order_id, self.last_second() if self.latency.rates is not NULL else 0)

    cdef int64_t last_second(self) noexcept nogil:
        """Return the number of events of the tape in the last second, including those of this instant."""
        cdef int64_t count = events_before(&self.happened, self.now_us + 1) if self.best_only else self.next_event
        cdef const int64_t* event_us = self.happened.event_us if self.best_only else &self.event_us[0]
        while self.second_ago < count and event_us[self.second_ago] <= self.now_us - SECOND_US:
            self.second_ago += 1
        return count - self.second_ago

    cdef int send(self, Order* order) except -1 nogil:
        order.active_us = max(self.now_us + self.travel_us(OF_ORDER, order.id), self.last_active_us)
        self.last_active_us = order.active_us
        if self.ttl_us:
            order.expire_us = order.active_us + self.ttl_us
        self.shows_levels = self.shows_levels or order.kind == MARKET  # its current cost is locked at each requote
        return 0

    cdef int cancel(self, Order* order) except -1 nogil:
        # A cancel never overtakes its order. Cancels of equal latency stay in sequence without further checks.
        order.cancel_us = max(max(self.now_us + self.travel_us(OF_CANCEL, order.id), order.active_us), self.last_cancel_us)
        if self.latency.orders is not NULL:
            self.last_cancel_us = order.cancel_us
        return 0

    cdef int amend(self, Order* order) except -1 nogil:
        order.amend_us = max(self.now_us + self.travel_us(OF_AMEND, order.id), order.active_us)
        return 0

    cdef wide taking_e16(self, const Order* order) noexcept nogil:
        return taking_notional_e16(&self.market, &self.orders.account, order)

    cdef int deliver(self, int64_t us) except -1 nogil:
        """Apply the messages of an instant, in ascending order id."""
        cdef OpenOrders* open = &self.orders.open
        cdef int64_t i = 0, before, next_us = NEVER
        cdef bint cancelled
        cdef Order* order
        while i < open.count:
            before = open.count
            order = &open.orders[i]
            if order.status == SENT:
                if order.active_us != us:
                    next_us = min(next_us, order.active_us)
                    i += 1
                    continue
                self.arrive(i, us)
                if open.count != before:  # it ended at once: the next one is now at i
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
        open.next_message_us = next_us
        self.watch_sides(us)
        return 0

    cdef int arrive(self, int64_t i, int64_t us) except -1 nogil:
        """Process the arrival of an order: it is executed, rests, or is rejected."""
        cdef OpenOrders* open = &self.orders.open
        cdef Order* order = &open.orders[i]
        cdef int64_t before = open.count, crossed_ticks = first_crossed(&self.market, order)
        cdef int reason = COVERED
        if self.reads_levels or order.kind != LIMIT_MAKER:
            show_levels(self, self.next_event)
        if not self.touch.valid:
            reason = BOOK_INVALID
        elif crossed_ticks and order.kind == LIMIT_MAKER:
            reason = WOULD_CROSS
        elif order.kind != MARKET and not surely_in_band(&self.filters, &self.mean, order.side, order.ticks) and (
            not self.in_band(order, us)
        ):
            reason = PRICE_OUT_OF_BAND
        else:
            reason = covered(self, order, True)
        if reason != COVERED:
            return self.orders.rejected(i, us, reason)
        order_accepted(self.orders, order)
        if order.kind != LIMIT_MAKER:
            open.changed = True  # it locks less cash
        if crossed_ticks and (order.kind != FOK or takeable(&self.market, order) == order.lots):
            self.take(i, us)
            if open.count < before:
                return 0
        if order.kind >= IOC:
            return self.close(i, us, EXPIRED, EXPIRE)
        if self.by_levels and self.queue.is_open:
            self.queue.rest(order, &self.touch.top)
            return 0
        if self.by_levels or self.reads_levels and not self.on_best_prices:
            order.level_lots = book_lots_at(&self.book, <int> order.side, order.ticks)
            order.printed_lots = prints_at(&self.printed, -order.side, order.ticks)
        self.fills.on_rest(order, &self.touch.top)
        if self.fills.draws:
            self.redraw(order.side, us)
        return 0

    cdef int take(self, int64_t i, int64_t us) except -1 nogil:
        """Fill an order from the other side of the book, level by level; the book itself is unchanged."""
        cdef Order* order = &self.orders.open.orders[i]
        cdef int64_t ticks = first_crossed(&self.market, order), left = order.lots, next_ticks
        cdef Fill fill
        cdef Trade took
        while ticks and left:
            fill.lots = min(left, offered(&self.market, order, ticks))
            next_ticks = next_crossed(&self.market, order, ticks)  # before a last fill ends the order
            if fill.lots:
                left -= fill.lots
                took.us, took.side, took.ticks, took.lots, took.id = us, order.side, ticks, fill.lots, 0
                prints_add(&self.taken, &took)
                fill.us, fill.ticks, fill.reason, fill.mid2 = us, ticks, self.taker_reason, self.orders.records.mid2
                fill.fee_e8 = fill_fee_e8(&self.orders.account, ticks, fill.lots, True)
                self.book_fill(i, &fill)
            ticks = next_ticks
        return 0

    cdef bint in_band(self, const Order* order, int64_t us) noexcept nogil:
        """Return whether the exchange accepts an order's price, given the trades of the last minutes."""
        self.average(us)
        return in_band(&self.filters, &self.mean, order.side, order.ticks)

    cdef void average(self, int64_t us) noexcept nogil:
        """Update the mean price: add the trades since the last call, remove those that are too old."""
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
        while self.mean.first_event < self.next_event and (
            self.event_us[self.mean.first_event] <= us - self.filters.average_us
        ):
            event = self.sequence[self.mean.first_event] if self.lagging else self.mean.first_event
            if self.kind[event] == TRADE and self.mean.lots:
                row = self.first_row[event]
                self.mean.lots -= self.row_lots[row]
                self.mean.notional_tl -= <wide> self.row_ticks[row] * self.row_lots[row]
            self.mean.first_event += 1

    # ------------------------------------------------------------------ the market

    cdef void begin_events(self) noexcept nogil:
        """Prepare for a new series of events: reset all positions in the previous one."""
        self.next_event = self.first_event = self.second_ago = self.mean.first_event = self.mean.next_event = 0
        self.happened.events = self.happened.count = 0
        self.next_top = self.shown_events = self.next_print = 0
        if self.on_demand:
            book_span(&self.book)
            self.books.kind, self.books.first_row, self.books.row_side = &self.kind[0], &self.first_row[0], &self.row_side[0]
            self.books.row_ticks, self.books.row_lots = &self.row_ticks[0], &self.row_lots[0]
        self.passes_over = not (
            self.lagging or self.best_only or self.signalled or self.fills.draws or self.fills.follows_prints
        )
        self.mean.lots = 0
        self.mean.notional_tl = 0
        self.last_trade_event = -1

    cdef void begin_window(self) noexcept nogil:
        """Count the events of the tape from now on, including those before its window."""
        if self.best_only:
            self.happened.event_us, self.happened.events = &self.whole_us[0], self.whole_us.shape[0]

    cdef int64_t spent_events(self) noexcept nogil:
        """Return the number of first events that are needed neither for mean prices nor for the last second."""
        if self.filters.percent:
            self.average(self.now_us)
        else:
            self.mean.first_event = self.mean.next_event = self.next_event
        if self.latency.rates is not NULL:
            self.last_second()
        else:
            self.second_ago = self.next_event
        return min(self.mean.first_event, self.second_ago)

    cdef void drop_events(self, int64_t events) noexcept nogil:
        """Shift all positions after the removal of the first events."""
        self.next_event -= events
        self.second_ago -= events
        self.mean.first_event -= events
        self.mean.next_event -= events
        self.first_event = self.last_trade_event = -1

    cdef int show_event(self, int64_t event, int64_t us) except -1 nogil:
        """Update the signals of the fill model with an event, before the model is called."""
        cdef int64_t row = self.first_row[event]
        return self.signals.take(
            self.kind[event], us, self.recv_seq[event],
            &self.row_side[row], &self.row_ticks[row], &self.row_lots[row], self.first_row[event + 1] - row,
        )

    cdef int change_book(self, int64_t event, int64_t us) except -1 nogil:
        """Apply a SNAPSHOT, DEPTH or GAP, or the KEYFRAME a tape begins with."""
        cdef int64_t row, rows
        if self.signalled:
            self.show_event(event, us)
        if not self.fills.needs_levels:  # else on_book reads them first
            self.printed.used = 0
        self.changed_event = -1 if self.kind[event] != DEPTH or self.best_only else event
        if self.by_levels:
            self.queue.note_book(event, self.kind[event] != DEPTH)
        if self.kind[event] != DEPTH:
            clear_book(self)
            self.set_valid(self.kind[event] != GAP, max(us, self.start_us))
        if self.on_best_prices:
            if <int32_t> self.reach[event] == ALWAYS:
                self.book.best_bid, self.book.best_ask = self.move_bid_ticks[self.next_move], self.move_ask_ticks[self.next_move]
                self.next_move += 1
            return 0
        if self.on_demand:
            return show_event_book(self, event)
        row, rows = self.first_row[event], self.first_row[event + 1] - self.first_row[event]
        if rows and self.best_only:
            book_show(&self.book, &self.row_side[row], &self.row_ticks[row], &self.row_lots[row], rows)
        elif rows:
            book_apply(&self.book, &self.row_side[row], &self.row_ticks[row], &self.row_lots[row], rows)
        return 0

    cdef void set_valid(self, bint valid, int64_t us) noexcept nogil:
        if self.touch.valid and not valid and self.begun:
            self.valid_us += us - self.valid_since_us
        elif valid and not self.touch.valid:
            self.valid_since_us = us
        self.touch.valid = valid

    cdef void note_top(self, int64_t us, int64_t recv_seq) noexcept nogil:
        """Set the best prices after a book event."""
        self.touch.top.us = us
        self.touch.top.recv_seq = recv_seq
        self.touch.top.book = &self.book
        self.touch.top.bid_ticks = self.book.best_bid
        self.touch.top.ask_ticks = self.book.best_ask
        if self.on_best_prices or self.on_demand:
            return
        self.touch.top.bid_lots = book_lots_at(&self.book, 1, self.book.best_bid) if self.book.best_bid else 0
        self.touch.top.ask_lots = book_lots_at(&self.book, -1, self.book.best_ask) if self.book.best_ask else 0

    cdef int on_book(self, int64_t us, int64_t recv_seq) except -1 nogil:
        """Match our orders with the book after an event."""
        cdef bint rests = self.orders.open.resting[0] + self.orders.open.resting[1] > 0
        cdef int64_t before2 = self.orders.records.mid2
        self.note_top(us, recv_seq)
        note_mid(self, us)
        if self.fills.needs_levels:
            if rests and self.by_levels:
                self.queue.renew(&self.orders.open, &self.touch.top)
            elif rests:
                self.match_levels()
            self.printed.used = 0
        self.taken.used = 0
        if self.fills.needs_book and rests:
            self.match_book(us, before2)
        self.last_book_us = us
        if self.fills.draws:
            self.begin_stretches(self.fills.on_top(&self.touch.top), us)
        self.watch_sides(us)
        return 0

    cdef int on_gap(self, int64_t us, int64_t recv_seq) except -1 nogil:
        """End the epoch: no book, no resting orders."""
        cdef OpenOrders* open = &self.orders.open
        cdef int64_t i = 0
        if self.signalled:
            self.signals.take(GAP, us, recv_seq, NULL, NULL, NULL, 0)
        clear_book(self)
        self.printed.used = 0
        self.changed_event = -1
        self.set_valid(False, us)
        while i < open.count:
            if open.orders[i].status == SENT:
                i += 1
                continue
            open.orders[i].cancel_us = us
            open.orders[i].cancel_reason = EPOCH_BREAK
            self.close(i, us, CANCELLED, CANCEL_ACK)
        orders_next_message(open)
        return self.on_book(us, recv_seq)

    cdef int on_trade(self, int64_t event, int64_t us) except -1 nogil:
        """Register a print, and match our orders with it."""
        cdef Trade print_ = self.print_at(event, us)
        if self.signalled:
            self.show_event(event, us)
        self.last_trade_event = event
        if print_.ticks < self.mean.low_ticks or self.mean.low_ticks == 0:
            self.mean.low_ticks = print_.ticks
        self.mean.high_ticks = max(self.mean.high_ticks, print_.ticks)
        if not self.best_only:
            prints_add(&self.printed, &print_)
        self.queue.print_at, self.queue.print_lots = event, print_.lots
        if self.concerns_fills(print_.side, print_.ticks):
            self.match_trade(&print_)
        return self.show_print(event, us) if self.fills.follows_prints else 0

    cdef Trade print_at(self, int64_t event, int64_t us) noexcept nogil:
        """Return the print of an event."""
        cdef int64_t row = self.first_row[event]
        return Trade(us, self.row_side[row], self.row_ticks[row], self.row_lots[row], self.event_id[event])

    cdef int on_reaching_trade(self, int64_t event, int64_t us) except -1 nogil:
        """Match our orders with a print that reaches one of them; return whether other actions may be due.

        `reach` holds the print's price and lots.
        A price or quantity too large for it is stored as ALWAYS: such a print is read from its row.
        """
        cdef int filled
        cdef Trade print_
        cdef Order* only
        if not unpack(self.reach[event], &print_) or not self.reached_only:
            if self.fills.needs_trades:
                self.on_trade(event, us)
            else:
                self.show_print(event, us)
            return True
        print_.us, print_.id = us, -1
        self.queue.print_at, self.queue.print_lots = event, print_.lots
        if self.by_levels and self.fills.ahead_first:
            only = orders_alone(&self.orders.open, slot_of(-print_.side), print_.ticks)
            if only is not NULL and self.queue.absorbs(only, &self.touch.top):
                return False
        print_.lots = self.fills.print_lots(&print_)
        filled = self.match_side(print_.side < 0, &print_)
        if self.fills.follows_prints:
            self.show_print(event, us)
            return True
        return filled

    cdef int64_t pass_over(self, FillModel fills, int64_t until_us) except -1 nogil:
        """Play the next events up to an instant, until one may need other actions, and return their number.

        They are prints that reach no order of ours, and changes of the book. It ends after one that moves a best price,
        as requotes depend on it, and after one for which *fills*, the venue's fill model, is called.
        """
        cdef const int64_t* event_us = &self.event_us[0]
        cdef const int64_t* event_id = &self.event_id[0]
        cdef const int64_t* first_row = &self.first_row[0]
        cdef const uint8_t* kind = &self.kind[0]
        cdef const int8_t* side = &self.row_side[0]
        cdef const int64_t* ticks = &self.row_ticks[0]
        cdef const int64_t* lots = &self.row_lots[0]
        cdef int64_t begin = self.next_event, event = begin, events = self.events, changed = -1, printed = -1, row
        cdef int64_t best_bid = self.book.best_bid, best_ask = self.book.best_ask
        cdef int64_t next_top = self.top_event[self.next_top] if self.next_top < self.tops else -1
        cdef int64_t sell, buy, low = self.mean.low_ticks or NEVER, high = self.mean.high_ticks
        cdef bint called = False
        cdef Trade print_
        self.reached(&sell, &buy)
        while not called and event < events and event_us[event] <= until_us:
            row = first_row[min(event + FETCHED, events)]
            prefetch(side + row)
            prefetch(ticks + row)
            prefetch(event_us + event + FETCHED)
            prefetch(event_id + event + FETCHED)  # a quote model may read that of the last print
            row = first_row[event]
            if kind[event] == TRADE:
                if reaches(side[row], ticks[row], sell, buy):
                    break
                low, high, printed = min(low, ticks[row]), max(high, ticks[row]), event
                print_ = self.print_at(event, event_us[event])
                prints_add(&self.printed, &print_)
            elif kind[event] == DEPTH:
                if not fills.needs_levels:
                    self.printed.used = 0
                if self.on_demand:
                    if event == next_top:
                        self.next_top += 1
                        show_top(self)
                        next_top = self.top_event[self.next_top] if self.next_top < self.tops else -1
                elif row < first_row[event + 1]:
                    book_apply(&self.book, side + row, ticks + row, lots + row, first_row[event + 1] - row)
                changed = event
                called = self.book.best_bid != best_bid or self.book.best_ask != best_ask or fills.needs_levels
                called = called or (fills.needs_book and (not fills.crossed_only or self.crossed()))
            else:
                break
            event += 1
        if printed >= 0:
            self.last_trade_event = printed
            self.mean.low_ticks, self.mean.high_ticks = low, high
        if event > begin:
            self.next_event, self.now_us = event, event_us[event - 1]
        if changed >= 0:
            self.changed_event = changed
            if self.reads_levels:
                show_levels(self, event)
            self.on_book(event_us[changed], -1)
        return event - begin

    cdef bint concerns_fills(self, int64_t side, int64_t ticks) noexcept nogil:
        """Return whether the fill model must be called for a print."""
        cdef int64_t sell, buy
        self.reached(&sell, &buy)
        return reaches(side, ticks, sell, buy)

    cdef inline void reached(self, int64_t* sell, int64_t* buy) noexcept nogil:
        """Set the prices that call the fill model: buyer prints from *sell* up, seller prints from *buy* down."""
        cdef const OpenOrders* open = &self.orders.open
        sell[0], buy[0] = open.nearest[0], open.nearest[1]
        if not self.fills.needs_trades or open.resting[0] + open.resting[1] == 0:
            sell[0], buy[0] = NEVER, -1
        elif not self.fills.reached_only:
            sell[0], buy[0] = 0, NEVER

    cdef int match_trade(self, Trade* print_) except -1 nogil:
        """Call the fill model with a print, order by order; return whether an order has filled.

        A fill may end an order: the next one then has its rank. If the model needs only prints that reach an order,
        only orders of the other side are visited, until the first that is not reached.
        """
        cdef int slot = slot_of(print_.side)
        print_.lots = self.fills.print_lots(print_)
        if self.fills.reached_only:
            return self.match_side(1 - slot, print_)
        return self.match_side(1, print_) | self.match_side(0, print_)

    cdef int match_side(self, int slot, Trade* print_) except -1 nogil:
        """Call the fill model with a print for the orders of a side; return whether one has filled."""
        cdef OpenOrders* open = &self.orders.open
        cdef int64_t rank = 0, lots, beyond, resting = open.resting[slot]
        cdef bint filled = False
        cdef const Ranked* ranked = open.ranked[slot]
        cdef Order* order
        while rank < resting:
            order = ranked[rank].order
            beyond = print_.side * (print_.ticks - ranked[rank].ticks)
            if beyond < 0 and self.fills.reached_only:
                break
            if beyond == 0 and self.by_levels:
                self.queue.meet_print(order, &self.touch.top)
            lots = self.fills.on_trade(order, print_)
            rank += 1
            if lots <= 0:
                continue
            lots = whole_steps(self, order, min(min(lots, order.lots), print_.lots))
            if lots > 0:
                print_.lots -= lots
                filled = True
                self.fill(order - open.orders, print_.us, lots, self.fills.by + BY_TRADE, self.orders.records.mid2)
                rank -= open.resting[slot] != resting
                resting = open.resting[slot]
        return filled

    cdef bint crossed(self) noexcept nogil:
        """Return whether a best price reaches an order of the other side."""
        cdef OpenOrders* open = &self.orders.open
        return self.book.best_bid >= open.nearest[0] or open.nearest[1] >= self.book.best_ask > 0

    cdef int match_book(self, int64_t us, int64_t mid2) except -1 nogil:
        """Call the fill model with a changed book, order by order; *mid2*: the last valid one before the change."""
        cdef OpenOrders* open = &self.orders.open
        cdef int64_t rank, lots, resting
        cdef int slot
        cdef Order* order
        if self.fills.crossed_only and not self.crossed():
            return 0
        for slot in range(1, -1, -1):
            rank, resting = 0, open.resting[slot]
            while rank < resting:
                order = open.ranked[slot][rank].order
                lots = self.fills.on_book(order, &self.touch.top, us - max(self.last_book_us, order.active_us))
                lots = whole_steps(self, order, min(lots, order.lots))
                if lots > 0:
                    self.fill(order - open.orders, us, lots, self.fills.by + BY_BOOK, mid2)
                rank += open.resting[slot] == resting
                resting = open.resting[slot]
        return 0

    cdef int match_levels(self) except -1 nogil:
        """Call the fill model with each resting order at whose price the displayed lots changed, or something traded."""
        cdef OpenOrders* open = &self.orders.open
        cdef int64_t rank, lots, before
        cdef uint64_t[2] touched
        cdef int slot
        cdef Order* order
        touched[0] = touched[1] = EVERY
        if not self.checked_prints and self.changed_event >= 0:
            self.touch_levels(touched)
        self.checked_prints = False
        for slot in range(1, -1, -1):
            for rank in range(open.resting[slot] if touched[slot] else 0):
                if not touched[slot] & rank_bit(rank):
                    continue
                order = open.ranked[slot][rank].order
                lots = book_lots_at(&self.book, slot + slot - 1, order.ticks)
                before = order.level_lots
                order.level_lots = lots
                order.printed_lots = prints_at(&self.printed, -order.side, order.ticks)
                if lots != before or order.printed_lots:
                    self.checked_prints |= order.printed_lots > 0
                    self.fills.on_level(order, before, lots)
        return 0

    cdef void touch_levels(self, uint64_t* touched) noexcept nogil:
        """Set the ranks of each side, as bits, whose prices are in the last book event or a print since."""
        cdef const OpenOrders* open = &self.orders.open
        cdef int64_t row, i
        cdef int slot
        touched[0] = touched[1] = 0
        for row in range(self.first_row[self.changed_event], self.first_row[self.changed_event + 1]):
            slot = slot_of(self.row_side[row])
            touched[slot] |= ranks_at(open, slot, self.row_ticks[row])
        for i in range(self.printed.used):
            slot = 1 - slot_of(self.printed.rows[i].side)
            touched[slot] |= ranks_at(open, slot, self.printed.rows[i].ticks)

    cdef int show_print(self, int64_t event, int64_t us) except -1 nogil:
        """Call on_print of the fill model after our orders were matched with a print; not before the tape's window."""
        cdef int64_t side = self.row_side[self.first_row[event]]
        if us < self.start_us:
            return 0
        return self.begin_stretches(self.fills.on_print(side, us, self.recv_seq[event], self.event_exch_us[event]), us)

    cdef int begin_stretches(self, int sides, int64_t us) except -1 nogil:
        """Begin a new stretch of intensity for the sides returned by the fill model: 1 buys, 2 sells, 3 both."""
        if sides & 1:
            self.redraw(1, us)
        if sides & 2:
            self.redraw(-1, us)
        return 0

    cdef int redraw(self, int64_t side, int64_t us) except -1 nogil:
        """Begin a new stretch of intensity for the resting orders of a side."""
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
        """Execute the fills that the model drew for this instant, in ascending order id."""
        cdef OpenOrders* open = &self.orders.open
        cdef int64_t i = 0, before
        while i < open.count:
            before = open.count
            if open.orders[i].due_us == us:
                self.fill(i, us, open.orders[i].lots, self.fills.drawn_by() + BY_DRAW, self.orders.records.mid2)
            if open.count == before:
                i += 1
        return 0

    # ------------------------------------------------------------------ reports

    cdef inline int close(self, int64_t i, int64_t us, int status, int action) except -1 nogil:
        """Report that a resting order has ended."""
        if self.fills.draws:
            self.expected_fills += self.fills.expected(&self.orders.open.orders[i], us)
        return order_closed(self.orders, i, us, status, action)

    cdef int fill(self, int64_t i, int64_t us, int64_t lots, int64_t reason, int64_t mid2) except -1 nogil:
        """Fill a resting order at its own price; *mid2*: the last valid one before the event that fills it."""
        cdef const Order* order = &self.orders.open.orders[i]
        cdef Fill fill
        fill.us, fill.ticks, fill.lots, fill.reason, fill.mid2 = us, order.ticks, lots, reason, mid2
        fill.fee_e8 = fill_fee_e8(&self.orders.account, order.ticks, lots, False)
        return self.book_fill(i, &fill)

    cdef int book_fill(self, int64_t i, const Fill* fill) except -1 nogil:
        """Report a fill."""
        cdef const Order* order = &self.orders.open.orders[i]
        cdef bint ends = order.lots == fill.lots
        if ends and self.fills.draws:
            self.expected_fills += self.fills.expected(order, fill.us)
        self.orders.filled(i, fill, fill.reason == self.taker_reason)
        if ends:
            self.watch_sides(fill.us)
        return 0

    cdef void watch_sides(self, int64_t us) noexcept nogil:
        """Count the time with a valid book and our resting orders on both sides."""
        cdef bint both = self.touch.valid and self.orders.open.resting[0] and self.orders.open.resting[1]
        if both and self.two_sided_since_us == NEVER:
            self.two_sided_since_us = us
        elif not both and self.two_sided_since_us != NEVER:
            self.two_sided_us += us - self.two_sided_since_us
            self.two_sided_since_us = NEVER


cdef inline bint reaches(int64_t side, int64_t ticks, int64_t sell, int64_t buy) noexcept nogil:
    """Return whether a print is at or beyond the price set by `reached`."""
    return ticks >= sell if side > 0 else ticks <= buy


cdef inline uint64_t rank_bit(int64_t rank) noexcept nogil:
    """Return the bit of a rank; the last bit includes all ranks beyond it."""
    return <uint64_t> 1 << min(rank, 63)


cdef inline uint64_t ranks_at(const OpenOrders* open, int slot, int64_t ticks) noexcept nogil:
    """Return the ranks, as bits, of a side's orders at a price; slot 0 is sells, 1 buys."""
    cdef int64_t rank
    cdef uint64_t ranks = 0
    if open.priced[slot][ticks & (PRICED - 1)] == 0:  # true for most rows of a book event
        return 0
    for rank in range(open.resting[slot]):
        if open.ranked[slot][rank].ticks == ticks:
            ranks |= rank_bit(rank)
    return ranks
