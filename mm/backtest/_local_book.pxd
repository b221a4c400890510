# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# The market as we have received it, where the exchange is ahead: a second book, fed in the order of receipt.

from libc.stdint cimport int64_t

from mm.backtest._order_manager cimport OrderManager, look_at_best
from mm.backtest._paper_venue cimport PaperVenue
from mm.backtest._venue cimport Touch
from mm.tape._book cimport Book, book_apply, book_clear, book_close, book_lots_at, book_move, book_open
from mm.tape._kinds cimport DEPTH, GAP, KEYFRAME, TRADE

cdef struct LocalBook:
    Book book
    Touch touch
    bint opened
    int64_t next_event          # of the tape, in the order of receipt
    int64_t last_trade_event    # of this tape, -1 before its first


cdef inline int local_book_open(LocalBook* local, int64_t lo_ticks, int64_t hi_ticks) except -1 nogil:
    """Begin a tape: with an empty book, or with that of the tape before, its dense prices moved."""
    if local.opened:
        book_move(&local.book, lo_ticks, hi_ticks)
    else:
        book_open(&local.book, lo_ticks, hi_ticks)
        local.opened = True
    local.next_event = 0
    local.last_trade_event = -1
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
    """Let a requote follow, where it was to follow on a change of a best price."""
    local.touch.top.bid_ticks, local.touch.top.ask_ticks = local.book.best_bid, local.book.best_ask
    look_at_best(manager, &venue.orders.open, &local.touch, us)


cdef inline int local_book_receive(LocalBook* local, PaperVenue venue, OrderManager manager, int64_t us) except -1 nogil:
    """Apply what the tape of *venue* shows to have been received up to an instant."""
    cdef int64_t event, row, rows, bid, ask
    cdef int kind
    while local.next_event < venue.events and venue.recv_us[local.next_event] <= us:
        event = local.next_event
        local.next_event += 1
        kind = venue.kind[event]
        if manager.awaits_best and venue.recv_us[event] >= venue.start_us:  # what builds the book is looked at as one
            local_book_look(local, venue, manager, us)
        if kind == TRADE:
            if venue.recv_us[event] >= venue.start_us:
                local.last_trade_event = event
            continue
        if kind == KEYFRAME and event:
            continue
        if kind != DEPTH:
            book_clear(&local.book)
            local.touch.valid = kind != GAP
        row, rows = venue.first_row[event], venue.first_row[event + 1] - venue.first_row[event]
        if rows:
            book_apply(&local.book, &venue.row_side[row], &venue.row_ticks[row], &venue.row_lots[row], rows)
        if local.book.best_bid == 0 or local.book.best_ask == 0:
            local.touch.mid_lost = True
        if manager.awaits_best and venue.recv_us[event] >= venue.start_us:
            local_book_look(local, venue, manager, us)
    if manager.awaits_best:
        local_book_look(local, venue, manager, us)
    bid, ask = local.book.best_bid, local.book.best_ask
    local.touch.mid2 = bid + ask if bid and ask else 0
    local.touch.top.book = &local.book
    local.touch.top.bid_ticks, local.touch.top.ask_ticks = bid, ask
    local.touch.top.bid_lots = book_lots_at(&local.book, 1, bid) if bid else 0
    local.touch.top.ask_lots = book_lots_at(&local.book, -1, ask) if ask else 0
    return 0
