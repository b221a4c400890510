# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The market as we know it: a second book, fed in the order of receipt."""

from libc.stdint cimport int64_t

from mm.tape._book cimport book_apply, book_clear, book_close, book_lots_at, book_move, book_open
from mm.tape._kinds cimport DEPTH, GAP, KEYFRAME, TRADE
from mm.backtest._venue cimport Venue


cdef int seen_open(Seen* seen, int64_t lo_ticks, int64_t hi_ticks) except -1 nogil:
    """Begin a tape: with an empty book, or with the one we know, its dense prices moved."""
    if seen.opened:
        book_move(&seen.book, lo_ticks, hi_ticks)
    else:
        book_open(&seen.book, lo_ticks, hi_ticks)
        seen.opened = True
    seen.next_event = 0
    seen.last_trade_event = -1
    return 0


cdef void seen_close(Seen* seen) noexcept nogil:
    if seen.opened:
        book_close(&seen.book)


cdef void seen_gap(Seen* seen) noexcept nogil:
    """Know no book any more."""
    if seen.opened:
        book_clear(&seen.book)
        seen.valid = False
        seen.mid2 = 0
        seen.mid_lost = True


cdef int seen_until(Seen* seen, Venue venue, int64_t us) except -1 nogil:
    """Take in what the tape of *venue* shows to have been received up to an instant."""
    cdef int64_t event, row, rows, bid, ask
    cdef int kind
    while seen.next_event < venue.events and venue.recv_us[seen.next_event] <= us:
        event = seen.next_event
        seen.next_event += 1
        kind = venue.kind[event]
        if kind == TRADE:
            if venue.recv_us[event] >= venue.start_us:
                seen.last_trade_event = event
            continue
        if kind == KEYFRAME and event:
            continue
        if kind != DEPTH:
            book_clear(&seen.book)
            seen.valid = kind != GAP
        row, rows = venue.first_row[event], venue.first_row[event + 1] - venue.first_row[event]
        if rows:
            book_apply(&seen.book, &venue.row_side[row], &venue.row_ticks[row], &venue.row_lots[row], rows)
        if seen.book.best_bid == 0 or seen.book.best_ask == 0:
            seen.mid_lost = True
    bid, ask = seen.book.best_bid, seen.book.best_ask
    seen.mid2 = bid + ask if bid and ask else 0
    seen.top.book = &seen.book
    seen.top.bid_ticks, seen.top.ask_ticks = bid, ask
    seen.top.bid_lots = book_lots_at(&seen.book, 1, bid) if bid else 0
    seen.top.ask_lots = book_lots_at(&seen.book, -1, ask) if ask else 0
    return 0
