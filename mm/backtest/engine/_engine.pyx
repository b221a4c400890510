# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The engine: the event loop of a market, an order manager and its venue; docs/specification/engine.md.

Three objects share the work. The `OrderManager` decides what to send, the `PaperVenue` executes it, and the engine
orders events, our messages and timers in time. Everything between ``advance`` or ``feed`` and the models runs
without the interpreter. ``paper_exchange.py`` is its Python interface, ``tests/oracle.py`` its reference in Python.
"""

cimport cython
from libc.stdint cimport int8_t, int64_t, uint8_t

from mm.backtest.engine._agenda cimport Agenda, agenda_hold, agenda_watch, pass_requotes, requote_from
from mm.backtest.engine._event_buffer cimport EventBuffer
from mm.backtest.engine._market cimport (
    Market, MarketStream, book_is_next, event_at, first_of, last_second, next_market_us, next_us,
    pass_trades_before, row_trade, stream_trade, trades_reach,
)
from mm.backtest.engine._order_checks cimport mean_add
from mm.backtest.engine._order_manager cimport (
    OrderManager, is_settled, look_at_best, run_timers,
)
from mm.backtest.engine._margin cimport MarginWatch
from mm.backtest.engine._own_orders cimport (
    OpenOrders, OwnOrders, new_order, order_accepted, orders_add, orders_blank, orders_find, orders_next_message,
)
from mm.backtest.engine._paper_venue cimport PaperVenue, moves_price, reaches
from mm.backtest.engine._account cimport wide
from mm.backtest.engine._risk cimport Guard, exposed_e8, lost_today_e8, numeraire_e8
from mm.backtest.engine._records cimport (
    COVERED, EPOCH_BREAK, LIQUIDATED, PLACE, Fill, Table, handed, record_order, record_state,
)
from mm.backtest.engine._taking cimport prints_add
from mm.backtest.engine._venue cimport Touch, centre_book, cover, note_top, watch_sides
from mm.backtest.fills.base cimport (
    IOC, NEEDS_DRAWS, NEEDS_LAST_TRADE, NEEDS_OWN_ORDERS, NEEDS_PRINTS, NEEDS_PYTHON, NEVER, SENT, SKIPS_DEPTH, SKIPS_LEVELS,
    SKIPS_LOTS, SKIPS_REPEATS, FillModel, Order, Top, Trade,
)
from mm.backtest.quotes.base cimport QuoteModel
from mm.signals.signal_set cimport SignalSet
from mm.tape._book cimport Book, book_apply, book_clear, book_close, book_lots_at, book_move, book_open
from mm.tape._kinds cimport DEPTH, GAP, KEYFRAME, TRADE

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mm.backtest.journal import FORCED, REJECT_REASONS, TAKEN, Journal
from mm.backtest.rules import Rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mm.backtest.engine.live_feed import FeedEvent
    from mm.tape.feed import Feed
    from mm.tape.level_changes import LevelIndex
    from mm.tape.streams import BestPrices
    from mm.tape.tape import Tape


cdef int64_t MANY_EVENTS = 1 << 12      # number of events from which old ones are removed
cdef object OWN_AHEAD = frozenset({"own_bid_ahead", "own_ask_ahead"})   # signals of our queue positions at each requote


# What a market uses of an account, as of the last instant that it played.
cdef struct Use:
    int64_t cash_tl, fees_e8, inventory_lots, buys, sells, orders, margin_us
    wide notional_e8, lost_e8           # in the numeraire
    wide day_e8                         # its equity at the start of the day, as converted then
    int64_t day_ends_us, mid2
    bint priced, killed, closed


@cython.final
cdef class Engine:
    """One paper exchange: a market, a venue in it, and an order manager that trades there.

    Args:
        rules, keeps_orders: ``mm.backtest.rules.Rules``, and whether the journal has the rows of orders.
    """

    cdef readonly OrderManager manager
    cdef QuoteModel quotes
    cdef FillModel fills
    cdef PaperVenue venue
    cdef Touch local                    # the market as received, if the exchange is ahead of it
    cdef Book local_book                # its book, if every event is visited
    cdef bint lags                      # whether the exchange is ahead of it
    cdef SignalSet signals              # read by the quote model, else None
    cdef bint signalled                 # whether there are any
    cdef bint interpreted               # whether a model is in Python
    cdef bint shows_trades              # whether the quote model reads trades
    cdef bint shows_ahead               # whether it reads the positions of our orders in an index of the levels
    cdef EventBuffer buffer             # of a feed, else None
    cdef object tape, feed_             # the tape, and its order at the exchange; else None
    cdef bint visits_trades             # whether each trade counts: for a mean price, or a fill model that follows them
    cdef bint limited                   # whether there are risk limits, which depend on the clock
    cdef int64_t played_us              # everything up to here has been played
    cdef int64_t past_events, past_rows  # of the tapes and feeds before
    # of an account with other markets
    cdef Engine after                   # the next of them, None for the last
    cdef int64_t last_us, next_us       # the end of its tape, and what `coming` returned; NEVER for none
    cdef Use used                       # what it uses of the account
    cdef Engine pair                    # whose mid converts its money to the account's numeraire; None without one
    cdef bint inverse                   # whether that mid is the quote asset per numeraire
    cdef int64_t tick_e8                # the price step of that pair

    def __init__(self, quotes: QuoteModel, fills: FillModel, rules: Rules, keeps_orders: bool = True) -> None:
        self.quotes, self.fills = quotes, fills
        self.venue = PaperVenue(OwnOrders(rules, keeps_orders), fills, rules)
        self.manager = OrderManager(quotes, self.venue, rules)
        self.signals, self.signalled = self.manager.signals, self.manager.signals is not None
        self.limited = rules.risk is not None
        self.interpreted = (fills.needs | quotes.needs) & NEEDS_PYTHON or (self.signalled and self.signals.interpreted)
        self.interpreted |= self.venue.signalled and self.venue.signals.interpreted
        self.shows_trades = (quotes.needs & (NEEDS_PRINTS | NEEDS_LAST_TRADE)) != 0
        self.visits_trades = self.venue.filters.percent or fills.needs & NEEDS_PRINTS
        self.played_us = -1

    def __dealloc__(self) -> None:
        book_close(&self.local_book)

    @property
    def needs_levels(self) -> bool:
        """Whether the fill model plays on best prices with an index of the levels."""
        return bool(self.fills.skips & SKIPS_LEVELS)

    @property
    def needs_book(self) -> bool:
        """Whether a model reads more of the book than best prices, their lots, and the levels of our own orders."""
        # A decision records the number of its last event; signals need the whole book.
        return not self.both_skip(SKIPS_DEPTH) or self.manager.decides or self.signalled or self.venue.signalled

    @property
    def needs_lots(self) -> bool:
        return not self.both_skip(SKIPS_LOTS)

    cdef bint both_skip(self, int skipped) noexcept:
        return (self.quotes.skips & skipped) != 0 and (self.fills.skips & (skipped | SKIPS_LEVELS)) != 0

    @property
    def decisions(self) -> int:
        """Since the journal was last handed over."""
        return self.venue.orders.records.decisions.rows

    @property
    def now_us(self) -> int:
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
        return self.venue.orders.account.inventory_lots

    def pass_time(self, int64_t us) -> None:
        """Play nothing before the instant."""
        self.venue.now_us = max(self.venue.now_us, us)

    def trade(self, *, trades: bool) -> None:
        """Set whether the strategy may quote from the current instant on; the time in which it may not has no market.

        Its quotes are not withdrawn.
        """
        self.venue.trades = trades
        cover(self.venue, self.venue.now_us)

    def pay(self, funding_e8: int) -> None:
        """Book the funding of our position at the current instant, 1e-8 of the quote asset; below 0: received."""
        self.venue.orders.paid(self.venue.now_us, funding_e8)

    # ------------------------------------------------------------------ margin of a contract

    def watch_margin(self, watch: MarginWatch) -> None:
        """Play the margin of our position with these marks and bounds."""
        self.venue.orders.margin, self.venue.orders.margined = watch, True

    def rewatch(self) -> None:
        agenda_watch(&self.venue.orders.open.agenda, self.venue.orders.margin.due_us())

    cdef int look_at_margin(self, int64_t us) except -1 nogil:
        """After the market and before the timers."""
        self.venue.orders.margin.pass_marks(us + 1)
        self.venue.orders.margin.due(us)
        agenda_watch(&self.venue.orders.open.agenda, self.venue.orders.margin.due_us())
        return 0

    @property
    def resting(self) -> list[tuple[int, int, int]]:
        """Side, ticks and remaining lots of our orders at the exchange, without those on their way."""
        cdef OpenOrders* open = &self.venue.orders.open
        cdef int64_t i
        found = []
        for i in range(open.count):
            if open.orders[i].status != SENT:
                found.append((open.orders[i].side, open.orders[i].ticks, open.orders[i].lots))
        return found

    @property
    def taken(self) -> list[tuple[int, int, int]]:
        """Side, ticks and lots that our orders have taken from the book since its last event."""
        cdef int64_t i
        found = []
        for i in range(self.venue.taken.used):
            found.append((self.venue.taken.rows[i].side, self.venue.taken.rows[i].ticks, self.venue.taken.rows[i].lots))
        return found

    def end_resting(self) -> None:
        """End our orders at the exchange at once, for a liquidation."""
        self.venue.end_resting(self.venue.now_us, LIQUIDATED)
        if self.venue.by_orders:
            self.venue.look_for_meets()
        watch_sides(self.venue, self.venue.now_us)

    def force(self, side: int, ticks: int, fills: Sequence[tuple[int, int, int, int]], closes: bool) -> None:
        """Record a forced order and its *fills*: ticks, lots, fee in 1e-8, and who took it (`mm.backtest.margin`).

        What the book took is gone from it; *closes* ends our trading.
        """
        cdef OwnOrders orders = self.venue.orders
        cdef OpenOrders* open = &orders.open
        cdef Order* order = orders_blank(open)
        cdef int64_t us = self.venue.now_us
        cdef Fill fill
        cdef Trade took
        new_order(order, us, side, ticks, sum([one[1] for one in fills]), IOC)
        self.manager.last_id += 1
        order.id, order.active_us, order.manual = self.manager.last_id, us, True
        record_order(&orders.records, order, us, PLACE, COVERED)
        orders_add(open, order)
        order_accepted(orders, order)
        orders.margin.settles = True
        for fill_ticks, lots, fee_e8, by in fills:
            fill.us, fill.ticks, fill.lots, fill.fee_e8 = us, fill_ticks, lots, fee_e8
            fill.reason, fill.mid2 = self.venue.taker_reason + 1 + <int64_t> by, orders.records.mid2
            if by == 0:
                took.us, took.side, took.ticks, took.lots, took.id = us, side, fill_ticks, lots, 0
                prints_add(&self.venue.taken, &took)
            orders.filled(open.count - 1, &fill, True)
        orders.margin.settles, orders.margin.closed = False, closes
        orders_next_message(open)
        watch_sides(self.venue, us)

    def settle(self) -> None:
        """Update looked-up queue positions to the current instant."""
        if self.venue.by_levels or self.venue.by_orders:
            self.show_ahead(self.venue.now_us)

    def fills_from(self, first: int) -> list[tuple[int, int, int, int, int]]:
        """From row *first* on, since the journal was last handed over: instant, order id, side, ticks, lots."""
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
        best: BestPrices | None = None,
        levels: LevelIndex | None = None,
        late_us: NDArray[np.int64] | None = None,
    ) -> None:
        """Attach *tape* to be played next; it has passed ``Tape.check``.

        Args:
            lo_ticks, hi_ticks: Price range that its book should store densely.
            joins: Whether its book continues the last tape's; else a GAP is inserted.
            feed: The tape in the exchange's order (``mm.tape.feed.Feed``), or None for the order of receipt.
            best: Its best prices, if nothing else of its books is to be read; None visits every event.
            levels: The changes of each level, if the fill model needs them beside the best prices.
            late_us: How late it is as of each event (``mm.tape.lateness``); None if it is in time, or nobody asks.
        """
        cdef PaperVenue venue = self.venue
        cdef Market* market = &venue.market
        self.end_events(joins, lo_ticks, hi_ticks)
        self.tape, self.feed_, self.buffer, self.lags = tape, feed, None, feed is not None
        owners = [point_to_columns(market, tape), point_to_late(market, late_us)]
        market.start_us = tape.start_us
        market.framed = market.events > 0 and market.kind[0] == KEYFRAME
        market.clock_us, market.sequence = market.event_us, NULL
        if feed is not None:
            owners.append(point_to_order(market, feed))
        market.best = best is not None
        if best is not None:
            owners.append(point_to_streams(market, tape, feed, best, self.needs_lots))
        venue.by_levels = levels is not None
        reads_ahead = self.quotes.needs & NEEDS_OWN_ORDERS or not OWN_AHEAD.isdisjoint(self.quotes.signals)
        self.shows_ahead = (venue.by_levels or venue.by_orders) and reads_ahead
        if venue.by_orders:
            venue.log.begin_tape(tape.orders, self.fills.reading, tape, feed, &venue.orders.open)
            venue.look_for_meets()
        if venue.by_levels:
            venue.queue.begin_tape(tape.books.at_exchange(feed), levels, market.events, &venue.orders.open)
        venue.columns = owners
        if self.lags and best is None:
            if self.local_book.bid_lots is NULL:
                book_open(&self.local_book, lo_ticks, hi_ticks)
            else:
                book_move(&self.local_book, lo_ticks, hi_ticks)
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
            self.buffer, self.lags, self.tape, self.feed_ = buffer, False, None, None
            self.venue.by_levels = self.venue.market.best = self.shows_ahead = False
            self.venue.market.start_us = buffer.event_us[0]
            self.venue.market.framed = buffer.kind[0] == KEYFRAME
            self.begin_events()
        self.point_to(buffer)
        if self.interpreted:
            self.play(self.venue, self.manager, NEVER)
        else:
            with nogil:
                self.play(self.venue, self.manager, NEVER)
        if self.venue.market.next_event >= MANY_EVENTS:
            self.drop_spent(buffer)
        centre_book(&self.venue.book)

    cdef int end_events(self, bint joins, int64_t lo_ticks, int64_t hi_ticks) except -1:
        """Finish the current events before the next tape or feed; open the book, or move it to a price range."""
        venue = self.venue
        if venue.opened:
            if self.lags:
                self.receive(venue.now_us)
            self.show_trades(venue.now_us)
            self.past_events, self.past_rows = self.counts()
        self.note_received()
        if self.signalled:
            self.end_signals(joins)
        if venue.by_levels and joins:
            pass_trades_before(&venue.market, venue.now_us + 1)
            venue.queue.pass_time(venue.now_us + 1)
            venue.queue.end_tape(&venue.orders.open, &venue.market)
        if not venue.opened:
            book_open(&venue.book, lo_ticks, hi_ticks)
            venue.opened = True
            return 0
        best_bid, best_ask = venue.book.best_bid, venue.book.best_ask
        if not joins:
            venue.on_gap(venue.now_us, 0)
            book_clear(&self.local_book)
            self.local.valid, self.local.mid2, self.local.mid_lost = False, 0, True
            self.local.top.bid_ticks = self.local.top.ask_ticks = 0  # of the last tape
            best_bid = best_ask = 0
        book_move(&venue.book, lo_ticks, hi_ticks)
        if venue.market.best:  # the book has no levels
            venue.book.best_bid, venue.book.best_ask = best_bid, best_ask
        return 0

    cdef int begin_events(self) except -1:
        cdef Market* market = &self.venue.market
        market.next_event = market.received_event = market.shown_event = market.signal_event = 0
        market.counted = market.second_ago = 0
        self.venue.begin_events()
        self.manager.repeats = self.manager.timeless
        if self.lags:  # other models are called each time, as on the whole tape
            self.manager.repeats &= market.best and (self.quotes.skips & SKIPS_LOTS) != 0
        return 0

    cdef int point_to(self, EventBuffer buffer) except -1:
        """The columns of a buffer are reallocated when it grows."""
        if buffer.changed:
            self.venue.columns = [
                point_to_columns(&self.venue.market, buffer), point_to_late(&self.venue.market, buffer.event_late_us)
            ]
            self.venue.market.clock_us, self.venue.market.sequence = self.venue.market.event_us, NULL
            buffer.changed = False
        self.venue.market.events = buffer.events
        return 0

    cdef int drop_spent(self, EventBuffer buffer) except -1:
        """Remove the events no longer needed, once they are the majority."""
        cdef Market* market = &self.venue.market
        cdef int64_t spent = market.next_event
        if self.venue.latency.rates is not NULL:
            last_second(market, self.venue.now_us)
            spent = market.second_ago
        if 2 * spent < buffer.events:
            return 0
        self.note_received()
        self.show_trades(self.venue.now_us)
        if self.signalled:
            self.show_signals(NEVER)
        buffer.drop(spent)
        market.next_event -= spent
        market.shown_event = max(market.shown_event - spent, 0)
        market.signal_event = max(market.signal_event - spent, 0)
        market.counted = max(market.counted - spent, 0)
        market.second_ago = max(market.second_ago - spent, 0)
        market.framed = False
        market.events = buffer.events
        return 0

    def advance(self, int64_t until_us) -> None:
        self.played_us = max(self.played_us, until_us)
        if self.interpreted:  # hold the GIL, rather than take it for each call of a model
            self.play_until(until_us)
        else:
            with nogil:
                self.play_until(until_us)

    # ------------------------------------------------------------------ the clock

    cdef int play_until(self, int64_t until_us) except -1 nogil:
        if until_us >= self.venue.market.start_us:
            self.build(self.venue)
            self.play(self.venue, self.manager, until_us)
        self.catch_up(self.venue, self.manager, until_us, until_us)
        pass_requotes(self.manager.agenda, until_us + 1)
        self.venue.now_us = max(self.venue.now_us, until_us)
        self.venue.past_us = self.venue.now_us + 1
        return 0

    cdef int build(self, PaperVenue venue) except -1 nogil:
        """Build the book from the events before the tape's window, without journal rows."""
        cdef Market* market = &venue.market
        cdef int64_t event = -1, us = next_market_us(market)
        if us >= market.start_us:
            return 0
        self.catch_up(venue, self.manager, market.start_us - 1, market.start_us - 1)
        pass_requotes(self.manager.agenda, market.start_us)
        while us < market.start_us:
            if market.best and not book_is_next(market):
                market.trades.next += 1
            else:
                event = self.next_book_event(market)
                if market.kind[event] != TRADE:
                    venue.change_book(event, us)
                    note_top(venue, us, market.recv_seq[event], not market.best)
                    if self.fills.needs & NEEDS_DRAWS:
                        self.fills.on_top(&venue.touch.top)  # the key of the first stretch may be before the window
                elif venue.signalled:
                    venue.show_event(event, us)
            us = next_market_us(market)
        if venue.by_levels:
            venue.queue.pass_time(market.start_us)
            venue.queue.begin_window(market.trades.next)
        if venue.touch.valid:
            if not venue.begun:
                self.begin(market.start_us)
            venue.begins_book = True
            venue.on_book(market.start_us, market.recv_seq[event])
        if not self.lags:
            look_at_best(self.manager, &venue.orders.open, &venue.touch, market.start_us)
        return 0

    cdef int64_t next_book_event(self, Market* market) noexcept nogil:
        """Pass the next event, of the stream of books if there is one; return its position in the tape."""
        if market.best:
            market.trades.next = max(market.trades.next, market.trades_stop[market.books.next])
            market.books.next += 1
            return market.books.event[market.books.next - 1]
        market.next_event += 1
        return event_at(market, market.next_event - 1)

    cdef int begin(self, int64_t us) except -1 nogil:
        """At the first valid book."""
        self.venue.begun = True
        self.venue.now_us = self.venue.begun_us = us
        cover(self.venue, us)
        # Without a model that reads it, the volatility is not sampled.
        self.manager.begin(us, self.lags and self.quotes.needs & NEEDS_PYTHON or not self.quotes.skips & SKIPS_REPEATS)
        if self.manager.agenda.driven:
            agenda_hold(self.manager.agenda)
        return 0

    cdef int play(self, PaperVenue venue, OrderManager manager, int64_t until_us) except -1 nogil:
        """The events up to *until_us*, and before each our due actions.

        *venue* and *manager* are the engine's, here and below: as arguments they stay in registers.
        """
        cdef OpenOrders* open = &venue.orders.open
        cdef Agenda* agenda = &open.agenda
        cdef Market* market = &venue.market
        cdef int64_t due_us = self.next_due(venue, manager, open), us, event
        cdef bint best = market.best, reached = True
        cdef bint lags = self.lags, plain = venue.skips_books() and not (lags or manager.decides)
        while True:
            us = self.next_event(venue, market, &reached)
            if us == NEVER or (us > until_us and (due_us > until_us or not best)):
                return 0
            if us >= due_us:
                if best:  # one instant at a time: a trade before *us* may reach our orders after it
                    due_us = self.catch_up(venue, manager, due_us, due_us - 1)
                    continue
                due_us = self.catch_up(venue, manager, us, us - 1)
            if best and reached and not book_is_next(market):
                if self.play_trades(venue, agenda, us, min(due_us - 1, until_us)):
                    due_us = self.next_due(venue, manager, open)
                continue
            if plain and moves_price(venue, market):
                pass_requotes(agenda, us)
                venue.move_price(us)
                look_at_best(manager, open, &venue.touch, us)
                due_us = min(due_us, min(agenda.requote_us, agenda.follow_us) + 1)  # it moves nothing else of ours
                continue
            event = self.next_book_event(market)
            if not best and market.kind[event] == TRADE:
                self.apply_trade(venue, agenda, row_trade(market, event, us), event)
            else:
                self.apply_book(venue, agenda, event, us)
            if not lags:
                look_at_best(manager, open, &venue.touch, us)
            if manager.decides:
                manager.input_seq = max(manager.input_seq, market.recv_seq[event])
            due_us = self.next_due(venue, manager, open)

    cdef inline int64_t next_event(self, PaperVenue venue, Market* market, bint* reached) noexcept nogil:
        """Without *reached*, trades before the market's next event matter to nobody."""
        cdef int64_t us, sell, buy
        if not market.best:
            return next_market_us(market)
        us = next_us(&market.books)
        venue.reached(&sell, &buy)
        reached[0] = self.visits_trades or trades_reach(market, sell, buy)
        if reached[0]:
            pass_trades_before(market, venue.past_us)
            us = min(us, next_us(&market.trades))
        return us

    cdef int play_trades(self, PaperVenue venue, Agenda* agenda, int64_t us, int64_t until_us) except -1 nogil:
        """Play the next trades up to the next book, or to one that fills an order of ours; return whether one did.

        *us* is the instant of the first. Most trades of a day reach none of our orders: only their prices and instants
        are read.
        """
        cdef Market* market = &venue.market
        cdef const int64_t* trade_us = market.trades.us
        cdef const int64_t* trade_ticks = market.trade_ticks
        cdef int64_t at = market.trades.next, sell, buy, ticks
        cdef bint averages = venue.filters.percent, follows = (self.fills.needs & NEEDS_PRINTS) != 0
        venue.reached(&sell, &buy)
        until_us = min(until_us, next_us(&market.books) - 1)
        while True:
            ticks = trade_ticks[at]
            if follows or not buy < ticks < sell and reaches(market.trade_side[at], ticks, sell, buy):
                market.trades.next = at + 1
                if self.apply_trade(venue, agenda, stream_trade(market, at, us), market.trades.event[at]):
                    return True
            elif averages:
                mean_add(&venue.mean, us, ticks, market.trade_lots[at], venue.filters.average_us > 0)
            at += 1
            if at == market.trades.count:
                break
            us = trade_us[at]
            if us > until_us:  # at the instant of a book, only the first trade is certain to precede it
                break
        market.trades.next = at
        venue.now_us = trade_us[at - 1]
        return False

    cdef inline int apply_trade(self, PaperVenue venue, Agenda* agenda, Trade trade, int64_t event) except -1 nogil:
        """Return whether the trade filled an order, or began a stretch of intensity."""
        pass_requotes(agenda, trade.us)
        venue.now_us = trade.us
        if venue.filters.percent:
            mean_add(&venue.mean, trade.us, trade.ticks, trade.lots, venue.filters.average_us > 0)
        return venue.on_trade(&trade, event)

    cdef inline int apply_book(self, PaperVenue venue, Agenda* agenda, int64_t event, int64_t us) except -1 nogil:
        cdef const Market* market = &venue.market
        cdef int kind = market.book_kind[market.books.next - 1] if market.best else market.kind[event]
        pass_requotes(agenda, us)
        venue.now_us = us
        if kind == GAP:
            venue.on_gap(us, market.recv_seq[event])
            return self.manager.withdraw_for(us, EPOCH_BREAK) if venue.reported else 0
        if kind == KEYFRAME and (event > 0 or not market.framed):
            return 0
        venue.change_book(event, us)
        if not venue.begun:
            self.begin(us)
        return venue.on_book(us, market.recv_seq[event] if self.fills.needs & NEEDS_DRAWS else -1)  # a key of draws

    # ------------------------------------------------------------------ a trade that is played again

    def drive(self, *, reported: bool) -> None:
        """From now on act on the market at each `step` alone; with *reported*, orders end by `report` alone."""
        self.manager.agenda.driven = True
        agenda_hold(self.manager.agenda)
        if reported:
            self.venue.report()

    def step(self, int64_t us) -> None:
        """Do all that is due by an instant, late like a live engine; events before it have been fed."""
        cdef PaperVenue venue = self.venue
        cdef Agenda* agenda = self.manager.agenda
        self.catch_up(venue, self.manager, us, us)
        venue.now_us = max(venue.now_us, us)
        venue.past_us = venue.now_us + 1
        agenda.requote_us = agenda.held_us
        self.manager.act(us, self.known(us))
        agenda_hold(agenda)
        watch_sides(venue, us)

    def terms_of(self, int64_t order_id) -> tuple[int, int, int] | None:
        cdef Order* order = orders_find(&self.venue.orders.open, order_id)
        return None if order is NULL else (order.side, order.ticks, order.lots)

    def report(self, int64_t us, str what, object given) -> None:
        """Take a report at an instant; *what* is the name of a method of a `LiveEngine`, *given* its further arguments.

        Raises:
            ValueError: If there is no such report.
        """
        cdef PaperVenue venue = self.venue
        if what == "accepted":
            venue.accepted(given[0], us)
        elif what == "rejected":
            venue.rejected(given[0], us, REJECT_REASONS.index(given[1]))
        elif what == "filled":
            if venue.orders.records.state.rows == 0:  # as a live engine: the position before it
                record_state(&venue.orders.records, us, &venue.orders.account, venue.orders.open.count)
            venue.filled(given[0], us, given[1], given[2], given[3], given[4], given[5], given[6])
        elif what == "closed":
            venue.closed(given[0], us, given[1])
        elif what == "amended":
            venue.amended(given[0], us, given[1], given[2])
        elif what == "amend_failed":
            venue.amend_failed(given[0], us, given[1], REJECT_REASONS.index(given[2]))
        elif what == "open_again":
            venue.open_again(given[0])
        elif what == "funds":
            venue.funds(given[0], given[1])
        elif what == "hold":
            venue.hold(given[0], given[1])
        elif what == "paid":
            venue.orders.paid(us, given[0])
        elif what == "transfer":
            self.manager.guard.transfer(given[0])
        elif what == "set_reached":
            venue.trades = given[0]
            cover(venue, us)
        elif what == "pull":
            venue.now_us = max(venue.now_us, us)
            self.manager.pull(given[0])
        elif what == "resume":
            self.manager.resume()
        elif what == "reduce_only":
            venue.now_us = max(venue.now_us, us)
            self.manager.reduce_only(given[0])
        elif what == "kill":
            venue.now_us = max(venue.now_us, us)
            self.manager.kill(given[0])
        else:
            raise ValueError(f"{what!r} is no report of a trade")
        watch_sides(venue, us)

    # ------------------------------------------------------------------ one account of several markets

    cdef int64_t coming(self, PaperVenue venue, OrderManager manager) noexcept nogil:
        """Return an instant before which nothing happens that other markets may notice; NEVER for none in the tape."""
        cdef OpenOrders* open = &venue.orders.open
        cdef Market* market = &venue.market
        cdef bint reached
        cdef int64_t us, first_us = next_market_us(market)
        if first_us < market.start_us and not venue.past_us > market.start_us:  # the book is not built yet
            return market.start_us if market.start_us <= self.last_us else NEVER
        us = min(self.next_action(venue, manager, open), open.agenda.message_us)
        us = min(us, self.next_event(venue, market, &reached))
        us = max(us, venue.now_us + (venue.past_us > venue.now_us))
        return us if us <= self.last_us else NEVER

    cdef int64_t soonest(self) noexcept nogil:
        return self.next_us if self.after is None else min(self.next_us, self.after.soonest())

    cdef void look_again(self, Engine changed, int64_t us) noexcept nogil:
        """Tell this market and all after it, except *changed*, that the balances have changed.

        Requotes before *us* that would have sent nothing are passed: they do not see what happened after them.
        """
        if self is not changed:
            pass_requotes(self.manager.agenda, us)
            self.manager.look_for_funds()
            self.next_us = self.coming(self.venue, self.manager)
            if self.after is not None:
                self.after.look_again(changed, us)
        elif self.after is not None:
            self.after.look_again(changed, us - 1)  # those after it play the instant after it

    cdef int play_at(self, int64_t us, Together account) except -1 nogil:
        """Play an instant in this market and those after it, in order; return why to stop, or 0."""
        cdef int why = 0
        if self.next_us <= us:
            if account.limited:
                account.show(self)
            self.play_until(us)
            why = account.note(self, self.venue.orders, self.manager.guard)
            self.next_us = self.coming(self.venue, self.manager)
        return why if self.after is None else why | self.after.play_at(us, account)

    cdef int64_t catch_up(
        self, PaperVenue venue, OrderManager manager, int64_t messages_us, int64_t after_us
    ) except -1 nogil:
        """Execute our due actions: messages up to *messages_us*, actions after the market up to *after_us*.

        Returns the new result of `next_due`.
        """
        cdef OpenOrders* open = &venue.orders.open
        cdef Agenda* agenda = &open.agenda
        cdef int64_t message_us, us
        cdef Touch* known
        while True:
            message_us = agenda.message_us
            us = self.next_action(venue, manager, open)
            if message_us <= messages_us and message_us <= us:
                pass_requotes(agenda, message_us)
                venue.now_us = max(venue.now_us, message_us)
                venue.past_us = max(venue.past_us, message_us)
                venue.deliver(message_us)
            elif us <= after_us:
                pass_requotes(agenda, us)
                venue.now_us = us
                venue.past_us = us + 1
                if us == agenda.fill_us:
                    venue.fill_due(us)
                if us == agenda.margin_us:
                    self.look_at_margin(us)
                if agenda.driven:
                    continue
                known = self.known(us)
                run_timers(manager, open, us, is_settled(manager, open, &known.top), known)
            else:
                return min(message_us, us if us == NEVER else us + 1)

    cdef inline Touch* known(self, int64_t us) except NULL nogil:
        """The market on which we act at an instant, with all that is shown of it then."""
        cdef Touch* known = self.received(us)
        if self.shows_ahead:
            self.show_ahead(us)
        if self.limited:
            self.note_received()
        return known

    cdef int show_ahead(self, int64_t us) except -1 nogil:
        """Update looked-up queue positions to an instant that has happened."""
        if self.venue.by_orders:
            self.venue.log.pass_time(us + 1)
            self.venue.log.settle(&self.venue.orders.open, self.venue.step_lots)
        else:
            self.venue.queue.pass_time(us + 1)
            self.venue.queue.settle(&self.venue.orders.open)
        return 0

    cdef inline int64_t next_action(self, PaperVenue venue, OrderManager manager, const OpenOrders* open) noexcept nogil:
        """A requote that would send nothing is passed.

        Where the exchange is ahead of us, a requote is passed only before new best prices are received.
        """
        cdef const Agenda* agenda = &open.agenda
        cdef bint settled = is_settled(manager, open, &self.local.top if self.lags else &venue.touch.top)
        cdef int64_t us = agenda.after_us if settled else min(agenda.after_us, agenda.requote_us), received_us
        if self.lags and (settled or manager.awaits_best):
            received_us = self.next_received()
            us = min(us, received_us if manager.awaits_best else requote_from(agenda, received_us))
        return us

    cdef inline int64_t next_due(self, PaperVenue venue, OrderManager manager, const OpenOrders* open) noexcept nogil:
        """The first instant at which one of our actions precedes the market."""
        cdef int64_t after = self.next_action(venue, manager, open)
        return min(open.agenda.message_us, after if after == NEVER else after + 1)

    cdef inline Touch* received(self, int64_t us) except NULL nogil:
        """The market as received at an instant, after its trades were passed to the quote model."""
        if self.lags:
            self.receive(us)
        if self.shows_trades:
            self.show_trades(us)
        if self.signalled:
            self.show_signals(us)
        return &self.local if self.lags else &self.venue.touch

    cdef int show_signals(self, int64_t us) except -1 nogil:
        cdef Market* market = &self.venue.market
        cdef int64_t event, row
        while market.signal_event < market.events and market.event_us[market.signal_event] <= us:
            event = market.signal_event
            market.signal_event += 1
            row = market.first_row[event]
            self.signals.take(
                market.kind[event], market.event_us[event], market.recv_seq[event],
                &market.row_side[row], &market.row_ticks[row], &market.row_lots[row], market.first_row[event + 1] - row,
            )
        return 0

    cdef int end_signals(self, bint joins) except -1:
        """Update the signals with the remaining played events, and a gap unless the next events continue."""
        self.show_signals(self.venue.now_us)
        if not joins:
            self.signals.take(GAP, self.venue.now_us, -1, NULL, NULL, NULL, 0)
        return 0

    cdef inline int64_t next_received(self) noexcept nogil:
        """NEVER for none."""
        cdef const Market* market = &self.venue.market
        cdef int64_t us = NEVER
        if market.best and market.books.received < market.books.count:
            us = market.books.recv_us[market.books.received]
        elif not market.best and market.received_event < market.events:
            us = market.event_us[market.received_event]
        return us if us == NEVER else max(us, market.start_us)

    cdef int receive(self, int64_t us) except -1 nogil:
        """Apply the events received by an instant to the local market, which the exchange is ahead of."""
        cdef Market* market = &self.venue.market
        cdef Book* book = &self.local_book
        cdef int64_t at, event, row
        if market.events == 0 or us < market.start_us:
            return 0
        while market.best and market.books.received < market.books.count and market.books.recv_us[market.books.received] <= us:
            at = market.books.received
            market.books.received += 1
            event = market.books.event[at]
            self.look_before(market.event_us[event], us)
            if market.kind[event] != DEPTH:
                self.local.valid = market.kind[event] != GAP
            self.local.top.ask_ticks, self.local.top.bid_ticks = market.ticks[0][at], market.ticks[1][at]
            if market.lots[0] is not NULL:
                self.local.top.ask_lots, self.local.top.bid_lots = market.lots[0][at], market.lots[1][at]
            self.note_local(market.event_us[event], us)
        while not market.best and market.received_event < market.events and market.event_us[market.received_event] <= us:
            event = market.received_event
            market.received_event += 1
            if market.kind[event] == TRADE or (market.kind[event] == KEYFRAME and event > 0):
                continue
            self.look_before(market.event_us[event], us)
            if market.kind[event] != DEPTH:
                book_clear(book)
                self.local.valid = market.kind[event] != GAP
            row = market.first_row[event]
            if market.first_row[event + 1] > row:
                book_apply(
                    book, &market.row_side[row], &market.row_ticks[row], &market.row_lots[row], market.first_row[event + 1] - row
                )
            self.local.top.bid_ticks, self.local.top.ask_ticks = book.best_bid, book.best_ask
            self.note_local(market.event_us[event], us)
        self.local.mid2 = 0
        if self.local.top.bid_ticks and self.local.top.ask_ticks:
            self.local.mid2 = self.local.top.bid_ticks + self.local.top.ask_ticks
        if not market.best:
            self.local.top.book = book
            self.local.top.bid_lots = book_lots_at(book, 1, book.best_bid) if book.best_bid else 0
            self.local.top.ask_lots = book_lots_at(book, -1, book.best_ask) if book.best_ask else 0
        if self.manager.awaits_best:
            look_at_best(self.manager, &self.venue.orders.open, &self.local, us)
        return 0

    cdef inline void look_before(self, int64_t received_us, int64_t us) noexcept nogil:
        """Notice best prices that the next book may change back; the events that build the book count as one."""
        if self.manager.awaits_best and received_us >= self.venue.market.start_us:
            look_at_best(self.manager, &self.venue.orders.open, &self.local, us)

    cdef inline void note_local(self, int64_t received_us, int64_t us) noexcept nogil:
        if self.local.top.bid_ticks == 0 or self.local.top.ask_ticks == 0:
            self.local.mid_lost = True
        self.look_before(received_us, us)

    cdef void note_received(self) noexcept nogil:
        """Set since when the market is as of the feed's last message; a keyframe counts only as the first event."""
        cdef const Market* market = &self.venue.market
        cdef int64_t us, event = (market.received_event if self.lags else market.next_event) - 1
        while event > 0 and market.kind[event] == KEYFRAME:
            event -= 1
        if event < 0:
            return
        us = market.event_us[event] - (0 if market.late_us is NULL else market.late_us[event])
        if self.lags:
            self.local.market_us = us
        else:
            self.venue.touch.market_us = us

    cdef int show_trades(self, int64_t us) except -1 nogil:
        """Pass the trades received by an instant to a quote model that reads them; not those before the window."""
        cdef Market* market = &self.venue.market
        cdef int64_t at
        if not self.shows_trades:
            return 0
        while market.best and market.trades.received < market.trades.count and (
            market.trades.recv_us[market.trades.received] <= us
        ):
            at = market.trades.received
            market.trades.received += 1
            if market.trades.recv_us[at] >= market.start_us:
                self.show_trade(stream_trade(market, at, market.trades.recv_us[at]))
        while not market.best and market.shown_event < market.events and market.event_us[market.shown_event] <= us:
            at = market.shown_event
            market.shown_event += 1
            if market.kind[at] == TRADE and market.event_us[at] >= market.start_us:
                self.show_trade(row_trade(market, at, market.event_us[at]))
        return 0

    cdef inline int show_trade(self, Trade trade) except -1 nogil:
        if self.quotes.needs & NEEDS_LAST_TRADE:
            self.manager.view.last_trade = trade
        return self.quotes.on_print(&trade) if self.quotes.needs & NEEDS_PRINTS else 0

    # ------------------------------------------------------------------ the journal

    def counts(self) -> tuple[int, int]:
        """Events played, and their rows, without those that build a window's book; a KEYFRAME has no rows."""
        if self.tape is None:
            if self.buffer is None:
                return self.past_events, self.past_rows
            return self.past_events + self.buffer.fed, self.past_rows + self.buffer.fed_rows
        tape, clock_us = self.tape, self.tape.event_us if self.feed_ is None else self.feed_.clock_us
        first, stop = np.searchsorted(clock_us, [tape.start_us, self.venue.now_us + 1]).tolist()
        stop = max(first, stop)
        if self.feed_ is None:
            frames = first + np.flatnonzero(tape.kind[first:stop] == KEYFRAME)
            rows = int(tape.first_row[stop] - tape.first_row[first])
            rows -= int((tape.first_row[frames + 1] - tape.first_row[frames]).sum())
        else:
            sequence = self.feed_.sequence
            played, rest = sequence[first:stop], np.concatenate((sequence[:first], sequence[stop:]))
            if len(rest) < len(played):  # nearly all: count those that are not
                frames = np.flatnonzero(tape.kind == KEYFRAME)
                rows = int(tape.first_row[len(sequence)] - tape.first_row[0]) - rows_at(tape, frames)
                rows -= rows_at(tape, rest[tape.kind[rest] != KEYFRAME])
            else:
                rows = rows_at(tape, played[tape.kind[played] != KEYFRAME])
        return self.past_events + stop - first, self.past_rows + rows

    def order_rows(self) -> NDArray[np.int64]:
        """Without a copy; the journal will lack these rows."""
        return handed(&self.venue.orders.records.orders)

    def journal(self) -> Journal:
        """Without a copy; the engine starts new tables."""
        cdef int64_t i
        cdef OwnOrders orders = self.venue.orders
        cdef PaperVenue venue = self.venue
        expected = venue.expected_fills
        if self.fills.needs & NEEDS_DRAWS:
            for i in range(orders.open.count):
                if orders.open.orders[i].status != SENT:
                    expected += self.fills.expected(&orders.open.orders[i], venue.now_us)
        events, rows = self.counts()
        reasons = (*self.fills.reasons, TAKEN, *(FORCED if orders.margined else ()))
        return self.manager.journal(venue.now_us, events, rows, reasons, expected if self.fills.has_intensity else None)


cdef enum Stop:
    KILLS = 1, LOSES = 2, PRICES = 4


@cython.final
cdef class Together:
    """Several markets on one clock, whose orders the same balances cover; at one instant they play in their order.

    Args:
        engines: One of each market; none has played yet.
        assets: Numbers of the base and the quote asset of each.
        bounds: Of the account: loss of a day and notional in 1e-8 of the numeraire, open orders; None for none.
        pairs: Of each market in another quote asset: its place, the place of the pair that converts it, that pair's
            price step in 1e-8, and whether its mid is inverse.
        counted: Whether the exchange's order limits count the orders of all; in a trade its gateway knows them.
    """

    cdef readonly list engines          # type: list[Engine]
    cdef Engine first
    cdef bint limited, interpreted, waits, killed
    cdef wide loss_e8, notional_e8, lost_e8
    cdef int64_t orders, bounds_e8, bound_loss_e8, bound_orders

    def __init__(
        self, engines: list[Engine], assets: list[tuple[int, int]], bounds: tuple[int | None, int | None, int | None],
        counted: bool = True, pairs: Sequence[tuple[int, int, int, bool]] = (),
    ) -> None:
        cdef Engine engine, other
        for place, by, tick_e8, inverse in pairs:
            engine = engines[place]
            engine.pair, engine.tick_e8, engine.inverse = engines[by], tick_e8, inverse
        self.engines, self.first = engines, engines[0]
        self.limited = any(bound is not None for bound in bounds)
        self.bound_loss_e8, self.bounds_e8, self.bound_orders = [-1 if bound is None else bound for bound in bounds]
        self.waits = self.bound_loss_e8 >= 0 or self.bounds_e8 >= 0
        for place, engine in enumerate(engines):
            other = engines[(place + 1) % len(engines)]
            engine.after = None if other is engines[0] else other
            engine.last_us, engine.next_us = -1, NEVER
            engine.venue.beside, engine.venue.others, engine.venue.exact = other.venue, len(engines) - 1, len(engines) > 1
            engine.venue.assets[0], engine.venue.assets[1] = assets[place]
            if counted:
                engine.venue.orders.counting = self.first.venue.orders
                engine.venue.orders.order_count = &self.first.venue.orders.own_count
            if self.limited:
                engine.manager.guard.allow((bounds[1], bounds[2]), (0, 0))
            self.interpreted |= engine.interpreted
            self.note(engine, engine.venue.orders, engine.manager.guard)

    def show_others(self, Engine engine) -> None:
        if self.limited:
            self.show(engine)

    def stepped(self, Engine engine) -> int:
        """Count what a market uses after a step; return why to stop, as in `play`."""
        return self.note(engine, engine.venue.orders, engine.manager.guard)

    def begin(self, ends_us: list[int], int64_t us) -> None:
        """Take over the end of each market's tape, -1 for none, after the instant *us* has been played."""
        cdef Engine engine
        for engine, engine.last_us in zip(self.engines, ends_us, strict=True):
            engine.venue.idle = engine.last_us < 0
        self.first.look_again(None, us + 1)
        self.again()

    def again(self) -> None:
        cdef Engine engine
        for engine in self.engines:
            self.note(engine, engine.venue.orders, engine.manager.guard)
        for engine in self.engines:
            engine.next_us = engine.coming(engine.venue, engine.manager)

    def play(self, int64_t until_us) -> tuple[int, int]:
        """Play all up to and including an instant, or to one at which the account is to be looked at.

        Returns:
            The instant that was played last, and why it stopped there: the sum of 1, a market was killed; 2, the
            account's loss is above its bound; 4, each market with a tape has had a mid. 0 at *until_us*.
        """
        cdef int64_t us = until_us
        cdef int why
        if self.interpreted:
            why = self.play_all(&us)
        else:
            with nogil:
                why = self.play_all(&us)
        return us, why

    cdef int play_all(self, int64_t* until_us) except -1 nogil:
        cdef int64_t us
        cdef int why
        while True:
            us = self.first.soonest()
            if us > until_us[0]:
                return 0
            why = self.first.play_at(us, self)
            if why:
                until_us[0] = us
                return why

    cdef void show(self, Engine engine) noexcept nogil:
        engine.manager.guard.now.others_e8 = <int64_t> (self.notional_e8 - engine.used.notional_e8)
        engine.manager.guard.now.others_orders = self.orders - engine.used.orders

    cdef int note(self, Engine engine, OwnOrders ours, Guard guard) noexcept nogil:
        """Count what a market uses of the account now; return why to stop, or 0."""
        cdef Use before = engine.used
        cdef Use* used = &engine.used
        cdef int why = 0
        used.cash_tl, used.fees_e8 = ours.account.cash_tl, ours.account.fees_e8
        used.inventory_lots = ours.account.inventory_lots
        used.sells, used.buys, used.orders = ours.open.lots[0], ours.open.lots[1], 0 if engine.venue.idle else ours.open.count
        used.killed, used.margin_us = guard.killed != 0, ours.open.agenda.margin_us
        used.closed, used.mid2 = ours.margined and ours.margin.closed, guard.now.mid2
        if self.limited:
            self.orders += used.orders - before.orders
            self.value(engine, guard)
            if used.mid2 != before.mid2:
                self.value_by(self.first, engine)
        if (
            used.cash_tl != before.cash_tl or used.fees_e8 != before.fees_e8 or used.orders != before.orders
            or used.inventory_lots != before.inventory_lots or used.sells != before.sells or used.buys != before.buys
            or used.margin_us != before.margin_us
        ):
            self.first.look_again(engine, engine.venue.now_us + 1)
        if used.closed and not before.closed:
            why |= KILLS
        if self.killed:
            return why
        if used.killed and not before.killed:
            why |= KILLS
        if self.waits and not before.priced and used.priced and self.all_priced():
            self.waits = False
            why |= PRICES
        if self.bound_loss_e8 >= 0 and not self.waits and self.lost_e8 > self.bound_loss_e8:
            why |= LOSES
        return why

    cdef void value(self, Engine engine, Guard guard) noexcept nogil:
        """Count a market's notional and loss in the numeraire, at the mids of the last requotes."""
        cdef Use* used = &engine.used
        cdef int64_t mid2 = 0 if engine.pair is None else engine.pair.manager.guard.now.mid2
        self.notional_e8 -= used.notional_e8
        self.lost_e8 -= used.lost_e8
        if mid2:
            guard.now.rate_over, guard.now.rate_under = mid2 * engine.tick_e8, 200000000
            if engine.inverse:
                guard.now.rate_over, guard.now.rate_under = guard.now.rate_under, guard.now.rate_over
        used.priced = guard.now.mid2 != 0 and (engine.pair is None or mid2 != 0)
        used.notional_e8 = exposed_e8(guard) if used.priced else 0
        used.lost_e8 = 0
        if used.priced and engine.pair is None:
            used.lost_e8 = lost_today_e8(guard)
        elif used.priced:
            if used.day_ends_us != guard.day_ends_us:
                used.day_ends_us = guard.day_ends_us
                used.day_e8 = numeraire_e8(&guard.now, guard.now.day_e16 - 2 * guard.added_e16, False)
            # without the cash of other symbols, whose part of the loss it is
            used.lost_e8 = used.day_e8 - numeraire_e8(&guard.now, guard.now.equity_e16 - 2 * guard.added_e16, False)
        self.notional_e8 += used.notional_e8
        self.lost_e8 += used.lost_e8

    cdef void value_by(self, Engine engine, Engine pair) noexcept nogil:
        """Value the markets again, from *engine* on, whose money this pair converts."""
        if engine.pair is pair:
            self.value(engine, engine.manager.guard)
        if engine.after is not None:
            self.value_by(engine.after, pair)

    cdef bint all_priced(self) noexcept nogil:
        return unpriced(self.first) == 0

    def kill(self, reason: str) -> None:
        """Cancel every order of all markets at the instant that each has played, and send nothing afterwards."""
        cdef Engine engine
        self.killed = True
        for engine in self.engines:
            engine.manager.kill(reason)

    @property
    def awaits_prices(self) -> bool:
        """Whether a market with a tape had no mid yet, without which no limit on money can be judged."""
        return self.waits

    @property
    def lost(self) -> int:
        """The loss of the day of all markets, in 1e-8 of the numeraire, as of their last requotes."""
        return <int64_t> self.lost_e8


cdef int unpriced(Engine engine) noexcept nogil:
    """The number of markets, from one on, whose tape plays and which had no mid."""
    cdef int rest = 0 if engine.after is None else unpriced(engine.after)
    return rest + (engine.last_us >= 0 and not engine.used.priced)


cdef int64_t rows_at(object tape, object events) except? -1:
    return int((tape.first_row[events + 1] - tape.first_row[events]).sum())


cdef object point_to_columns(Market* market, object tape):
    cdef const int64_t[::1] event_us = tape.event_us, exch_us = tape.event_exch_us, recv_seq = tape.recv_seq
    cdef const int64_t[::1] event_id = tape.event_id, first_row = tape.first_row
    cdef const int64_t[::1] ticks = tape.row_ticks, lots = tape.row_lots
    cdef const int8_t[::1] side = tape.row_side
    cdef const uint8_t[::1] kind = tape.kind
    market.event_us, market.exch_us, market.recv_seq = first_of(event_us), first_of(exch_us), first_of(recv_seq)
    market.event_id, market.first_row = first_of(event_id), first_of(first_row)
    market.row_ticks, market.row_lots = first_of(ticks), first_of(lots)
    market.row_side = &side[0] if side.shape[0] else NULL
    market.kind = &kind[0] if kind.shape[0] else NULL
    market.events = kind.shape[0]
    return event_us, exch_us, recv_seq, event_id, first_row, ticks, lots, side, kind


cdef object point_to_late(Market* market, object column):
    """The lateness as of each event, if given; returns the array's owner."""
    cdef const int64_t[::1] late_us
    market.late_us = NULL
    if column is None:
        return None
    late_us = column
    market.late_us = first_of(late_us)
    return late_us


cdef object point_to_order(Market* market, object feed):
    cdef const int64_t[::1] clock_us = feed.clock_us, sequence = feed.sequence
    market.clock_us, market.sequence = first_of(clock_us), first_of(sequence)
    return clock_us, sequence


cdef object point_to_streams(Market* market, object tape, object feed, object best, bint lots):
    cdef const int64_t[::1] bid_ticks = best.bid_ticks, ask_ticks = best.ask_ticks
    cdef const int64_t[::1] bid_lots = best.bid_lots, ask_lots = best.ask_lots
    cdef const uint8_t[::1] kind = best.kind
    trades = tape.trade_stream
    cdef const int64_t[::1] trade_ticks = trades.ticks, trade_lots = trades.lots
    cdef const int8_t[::1] trade_side = trades.side
    market.ticks[0], market.ticks[1] = first_of(ask_ticks), first_of(bid_ticks)
    market.book_kind = &kind[0] if kind.shape[0] else NULL
    market.lots[0] = market.lots[1] = NULL
    if lots:
        market.lots[0], market.lots[1] = first_of(ask_lots), first_of(bid_lots)
    market.trade_ticks, market.trade_lots = first_of(trade_ticks), first_of(trade_lots)
    market.trade_side = &trade_side[0] if trade_side.shape[0] else NULL
    owners = [kind, bid_ticks, ask_ticks, bid_lots, ask_lots, trade_ticks, trade_lots, trade_side]
    between = tape.trades_between(lots=lots, feed=feed)
    cdef const int64_t[::1] stop = between.stop, low_ticks = between.low_ticks, high_ticks = between.high_ticks
    market.trades_stop, market.low_ticks, market.high_ticks = first_of(stop), first_of(low_ticks), first_of(high_ticks)
    owners += [stop, low_ticks, high_ticks]
    owners.append(point_to_stream(&market.books, best.at_exchange(feed)))
    owners.append(point_to_stream(&market.trades, trades.at_exchange(feed)))
    return owners


cdef object point_to_stream(MarketStream* stream, object columns):
    cdef const int64_t[::1] us = columns.us, recv_us = columns.recv_us, event = columns.event
    stream.us, stream.recv_us, stream.event = first_of(us), first_of(recv_us), first_of(event)
    stream.count, stream.next, stream.received = event.shape[0], 0, 0
    return us, recv_us, event
