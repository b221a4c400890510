# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Our open orders: few, so a short array by id is searched and kept in order."""

from libc.math cimport NAN
from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memmove, memset

from mm.backtest._records cimport NOT_CANCELLED
from mm.backtest.fills.base cimport NEVER, SENT, Order


cdef void desk_open(Desk* desk) noexcept nogil:
    """Make a desk without orders."""
    memset(desk, 0, sizeof(Desk))
    desk.next_message_us = desk.next_due_us = NEVER


cdef void desk_close(Desk* desk) noexcept nogil:
    free(desk.orders)
    free(desk.ranking)


cdef Order new_order(int64_t us, int64_t side, int64_t ticks, int64_t lots, int64_t kind) noexcept nogil:
    """Return an order that is about to be sent."""
    cdef Order order
    order.id = order.by_hand = 0
    order.side, order.ticks, order.lots, order.placed_lots, order.kind = side, ticks, lots, lots, kind
    order.status = SENT
    order.sent_us = us
    order.active_us = order.expire_us = order.cancel_req_us = order.cancel_us = order.amend_us = NEVER
    order.cancel_reason = NOT_CANCELLED
    order.queue_lots = order.level_lots = order.printed_lots = order.amend_lots = 0
    order.due_us = order.stretch_us = NEVER
    order.ahead_lots, order.delta = NAN, 0.0
    return order


cdef int desk_add(Desk* desk, const Order* order) except -1 nogil:
    """Append an order that was sent; its id is above all others."""
    cdef int64_t room = 2 * desk.room + 8
    if desk.open == desk.room:
        desk.orders = <Order*> realloc(desk.orders, room * sizeof(Order))
        desk.ranking = <int64_t*> realloc(desk.ranking, room * sizeof(int64_t))
        if desk.orders is NULL or desk.ranking is NULL:
            with gil:
                raise MemoryError(f"no memory for {room} open orders")
        desk.room = room
    desk.orders[desk.open] = order[0]
    desk.open += 1
    desk.next_message_us = min(desk.next_message_us, order.active_us)
    return 0


cdef void desk_drop(Desk* desk, int64_t i) noexcept nogil:
    """Forget an order that has come to its end."""
    cdef int64_t due_us = desk.orders[i].due_us
    desk.open -= 1
    desk.ranked = -1
    memmove(&desk.orders[i], &desk.orders[i + 1], (desk.open - i) * sizeof(Order))
    if due_us == desk.next_due_us:
        desk_next_due(desk)


cdef Order* desk_find(Desk* desk, int64_t order_id) noexcept nogil:
    """Return the open order of that id, NULL where there is none."""
    cdef int64_t i
    for i in range(desk.open):
        if desk.orders[i].id == order_id:
            return &desk.orders[i]
    return NULL


cdef int64_t desk_rank(Desk* desk) noexcept nogil:
    """Put the ids of the resting orders into ``ranking``: buys, then sells, best price first, then id."""
    cdef int64_t side, i, at, n = 0, first
    if desk.ranked >= 0:
        return desk.ranked
    for side in range(1, -2, -2):
        first = n
        for i in range(desk.open):
            if desk.orders[i].side != side or desk.orders[i].status == SENT:
                continue
            at = n
            while at > first and side * (desk.orders[i].ticks - desk_find(desk, desk.ranking[at - 1]).ticks) > 0:
                desk.ranking[at] = desk.ranking[at - 1]
                at -= 1
            desk.ranking[at] = desk.orders[i].id
            n += 1
    desk.ranked = n
    return n


cdef int64_t desk_lots(const Desk* desk, int64_t side) noexcept nogil:
    """Return the lots left of all open orders of a side, those on their way and those being cancelled too."""
    cdef int64_t i, lots = 0
    for i in range(desk.open):
        if desk.orders[i].side == side:
            lots += desk.orders[i].lots
    return lots


cdef int64_t desk_current(const Desk* desk, int64_t side) noexcept nogil:
    """Return where the quote model's newest order of a side without a cancel request stands, or -1."""
    cdef int64_t i = desk.open - 1
    while i >= 0 and (
        desk.orders[i].side != side or desk.orders[i].cancel_req_us != NEVER or desk.orders[i].by_hand
    ):
        i -= 1
    return i


cdef void desk_next_message(Desk* desk) noexcept nogil:
    cdef int64_t i, us = NEVER
    cdef const Order* order
    for i in range(desk.open):
        order = &desk.orders[i]
        if order.status == SENT:
            us = min(us, order.active_us)
        else:
            us = min(us, min(min(order.cancel_us, order.expire_us), order.amend_us))
    desk.next_message_us = us


cdef void desk_next_due(Desk* desk) noexcept nogil:
    cdef int64_t i, us = NEVER
    for i in range(desk.open):
        us = min(us, desk.orders[i].due_us)
    desk.next_due_us = us
