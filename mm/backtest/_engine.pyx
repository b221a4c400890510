# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The engine: the event loop of a market, an order manager and its venue; docs/engine.md specifies it.

Three objects share the work. The `OrderManager` decides what to send, the `PaperVenue` executes it, and the engine
orders events, our messages and timers in time. Everything between ``advance`` or ``feed`` and the models runs
without the interpreter. ``paper_exchange.py`` is its Python interface, ``tests/oracle.py`` its reference in Python.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t

from mm.backtest._event_buffer cimport EventBuffer
from mm.backtest._local_book cimport (
    LocalBook, Received, local_book_close, local_book_gap, local_book_move, local_book_open, local_book_receive,
    next_received, print_of, received_best, received_open,
)
from mm.backtest._order_manager cimport (
    OrderManager, grid_from, is_settled, look_at_best, next_after, pass_requotes, run_timers,
)
from mm.backtest._own_orders cimport OpenOrders, OwnOrders
from mm.backtest._paper_venue cimport (
    ALWAYS, PaperVenue, find_last_print, hits, is_plain, matters, move, move_past, move_reaches, nearest, show_levels,
    take_columns, take_fed, take_moves, take_rows, take_tops, unreached,
)
from mm.backtest._records cimport Table, handed, handed_log
from mm.backtest._venue cimport Touch, centre_book
from mm.backtest.fills.base cimport BEST_PRICES, NEVER, SENT, WHOLE_BOOK, FillModel, Top, Trade
from mm.backtest.quotes.base cimport QuoteModel
from mm.signals.signal_set cimport SignalSet
from mm.tape._book cimport book_move, book_open
from mm.tape._kinds cimport DEPTH, GAP, KEYFRAME, TRADE

from typing import TYPE_CHECKING

from mm.backtest.journal import Journal
from mm.backtest.rules import Rules
from mm.tape.top_of_book import BestPrices

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mm.backtest.live_feed import FeedEvent
    from mm.tape.book_rows import BookRows
    from mm.tape.feed import ExchangePrices, Feed
    from mm.tape.level_changes import LevelIndex
    from mm.tape.tape import Tape


cdef int64_t MANY_EVENTS = 1 << 12      # number of events from which old ones are removed
cdef object OWN_AHEAD = frozenset({"own_bid_ahead", "own_ask_ahead"})   # signals of our queue positions at each requote


@cython.final
cdef class Engine:
    """One paper exchange: a market, a venue in it, and an order manager that trades there.

    Args:
        quotes: The quote model.
        fills: The fill model.
        rules, keeps_orders: ``mm.backtest.rules.Rules``, and whether the journal has the rows of orders.
    """

    cdef readonly OrderManager manager
    cdef QuoteModel quotes
    cdef FillModel fills
    cdef PaperVenue venue
    cdef LocalBook local                # the local (delayed) market
    cdef object received_from           # owner of its columns
    cdef bint lags                      # whether the exchange is ahead of it
    cdef SignalSet signals              # read by the quote model, else None
    cdef bint signalled                 # whether there are any
    cdef int64_t signal_event           # the next event for them, in the order of receipt
    cdef bint plain_view                # whether the quote model needs only the best prices of the venue
    cdef bint interpreted               # whether a model is in Python
    cdef EventBuffer buffer             # of a feed, else None
    cdef bint limited                   # whether there are risk limits, which depend on the clock
    cdef int64_t begun_us
    cdef int64_t played_us              # everything up to here has been played
    cdef int64_t events_played, rows_played
    cdef int64_t next_print             # first event received whose print was not yet passed to the quote model

    def __init__(self, quotes: QuoteModel, fills: FillModel, rules: Rules, keeps_orders: bool = True) -> None:
        self.quotes, self.fills = quotes, fills
        self.venue = PaperVenue(OwnOrders(rules, keeps_orders), fills, rules)
        self.venue.shows_levels = quotes.looks == WHOLE_BOOK
        self.manager = OrderManager(quotes, self.venue, rules)
        self.signals, self.signalled = self.manager.signals, self.manager.signals is not None
        self.limited = rules.risk is not None
        self.interpreted = fills.interpreted or quotes.interpreted or (self.signalled and self.signals.interpreted)
        self.interpreted |= self.venue.signalled and self.venue.signals.interpreted
        self.played_us = -1

    def __dealloc__(self) -> None:
        local_book_close(&self.local)

    @property
    def needs_depth(self) -> bool:
        """Whether a model reads more of the book than the best prices and their lots."""
        whole = self.quotes.looks == WHOLE_BOOK or self.fills.looks == WHOLE_BOOK
        # A decision records the number of its last event; signals need the whole book.
        return whole or self.manager.decides or self.signalled

    @property
    def side_files(self) -> tuple[str, ...]:
        """Files that models need with best prices and trades, as attributes of a tape; empty if they need more."""
        if self.manager.decides or self.signalled or self.venue.signalled:
            return ()
        if self.quotes.looks < WHOLE_BOOK:
            ahead = self.quotes.needs_own_orders or not OWN_AHEAD.isdisjoint(self.quotes.signals)
            return ("levels",) if self.fills.by_levels and not ahead else ()
        # Orders that take may rest at prices that cross the book: each of its changes is then a chance to fill.
        return ("book_rows",) if self.fills.looks == BEST_PRICES and not self.fills.needs_book else ()

    @property
    def decisions(self) -> int:
        """Number of requotes recorded since the journal was last handed over."""
        return self.venue.orders.records.decisions.rows

    @property
    def now_us(self) -> int:
        """The instant that has been played up to."""
        return self.venue.now_us

    @property
    def best(self) -> tuple[int, int, int, int]:
        """Current best bid and ask in ticks, and the lots at each; 0 for none, all 0 without a valid book."""
        cdef const Top* top = &self.venue.touch.top
        if not self.venue.touch.valid:
            return 0, 0, 0, 0
        return top.bid_ticks, top.ask_ticks, top.bid_lots, top.ask_lots

    @property
    def inventory_lots(self) -> int:
        """Our inventory, in lots."""
        return self.venue.orders.account.inventory_lots

    def pay(self, funding_e8: int) -> None:
        """Book the funding of our position at the current instant, 1e-8 of the quote asset; below 0: received."""
        self.venue.orders.paid(self.venue.now_us, funding_e8)

    def settle(self) -> None:
        """Update the levels of the book, or looked-up queue positions, to the current instant."""
        show_levels(self.venue, self.venue.next_event)
        if self.venue.by_levels:
            self.venue.queue.settle(&self.venue.orders.open, &self.venue.touch.top)

    def fills_from(self, first: int) -> list[tuple[int, int, int, int, int]]:
        """Return the fills since the journal was last handed over, from row *first* on.

        Each is instant, order id, side, ticks, lots.
        """
        cdef Table* table = &self.venue.orders.records.fills
        cdef int64_t* row
        cdef int64_t at
        found = []
        for at in range(first, table.rows):
            row = table.cells + at * table.width
            found.append((row[0], row[1], row[2], row[3], row[4]))
        return found

    def attach(
        self,
        tape: Tape,
        lo_ticks: int,
        hi_ticks: int,
        joins: bool,
        feed: Feed | None,
        levels: LevelIndex | None = None,
        ahead: ExchangePrices | None = None,
        rows: BookRows | None = None,
    ) -> None:
        """Attach *tape* to be played next; it has passed ``Tape.check``.

        Args:
            tape: The tape; its arrays are read, not copied.
            lo_ticks, hi_ticks: Price range that its book should store densely.
            joins: Whether its book continues that of the last tape; else a GAP is inserted.
            feed: The tape in the exchange's order (``mm.tape.feed.Feed``), or None for the order of receipt.
            levels: The changes of each level of the whole tape, if *tape* is its best prices; see `side_files`.
            ahead: The best prices in the exchange's order, if *tape* is its best prices and there is a *feed*.
            rows: The rows of its books, if *tape* is its best prices; see `side_files`.
        """
        cdef PaperVenue venue = self.venue
        market = tape if ahead is None else ahead
        self.end_events(joins, lo_ticks, hi_ticks)
        venue.by_levels = levels is not None
        if venue.by_levels:
            venue.queue.begin_tape(market, levels, &venue.happened, &venue.orders.open, &venue.printed)
        self.buffer = None
        self.lags, venue.lagging = feed is not None, feed is not None and ahead is None
        venue.event_us = feed.clock_us if venue.lagging else market.event_us
        venue.sequence = feed.sequence if venue.lagging else None
        take_columns(venue, market)
        venue.start_us = tape.start_us
        venue.best_only = isinstance(market, BestPrices)
        take_rows(venue, tape, rows)
        take_tops(venue, tape)
        plain_fills = self.fills.looks == BEST_PRICES or venue.by_levels
        # If the exchange is ahead, the quote model reads the local (delayed) market.
        plain_quotes = self.quotes.looks == BEST_PRICES or self.lags or venue.paged
        venue.on_best_prices = venue.best_only and plain_fills and plain_quotes
        if venue.best_only:
            take_moves(venue, market)
            if tape.high_ticks:
                venue.mean.low_ticks = min(venue.mean.low_ticks, tape.low_ticks) or tape.low_ticks
                venue.mean.high_ticks = max(venue.mean.high_ticks, tape.high_ticks)
        self.received_from = tape
        received_open(
            &self.local.received, tape.event_us, tape.kind, tape.first_row, tape.row_side, tape.row_ticks, tape.row_lots,
            tape.event_id,
        )
        self.local.received.events = venue.events
        if venue.best_only:
            by_moves = self.quotes.looks == BEST_PRICES and not self.quotes.follows_prints
            received_best(&self.local.received, tape, by_moves)
        if self.lags:
            local_book_open(&self.local, lo_ticks, hi_ticks)
        self.begin_events()

    def feed(self, events: Iterable[FeedEvent]) -> None:
        """Play *events*, one or many, and before each our due actions; none is played if one is rejected.

        Actions due after the market of the last instant wait, as more events of that instant may follow.

        Raises:
            UsageError: If one is not a valid event, or is before the played instant.
        """
        cdef EventBuffer buffer = self.buffer
        if buffer is None:
            buffer = EventBuffer()
        cdef int64_t played = buffer.events
        buffer.extend(events, self.played_us)
        if buffer.events == played:
            return
        if self.buffer is None:
            self.end_events(False, 0, 1)
            self.buffer, self.lags = buffer, False
            take_fed(self.venue, buffer.event_us[0])
            self.begin_events()
        self.point_to(buffer)
        if self.interpreted:
            self.play(self.venue, self.manager, NEVER)
        else:
            with nogil:
                self.play(self.venue, self.manager, NEVER)
        if self.venue.next_event >= MANY_EVENTS:
            self.drop_spent(buffer)
        centre_book(&self.venue.book)

    cdef int end_events(self, bint joins, int64_t lo_ticks, int64_t hi_ticks) except -1:
        """Finish the current events before the next tape or feed; open the book, or move it to a price range."""
        venue = self.venue
        if venue.by_levels:
            venue.queue.settle(&venue.orders.open, &venue.touch.top)
        if venue.opened:
            self.receive(venue.now_us)
            self.show_prints(venue, venue.now_us)
        self.next_print = 0
        self.note_received()
        if self.signalled:
            self.end_signals(joins)
        if venue.filters.percent:
            venue.average(venue.now_us)
        if not venue.opened:
            book_open(&venue.book, lo_ticks, hi_ticks)
            venue.opened = True
            return 0
        if joins:
            show_levels(venue, venue.next_event)
        else:
            venue.on_gap(venue.now_us, 0)
            local_book_gap(&self.local)
        best_bid, best_ask = venue.book.best_bid, venue.book.best_ask
        book_move(&venue.book, lo_ticks, hi_ticks)
        if venue.by_levels and joins:
            venue.queue.restore(&venue.book, &venue.printed)
            book_move(&venue.book, lo_ticks, hi_ticks)  # as the levels may have changed the best prices
        elif venue.on_best_prices:  # then there are no levels behind the best prices of the previous tape
            venue.book.best_bid, venue.book.best_ask = best_bid, best_ask
        self.note_last_trade()
        return 0

    cdef int begin_events(self) except -1:
        """Prepare for the new events of the venue."""
        self.venue.begin_events()
        self.local.start_us = self.venue.start_us
        self.plain_view = not (self.lags or self.signalled or self.quotes.follows_prints or self.quotes.needs_last_trade)
        repeats = self.quotes.timeless and self.manager.refresh_us == 0 and not self.limited
        if self.lags:  # other models are called each time, as on the whole tape
            repeats = repeats and self.venue.on_best_prices and self.quotes.looks == BEST_PRICES
        self.manager.repeats = repeats and not self.manager.decides
        return 0

    cdef int point_to(self, EventBuffer buffer) except -1:
        """Set the venue's events to those of a buffer, whose columns are reallocated when it grows."""
        venue = self.venue
        venue.events = self.local.received.events = buffer.events
        if buffer.changed:
            venue.event_us, venue.event_exch_us = buffer.event_us, buffer.event_exch_us
            venue.recv_seq, venue.event_id, venue.kind = buffer.recv_seq, buffer.event_id, buffer.kind
            venue.first_row, venue.row_side = buffer.first_row, buffer.row_side
            venue.row_ticks, venue.row_lots = buffer.row_ticks, buffer.row_lots
            received_open(
                &self.local.received, buffer.event_us, buffer.kind, buffer.first_row, buffer.row_side, buffer.row_ticks,
                buffer.row_lots, buffer.event_id,
            )
            buffer.changed = False
        return 0

    cdef int drop_spent(self, EventBuffer buffer) except -1:
        """Remove the events no longer needed, once they are the majority."""
        cdef int64_t spent = self.venue.spent_events()
        if 2 * spent >= buffer.events:
            self.note_last_trade()
            self.note_received()
            self.show_prints(self.venue, self.venue.now_us)
            self.next_print = max(self.next_print - spent, 0)
            if self.signalled:
                self.show_signals(NEVER)
                self.signal_event -= spent
            buffer.drop(spent)
            self.venue.drop_events(spent)
            self.venue.events = buffer.events
        return 0

    def advance(self, int64_t until_us) -> None:
        """Play everything up to and including *until_us*."""
        self.played_us = max(self.played_us, until_us)
        if self.interpreted:  # hold the GIL, rather than take it for each call of a model
            self.play_until(until_us)
        else:
            with nogil:
                self.play_until(until_us)

    # ------------------------------------------------------------------ the clock

    cdef int play_until(self, int64_t until_us) except -1 nogil:
        """Play everything up to and including an instant."""
        if until_us >= self.venue.start_us:
            self.build()
            if self.venue.on_best_prices:
                self.play_best_prices(self.venue, self.manager, until_us)
            else:
                self.play(self.venue, self.manager, until_us)
        self.catch_up(self.venue, self.manager, until_us, until_us)
        pass_requotes(self.manager, until_us + 1)
        self.venue.now_us = max(self.venue.now_us, until_us)
        self.venue.queue.passed_us = self.venue.now_us + 1
        return 0

    cdef int build(self) except -1 nogil:
        """Build the book from the events before the tape's window, without journal rows."""
        cdef int64_t event = -1, us
        if self.venue.next_event == self.venue.events or self.venue.event_us[self.venue.next_event] >= self.venue.start_us:
            self.venue.begin_window()
            return 0
        self.catch_up(self.venue, self.manager, self.venue.start_us - 1, self.venue.start_us - 1)
        pass_requotes(self.manager, self.venue.start_us)
        self.venue.begin_window()
        while self.venue.next_event < self.venue.events and (
            self.venue.event_us[self.venue.next_event] < self.venue.start_us
        ):
            event = self.venue.sequence[self.venue.next_event] if self.venue.lagging else self.venue.next_event
            us = self.venue.event_us[self.venue.next_event]
            if self.venue.kind[event] != TRADE:
                self.venue.change_book(event, us)
                self.venue.note_top(us, self.venue.recv_seq[event])
                if self.fills.draws:
                    self.fills.on_top(&self.venue.touch.top)  # the key of the first stretch may be before the window
            elif self.venue.signalled:
                self.venue.show_event(event, us)
            self.venue.next_event += 1
        self.venue.mean.first_event = self.venue.mean.next_event = self.venue.next_event
        if self.venue.touch.valid:
            if not self.venue.begun:
                self.begin(self.venue.start_us)
            self.venue.changed_event = -1
            if self.venue.by_levels:
                self.venue.queue.begin_window(self.venue.start_us)
            self.venue.on_book(self.venue.start_us, self.venue.recv_seq[event])
        if not self.lags:
            look_at_best(self.manager, &self.venue.orders.open, &self.venue.touch, self.venue.start_us)
        return 0

    cdef void begin(self, int64_t us) noexcept nogil:
        """Start the grids, at the first valid book."""
        self.venue.begun = True
        self.venue.now_us = self.begun_us = self.venue.valid_since_us = us
        # Without a model that reads it, the volatility is not sampled.
        self.manager.begin(us, self.lags and self.quotes.interpreted or not self.quotes.timeless)

    cdef int play(self, PaperVenue venue, OrderManager manager, int64_t until_us) except -1 nogil:
        """Play the events up to *until_us*, and before each our due actions.

        *venue* and *manager* are those of the engine, here and below: as arguments they stay in registers.
        """
        cdef OpenOrders* open = &venue.orders.open
        cdef int64_t position = venue.next_event, passed, event, us, due_us
        while position < venue.events:
            us = venue.event_us[position]
            if us > until_us:
                break
            due_us = self.next_due(venue, manager, open)
            if us >= due_us:
                due_us = self.catch_up(venue, manager, us, us - 1)
            if venue.passes_over and venue.begun and not manager.decides:
                passed = venue.pass_over(self.fills, min(due_us - 1, until_us))
                if passed:
                    pass_requotes(manager, venue.now_us)
                    if not self.lags:
                        look_at_best(manager, open, &venue.touch, venue.now_us)
                    self.events_played += passed
                    self.rows_played += venue.first_row[position + passed] - venue.first_row[position]
                    position += passed
                    continue
            event = venue.sequence[position] if venue.lagging else position
            self.apply_event(venue, manager, event, us, position == venue.first_event)
            if manager.awaits_best and not self.lags:
                look_at_best(manager, open, &venue.touch, us)
            if manager.decides:
                manager.input_seq = max(manager.input_seq, venue.recv_seq[event])
            if venue.kind[event] != KEYFRAME:
                self.rows_played += venue.first_row[event + 1] - venue.first_row[event]
            self.events_played += 1
            position += 1
            venue.next_event = position
        return 0

    cdef int play_best_prices(self, PaperVenue venue, OrderManager manager, int64_t until_us) except -1 nogil:
        """Play in the same way, but skip events that change no best price and reach no order of ours.

        Prints before the next move are not read if none reaches our orders: *position* stays before them, and events
        before *behind_us* are skipped once the position is needed again.
        """
        cdef const int64_t* event_us = &venue.event_us[0]
        cdef const int64_t* reach = &venue.reach[0]
        cdef OpenOrders* open = &venue.orders.open
        cdef int64_t position = venue.next_event, begin = position, events = venue.events, due_us, behind_us = 0, us
        cdef bint plain = is_plain(venue)
        cdef bint skips = not venue.filters.percent  # their mean price needs every print
        cdef bint lags = self.lags  # then requotes depend on receive times
        cdef int32_t sell = nearest(venue, 0), buy = nearest(venue, 1)
        due_us = self.next_due(venue, manager, open)
        while True:
            if until_us < due_us:
                due_us = until_us + 1
            if skips and unreached(venue, sell, buy):
                us = venue.move_us[venue.next_move]
                if us < due_us:
                    position = venue.move_event[venue.next_move]
                    if plain and not move_reaches(venue, open):
                        pass_requotes(manager, us)
                        venue.now_us = us
                        move_past(venue, us)
                        position += 1
                        if not lags:
                            look_at_best(manager, open, &venue.touch, us)
                            due_us = min(due_us, min(manager.next_requote_us, open.follow_us) + 1)
                        continue
            else:
                while position < events and event_us[position] < behind_us:
                    position += 1
                while position < events and event_us[position] < due_us and not (
                    hits(<int32_t> reach[position], sell, buy) and matters(venue, position)
                ):
                    position += 1
                us = event_us[position] if position < events else NEVER
            venue.next_event = position
            if us >= due_us:
                if due_us > until_us or us == NEVER:
                    break
                behind_us = due_us
                due_us = self.catch_up(venue, manager, due_us, due_us - 1)
                sell, buy = nearest(venue, 0), nearest(venue, 1)
                continue
            if <int32_t> reach[position] != ALWAYS:  # a print that has filled an order
                pass_requotes(manager, us)
            elif plain and venue.kind[position] == DEPTH and not move_reaches(venue, open):
                pass_requotes(manager, us)
                venue.now_us = us
                move(venue, us)
                position += 1
                if not lags:
                    look_at_best(manager, open, &venue.touch, us)
                    # Of all due instants, best prices move only requotes.
                    due_us = min(due_us, min(manager.next_requote_us, open.follow_us) + 1)
                continue
            else:
                self.apply_event(venue, manager, position, us, position == venue.first_event)
                if not lags:
                    look_at_best(manager, open, &venue.touch, us)
            position += 1
            due_us = self.next_due(venue, manager, open)
            sell, buy = nearest(venue, 0), nearest(venue, 1)
        while position < venue.events and event_us[position] <= until_us:
            position += 1
        venue.next_event = position
        if position > begin:
            venue.now_us = max(venue.now_us, event_us[position - 1])
        self.events_played += position - begin
        self.rows_played += venue.first_row[position] - venue.first_row[begin]
        return 0

    cdef inline int apply_event(
        self, PaperVenue venue, OrderManager manager, int64_t event, int64_t us, bint first
    ) except -1 nogil:
        """Apply an event of the market; *first*: it is the first event of all."""
        cdef int kind = venue.kind[event]
        pass_requotes(manager, us)
        venue.now_us = us
        if kind == TRADE:
            venue.on_trade(event, us)
        elif kind == GAP:
            venue.next_move += 1
            venue.on_gap(us, venue.recv_seq[event])
        elif kind != KEYFRAME or first:
            venue.change_book(event, us)
            if not venue.begun:
                self.begin(us)
            venue.on_book(us, venue.recv_seq[event] if self.fills.draws else -1)  # needed only as a key of draws
        else:
            venue.next_move += 1
            if venue.on_best_prices:
                self.rows_played -= venue.first_row[event + 1] - venue.first_row[event]
        return 0

    cdef int64_t catch_up(
        self, PaperVenue venue, OrderManager manager, int64_t messages_us, int64_t after_us
    ) except -1 nogil:
        """Execute our due actions: messages up to *messages_us*, actions after the market up to *after_us*.

        Returns the new result of `next_due`.
        """
        cdef OpenOrders* open = &venue.orders.open
        cdef int64_t message_us, us
        cdef bint settled
        cdef Touch* known
        while True:
            message_us = open.next_message_us
            settled = is_settled(manager, open, &self.local.touch.top if self.lags else &venue.touch.top)
            us = self.next_own(manager, open, settled)
            if manager.awaits_best:
                us = min(us, self.next_best_change())
            if message_us <= messages_us and message_us <= us:
                pass_requotes(manager, message_us)
                venue.now_us = max(venue.now_us, message_us)
                venue.queue.passed_us = max(venue.queue.passed_us, message_us)
                venue.deliver(message_us)
            elif us <= after_us:
                pass_requotes(manager, us)
                venue.now_us = us
                venue.queue.passed_us = us + 1
                if us == open.next_due_us:
                    venue.fill_due(us)
                    settled = is_settled(manager, open, &venue.touch.top)
                known = &venue.touch if self.plain_view else self.received(us)
                if self.lags:
                    settled = is_settled(manager, open, &known.top)
                if self.limited:
                    self.note_received()
                if venue.shows_levels and not settled:
                    show_levels(venue, venue.next_event)
                run_timers(manager, open, us, settled, known)
            else:
                return min(message_us, us if us == NEVER else us + 1)

    cdef inline int64_t next_own(self, OrderManager manager, const OpenOrders* open, bint settled) noexcept nogil:
        """Return the result of `next_after`, or the first requote of the grid after new best prices are received."""
        cdef int64_t us = next_after(manager, open, settled)
        if self.lags and settled:
            us = min(us, grid_from(manager, next_received(&self.local)))
        return us

    cdef inline int64_t next_due(self, PaperVenue venue, OrderManager manager, const OpenOrders* open) noexcept nogil:
        """Return the first instant at which one of our actions precedes the market."""
        cdef bint settled = is_settled(manager, open, &self.local.touch.top if self.lags else &venue.touch.top)
        cdef int64_t after = self.next_own(manager, open, settled)
        if manager.awaits_best:
            after = min(after, self.next_best_change())
        return min(open.next_message_us, after if after == NEVER else after + 1)

    cdef Touch* received(self, int64_t us) except NULL nogil:
        """Return the local (delayed) market at an instant, after passing its prints to the quote model."""
        self.receive(us)
        if not self.local.received.by_moves:
            self.note_last_trade()
            self.show_prints(self.venue, us)
        if self.signalled:
            self.show_signals(us)
        return &self.local.touch if self.lags else &self.venue.touch

    cdef int show_signals(self, int64_t us) except -1 nogil:
        """Update the signals with the events received by an instant."""
        cdef int64_t event, row
        while self.signal_event < self.venue.events and self.local.received.us[self.signal_event] <= us:
            event = self.signal_event
            self.signal_event += 1
            row = self.venue.first_row[event]
            self.signals.take(
                self.venue.kind[event], self.local.received.us[event], self.venue.recv_seq[event],
                &self.venue.row_side[row], &self.venue.row_ticks[row], &self.venue.row_lots[row],
                self.venue.first_row[event + 1] - row,
            )
        return 0

    cdef int end_signals(self, bint joins) except -1:
        """Update the signals with the remaining played events, and a gap unless the next events continue."""
        self.show_signals(self.venue.now_us)
        self.signal_event = 0
        if not joins:
            self.signals.take(GAP, self.venue.now_us, -1, NULL, NULL, NULL, 0)
        return 0

    cdef inline int64_t next_best_change(self) noexcept nogil:
        """Return the receive time of the next event that may change best prices if the exchange is ahead, else NEVER."""
        return next_received(&self.local) if self.lags else NEVER

    cdef int receive(self, int64_t us) except -1 nogil:
        """Update the local book to the events received by an instant, if it lags."""
        if self.lags and self.venue.events and us >= self.venue.start_us:
            if self.local.received.by_moves:
                local_book_move(&self.local, self.venue, self.manager, us)
            else:
                local_book_receive(&self.local, self.venue, self.manager, us)
        return 0

    cdef void note_received(self) noexcept nogil:
        """Set the receive time of the feed's last message; a keyframe counts only as the first event."""
        cdef const Received* received = &self.local.received
        cdef int64_t event = (self.local.next_event if self.lags else self.venue.next_event) - 1
        while event > 0 and received.kind[event] == KEYFRAME:
            event -= 1
        if event >= 0 and self.lags:
            self.local.touch.market_us = received.us[event]
        elif event >= 0:
            self.venue.touch.market_us = received.us[event]

    cdef void note_last_trade(self) noexcept nogil:
        """Set the last print of these events in the view, if the model needs it; before the first, the old one stays."""
        cdef int64_t event = self.local.last_trade_event if self.lags else self.venue.last_trade_event
        if not self.quotes.needs_last_trade:
            return
        if self.venue.paged:
            find_last_print(self.venue, &self.manager.view.last_trade)
        elif event >= 0:
            self.manager.view.last_trade = print_of(&self.local.received, event)

    cdef int show_prints(self, PaperVenue venue, int64_t us) except -1 nogil:
        """Pass the new prints received by an instant to a quote model that follows prints."""
        cdef const Received* received = &self.local.received
        cdef int64_t event = self.next_print
        cdef Trade trade
        if not self.quotes.follows_prints:
            return 0
        while event < received.events and received.us[event] <= us:
            if received.kind[event] == TRADE and received.us[event] >= venue.start_us:
                trade = print_of(received, event)
                self.quotes.on_print(&trade)
            event += 1
        self.next_print = event
        return 0

    # ------------------------------------------------------------------ the journal

    def journal(self) -> Journal:
        """Return the tables without a copy; the engine starts new ones."""
        cdef int64_t i
        cdef OwnOrders orders = self.venue.orders
        cdef PaperVenue venue = self.venue
        for i in range(orders.open.count):
            orders.open.orders[i].row = -1
        expected = venue.expected_fills
        if self.fills.draws:
            for i in range(orders.open.count):
                if orders.open.orders[i].status != SENT:
                    expected += self.fills.expected(&orders.open.orders[i], venue.now_us)
        valid_us = venue.valid_us + (venue.now_us - venue.valid_since_us if venue.touch.valid and venue.begun else 0)
        since_us = venue.now_us if venue.two_sided_since_us == NEVER else venue.two_sided_since_us
        counters = {
            "first_us": self.begun_us if venue.begun else -1,
            "last_us": venue.now_us,
            "valid_us": valid_us,
            "invalid_us": venue.now_us - self.begun_us - valid_us if venue.begun else 0,
            "two_sided_us": venue.two_sided_us + venue.now_us - since_us,
            "events": self.events_played,
            "rows": self.rows_played,
            "expected_fills": expected if self.fills.has_intensity else None,
        }
        return Journal(
            orders=handed_log(&orders.records),
            fills=handed(&orders.records.fills),
            state=handed(&orders.records.state),
            mids=handed(&orders.records.mids),
            fill_reasons=(*self.fills.reasons, "taker:book"),
            counters=counters,
            decisions=handed(&orders.records.decisions) if self.manager.decides else None,
            breaches=handed(&orders.records.breaches) if self.limited else None,
            killed=self.manager.killed(),
        )
