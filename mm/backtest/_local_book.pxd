# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# The local (delayed) market: its events in the order of receipt and, if the exchange is ahead, a second book.

from libc.stdint cimport int8_t, int64_t, uint8_t

from mm.backtest._order_manager cimport OrderManager, look_at_best
from mm.backtest._paper_venue cimport PaperVenue
from mm.backtest._venue cimport Touch
from mm.backtest.fills.base cimport NEVER, Trade
from mm.tape._book cimport Book, book_apply, book_clear, book_close, book_lots_at, book_move, book_open, book_show
from mm.tape._kinds cimport DEPTH, GAP, KEYFRAME, TRADE

cdef struct Received:           # columns of a tape, of its best prices, or of fed events
    const int64_t* us
    const uint8_t* kind
    const int64_t* first_row
    const int8_t* row_side
    const int64_t* row_ticks
    const int64_t* row_lots
    const int64_t* event_id
    int64_t events
    bint best_only              # whether they have one level per side
    bint by_moves               # whether only events that change best prices matter
    int64_t moves
    const int64_t* move_event
    const int64_t* move_us
    const int64_t* move_bid_ticks
    const int64_t* move_ask_ticks


cdef struct LocalBook:
    Received received
    int64_t start_us            # of the window
    int64_t next_move           # of the changes of best prices
    Book book
    bint by_moves               # whether it holds only best prices
    Touch touch
    bint opened
    int64_t next_event          # of the tape, in the order of receipt
    int64_t last_trade_event    # of this tape, -1 before its first


cdef inline const int64_t* first_of(const int64_t[::1] column) noexcept nogil:
    """Return the address of a column's first entry, NULL if it is empty."""
    return &column[0] if column.shape[0] else NULL


cdef inline int received_open(
    Received* received, const int64_t[::1] us, const uint8_t[::1] kind, const int64_t[::1] first_row,
    const int8_t[::1] side, const int64_t[::1] ticks, const int64_t[::1] lots, const int64_t[::1] event_id,
) except -1:
    """Set the columns, kept alive by their owner, as those of whole books."""
    received.us, received.first_row, received.event_id = first_of(us), first_of(first_row), first_of(event_id)
    received.row_ticks, received.row_lots = first_of(ticks), first_of(lots)
    received.kind = &kind[0] if kind.shape[0] else NULL
    received.row_side = &side[0] if side.shape[0] else NULL
    received.best_only, received.by_moves, received.moves = False, False, 0
    return 0


cdef inline int received_best(Received* received, object best, bint by_moves) except -1:
    """Set the columns as best prices and their changes."""
    received.move_event, received.move_us = first_of(best.move_event), first_of(best.move_us)
    received.move_bid_ticks, received.move_ask_ticks = first_of(best.move_bid_ticks), first_of(best.move_ask_ticks)
    received.best_only, received.by_moves, received.moves = True, by_moves, len(best.move_event)
    return 0


cdef inline Trade print_of(const Received* received, int64_t event) noexcept nogil:
    """Return the print of an event."""
    cdef int64_t row = received.first_row[event]
    return Trade(
        received.us[event], received.row_side[row], received.row_ticks[row], received.row_lots[row], received.event_id[event]
    )


cdef inline int local_book_open(LocalBook* local, int64_t lo_ticks, int64_t hi_ticks) except -1 nogil:
    """Begin a tape with an empty book, or with that of the previous tape and its dense range moved."""
    cdef int64_t best_bid = local.book.best_bid, best_ask = local.book.best_ask
    if local.opened:
        book_move(&local.book, lo_ticks, hi_ticks)
        if local.by_moves:  # then there are no levels behind the best prices of the previous tape
            local.book.best_bid, local.book.best_ask = best_bid, best_ask
    else:
        book_open(&local.book, lo_ticks, hi_ticks)
        local.opened = True
    local.next_event = local.next_move = 0
    local.last_trade_event = -1
    local.by_moves = local.received.by_moves
    return 0


cdef inline void local_book_close(LocalBook* local) noexcept nogil:
    if local.opened:
        book_close(&local.book)


cdef inline void local_book_gap(LocalBook* local) noexcept nogil:
    """End the epoch."""
    if local.opened:
        book_clear(&local.book)
        local.touch.valid = False
        local.touch.mid2 = 0
        local.touch.mid_lost = True


cdef inline void local_book_look(LocalBook* local, PaperVenue venue, OrderManager manager, int64_t us) noexcept nogil:
    """Schedule a requote, if one is to follow on a change of a best price."""
    local.touch.top.bid_ticks, local.touch.top.ask_ticks = local.book.best_bid, local.book.best_ask
    look_at_best(manager, &venue.orders.open, &local.touch, us)


cdef inline void local_book_changed(
    LocalBook* local, PaperVenue venue, OrderManager manager, int64_t received_us, int64_t us
) noexcept nogil:
    """Set the best prices received at an instant, as of *us*."""
    if local.book.best_bid == 0 or local.book.best_ask == 0:
        local.touch.mid_lost = True
    if manager.awaits_best and received_us >= local.start_us:
        local_book_look(local, venue, manager, us)


cdef inline int64_t next_received(const LocalBook* local) noexcept nogil:
    """Return the receive time of the next event that may change the best prices; NEVER for none."""
    cdef const Received* received = &local.received
    if received.best_only:
        return max(received.move_us[local.next_move], local.start_us) if local.next_move < received.moves else NEVER
    return max(received.us[local.next_event], local.start_us) if local.next_event < received.events else NEVER


cdef inline int local_book_move(LocalBook* local, PaperVenue venue, OrderManager manager, int64_t us) except -1 nogil:
    """Apply the best prices received up to an instant."""
    cdef const Received* received = &local.received
    cdef int64_t move = local.next_move
    cdef int kind
    while move < received.moves and received.move_us[move] <= us:
        kind = received.kind[received.move_event[move]]
        if kind != KEYFRAME or received.move_event[move] == 0:
            if manager.awaits_best and received.move_us[move] >= local.start_us:
                local_book_look(local, venue, manager, us)
            if kind != DEPTH:
                local.touch.valid = kind != GAP
            local.book.best_bid, local.book.best_ask = received.move_bid_ticks[move], received.move_ask_ticks[move]
            local_book_changed(local, venue, manager, received.move_us[move], us)
        move += 1
    local.next_move = move
    if manager.awaits_best:
        local_book_look(local, venue, manager, us)
    return local_book_show(local)


cdef inline int local_book_show(LocalBook* local) noexcept nogil:
    """Set the touch to the best prices of the book."""
    cdef int64_t bid = local.book.best_bid, ask = local.book.best_ask
    local.touch.mid2 = bid + ask if bid and ask else 0
    local.touch.top.book = &local.book
    local.touch.top.bid_ticks, local.touch.top.ask_ticks = bid, ask
    return 0


cdef inline int local_book_receive(LocalBook* local, PaperVenue venue, OrderManager manager, int64_t us) except -1 nogil:
    """Apply the events received up to an instant."""
    cdef const Received* received = &local.received
    cdef int64_t event = local.next_event, row, rows, bid, ask
    cdef int kind
    while event < received.events and received.us[event] <= us:
        kind = received.kind[event]
        if manager.awaits_best and received.us[event] >= local.start_us:  # the events that build the book count as one
            local_book_look(local, venue, manager, us)
        if kind == TRADE:
            if received.us[event] >= local.start_us:
                local.last_trade_event = event
            event += 1
            continue
        if local.next_move < received.moves and received.move_event[local.next_move] == event:
            local.next_move += 1
        if kind == KEYFRAME and event:
            event += 1
            continue
        if kind != DEPTH:
            book_clear(&local.book)
            local.touch.valid = kind != GAP
        row, rows = received.first_row[event], received.first_row[event + 1] - received.first_row[event]
        if rows and received.best_only:
            book_show(&local.book, &received.row_side[row], &received.row_ticks[row], &received.row_lots[row], rows)
        elif rows:
            book_apply(&local.book, &received.row_side[row], &received.row_ticks[row], &received.row_lots[row], rows)
        local_book_changed(local, venue, manager, received.us[event], us)
        event += 1
    local.next_event = event
    if manager.awaits_best:
        local_book_look(local, venue, manager, us)
    bid, ask = local.book.best_bid, local.book.best_ask
    local_book_show(local)
    local.touch.top.bid_lots = book_lots_at(&local.book, 1, bid) if bid else 0
    local.touch.top.ask_lots = book_lots_at(&local.book, -1, ask) if ask else 0
    return 0
