# The interface of quote models: the view that they receive, and the quotes that they set.

from cpython.object cimport PyObject
from libc.math cimport NAN, fmin
from libc.stdint cimport int64_t
from libc.stdlib cimport realloc

from mm.backtest.fills.base cimport LIMIT_MAKER, NEVER, Top, Trade, TradeView

cdef struct View:
    Top top
    int64_t inventory_lots
    int64_t target_lots     # target inventory; quotes, bounds and risk limits are relative to it
    int64_t most_lots       # inventory if every open buy fills, and no sell
    int64_t least_lots      # inventory if every open sell fills, and no buy
    int64_t quote_lots      # the clip
    double cash             # quote asset
    double sigma_ticks      # per root second, NaN while unknown
    double run_sigma_ticks  # the same, estimated over the whole run so far
    Trade last_trade        # if the model needs it; id -1 before the first
    int64_t begun_us        # instant of the run's first valid book
    double tick_lot         # value of one tick of price on one lot, in the quote asset
    const double* signals   # the last row of the run's signals, in the order of `bind`, NaN for null; NULL without any
    double tick             # price step, in the quote asset
    double lot              # order step, in the base asset
    int64_t step_lots       # lots of the tape in an order step: all other lots here are the tape's
    PyObject* others        # dict of the other markets by name; NULL without any
    PyObject* recorded      # `OwnSeries` of the run; NULL outside of one
    # Our open quotes, sells and buys, if the model needs them: price and lots ahead, NaN for none or unknown.
    double[2] own_ticks
    double[2] own_ahead_lots    # in order steps
    # Where the other side last met an order of ours, sells and buys, if the model needs our orders: price of the last
    # one that filled wholly or was rejected as it would have crossed (NaN for none), and when.
    double[2] met_ticks
    int64_t[2] met_us

# One of several prices of a side.
cdef struct Level:
    double ticks
    int64_t lots
    int64_t whole_ticks     # rounded price of an order at this level
    bint stands             # whether an order of ours rests there, or is pending

# The prices of a side, in any order; the memory belongs to the caller of the model.
cdef struct Ladder:
    Level* levels
    int64_t count
    int64_t room
    double per_tick         # levels per tick, once sorted

cdef struct Want:
    double bid_ticks        # NaN is no quote
    double ask_ticks
    int64_t bid_lots
    int64_t ask_lots
    int64_t bid_kind        # LIMIT_MAKER unless the model sets another
    int64_t ask_kind
    int64_t[2] room         # sells, buys: what an inventory bound leaves for all open orders of the side together
    Ladder* ladders         # sells, buys: `want_level` adds to them
    bint laddered           # whether the ladders are the quotes, instead of prices and lots above
    bint on_best            # whether a requote follows on the next change of a best price
    int64_t again_us        # instant of an additional requote; NEVER for none

# A fill of one of our orders.
cdef struct OwnFill:
    int64_t us
    int64_t order_id
    int64_t side
    int64_t ticks
    int64_t lots
    int64_t left_lots       # remaining lots of the order
    bint took               # whether it took liquidity


cdef extern from "<stdint.h>":
    const int64_t NO_BOUND "INT64_C(4000000000000000000)"


cdef inline void show_no_own(View* view) noexcept nogil:
    view.own_ticks[0] = view.own_ticks[1] = view.own_ahead_lots[0] = view.own_ahead_lots[1] = NAN
    view.met_ticks[0] = view.met_ticks[1] = NAN


cdef inline void blank(Want* want, Ladder* ladders, int64_t lots) noexcept nogil:
    want.bid_ticks = want.ask_ticks = NAN
    want.bid_lots = want.ask_lots = lots
    want.bid_kind = want.ask_kind = LIMIT_MAKER
    want.ladders, want.laddered, want.on_best, want.again_us = ladders, False, False, NEVER
    want.room[0] = want.room[1] = NO_BOUND
    ladders[0].count = ladders[1].count = 0


cdef inline int want_level(Want* want, int64_t side, double ticks, int64_t lots) except -1 nogil:
    """Add a quote; from then on the quotes are ladders."""
    cdef Ladder* ladder = &want.ladders[(side + 1) >> 1]
    want.laddered = True
    if ladder.count == ladder.room:
        grow_ladder(ladder)
    ladder.levels[ladder.count].ticks, ladder.levels[ladder.count].lots = ticks, lots
    ladder.count += 1
    return 0


cdef inline int grow_ladder(Ladder* ladder) except -1 nogil:
    cdef int64_t room = 2 * ladder.room + 16
    cdef Level* levels = <Level*> realloc(ladder.levels, room * sizeof(Level))
    if levels is NULL:
        with gil:
            raise MemoryError(f"no memory for {room} prices of a side")
    ladder.levels, ladder.room = levels, room
    return 0


cdef inline bint is_in_quote_asset(double ticks, const View* view) noexcept nogil:
    """Whether a price is in the quote asset, not in ticks: within 2 % of the mid's price, far from its ticks."""
    cdef double mid = 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks), price = mid * view.tick
    return abs(ticks - price) <= 0.02 * price and 20.0 * price < mid

cdef str price_not_ticks(double ticks, const View* view)

cdef inline double clips_held(const View* view) noexcept nogil:
    """Counted from the target."""
    return <double> (view.inventory_lots - view.target_lots) / <double> view.quote_lots


cdef inline int64_t lots_of_clips(double clips, int64_t quote_lots) noexcept nogil:
    """A bound that is whole but for the rounding of the product (0.29 · 100) is whole."""
    cdef double lots = fmin(clips * <double> quote_lots, 4e18)  # fits an int64
    return <int64_t> (lots + 1e-9 * fmin(lots, 1e6))


cdef inline void keep_within(Want* want, const View* view, int64_t most) noexcept nogil:
    """Bound the position to *most* lots from the target on both sides, even while a replaced order may still fill."""
    cdef int64_t held = view.inventory_lots - view.target_lots
    want.room[0], want.room[1] = min(want.room[0], most + held), min(want.room[1], most - held)


cdef class QuoteModel:
    cdef readonly str name          # in results
    cdef int needs                  # of `Need`
    cdef int skips                  # of `Skip`
    cdef readonly tuple signals     # type: tuple[str, ...]
    cdef int64_t step_lots          # lots of the tape in an order step
    cdef tuple made                 # from which arguments

    cdef int declare_as(self, QuoteModel inner) except -1
    cdef int quote(self, const View* view, Want* want) except -1 nogil
    cdef int on_fill(self, const View* view, const OwnFill* fill) except -1 nogil
    cdef int on_print(self, const Trade* trade) except -1 nogil
    cdef int restart(self, int64_t step_lots) except -1
    cdef int bind(self, tuple names) except -1
    cdef int take_manager(self, object manager) except -1


cdef object fill_shown(const OwnFill* fill, int64_t step_lots)


cdef class QuoteView:
    cdef const View* view
    cdef TradeView trade
    cdef bint shallow               # whether its model declares that it reads only the best prices
    cdef dict places                # index of each signal that its model declares
    cdef tuple names                # of all signals of the run
    cdef int64_t[2] room            # what the inventory bounds of the models that it was passed to leave; sells, buys

    cdef const View* seen(self) except NULL


cdef class PythonQuoteModel(QuoteModel):
    cdef object model, quote_hook, fill_hook, print_hook
    cdef str hook                   # name of the first of these
    cdef QuoteView view
    cdef Ladder[2] cached           # parsed levels of the last tuples
    cdef tuple bids, asks           # these tuples; None if the last levels were no tuple
    cdef int64_t cached_lots        # clip with which they were parsed
    cdef dict places
    cdef tuple names

    cdef int show(self) except -1
    cdef int end(self) except -1
    cdef object wrong(self, str what)
    cdef int take(self, object answer, const View* view, Want* want) except -1
    cdef tuple add_cached(self, str side, int64_t sign, object levels, tuple last, Want* want)
    cdef int levels(self, str side, int64_t sign, object levels, int64_t lots, Want* want) except -1
    cdef int64_t instant(self, object us, int64_t now_us) except? -1
    cdef double price(self, str field, object ticks) except? -1.0
    cdef int check_unit(self, str field, double ticks, const View* view) except -1
    cdef int64_t lots(self, str field, object lots, int64_t default) except? -1
    cdef int64_t kind(self, str side, object kind) except -1
