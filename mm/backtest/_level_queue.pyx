# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Queue positions on best prices: levels are looked up in an index (`mm.tape.level_changes`), not stored in a book.

Between two prints at an order's price only changes of its level affect its queue position, so they are applied at the
second print. An order joins its level when a print first reaches its price: most are never reached.
At the touch the level is read from the tape's best prices, which are sequential, while changes of a level are scattered
in the index.
Event numbers are those of the whole tape, of which a window may be played.
"""

cimport cython
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t

from mm.backtest._happened cimport Happened, events_before
from mm.backtest._own_orders cimport OpenOrders
from mm.backtest._taking cimport Prints, prints_add, prints_at
from mm.backtest.fills.base cimport SENT, FillModel, Order, Top, Trade
from mm.tape._book cimport LEVEL_PAGE_BITS, MARK_EVERY, Book, Change, book_apply, book_clear, first_of
from mm.tape._kinds cimport KEYFRAME, TRADE
from mm.tape._memory cimport prefetch

cdef extern from "<stdint.h>":
    const int32_t ALWAYS "INT32_MAX"    # of mm.tape.top_of_book

cdef enum:
    FETCHED = 32            # tops and prints are prefetched this far ahead
    LOOKED_BACK = 64        # tops since an order came to rest; beyond that its level is looked up

cdef int64_t NO_LEVEL = -1  # no book of this tape has begun since an order came to rest
cdef int64_t UNREAD = -2    # the order came to rest before the event `joined_at`, and no print has reached it since
cdef int64_t AT_TOUCH = -3  # no better price is displayed on its side: its level is read from the tops, to *level_next*

ctypedef fused Position:
    int32_t
    int64_t


@cython.final
cdef class LevelQueue:
    """The queue positions of our resting orders on a tape that is played on its best prices.

    Args:
        fills: The fill model; it follows the levels of its orders.
    """

    def __init__(self, fills: FillModel) -> None:
        self.fills = fills

    cdef int begin_tape(
        self, object tape, object index, Happened* happened, OpenOrders* open, const Prints* printed
    ) except -1:
        """Set the best prices of a tape and the index of its levels; *printed*: prints since the last book event."""
        cdef Levels* levels = &self.levels
        cdef const int64_t[::1] page = index.page, begin = index.begin, fresh = index.fresh, books = index.books
        cdef const Change[::1] change = index.change
        cdef const int32_t[::1] mark = index.mark
        cdef const uint8_t[::1] kind = index.kind
        cdef int64_t i
        self.index = index
        levels.page, levels.begin = first_of(page), first_of(begin)
        levels.fresh, levels.fresh_count = first_of(fresh), fresh.shape[0]
        levels.change = &change[0] if change.shape[0] else NULL
        levels.mark = &mark[0] if mark.shape[0] else NULL
        levels.kind, levels.kinds = &kind[0] if kind.shape[0] else NULL, kind.shape[0]
        levels.pages, levels.base, levels.framed = page.shape[0], index.base, index.framed
        levels.books = first_of(books)
        self.place, self.kind, self.first_row = tape.place, tape.kind, tape.first_row
        self.event_us, self.event_id = tape.event_us, tape.event_id
        self.row_side, self.row_ticks, self.row_lots = tape.row_side, tape.row_ticks, tape.row_lots
        self.reach = tape.reach
        self.top_event = tape.top_event
        self.top_bid_ticks, self.top_bid_lots = tape.top_bid_ticks, tape.top_bid_lots
        self.top_ask_ticks, self.top_ask_lots = tape.top_ask_ticks, tape.top_ask_lots
        self.tops.event, self.tops.count, self.tops.happened = first_of(self.top_event), self.top_event.shape[0], -1
        self.tops.ticks[0], self.tops.ticks[1] = first_of(self.top_ask_ticks), first_of(self.top_bid_ticks)
        self.tops.lots[0], self.tops.lots[1] = first_of(self.top_ask_lots), first_of(self.top_bid_lots)
        self.happened, self.passed_us = happened, 0
        self.is_open, self.begun, self.printed_from = False, -1, levels.base
        self.print_at = self.page_at[0] = self.page_at[1] = 0
        self.book_from, self.book_next = 0, -1
        for i in range(open.count):
            if open.orders[i].status != SENT:
                open.orders[i].level_begin = NO_LEVEL
                open.orders[i].printed_lots = prints_at(printed, -open.orders[i].side, open.orders[i].ticks)
        return 0

    # ------------------------------------------------------------------ events

    cdef void begin_window(self, int64_t start_us) noexcept nogil:
        """Start with the book at an instant; prints before it do not count."""
        self.begun = self.printed_from = self.events_before(start_us)

    cdef void note_book(self, int64_t event, bint begins) noexcept nogil:
        """Register a book event of the window, and whether a book begins with it."""
        self.begun = -1
        if begins:
            self.is_open, self.begun = True, self.place[event] + self.levels.base + 1

    cdef void rest(self, Order* order, const Top* top) noexcept nogil:
        """Add a resting order at the end of its queue; the lots ahead are read when a print reaches it."""
        order.level_begin, order.joined_at = UNREAD, self.events_before(self.passed_us)
        order.level_next = -1
        if at_touch(order, top.bid_ticks, top.ask_ticks):
            order.level_next = 0
            prefetch(&self.levels.kind[order.joined_at])  # read by `join`

    cdef int meet_print(self, Order* order, const Top* top) except -1 nogil:
        """Update the queue position of an order to the print at `print_at`, at its price, and apply the print."""
        if order.ahead_lots != 0.0:  # else nothing is ahead, now or later
            self.meet(order, top)
            self.count_print(order)
        return 0

    cdef bint absorbs(self, Order* order, const Top* top) except -1 nogil:
        """Do the same for a model that is `ahead_first`, and its part, if the lots ahead absorb the whole print.

        Otherwise return False: the print is then still to be applied.
        """
        if order.ahead_lots == 0.0:
            return False
        self.meet(order, top)
        if not order.ahead_lots >= self.print_lots:
            return False
        order.ahead_lots -= self.print_lots
        self.count_print(order)
        return True

    cdef int renew(self, OpenOrders* open, const Top* top) except -1 nogil:
        """If the last book event began a book, set the levels of all resting orders from it."""
        cdef int64_t i, fresh
        cdef Order* order
        if self.begun < 0:
            return 0
        fresh = began(&self.levels, self.begun)
        self.walk_all(open, top, self.begun - 1)
        for i in range(open.count):
            order = &open.orders[i]
            if order.status != SENT:
                find_level(&self.levels, order, level_of(&self.levels, order, &self.page_at[order.side > 0]), self.begun)
                self.set_level(order, level_lots(&self.levels, order, fresh))
        return 0

    cdef int settle(self, OpenOrders* open, const Top* top) except -1 nogil:
        """Update the queue positions of all orders to the played instant."""
        return self.walk_all(open, top, self.events_before(self.passed_us)) if self.is_open else 0

    cdef int restore(self, Book* book, Prints* printed) except -1 nogil:
        """Set the levels of a book, and the list of prints since the last book event, to the played instant."""
        cdef Levels* levels = &self.levels
        cdef int64_t event = self.events_before(self.passed_us), fresh = began(levels, event), i, at, row
        cdef int64_t inside = (<int64_t> 1 << LEVEL_PAGE_BITS) - 1, ticks, lots
        cdef int8_t side
        cdef Trade print_
        if not self.is_open:
            return 0
        book_clear(book)
        for i in range(2 * (levels.pages << LEVEL_PAGE_BITS)):
            at = first_change(levels, narrowed(levels, i, event), levels.begin[i + 1], event) - 1
            if at >= levels.begin[i] and levels.change[at].event >= fresh and levels.change[at].lots:
                side = 1 if i & 1 else -1
                ticks = (levels.page[i >> (LEVEL_PAGE_BITS + 1)] << LEVEL_PAGE_BITS) + ((i >> 1) & inside)
                lots = levels.change[at].lots
                book_apply(book, &side, &ticks, &lots, 1)
        printed.used = 0
        for at in range(self.first_print(event), self.place.shape[0]):
            if self.place[at] + levels.base >= event:
                break
            if self.kind[at] == TRADE:
                row = self.first_row[at]
                print_.us, print_.id = self.event_us[at], self.event_id[at]
                print_.side, print_.ticks, print_.lots = self.row_side[row], self.row_ticks[row], self.row_lots[row]
                prints_add(printed, &print_)
        return 0

    # ------------------------------------------------------------------ reading levels

    cdef int64_t events_before(self, int64_t us) noexcept nogil:
        """Return the first event at or after an instant; instants must not decrease between calls."""
        return self.levels.base + events_before(self.happened, us)

    cdef int walk_all(self, OpenOrders* open, const Top* top, int64_t event) except -1 nogil:
        """Apply the changes before an event to the levels of all resting orders."""
        cdef int64_t i
        for i in range(open.count):
            if open.orders[i].status == SENT:
                continue
            if is_unread(&open.orders[i]):
                self.join(&open.orders[i], top, event)
            if open.orders[i].ahead_lots != 0.0:  # else nothing is ahead, now or later
                self.follow(&open.orders[i], event)
        return 0

    cdef inline int meet(self, Order* order, const Top* top) except -1 nogil:
        """Update the queue position of an order to the time before the print at `print_at`, at its price."""
        cdef int64_t event = self.place[self.print_at] + self.levels.base
        prefetch(&self.place[self.print_at + FETCHED])  # of later prints
        if order.level_begin == UNREAD:
            self.join(order, top, event)
        return self.follow(order, event)

    cdef inline void count_print(self, Order* order) noexcept nogil:
        """Add the print at `print_at` to those at an order's price since the last book event."""
        if order.printed_lots == 0:
            order.book_at = self.book_after(self.place[self.print_at] + self.levels.base + 1)
        order.printed_lots += self.print_lots

    cdef inline int64_t book_after(self, int64_t event) noexcept nogil:
        """Return the first book event from an event on; many prints may precede it."""
        if not self.book_from <= event <= self.book_next:
            self.book_from, self.book_next = event, next_book(&self.levels, event)
        return self.book_next

    cdef inline int follow(self, Order* order, int64_t event) except -1 nogil:
        """Apply the changes before an event to the level of a resting order, if it is known."""
        if order.printed_lots and order.book_at >= event:
            return 0  # prints count at the next book event
        if order.level_begin == AT_TOUCH:
            return self.walk_touch(order, event)
        return self.walk(order, event) if order.level_begin >= 0 else 0

    cdef int walk_touch(self, Order* order, int64_t event) except -1 nogil:
        """Apply these changes to the level of an order at the touch; if another price is best, look the level up."""
        cdef int slot = order.side > 0
        cdef const Tops* tops = &self.tops
        cdef int64_t at = order.level_next + 1, place
        while at < tops.count:
            place = self.top_place(at)
            if place >= event:
                break
            if order.printed_lots and place > order.book_at:
                self.set_level(order, order.level_lots)
            if tops.ticks[slot][at] != order.ticks:
                find_level(&self.levels, order, level_of(&self.levels, order, &self.page_at[slot]), place)
                return self.walk(order, event)
            self.set_level(order, tops.lots[slot][at])
            at += 1
        if order.printed_lots:
            self.set_level(order, order.level_lots)
        order.level_next = at - 1
        return 0

    cdef int walk(self, Order* order, int64_t event) except -1 nogil:
        """Apply these changes to a looked-up level of a resting order."""
        cdef const Levels* levels = &self.levels
        cdef int64_t at, book, lots
        at = order.level_next
        if order.printed_lots:
            lots, book = order.level_lots, booked(levels, order.book_at)
            while at < order.level_stop and levels.change[at].event <= book:
                lots = levels.change[at].lots
                at += 1
            self.set_level(order, lots)
        event = booked(levels, event)
        while at < order.level_stop and levels.change[at].event < event:
            book = levels.change[at].event
            while at < order.level_stop and levels.change[at].event == book:
                lots = levels.change[at].lots
                at += 1
            self.set_level(order, lots)
        order.level_next = at
        return 0

    cdef int join(self, Order* order, const Top* top, int64_t now) except -1 nogil:
        """Set the queue position of an order when it came to rest: behind the displayed lots, less those printed since.

        At the touch the displayed lots are read from the tops, few and sequential. *now* is a current event.
        """
        cdef const Tops* tops = &self.tops
        cdef int64_t event = order.joined_at, at = -1
        cdef int slot = order.side > 0
        if order.level_next >= 0:
            at = self.top_before(event, now)
        if at >= 0 and at_touch(order, tops.ticks[1][at], tops.ticks[0][at]):
            order.level_begin, order.level_next = AT_TOUCH, at
            order.level_lots = tops.lots[slot][at] if tops.ticks[slot][at] == order.ticks else 0
        else:
            find_level(&self.levels, order, level_of(&self.levels, order, &self.page_at[slot]), event)
            order.level_lots = level_lots(&self.levels, order, began(&self.levels, event))
        order.printed_lots = self.printed_lots(event, order)
        order.book_at = self.book_after(event)
        return self.fills.on_rest(order, top)

    cdef int64_t top_before(self, int64_t event, int64_t now) noexcept nogil:
        """Return the last top before an event, -1 if it is not among the last ones before *now*."""
        cdef Tops* tops = &self.tops
        cdef int64_t at = tops.happened, stop
        cdef int slot
        while at + 1 < tops.count and self.top_place(at + 1) < now:
            at += 1
        tops.happened, stop = at, max(at - LOOKED_BACK, -1)
        prefetch(&tops.event[at + FETCHED])
        for slot in range(2):
            prefetch(&tops.ticks[slot][at + FETCHED])
            prefetch(&tops.lots[slot][at + FETCHED])
        while at > stop and self.top_place(at) >= event:
            at -= 1
        return at if at > stop else -1

    cdef inline int64_t top_place(self, int64_t top) noexcept nogil:
        """Return the event of a top."""
        return self.place[self.tops.event[top]] + self.levels.base

    cdef int set_level(self, Order* order, int64_t lots) except -1 nogil:
        """Apply a book event to the level of an order, as `PaperVenue.match_levels` does."""
        cdef int64_t before = order.level_lots
        order.level_lots = lots
        if lots != before or order.printed_lots:
            self.fills.on_level(order, before, lots)
            order.printed_lots = 0
        return 0

    cdef int64_t first_print(self, int64_t event) noexcept nogil:
        """Return the index in the window's best prices of the first print since the last book event before *event*."""
        cdef int64_t first = max(last_book(&self.levels, event) + 1, self.printed_from), places = self.place.shape[0]
        if first >= event:  # the usual case, without a search
            return places
        return first_near(first_of(self.place), self.print_at, places, first - self.levels.base)

    cdef int64_t printed_lots(self, int64_t event, const Order* order) noexcept nogil:
        """Return the lots printed against an order at its price since the last book event before *event*."""
        cdef int64_t at, row, ticks, printed, against = -order.side * order.ticks, lots = 0
        for at in range(self.first_print(event), self.place.shape[0]):
            if self.place[at] + self.levels.base >= event:
                break
            ticks, printed = <int32_t> self.reach[at], self.reach[at] >> 32
            if ticks == ALWAYS or printed == ALWAYS:  # no print, or one too large for the column
                if self.kind[at] == TRADE:
                    row = self.first_row[at]
                    ticks, printed = self.row_side[row] * self.row_ticks[row], self.row_lots[row]
            lots += printed if ticks == against else 0
        return lots


cdef inline bint at_touch(const Order* order, int64_t bid_ticks, int64_t ask_ticks) noexcept nogil:
    """Return whether no better price than an order's is displayed on its side."""
    return order.ticks >= bid_ticks if order.side > 0 else order.ticks <= ask_ticks


cdef inline bint is_unread(const Order* order) noexcept nogil:
    """Return whether an order has yet to join its level; not needed if nothing is ahead of it."""
    return order.level_begin == UNREAD and order.ahead_lots != 0.0


cdef inline int64_t first_from(const Position* rising, int64_t begin, int64_t stop, int64_t least) noexcept nogil:
    """Return the first index of ``begin:stop`` with a value of *least* or more, *stop* if there is none."""
    cdef int64_t middle
    while begin < stop:
        middle = (begin + stop) // 2
        if rising[middle] < least:
            begin = middle + 1
        else:
            stop = middle
    return begin


cdef inline int64_t first_change(const Levels* levels, int64_t begin, int64_t stop, int64_t event) noexcept nogil:
    """Return the first change of ``begin:stop`` at or after an event, *stop* if there is none."""
    event = booked(levels, event)
    while begin < stop and levels.change[begin].event < event:
        begin += 1
    return begin


cdef inline int64_t first_near(const int64_t* rising, int64_t near, int64_t stop, int64_t least) noexcept nogil:
    """Return the first index of ``0:stop`` with a value of at least *least*, searching from the index *near*."""
    cdef int64_t step = 1
    if near >= stop or rising[near] < least:
        return first_from(rising, min(near, stop), stop, least)
    while near >= step and rising[near - step] >= least:
        near -= step
        step *= 2
    return first_from(rising, max(near - step, 0), near, least)


cdef inline int64_t booked(const Levels* levels, int64_t event) noexcept nogil:
    """Return the end, in the tape, of the books before an event: changes up to there precede the event."""
    return event if levels.books is NULL else levels.books[event]


cdef inline bint turns_book(const Levels* levels, int64_t event) noexcept nogil:
    """Return whether an event is a book event; a KEYFRAME is one only as the window's first event."""
    return levels.kind[event] != TRADE and (levels.kind[event] != KEYFRAME or event == levels.framed)


cdef inline int64_t next_book(const Levels* levels, int64_t event) noexcept nogil:
    """Return the first book event from an event on; the number of the tape's events if there is none."""
    while event < levels.kinds and not turns_book(levels, event):
        event += 1
    return event


cdef inline int64_t last_book(const Levels* levels, int64_t event) noexcept nogil:
    """Return the last book event before an event, -1 if the window has none."""
    event -= 1
    while event >= levels.base and not turns_book(levels, event):
        event -= 1
    return event if event >= levels.base else -1


cdef inline int64_t began(const Levels* levels, int64_t event) noexcept nogil:
    """Return the position in the tape at which the book before an event began, -1 for none."""
    cdef int64_t fresh = first_from(levels.fresh, 0, levels.fresh_count, booked(levels, event))
    return levels.fresh[fresh - 1] if fresh else -1


cdef inline int64_t level_of(const Levels* levels, const Order* order, int64_t* page_at) noexcept nogil:
    """Return the number of an order's level, -1 if it never changes; *page_at*: index of the last page searched."""
    cdef int64_t page = order.ticks >> LEVEL_PAGE_BITS, at = page_at[0]
    if at >= levels.pages or levels.page[at] != page:
        at = first_from(levels.page, 0, levels.pages, page)
        if at == levels.pages or levels.page[at] != page:
            return -1
        page_at[0] = at
    return 2 * ((at << LEVEL_PAGE_BITS) + order.ticks - (page << LEVEL_PAGE_BITS)) + (order.side > 0)


cdef inline int64_t narrowed(const Levels* levels, int64_t level, int64_t event) noexcept nogil:
    """Return the start of a prefetched range of a level's changes that has the first one at or after an event."""
    cdef int64_t begin = levels.begin[level], above = MARK_EVERY - 1
    cdef int64_t first = (begin + above) // MARK_EVERY, stop = (levels.begin[level + 1] + above) // MARK_EVERY
    begin = max(begin, (first_from(levels.mark, first, stop, booked(levels, event)) - 1) * MARK_EVERY + 1)
    prefetch(&levels.change[begin - 1])
    prefetch(&levels.change[begin + 5])
    prefetch(&levels.change[begin + 10])
    return begin


cdef inline void find_level(const Levels* levels, Order* order, int64_t level, int64_t event) noexcept nogil:
    """Find the changes of an order's level, and the first of them at or after an event."""
    if level < 0:
        order.level_begin = order.level_next = order.level_stop = 0
        return
    order.level_next = narrowed(levels, level, event)
    order.level_begin, order.level_stop = levels.begin[level], levels.begin[level + 1]
    order.level_next = first_change(levels, order.level_next, order.level_stop, event)


cdef inline int64_t level_lots(const Levels* levels, const Order* order, int64_t fresh) noexcept nogil:
    """Return the lots displayed at an order's level before its next change, in a book that began with event *fresh*."""
    cdef int64_t at = order.level_next - 1
    return levels.change[at].lots if at >= order.level_begin and levels.change[at].event >= fresh else 0
