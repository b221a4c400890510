# The kernel's side of the journal: four tables of int64 rows, and what writes each row.

from libc.stdint cimport int64_t

from mm.backtest._account cimport Account
from mm.backtest.fills.base cimport Order

# Positions in the tables of words of journal.py.
cdef enum Action:
    PLACE, CANCEL_REQ, CANCEL_ACK, FILL, CLOSE_FILLED, EXPIRE, REJECT, SKIP, AMEND

cdef enum RejectReason:
    COVERED, WOULD_CROSS, INSUFFICIENT_CASH, INSUFFICIENT_INVENTORY, MIN_NOTIONAL, BOOK_INVALID, PRICE_NOT_POSITIVE, QUANTITY_BELOW_STEP
    QUANTITY_OUT_OF_RANGE, MAX_NOTIONAL, PRICE_OUT_OF_BAND

cdef enum CancelReason:
    NOT_CANCELLED, QUOTE_MOVED, QUOTE_WITHDRAWN, REFRESH, EPOCH_BREAK, ASKED

cdef enum FillReason:
    BY_TRADE, BY_BOOK, BY_DRAW

# One fill as the engine books it.
cdef struct Fill:
    int64_t us
    int64_t ticks
    int64_t lots
    int64_t fee_e8
    int64_t reason          # position in the journal's reasons

cdef struct Table:
    int64_t* cells
    int64_t used            # rows
    int64_t room
    int64_t width

cdef struct Records:
    Table orders
    Table fills
    Table state
    Table mids
    int64_t mid2            # the last valid one, 0 before there was one

cdef void records_open(Records* records) noexcept nogil
cdef void records_close(Records* records) noexcept nogil
cdef int record_order(Records* records, const Order* order, int64_t us, int action, int reject) except -1 nogil
cdef int record_fill(
    Records* records, const Order* order, const Fill* fill, const Account* account
) except -1 nogil
cdef int record_state(Records* records, int64_t us, const Account* account, int64_t open_orders) except -1 nogil
cdef int record_mid(Records* records, int64_t us, int64_t mid2) except -1 nogil
cdef object handed(Table* table)
