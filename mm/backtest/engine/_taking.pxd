# The quantity that our order would take from the other side of the recorded book, and lots traded at a price.

from libc.stdint cimport int64_t
from libc.stdlib cimport realloc

from mm.backtest.engine._account cimport Account, notional_e16, wide
from mm.tape._book cimport Book, book_after, book_lots_at
from mm.backtest.fills.base cimport MARKET, Order, Trade

# Lots traded since the last book event, a short list: prints of the depth, or our takes.
cdef struct Prints:
    Trade* rows
    int64_t used
    int64_t room


cdef inline int prints_add(Prints* prints, const Trade* trade) except -1 nogil:
    cdef int64_t room = 2 * prints.room + 64
    if prints.used == prints.room:
        prints.rows = <Trade*> realloc(prints.rows, room * sizeof(Trade))
        if prints.rows is NULL:
            with gil:
                raise MemoryError(f"no memory for {room} prints")
        prints.room = room
    prints.rows[prints.used] = trade[0]
    prints.used += 1
    return 0


cdef inline int64_t prints_at(const Prints* prints, int64_t side, int64_t ticks) noexcept nogil:
    cdef int64_t i, lots = 0
    for i in range(prints.used):
        if prints.rows[i].ticks == ticks and prints.rows[i].side == side:
            lots += prints.rows[i].lots
    return lots


cdef inline bint prints_beyond(const Prints* prints, int64_t side, int64_t ticks) noexcept nogil:
    """Return whether aggressors of *side* traded at a price beyond *ticks*, so that nothing is left at *ticks*."""
    cdef int64_t i
    for i in range(prints.used):
        if prints.rows[i].side == side and side * (prints.rows[i].ticks - ticks) > 0:
            return True
    return False


# What an arriving order can take: the book, and the lots traded since its last event, by others and by us.
cdef struct Depth:
    const Book* book
    const Prints* printed
    const Prints* taken


cdef inline int64_t accepted(const Order* order, int64_t ticks) noexcept nogil:
    """0 if the order does not accept it."""
    return ticks if ticks and (order.kind == MARKET or order.side * (order.ticks - ticks) >= 0) else 0


cdef inline int64_t first_crossed(const Depth* depth, const Order* order) noexcept nogil:
    """0 if the order does not accept the other side's best price."""
    return accepted(order, depth.book.best_ask if order.side > 0 else depth.book.best_bid)


cdef inline int64_t next_crossed(const Depth* depth, const Order* order, int64_t ticks) noexcept nogil:
    """0 if the order accepts none after *ticks*."""
    return accepted(order, book_after(depth.book, <int> -order.side, ticks))


cdef inline int64_t offered(const Depth* depth, const Order* order, int64_t ticks) noexcept nogil:
    """Lots displayed at a price of the other side, less those traded since the last book event."""
    cdef int64_t gone = prints_at(depth.printed, order.side, ticks) + prints_at(depth.taken, order.side, ticks)
    if prints_beyond(depth.printed, order.side, ticks):
        return 0
    return max(book_lots_at(depth.book, <int> -order.side, ticks) - gone, 0)


cdef inline int64_t takeable(const Depth* depth, const Order* order) noexcept nogil:
    """The number of its lots that an order could take at once."""
    cdef int64_t ticks = first_crossed(depth, order), lots = 0
    while ticks and lots < order.lots:
        lots += offered(depth, order, ticks)
        ticks = next_crossed(depth, order, ticks)
    return min(lots, order.lots)


cdef inline wide taking_notional_e16(const Depth* depth, const Account* account, const Order* order) noexcept nogil:
    """In 1e-16 of the quote asset."""
    cdef int64_t ticks = first_crossed(depth, order), left = order.lots, lots
    cdef wide notional = 0
    while ticks and left:
        lots = min(left, offered(depth, order, ticks))
        notional += notional_e16(account, ticks, lots)
        left -= lots
        ticks = next_crossed(depth, order, ticks)
    return notional
