# The compiled part of the journal: seven tables of int64 rows, whose columns ``journal.py`` names, and functions that
# write the rows.

from libc.stdint cimport int64_t

from mm.backtest.engine._account cimport Account
from mm.backtest.fills.base cimport NEVER, Order

# Indices into the tables of names of journal.py.
cdef enum Action:
    PLACE, CANCEL_REQ, CANCEL_ACK, FILL, CLOSE_FILLED, EXPIRE, REJECT, SKIP, AMEND

cdef enum RejectReason:
    COVERED, WOULD_CROSS, INSUFFICIENT_CASH, INSUFFICIENT_INVENTORY, MIN_NOTIONAL, BOOK_INVALID, PRICE_NOT_POSITIVE, QUANTITY_BELOW_STEP
    QUANTITY_OUT_OF_RANGE, MAX_NOTIONAL, PRICE_OUT_OF_BAND, PRICE_REJECTED, ORDER_LIMIT_10S, ORDER_LIMIT_DAY  # then the limits of _risk.pxd

cdef enum CancelReason:
    NOT_CANCELLED, QUOTE_MOVED, QUOTE_WITHDRAWN, REFRESH, EPOCH_BREAK, ASKED  # then the limits that pull or kill
    SELF_TRADE = 13
    LIQUIDATED = 14

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

# Columns of each table: a row is written below, and declared in journal.py.
cdef enum Width:
    ORDERS_WIDTH = 14, FILLS_WIDTH = 9, STATE_WIDTH = 6, MIDS_WIDTH = 2, SPANS_WIDTH = 2, DECISIONS_WIDTH = 10, BREACHES_WIDTH = 5

cdef struct Table:
    int64_t* cells
    int64_t width
    int64_t rows
    int64_t room            # rows
    bint reuses             # pages of past journals: of the table that is the largest

cdef struct Records:
    bint keeps_orders       # else *orders* stays empty
    Table orders
    Table fills
    Table state
    Table mids
    Table spans             # begin and end of each stretch of time with a market
    Table decisions         # empty unless the rules record them
    Table breaches
    int64_t counts[16 * 64]  # of order rows, by action and reject reason
    double placed_lots      # of the orders that were sent
    int64_t mid2            # the last valid one, 0 before the first

cdef void records_open(Records* records, bint keeps_orders) noexcept nogil
cdef void records_close(Records* records) noexcept nogil
cdef object handed(Table* table)
cdef dict handed_counts(Records* records)
cdef int grow(Table* table) except -1 nogil


cdef inline int64_t* new_row(Table* table) except NULL nogil:
    if table.rows == table.room:
        grow(table)
    table.rows += 1
    return table.cells + (table.rows - 1) * table.width


cdef inline int64_t known(int64_t us) noexcept nogil:
    return us if us != NEVER else -1


cdef inline int record_order(Records* records, const Order* order, int64_t us, int action, int reject) except -1 nogil:
    cdef int64_t* row
    records.counts[action << 6 | reject] += 1
    if action == PLACE:
        records.placed_lots += order.placed_lots
    if not records.keeps_orders:
        return 0
    row = new_row(&records.orders)
    row[0], row[1], row[2], row[3], row[4] = us, order.id, action, order.status, order.side
    row[5], row[6], row[7] = order.ticks, order.placed_lots, order.lots
    row[8], row[9], row[10], row[11] = known(order.active_us), known(order.expire_us), known(order.cancel_req_us), known(order.cancel_us)
    row[12], row[13] = reject, order.cancel_reason
    return 0


cdef inline int record_fill(
    Records* records, const Order* order, const Fill* fill, const Account* account
) except -1 nogil:
    """The account has booked it."""
    cdef int64_t* row = new_row(&records.fills)
    row[0], row[1], row[2], row[3], row[4] = fill.us, order.id, order.side, fill.ticks, fill.lots
    row[5], row[6], row[7], row[8] = fill.fee_e8, fill.reason, fill.mid2, account.inventory_lots
    return 0


cdef inline int record_state(Records* records, int64_t us, const Account* account, int64_t open_orders) except -1 nogil:
    cdef int64_t* row = new_row(&records.state)
    row[0], row[1], row[2] = us, account.inventory_lots, account.cash_tl
    row[3], row[4], row[5] = account.fees_e8, records.mid2, open_orders
    return 0


cdef inline int record_mid(Records* records, int64_t us, int64_t mid2) except -1 nogil:
    """0 for none."""
    cdef int64_t* row = new_row(&records.mids)
    row[0], row[1] = us, mid2
    if mid2:
        records.mid2 = mid2
    return 0


cdef inline int record_span(Records* records, int64_t begin_us, int64_t end_us) except -1 nogil:
    """Write a stretch of time with a market; one that begins where the last one ended continues it."""
    cdef int64_t* row
    if begin_us == end_us:
        return 0
    if records.spans.rows:
        row = records.spans.cells + records.spans.width * (records.spans.rows - 1)
        if row[1] == begin_us:
            row[1] = end_us
            return 0
    row = new_row(&records.spans)
    row[0], row[1] = begin_us, end_us
    return 0


cdef inline int record_decision(Records* records, const Decision* made) except -1 nogil:
    """Buys first, as in the columns of the journal."""
    cdef int64_t* row = new_row(&records.decisions)
    row[0], row[1], row[2], row[3] = made.us, made.recv_seq, made.best[1], made.best[0]
    row[4], row[5], row[6], row[7] = made.wanted_ticks[1], made.wanted_lots[1], made.wanted_ticks[0], made.wanted_lots[0]
    row[8], row[9] = made.acted[1], made.acted[0]
    return 0


cdef inline int record_breach(
    Records* records, int64_t us, int64_t limit, int64_t value_e8, int64_t bound_e8, int64_t side
) except -1 nogil:
    """Side 0 is both."""
    cdef int64_t* row = new_row(&records.breaches)
    row[0], row[1], row[2], row[3], row[4] = us, limit, value_e8, bound_e8, side
    return 0
