# Our open orders, our account, and the journal of both; shared by the order manager and its venue.

from libc.math cimport NAN
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memmove, memset

from mm.backtest.engine._account cimport Account
from mm.backtest.engine._agenda cimport Agenda, agenda_changed, agenda_follow, agenda_open
from mm.backtest.engine._margin cimport MarginWatch
from mm.backtest.engine._order_checks cimport MAKER_CREDIT, TAKER_CREDIT, OrderCount, Refused, order_count_filled
from mm.backtest.engine._records cimport CLOSE_FILLED, COVERED, FILL, NOT_CANCELLED, Fill, Records, record_fill, record_order
from mm.backtest.fills.base cimport CANCELLING, FILLED, LIVE, MARKET, NEVER, SENT, Order
from mm.backtest.quotes.base cimport OwnFill

# Open orders are few, so they are in a short array sorted by id. Resting orders are also listed by side in price-time
# order: best price first, then id. A grid of quotes has dozens, of which a fill or a cancel moves one.

cdef struct Ranked:
    Order* order
    int64_t ticks           # its price

cdef struct OpenOrders:
    Order* orders           # SENT, LIVE and CANCELLING, by id; points into *places*
    Order* places
    Order* places_end
    int64_t count           # number of open orders
    Ranked* ranked[2]       # resting orders, LIVE and CANCELLING; sells, buys
    int64_t resting[2]      # their numbers
    int64_t lots[2]         # remaining lots of all open orders, and those that amendments under way add; sells, buys
    int64_t dearest_ticks   # upper bound of the prices of open buys; NEVER while one may pay any price
    int64_t nearest[2]      # best prices at which they rest: lowest sell, highest buy; NEVER and 0 for none
    int64_t room            # of the three arrays
    Agenda agenda           # of their market
    bint changed            # since the last requote, in a way that may affect the next one


# Where the other side last met an order of ours that rested, or was to rest: a fill of all of it, or a rejection.
cdef struct Met:
    double ticks            # NaN for none
    int64_t us

# The end of an order, kept for a strategy.
cdef struct Ended:
    int64_t order_id
    int64_t us
    int64_t placed_lots
    int64_t left_lots
    int64_t status
    int64_t reason          # of a rejection


cdef class OwnOrders:
    cdef OpenOrders open
    cdef Account account
    cdef Records records
    cdef OrderCount own_count
    cdef OrderCount* order_count        # the account's: `own_count`, or its first market's
    cdef OwnOrders counting             # the owner of another one, else None
    cdef MarginWatch margin             # of a contract whose margin is played
    cdef bint margined                  # whether there is one
    cdef Refused refused[2]             # sells, buys
    cdef Met met[2]
    cdef int64_t slowest_ack_us         # time from sending to the acknowledgement, since the last check of the limits
    cdef bint meet                      # whether they meet each other, as at the exchange
    cdef bint requotes                  # whether a requote follows on a fill or a rejection
    cdef bint[2] awaits_room            # whether the last requote withheld an order for want of room; sells, buys
    # fills not yet passed to the quote model, if it follows fills
    cdef bint keeps_fills
    cdef OwnFill* fresh
    cdef int64_t fresh_count, fresh_room
    # ends not yet passed to a strategy, which sends its orders itself
    cdef bint keeps_ends
    cdef Ended* ended
    cdef int64_t ended_count, ended_room
    # the account's cash as floats
    cdef double cash, sure_cash_e16     # the nearest, and one that is surely not above it
    cdef bint sure                      # whether the cash certainly covers all open buys
    cdef double dearest_e16             # a tick·lot with the larger fee, rounded up

    # Reports of the venue; further ones are inline functions: order_accepted, order_closed.
    cdef void note_met(self, const Order* order, int64_t us) noexcept nogil
    cdef int rejected(self, int64_t i, int64_t us, int reason) except -1 nogil
    cdef int amended(self, Order* order, int64_t us) except -1 nogil
    cdef int moved(self, Order* order, int64_t us) except -1 nogil
    cdef int stays(self, Order* order, int64_t us, int reason) except -1 nogil
    cdef void refuse_price(self, const Order* order, int64_t us, int reason) noexcept nogil
    cdef int filled(self, int64_t i, const Fill* fill, bint took) except -1 nogil
    cdef int paid(self, int64_t us, int64_t funding_e8) except -1 nogil
    cdef int keep_fill(self, const Order* order, const Fill* fill, bint took) except -1 nogil
    cdef int keep_end(self, const Order* order, int64_t us, int reason) except -1 nogil
    cdef void count_cash(self) noexcept nogil


cdef extern from "<stdint.h>":
    const int64_t UNDERWAY "(INT64_MAX - 1)"    # when an amendment takes effect that a gateway has sent


cdef inline int slot_of(int64_t side) noexcept nogil:
    """Index in a pair: sells 0, buys 1."""
    return <int> ((side + 1) >> 1)


cdef inline void orders_init(OpenOrders* open) noexcept nogil:
    memset(open, 0, sizeof(OpenOrders))
    agenda_open(&open.agenda)
    open.nearest[0] = NEVER


cdef inline void orders_free(OpenOrders* open) noexcept nogil:
    free(open.places)
    free(open.ranked[0])
    free(open.ranked[1])


cdef inline void new_order(Order* order, int64_t us, int64_t side, int64_t ticks, int64_t lots, int64_t kind) noexcept nogil:
    order.id = order.manual = order.level = 0
    order.side, order.ticks, order.lots, order.placed_lots, order.kind = side, ticks, lots, lots, kind
    order.status = SENT
    order.sent_us = us
    order.active_us = order.expire_us = order.cancel_req_us = order.cancel_us = order.amend_us = NEVER
    order.cancel_reason = NOT_CANCELLED
    order.amend_lots = order.amends = order.move_ticks = order.more_lots = order.moves = 0
    forget_queue(order)


cdef inline void forget_queue(Order* order) noexcept nogil:
    """Clear the place of an order in a queue, and the fill that was drawn for it."""
    order.level_lots = order.printed_lots = 0
    order.due_us = order.stretch_us = NEVER
    order.level_begin = order.joined_at = order.book_at = -1
    order.ahead_lots, order.delta = NAN, 0.0


cdef inline void orders_moved(OpenOrders* open, const Order* begin, const Order* end, int64_t by) noexcept nogil:
    cdef int64_t rank
    cdef int slot
    cdef Ranked* ranked
    for slot in range(2):
        for rank in range(open.resting[slot]):
            ranked = &open.ranked[slot][rank]
            if begin <= ranked.order < end:
                ranked.order += by


cdef inline int orders_grow(OpenOrders* open) except -1 nogil:
    """Move the orders to the start of the array, and double its size if less than half of it is free."""
    cdef int64_t room = 2 * open.room + 64, rank
    cdef Order* places
    cdef int slot
    if open.count:
        memmove(open.places, open.orders, open.count * sizeof(Order))
        orders_moved(open, open.places, open.places_end, open.places - open.orders)
    open.orders = open.places
    if 2 * open.count < open.room:
        return 0
    places = <Order*> malloc(room * sizeof(Order))
    open.ranked[0] = <Ranked*> realloc(open.ranked[0], room * sizeof(Ranked))
    open.ranked[1] = <Ranked*> realloc(open.ranked[1], room * sizeof(Ranked))
    if places is NULL or open.ranked[0] is NULL or open.ranked[1] is NULL:
        with gil:
            raise MemoryError(f"no memory for {room} open orders")
    if open.count:
        memmove(places, open.places, open.count * sizeof(Order))
    for slot in range(2):
        for rank in range(open.resting[slot]):
            open.ranked[slot][rank].order = places + (open.ranked[slot][rank].order - open.places)
    free(open.places)
    open.orders, open.places, open.places_end, open.room = places, places, places + room, room
    return 0


cdef inline Order* orders_blank(OpenOrders* open) except NULL nogil:
    if open.orders + open.count == open.places_end:
        orders_grow(open)
    return open.orders + open.count


cdef inline void orders_add(OpenOrders* open, const Order* order) noexcept nogil:
    """Add the order written to the slot of `orders_blank`; its id is above all others."""
    cdef int slot = slot_of(order.side)
    open.count += 1
    if slot:
        open.dearest_ticks = max(open.dearest_ticks if open.lots[1] else 0, NEVER if order.kind == MARKET else order.ticks)
    open.lots[slot] += order.lots
    open.agenda.message_us = min(open.agenda.message_us, order.active_us)


cdef inline void orders_rest(OpenOrders* open, Order* order) noexcept nogil:
    cdef int slot = slot_of(order.side)
    cdef int64_t at = open.resting[slot], ahead
    cdef Ranked* ranked = open.ranked[slot]
    while at:
        ahead = order.side * (ranked[at - 1].ticks - order.ticks)
        if ahead > 0 or ahead == 0 and ranked[at - 1].order < order:
            break
        ranked[at] = ranked[at - 1]
        at -= 1
    ranked[at].order, ranked[at].ticks = order, order.ticks
    open.resting[slot] += 1
    open.nearest[slot] = ranked[0].ticks


cdef inline void orders_unrest(OpenOrders* open, const Order* order) noexcept nogil:
    """It stays among the open orders."""
    cdef int slot = slot_of(order.side)
    cdef int64_t at = 0, last = open.resting[slot] - 1
    cdef Ranked* ranked = open.ranked[slot]
    while ranked[at].order != order:
        at += 1
    while at < last:
        ranked[at] = ranked[at + 1]
        at += 1
    open.resting[slot] = last
    if last:
        open.nearest[slot] = ranked[0].ticks
    else:
        open.nearest[slot] = 0 if slot else NEVER


cdef inline Order* orders_alone(const OpenOrders* open, int slot, int64_t ticks) noexcept nogil:
    """The nearest resting order of a side if it alone is at a price; else NULL."""
    cdef const Ranked* ranked = open.ranked[slot]
    if open.resting[slot] == 0 or ranked[0].ticks != ticks or (open.resting[slot] > 1 and ranked[1].ticks == ticks):
        return NULL
    return ranked[0].order


cdef inline void orders_drop(OpenOrders* open, int64_t i) noexcept nogil:
    cdef int64_t due_us = open.orders[i].due_us, after = open.count - 1 - i
    open.lots[slot_of(open.orders[i].side)] -= open.orders[i].lots + open.orders[i].more_lots
    open.count -= 1
    # The shorter part moves. Mostly the oldest orders end first: then the array's start moves, and nothing is copied.
    if after < i:
        memmove(&open.orders[i], &open.orders[i + 1], after * sizeof(Order))
        orders_moved(open, &open.orders[i + 1], open.places_end, -1)
    else:
        if i:
            memmove(&open.orders[1], &open.orders[0], i * sizeof(Order))
            orders_moved(open, open.orders, &open.orders[i], 1)
        open.orders += 1
    if due_us != NEVER and due_us == open.agenda.fill_us:
        orders_next_due(open)


cdef inline Order* orders_find(OpenOrders* open, int64_t order_id) noexcept nogil:
    cdef int64_t i
    for i in range(open.count):
        if open.orders[i].id == order_id:
            return &open.orders[i]
    return NULL


cdef inline bint orders_meet(OwnOrders orders, int64_t side, int64_t ticks) noexcept nogil:
    """With a resting order of ours of the other side."""
    return orders.meet and (orders.open.nearest[0] <= ticks if side > 0 else orders.open.nearest[1] >= ticks)


cdef inline int64_t orders_current(const OpenOrders* open, int64_t side) noexcept nogil:
    """Index of the quote model's newest order of a side without a cancel request, or -1."""
    cdef int64_t i = open.count - 1
    while i >= 0 and (
        open.orders[i].side != side or open.orders[i].cancel_req_us != NEVER or open.orders[i].manual
    ):
        i -= 1
    return i


cdef inline int64_t orders_current_at(const OpenOrders* open, int64_t side, int64_t level) noexcept nogil:
    cdef int64_t i = open.count - 1
    while i >= 0 and (
        open.orders[i].side != side
        or open.orders[i].level != level
        or open.orders[i].cancel_req_us != NEVER
        or open.orders[i].manual
    ):
        i -= 1
    return i


cdef inline void orders_next_message(OpenOrders* open) noexcept nogil:
    cdef int64_t i, us = NEVER
    cdef const Order* order
    for i in range(open.count):
        order = &open.orders[i]
        if order.status == SENT:
            us = min(us, order.active_us)
        else:
            us = min(us, min(min(order.cancel_us, order.expire_us), order.amend_us))
    open.agenda.message_us = us


cdef inline void orders_next_due(OpenOrders* open) noexcept nogil:
    cdef int64_t i, us = NEVER
    for i in range(open.count):
        us = min(us, open.orders[i].due_us)
    open.agenda.fill_us = us
    agenda_changed(&open.agenda)


cdef inline void follow(OwnOrders orders, int64_t us) noexcept nogil:
    """A requote at the end of this instant; at most one."""
    if us != orders.open.agenda.followed_us:
        agenda_follow(&orders.open.agenda, us)


cdef inline int order_closed(OwnOrders orders, int64_t i, int64_t us, int status, int action) except -1 nogil:
    cdef Order* order = &orders.open.orders[i]
    orders_unrest(&orders.open, order)
    if order.cancel_req_us == NEVER or orders.refused[1 - slot_of(order.side)].by_own:
        orders.open.changed = True  # the last requote considered one being cancelled, unless a price was refused for it
    order.status = status
    record_order(&orders.records, order, us, action, COVERED)
    if orders.keeps_ends:
        orders.keep_end(order, us, COVERED)
    if order.lots and orders.awaits_room[slot_of(order.side)]:
        follow(orders, us)
    orders_drop(&orders.open, i)
    return 0


cdef inline bint fill_order(OwnOrders orders, Order* order, const Fill* fill, int64_t lots, bint took) except -1 nogil:
    """Take the *lots* of a booked fill off an open order, and end it without any left; return whether it ended."""
    cdef bint ends = order.lots == lots and (order.more_lots == 0 or order.amend_us < UNDERWAY)
    if order.lots == order.placed_lots:
        order_count_filled(orders.order_count, fill.us, TAKER_CREDIT if took else MAKER_CREDIT)
    order.lots -= lots
    orders.open.lots[slot_of(order.side)] -= lots
    if orders.keeps_fills:
        orders.keep_fill(order, fill, took)
    if ends:
        order.status = FILLED
    record_order(&orders.records, order, fill.us, FILL, COVERED)
    record_fill(&orders.records, order, fill, &orders.account)
    if not ends:
        return False
    if not took:
        orders.note_met(order, fill.us)
    order_closed(orders, order - orders.open.orders, fill.us, FILLED, CLOSE_FILLED)
    return True


cdef inline void order_accepted(OwnOrders orders, Order* order) noexcept nogil:
    """Add an order accepted at its ``active_us`` to the resting ones; immediate executions are reported as fills."""
    orders.slowest_ack_us = max(orders.slowest_ack_us, order.active_us - order.sent_us)
    order.status = LIVE if order.cancel_us == NEVER else CANCELLING
    orders_rest(&orders.open, order)
