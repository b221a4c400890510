# The interface of quote models: the view that they get, and the quotes that they set.

from libc.stdint cimport int64_t

from mm.backtest.fills.base cimport Top, Trade

cdef struct View:
    Top top
    int64_t inventory_lots
    int64_t target_lots     # the inventory that quotes, bounds and risk count from
    int64_t most_lots       # inventory if every open buy fills, and no sell
    int64_t least_lots      # inventory if every open sell fills, and no buy
    int64_t quote_lots      # the clip
    double cash             # quote asset
    double sigma_ticks      # per root second, NaN while unknown
    double run_sigma_ticks  # the same from everything since the run began
    Trade last_trade        # id -1 before the first
    int64_t begun_us        # when the run's first valid book was
    double tick_lot         # what one lot is worth more when the price is one tick higher, in the quote asset

cdef struct Want:
    double bid_ticks        # NaN is no quote
    double ask_ticks
    int64_t bid_lots
    int64_t ask_lots
    int64_t bid_kind        # LIMIT_MAKER unless the model says otherwise
    int64_t ask_kind


cdef inline double clips_held(const View* view) noexcept nogil:
    """Return the inventory in clips, counted from the target."""
    return <double> (view.inventory_lots - view.target_lots) / <double> view.quote_lots


cdef class QuoteModel:
    cdef readonly str name          # as results show it
    cdef int looks                  # how deep into the book: BEST_PRICES, BEST_LOTS or WHOLE_BOOK
    cdef bint interpreted           # whether Python answers
    cdef bint timeless              # whether best prices and our inventory alone make the answer

    cdef int quote(self, const View* view, Want* want) except -1 nogil
