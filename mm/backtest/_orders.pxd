# Our open orders: few, so a short array by id is searched and kept in order.

from libc.math cimport NAN
from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memmove, memset

from mm.backtest._records cimport NOT_CANCELLED
from mm.backtest.fills.base cimport LIVE, MARKET, NEVER, SENT, Order

cdef struct Desk:
    Order* orders           # SENT, LIVE and CANCELLING, by id: somewhere in *places*
    Order* places
    Order* places_end
    int64_t open            # how many
    int64_t* ranking        # ids of the resting orders in price-time order
    int64_t ranked          # how many, -1 where the ranking is stale
    int64_t resting[2]      # LIVE and CANCELLING; sells, buys
    int64_t lots[2]         # left of all open orders, those on their way and those being cancelled too; sells, buys
    int64_t dearest_ticks   # no open buy is dearer; NEVER while one may pay any price
    int64_t nearest[2]      # best prices at which they rest: lowest sell, highest buy; NEVER and 0 for none
    int64_t next_message_us # earliest arrival, cancel, amendment or expiry
    int64_t next_due_us     # earliest drawn fill
    bint moved              # whether anything happened since the last requote that it could act on
    int64_t room


cdef inline int slot_of(int64_t side) noexcept nogil:
    """Return where a side stands in a pair: sells 0, buys 1."""
    return <int> ((side + 1) >> 1)


cdef inline void desk_open(Desk* desk) noexcept nogil:
    """Make a desk without orders."""
    memset(desk, 0, sizeof(Desk))
    desk.next_message_us = desk.next_due_us = desk.nearest[0] = NEVER


cdef inline void desk_close(Desk* desk) noexcept nogil:
    free(desk.places)
    free(desk.ranking)


cdef inline void new_order(Order* order, int64_t us, int64_t side, int64_t ticks, int64_t lots, int64_t kind) noexcept nogil:
    """Write an order that is about to be sent."""
    order.id = order.by_hand = 0
    order.side, order.ticks, order.lots, order.placed_lots, order.kind = side, ticks, lots, lots, kind
    order.status = SENT
    order.sent_us = us
    order.active_us = order.expire_us = order.cancel_req_us = order.cancel_us = order.amend_us = NEVER
    order.cancel_reason = NOT_CANCELLED
    order.queue_lots = order.level_lots = order.printed_lots = order.amend_lots = 0
    order.due_us = order.stretch_us = NEVER
    order.ahead_lots, order.delta, order.row = NAN, 0.0, -1


cdef inline int desk_grow(Desk* desk) except -1 nogil:
    """Move the orders to the beginning of the array, and make that twice as long where less than half of it is free."""
    cdef int64_t room = 2 * desk.room + 64
    if desk.open:
        memmove(desk.places, desk.orders, desk.open * sizeof(Order))
    desk.orders = desk.places
    if 2 * desk.open < desk.room:
        return 0
    desk.places = <Order*> realloc(desk.places, room * sizeof(Order))
    desk.ranking = <int64_t*> realloc(desk.ranking, room * sizeof(int64_t))
    if desk.places is NULL or desk.ranking is NULL:
        with gil:
            raise MemoryError(f"no memory for {room} open orders")
    desk.orders, desk.places_end, desk.room = desk.places, desk.places + room, room
    return 0


cdef inline Order* desk_blank(Desk* desk) except NULL nogil:
    """Return where the next order will stand."""
    if desk.orders + desk.open == desk.places_end:
        desk_grow(desk)
    return desk.orders + desk.open


cdef inline int desk_add(Desk* desk) except -1 nogil:
    """Count the order that was written where the next one is to stand; its id is above all others."""
    cdef const Order* order = desk.orders + desk.open
    cdef int slot = slot_of(order.side)
    desk.open += 1
    if slot:
        desk.dearest_ticks = max(desk.dearest_ticks if desk.lots[1] else 0, NEVER if order.kind == MARKET else order.ticks)
    desk.lots[slot] += order.lots
    desk.next_message_us = min(desk.next_message_us, order.active_us)
    return 0


cdef inline void desk_rest(Desk* desk, Order* order) noexcept nogil:
    """Note that an order rests from now on."""
    cdef int slot = slot_of(order.side)
    desk.resting[slot] += 1
    desk.ranked = -1
    if desk.resting[slot] == 1 or order.side * (order.ticks - desk.nearest[slot]) > 0:
        desk.nearest[slot] = order.ticks


cdef inline void desk_unrest(Desk* desk, const Order* order) noexcept nogil:
    """Note that an order rests no longer; it still stands on the desk."""
    cdef int64_t i, nearest = 0 if order.side > 0 else NEVER
    cdef int slot = slot_of(order.side)
    desk.resting[slot] -= 1
    desk.ranked = -1
    if desk.resting[slot] and order.ticks != desk.nearest[slot]:
        return
    for i in range(desk.open if desk.resting[slot] else 0):
        if desk.orders[i].side != order.side or desk.orders[i].status == SENT or desk.orders[i].id == order.id:
            continue
        nearest = max(nearest, desk.orders[i].ticks) if order.side > 0 else min(nearest, desk.orders[i].ticks)
    desk.nearest[slot] = nearest


cdef inline void desk_drop(Desk* desk, int64_t i) noexcept nogil:
    """Forget an order that has come to its end."""
    cdef int64_t due_us = desk.orders[i].due_us
    cdef int64_t behind = desk.open - 1 - i
    desk.lots[slot_of(desk.orders[i].side)] -= desk.orders[i].lots
    desk.open -= 1
    desk.ranked = -1
    if behind < i:
        memmove(&desk.orders[i], &desk.orders[i + 1], behind * sizeof(Order))
    else:
        while i:
            desk.orders[i] = desk.orders[i - 1]
            i -= 1
        desk.orders += 1
    if due_us != NEVER and due_us == desk.next_due_us:
        desk_next_due(desk)


cdef inline Order* desk_find(Desk* desk, int64_t order_id) noexcept nogil:
    """Return the open order of that id, NULL where there is none."""
    cdef int64_t i
    for i in range(desk.open):
        if desk.orders[i].id == order_id:
            return &desk.orders[i]
    return NULL


cdef inline int64_t desk_rank(Desk* desk) noexcept nogil:
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


cdef inline int64_t desk_current(const Desk* desk, int64_t side) noexcept nogil:
    """Return where the quote model's newest order of a side without a cancel request stands, or -1."""
    cdef int64_t i = desk.open - 1
    while i >= 0 and (
        desk.orders[i].side != side or desk.orders[i].cancel_req_us != NEVER or desk.orders[i].by_hand
    ):
        i -= 1
    return i


cdef inline void desk_next_message(Desk* desk) noexcept nogil:
    cdef int64_t i, us = NEVER
    cdef const Order* order
    for i in range(desk.open):
        order = &desk.orders[i]
        if order.status == SENT:
            us = min(us, order.active_us)
        else:
            us = min(us, min(min(order.cancel_us, order.expire_us), order.amend_us))
    desk.next_message_us = us


cdef inline void desk_next_due(Desk* desk) noexcept nogil:
    cdef int64_t i, us = NEVER
    for i in range(desk.open):
        us = min(us, desk.orders[i].due_us)
    desk.next_due_us = us
