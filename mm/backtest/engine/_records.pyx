# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled part of the journal; ``journal.py`` names the columns."""

from cython.view cimport array as cython_array
from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

import numpy as np

from mm.tape._memory cimport prefer_large_pages


cdef void records_open(Records* records, bint keeps_orders) noexcept nogil:
    memset(records, 0, sizeof(Records))
    records.keeps_orders = keeps_orders
    records.orders.width, records.fills.width, records.state.width = ORDERS_WIDTH, FILLS_WIDTH, STATE_WIDTH
    records.mids.width, records.spans.width = MIDS_WIDTH, SPANS_WIDTH
    records.decisions.width, records.breaches.width = DECISIONS_WIDTH, BREACHES_WIDTH
    records.orders.reuses = True


cdef void records_close(Records* records) noexcept nogil:
    give_back(records.orders.cells)
    give_back(records.fills.cells)
    give_back(records.state.cells)
    give_back(records.mids.cells)
    give_back(records.spans.cells)
    give_back(records.decisions.cells)
    give_back(records.breaches.cells)


# The largest block of past journals, for the orders of the next one: the system clears every new page, which takes up
# to half of a run. A block begins with a line that holds the number of cells after it. The GIL guards it.
cdef enum:
    LINE = 8                # cells of that line
    MOST_SPARE = 1 << 24    # cells: 128 MB

cdef int64_t* spare = NULL


cdef void give_back(void* cells) noexcept with gil:
    """Free them, or keep them for reuse."""
    global spare
    cdef int64_t* block = <int64_t*> cells - LINE
    if cells is NULL:
        return
    if block[0] <= MOST_SPARE and (spare is NULL or block[0] > spare[0]):
        block, spare = spare, block
    free(block)


cdef int64_t* reused() noexcept with gil:
    global spare
    block, spare = spare, NULL
    return block


cdef int grow(Table* table) except -1 nogil:
    """Make room for more rows: unused room costs nothing, but copies do."""
    cdef int64_t cells = (4 * table.room + 1024) * table.width
    cdef int64_t* block = reused() if table.room == 0 and table.reuses else NULL
    if block is NULL:
        block = <int64_t*> realloc(table.cells - LINE if table.room else NULL, (LINE + cells) * sizeof(int64_t))
        if block is NULL:
            with gil:
                raise MemoryError(f"no memory for {cells * 8} bytes of a journal")
        prefer_large_pages(block, (LINE + cells) * sizeof(int64_t))
        block[0] = cells
    table.cells, table.room = block + LINE, block[0] // table.width
    return 0


cdef object handed(Table* table):
    cdef cython_array owned
    if not table.rows:
        return np.empty((0, table.width), np.int64)
    owned = cython_array((table.rows, table.width), itemsize=sizeof(int64_t), format="q", allocate_buffer=False)
    owned.data, owned.callback_free_data = <char*> table.cells, give_back
    table.cells = NULL
    table.rows = table.room = 0
    return np.asarray(owned)


cdef dict handed_counts(Records* records):
    cdef int64_t[:, ::1] counts = np.empty((16, 64), np.int64)
    placed_lots = records.placed_lots
    memcpy(&counts[0, 0], records.counts, sizeof(records.counts))
    memset(records.counts, 0, sizeof(records.counts))
    records.placed_lots = 0.0
    return {"order_counts": np.asarray(counts), "placed_lots": placed_lots}
