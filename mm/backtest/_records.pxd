# The compiled part of the journal: six tables of int64 rows, and functions that write the rows.
#
# Four fifths of the rows are of orders, and most repeat values of the order's last row. So they are stored as a log of
# words and one `Life` row per order, and expanded to the table when needed (``OrderLog``); a run without rows of orders
# stores only the `Life` rows. A row of the log is two words, the instant and a head, followed by the values that the
# head's action changes:
#   a whole row      ticks, placed lots, lots left, active, expire, cancel request, cancel
#   a short PLACE    nothing; the rest as in the order's `Life`
#   a short request  cancel; the rest as in the order's last row
#   a short FILL     lots left; the rest as in the order's last row
#   a short end      nothing; the rest as in the order's last row; the end of an order that is cancelled or filled
# A head is a number, then 24 bits of codes. The number is the order's id, or for a short row other than PLACE the index
# of the order's last row.

from libc.stdint cimport int64_t
from libc.stdlib cimport realloc

from mm.backtest._account cimport Account
from mm.tape._memory cimport prefer_large_pages, prefetch_write
from mm.backtest.fills.base cimport NEVER, Order

# Indices into the tables of names of journal.py.
cdef enum Action:
    PLACE, CANCEL_REQ, CANCEL_ACK, FILL, CLOSE_FILLED, EXPIRE, REJECT, SKIP, AMEND

cdef enum RejectReason:
    COVERED, WOULD_CROSS, INSUFFICIENT_CASH, INSUFFICIENT_INVENTORY, MIN_NOTIONAL, BOOK_INVALID, PRICE_NOT_POSITIVE, QUANTITY_BELOW_STEP
    QUANTITY_OUT_OF_RANGE, MAX_NOTIONAL, PRICE_OUT_OF_BAND, PRICE_REJECTED, ORDER_LIMIT_10S, ORDER_LIMIT_DAY  # then the limits of _risk.pxd

cdef enum CancelReason:
    NOT_CANCELLED, QUOTE_MOVED, QUOTE_WITHDRAWN, REFRESH, EPOCH_BREAK, ASKED  # then the limits that pull or kill

cdef enum FillReason:
    BY_TRADE, BY_BOOK, BY_DRAW

# One fill as the engine books it.
cdef struct Fill:
    int64_t us
    int64_t ticks
    int64_t lots
    int64_t fee_e8
    int64_t reason          # index into the journal's reasons
    int64_t mid2            # the last valid one before the event that fills; 0 for none

# Actions of a requote on a side, as bits; from SKIP_SHIFT to below AMENDED_ONE the reason of a skipped order.
cdef enum Acted:
    CANCELLED_ONE = 1, PLACED_ONE = 2, KEPT_ONE = 4, SKIPPED_ONE = 8, SKIP_SHIFT = 4, AMENDED_ONE = 1 << 16

# One requote: the market, the wanted quotes, and the actions; sells, buys.
cdef struct Decision:
    int64_t us
    int64_t recv_seq        # of its last input
    int64_t best[2]
    int64_t wanted_ticks[2]
    int64_t wanted_lots[2]  # -1 for no quote
    int64_t acted[2]

cdef struct Table:
    int64_t* cells
    int64_t used            # cells
    int64_t room
    int64_t rows
    int64_t width
    int64_t* likely         # cells to allocate at first

cdef struct Records:
    bint keeps_orders       # else *orders* stays empty
    Table orders            # a log; its width is that of the longest row
    Table lives             # a `Life` of each order that was sent
    int64_t first_id        # of these orders
    int64_t counts[16 * 64]  # of order rows, by action and reject reason
    Table fills
    Table state
    Table mids
    Table decisions         # empty unless the rules record them
    Table breaches
    int64_t mid2            # the last valid one, 0 before the first

# An order that was sent: a row of the table that ``read_lives`` of `mm.backtest.metrics` returns for a journal.
cdef struct Life:
    int64_t sent_us
    int64_t active_us
    int64_t side
    int64_t ticks
    int64_t lots
    int64_t end_us          # -1 while it is open
    int64_t rejected

cdef enum:
    SHORT = 1 << 19         # the bit of a head of a short row
    ENDS = 1 << CANCEL_ACK | 1 << CLOSE_FILLED | 1 << EXPIRE | 1 << REJECT  # actions with which an order ends

cdef void records_open(Records* records, bint keeps_orders) noexcept nogil
cdef void records_close(Records* records) noexcept
cdef object handed(Table* table)
cdef object handed_log(Records* records)
cdef int grow(Table* table) except -1 nogil
cdef int64_t* whole_row(Records* records, const Order* order, int64_t head) except NULL nogil


cdef enum:
    AHEAD = 64              # cells after a new row that are prefetched for later ones; their content does not matter


cdef inline int64_t* new_row(Table* table, int64_t width) except NULL nogil:
    """Return the cells of a new last row; the caller fills them all."""
    cdef int64_t* row
    if table.used + width > table.room:
        grow(table)
    row = table.cells + table.used
    prefetch_write(row + AHEAD)
    table.used += width
    table.rows += 1
    return row


cdef inline int begin_life(Records* records, const Order* order, int64_t us) except -1 nogil:
    """Write the `Life` row of an order sent at an instant."""
    cdef Life* life
    if records.lives.rows == 0:
        records.first_id = order.id
    life = <Life*> new_row(&records.lives, sizeof(Life) // sizeof(int64_t))
    life.sent_us, life.active_us = us, known(order.active_us)
    life.side, life.ticks, life.lots = 1 if order.side > 0 else -1, order.ticks, order.placed_lots
    life.end_us, life.rejected = -1, False
    return 0


cdef inline void end_life(Records* records, int64_t order_id, int64_t us, int action) noexcept nogil:
    """Write the end of an order, if it was sent since the journal was handed over."""
    cdef Life* life
    cdef int64_t row = order_id - records.first_id
    if 0 <= row < records.lives.rows:
        life = <Life*> records.lives.cells + row
        life.end_us, life.rejected = us, action == REJECT


cdef inline int64_t known(int64_t us) noexcept nogil:
    return us if us != NEVER else -1


cdef inline int64_t* short_row(Records* records, const Order* order, int64_t width, int64_t head) except NULL nogil:
    """Return a new short row of the log, which refers to the order's last row."""
    cdef int64_t* row = new_row(&records.orders, width)
    row[1] = order.row << 24 | SHORT | head
    return row


cdef inline int record_order(Records* records, Order* order, int64_t us, int action, int reject) except -1 nogil:
    """Write an action on an order at an instant."""
    cdef int64_t* row
    cdef bint implied
    cdef int64_t head = action | order.status << 4 | reject << 7 | order.cancel_reason << 13
    records.counts[action << 6 | reject] += 1
    head |= (order.side > 0) << 18
    if ENDS >> action & 1:
        end_life(records, order.id, us, action)
        if not records.keeps_orders:
            return 0
        implied = action == CLOSE_FILLED or action == CANCEL_ACK and order.cancel_reason != EPOCH_BREAK
        row = short_row(records, order, 2, head) if implied and order.row >= 0 else whole_row(records, order, head)
    elif action == PLACE:
        begin_life(records, order, us)
        if not records.keeps_orders:
            return 0
        if order.expire_us == NEVER:
            row = new_row(&records.orders, 2)
            row[1] = order.id << 24 | SHORT | head
        else:
            row = whole_row(records, order, head)
    elif not records.keeps_orders:
        return 0
    elif (action == CANCEL_REQ or action == FILL) and order.row >= 0:
        row = short_row(records, order, 3, head)
        row[2] = order.cancel_us if action == CANCEL_REQ else order.lots
    else:
        row = whole_row(records, order, head)
    row[0] = us
    order.row = records.orders.rows - 1
    return 0


cdef inline int record_fill(
    Records* records, const Order* order, const Fill* fill, const Account* account
) except -1 nogil:
    """Write a fill; the account has booked it."""
    cdef int64_t* row = new_row(&records.fills, 9)
    row[0], row[1], row[2], row[3], row[4] = fill.us, order.id, order.side, fill.ticks, fill.lots
    row[5], row[6], row[7], row[8] = fill.fee_e8, fill.reason, fill.mid2, account.inventory_lots
    return 0


cdef inline int record_state(Records* records, int64_t us, const Account* account, int64_t open_orders) except -1 nogil:
    """Write the account at an instant, marked at the last valid mid."""
    cdef int64_t* row = new_row(&records.state, 6)
    row[0], row[1], row[2] = us, account.inventory_lots, account.cash_tl
    row[3], row[4], row[5] = account.fees_e8, records.mid2, open_orders
    return 0


cdef inline int record_mid(Records* records, int64_t us, int64_t mid2) except -1 nogil:
    """Write a new mid, 0 for none."""
    cdef int64_t* row = new_row(&records.mids, 2)
    row[0], row[1] = us, mid2
    if mid2:
        records.mid2 = mid2
    return 0


cdef inline int record_decision(Records* records, const Decision* made) except -1 nogil:
    """Write the decision of a requote; buys first, as in the columns of the journal."""
    cdef int64_t* row = new_row(&records.decisions, 10)
    row[0], row[1], row[2], row[3] = made.us, made.recv_seq, made.best[1], made.best[0]
    row[4], row[5], row[6], row[7] = made.wanted_ticks[1], made.wanted_lots[1], made.wanted_ticks[0], made.wanted_lots[0]
    row[8], row[9] = made.acted[1], made.acted[0]
    return 0


cdef inline int record_breach(
    Records* records, int64_t us, int64_t limit, int64_t value_e8, int64_t bound_e8, int64_t side
) except -1 nogil:
    """Write a breach of a limit; side 0 is both."""
    cdef int64_t* row = new_row(&records.breaches, 5)
    row[0], row[1], row[2], row[3], row[4] = us, limit, value_e8, bound_e8, side
    return 0
