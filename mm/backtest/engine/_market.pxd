# cython: boundscheck=False, wraparound=False
# The events of a tape, of a window of it, or of a feed, in the order in which they happen at the exchange.
#
# A run either visits every event (models that read the whole book), or two streams: the books, each by its best prices,
# and the trades. Then nothing else of the tape is read.

from libc.stdint cimport int8_t, int64_t, uint8_t

from mm.backtest.fills.base cimport NEVER, Trade
from mm.tape._kinds cimport TRADE

cdef struct MarketStream:       # the books, or the trades
    const int64_t* us           # when each happens
    const int64_t* recv_us      # when it is received; the same without a recorded feed
    const int64_t* event        # its position in the tape
    int64_t count
    int64_t next                # the first that has not happened
    int64_t received            # the first that has not been received

cdef struct Market:
    # the columns of the tape
    const int64_t* event_us
    const int64_t* exch_us
    const int64_t* late_us      # how late the market is as of each; NULL if it is in time
    const int64_t* recv_seq
    const int64_t* event_id
    const int64_t* first_row
    const int64_t* row_ticks
    const int64_t* row_lots
    const int8_t* row_side
    const uint8_t* kind
    int64_t events
    int64_t start_us            # of the window
    bint framed                 # whether the first event is a KEYFRAME: it is the first book
    # every event, in the order of the exchange
    const int64_t* clock_us     # when each happens
    const int64_t* sequence     # its position in the tape; NULL if that is the order
    int64_t next_event          # the first that has not happened, if every event is visited
    int64_t received_event      # the first of the tape that has not been received, for the local book
    int64_t shown_event         # the same for trades that were shown to the quote model, and for its signals
    int64_t signal_event
    int64_t counted, second_ago # the first that has not happened, and the first of the last second; for rates
    # the streams, if only best prices are visited
    bint best
    MarketStream books, trades
    const uint8_t* book_kind    # of each book
    const int64_t* ticks[2]     # best prices after each book; asks, bids
    const int64_t* lots[2]      # NULL if no model reads them
    const int64_t* trades_stop  # of the trades before each book
    const int64_t* low_ticks    # of those since the previous book, where a seller was the aggressor
    const int64_t* high_ticks   # and where a buyer was
    const int8_t* trade_side
    const int64_t* trade_ticks
    const int64_t* trade_lots


cdef inline const int64_t* first_of(const int64_t[::1] column) noexcept nogil:
    """NULL if it is empty."""
    return &column[0] if column.shape[0] else NULL


cdef inline int64_t next_us(const MarketStream* stream) noexcept nogil:
    """NEVER after the last."""
    return stream.us[stream.next] if stream.next < stream.count else NEVER


cdef inline bint book_is_next(const Market* market) noexcept nogil:
    """Events of one instant are in the order of receipt."""
    cdef int64_t book_us = next_us(&market.books), trade_us = next_us(&market.trades)
    if book_us == trade_us and book_us != NEVER:
        return market.books.event[market.books.next] < market.trades.event[market.trades.next]
    return book_us < trade_us


cdef inline int64_t next_market_us(const Market* market) noexcept nogil:
    """NEVER after the last."""
    if market.best:
        return min(next_us(&market.books), next_us(&market.trades))
    return market.clock_us[market.next_event] if market.next_event < market.events else NEVER


cdef inline bint trades_reach(const Market* market, int64_t sell, int64_t buy) noexcept nogil:
    """Whether a trade before the next book may be at or beyond these prices."""
    cdef int64_t book = market.books.next
    return book == market.books.count or market.high_ticks[book] >= sell or market.low_ticks[book] <= buy


cdef inline void pass_trades_before(Market* market, int64_t us) noexcept nogil:
    """Pass the trades before an instant, which reached no order and were not visited."""
    cdef int64_t at = market.trades.next
    while at < market.trades.count and market.trades.us[at] < us:
        at += 1
    market.trades.next = at


cdef inline int64_t event_at(const Market* market, int64_t position) noexcept nogil:
    return position if market.sequence is NULL else market.sequence[position]


cdef inline Trade row_trade(const Market* market, int64_t event, int64_t us) noexcept nogil:
    cdef int64_t row = market.first_row[event]
    return Trade(us, market.row_side[row], market.row_ticks[row], market.row_lots[row], market.event_id[event])


cdef inline Trade stream_trade(const Market* market, int64_t at, int64_t us) noexcept nogil:
    return Trade(
        us, market.trade_side[at], market.trade_ticks[at], market.trade_lots[at], market.event_id[market.trades.event[at]]
    )


cdef inline int64_t last_second(Market* market, int64_t now_us) noexcept nogil:
    """Number of events of the last second, including this instant's; 0 before the window begins."""
    if now_us < market.start_us:
        return 0
    while market.counted < market.events and market.clock_us[market.counted] <= now_us:
        market.counted += 1
    while market.second_ago < market.counted and market.clock_us[market.second_ago] <= now_us - 1000000:
        market.second_ago += 1
    return market.counted - market.second_ago


cdef inline int64_t first_from(const int64_t* rising, int64_t begin, int64_t stop, int64_t least) noexcept nogil:
    cdef int64_t middle
    while begin < stop:
        middle = (begin + stop) // 2
        if rising[middle] < least:
            begin = middle + 1
        else:
            stop = middle
    return begin
