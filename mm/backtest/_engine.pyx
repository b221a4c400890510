# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The engine: plays a tape against a quote model and a fill model; docs/engine.md specifies it.

Everything between ``advance`` and the models runs without the interpreter. ``paper_exchange.py``
is its Python face, ``tests/oracle.py`` its plain twin.
"""

from libc.math cimport NAN, ceil, floor, isnan
from libc.stdint cimport int8_t, int64_t, uint8_t
from libc.stdlib cimport free

from mm.backtest._account cimport Account, book_fill, cash_e16, fee_e8, notional_e16, wide
from mm.backtest._book cimport Book, book_apply, book_clear, book_close, book_lots_at, book_move, book_open
from mm.backtest._kinds cimport DEPTH, GAP, KEYFRAME, SNAPSHOT, TRADE
from mm.backtest._orders cimport Desk, desk_add, desk_close, desk_current, desk_drop, desk_find, desk_lots
from mm.backtest._orders cimport desk_next_due, desk_next_message, desk_open, desk_rank, new_order
from mm.backtest._prints cimport Prints, prints_add, prints_at
from mm.backtest._records cimport AMEND, ASKED, BOOK_INVALID, BY_BOOK, BY_DRAW, BY_TRADE, CANCEL_ACK, CANCEL_REQ
from mm.backtest._records cimport CLOSE_FILLED, COVERED, EPOCH_BREAK, EXPIRE, FILL, INSUFFICIENT_CASH
from mm.backtest._records cimport INSUFFICIENT_INVENTORY, MIN_NOTIONAL, PLACE, PRICE_NOT_POSITIVE
from mm.backtest._records cimport QUANTITY_BELOW_STEP, QUOTE_MOVED, QUOTE_WITHDRAWN, REFRESH, REJECT, SKIP, WOULD_CROSS
from mm.backtest._records cimport Fill, Records, handed, record_fill, record_mid, record_order, record_state
from mm.backtest._records cimport records_close, records_open
from mm.backtest._taker cimport Market, first_met, next_met, offered, takeable, taking_notional_e16
from mm.backtest._volatility cimport Volatility, volatility_close, volatility_open, volatility_sample
from mm.backtest.fills.base cimport CANCELLED, CANCELLING, EXPIRED, FILLED, FOK, IOC, LIMIT_MAKER, LIVE, MARKET
from mm.backtest.fills.base cimport NEVER, REJECTED, SENT, FillModel, Order, Top, Trade
from mm.backtest.quotes.base cimport QuoteModel, View, Want

from mm.backtest.journal import Journal

cdef int64_t SAMPLE_US = 1000000       # between two samples of the mid
cdef int64_t MOST_TICKS = 1000000000000000


cdef class Engine:
    """One paper exchange: book, orders, account, journal and clock.

    Args:
        quotes: The quote model.
        fills: The fill model.
        rules: ``mm.backtest.rules.Rules``.
    """

    cdef QuoteModel quotes
    cdef FillModel fills
    cdef object rules
    # the tape
    cdef const int64_t[::1] event_us, recv_seq, event_id, first_row, row_ticks, row_lots
    cdef const uint8_t[::1] kind
    cdef const int8_t[::1] row_side
    cdef int64_t next_event, events, start_us
    # rules
    cdef int64_t order_latency_us, cancel_latency_us, requote_us, ttl_us, refresh_us, state_us
    cdef int64_t quote_lots, step_lots, taker_reason
    cdef bint by_hand                   # whether what is being sent comes from outside
    cdef wide min_notional_e16
    cdef bint enforce_balances
    # state
    cdef Book book
    cdef bint opened, valid, begun
    cdef Top top
    cdef View view
    cdef Account account
    cdef Desk desk
    cdef int64_t last_id
    cdef int64_t skipped[2]             # why the last requote sent nothing; sells, buys
    cdef int64_t mid2, last_book_us     # mid2 is 0 while there is none
    cdef int64_t last_trade_event       # of this tape, -1 before its first
    cdef Prints printed                 # since the last book event, where the fill model follows levels
    cdef Prints taken                   # by us from the book, since its last event
    cdef Market market
    # clock
    cdef int64_t now_us, begun_us, next_sample_us, next_state_us, next_requote_us
    cdef Volatility volatility
    # counters
    cdef int64_t valid_us, valid_since_us, two_sided_us, two_sided_since_us, events_played, rows_played
    cdef double expected_fills
    cdef Records records

    def __init__(self, quotes: QuoteModel, fills: FillModel, rules: object) -> None:
        self.quotes = quotes
        self.fills = fills
        self.rules = rules
        self.order_latency_us = rules.order_latency_us
        self.cancel_latency_us = rules.cancel_latency_us
        self.requote_us = rules.requote_us
        self.ttl_us = rules.ttl_us
        self.refresh_us = rules.refresh_us
        self.state_us = rules.state_us
        self.quote_lots = rules.quote_lots
        self.step_lots = rules.step_lots
        self.min_notional_e16 = <wide> (<int64_t> rules.min_notional_e8) * 100000000
        self.enforce_balances = rules.enforce_balances
        self.account = Account(rules.start_lots, 0, 0, rules.start_cash_e8, rules.tick_e8 * rules.lot_e8, 0, 0)
        self.account.maker_fee_e8, self.account.taker_fee_e8 = rules.maker_fee_e8, rules.taker_fee_e8
        self.next_sample_us = self.next_state_us = self.next_requote_us = NEVER
        self.taker_reason = len(fills.reasons)
        self.two_sided_since_us = NEVER
        self.view.last_trade.id = -1
        self.view.quote_lots = self.quote_lots
        self.view.sigma_ticks = NAN
        volatility_open(&self.volatility, rules.sigma_window_s)
        records_open(&self.records)
        desk_open(&self.desk)
        self.market = Market(&self.book, &self.taken)

    def __dealloc__(self) -> None:
        if self.opened:
            book_close(&self.book)
        desk_close(&self.desk)
        free(self.printed.rows)
        free(self.taken.rows)
        volatility_close(&self.volatility)
        records_close(&self.records)

    def attach(self, tape: object, lo_ticks: int, hi_ticks: int, joins: bool) -> None:
        """Make *tape* what is played next; it has passed ``Tape.check``.

        Args:
            tape: The tape; its arrays are read, not copied.
            lo_ticks, hi_ticks: The window of prices that its book should hold densely.
            joins: Whether its book carries on where the last tape stopped; else a GAP is inserted.
        """
        if not self.opened:
            book_open(&self.book, lo_ticks, hi_ticks)
            self.opened = True
        else:
            if not joins:
                self.gap(self.now_us, 0)
            book_move(&self.book, lo_ticks, hi_ticks)
            self.show_last_trade()
        self.event_us = tape.event_us
        self.recv_seq = tape.recv_seq
        self.event_id = tape.event_id
        self.kind = tape.kind
        self.first_row = tape.first_row
        self.row_side = tape.row_side
        self.row_ticks = tape.row_ticks
        self.row_lots = tape.row_lots
        self.events = self.kind.shape[0]
        self.start_us = tape.start_us
        self.next_event = 0
        self.last_trade_event = -1

    def advance(self, int64_t until_us) -> None:
        """Play everything up to and including *until_us*."""
        with nogil:
            self.build()
            self.play(until_us)
            self.catch_up(until_us, until_us)
            self.now_us = max(self.now_us, until_us)

    # ------------------------------------------------------------------ the clock

    cdef int build(self) except -1 nogil:
        """Build the book, silently, from the events before the tape's window."""
        if self.next_event == self.events or self.event_us[self.next_event] >= self.start_us:
            return 0
        if self.begun:
            self.catch_up(self.start_us - 1, self.start_us - 1)
        while self.next_event < self.events and self.event_us[self.next_event] < self.start_us:
            if self.kind[self.next_event] != TRADE:
                self.change_book(self.next_event)
                self.look(self.event_us[self.next_event], self.recv_seq[self.next_event])
                if self.fills.draws:
                    self.fills.on_top(&self.top)  # what keys the first stretch may stand before the window
            self.next_event += 1
        if self.valid:
            if not self.begun:
                self.begin(self.start_us)
            self.see(self.start_us, self.recv_seq[self.next_event - 1])
        return 0

    cdef void begin(self, int64_t us) noexcept nogil:
        """Fix the grids at the first valid book."""
        self.begun = True
        self.now_us = self.begun_us = self.valid_since_us = self.view.begun_us = us
        self.next_sample_us = self.next_state_us = self.next_requote_us = us

    cdef int play(self, int64_t until_us) except -1 nogil:
        """Play the events of the tape up to *until_us*, and what of ours falls due before each."""
        cdef int64_t event = self.next_event, us
        cdef int kind
        while event < self.events:
            us = self.event_us[event]
            if us > until_us:
                break
            if us >= self.desk.next_message_us or us > self.next_after():
                self.catch_up(us, us - 1)
            self.now_us = us
            self.events_played += 1
            kind = self.kind[event]
            if kind == TRADE:
                self.trade(event)
            elif kind == GAP:
                self.gap(us, self.recv_seq[event])
            elif kind != KEYFRAME or event == 0:
                self.change_book(event)
                if not self.begun:
                    self.begin(us)
                self.see(us, self.recv_seq[event])
            if kind != KEYFRAME:
                self.rows_played += self.first_row[event + 1] - self.first_row[event]
            event += 1
            self.next_event = event
        return 0

    cdef inline int64_t next_after(self) noexcept nogil:
        """Return the next instant of what follows the market: draws, samples, state rows, requotes."""
        return min(min(self.desk.next_due_us, self.next_sample_us), min(self.next_state_us, self.next_requote_us))

    cdef int catch_up(self, int64_t messages_us, int64_t after_us) except -1 nogil:
        """Let happen what of ours is due: messages up to one instant, the rest up to another."""
        cdef int64_t message_us, us
        while True:
            message_us = self.desk.next_message_us
            us = self.next_after()
            if message_us <= messages_us and message_us <= us:
                self.now_us = max(self.now_us, message_us)
                self.deliver(message_us)
            elif us <= after_us:
                self.now_us = us
                if us == self.desk.next_due_us:
                    self.fill_due(us)
                if us == self.next_sample_us:
                    self.view.sigma_ticks = volatility_sample(&self.volatility, self.mid2)
                    self.next_sample_us += SAMPLE_US
                if us == self.next_state_us:
                    record_state(&self.records, us, &self.account, self.desk.open)
                    self.next_state_us += self.state_us
                if us == self.next_requote_us:
                    self.requote(us)
                    self.next_requote_us += self.requote_us
            else:
                return 0

    # ------------------------------------------------------------------ the market

    cdef int change_book(self, int64_t event) except -1 nogil:
        """Apply a SNAPSHOT, DEPTH or GAP, or the KEYFRAME a tape begins with."""
        cdef int64_t row = self.first_row[event], rows = self.first_row[event + 1] - row
        if self.kind[event] != DEPTH:
            book_clear(&self.book)
            self.set_valid(self.kind[event] != GAP, max(self.event_us[event], self.start_us))
        if rows:
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
        self.top.bid_lots = book_lots_at(&self.book, 1, self.book.best_bid) if self.book.best_bid else 0
        self.top.ask_lots = book_lots_at(&self.book, -1, self.book.best_ask) if self.book.best_ask else 0

    cdef int see(self, int64_t us, int64_t recv_seq) except -1 nogil:
        """Look at the book after an event, and ask the fill model about it."""
        cdef int64_t mid2, sides
        self.look(us, recv_seq)
        mid2 = self.top.bid_ticks + self.top.ask_ticks if self.top.bid_ticks and self.top.ask_ticks else 0
        if mid2 != self.mid2:
            self.mid2 = mid2
            record_mid(&self.records, us, mid2)
            if mid2 == 0:
                self.volatility.sampled_mid2 = 0
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

    cdef int trade(self, int64_t event) except -1 nogil:
        """Show a print to the fill model, order by order."""
        cdef int64_t row = self.first_row[event], i, n, lots
        cdef Trade print_
        cdef Order* order
        print_.us = self.event_us[event]
        print_.side = self.row_side[row]
        print_.ticks = self.row_ticks[row]
        print_.lots = self.row_lots[row]
        print_.id = self.event_id[event]
        self.last_trade_event = event
        if self.fills.asks_level:
            prints_add(&self.printed, &print_)
        if not self.fills.asks_trade or self.desk.resting[0] + self.desk.resting[1] == 0:
            return 0
        print_.lots = self.fills.print_lots(&print_)
        n = desk_rank(&self.desk)
        for i in range(n):
            order = desk_find(&self.desk, self.desk.ranking[i])
            lots = self.fills.on_trade(order, &print_)
            lots = min(min(lots, order.lots), print_.lots)
            if lots > 0:
                print_.lots -= lots
                self.fill(order - self.desk.orders, print_.us, lots, self.fills.by + BY_TRADE)
        return 0

    cdef int ask_book(self, int64_t us) except -1 nogil:
        """Ask the fill model about a book change, order by order."""
        cdef int64_t i, n = desk_rank(&self.desk), lots
        cdef Order* order
        for i in range(n):
            order = desk_find(&self.desk, self.desk.ranking[i])
            lots = self.fills.on_book(order, &self.top, us - max(self.last_book_us, order.active_us))
            lots = min(lots, order.lots)
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
        if self.desk.resting[1 if side > 0 else 0] == 0:
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

    # ------------------------------------------------------------------ orders

    cdef int deliver(self, int64_t us) except -1 nogil:
        """Let the messages of an instant take effect, by order id."""
        cdef int64_t i = 0, before
        while i < self.desk.open:
            before = self.desk.open
            if self.desk.orders[i].status == SENT and self.desk.orders[i].active_us == us:
                self.arrive(i, us)
            if self.desk.open == before and self.desk.orders[i].status != SENT:
                if self.desk.orders[i].amend_us == us:
                    self.amend_now(&self.desk.orders[i], us)
                if self.desk.orders[i].cancel_us == us:
                    self.close(i, us, CANCELLED, CANCEL_ACK)
                elif self.desk.orders[i].expire_us == us:
                    self.close(i, us, EXPIRED, EXPIRE)
            if self.desk.open == before:
                i += 1
        desk_next_message(&self.desk)
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
        else:
            reason = self.covered(order, True)
        if reason != COVERED:
            order.status = REJECTED
            record_order(&self.records, order, us, REJECT, reason)
            desk_drop(&self.desk, i)
            return 0
        order.status = LIVE if order.cancel_us == NEVER else CANCELLING
        self.desk.resting[1 if order.side > 0 else 0] += 1
        self.desk.ranked = -1
        if met and (order.kind != FOK or takeable(&self.market, order) == order.lots):
            self.take(i, us)
            if self.desk.open < before:
                return 0
        if order.kind >= IOC:
            return self.close(i, us, EXPIRED, EXPIRE)
        order.level_lots = book_lots_at(&self.book, <int> order.side, order.ticks)
        order.printed_lots = prints_at(&self.printed, -order.side, order.ticks)
        self.fills.on_rest(order, &self.top)
        if self.fills.draws:
            self.redraw(order.side, us)
        self.watch_sides(us)
        return 0

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

    cdef int covered(self, const Order* order, bint arrives) noexcept nogil:
        """Return why the balance does not cover *order*, or 0: at the requote, or when it arrives."""
        cdef int64_t i, bound_lots = 0
        cdef wide bound_e16 = 0
        cdef const Order* other
        if not self.enforce_balances:
            return COVERED
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
        order.lots = order.amend_lots - filled
        order.placed_lots = order.amend_lots
        return record_order(&self.records, order, us, AMEND, COVERED)

    cdef int close(self, int64_t i, int64_t us, int status, int action) except -1 nogil:
        """End a resting order with a row."""
        cdef Order* order = &self.desk.orders[i]
        if self.fills.draws:
            self.expected_fills += self.fills.expected(order, us)
        self.desk.resting[1 if order.side > 0 else 0] -= 1
        order.status = status
        record_order(&self.records, order, us, action, COVERED)
        desk_drop(&self.desk, i)
        self.watch_sides(us)
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
        order.lots -= fill.lots
        if order.lots == 0:
            order.status = FILLED
        record_order(&self.records, order, fill.us, FILL, COVERED)
        record_fill(&self.records, order, fill, &self.account)
        if order.lots == 0:
            self.close(i, fill.us, FILLED, CLOSE_FILLED)
            desk_next_message(&self.desk)
        record_state(&self.records, fill.us, &self.account, self.desk.open)
        return 0

    # ------------------------------------------------------------------ quotes

    cdef int requote(self, int64_t us) except -1 nogil:
        """Ask the quote model, and bring our orders to what it wants."""
        cdef Want want
        if not self.valid or self.top.bid_ticks == 0 or self.top.ask_ticks == 0:
            return 0
        self.view.top = self.top
        self.view.top.us = us
        self.show_last_trade()
        self.view.inventory_lots = self.account.inventory_lots
        self.view.most_lots = self.account.inventory_lots + desk_lots(&self.desk, 1)
        self.view.least_lots = self.account.inventory_lots - desk_lots(&self.desk, -1)
        self.view.cash = <double> cash_e16(&self.account) * 1e-16
        want.bid_ticks = want.ask_ticks = NAN
        want.bid_lots = want.ask_lots = self.quote_lots
        want.bid_kind = want.ask_kind = LIMIT_MAKER
        self.quotes.quote(&self.view, &want)
        self.reconcile(us, 1, floor(want.bid_ticks), want.bid_lots, want.bid_kind)
        self.reconcile(us, -1, ceil(want.ask_ticks), want.ask_lots, want.ask_kind)
        return 0

    cdef void show_last_trade(self) noexcept nogil:
        """Let the quote model see the tape's last print; before its first, the one of the tape before."""
        cdef int64_t event = self.last_trade_event, row
        if event >= 0:
            row = self.first_row[event]
            self.view.last_trade = Trade(
                self.event_us[event], self.row_side[row], self.row_ticks[row], self.row_lots[row], self.event_id[event]
            )

    cdef int reconcile(self, int64_t us, int64_t side, double price, int64_t lots, int64_t kind) except -1 nogil:
        """Keep, cancel or replace the current order of a side; *price* NaN wants none."""
        cdef int64_t ticks = 0, i = desk_current(&self.desk, side)
        cdef int reason, slot = 1 if side > 0 else 0
        if isnan(price):
            if i >= 0:
                self.ask_cancel(i, us, QUOTE_WITHDRAWN)
            self.skipped[slot] = COVERED
            return 0
        if kind != MARKET:
            ticks = <int64_t> min(max(price, <double> -MOST_TICKS), <double> MOST_TICKS)
        if i >= 0:
            if self.desk.orders[i].ticks == ticks and self.desk.orders[i].kind == kind:
                if self.refresh_us == 0 or us - self.desk.orders[i].sent_us < self.refresh_us:
                    self.skipped[slot] = COVERED
                    return 0
                self.ask_cancel(i, us, REFRESH)
            else:
                self.ask_cancel(i, us, QUOTE_MOVED)
        reason = self.send(us, side, ticks, lots, kind, self.skipped[slot])
        self.skipped[slot] = reason
        return 0

    cdef int ask_cancel(self, int64_t i, int64_t us, int reason) except -1 nogil:
        """Send a cancel; it never overtakes its order."""
        cdef Order* order = &self.desk.orders[i]
        order.cancel_req_us = us
        order.cancel_us = max(us + self.cancel_latency_us, order.active_us)
        order.cancel_reason = reason
        if order.status == LIVE:
            order.status = CANCELLING
            self.desk.next_message_us = min(self.desk.next_message_us, order.cancel_us)
        return record_order(&self.records, order, us, CANCEL_REQ, COVERED)

    cdef int send(self, int64_t us, int64_t side, int64_t ticks, int64_t lots, int64_t kind, int64_t skipped) except -1 nogil:
        """Send an order, or return why not; a reason other than *skipped* leaves a row."""
        cdef Order order = new_order(us, side, ticks, lots - lots % self.step_lots, kind)
        cdef wide notional = notional_e16(&self.account, ticks, order.lots)
        cdef int reason
        if kind == MARKET:
            notional = taking_notional_e16(&self.market, &self.account, &order)
        if ticks <= 0 and kind != MARKET:
            reason = PRICE_NOT_POSITIVE
        elif order.lots <= 0:
            reason = QUANTITY_BELOW_STEP
        elif notional < self.min_notional_e16:
            reason = MIN_NOTIONAL
        else:
            reason = self.covered(&order, False)
        if reason != COVERED:
            if reason != skipped:
                order.status = REJECTED
                record_order(&self.records, &order, us, SKIP, reason)
            return reason
        self.last_id += 1
        order.id = self.last_id
        order.by_hand = self.by_hand
        order.active_us = us + self.order_latency_us
        if self.ttl_us:
            order.expire_us = order.active_us + self.ttl_us
        desk_add(&self.desk, &order)
        record_order(&self.records, &order, us, PLACE, COVERED)
        return COVERED

    # ------------------------------------------------------------------ orders from outside

    def place(self, int64_t side, int64_t ticks, int64_t lots, int64_t kind) -> int:
        """Send an order now, beside those of the quote model; return its id, 0 where a SKIP row says why not."""
        self.by_hand = True
        reason = self.send(self.now_us, side, 0 if kind == MARKET else ticks, lots, kind, COVERED)
        self.by_hand = False
        return self.last_id if reason == COVERED else 0

    def cancel(self, int64_t order_id) -> bool:
        """Ask for a cancel now; return False where no such order is open or its cancel is on its way."""
        cdef Order* order = desk_find(&self.desk, order_id)
        if order is NULL or order.cancel_req_us != NEVER:
            return False
        self.ask_cancel(order - self.desk.orders, self.now_us, ASKED)
        return True

    def amend(self, int64_t order_id, int64_t lots) -> bool:
        """Ask for fewer lots in all; return False where that cannot be, or an amendment is on its way."""
        cdef Order* order = desk_find(&self.desk, order_id)
        if order is NULL or order.amend_us != NEVER:
            return False
        if not order.placed_lots - order.lots < lots < order.placed_lots or lots % self.step_lots:
            return False
        order.amend_us = max(self.now_us + self.order_latency_us, order.active_us)
        order.amend_lots = lots
        if order.status != SENT:
            self.desk.next_message_us = min(self.desk.next_message_us, order.amend_us)
        return True

    # ------------------------------------------------------------------ counters and the journal

    cdef void watch_sides(self, int64_t us) noexcept nogil:
        """Count the time during which the book is valid and we rest on both sides."""
        cdef bint both = self.valid and self.desk.resting[0] and self.desk.resting[1]
        if both and self.two_sided_since_us == NEVER:
            self.two_sided_since_us = us
        elif not both and self.two_sided_since_us != NEVER:
            self.two_sided_us += us - self.two_sided_since_us
            self.two_sided_since_us = NEVER

    def journal(self) -> Journal:
        """Hand over the tables without a copy; the engine starts new ones."""
        cdef int64_t i
        expected = self.expected_fills
        if self.fills.draws:
            for i in range(self.desk.open):
                if self.desk.orders[i].status != SENT:
                    expected += self.fills.expected(&self.desk.orders[i], self.now_us)
        valid_us = self.valid_us + (self.now_us - self.valid_since_us if self.valid and self.begun else 0)
        two_sided_us = self.two_sided_us
        if self.two_sided_since_us != NEVER:
            two_sided_us += self.now_us - self.two_sided_since_us
        counters = {
            "first_us": self.begun_us if self.begun else -1,
            "last_us": self.now_us,
            "valid_us": valid_us,
            "invalid_us": self.now_us - self.begun_us - valid_us if self.begun else 0,
            "two_sided_us": two_sided_us,
            "events": self.events_played,
            "rows": self.rows_played,
            "expected_fills": expected if self.fills.has_intensity else None,
        }
        return Journal(
            orders=handed(&self.records.orders),
            fills=handed(&self.records.fills),
            state=handed(&self.records.state),
            mids=handed(&self.records.mids),
            fill_reasons=(*self.fills.reasons, "taker:book"),
            counters=counters,
        )
