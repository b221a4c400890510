# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The engine: plays a tape against a quote model and a fill model; docs/engine.md specifies it.

Here are the clock, the requotes and the orders we send; ``_venue.pyx`` is what they meet. Everything between
``advance`` and the models runs without the interpreter. ``paper_exchange.py`` is its Python face,
``tests/oracle.py`` its plain twin.
"""

cimport cython
from libc.math cimport NAN, isnan
from libc.stdint cimport int32_t, int64_t, uint32_t

from mm.backtest._account cimport notional_e16, wide
from mm.tape._book cimport book_move, book_open
from mm.tape._kinds cimport DEPTH, GAP, KEYFRAME, TRADE
from mm.backtest._latency cimport OF_AMEND, OF_CANCEL, OF_ORDER, Latency, latency_us
from mm.backtest._order_count cimport order_count_reason
from mm.backtest._orders cimport desk_add, desk_blank, desk_current, desk_find, new_order, slot_of
from mm.backtest._records cimport ASKED, CANCEL_REQ, COVERED, MAX_NOTIONAL, MIN_NOTIONAL, PLACE, PRICE_NOT_POSITIVE
from mm.backtest._records cimport ORDER_LIMIT_10S, PRICE_REJECTED, QUANTITY_BELOW_STEP, QUANTITY_OUT_OF_RANGE, QUOTE_MOVED, QUOTE_WITHDRAWN, REFRESH, SKIP
from mm.backtest._records cimport handed, handed_log, record_order, record_state
from mm.backtest._refused cimport refused_again, refused_look
from mm.backtest._taker cimport taking_notional_e16
from mm.backtest._seen cimport Seen, seen_close, seen_gap, seen_open, seen_until
from mm.backtest._venue cimport ALWAYS, Venue, covered, note_mid
from mm.backtest._volatility cimport Volatility, volatility_close, volatility_open, volatility_run_sigma, volatility_sample
from mm.backtest._volatility cimport volatility_sigma
from mm.backtest.fills.base cimport BEST_PRICES, CANCELLING, LIMIT_MAKER, LIVE, MARKET, NEVER, REJECTED, SENT
from mm.backtest.fills.base cimport WHOLE_BOOK, FillModel, Order, Trade
from mm.backtest.quotes.base cimport QuoteModel, View, Want

from typing import TYPE_CHECKING

from mm.backtest.journal import Journal
from mm.backtest.rules import SIGMA_METHODS, Rules
from mm.tape.top_of_book import BestPrices

if TYPE_CHECKING:
    from mm.backtest.feed import Feed
    from mm.tape.tape import Tape

cdef int64_t SAMPLE_US = 1000000       # between two samples of the mid
cdef int64_t MOST_TICKS = 1000000000000000
cdef int64_t MOST_LOTS = 1000000000000000
cdef int64_t MOST_COUNTED = 1 << 62    # tick·lots of an order, and its notional in 1e-8


cdef inline int64_t whole_ticks(double price, int64_t side) noexcept nogil:
    """Return a price in whole ticks: a buy's rounded down, a sell's up, neither beyond ``MOST_TICKS``."""
    cdef double near = min(max(price, <double> -MOST_TICKS), <double> MOST_TICKS)
    cdef int64_t ticks = <int64_t> near
    if side > 0:
        return ticks - (<double> ticks > near)
    return ticks + (<double> ticks < near)


cdef inline bint hits(int32_t reach, int32_t sell, int32_t buy) noexcept nogil:
    """Tell whether an event matters: no print short of both, nor a change of lots alone; *buy* 0 is none."""
    return reach >= sell or <uint32_t> (reach + buy) < <uint32_t> buy


@cython.final
cdef class Engine(Venue):
    """One paper exchange: a venue, a clock, and a quote model that trades there.

    Args:
        quotes: The quote model.
        fills: The fill model.
        rules: ``mm.backtest.rules.Rules``.
    """

    cdef QuoteModel quotes
    cdef View view
    cdef int64_t asked_bid_ticks, asked_ask_ticks  # what the quote model saw when it was last asked
    cdef bint settles                   # whether it answers the same until it sees something else
    # rules
    cdef int64_t requote_us, ttl_us, refresh_us, state_us
    cdef Latency latency
    cdef const int64_t[::1] order_latencies, cancel_latencies
    cdef const double[::1] latency_rates
    cdef int64_t quote_lots
    cdef wide min_notional_e16
    cdef int64_t least_lots, most_lots      # of an order that is surely of an allowed size, and its notional
    cdef double least_notional_e16, most_notional_e16
    # clock
    cdef int64_t now_us, begun_us, next_sample_us, next_state_us, next_requote_us
    cdef Volatility volatility
    cdef Seen seen                      # the market as we know it, where it lags
    cdef int64_t events_played, rows_played
    # orders
    cdef int64_t last_id
    cdef int64_t last_active_us, last_cancel_us  # messages of one kind keep their order
    cdef int64_t second_ago             # first position of the tape within the last second
    cdef int64_t skipped[2]             # why the last requote sent nothing; sells, buys
    cdef bint by_hand                   # whether what is being sent comes from outside

    def __init__(self, quotes: QuoteModel, fills: FillModel, rules: Rules) -> None:
        self.quotes = quotes
        self.latency.order_us = rules.order_latency_us
        self.latency.cancel_us = rules.cancel_latency_us
        if rules.latencies is not None:
            self.measured(rules.latencies, rules.latency_seed)
        self.requote_us = rules.requote_us
        self.ttl_us = rules.ttl_us
        self.refresh_us = rules.refresh_us
        self.state_us = rules.state_us
        self.quote_lots = rules.quote_lots
        self.min_notional_e16 = <wide> (<int64_t> rules.min_notional_e8) * 100000000
        self.least_lots = max(self.filters.min_lots, 1)
        self.most_lots = min(self.filters.max_lots or MOST_LOTS, MOST_LOTS)
        self.least_notional_e16 = <double> self.min_notional_e16 * (1.0 + 1e-9)
        self.most_notional_e16 = <double> MOST_COUNTED * min(1e8, <double> self.account.unit_e16) * (1.0 - 1e-9)
        if self.filters.max_notional_e16:
            self.most_notional_e16 = min(self.most_notional_e16, <double> self.filters.max_notional_e16 * (1.0 - 1e-9))
        self.next_sample_us = self.next_state_us = self.next_requote_us = NEVER
        self.view.last_trade.id = -1
        self.view.sigma_ticks = self.view.run_sigma_ticks = NAN  # seen by nobody while it stays so
        self.view.quote_lots, self.view.target_lots = self.quote_lots, rules.target
        self.view.tick_lot = 1e-16 * rules.tick_e8 * rules.lot_e8
        method = SIGMA_METHODS.index(rules.sigma_method)
        volatility_open(&self.volatility, method, rules.sigma_window_s, rules.sigma_half_life_s)

    def __dealloc__(self) -> None:
        volatility_close(&self.volatility)
        seen_close(&self.seen)

    cdef int measured(self, object latencies, seed) except -1:
        """Draw latencies from measured ones."""
        self.order_latencies, self.cancel_latencies = latencies.order_us, latencies.cancel_us
        self.latency.orders, self.latency.cancels = &self.order_latencies[0], &self.cancel_latencies[0]
        self.latency.count = self.order_latencies.shape[0]
        self.latency.seed = seed
        if latencies.rate_per_s is not None:
            self.latency_rates = latencies.rate_per_s
            self.latency.rates = &self.latency_rates[0]
        return 0

    @property
    def needs_depth(self) -> bool:
        """Whether a model looks at more of the book than its best prices and the lots there."""
        return self.quotes.looks == WHOLE_BOOK or self.fills.looks == WHOLE_BOOK

    def attach(self, tape: Tape, lo_ticks: int, hi_ticks: int, joins: bool, feed: Feed | None) -> None:
        """Make *tape* what is played next; it has passed ``Tape.check``.

        Args:
            tape: The tape; its arrays are read, not copied.
            lo_ticks, hi_ticks: The window of prices that its book should hold densely.
            joins: Whether its book carries on where the last tape stopped; else a GAP is inserted.
            feed: The tape in the exchange's order (``mm.backtest.feed.Feed``), or None for the order of receipt.
        """
        if self.filters.percent:
            self.average()
        self.lagging = feed is not None
        self.settles = self.quotes.timeless and self.refresh_us == 0 and not self.lagging
        if not self.opened:
            book_open(&self.book, lo_ticks, hi_ticks)
            self.opened = True
        else:
            self.know(self.now_us)
            if not joins:
                self.gap(self.now_us, 0)
                seen_gap(&self.seen)
            best_bid, best_ask = self.book.best_bid, self.book.best_ask
            book_move(&self.book, lo_ticks, hi_ticks)
            if self.skims:  # then no levels stand behind the best prices of the tape before
                self.book.best_bid, self.book.best_ask = best_bid, best_ask
            self.show_last_trade()
        if self.lagging:
            seen_open(&self.seen, lo_ticks, hi_ticks)
        self.event_us = tape.event_us if feed is None else feed.clock_us
        self.recv_us = tape.event_us
        self.sequence = None if feed is None else feed.sequence
        self.recv_seq = tape.recv_seq
        self.event_id = tape.event_id
        self.kind = tape.kind
        self.first_row = tape.first_row
        self.row_side = tape.row_side
        self.row_ticks = tape.row_ticks
        self.row_lots = tape.row_lots
        self.events = self.kind.shape[0]
        self.start_us = tape.start_us
        self.best_only = isinstance(tape, BestPrices) and not self.lagging
        self.skims = self.best_only and self.quotes.looks == BEST_PRICES and self.fills.looks == BEST_PRICES
        if self.best_only:
            self.reach = tape.reach
            self.move_event, self.move_us = tape.move_event, tape.move_us
            self.move_bid_ticks, self.move_ask_ticks = tape.move_bid_ticks, tape.move_ask_ticks
            self.move_low_ticks, self.move_high_ticks = tape.move_low_ticks, tape.move_high_ticks
            self.next_move, self.moves = 0, self.move_event.shape[0]
            if tape.high_ticks:
                self.mean.low_ticks = min(self.mean.low_ticks, tape.low_ticks) or tape.low_ticks
                self.mean.high_ticks = max(self.mean.high_ticks, tape.high_ticks)
        self.next_event = self.second_ago = self.mean.first_event = self.mean.next_event = 0
        self.mean.lots = 0
        self.mean.notional_tl = 0
        self.last_trade_event = -1

    def advance(self, int64_t until_us) -> None:
        """Play everything up to and including *until_us*."""
        if self.fills.interpreted or self.quotes.interpreted:
            self.play_until(until_us)
        else:
            with nogil:
                self.play_until(until_us)

    # ------------------------------------------------------------------ the clock

    cdef int play_until(self, int64_t until_us) except -1 nogil:
        """Play everything up to and including an instant."""
        if until_us >= self.start_us:
            self.build()
            if self.skims:
                self.skim(until_us)
            else:
                self.play(until_us)
        self.catch_up(until_us, until_us)
        self.pass_requotes(until_us + 1)
        self.now_us = max(self.now_us, until_us)
        return 0

    cdef int build(self) except -1 nogil:
        """Build the book, silently, from the events before the tape's window."""
        cdef int64_t event = -1
        if self.next_event == self.events or self.event_us[self.next_event] >= self.start_us:
            return 0
        self.catch_up(self.start_us - 1, self.start_us - 1)
        self.pass_requotes(self.start_us)
        while self.next_event < self.events and self.event_us[self.next_event] < self.start_us:
            event = self.sequence[self.next_event] if self.lagging else self.next_event
            if self.kind[event] != TRADE:
                self.change_book(event, self.event_us[self.next_event])
                self.look(self.event_us[self.next_event], self.recv_seq[event])
                if self.fills.draws:
                    self.fills.on_top(&self.top)  # what keys the first stretch may stand before the window
            self.next_event += 1
        self.mean.first_event = self.mean.next_event = self.next_event
        if self.valid:
            if not self.begun:
                self.begin(self.start_us)
            self.see(self.start_us, self.recv_seq[event])
        return 0

    cdef void begin(self, int64_t us) noexcept nogil:
        """Fix the grids at the first valid book."""
        self.begun = True
        self.now_us = self.begun_us = self.valid_since_us = self.view.begun_us = us
        self.next_state_us = self.next_requote_us = us
        if self.lagging or not self.quotes.timeless:
            self.next_sample_us = us  # else nobody asks for the volatility

    cdef int play(self, int64_t until_us) except -1 nogil:
        """Play the events of the tape up to *until_us*, and what of ours falls due before each."""
        cdef int64_t position = self.next_event, event, us
        while position < self.events:
            us = self.event_us[position]
            if us > until_us:
                break
            if us >= self.next_due():
                self.catch_up(us, us - 1)
            event = self.sequence[position] if self.lagging else position
            self.happen(event, us, position == 0)
            if self.kind[event] != KEYFRAME:
                self.rows_played += self.first_row[event + 1] - self.first_row[event]
            self.events_played += 1
            position += 1
            self.next_event = position
        return 0

    cdef int skim(self, int64_t until_us) except -1 nogil:
        """Play likewise, but pass over events that change no best price and reach no order of ours.

        Where no print before the next move reaches us, these are not even looked at: *position* stays behind then, and
        what is before *behind_us* is passed over once somebody has to know.
        """
        cdef const int64_t* event_us = &self.event_us[0]
        cdef const int64_t* reach = &self.reach[0]
        cdef int64_t position = self.next_event, begin = position, due_us = self.next_due(), behind_us = 0, us
        cdef bint plain = not self.fills.draws and not self.fills.asks_book
        cdef bint leaps = not self.filters.percent  # whose mean price asks which prints have been
        cdef int32_t sell = self.nearest(0), buy = self.nearest(1)
        while True:
            if until_us < due_us:
                due_us = until_us + 1
            if leaps and self.unreached(sell, buy):
                us = self.move_us[self.next_move]
                if us < due_us:
                    position = self.move_event[self.next_move]
                    if plain:
                        self.pass_requotes(us)
                        self.now_us = us
                        self.move(us)
                        position += 1
                        due_us = min(due_us, self.next_requote_us + 1)
                        continue
            else:
                while position < self.events and event_us[position] < behind_us:
                    position += 1
                while position < self.events and event_us[position] < due_us and not hits(<int32_t> reach[position], sell, buy):
                    position += 1
                us = event_us[position] if position < self.events else NEVER
            self.next_event = position
            if us >= due_us:
                if due_us > until_us or us == NEVER:
                    break
                behind_us = due_us
                due_us = self.catch_up(due_us, due_us - 1)
                sell, buy = self.nearest(0), self.nearest(1)
                continue
            if <int32_t> reach[position] != ALWAYS:
                self.pass_requotes(us)
                self.now_us = us
                self.reached(position, us)
            elif plain and self.kind[position] == DEPTH:
                self.pass_requotes(us)
                self.now_us = us
                self.move(us)
                position += 1
                due_us = min(due_us, self.next_requote_us + 1)  # no more than the requotes hangs on best prices
                continue
            else:
                self.happen(position, us, position == 0)
            position += 1
            due_us = self.next_due()
            sell, buy = self.nearest(0), self.nearest(1)
        while position < self.events and event_us[position] <= until_us:
            position += 1
        self.next_event = position
        if position > begin:
            self.now_us = max(self.now_us, event_us[position - 1])
        self.events_played += position - begin
        self.rows_played += self.first_row[position] - self.first_row[begin]
        return 0

    cdef inline bint unreached(self, int32_t sell, int32_t buy) noexcept nogil:
        """Tell whether surely no print before the next move reaches these prices."""
        return (
            self.next_move < self.moves
            and self.move_high_ticks[self.next_move] < sell
            and self.move_low_ticks[self.next_move] > buy
        )

    cdef inline int move(self, int64_t us) except -1 nogil:
        """Move the best prices, of which no fill model is told."""
        self.book.best_bid = self.top.bid_ticks = self.move_bid_ticks[self.next_move]
        self.book.best_ask = self.top.ask_ticks = self.move_ask_ticks[self.next_move]
        self.next_move += 1
        return note_mid(self, us)

    cdef inline int32_t nearest(self, int slot) noexcept nogil:
        """Return the price that a print must reach to be shown, of a sell or a buy of ours; past all where none is."""
        cdef bint all = not self.fills.reached_only and self.desk.resting[0] + self.desk.resting[1] > 0
        if not self.fills.asks_trade:
            return 0 if slot else ALWAYS
        if all:
            return ALWAYS if slot else 1
        return <int32_t> min(self.desk.nearest[slot], ALWAYS)

    cdef int happen(self, int64_t event, int64_t us, bint first) except -1 nogil:
        """Let an event of the market happen; *first* is the first of a tape."""
        cdef int kind = self.kind[event]
        self.pass_requotes(us)
        self.now_us = us
        if kind == TRADE:
            self.trade(event, us)
        elif kind == GAP:
            self.next_move += 1
            self.gap(us, self.recv_seq[event])
        elif kind != KEYFRAME or first:
            self.change_book(event, us)
            if not self.begun:
                self.begin(us)
            self.see(us, self.recv_seq[event] if self.fills.draws or not self.skims else -1)
        else:
            self.next_move += 1
            if self.skims:
                self.rows_played -= self.first_row[event + 1] - self.first_row[event]
        return 0

    cdef inline int64_t next_due(self) noexcept nogil:
        """Return the first instant whose market comes behind something of ours."""
        cdef int64_t after = self.next_after()
        return min(self.desk.next_message_us, after if after == NEVER else after + 1)

    cdef inline int64_t next_after(self) noexcept nogil:
        """Return the next instant of what follows the market: draws, samples, state rows, requotes that may matter."""
        cdef int64_t us = min(min(self.desk.next_due_us, self.next_sample_us), min(self.next_state_us, self.follow_us))
        return us if self.next_requote_us >= us or self.settled() else self.next_requote_us

    cdef inline bint settled(self) noexcept nogil:
        """Tell whether the quote model would answer what it answered last, and our orders are what it wanted.

        Then a requote sends nothing, and no row tells of it.
        """
        return (
            self.settles
            and not self.desk.moved
            and self.top.bid_ticks == self.asked_bid_ticks
            and self.top.ask_ticks == self.asked_ask_ticks
        )

    cdef inline void pass_requotes(self, int64_t us) noexcept nogil:
        """Leave the requotes before an instant behind: those for which all was settled."""
        if self.next_requote_us < us and us - self.next_requote_us <= self.requote_us:
            self.next_requote_us += self.requote_us
        elif self.next_requote_us < us:
            self.next_requote_us += (us - self.next_requote_us + self.requote_us - 1) // self.requote_us * self.requote_us

    cdef int64_t catch_up(self, int64_t messages_us, int64_t after_us) except -1 nogil:
        """Let happen what of ours is due: messages up to one instant, the rest up to another.

        Returns:
            What `next_due` does then.
        """
        cdef int64_t message_us, us
        while True:
            message_us = self.desk.next_message_us
            us = self.next_after()
            if message_us <= messages_us and message_us <= us:
                self.pass_requotes(message_us)
                self.now_us = max(self.now_us, message_us)
                self.deliver(message_us)
            elif us <= after_us:
                self.pass_requotes(us)
                self.now_us = us
                if us == self.desk.next_due_us:
                    self.fill_due(us)
                if us == self.next_sample_us:
                    self.sample()
                if us == self.next_state_us:
                    record_state(&self.records, us, &self.account, self.desk.open)
                    self.next_state_us += self.state_us
                if us == self.next_requote_us or us == self.follow_us:
                    if not self.settled():
                        self.requote(us)
                    if us == self.follow_us:
                        self.follow_us, self.followed_us = NEVER, us
                    if us == self.next_requote_us:
                        self.next_requote_us += self.requote_us
            else:
                return min(message_us, us if us == NEVER else us + 1)

    cdef void sample(self) noexcept nogil:
        """Take a sample of the mid; one whose second lost the mid is left out."""
        cdef bint lost = self.mid_lost
        cdef int64_t mid2 = self.mid2
        if self.lagging:
            self.know(self.next_sample_us)
            lost, mid2 = self.seen.mid_lost, self.seen.mid2
        if lost:
            self.volatility.sampled_mid2 = 0
        self.mid_lost = self.seen.mid_lost = False
        volatility_sample(&self.volatility, mid2)
        self.view.run_sigma_ticks = volatility_run_sigma(&self.volatility)
        self.next_sample_us += SAMPLE_US

    # ------------------------------------------------------------------ quotes

    cdef int requote(self, int64_t us) except -1 nogil:
        """Ask the quote model, and bring our orders to what it wants."""
        cdef Want want
        if self.lagging:
            self.know(us)
        self.view.top = self.seen.top if self.lagging else self.top
        if not (self.seen.valid if self.lagging else self.valid):
            return 0
        if self.view.top.bid_ticks == 0 or self.view.top.ask_ticks == 0:
            return 0
        self.view.top.us = us
        refused_look(&self.refused[0], self.view.top.bid_ticks, self.view.top.ask_ticks)
        refused_look(&self.refused[1], self.view.top.bid_ticks, self.view.top.ask_ticks)
        if not self.quotes.timeless:
            self.view.sigma_ticks = volatility_sigma(&self.volatility)
        self.view.inventory_lots = self.account.inventory_lots
        if self.quotes.looks != BEST_PRICES:
            self.show_last_trade()
        self.view.most_lots = self.account.inventory_lots + self.desk.lots[1]
        self.view.least_lots = self.account.inventory_lots - self.desk.lots[0]
        self.view.cash = self.cash
        want.bid_ticks = want.ask_ticks = NAN
        want.bid_lots = want.ask_lots = self.quote_lots
        want.bid_kind = want.ask_kind = LIMIT_MAKER
        self.quotes.quote(&self.view, &want)
        self.reconcile(us, 1, want.bid_ticks, want.bid_lots, want.bid_kind)
        self.reconcile(us, -1, want.ask_ticks, want.ask_lots, want.ask_kind)
        self.asked_bid_ticks, self.asked_ask_ticks = self.view.top.bid_ticks, self.view.top.ask_ticks
        self.desk.moved = max(self.skipped[0], self.skipped[1]) >= ORDER_LIMIT_10S  # which time alone lifts
        return 0

    cdef int know(self, int64_t us) except -1 nogil:
        """Take note of what we have received by an instant, where the market we know lags."""
        if self.lagging and self.events and us >= self.start_us:
            seen_until(&self.seen, self, us)
        return 0

    cdef void show_last_trade(self) noexcept nogil:
        """Let the quote model see the tape's last print; before its first, the one of the tape before."""
        cdef int64_t event = self.seen.last_trade_event if self.lagging else self.last_trade_event, row
        if event >= 0:
            row = self.first_row[event]
            self.view.last_trade = Trade(
                self.recv_us[event], self.row_side[row], self.row_ticks[row], self.row_lots[row], self.event_id[event]
            )

    cdef inline int64_t travel_us(self, int message, int64_t order_id, int64_t us) noexcept nogil:
        """Return how long a message sent now takes, in view of what the market sent in the last second."""
        if self.latency.orders is NULL:
            return self.latency.cancel_us if message == OF_CANCEL else self.latency.order_us
        if self.latency.rates is not NULL:
            while self.second_ago < self.next_event and self.event_us[self.second_ago] <= us - SAMPLE_US:
                self.second_ago += 1
        return latency_us(&self.latency, message, order_id, self.next_event - self.second_ago)

    cdef int reconcile(self, int64_t us, int64_t side, double price, int64_t lots, int64_t kind) except -1 nogil:
        """Keep, cancel or replace the current order of a side; *price* NaN wants none."""
        cdef int64_t ticks = 0, i = desk_current(&self.desk, side)
        cdef int reason, slot = slot_of(side)
        cdef bint wanted = not isnan(price)
        if wanted and kind != MARKET:
            ticks = whole_ticks(price, side)
        if i >= 0:
            reason = QUOTE_MOVED if wanted else QUOTE_WITHDRAWN
            if wanted and self.desk.orders[i].ticks == ticks and self.desk.orders[i].kind == kind:
                reason = REFRESH
                if self.refresh_us == 0 or us - self.desk.orders[i].sent_us < self.refresh_us:
                    self.skipped[slot] = COVERED
                    return 0
            self.ask_cancel(i, us, reason)
        self.skipped[slot] = self.send(us, side, ticks, lots, kind, self.skipped[slot]) if wanted else COVERED
        return 0

    cdef inline int ask_cancel(self, int64_t i, int64_t us, int reason) except -1 nogil:
        """Send a cancel; it never overtakes its order."""
        cdef Order* order = &self.desk.orders[i]
        order.cancel_req_us = us
        order.cancel_us = max(max(us + self.travel_us(OF_CANCEL, order.id, us), order.active_us), self.last_cancel_us)
        if self.latency.orders is not NULL:
            self.last_cancel_us = order.cancel_us
        order.cancel_reason = reason
        if order.status == LIVE:
            order.status = CANCELLING
            self.desk.next_message_us = min(self.desk.next_message_us, order.cancel_us)
        return record_order(&self.records, order, us, CANCEL_REQ, COVERED)

    cdef inline int send(self, int64_t us, int64_t side, int64_t ticks, int64_t lots, int64_t kind, int64_t skipped) except -1 nogil:
        """Send an order, or return why not; a reason other than *skipped* leaves a row."""
        cdef Order* order = desk_blank(&self.desk)
        cdef int reason
        new_order(order, us, side, ticks, lots if self.step_lots == 1 else lots - lots % self.step_lots, kind)
        reason = COVERED if kind == LIMIT_MAKER and self.surely_sized(order) else self.unfit(order)
        if reason == COVERED:
            reason = covered(self, order, False)
        if reason == COVERED and not self.by_hand and refused_again(&self.refused[slot_of(side)], order):
            reason = PRICE_REJECTED
        if reason == COVERED:
            reason = order_count_reason(&self.order_count, us)
        if reason != COVERED:
            if reason != skipped:
                order.status = REJECTED
                record_order(&self.records, order, us, SKIP, reason)
            return reason
        self.order_count.counts[0] += 1
        self.order_count.counts[1] += 1
        self.last_id += 1
        order.id = self.last_id
        order.by_hand = self.by_hand
        order.active_us = self.last_active_us = max(us + self.travel_us(OF_ORDER, order.id, us), self.last_active_us)
        if self.ttl_us:
            order.expire_us = order.active_us + self.ttl_us
        record_order(&self.records, order, us, PLACE, COVERED)
        desk_add(&self.desk)
        return COVERED

    cdef inline bint surely_sized(self, const Order* order) noexcept nogil:
        """Tell whether price, quantity and notional are allowed, by far more than floats may be wrong."""
        cdef double notional = <double> order.ticks * <double> order.lots * <double> self.account.unit_e16
        return (
            order.ticks > 0
            and order.lots >= self.least_lots
            and order.lots <= self.most_lots
            and notional > self.least_notional_e16
            and notional < self.most_notional_e16
        )

    cdef int unfit(self, const Order* order) noexcept nogil:
        """Return why the exchange would not take an order of this price and quantity, or 0."""
        cdef wide notional = notional_e16(&self.account, order.ticks, order.lots)
        if order.kind == MARKET:
            notional = taking_notional_e16(&self.market, &self.account, order)
        if order.ticks <= 0 and order.kind != MARKET:
            return PRICE_NOT_POSITIVE
        if order.lots <= 0:
            return QUANTITY_BELOW_STEP
        if order.lots < self.filters.min_lots or (self.filters.max_lots and order.lots > self.filters.max_lots):
            return QUANTITY_OUT_OF_RANGE
        if order.lots > MOST_LOTS or <wide> order.ticks * order.lots > MOST_COUNTED:
            return QUANTITY_OUT_OF_RANGE
        if notional > <wide> MOST_COUNTED * 100000000:
            return QUANTITY_OUT_OF_RANGE
        if notional < self.min_notional_e16:
            return MIN_NOTIONAL
        if self.filters.max_notional_e16 and notional > self.filters.max_notional_e16:
            return MAX_NOTIONAL
        return COVERED

    # ------------------------------------------------------------------ orders from outside

    def place(self, int64_t side, int64_t ticks, int64_t lots, int64_t kind) -> int:
        """Send an order now, beside those of the quote model; return its id, 0 where a SKIP row says why not."""
        self.by_hand = self.desk.moved = True
        reason = self.send(self.now_us, side, 0 if kind == MARKET else ticks, lots, kind, COVERED)
        self.by_hand = False
        return self.last_id if reason == COVERED else 0

    def cancel(self, int64_t order_id) -> bool:
        """Ask for a cancel now; return False where no such order is open or its cancel is on its way."""
        cdef Order* order = desk_find(&self.desk, order_id)
        if order is NULL or order.cancel_req_us != NEVER:
            return False
        self.ask_cancel(order - self.desk.orders, self.now_us, ASKED)
        self.desk.moved = True
        return True

    def amend(self, int64_t order_id, int64_t lots) -> bool:
        """Ask for fewer lots in all; return False where that cannot be, or an amendment is on its way."""
        cdef Order* order = desk_find(&self.desk, order_id)
        if order is NULL or order.amend_us != NEVER:
            return False
        if not order.placed_lots - order.lots < lots < order.placed_lots or lots % self.step_lots:
            return False
        order.amend_us = max(self.now_us + self.travel_us(OF_AMEND, order_id, self.now_us), order.active_us)
        order.amend_lots = lots
        if order.status != SENT:
            self.desk.next_message_us = min(self.desk.next_message_us, order.amend_us)
        return True

    def ahead_lots(self, int64_t order_id) -> float | None:
        """Return the lots ahead of an order, as the fill model knows them; None where it keeps no queue of it."""
        cdef Order* order = desk_find(&self.desk, order_id)
        return None if order is NULL or isnan(order.ahead_lots) else order.ahead_lots

    # ------------------------------------------------------------------ the journal

    def journal(self) -> Journal:
        """Hand over the tables without a copy; the engine starts new ones."""
        cdef int64_t i
        for i in range(self.desk.open):
            self.desk.orders[i].row = -1
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
            orders=handed_log(&self.records.orders),
            fills=handed(&self.records.fills),
            state=handed(&self.records.state),
            mids=handed(&self.records.mids),
            fill_reasons=(*self.fills.reasons, "taker:book"),
            counters=counters,
        )
