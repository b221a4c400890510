# The interface of fill models: the structs that the engine passes, and the hooks that it calls.

from libc.stdint cimport int64_t, uint64_t

cdef enum Status:
    SENT = 0
    LIVE = 1
    CANCELLING = 2
    CANCELLED = 3
    FILLED = 4
    EXPIRED = 5
    REJECTED = 6

# How an order wants to be filled: positions in the kinds of journal.py.
cdef enum OrderKind:
    LIMIT_MAKER = 0         # rejected where it would cross
    LIMIT = 1               # takes what it crosses, the rest rests
    IOC = 2                 # takes what it crosses, the rest expires
    FOK = 3                 # all at once or not at all
    MARKET = 4              # at any price

cdef extern from "<stdint.h>":
    const int64_t NEVER "INT64_MAX"

# How much of the book a model looks at.
cdef enum Looks:
    BEST_PRICES = 0         # and at nothing else of the market but prints, and not at a print's id
    BEST_LOTS = 1           # and prices, and the last print
    WHOLE_BOOK = 2

cdef struct Order:
    int64_t id
    int64_t side            # +1 buy, -1 sell
    int64_t ticks
    int64_t lots            # what is left
    int64_t placed_lots
    int64_t kind
    int64_t by_hand         # whether it was placed from outside, not for the quote model
    int64_t level           # of the quotes on its side: 0 the nearest to the mid
    int64_t status
    int64_t sent_us
    int64_t active_us       # when it reaches the exchange
    int64_t expire_us       # NEVER where it is good till cancelled
    int64_t cancel_req_us   # NEVER where no cancel is on its way
    int64_t cancel_us       # when the cancel takes effect
    int64_t cancel_reason
    int64_t amend_us        # when the quantity it was amended to takes effect, or NEVER
    int64_t amend_lots
    int64_t amends          # how often it was amended
    double ahead_lots       # a queue model's own note
    int64_t level_lots      # displayed at its price, as last seen
    int64_t printed_lots    # printed against it at its price since the last book event
    int64_t printed_at      # an event since then, where levels are looked up (_level_queue.pyx)
    int64_t level_begin, level_next, level_stop  # its level's changes there: all, and the next; below 0 for none yet
    int64_t due_us          # the fill drawn for the current stretch, or NEVER
    int64_t stretch_us      # when that stretch began
    double delta            # its distance from the reference during the stretch, in ticks
    int64_t row             # its last one in the journal, -1 where the journal was handed over since

cdef struct Trade:
    int64_t us
    int64_t side            # the aggressor's
    int64_t ticks
    int64_t lots            # what is left of the print for us
    int64_t id

cdef struct Top:
    int64_t us
    int64_t recv_seq
    int64_t bid_ticks       # 0 where there is none, as everywhere while the book is not valid
    int64_t ask_ticks
    int64_t bid_lots
    int64_t ask_lots
    const void* book        # the whole book, for lots_at

cdef class FillModel:
    cdef bint asks_trade    # which hooks the model has
    cdef bint asks_book
    cdef bint asks_level
    cdef bint draws
    cdef bint follows_prints  # whether each print of the market is shown to it, whatever it reaches
    cdef bint reached_only  # whether a print that does not reach an order's price is nothing to it
    cdef bint by_levels     # whether of the book it needs the changes of an order's level alone, while that rests
    cdef bint crossed_only  # whether a book whose best price does not reach it is nothing to it
    cdef bint interpreted   # whether Python answers: then the interpreter's lock is kept, not taken for each question
    cdef int looks          # how deep into the book: BEST_PRICES, BEST_LOTS or WHOLE_BOOK
    cdef int64_t by                 # position of the reasons behind its last answer
    cdef readonly str name          # as results and fill reasons show it

    cdef void restart(self) noexcept
    cdef int on_rest(self, Order* order, const Top* top) except -1 nogil
    cdef int64_t print_lots(self, const Trade* trade) except -1 nogil
    cdef int64_t on_trade(self, Order* order, const Trade* trade) except -1 nogil
    cdef int64_t on_book(self, Order* order, const Top* top, int64_t elapsed_us) except -1 nogil
    cdef int on_level(self, Order* order, int64_t before_lots, int64_t after_lots) except -1 nogil
    cdef int on_top(self, const Top* top) except -1 nogil
    cdef int on_print(self, int64_t side, int64_t us, int64_t recv_seq, int64_t exch_us) except -1 nogil
    cdef int draw(self, Order* order, const Top* top, int64_t now_us) except -1 nogil
    cdef double expected(self, const Order* order, int64_t until_us) except -1.0 nogil
    cdef int64_t drawn_by(self) noexcept nogil

cdef class OrderView:
    cdef const Order* order
    cdef const Order* seen(self) except NULL

cdef class TradeView:
    cdef const Trade* trade
    cdef const Trade* seen(self) except NULL

cdef class BookView:
    cdef const Top* top
    cdef const Top* seen(self) except NULL
