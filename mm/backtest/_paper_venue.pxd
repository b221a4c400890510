# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# The paper venue: a market, recorded or live, and our orders in it.

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t

from mm.backtest._account cimport wide
from mm.backtest._happened cimport Happened, events_before
from mm.backtest._latency cimport Latency
from mm.backtest._level_queue cimport LevelQueue
from mm.backtest._order_checks cimport Mean
from mm.backtest._own_orders cimport OpenOrders
from mm.backtest._records cimport Fill, record_mid
from mm.backtest._taking cimport Market, Prints, prints_add
from mm.backtest._venue cimport Touch, OrderVenue
from mm.backtest.fills.base cimport FillModel, Order, Trade
from mm.signals.signal_set cimport SignalSet
from mm.tape._book cimport (
    Book, Books, book_advance, book_catch_up, book_clear, book_lots_at, book_store, book_take_pages, book_wipe,
)
from mm.tape._kinds cimport DEPTH, KEYFRAME, TRADE
from mm.tape._memory cimport prefetch

cdef enum:
    FETCHED = 24            # columns are prefetched this many events ahead

cdef extern from "<stdint.h>":
    const int32_t ALWAYS "INT32_MAX"    # of mm.tape.top_of_book

cdef class PaperVenue(OrderVenue):
    cdef FillModel fills
    cdef SignalSet signals              # read by the fill model, else None
    cdef bint signalled                 # whether there are any
    cdef bint reached_only              # whether the fill model is called only with prints that reach an order
    # the events of a tape, or fed events
    cdef const int64_t[::1] event_us, event_exch_us, sequence, recv_seq, event_id, first_row, row_ticks, row_lots
    cdef const uint8_t[::1] kind
    cdef const int8_t[::1] row_side
    cdef bint lagging                   # whether the columns are in the order of receipt, and *sequence* is the exchange's
    cdef bint best_only                 # whether the tape has one level per side
    cdef bint on_best_prices            # whether only best prices of such a tape are played, for models that need
    cdef const int64_t[::1] reach       # nothing else
    cdef const int64_t[::1] move_event, move_us, move_bid_ticks, move_ask_ticks, move_low_ticks, move_high_ticks
    cdef int64_t next_move, moves
    cdef bint reads_levels              # whether the fill model reads levels of the book
    cdef bint shows_levels              # whether requotes may read them
    cdef bint by_levels                 # whether levels are looked up in an index, instead of stored in a book
    cdef LevelQueue queue               # which looks them up
    cdef int64_t next_event, events, start_us
    cdef const int64_t[::1] whole_us    # of all events of a tape with one level per side,
    cdef Happened happened              # and the count of past ones
    cdef int64_t first_event            # position of the first event of all, -1 once it was removed
    cdef int64_t last_trade_event       # of these events, -1 before their first
    cdef int64_t second_ago             # first position within the last second
    # the market
    cdef Book book
    cdef Touch touch
    cdef bint opened, begun
    cdef bint passes_over               # whether several events may be played at once
    cdef int64_t last_book_us
    cdef int64_t changed_event          # event whose rows are the last change of the book; -1 if more changed
    cdef bint checked_prints               # whether an order was last checked against prints at its price
    cdef Prints printed                 # since the last book event; on best prices, from `show_pages` alone
    cdef Prints taken                   # by us from the book, since its last event
    cdef Market market
    cdef Mean mean                      # of the last trades, if the filters need it
    # latency of our messages
    cdef Latency latency
    cdef const int64_t[::1] order_latencies, cancel_latencies
    cdef const double[::1] latency_rates
    cdef int64_t last_active_us, last_cancel_us     # messages of one kind keep their order
    cdef int64_t ttl_us
    # counters
    cdef int64_t taker_reason
    cdef int64_t valid_us, valid_since_us, two_sided_us, two_sided_since_us
    cdef double expected_fills
    # The best prices of the whole tape, and the lots at them, at each change: the rows of its books are stored when
    # a level is read (`show_levels`); *book* has those of the events before *shown_events*.
    cdef bint on_demand
    cdef const int64_t[::1] top_event, top_bid_ticks, top_ask_ticks, top_bid_lots, top_ask_lots
    cdef int64_t next_top, tops, shown_events
    cdef Books books                    # positions of their rows
    # The same for best prices of a tape, with the rows of its books beside them: events are then those of the tape.
    cdef bint paged
    cdef object book_rows               # which the book reads
    cdef const int64_t[::1] place
    cdef const uint8_t[::1] book_kind
    cdef int64_t next_print             # first event that `find_last_print` has not searched

    cdef int draw_latencies(self, object latencies, seed) except -1
    cdef int64_t travel_us(self, int message, int64_t order_id) noexcept nogil
    cdef int64_t drawn_us(self, int message, int64_t order_id) noexcept nogil
    cdef void begin_events(self) noexcept nogil
    cdef void begin_window(self) noexcept nogil
    cdef int64_t spent_events(self) noexcept nogil
    cdef void drop_events(self, int64_t events) noexcept nogil
    cdef int64_t last_second(self) noexcept nogil
    cdef int show_event(self, int64_t event, int64_t us) except -1 nogil
    cdef int change_book(self, int64_t event, int64_t us) except -1 nogil
    cdef void set_valid(self, bint valid, int64_t us) noexcept nogil
    cdef void note_top(self, int64_t us, int64_t recv_seq) noexcept nogil
    cdef int on_book(self, int64_t us, int64_t recv_seq) except -1 nogil
    cdef int on_gap(self, int64_t us, int64_t recv_seq) except -1 nogil
    cdef int on_trade(self, int64_t event, int64_t us) except -1 nogil
    cdef Trade print_at(self, int64_t event, int64_t us) noexcept nogil
    cdef int64_t pass_over(self, FillModel fills, int64_t until_us) except -1 nogil
    cdef int on_reaching_trade(self, int64_t event, int64_t us) except -1 nogil
    cdef void reached(self, int64_t* sell, int64_t* buy) noexcept nogil
    cdef bint concerns_fills(self, int64_t side, int64_t ticks) noexcept nogil
    cdef int match_trade(self, Trade* print_) except -1 nogil
    cdef int match_side(self, int slot, Trade* print_) except -1 nogil
    cdef int match_book(self, int64_t us, int64_t mid2) except -1 nogil
    cdef int match_levels(self) except -1 nogil
    cdef bint crossed(self) noexcept nogil
    cdef void touch_levels(self, uint64_t* touched) noexcept nogil
    cdef int show_print(self, int64_t event, int64_t us) except -1 nogil
    cdef int begin_stretches(self, int sides, int64_t us) except -1 nogil
    cdef int redraw(self, int64_t side, int64_t us) except -1 nogil
    cdef int fill_due(self, int64_t us) except -1 nogil
    cdef int deliver(self, int64_t us) except -1 nogil
    cdef int arrive(self, int64_t i, int64_t us) except -1 nogil
    cdef int take(self, int64_t i, int64_t us) except -1 nogil
    cdef bint in_band(self, const Order* order, int64_t us) noexcept nogil
    cdef void average(self, int64_t us) noexcept nogil
    cdef int close(self, int64_t i, int64_t us, int status, int action) except -1 nogil
    cdef int fill(self, int64_t i, int64_t us, int64_t lots, int64_t reason, int64_t mid2) except -1 nogil
    cdef int book_fill(self, int64_t i, const Fill* fill) except -1 nogil
    cdef void watch_sides(self, int64_t us) noexcept nogil


cdef inline int note_mid(PaperVenue venue, int64_t us) except -1 nogil:
    """Record the mid if it has changed."""
    cdef int64_t bid = venue.touch.top.bid_ticks, ask = venue.touch.top.ask_ticks, mid2 = bid + ask if bid and ask else 0
    if mid2 != venue.touch.mid2:
        venue.touch.mid2 = mid2
        record_mid(&venue.orders.records, us, mid2)
        if mid2 == 0:
            venue.touch.mid_lost = True
    return 0


cdef inline int take_columns(PaperVenue venue, object market) except -1:
    """Set the columns of a tape, or of its best prices."""
    venue.recv_seq, venue.event_id, venue.event_exch_us = market.recv_seq, market.event_id, market.event_exch_us
    venue.kind, venue.first_row = market.kind, market.first_row
    venue.row_side, venue.row_ticks, venue.row_lots = market.row_side, market.row_ticks, market.row_lots
    venue.events = venue.kind.shape[0]
    return 0


cdef inline int take_moves(PaperVenue venue, object best) except -1:
    """Set the additional columns of best prices."""
    venue.reach, venue.whole_us = best.reach, best.whole_us
    venue.move_event, venue.move_us = best.move_event, best.move_us
    venue.move_bid_ticks, venue.move_ask_ticks = best.move_bid_ticks, best.move_ask_ticks
    venue.move_low_ticks, venue.move_high_ticks = best.move_low_ticks, best.move_high_ticks
    venue.next_move, venue.moves = 0, venue.move_event.shape[0]
    return 0


cdef inline int take_fed(PaperVenue venue, int64_t start_us) except -1:
    """Prepare for fed events from an instant on, without a tape."""
    venue.by_levels = venue.lagging = venue.best_only = venue.on_best_prices = venue.on_demand = venue.paged = False
    venue.start_us = start_us
    return 0


cdef inline int take_tops(PaperVenue venue, object tape) except -1:
    """Set the columns of best prices of a whole tape, and the lots at them."""
    venue.top_event, venue.tops = tape.top_event, tape.top_event.shape[0]
    venue.top_bid_ticks, venue.top_bid_lots = tape.top_bid_ticks, tape.top_bid_lots
    venue.top_ask_ticks, venue.top_ask_lots = tape.top_ask_ticks, tape.top_ask_lots
    return 0


cdef inline void show_top(PaperVenue venue) noexcept nogil:
    """Set the best prices and their lots to those before the next change of either; none before the first."""
    cdef int64_t at = venue.next_top - 1
    if at >= 0:
        venue.book.best_bid, venue.touch.top.bid_lots = venue.top_bid_ticks[at], venue.top_bid_lots[at]
        venue.book.best_ask, venue.touch.top.ask_lots = venue.top_ask_ticks[at], venue.top_ask_lots[at]


cdef inline int take_rows(PaperVenue venue, object best, object rows) except -1:
    """Set the rows of the books of a tape, beside its best prices; None for none."""
    venue.paged, venue.book_rows = rows is not None, rows
    venue.on_demand = venue.paged or not (venue.best_only or venue.lagging)
    if venue.paged:
        book_take_pages(&venue.book, rows)
        venue.place, venue.book_kind = best.place, rows.kind
    return 0


cdef inline void clear_book(PaperVenue venue) noexcept nogil:
    """Empty the book."""
    cdef bint placed = venue.paged and venue.next_event < venue.events
    if venue.on_demand:
        book_wipe(&venue.book)
        venue.touch.top.bid_lots = venue.touch.top.ask_lots = 0
        venue.shown_events = venue.place[venue.next_event] if placed else venue.next_event
    else:
        book_clear(&venue.book)


cdef inline int add_prints(PaperVenue venue, int64_t begin, int64_t stop) except -1 nogil:
    """Add the prints of the events ``begin:stop`` of the whole tape, not before its window, to those since the last book."""
    cdef int64_t low = 0, high = venue.place.shape[0], middle
    cdef Trade print_
    if begin >= stop:
        return 0
    while low < high:
        middle = (low + high) // 2
        if venue.place[middle] < begin:
            low = middle + 1
        else:
            high = middle
    while low < venue.place.shape[0] and venue.place[low] < stop:
        if venue.kind[low] == TRADE and venue.event_us[low] >= venue.start_us:
            print_ = venue.print_at(low, venue.event_us[low])
            prints_add(&venue.printed, &print_)
        low += 1
    return 0


cdef inline int show_pages(PaperVenue venue) except -1 nogil:
    """Advance a book with pages to the past events, and set the lots at the best prices."""
    cdef int64_t shown = venue.shown_events, base = venue.book.pages.base, event
    cdef int64_t stop = max(shown, events_before(&venue.happened, venue.queue.passed_us))
    if stop == shown and base + stop == venue.book.pages.stop:
        return 0  # nothing has happened since
    book_advance(&venue.book, base + stop)
    event = base + stop - 1
    while event >= base + shown and (venue.book_kind[event] == TRADE or venue.book_kind[event] == KEYFRAME):
        event -= 1
    if event >= base + shown:
        venue.printed.used = venue.taken.used = 0
    add_prints(venue, event + 1 - base, stop)
    venue.shown_events = stop
    venue.touch.top.bid_lots = book_lots_at(&venue.book, 1, venue.book.best_bid)
    venue.touch.top.ask_lots = book_lots_at(&venue.book, -1, venue.book.best_ask)
    return 0


cdef inline int show_levels(PaperVenue venue, int64_t stop) except -1 nogil:
    """Apply the events before *stop* to the levels of the book; to be called before reading a level."""
    cdef int64_t shown = venue.shown_events
    if venue.paged:
        return show_pages(venue)
    if not venue.on_demand or stop <= shown:
        return 0
    venue.shown_events = stop
    return book_catch_up(&venue.book, &venue.books, shown, stop)


cdef inline int show_event_book(PaperVenue venue, int64_t event) except -1 nogil:
    """Set the best prices after a book event; store its rows if it begins a book, or the fill model reads levels."""
    while venue.next_top < venue.tops and venue.top_event[venue.next_top] <= event:
        venue.next_top += 1
    show_top(venue)
    if venue.kind[event] != DEPTH:
        venue.shown_events = event + 1
        book_store(&venue.book, &venue.books, event, event + 1, True)
    return show_levels(venue, event + 1) if venue.reads_levels else 0


cdef inline bint unpack(int64_t reach, Trade* print_) noexcept nogil:
    """Set side, price and lots of a print from its `reach`; return False if one is too large for it, or it is no print."""
    cdef int64_t ticks = <int32_t> reach
    print_.side = 1 if ticks > 0 else -1
    print_.ticks, print_.lots = print_.side * ticks, reach >> 32
    return ticks != ALWAYS and print_.lots != ALWAYS


cdef inline bint is_print(PaperVenue venue, int64_t event) noexcept nogil:
    """Return whether an event of best prices is a print."""
    return venue.reach[event] and (<int32_t> venue.reach[event] != ALWAYS or venue.kind[event] == TRADE)


cdef inline void find_last_print(PaperVenue venue, Trade* last) noexcept nogil:
    """Set *last* to the last print so far of best prices whose prints are mostly skipped; it stays if there is none."""
    cdef int64_t begin = venue.next_print, event = begin, found, i
    while event + 8 <= venue.events and venue.event_us[event + 7] <= venue.now_us:
        event += 8
    found = event
    for i in range(found, min(found + 8, venue.events)):  # counted without a branch, which would be mispredicted
        event += venue.event_us[i] <= venue.now_us
    found = event - 1
    while found >= begin and not is_print(venue, found):
        found -= 1
    venue.next_print = event
    prefetch(&venue.event_us[event + FETCHED])
    prefetch(&venue.event_us[event + FETCHED + 8])
    prefetch(&venue.reach[event + FETCHED])
    prefetch(&venue.reach[event + FETCHED + 8])
    prefetch(&venue.event_id[event + FETCHED])
    prefetch(&venue.event_id[event + FETCHED + 8])
    if found >= begin and venue.event_us[found] >= venue.start_us:
        last.us, last.id = venue.event_us[found], venue.event_id[found]
        if not unpack(venue.reach[found], last):
            last[0] = venue.print_at(found, last.us)


cdef inline int64_t whole_steps(PaperVenue venue, const Order* order, int64_t lots) noexcept nogil:
    """Return the lots of a fill in whole steps of the exchange; one that closes the order is unchanged."""
    return lots if venue.step_lots == 1 or lots >= order.lots else lots - lots % venue.step_lots


cdef inline bint hits(int32_t reach, int32_t sell, int32_t buy) noexcept nogil:
    """Return whether an event is relevant: not a print short of both prices, nor only a change of lots; *buy* 0: none.

    The second half is ``-buy <= reach < 0`` in one comparison: a sell's price is negative, and wraps if unsigned.
    """
    return reach >= sell or <uint32_t> (reach + buy) < <uint32_t> buy


cdef inline int matters(PaperVenue venue, int64_t event) except -1 nogil:
    """Match our orders with a print that reaches one; return whether the event needs more work: no if none filled."""
    if <int32_t> venue.reach[event] == ALWAYS:
        return True
    venue.next_event, venue.now_us = event, venue.event_us[event]
    return venue.on_reaching_trade(event, venue.now_us)


cdef inline bint unreached(PaperVenue venue, int32_t sell, int32_t buy) noexcept nogil:
    """Return whether certainly no print before the next move reaches these prices."""
    return (
        venue.next_move < venue.moves
        and venue.move_high_ticks[venue.next_move] < sell
        and venue.move_low_ticks[venue.next_move] > buy
    )


cdef inline bint is_plain(PaperVenue venue) noexcept nogil:
    """Return whether the fill model can skip moves of the best prices that reach no order of ours."""
    if venue.fills.draws or (venue.fills.needs_book and not venue.fills.crossed_only):
        return False
    return venue.by_levels or not venue.fills.needs_levels


cdef inline bint move_reaches(PaperVenue venue, const OpenOrders* open) noexcept nogil:
    """Return whether the fill model must be called at the next move, as a best price then reaches our order."""
    cdef int64_t ask = venue.move_ask_ticks[venue.next_move]
    if not venue.fills.needs_book:
        return False
    return venue.move_bid_ticks[venue.next_move] >= open.nearest[0] or open.nearest[1] >= ask > 0


cdef inline int move(PaperVenue venue, int64_t us) except -1 nogil:
    """Move the best prices without calling the fill model."""
    cdef int64_t ahead = venue.next_move + 16
    prefetch(&venue.move_bid_ticks[ahead])
    prefetch(&venue.move_ask_ticks[ahead])
    prefetch(&venue.move_low_ticks[ahead])
    prefetch(&venue.move_high_ticks[ahead])
    prefetch(&venue.move_us[ahead])
    prefetch(&venue.move_event[ahead])
    venue.book.best_bid = venue.touch.top.bid_ticks = venue.move_bid_ticks[venue.next_move]
    venue.book.best_ask = venue.touch.top.ask_ticks = venue.move_ask_ticks[venue.next_move]
    venue.next_move += 1
    venue.last_book_us = us
    return note_mid(venue, us)


cdef inline int move_past(PaperVenue venue, int64_t us) except -1 nogil:
    """Move the best prices past skipped events, and prefetch those after the next move, which may be needed."""
    cdef int64_t event
    if venue.next_move + 2 < venue.moves:
        event = venue.move_event[venue.next_move + 1] + 1
        prefetch(&venue.event_us[event])
        prefetch(&venue.reach[event])
    return move(venue, us)


cdef inline int32_t nearest(PaperVenue venue, int slot) noexcept nogil:
    """Return the price that a print must reach to affect our sells or buys; beyond all prices if none does.

    If every print is relevant, all prints reach the returned price, and moves without a print before them are skipped.
    """
    if venue.fills.follows_prints:
        return ALWAYS - 1 if slot else 1
    if not venue.fills.needs_trades:
        return 0 if slot else ALWAYS
    if not venue.fills.reached_only and venue.orders.open.resting[0] + venue.orders.open.resting[1] > 0:
        return ALWAYS if slot else 1
    return <int32_t> min(venue.orders.open.nearest[slot], ALWAYS)
