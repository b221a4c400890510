# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The kernel's side of the journal; ``journal.py`` names the columns."""

from cython.view cimport array as cython_array
from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

import numpy as np

from mm.backtest._account cimport Account
from mm.backtest._memory cimport prefer_large_pages
from mm.backtest.fills.base cimport NEVER, Order


cdef void records_open(Records* records) noexcept nogil:
    """Make empty tables."""
    memset(records, 0, sizeof(Records))
    records.orders.width = 14
    records.fills.width = 9
    records.state.width = 6
    records.mids.width = 2


cdef void records_close(Records* records) noexcept nogil:
    free(records.orders.cells)
    free(records.fills.cells)
    free(records.state.cells)
    free(records.mids.cells)


cdef int64_t* new_row(Table* table) except NULL nogil:
    """Return the cells of a new last row; the caller fills them all."""
    cdef int64_t room
    if table.used == table.room:
        room = 2 * table.room + 1024
        table.cells = <int64_t*> realloc(table.cells, room * table.width * sizeof(int64_t))
        if table.cells is NULL:
            with gil:
                raise MemoryError(f"no memory for {room} journal rows")
        prefer_large_pages(table.cells, room * table.width * sizeof(int64_t))
        table.room = room
    table.used += 1
    return table.cells + (table.used - 1) * table.width


cdef inline int64_t known(int64_t us) noexcept nogil:
    return us if us != NEVER else -1


cdef int record_order(Records* records, const Order* order, int64_t us, int action, int reject) except -1 nogil:
    """Write what became of an order at an instant."""
    cdef int64_t* row = new_row(&records.orders)
    row[0], row[1], row[2], row[3] = us, order.id, action, order.status
    row[4], row[5], row[6], row[7] = order.side, order.ticks, order.placed_lots, order.lots
    row[8], row[9] = known(order.active_us), known(order.expire_us)
    row[10], row[11] = known(order.cancel_req_us), known(order.cancel_us)
    row[12], row[13] = reject, order.cancel_reason
    return 0


cdef int record_fill(
    Records* records, const Order* order, const Fill* fill, const Account* account
) except -1 nogil:
    """Write a fill; the account has booked it."""
    cdef int64_t* row = new_row(&records.fills)
    row[0], row[1], row[2], row[3], row[4] = fill.us, order.id, order.side, fill.ticks, fill.lots
    row[5], row[6], row[7], row[8] = fill.fee_e8, fill.reason, records.mid2, account.inventory_lots
    return 0


cdef int record_state(Records* records, int64_t us, const Account* account, int64_t open_orders) except -1 nogil:
    """Write the account at an instant, marked at the last valid mid."""
    cdef int64_t* row = new_row(&records.state)
    row[0], row[1], row[2] = us, account.inventory_lots, account.cash_tl
    row[3], row[4], row[5] = account.fees_e8, records.mid2, open_orders
    return 0


cdef int record_mid(Records* records, int64_t us, int64_t mid2) except -1 nogil:
    """Write that the mid is now another, or 0 where there is none."""
    cdef int64_t* row = new_row(&records.mids)
    row[0], row[1] = us, mid2
    if mid2:
        records.mid2 = mid2
    return 0


cdef object handed(Table* table):
    """Return a table as an array that owns its memory, and leave an empty table behind."""
    cdef cython_array cells
    if table.used == 0:
        return np.empty((0, table.width), np.int64)
    cells = cython_array((table.used, table.width), itemsize=sizeof(int64_t), format="q", allocate_buffer=False)
    cells.data = <char*> table.cells
    cells.callback_free_data = free
    table.cells = NULL
    table.used = table.room = 0
    return np.asarray(cells)
