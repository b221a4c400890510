# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The order manager: adjusts our open orders at a venue to the quotes of the model; docs/specification/engine.md.

It sends orders to an `OrderVenue`, which reports to the `OwnOrders` that both share. The engine calls
`run_timers` at the instants of `next_after`, and passes the best prices: the manager reads no market itself.
"""

cimport cython
from cpython.object cimport PyObject
from libc.math cimport NAN, isnan
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memmove, memset

from mm.backtest.engine._account cimport notional_e16, wide
from mm.backtest.engine._agenda cimport agenda_changed
from mm.backtest.engine._order_checks cimport Refused, order_count_reason, order_count_sent, refused_again, refused_look
from mm.backtest.engine._own_orders cimport (
    OpenOrders, OwnOrders, new_order, orders_add, orders_blank, orders_current, orders_current_at, orders_find,
    orders_meet, slot_of,
)
from mm.backtest.engine._records cimport (
    AMENDED_ONE, ASKED, CANCEL_REQ, CANCELLED_ONE, COVERED, INSUFFICIENT_CASH, INSUFFICIENT_INVENTORY, KEPT_ONE, MAX_NOTIONAL, MIN_NOTIONAL, ORDER_LIMIT_10S, PLACE,
    PLACED_ONE, PRICE_NOT_POSITIVE, PRICE_REJECTED, QUANTITY_BELOW_STEP, QUANTITY_OUT_OF_RANGE, QUOTE_MOVED,
    QUOTE_WITHDRAWN, REFRESH, SKIP, SKIP_SHIFT, SKIPPED_ONE, Records, Table, handed, handed_counts, record_decision, record_order,
    record_span,
)
from mm.backtest.engine._risk cimport KILLED, PULLED, Guard
from mm.backtest.engine._venue cimport Touch, OrderVenue, covered
from mm.backtest.engine._volatility cimport (
    volatility_close, volatility_open, volatility_run_sigma, volatility_sample, volatility_sigma,
)
from mm.backtest.fills.base cimport (
    CANCELLING, IOC, LIMIT_MAKER, LIVE, MARKET, NEEDS_FILLS, NEEDS_MANAGER, NEEDS_OWN_ORDERS, NEEDS_PYTHON, NEVER, REJECTED, SENT,
    SKIPS_REPEATS, Order, Top, copy_top,
)
from mm.backtest.quotes.base cimport (
    NO_BOUND, Ladder, Level, QuoteModel, Want, blank, clips_held, show_no_own, want_level,
)
from mm.signals.other_market cimport OtherMarket

from typing import TYPE_CHECKING

from mm.backtest.journal import REJECT_REASONS, Journal
from mm.backtest.own_series import OwnSeries
from mm.backtest.risk import LIMITS
from mm.backtest.rules import SIGMA_METHODS, Rules
from mm.errors import ModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mm.backtest.engine.live_feed import FeedEvent
    from mm.backtest.engine.leg_orders import LegOrders
    from mm.signals.families import Others

cdef int64_t SAMPLE_US = 1000000       # between two samples of the mid
cdef int64_t MOST_TICKS = 1000000000000000
cdef int64_t MOST_LOTS = 1000000000000000
cdef int64_t MOST_COUNTED = 1 << 62    # tick·lots of an order, and its notional in 1e-8
cdef int64_t MOST_AMENDS = 1 << 31     # per order, if the exchange sets no limit
cdef int64_t MOST_MOVES = 9999         # per order of a contract


cdef inline int64_t whole_ticks(double price, int64_t side) noexcept nogil:
    """A buy's price is rounded down, a sell's up, neither beyond ``MOST_TICKS``."""
    cdef double near = min(max(price, <double> -MOST_TICKS), <double> MOST_TICKS)
    cdef int64_t ticks = <int64_t> near
    if side > 0:
        return ticks - (<double> ticks > near)
    return ticks + (<double> ticks < near)


cdef inline int64_t on_step(int64_t ticks, int64_t side, int64_t step) noexcept nogil:
    cdef int64_t over = ticks % step
    if over < 0:
        over += step
    if over == 0:
        return ticks
    return ticks - over if side > 0 else ticks + step - over


@cython.final
cdef class OrderManager:
    """Sends, cancels and amends our orders at a venue.

    Attributes:
        pulled_for: Why quotes are pulled from outside.
        allow: Called before each order of a strategy in Python, to set what the limits of an account allow.
    """

    def __init__(self, quotes: QuoteModel, venue: OrderVenue, rules: Rules) -> None:
        self.quotes, self.venue, self.orders, self.legs = quotes, venue, venue.orders, {}
        self.refresh_us, self.state_us = rules.refresh_us, rules.state_us
        self.quote_lots, self.lot_e8 = rules.quote_lots, rules.lot_e8
        self.room[0] = self.room[1] = NO_BOUND
        self.reduces_code = REJECT_REASONS.index("reduce_only")
        self.decides = rules.decisions
        self.levels, self.step_ticks = rules.quote_levels, rules.step_ticks
        self.level_step_ticks = -(-rules.level_step_ticks // rules.step_ticks) * rules.step_ticks
        self.make_room(self.levels)
        if quotes.needs & NEEDS_MANAGER:
            if self.levels > 1:
                raise UsageError(f"{quotes.name} sends its orders itself; leave QUOTE_LEVELS={self.levels} out")
            self.strategic = self.orders.keeps_ends = self.orders.keeps_fills = True
            quotes.take_manager(self)
        elif quotes.needs & NEEDS_FILLS:
            self.orders.keeps_fills = self.orders.requotes = True
        self.min_notional_e16 = <wide> (<int64_t> rules.min_notional_e8) * 100000000
        self.least_lots = max(venue.filters.min_lots, 1)
        self.most_lots = min(venue.filters.max_lots or MOST_LOTS, MOST_LOTS)
        self.least_notional_e16 = <double> self.min_notional_e16 * (1.0 + 1e-9)
        self.most_notional_e16 = <double> MOST_COUNTED * min(1e8, <double> self.orders.account.unit_e16) * (1.0 - 1e-9)
        if venue.filters.max_notional_e16:
            self.most_notional_e16 = min(self.most_notional_e16, <double> venue.filters.max_notional_e16 * (1.0 - 1e-9))
        self.amends_allowed = (rules.filters.max_amends or MOST_AMENDS) if rules.filters.amend_allowed else 0
        if rules.order_amend:
            self.most_amends = self.amends_allowed
        self.most_moves = MOST_MOVES if rules.order_modify else 0
        self.agenda = &self.orders.open.agenda
        self.agenda.step_us = rules.requote_us
        self.guard, self.guarded = Guard(self.orders, rules), rules.risk is not None
        if rules.others:
            from mm.signals.families import SIGNALS  # imported here: most runs have no other market

            self.others, self.paired = SIGNALS.others(rules.others, quotes.signals), True
            self.view.others = <PyObject*> self.others.seen
        self.record_anew()
        quotes.restart(rules.step_lots)
        if quotes.signals:
            self.take_signals(rules)
        else:
            quotes.bind(())
        self.view.tick, self.view.step_lots = 1e-8 * rules.tick_e8, rules.step_lots
        self.view.lot = rules.lot_e8 * rules.step_lots / 1e8
        self.view.last_trade.id = -1
        self.view.sigma_ticks = self.view.run_sigma_ticks = NAN
        show_no_own(&self.view)
        self.view.quote_lots, self.view.target_lots = self.quote_lots, rules.target
        self.view.tick_lot = 1e-16 * rules.tick_lot_e16
        self.timeless = rules.refresh_us == 0 and not (self.guarded or self.paired or self.decides)
        self.timeless &= (quotes.skips & SKIPS_REPEATS) != 0
        method = SIGMA_METHODS.index(rules.sigma_method)
        volatility_open(&self.volatility, method, rules.sigma_window_s, rules.sigma_half_life_s)

    def __dealloc__(self) -> None:
        free(self.skipped)
        free(self.shown)
        for slot in range(2):
            free(self.ladders[slot].levels)
            free(self.wanted[slot].levels)
        volatility_close(&self.volatility)

    cdef object record_anew(self):
        """Return what the strategy has recorded so far."""
        recorded, self.recorded = self.recorded, OwnSeries()
        self.view.recorded = <PyObject*> self.recorded
        return recorded

    cdef double shared_cash(self) noexcept nogil:
        return 1e-16 * <double> self.venue.held_e16(self.venue.assets[1], self.venue.others)

    cdef void look_for_funds(self) noexcept nogil:
        """Try again what the balances did not cover: another market's orders have changed what they leave."""
        cdef int64_t place
        for place in range(2 * self.skipped_room):
            if self.skipped[place] == INSUFFICIENT_CASH or self.skipped[place] == INSUFFICIENT_INVENTORY:
                self.orders.open.changed = True

    cdef int take_signals(self, object rules) except -1:
        from mm.signals.families import OURS  # imported here: most runs have no signals

        names = self.quotes.signals
        market = tuple(name for name in names if name not in OURS)
        if market:
            self.signals = signals_of(market, rules, self.others)
            self.view.signals = self.signals.values
        if len(market) < len(names):
            self.market_signals = len(market)
            self.shown = <double*> calloc(len(market) + len(OURS), sizeof(double))
            if self.shown is NULL:
                raise MemoryError(f"no memory for {len(names)} signals")
            self.view.signals, market = self.shown, (*market, *OURS)
        return self.quotes.bind(market)

    # ------------------------------------------------------------------ timers

    cdef void begin(self, int64_t us, bint samples) noexcept nogil:
        """Start the grids at the first valid book; *samples* is whether the volatility is needed."""
        self.view.begun_us = self.agenda.state_us = self.agenda.requote_us = us
        if samples:
            self.agenda.sample_us = us
        agenda_changed(self.agenda)

    cdef int act(self, int64_t us, Touch* known) except -1 nogil:
        """Do what is due by an instant at which an engine is called, which asks the quote model at any rate."""
        return run_timers(self, &self.orders.open, us, False, known)

    cdef void sample(self, Touch* known) noexcept nogil:
        """Sample the mid; skip a sample if the mid was missing since the last one."""
        if known.mid_lost:
            self.volatility.sampled_mid2 = 0
        known.mid_lost = False
        volatility_sample(&self.volatility, known.mid2)
        self.view.run_sigma_ticks = volatility_run_sigma(&self.volatility)
        if not self.quotes.skips & SKIPS_REPEATS:
            self.view.sigma_ticks = volatility_sigma(&self.volatility)
        self.agenda.sample_us += SAMPLE_US

    # ------------------------------------------------------------------ quotes

    cdef void look_at_refused(self, int64_t side, const Top* top) noexcept nogil:
        """Allow a rejected price again once the touch has moved, or our own order that it would have met has ended."""
        cdef Refused* refused = &self.orders.refused[slot_of(side)]
        if not refused.by_own:
            refused_look(refused, top.bid_ticks, top.ask_ticks)
        elif not orders_meet(self.orders, side, refused.ticks):
            refused.ticks, refused.by_own = 0, False

    cdef int requote(self, int64_t us, const Touch* known) except -1 nogil:
        """Get quotes from the model, and adjust our orders; nothing is done without a book with both sides."""
        cdef const Top* top = &known.top
        cdef Want want
        cdef int64_t wake_us
        cdef int stopped
        cdef bint sells_first
        if not known.valid or top.bid_ticks == 0 or top.ask_ticks == 0:
            return 0
        self.made.acted[0] = self.made.acted[1] = 0
        blank(&want, &self.wanted[0], self.quote_lots)
        self.awaits_best = self.waits = False
        self.orders.awaits_room[0] = self.orders.awaits_room[1] = False
        if self.paired:
            with gil:
                self.show_others(us)
        if self.guarded:
            stopped = self.guard.look(us, known)
            if stopped:
                self.withdraw(us, stopped)
            if self.guard.killed:
                if self.paired:
                    with gil:
                        self.kill_legs(us)
                return self.decided(us, top, &want) if self.decides else 0
        self.look_at_refused(-1, top)
        self.look_at_refused(1, top)
        copy_top(&self.view.top, top)
        self.view.top.us = us
        self.view.inventory_lots = self.orders.account.inventory_lots
        self.view.most_lots = self.orders.account.inventory_lots + self.orders.open.lots[1]
        self.view.least_lots = self.orders.account.inventory_lots - self.orders.open.lots[0]
        self.view.cash = self.orders.cash if self.venue.others == 0 else self.shared_cash()
        if self.orders.fresh_count:
            self.show_fills()
        if self.quotes.needs & NEEDS_OWN_ORDERS:
            self.show_own()
        if self.shown is not NULL:
            self.show_ours(us)
        self.quotes.quote(&self.view, &want)
        self.room[0], self.room[1] = want.room[0], want.room[1]
        if self.guarded:
            self.guard.widen(us, &want)
        if self.orders.margined:
            self.reduces = self.orders.margin.is_above(us, self.orders.account.inventory_lots)
        if self.reduces:
            self.withdraw_adding(us)
        if self.strategic:
            pass
        elif want.laddered or self.by_price:
            self.adjust_prices(us, &want)
        elif self.levels == 1:
            sells_first = self.most_moves and not isnan(want.bid_ticks) and (
                orders_meet(self.orders, 1, self.quoted(want.bid_ticks, 1))
            )
            if sells_first:  # else a bid that moves up meets the ask that has not moved
                self.adjust(us, -1, 0, want.ask_ticks, want.ask_lots, want.ask_kind)
            self.adjust(us, 1, 0, want.bid_ticks, want.bid_lots, want.bid_kind)
            if not sells_first:
                self.adjust(us, -1, 0, want.ask_ticks, want.ask_lots, want.ask_kind)
        else:
            self.adjust_levels(us, &want)
        if self.decides:
            self.decided(us, top, &want)
        self.quoted_bid_ticks, self.quoted_ask_ticks = top.bid_ticks, top.ask_ticks
        self.awaits_best = want.on_best
        wake_us = want.again_us if want.again_us > us else NEVER
        if wake_us != self.agenda.wake_us:
            self.agenda.wake_us = wake_us
            agenda_changed(self.agenda)
        # Order limits expire, and orders come to rest, without setting `changed`: such a side is tried
        # again.
        if self.levels == 1 and not self.by_price:
            self.orders.open.changed = self.waits or max(self.skipped[0], self.skipped[1]) >= ORDER_LIMIT_10S
        return 0

    def take_legs(self, legs: Mapping[str, LegOrders]) -> None:
        """Set the other markets to which the strategy sends orders.

        Raises:
            UsageError: If the quote model is no strategy in Python, which alone sends orders to several markets.
        """
        if legs and not (self.strategic and self.quotes.needs & NEEDS_PYTHON):
            raise UsageError(
                f"OTHERS has orders in {', '.join(legs)}, which only a strategy in Python with on_event(market, orders) "
                f"can send, and {self.quotes.name} is none; leave orders out"
            )
        self.legs = dict(legs)

    cdef int kill_legs(self, int64_t us) except -1:
        for leg in self.legs.values():
            leg.kill(us, self.killed_for)
        return 0

    def feed_other(self, name: str, events: Sequence[FeedEvent]) -> None:
        self.others.feed(name, events)

    cdef int show_others(self, int64_t us) except -1:
        """Show the other markets what had arrived of them by an instant, and the guard how late the latest of them is."""
        self.guard.others_late_us = 0
        for other in self.others.seen.values():
            (<OtherMarket> other).show(us)
            self.guard.others_late_us = max(self.guard.others_late_us, (<OtherMarket> other).late_us)
        return 0

    cdef void show_own(self) noexcept nogil:
        """Our open quotes, of several levels the nearest to the mid, and where the market met us."""
        cdef OpenOrders* open = &self.orders.open
        cdef int64_t slot, i
        for slot in range(2):
            i = orders_current_at(open, 2 * slot - 1, 0)
            self.view.own_ticks[slot] = <double> open.orders[i].ticks if i >= 0 else NAN
            self.view.own_ahead_lots[slot] = open.orders[i].ahead_lots if i >= 0 else NAN
            self.view.met_ticks[slot], self.view.met_us[slot] = self.orders.met[slot].ticks, self.orders.met[slot].us

    cdef void show_ours(self, int64_t us) noexcept nogil:
        """The signals of our own orders (`OURS`); of several levels the nearest to the mid."""
        cdef OpenOrders* open = &self.orders.open
        cdef double* own = self.shown + self.market_signals
        cdef double mid = 0.5 * <double> (self.view.top.bid_ticks + self.view.top.ask_ticks)
        cdef const Order* order
        cdef int64_t slot, i
        if self.market_signals:
            memcpy(self.shown, self.signals.values, self.market_signals * sizeof(double))
        own[0] = clips_held(&self.view)
        for slot in range(1, -1, -1):
            own += 3 if slot == 0 else 0
            own[1] = own[2] = own[3] = NAN
            i = orders_current_at(open, 2 * slot - 1, 0)
            if i >= 0:
                order = &open.orders[i]
                own[1] = <double> order.side * (mid - <double> order.ticks)
                own[2] = 1e-6 * <double> (us - order.sent_us)
                own[3] = order.ahead_lots * self.view.lot

    cdef int show_fills(self) except -1 nogil:
        cdef int64_t i
        for i in range(self.orders.fresh_count):
            self.quotes.on_fill(&self.view, &self.orders.fresh[i])
        self.orders.fresh_count = 0
        return 0

    cdef int make_room(self, int64_t levels) except -1:
        skipped = <int64_t*> realloc(self.skipped, 2 * levels * sizeof(int64_t))
        if skipped is NULL:
            raise MemoryError(f"no memory for {levels} levels of quotes")
        self.skipped = skipped
        memset(&skipped[2 * self.skipped_room], 0, 2 * (levels - self.skipped_room) * sizeof(int64_t))
        self.skipped_room = levels
        return 0

    cdef int adjust_prices(self, int64_t us, Want* want) except -1 nogil:
        """Adjust the orders of both sides to the quoted prices.

        Nothing is done if quotes and orders are unchanged, and each price has its order.
        """
        cdef int64_t most
        cdef bint moved
        if self.levels > 1:
            with gil:
                raise ModelError(f"{self.quotes.name} quotes several prices itself; leave QUOTE_LEVELS={self.levels} out")
        self.by_price = True
        if not want.laddered:  # a model may quote one price now, and several later
            if not isnan(want.bid_ticks):
                want_level(want, 1, want.bid_ticks, want.bid_lots)
            if not isnan(want.ask_ticks):
                want_level(want, -1, want.ask_ticks, want.ask_lots)
        moved = self.take_ladder(1, want.bid_kind)
        moved |= self.take_ladder(-1, want.ask_kind)
        if not moved and self.complete and not self.orders.open.changed:
            return 0
        most = max(self.ladders[0].count, self.ladders[1].count)
        if most > self.skipped_room:
            with gil:
                self.make_room(2 * most)
        most = self.adjust_ladder(us, 1, want.bid_kind)
        most = max(most, self.adjust_ladder(us, -1, want.ask_kind))
        self.orders.open.changed = self.waits or most >= ORDER_LIMIT_10S
        # Refreshes depend on time; limits and decisions need each requote.
        self.complete = most == COVERED and not self.refresh_us and not self.guarded and not self.decides
        return 0

    cdef bint take_ladder(self, int64_t side, int64_t kind) noexcept nogil:
        cdef int64_t slot = slot_of(side), i
        cdef Ladder wanted = self.wanted[slot], before = self.ladders[slot]
        if wanted.count == before.count and kind == self.ladder_kinds[slot]:
            i = 0
            while i < wanted.count and (
                wanted.levels[i].ticks == before.levels[i].ticks and wanted.levels[i].lots == before.levels[i].lots
            ):
                i += 1
            if i == wanted.count:
                return False
        self.ladders[slot], self.wanted[slot], self.ladder_kinds[slot] = wanted, before, kind
        self.tidy_ladder(side, kind)
        return True

    cdef int tidy_ladder(self, int64_t side, int64_t kind) noexcept nogil:
        """Round a side's prices to the exchange's step, sort them nearest to the mid first, and merge equal ones."""
        cdef Ladder* ladder = &self.ladders[slot_of(side)]
        cdef Level* levels = ladder.levels
        cdef Level level
        cdef int64_t i, at, count = 0
        for i in range(ladder.count):
            level = levels[i]
            if isnan(level.ticks):
                continue
            level.whole_ticks = 0 if kind == MARKET else self.quoted(level.ticks, side)
            at = count
            while at and side * (level.whole_ticks - levels[at - 1].whole_ticks) > 0:
                at -= 1
            if at and levels[at - 1].whole_ticks == level.whole_ticks:
                levels[at - 1].lots += level.lots
                continue
            if at < count:
                memmove(&levels[at + 1], &levels[at], (count - at) * sizeof(Level))
            levels[at] = level
            count += 1
        ladder.count, ladder.per_tick = count, 0.0
        if count > 1:
            ladder.per_tick = <double> (count - 1) / <double> (side * (levels[0].whole_ticks - levels[count - 1].whole_ticks))
        return 0

    cdef int adjust_ladder(self, int64_t us, int64_t side, int64_t kind) except -1 nogil:
        """Cancel a side's orders at prices no longer quoted, and send missing ones.

        Returns:
            The largest reason code of orders that were not sent.
        """
        cdef int64_t slot = slot_of(side), i, most = COVERED
        cdef Ladder* ladder = &self.ladders[slot]
        cdef const Order* order
        cdef Level* level
        cdef bint less
        for i in range(ladder.count):
            ladder.levels[i].stands = False
        for i in range(self.orders.open.count):
            order = &self.orders.open.orders[i]
            if order.side != side or order.cancel_req_us != NEVER or order.manual:
                continue
            level = level_at(ladder, side, order.ticks)
            if level is NULL or level.stands or order.kind != kind:
                self.request_cancel(i, us, QUOTE_MOVED if ladder.count else QUOTE_WITHDRAWN)
            elif self.refresh_us and us - order.sent_us >= self.refresh_us:
                self.request_cancel(i, us, REFRESH)
            else:
                level.stands = True
                less = self.most_amends and level.lots < order.lots
                self.made.acted[slot] |= self.lessen(i, level.lots) if less else KEPT_ONE
        for i in range(ladder.count):
            level = &ladder.levels[i]
            self.skipped[2 * i + slot] = COVERED if level.stands else self.send(
                us, side, i, level.whole_ticks, level.lots, kind, self.skipped[2 * i + slot]
            )
            most = max(most, self.skipped[2 * i + slot])
        for i in range(ladder.count, self.skipped_room):
            self.skipped[2 * i + slot] = COVERED
        return <int> most

    cdef int adjust_levels(self, int64_t us, const Want* want) except -1 nogil:
        """The level nearest to the mid first, a buy before a sell."""
        cdef int64_t level, most = COVERED
        for level in range(self.levels):
            self.adjust(us, 1, level, want.bid_ticks, want.bid_lots, want.bid_kind)
            self.adjust(us, -1, level, want.ask_ticks, want.ask_lots, want.ask_kind)
            most = max(most, max(self.skipped[2 * level], self.skipped[2 * level + 1]))
        self.orders.open.changed = self.waits or most >= ORDER_LIMIT_10S
        return 0

    cdef int decided(self, int64_t us, const Top* top, const Want* want) except -1 nogil:
        """Record a requote: the market, the quotes, and the actions of `adjust` on each side."""
        cdef Decision* made = &self.made
        cdef const Ladder* ladder
        cdef int slot
        made.us, made.recv_seq = us, self.input_seq
        made.best[1], made.best[0] = top.bid_ticks, top.ask_ticks
        if want.laddered:  # the nearest price of each side
            for slot in range(2):
                ladder = &self.ladders[slot]
                made.wanted_ticks[slot] = ladder.levels[0].whole_ticks if ladder.count else 0
                made.wanted_lots[slot] = ladder.levels[0].lots if ladder.count else -1
            return record_decision(&self.orders.records, made)
        made.wanted_ticks[1] = 0 if isnan(want.bid_ticks) else self.quoted(want.bid_ticks, 1)
        made.wanted_ticks[0] = 0 if isnan(want.ask_ticks) else self.quoted(want.ask_ticks, -1)
        made.wanted_lots[1] = -1 if isnan(want.bid_ticks) else want.bid_lots
        made.wanted_lots[0] = -1 if isnan(want.ask_ticks) else want.ask_lots
        return record_decision(&self.orders.records, made)

    cdef int64_t quoted(self, double price, int64_t side) noexcept nogil:
        cdef int64_t ticks = whole_ticks(price, side)
        return ticks if self.step_ticks == 1 else on_step(ticks, side, self.step_ticks)

    cdef int adjust(
        self, int64_t us, int64_t side, int64_t level, double price, int64_t lots, int64_t kind
    ) except -1 nogil:
        """Keep, amend, cancel or replace the current order of a side and level; *price*: of level 0, NaN for no quote.

        Orders that do not rest have one level.
        """
        cdef int64_t ticks = 0, slot = slot_of(side), place = 2 * level + slot, i
        cdef const Order* current
        cdef int reason
        cdef bint wanted = not isnan(price) and (level == 0 or kind < IOC)
        i = orders_current(&self.orders.open, side) if self.levels == 1 else orders_current_at(&self.orders.open, side, level)
        if wanted and kind != MARKET:
            ticks = self.quoted(price, side) - side * level * self.level_step_ticks
        if i >= 0:
            current = &self.orders.open.orders[i]
            reason = QUOTE_MOVED if wanted else QUOTE_WITHDRAWN
            if wanted and (current.move_ticks or current.ticks) == ticks and current.kind == kind:
                reason = REFRESH
                if self.refresh_us == 0 or us - current.sent_us < self.refresh_us:
                    self.skipped[place] = COVERED
                    self.made.acted[slot] |= self.lessen(i, lots) if self.most_amends and lots < current.lots else KEPT_ONE
                    return 0
            elif wanted and current.moves < self.most_moves and current.kind == kind and self.move(us, i, ticks, lots):
                self.skipped[place] = COVERED
                return 0
            self.request_cancel(i, us, reason)
        self.skipped[place] = self.send(us, side, level, ticks, lots, kind, self.skipped[place]) if wanted else COVERED
        return 0

    cdef int lessen(self, int64_t i, int64_t lots) except -1 nogil:
        """Amend an order to *lots* remaining lots, if the exchange permits; return the action."""
        cdef Order* order = &self.orders.open.orders[i]
        cdef Order less = order[0]
        lots -= lots % self.venue.step_lots
        if lots <= 0 or lots >= order.lots or order.amends >= self.most_amends or order.amend_us != NEVER:
            return KEPT_ONE
        less.lots = order.placed_lots - order.lots + lots
        if self.size_fault(&less) != COVERED:
            return KEPT_ONE
        if order.status == SENT or self.venue.holds(order.side):
            self.waits = True
            return KEPT_ONE
        self.request_amend(order, less.lots)
        return AMENDED_ONE

    cdef bint move(self, int64_t us, int64_t i, int64_t ticks, int64_t lots) except -1 nogil:
        """Move a post-only order to another price, with *lots* left there, by one request; return whether it was sent."""
        cdef Order* order = &self.orders.open.orders[i]
        cdef Order moved = order[0]
        cdef int slot = slot_of(order.side)
        cdef int64_t* open_lots = &self.orders.open.lots[slot]
        cdef int64_t filled = order.placed_lots - order.lots, others = open_lots[0] - order.lots
        lots -= lots % self.venue.step_lots
        if self.reduces:
            return False  # at the exchange it would stay one that may do more than reduce
        if order.kind != LIMIT_MAKER or order.status != LIVE or order.amend_us != NEVER or self.venue.holds(order.side):
            return False
        if lots <= 0 or self.room[slot] < NO_BOUND and max(lots, order.lots) > self.room[slot] - others:
            return False
        moved.ticks = moved.move_ticks = ticks
        moved.lots = filled + lots
        if self.size_fault(&moved) != COVERED or refused_again(&self.orders.refused[slot], &moved):
            return False
        moved.lots = max(lots - order.lots, 0)  # what it adds to the open lots
        if order.side > 0 and self.venue.filters.max_position_lots and self.exceeds_position(&moved):
            return False
        if order_count_reason(self.orders.order_count, us) != COVERED:
            return False
        if self.guarded and self.guard.admit(us, &moved, notional_e16(&self.orders.account, ticks, lots)) != COVERED:
            return False
        order_count_sent(self.orders.order_count)
        order.move_ticks, order.more_lots, order.sent_us = ticks, moved.lots, us
        order.moves += 1
        self.last_turn += 1
        order.move_turn = self.last_turn
        open_lots[0] += moved.lots
        self.made.acted[slot] |= AMENDED_ONE
        self.request_amend(order, filled + lots)
        return True

    cdef int request_amend(self, Order* order, int64_t lots) except -1 nogil:
        order.amend_lots = lots
        self.venue.amend(order)
        if order.status != SENT:
            self.agenda.message_us = min(self.agenda.message_us, order.amend_us)
        return 0

    cdef inline int request_cancel(self, int64_t i, int64_t us, int reason) except -1 nogil:
        cdef Order* order = &self.orders.open.orders[i]
        order.cancel_req_us, order.cancel_reason = us, reason
        self.made.acted[slot_of(order.side)] |= CANCELLED_ONE
        self.venue.cancel(order)
        if order.status == LIVE:
            order.status = CANCELLING
            self.agenda.message_us = min(self.agenda.message_us, order.cancel_us)
        return record_order(&self.orders.records, order, us, CANCEL_REQ, COVERED)

    cdef int send(
        self, int64_t us, int64_t side, int64_t level, int64_t ticks, int64_t lots, int64_t kind, int64_t skipped
    ) except -1 nogil:
        """Send an order, or return the reason for not sending; a reason other than *skipped* is recorded as a row."""
        cdef Order* order = orders_blank(&self.orders.open)
        cdef int64_t step_lots = self.venue.step_lots
        cdef int reason
        cdef int64_t room = NO_BOUND if self.manual else self.room[slot_of(side)]
        if self.reduces:
            room = min(room, self.reducible(side))
            lots = min(lots, room)
        if step_lots != 1:
            lots -= lots % step_lots
        if not self.manual and room < NO_BOUND and lots > room - self.orders.open.lots[slot_of(side)]:
            self.waits = self.orders.awaits_room[slot_of(side)] = True
            return COVERED  # sent once those that are being cancelled have ended
        new_order(order, us, side, ticks, lots, kind)
        order.level = level
        if self.reduces and (lots <= 0 or lots > room - self.orders.open.lots[slot_of(side)]):
            reason = self.reduces_code
        else:
            reason = COVERED if kind == LIMIT_MAKER and surely_sized(self, order) else self.size_fault(order)
        if reason == COVERED and side > 0 and self.venue.filters.max_position_lots and self.exceeds_position(order):
            reason = QUANTITY_OUT_OF_RANGE
        if reason == COVERED:
            reason = covered(self.venue, order, False)
        if reason == COVERED and not self.manual and refused_again(&self.orders.refused[slot_of(side)], order):
            reason = PRICE_REJECTED
        if reason == COVERED:
            reason = order_count_reason(self.orders.order_count, us)
        if reason == COVERED and self.guarded:
            reason = self.guard.admit(us, order, self.notional(order))
        if reason != COVERED:
            if not self.made.acted[slot_of(side)] & SKIPPED_ONE:  # of several levels the first reason counts
                self.made.acted[slot_of(side)] |= SKIPPED_ONE | reason << SKIP_SHIFT
            if reason != skipped:
                order.status = REJECTED
                record_order(&self.orders.records, order, us, SKIP, reason)
            return reason
        order_count_sent(self.orders.order_count)
        self.last_id += 1
        order.id = self.last_id
        order.manual = self.manual
        self.venue.send(order)
        record_order(&self.orders.records, order, us, PLACE, COVERED)
        orders_add(&self.orders.open, order)
        self.made.acted[slot_of(side)] |= PLACED_ONE
        return COVERED

    cdef int size_fault(self, const Order* order) noexcept nogil:
        """The exchange's reason against price or quantity, or 0."""
        cdef wide notional = self.notional(order)
        cdef bint market = order.kind == MARKET
        if order.ticks <= 0 and order.kind != MARKET:
            return PRICE_NOT_POSITIVE
        if order.lots <= 0:
            return QUANTITY_BELOW_STEP
        if order.lots < self.venue.filters.min_lots or (
            self.venue.filters.max_lots and order.lots > self.venue.filters.max_lots
        ):
            return QUANTITY_OUT_OF_RANGE
        if market and (
            order.lots < self.venue.filters.market_min_lots
            or order.lots % self.venue.filters.market_step_lots
            or self.venue.filters.market_max_lots and order.lots > self.venue.filters.market_max_lots
        ):
            return QUANTITY_OUT_OF_RANGE
        if order.lots > MOST_LOTS or <wide> order.ticks * order.lots > MOST_COUNTED:
            return QUANTITY_OUT_OF_RANGE
        if notional > <wide> MOST_COUNTED * 100000000:
            return QUANTITY_OUT_OF_RANGE
        if notional < self.min_notional_e16 and not self.reduces and (self.venue.filters.min_to_market or not market):
            return MIN_NOTIONAL
        if market and not self.venue.filters.max_to_market:
            return COVERED
        if self.venue.filters.max_notional_e16 and notional > self.venue.filters.max_notional_e16:
            return MAX_NOTIONAL
        return COVERED

    cdef bint exceeds_position(self, const Order* order) noexcept nogil:
        """Whether the inventory, the open buys without a cancel request and a buy exceed the exchange's limit."""
        cdef int64_t i, lots = self.orders.account.inventory_lots + order.lots
        for i in range(self.orders.open.count):
            if self.orders.open.orders[i].side > 0 and self.orders.open.orders[i].cancel_req_us == NEVER:
                lots += self.orders.open.orders[i].lots + self.orders.open.orders[i].more_lots
        return self.venue.filters.max_position_lots < 0 or lots > self.venue.filters.max_position_lots

    cdef wide notional(self, const Order* order) noexcept nogil:
        """In 1e-16 of the quote asset; a MARKET order's is its execution now."""
        if order.kind == MARKET:
            return self.venue.taking_e16(order)
        return notional_e16(&self.orders.account, order.ticks, order.lots)

    # ------------------------------------------------------------------ risk

    cdef int withdraw(self, int64_t us, int limit) except -1 nogil:
        """Request the cancel of our quotes, or of every order if all trading ends; *limit* is the reason."""
        cdef int64_t i
        for i in range(self.orders.open.count):
            if self.orders.open.orders[i].cancel_req_us != NEVER:
                continue
            if limit <= KILLED or self.strategic or not self.orders.open.orders[i].manual:
                self.request_cancel(i, us, ASKED + limit)
        return 0

    cdef int64_t reducible(self, int64_t side) noexcept nogil:
        """Lots by which orders of a side may reduce the position."""
        return max(-side * self.orders.account.inventory_lots, 0)

    cdef int withdraw_adding(self, int64_t us) except -1 nogil:
        """Cancel the orders that could add to the position or turn it."""
        cdef int64_t i, left[2]
        cdef const Order* order
        left[0], left[1] = self.reducible(-1), self.reducible(1)
        for i in range(self.orders.open.count):
            order = &self.orders.open.orders[i]
            if order.cancel_req_us != NEVER:
                continue
            left[slot_of(order.side)] -= order.lots
            if left[slot_of(order.side)] < 0:
                self.request_cancel(i, us, QUOTE_WITHDRAWN)
        return 0

    cdef int withdraw_for(self, int64_t us, int reason) except -1 nogil:
        cdef int64_t i
        for i in range(self.orders.open.count):
            if self.orders.open.orders[i].cancel_req_us == NEVER:
                self.request_cancel(i, us, reason)
        return 0

    def pull(self, reason: str) -> None:
        """Cancel the quotes now, and send none until `resume`."""
        self.guarded = self.guard.pulled = self.orders.open.changed = True
        self.pulled_for = reason
        self.withdraw(self.venue.now_us, self.guard.halted())

    def resume(self) -> None:
        """End a `pull`: quotes resume at the next requote, unless a limit stops them."""
        self.guard.pulled, self.pulled_for = False, None
        self.orders.open.changed = True

    def reduce_only(self, on: bool) -> None:
        """Send only orders that reduce the position from now on, and cancel others, or no more."""
        self.reduces = on
        self.orders.open.changed = True
        if on:
            self.withdraw_adding(self.venue.now_us)

    def kill(self, reason: str) -> None:
        """Cancel every order now, and send nothing afterwards; *reason* is returned by ``killed_for``."""
        self.guarded = self.orders.open.changed = True
        if not self.guard.killed:
            self.guard.kill(self.venue.now_us, KILLED)
            self.killed_reason = reason
        self.withdraw(self.venue.now_us, self.guard.killed)

    @property
    def sent(self) -> int:
        return self.last_id

    @property
    def killed_for(self) -> str | None:
        """A limit's knob, or the reason of `kill`; None while orders may be sent."""
        if self.guard.killed == KILLED:
            return self.killed_reason
        return LIMITS[self.guard.killed] or None

    @property
    def limited_for(self) -> str | None:
        """The limit that pulls the quotes now, by its knob; None without one."""
        return LIMITS[self.guard.pull] or None

    @property
    def stopped_for(self) -> str | None:
        """The reason of a kill or a pull, or the limit that pulls."""
        return self.killed_for or self.pulled_for or self.limited_for

    @property
    def withheld_for(self) -> tuple[str, str]:
        """Reasons, as in the journal, for which the nearest buy and sell were not sent; empty for none, or no quote."""
        return REJECT_REASONS[self.skipped[1]], REJECT_REASONS[self.skipped[0]]

    cdef object journal(self, int64_t us, object events, object rows, object fill_reasons, object expected_fills):
        """Return the journal up to an instant, without a copy; new tables begin."""
        cdef OrderVenue venue = self.venue
        cdef Records* records = &self.orders.records
        if venue.covered:  # the stretch so far
            venue.valid_us += us - venue.covered_since_us
            record_span(records, venue.covered_since_us, us)
            venue.covered_since_us = us
        return Journal(
            orders=handed(&records.orders),
            **handed_counts(records),
            fills=handed(&records.fills),
            state=handed(&records.state),
            mids=handed(&records.mids),
            spans=handed(&records.spans),
            fill_reasons=fill_reasons,
            counters={
                "first_us": venue.begun_us if venue.begun else -1,
                "last_us": us,
                "valid_us": venue.valid_us,
                "invalid_us": us - venue.begun_us - venue.valid_us if venue.begun else 0,
                "two_sided_us": venue.two_sided_us + us - min(us, venue.two_sided_since_us),
                "events": events,
                "rows": rows,
                "expected_fills": expected_fills,
            },
            decisions=handed(&records.decisions) if self.decides else None,
            breaches=handed(&records.breaches) if self.guard.has_limits else None,
            killed=self.killed(),
            recorded=self.record_anew(),
        )

    def killed(self) -> tuple[int, str] | None:
        return (self.guard.killed_us, self.killed_for) if self.guard.killed else None

    def breaches(self, first: int) -> list[tuple[int, str, int, int, int]]:
        """From row *first* on: instant, knob, actual and allowed in 1e-8, side."""
        cdef Table* table = &self.orders.records.breaches
        cdef int64_t* row
        cdef int64_t at
        found = []
        for at in range(first, table.rows):
            row = table.cells + at * table.width
            found.append((row[0], LIMITS[row[1]], row[2], row[3], row[4]))
        return found

    def order_rows(self, action: int, reject: int) -> int:
        return self.orders.records.counts[action << 6 | reject]

    # ------------------------------------------------------------------ orders from outside

    @property
    def quoted(self) -> tuple[int, int]:
        cdef OpenOrders* open = &self.orders.open
        sell = open.nearest[0] if open.resting[0] else 0
        return open.nearest[1] if open.resting[1] else 0, sell


    def place(self, int64_t side, int64_t ticks, int64_t lots, int64_t kind) -> int:
        """In addition to the quote model's; return the id, 0 if a SKIP row was written."""
        return self.place_order(self.venue.now_us, side, ticks, lots, kind)

    def cancel(self, int64_t order_id) -> bool:
        """Request a cancel now; return False if no such order is open or its cancel is pending."""
        return self.cancel_order(self.venue.now_us, order_id)

    def amend(self, int64_t order_id, int64_t lots) -> bool:
        """Request a smaller total quantity; return False if it is not possible, or an amendment is pending."""
        return self.amend_order(order_id, lots)

    cdef int64_t place_order(self, int64_t us, int64_t side, int64_t ticks, int64_t lots, int64_t kind) except -1 nogil:
        """Return the id, or 0 if the order was refused, with the reason in `refusal`."""
        self.manual = self.orders.open.changed = True
        ticks = 0 if kind == MARKET else on_step(ticks, side, self.step_ticks)
        self.refusal = self.send(us, side, 0, ticks, lots, kind, COVERED)
        self.manual = False
        return self.last_id if self.refusal == COVERED else 0

    cdef bint cancel_order(self, int64_t us, int64_t order_id) except -1 nogil:
        cdef Order* order = orders_find(&self.orders.open, order_id)
        if order is NULL or order.cancel_req_us != NEVER:
            return False
        self.request_cancel(order - self.orders.open.orders, us, ASKED)
        self.orders.open.changed = True
        return True

    cdef bint amend_order(self, int64_t order_id, int64_t lots) except -1 nogil:
        cdef Order* order = orders_find(&self.orders.open, order_id)
        cdef Order less
        if order is NULL or order.amend_us != NEVER or order.cancel_req_us != NEVER or self.guard.killed:
            return False
        if not order.placed_lots - order.lots < lots < order.placed_lots or lots % self.venue.step_lots:
            return False
        less = order[0]
        less.lots = lots
        if order.amends >= self.amends_allowed or self.venue.holds(order.side) or self.size_fault(&less) != COVERED:
            return False
        self.request_amend(order, lots)
        return True

    def ahead_lots(self, int64_t order_id) -> float | None:
        """By the fill model; None without a queue position."""
        cdef Order* order = orders_find(&self.orders.open, order_id)
        return None if order is NULL or isnan(order.ahead_lots) else order.ahead_lots


cdef SignalSet signals_of(tuple names, object rules, object others):
    """On the price grid of a run; *others* are its other markets."""
    from mm.signals.families import SIGNALS  # imported here: most runs have no signals

    if "micro_price" in names and rules.micro_price is None:
        raise UsageError(
            "the quote model reads micro_price, which is fitted on earlier days, and there is no fit; record or import "
            "days before this one into DATA_ROOT, or leave the signal out"
        )
    return SIGNALS.set_of(names, rules, rules.micro_price, others, rules.step_lots)


cdef inline Level* level_at(const Ladder* ladder, int64_t side, int64_t ticks) noexcept nogil:
    """Return the level of a price in a sorted ladder; NULL for none.

    If the steps of a ladder are equal, the index is computed from the price; else it is searched.
    """
    cdef int64_t low = 0, high = ladder.count, middle
    cdef double place
    if high == 0 or side * (ladder.levels[0].whole_ticks - ticks) < 0 or side * (ladder.levels[high - 1].whole_ticks - ticks) > 0:
        return NULL
    place = <double> (side * (ladder.levels[0].whole_ticks - ticks)) * ladder.per_tick + 0.5
    middle = <int64_t> place
    while low < high:
        if ladder.levels[middle].whole_ticks == ticks:
            return &ladder.levels[middle]
        if side * (ladder.levels[middle].whole_ticks - ticks) > 0:
            low = middle + 1
        else:
            high = middle
        middle = (low + high) // 2
    return NULL


cdef inline bint surely_sized(OrderManager manager, const Order* order) noexcept nogil:
    """By a margin far above the rounding errors of floats."""
    cdef double notional = <double> order.ticks * <double> order.lots * <double> manager.orders.account.unit_e16
    return (
        order.ticks > 0
        and order.lots >= manager.least_lots
        and order.lots <= manager.most_lots
        and notional > manager.least_notional_e16
        and notional < manager.most_notional_e16
    )
