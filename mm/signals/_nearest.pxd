# The best levels of a side, stored next to the book: a changed level beyond them costs one comparison.
#
# Invariant: `ticks[:count]` are the best levels of the side, without omissions; `whole`: the side has no other levels.

from libc.stdint cimport int64_t

from mm.tape._book cimport Book, book_after, book_lots_at

cdef enum:
    KEPT = 48               # stored levels per side
    MOST_LEVELS = 20        # that a signal may read

cdef struct Nearest:
    int64_t side            # +1 bids, -1 asks
    int64_t count
    bint whole
    int64_t[KEPT] ticks
    int64_t[KEPT] lots


cdef inline void nearest_fill(Nearest* side, const Book* book) noexcept nogil:
    """Fill the stored levels from the book, after the last one."""
    cdef int64_t ticks
    if side.count:
        ticks = book_after(book, <int> side.side, side.ticks[side.count - 1])
    else:
        ticks = book.best_bid if side.side > 0 else book.best_ask
    while ticks and side.count < KEPT:
        side.ticks[side.count], side.lots[side.count] = ticks, book_lots_at(book, <int> side.side, ticks)
        side.count += 1
        ticks = book_after(book, <int> side.side, ticks)
    side.whole = ticks == 0


cdef inline void nearest_put(Nearest* side, int64_t ticks, int64_t lots) noexcept nogil:
    """Set the lots displayed at a price, if it is among the stored levels."""
    cdef int64_t place = side.count, i
    cdef int64_t sign = side.side
    if not side.whole and (place == 0 or sign * (side.ticks[place - 1] - ticks) > 0):
        return
    while place and sign * (ticks - side.ticks[place - 1]) >= 0:
        place -= 1
    # The level at index *place*, if any, is not better than the price.
    if place < side.count and side.ticks[place] == ticks:
        if lots:
            side.lots[place] = lots
            return
        side.count -= 1
        for i in range(place, side.count):
            side.ticks[i], side.lots[i] = side.ticks[i + 1], side.lots[i + 1]
        return
    if lots == 0 or place == KEPT:
        if lots:
            side.whole = False
        return
    if side.count == KEPT:
        side.whole = False
    else:
        side.count += 1
    for i in range(side.count - 1, place, -1):
        side.ticks[i], side.lots[i] = side.ticks[i - 1], side.lots[i - 1]
    side.ticks[place], side.lots[place] = ticks, lots


cdef inline int64_t nearest_sum(const Nearest* side, int64_t levels) noexcept nogil:
    """Return the lots at the best *levels* levels, or at all levels if the side has fewer."""
    cdef int64_t total = 0, i
    for i in range(min(levels, side.count)):
        total += side.lots[i]
    return total
