# cython: boundscheck=False, wraparound=False, cdivision=True
# Places in queues on best prices: levels are looked up in an index (`mm.tape.level_changes`), not kept in a book.
#
# Between two prints at an order's price only changes of its level matter to its place, so they are walked through when
# the second one comes. Positions are those of the whole tape.

from libc.stdint cimport int32_t, int64_t, uint8_t

from mm.backtest.fills.base cimport FillModel, Order
from mm.tape._kinds cimport KEYFRAME, TRADE

cdef enum:
    PAGE_BITS = 8           # of `mm.tape.level_changes.PAGE`
    PAGE_LAST = 255
    NO_LEVEL = -1           # no book of this tape has begun since an order came to rest
    UNREAD = -2             # it joined its level before the event `printed_at`, and was reached by no print since

cdef struct Levels:
    const int64_t* page     # of prices that have changes, rising
    const int64_t* begin    # where the changes of the asks at a price begin, and then of the bids there
    const int32_t* change_event
    const int64_t* change_lots
    const int64_t* fresh
    const uint8_t* kind
    const int64_t* event_us
    int64_t pages
    int64_t fresh_count
    int64_t base, stop      # the window's first event, and the one behind its last
    int64_t printed_from    # no print before it counts
    int64_t happened        # the first event that has not happened yet, as last looked


cdef inline int64_t happened_before(Levels* levels, int64_t us) noexcept nogil:
    """Return the first event that is not before an instant; instants must rise from call to call."""
    while levels.happened < levels.stop and levels.event_us[levels.happened] < us:
        levels.happened += 1
    return levels.happened


cdef inline bint turns_book(const Levels* levels, int64_t event) noexcept nogil:
    """Return whether a book event happens at a position; a KEYFRAME is none, but for the window's first."""
    return levels.kind[event] != TRADE and (levels.kind[event] != KEYFRAME or event == levels.base)


cdef inline int64_t next_book(const Levels* levels, int64_t event, int64_t stop) noexcept nogil:
    """Return the first book event at a position or behind it, *stop* where there is none before."""
    while event < stop and not turns_book(levels, event):
        event += 1
    return event


cdef inline int64_t last_book(const Levels* levels, int64_t event) noexcept nogil:
    """Return the last book event before a position, -1 where the window has none."""
    event -= 1
    while event >= levels.base and not turns_book(levels, event):
        event -= 1
    return event if event >= levels.base else -1


cdef inline int64_t first_from(const int32_t* events, int64_t begin, int64_t stop, int64_t event) noexcept nogil:
    """Return the first place from *begin* on whose event is not before *event*."""
    cdef int64_t middle
    while begin < stop:
        middle = (begin + stop) // 2
        if events[middle] < event:
            begin = middle + 1
        else:
            stop = middle
    return begin


cdef inline int64_t level_lots(const Levels* levels, const Order* order, int64_t fresh) noexcept nogil:
    """Return the lots that an order's level displays before its next change, in a book that began with event *fresh*."""
    cdef int64_t at = order.level_next - 1
    return levels.change_lots[at] if at >= order.level_begin and levels.change_event[at] >= fresh else 0


cdef inline int64_t began(const Levels* levels, int64_t event) noexcept nogil:
    """Return the event before a position with which its book began, -1 where there is none."""
    cdef int64_t begin = 0, stop = levels.fresh_count, middle
    while begin < stop:
        middle = (begin + stop) // 2
        if levels.fresh[middle] < event:
            begin = middle + 1
        else:
            stop = middle
    return levels.fresh[begin - 1] if begin else -1


cdef inline void find_level(const Levels* levels, Order* order, int64_t event) noexcept nogil:
    """Find the changes of an order's level, and of these the first that is not before an event."""
    cdef int64_t page = order.ticks >> PAGE_BITS, begin = 0, stop = levels.pages, middle, slot
    while begin < stop:
        middle = (begin + stop) // 2
        if levels.page[middle] < page:
            begin = middle + 1
        else:
            stop = middle
    if begin == levels.pages or levels.page[begin] != page:
        order.level_begin = order.level_next = order.level_stop = 0
        return
    slot = 2 * ((begin << PAGE_BITS) + (order.ticks & PAGE_LAST)) + (order.side > 0)
    order.level_begin, order.level_stop = levels.begin[slot], levels.begin[slot + 1]
    order.level_next = first_from(levels.change_event, order.level_begin, order.level_stop, event)


cdef inline int set_level(FillModel fills, Order* order, int64_t lots) except -1 nogil:
    """Let the level of an order be what a book event made of it, as `PaperVenue.match_levels` does."""
    cdef int64_t before = order.level_lots
    order.level_lots = lots
    if lots != before or order.printed_lots:
        fills.on_level(order, before, lots)
        order.printed_lots = 0
    return 0


cdef inline int walk_level(FillModel fills, const Levels* levels, Order* order, int64_t event) except -1 nogil:
    """Let the level of a resting order change as it did before an event."""
    cdef int64_t at = order.level_next, book, lots
    if order.level_begin < 0 or order.ahead_lots == 0.0:  # where nothing is ahead, nothing will be
        return 0
    if order.printed_lots:
        book = next_book(levels, order.printed_at + 1, event)
        if book == event:
            return 0
        lots = order.level_lots
        while at < order.level_stop and levels.change_event[at] <= book:
            lots = levels.change_lots[at]
            at += 1
        set_level(fills, order, lots)
    while at < order.level_stop and levels.change_event[at] < event:
        book = levels.change_event[at]
        while at < order.level_stop and levels.change_event[at] == book:
            lots = levels.change_lots[at]
            at += 1
        set_level(fills, order, lots)
    order.level_next = at
    return 0
