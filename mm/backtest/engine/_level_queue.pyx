# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Queue positions of our orders, with levels looked up in an index (`mm.tape.level_changes`), not stored in a book.

Between two trades at an order's price only changes of its level affect its queue position, so they are applied at the
second trade. An order joins its level when a trade first reaches its price: most are never reached. A point in time is
the number of books of the tape that have happened.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free

from mm.backtest.engine._market cimport Market, first_from, first_of
from mm.backtest.engine._own_orders cimport OpenOrders
from mm.backtest.engine._taking cimport prints_add, prints_at
from mm.backtest.fills.base cimport SENT, FillModel, Order, Top, Trade
from mm.tape._book cimport LEVEL_PAGE_BITS, MARK_EVERY, Change
from mm.tape._memory cimport prefetch

cdef int64_t NO_LEVEL = -1  # no book of this tape has happened since the order came to rest
cdef int64_t UNREAD = -2    # no trade has reached the order since it came to rest after `joined_at` books


@cython.final
cdef class LevelQueue:
    """The queue positions of our resting orders on a tape of which only the best prices are visited.

    Args:
        fills: The fill model; it follows the levels of its orders.
    """

    def __init__(self, fills: FillModel) -> None:
        self.fills = fills

    def __dealloc__(self) -> None:
        free(self.tail.rows)
        free(self.looked_up)

    cdef int begin_tape(self, object books, object index, int64_t events, OpenOrders* open) except -1:
        """Begin a tape of a number of *events*: all its *books* (`mm.tape.streams`), and the index of its levels."""
        cdef Levels* levels = &self.levels
        cdef const int64_t[::1] page = index.page, begin = index.begin, fresh = index.fresh
        cdef const int64_t[::1] book_us = books.us, book_event = books.event
        cdef const Change[::1] change = index.change
        cdef const int32_t[::1] mark = index.mark
        cdef int64_t i
        self.owners = books, index
        levels.page, levels.begin, levels.fresh = first_of(page), first_of(begin), first_of(fresh)
        levels.change = &change[0] if change.shape[0] else NULL
        levels.mark = &mark[0] if mark.shape[0] else NULL
        levels.pages, levels.fresh_count, levels.base = page.shape[0], fresh.shape[0], index.base
        self.book_us, self.book_event = first_of(book_us), first_of(book_event)
        self.books, self.events = book_us.shape[0], events
        free(self.looked_up)
        self.looked_up = <int32_t*> calloc(max(begin.shape[0], 1), sizeof(int32_t))
        if self.looked_up is NULL:
            raise MemoryError(f"no memory for {begin.shape[0]} price levels")
        self.passed = self.first_trade = self.page_at[0] = self.page_at[1] = 0
        for i in range(open.count):
            if open.orders[i].status != SENT:
                open.orders[i].level_begin, open.orders[i].book_at = NO_LEVEL, 0
        return 0

    cdef int end_tape(self, OpenOrders* open, const Market* market) except -1:
        """Apply everything that has happened, and store the trades after the last book, for orders on the next tape."""
        cdef int64_t at = market.trades.next - 1
        cdef Trade trade
        self.settle(open)
        if self.passed:
            self.tail.used = 0
        while at >= self.first_trade and self.is_after_book(market.trades.us[at], market.trades.event[at]):
            trade.side, trade.ticks, trade.lots = market.trade_side[at], market.trade_ticks[at], market.trade_lots[at]
            prints_add(&self.tail, &trade)
            at -= 1
        return 0

    cdef void begin_window(self, int64_t trade) noexcept nogil:
        """Begin the window with its book: no trade before *trade* counts."""
        self.first_trade = trade

    cdef void pass_time(self, int64_t us) noexcept nogil:
        while self.passed < self.books and self.book_us[self.passed] < us:
            self.passed += 1

    cdef void pass_trade(self, int64_t us, int64_t event) noexcept nogil:
        self.pass_time(us)
        while self.passed < self.books and self.book_us[self.passed] == us and self.book_event[self.passed] < event:
            self.passed += 1

    cdef bint is_after_book(self, int64_t us, int64_t event) noexcept nogil:
        cdef int64_t book = self.passed - 1
        if book < 0:
            return True
        return us > self.book_us[book] or us == self.book_us[book] and event > self.book_event[book]

    cdef int rest(self, Order* order, const Market* market) except -1 nogil:
        """Add a resting order behind the lots displayed at its price, less those that traded since the last book.

        The former are read when a trade reaches it.
        """
        cdef int64_t at = market.trades.next - 1, lots = 0
        order.level_begin, order.joined_at, order.book_at = UNREAD, self.passed, self.passed
        while at >= self.first_trade and self.is_after_book(market.trades.us[at], market.trades.event[at]):
            if market.trade_ticks[at] == order.ticks and market.trade_side[at] == -order.side:
                lots += market.trade_lots[at]
            at -= 1
        if self.passed == 0:
            lots += prints_at(&self.tail, -order.side, order.ticks)
        order.printed_lots = lots
        return 0

    cdef int meet_trade(self, Order* order, int64_t lots) except -1 nogil:
        """Also counts the trade's lots."""
        if order.ahead_lots == 0.0:  # nothing is ahead, now or later
            return 0
        self.join(order)
        self.follow(order)
        order.book_at = self.passed
        order.printed_lots += lots
        return 0

    cdef int renew(self, OpenOrders* open) except -1 nogil:
        """Set the levels of all resting orders from the last book, which began one, or begins a window."""
        cdef int64_t i, event = self.event_of(self.passed - 1) + 1
        cdef Order* order
        for i in range(open.count):
            order = &open.orders[i]
            if order.status != SENT and order.ahead_lots != 0.0:
                self.find(order, event)
                self.set_level(order, self.shown_lots(order, self.began(event)))
        return 0

    cdef int settle(self, OpenOrders* open) except -1 nogil:
        cdef int64_t i
        for i in range(open.count):
            if open.orders[i].status != SENT and open.orders[i].ahead_lots != 0.0:
                self.join(&open.orders[i])
                self.follow(&open.orders[i])
        return 0

    cdef int64_t offered_to(self, const Order* order, int64_t ticks, int64_t event, int64_t enough) noexcept nogil:
        """Lots that the other side displays from its best price to an order's, after an event, up to *enough*."""
        cdef int64_t after = self.levels.base + event + 1, fresh = self.began(after), lots = 0
        cdef Order level
        level.side = -order.side
        while lots < enough and order.side * (order.ticks - ticks) >= 0:
            level.ticks = ticks
            self.find(&level, after)
            lots += self.shown_lots(&level, fresh)
            ticks += order.side
        return lots

    # ------------------------------------------------------------------ reading levels

    cdef int64_t event_of(self, int64_t book) noexcept nogil:
        """The position of a book in the whole tape; after the last one, behind all events."""
        return self.levels.base + (self.book_event[book] if book < self.books else self.events)

    cdef int join(self, Order* order) except -1 nogil:
        cdef int64_t event
        if order.level_begin != UNREAD:
            return 0
        # Before the first book of a tape that continues another, the levels are that book's.
        event = self.event_of(order.joined_at) if order.joined_at else self.event_of(0) + 1
        self.find(order, event)
        order.level_lots = self.shown_lots(order, self.began(event))
        return self.fills.on_rest(order, NULL)

    cdef int follow(self, Order* order) except -1 nogil:
        cdef int64_t at = order.level_next, event, stop, lots = order.level_lots
        cdef const Change* change = self.levels.change
        if order.level_begin == NO_LEVEL or self.passed == 0:
            return 0
        stop = self.event_of(self.passed)
        if order.printed_lots and order.book_at < self.passed:
            event = self.event_of(order.book_at)
            while at < order.level_stop and change[at].event <= event:
                lots = change[at].lots
                at += 1
            self.set_level(order, lots)
        while at < order.level_stop and change[at].event < stop:
            event = change[at].event
            while at < order.level_stop and change[at].event == event:  # the last of a message counts
                lots = change[at].lots
                at += 1
            self.set_level(order, lots)
        order.level_next = at
        return 0

    cdef int set_level(self, Order* order, int64_t lots) except -1 nogil:
        """Apply a book to the level of an order, as `PaperVenue.match_levels` does."""
        cdef int64_t before = order.level_lots
        order.level_lots = lots
        if lots != before or order.printed_lots:
            self.fills.on_level(order, before, lots)
            order.printed_lots = 0
        return 0

    cdef int64_t began(self, int64_t event) noexcept nogil:
        """Position in the tape at which the book before an event began, -1 for none."""
        cdef int64_t at = first_from(self.levels.fresh, 0, self.levels.fresh_count, event)
        return self.levels.fresh[at - 1] if at else -1

    cdef int64_t shown_lots(self, const Order* order, int64_t fresh) noexcept nogil:
        """Lots displayed at an order's level before its next change, in a book that began with *fresh*."""
        cdef int64_t at = order.level_next - 1
        cdef const Change* change = self.levels.change
        return change[at].lots if at >= order.level_begin and change[at].event >= fresh else 0

    cdef void find(self, Order* order, int64_t event) noexcept nogil:
        cdef const Levels* levels = &self.levels
        cdef int slot = order.side > 0
        cdef int64_t page = order.ticks >> LEVEL_PAGE_BITS, at = self.page_at[slot], level, begin, stop, middle, step = 1
        cdef int64_t above = MARK_EVERY - 1
        if at >= levels.pages or levels.page[at] != page:
            at = first_from(levels.page, 0, levels.pages, page)
            if at == levels.pages or levels.page[at] != page:
                order.level_begin = order.level_next = order.level_stop = 0
                return
            self.page_at[slot] = at
        level = 2 * ((at << LEVEL_PAGE_BITS) + order.ticks - (page << LEVEL_PAGE_BITS)) + slot
        order.level_begin, order.level_stop = levels.begin[level], levels.begin[level + 1]
        # Marks are searched first: the changes themselves are scattered in memory.
        begin = (order.level_begin + above) // MARK_EVERY
        at = begin + self.looked_up[level]
        if at > begin and levels.mark[at - 1] < event:  # else an order that came to rest earlier is read later
            begin = at
        stop = (order.level_stop + above) // MARK_EVERY
        while begin + step <= stop and levels.mark[begin + step - 1] < event:
            begin += step
            step *= 2
        stop = min(stop, begin + step - 1)
        while begin < stop:
            middle = (begin + stop) // 2
            if levels.mark[middle] < event:
                begin = middle + 1
            else:
                stop = middle
        self.looked_up[level] = <int32_t> (begin - (order.level_begin + above) // MARK_EVERY)
        at = max(order.level_begin, (begin - 1) * MARK_EVERY + 1)
        prefetch(&levels.change[at + 5])
        prefetch(&levels.change[at + 10])
        while at < order.level_stop and levels.change[at].event < event:
            at += 1
        order.level_next = at
