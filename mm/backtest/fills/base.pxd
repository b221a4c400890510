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

# Order types: indices into `KINDS` of journal.py.
cdef enum OrderKind:
    LIMIT_MAKER = 0         # rejected if it would cross
    LIMIT = 1               # executes against prices that it crosses; the remainder rests
    IOC = 2                 # executes against prices that it crosses; the remainder expires
    FOK = 3                 # executes completely at once, or not at all
    MARKET = 4              # executes at any price

cdef extern from "<stdint.h>":
    const int64_t NEVER "INT64_MAX"

# What a model needs of the engine: bits of `needs`.
cdef enum Need:
    NEEDS_TRADES = 1        # on_trade
    NEEDS_BOOKS = 2         # on_book
    NEEDS_LEVELS = 4        # on_level
    NEEDS_PRINTS = 8        # on_print, for each print of the market
    NEEDS_DRAWS = 16        # on_top, draw and expected: its fills are drawn from an intensity
    NEEDS_ORDER_LOG = 32    # every order of the market (_order_queue.pyx)
    NEEDS_FILLS = 64        # on_fill of a quote model, and a requote after each fill
    NEEDS_LAST_TRADE = 128  # the last print in the view
    NEEDS_OWN_ORDERS = 256  # our open quotes in the view
    NEEDS_MANAGER = 512     # the order manager: it sends its orders itself (strategy.pyx)
    NEEDS_PYTHON = 1024     # the interpreter: the engine keeps the GIL between calls

# What the engine may skip, because it changes no answer of a model: bits of `skips`.
cdef enum Skip:
    SKIPS_DEPTH = 1         # levels behind the best prices; a quote model then sends LIMIT_MAKER orders only
    SKIPS_LOTS = 2          # lots at the best prices, and ids of prints
    SKIPS_LEVELS = 4        # both, but at the prices of resting orders, where on_level follows what is displayed
    SKIPS_UNREACHED = 8     # prints that do not reach the order's price from the other side
    SKIPS_UNCROSSED = 16    # books whose other best price does not reach the order's
    SKIPS_REPEATS = 32      # calls with the best prices, inventory and orders of the last one
    SKIPS_ALL = 63

cdef struct Order:
    int64_t id
    int64_t side            # +1 buy, -1 sell
    int64_t ticks
    int64_t lots            # remaining
    int64_t placed_lots
    int64_t kind
    int64_t manual         # whether it was placed by `place`, not for the quote model
    int64_t level           # rank among the quotes of its side; 0 is nearest to the mid
    int64_t status
    int64_t sent_us
    int64_t active_us       # when it reaches the exchange
    int64_t expire_us       # NEVER if good till cancelled
    int64_t cancel_req_us   # NEVER if no cancel is pending
    int64_t cancel_us       # when the cancel takes effect
    int64_t cancel_reason
    int64_t amend_us        # when a pending amendment takes effect, or NEVER
    int64_t amend_lots
    int64_t amends          # number of amendments
    int64_t move_ticks      # price that the pending amendment gives it; 0 if it only lowers the quantity
    int64_t more_lots       # lots that it adds; they count among the open lots of its side
    int64_t moves           # number of amendments of the price that were sent
    int64_t move_turn       # the pending one's number among those of all orders
    double ahead_lots       # queue position in order steps, as estimated by a queue model
    double given_lots       # order steps that it advanced by decreases without a print so far; of `queue_back` only
    int64_t level_lots      # displayed at its price after the last update
    int64_t printed_lots    # printed against it at its price since the last book event
    int64_t offered_lots    # by the other side at its price or better, set before `on_book` of a model that reads levels
    int64_t joined_at       # number of books of the tape before it came to rest; _level_queue.pyx
    int64_t book_at         # and before *printed_lots*, which count at the next one
    int64_t level_begin, level_next, level_stop  # its level's changes: index range, next one; see _level_queue.pyx
    int64_t due_us          # instant of the fill drawn for the current stretch, or NEVER
    int64_t stretch_us      # start of that stretch
    double delta            # distance from the reference during the stretch, ticks; in PredictedFills intensity, 1/s

cdef struct Trade:
    int64_t us
    int64_t side            # the aggressor's
    int64_t ticks
    int64_t lots            # lots of the print that our orders have not taken
    int64_t id

cdef struct Top:
    int64_t us
    int64_t recv_seq
    int64_t bid_ticks       # 0 for none; all prices and lots are 0 while the book is not valid
    int64_t ask_ticks
    int64_t bid_lots
    int64_t ask_lots
    const void* book        # the whole book, for lots_at


cdef inline void copy_top(Top* target, const Top* source) noexcept nogil:
    """Copy best prices in words of 8 bytes: a wider load waits until narrower stores have reached the cache."""
    cdef const volatile int64_t* words = <const volatile int64_t*> source
    cdef int64_t* copied = <int64_t*> target
    cdef int i
    for i in range(sizeof(Top) // sizeof(int64_t)):
        copied[i] = words[i]


cdef int set_field(object model, str name, object value) except -1


cdef class FillModel:
    cdef int needs          # of `Need`
    cdef int skips          # of `Skip`
    cdef int64_t step_lots  # lots of the tape in an order step
    cdef int64_t by                 # offset in `reasons` of the model of its last result
    cdef readonly str name          # in results and fill reasons
    cdef tuple made                 # from which arguments

    cdef void restart(self) noexcept
    cdef void use_step(self, int64_t step_lots) noexcept
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
    cdef int64_t step_lots  # lots of the tape in an order step
    cdef const Order* seen(self) except NULL

cdef class TradeView:
    cdef const Trade* trade
    cdef int64_t step_lots  # lots of the tape in an order step
    cdef const Trade* seen(self) except NULL

cdef class BookView:
    cdef const Top* top
    cdef int64_t step_lots  # lots of the tape in an order step
    cdef const Top* seen(self) except NULL

# The base of queue models: subclasses return the share of cancelled lots that was ahead of us.
cdef class Queue(FillModel):
    cdef double steps(self, int64_t lots) noexcept nogil
    cdef double ahead_share(self, double ahead, double behind) noexcept nogil

# Fills by every order of the market.
cdef class QueueOrders(FillModel):
    cdef readonly str reading

cdef class QueueProbPower(Queue):
    cdef readonly double exponent
