# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The kernel's side of the journal; ``journal.py`` names the columns."""

from cython.view cimport array as cython_array
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

import numpy as np

from mm.tape._memory cimport prefer_large_pages
from mm.backtest.fills.base cimport NEVER


# Cells of the next run's tables: it may be as long as the last one, and room that is not needed costs no memory.
cdef int64_t likely[6]


cdef void records_open(Records* records) noexcept nogil:
    """Make empty tables."""
    memset(records, 0, sizeof(Records))
    records.orders.width = 9
    records.fills.width = 9
    records.state.width = 6
    records.mids.width = 2
    records.decisions.width = 10
    records.orders.likely, records.fills.likely = &likely[0], &likely[1]
    records.state.likely, records.mids.likely = &likely[2], &likely[3]
    records.decisions.likely = &likely[4]
    records.breaches.width = 5
    records.breaches.likely = &likely[5]


cdef void records_close(Records* records) noexcept nogil:
    free(records.orders.cells)
    free(records.fills.cells)
    free(records.state.cells)
    free(records.mids.cells)
    free(records.decisions.cells)
    free(records.breaches.cells)


cdef int grow(Table* table) except -1 nogil:
    """Make room for more rows."""
    cdef int64_t room = max(2 * table.room + 1024 * table.width, table.likely[0])
    table.cells = <int64_t*> realloc(table.cells, room * sizeof(int64_t))
    if table.cells is NULL:
        with gil:
            raise MemoryError(f"no memory for {room * 8} bytes of a journal")
    prefer_large_pages(table.cells, room * sizeof(int64_t))
    table.room = room
    return 0


cdef cython_array taken(Table* table):
    """Return the cells of a table that has some, and leave an empty one behind."""
    cdef cython_array cells = cython_array(
        (table.used,), itemsize=sizeof(int64_t), format="q", allocate_buffer=False
    )
    cells.data = <char*> table.cells
    cells.callback_free_data = free
    table.likely[0] = table.used
    table.cells = NULL
    table.used = table.room = table.rows = 0
    return cells


cdef object handed(Table* table):
    """Return a table as an array that owns its memory, and leave an empty table behind."""
    return np.asarray(taken(table)).reshape(-1, table.width) if table.used else np.empty((0, table.width), np.int64)


cdef object handed_log(Table* log):
    """Return the rows of orders, to be read when they are needed, and leave an empty log behind."""
    cdef OrderLog orders = OrderLog()
    orders.rows = log.rows
    orders.words = taken(log) if log.used else None
    return orders


cdef class OrderLog:
    """What became of the orders of a run, as it was written down; called it gives the table."""

    cdef const int64_t[::1] words
    cdef int64_t rows

    def __call__(self) -> NDArray[np.int64]:
        """Return the orders table of the journal, int64[rows, 14]."""
        table = np.empty((self.rows, 14), np.int64)
        cdef int64_t[:, ::1] cells = table
        if self.rows:
            with nogil:
                read_log(&self.words[0], &cells[0, 0], self.rows)
        return table

    def lives(self) -> tuple[int, NDArray[np.int64], int, NDArray[np.int64]]:
        """Return what ``read_lives`` of `mm.backtest.metrics` returns of the table, without making it."""
        counts = np.zeros((16, 64), np.int64)
        found = np.empty(((len(self.words) if self.rows else 0) // 5, 7), np.int64)  # a sent order takes 5 words
        order_of = np.empty(max(self.rows, 1), np.int32)
        cdef int64_t[:, ::1] count = counts, lives = found
        cdef int32_t[::1] order = order_of
        cdef int64_t first_id = 1, sent = 0
        if self.rows:
            with nogil:
                sent = lives_of_log(&self.words[0], self.rows, lives, &order[0], &count[0, 0], &first_id)
        return first_id, found[:sent], int(counts[CANCEL_REQ].sum()), counts


cdef enum:
    ENDS = 1 << CANCEL_ACK | 1 << CLOSE_FILLED | 1 << EXPIRE | 1 << REJECT  # actions with which an order ends


cdef inline int64_t known(int64_t us) noexcept nogil:
    return us if us != NEVER else -1


cdef void read_log(const int64_t* word, int64_t* row, int64_t rows) noexcept nogil:
    """Fill the rows of an orders table from the words of a log."""
    cdef int64_t* first = row
    cdef int64_t n, head, number
    cdef int action
    prefer_large_pages(row, rows * 14 * sizeof(int64_t))
    for n in range(rows):
        head, number = word[1], word[1] >> 24
        action = head & 15
        if not head & SHORT:
            row[1], row[5], row[6], row[7] = number, word[2], word[3], word[4]
            row[8], row[9], row[10], row[11] = known(word[5]), known(word[6]), known(word[7]), known(word[8])
        elif action == PLACE:
            row[1], row[5], row[6], row[7], row[8] = number, word[2], word[3], word[3], word[4]
            row[9] = row[10] = row[11] = -1
        else:
            memcpy(row, first + 14 * number, 14 * sizeof(int64_t))
            if action == CANCEL_REQ:
                row[10], row[11] = word[0], known(word[2])
        row[0], row[2], row[3] = word[0], action, head >> 4 & 7
        row[4] = 1 if head >> 18 & 1 else -1
        row[12], row[13] = head >> 7 & 63, head >> 13 & 31
        word += size_of(head)
        row += 14


cdef inline int size_of(int64_t head) noexcept nogil:
    """Return how many words a row of a log has."""
    if not head & SHORT:
        return 9
    return 5 if head & 15 == PLACE else 3 if head & 15 == CANCEL_REQ else 2


cdef int64_t lives_of_log(
    const int64_t* word, int64_t rows, int64_t[:, ::1] lives, int32_t* order, int64_t* count, int64_t* first_id
) noexcept nogil:
    """Fill the lives of the orders that a log saw being sent, and return how many there are.

    *order* has room for the order of each row, -1 for one that was sent before; *count* counts rows by action and
    reject reason; *first_id* is that of the first order.
    """
    cdef int64_t n, head, at, sent = 0, first = 0
    cdef int64_t* life
    cdef int action
    for n in range(rows):
        head = word[1]
        action = head & 15
        count[64 * action + (head >> 7 & 63)] += 1
        if action == PLACE:
            if sent == 0:
                first = first_id[0] = head >> 24
            life = &lives[sent, 0]
            life[0], life[1] = word[0], word[4] if head & SHORT else known(word[5])
            life[2], life[3], life[4] = 1 if head >> 18 & 1 else -1, word[2], word[3]
            life[5], life[6] = -1, 0
            order[n] = <int32_t> sent
            sent += 1
        else:
            at = order[head >> 24] if head & SHORT else (head >> 24) - first
            if not 0 <= at < sent:
                at = -1
            order[n] = <int32_t> at
            if ENDS >> action & 1 and at >= 0:
                life = &lives[at, 0]
                life[5], life[6] = word[0], action == REJECT
        word += size_of(head)
    return sent
