# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled part of the journal; ``journal.py`` names the columns."""

from cython.view cimport array as cython_array
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from typing import TYPE_CHECKING

import numpy as np

from mm.errors import UsageError
from mm.tape._memory cimport prefer_large_pages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


# Initial cells of each table, as many as the last run used: pages that are never touched use no memory.
cdef int64_t likely[7]


cdef void records_open(Records* records, bint keeps_orders) noexcept nogil:
    """Make empty tables."""
    memset(records, 0, sizeof(Records))
    records.keeps_orders = keeps_orders
    records.orders.width = 9
    records.lives.width = sizeof(Life) // sizeof(int64_t)
    records.fills.width = 9
    records.state.width = 6
    records.mids.width = 2
    records.decisions.width = 10
    records.orders.likely, records.fills.likely = &likely[0], &likely[1]
    records.state.likely, records.mids.likely = &likely[2], &likely[3]
    records.decisions.likely = &likely[4]
    records.breaches.width = 5
    records.breaches.likely, records.lives.likely = &likely[5], &likely[6]


cdef void records_close(Records* records) noexcept:
    give_back(records.orders.cells)
    give_back(records.lives.cells)
    give_back(records.fills.cells)
    give_back(records.state.cells)
    give_back(records.mids.cells)
    give_back(records.decisions.cells)
    give_back(records.breaches.cells)


# Freed memory of past journals, reused for the next ones: the system clears every new page, which takes a tenth of a
# run. A block begins with a line that holds the number of cells after it. The GIL guards all of this.
cdef enum:
    LINE = 8                # cells of that line
    SPARES = 8              # maximum number of blocks
    MOST_SPARE = 1 << 23    # maximum cells of all blocks: 64 MB
    LEAST_SPARE = 1 << 12   # minimum cells of a block
    STEEP = 1 << 22         # cells of a table: 32 MB

cdef int64_t* spares[SPARES]
cdef int64_t spare_cells = 0


cdef void give_back(void* cells) noexcept:
    """Free the cells of a table, or keep them for reuse."""
    global spare_cells
    cdef int64_t* block = <int64_t*> cells - LINE
    cdef int i
    if cells is NULL:
        return
    if block[0] >= LEAST_SPARE and spare_cells + block[0] <= MOST_SPARE:
        for i in range(SPARES):
            if spares[i] is NULL:
                spares[i] = block
                spare_cells += block[0]
                return
    free(block)


def free_spares() -> None:
    """Free the memory that is kept for further journals."""
    global spare_cells
    for i in range(SPARES):
        free(spares[i])
        spares[i] = NULL
    spare_cells = 0


cdef int64_t* spare_for(int64_t room) noexcept:
    """Return the smallest spare block of at least *room* and less than four times as many cells; NULL without one."""
    global spare_cells
    cdef int64_t* block = NULL
    cdef int i, at = -1
    for i in range(SPARES):
        if spares[i] is not NULL and room <= spares[i][0] < 4 * room and (at < 0 or spares[i][0] < spares[at][0]):
            at = i
    if at >= 0:
        block, spares[at] = spares[at], NULL
        spare_cells -= block[0]
    return block


cdef int grow(Table* table) except -1 nogil:
    """Make room for more rows, fourfold up to `STEEP`, then twofold: unused room costs nothing, but copies do."""
    cdef int64_t times = 4 if table.room < STEEP else 2
    cdef int64_t room = max(times * table.room + 1024 * table.width, table.likely[0])
    cdef int64_t* block = NULL
    if table.cells is NULL:
        with gil:
            block = spare_for(room)
    if block is NULL:
        block = <int64_t*> realloc(table.cells - LINE if table.cells else NULL, (LINE + room) * sizeof(int64_t))
        if block is NULL:
            with gil:
                raise MemoryError(f"no memory for {room * 8} bytes of a journal")
        prefer_large_pages(block, (LINE + room) * sizeof(int64_t))
        block[0] = room
    table.cells, table.room = block + LINE, block[0]
    return 0


cdef int64_t* whole_row(Records* records, const Order* order, int64_t head) except NULL nogil:
    """Return a new row of the log with all values of an order but the instant; not inline, as few rows are whole."""
    cdef int64_t* row = new_row(&records.orders, 9)
    row[1] = order.id << 24 | head
    row[2], row[3], row[4], row[5] = order.ticks, order.placed_lots, order.lots, order.active_us
    row[6], row[7], row[8] = order.expire_us, order.cancel_req_us, order.cancel_us
    return row


cdef cython_array taken(Table* table):
    """Return the cells of a table that is not empty, and leave it empty."""
    cdef cython_array cells = cython_array(
        (table.used,), itemsize=sizeof(int64_t), format="q", allocate_buffer=False
    )
    cells.data = <char*> table.cells
    cells.callback_free_data = give_back
    table.likely[0] = table.used
    table.cells = NULL
    table.used = table.room = table.rows = 0
    return cells


cdef object handed(Table* table):
    """Return a table as an array that owns its memory, and leave the table empty."""
    return np.asarray(taken(table)).reshape(-1, table.width) if table.used else np.empty((0, table.width), np.int64)


cdef object handed_log(Records* records):
    """Return the rows of orders, expanded when needed, and leave the log empty."""
    cdef OrderLog orders = OrderLog()
    cdef int64_t[::1] counts = np.empty(16 * 64, np.int64)
    orders.kept = records.keeps_orders
    orders.rows, orders.first_id = records.orders.rows, records.first_id if records.lives.rows else 1
    orders.words = taken(&records.orders) if records.orders.used else None
    orders.sent = handed(&records.lives)
    memcpy(&counts[0], records.counts, sizeof(records.counts))
    memset(records.counts, 0, sizeof(records.counts))
    orders.counts = np.asarray(counts).reshape(16, 64)
    return orders


cdef class OrderLog:
    """The order log of a run; calling it returns the table."""

    cdef const int64_t[::1] words
    cdef int64_t rows, first_id
    cdef bint kept
    cdef object sent, counts

    def __call__(self) -> NDArray[np.int64]:
        """Return the orders table of the journal, int64[rows, 14]."""
        return next(self.pieces(max(self.rows, 1)))

    def pieces(self, most: int) -> Iterator[NDArray[np.int64]]:
        """Yield the orders table in at least one piece of at most *most* rows; memory holds one piece at a time.

        A row may refer to an earlier row of its order: such rows of earlier pieces are kept in front of the next one.

        Raises:
            UsageError: If the backtest kept none.
        """
        self.check_kept()
        places, kept = np.empty(0, np.int64), np.empty((0, 14), np.int64)
        first, word = 0, 0
        while True:
            rows = min(most, self.rows - first)
            table = np.empty((len(kept) + rows, 14), np.int64)
            table[: len(kept)] = kept
            last = np.ones(len(table) if first + rows < self.rows else 0, np.uint8)
            if rows:
                word = self.read(table, places, last, first, word)
            yield table[len(kept) :]
            first += rows
            if first == self.rows:
                return
            at = np.flatnonzero(last)
            places, kept = np.concatenate((places, np.arange(first - rows, first)))[at], table[at]

    cdef int64_t read(
        self, int64_t[:, ::1] table, const int64_t[::1] places, uint8_t[::1] last, int64_t first, int64_t word
    ) except -1:
        """Fill a piece of the table, after its kept rows, from the log's position *word*; return the next position.

        *places* are the indices of the kept rows in the whole table, *first* that of the piece. *last* is set for rows
        that are the last of an order which may have more; it is empty if not needed.
        """
        cdef Piece piece
        cdef const int64_t[:, ::1] lives = self.sent
        piece.row, piece.kept, piece.first = &table[0, 0], places.shape[0], first
        piece.rows = table.shape[0] - piece.kept
        piece.places = &places[0] if piece.kept else NULL
        piece.last = &last[0] if last.shape[0] else NULL
        piece.lives, piece.sent = <const Life*> &lives[0, 0] if lives.shape[0] else NULL, lives.shape[0]
        piece.first_id = self.first_id
        with nogil:
            return read_log(&self.words[word], &piece) - &self.words[0]

    def rows_of(self, actions: Iterable[int]) -> NDArray[np.int64]:
        """Return the rows of the orders table with one of *actions*, which are those of whole rows: REJECT and SKIP.

        Raises:
            UsageError: If the backtest kept none.
        """
        cdef int64_t asked = sum(1 << action for action in actions)
        cdef int64_t n, head, row = 0, word = 0, last = self.rows
        if asked & ~(1 << REJECT | 1 << SKIP):
            raise ValueError(f"rows of actions {asked:b} may be stored as short rows; give REJECT and SKIP only")
        self.check_kept()
        table = np.empty((int(self.counts[[REJECT, SKIP]].sum()), 14), np.int64)
        if not len(table):
            return table
        cdef int64_t[:, ::1] rows = table
        with nogil:
            for n in range(last):
                head = self.words[word + 1]
                if asked >> (head & 15) & 1:
                    put_values(&rows[row, 0], &self.words[word])
                    put_codes(&rows[row, 0], &self.words[word])
                    row += 1
                word += size_of(head)
        return table[:row]

    cdef int check_kept(self) except -1:
        if not self.kept:
            raise UsageError("the journal has no rows of orders; play the backtest with keeps_orders=True")
        return 0

    def lives(self) -> tuple[int, NDArray[np.int64], int, NDArray[np.int64]]:
        """Return the result of ``read_lives`` of `mm.backtest.metrics` for the table, without building it."""
        return self.first_id, self.sent, int(self.counts[CANCEL_REQ].sum()), self.counts


# Rows of an orders table, after earlier rows whose values they may repeat.
cdef struct Piece:
    int64_t* row
    int64_t kept            # rows before its own,
    const int64_t* places   # and the index of each in the table
    int64_t first           # place of its own first row
    int64_t rows            # of its own
    uint8_t* last           # of each row: whether it is the last of an order that may have more; NULL if not needed
    const Life* lives       # of the orders from *first_id* on
    int64_t first_id, sent


cdef const int64_t* read_log(const int64_t* word, const Piece* piece) noexcept nogil:
    """Fill the rows of a piece from the words of a log; return the word after them."""
    cdef int64_t* row = piece.row + 14 * piece.kept
    cdef const Life* life
    cdef int64_t n, head, number
    cdef int action
    prefer_large_pages(row, piece.rows * 14 * sizeof(int64_t))
    for n in range(piece.kept, piece.kept + piece.rows):
        head, number = word[1], word[1] >> 24
        action = head & 15
        if not head & SHORT:
            put_values(row, word)
        elif action == PLACE:
            life = piece.lives + (number - piece.first_id)
            row[1], row[5], row[6], row[7], row[8] = number, life.ticks, life.lots, life.lots, life.active_us
            row[9] = row[10] = row[11] = -1
        else:
            number = row_at(piece, number)
            memcpy(row, piece.row + 14 * number, 14 * sizeof(int64_t))
            if action == CANCEL_REQ:
                row[10], row[11] = word[0], known(word[2])
            elif action == FILL:
                row[7] = word[2]
            if piece.last is not NULL:
                piece.last[number] = False
        put_codes(row, word)
        if piece.last is not NULL and (ENDS | 1 << SKIP) >> action & 1:
            piece.last[n] = False
        word += size_of(head)
        row += 14
    if piece.last is not NULL:
        leave_ended(piece, (row - 14)[0])
    return word


cdef inline void put_values(int64_t* row, const int64_t* word) noexcept nogil:
    """Fill a row of the table, except its instant and codes, from a whole row of the log."""
    row[1], row[5], row[6], row[7] = word[1] >> 24, word[2], word[3], word[4]
    row[8], row[9], row[10], row[11] = known(word[5]), known(word[6]), known(word[7]), known(word[8])


cdef inline void put_codes(int64_t* row, const int64_t* word) noexcept nogil:
    """Fill the instant and the codes of a row of the table from a row of the log."""
    cdef int64_t head = word[1]
    row[0], row[2], row[3] = word[0], head & 15, head >> 4 & 7
    row[4] = 1 if head >> 18 & 1 else -1
    row[12], row[13] = head >> 7 & 63, head >> 13 & 31


cdef inline int64_t row_at(const Piece* piece, int64_t place) noexcept nogil:
    """Return the row number in a piece, counting the kept rows before it, of an index in the table."""
    cdef int64_t low = 0, high = piece.kept, middle
    if place >= piece.first:
        return piece.kept + place - piece.first
    while low < high:
        middle = (low + high) // 2
        if piece.places[middle] < place:
            low = middle + 1
        else:
            high = middle
    return low


cdef void leave_ended(const Piece* piece, int64_t us) noexcept nogil:
    """Clear *last* of orders that ended before an instant: the row of an end need not refer to the row before it."""
    cdef int64_t n, number
    for n in range(piece.kept + piece.rows):
        number = piece.row[14 * n + 1] - piece.first_id
        if piece.last[n] and 0 <= number < piece.sent and 0 <= piece.lives[number].end_us < us:
            piece.last[n] = False


cdef inline int size_of(int64_t head) noexcept nogil:
    """Return the number of words of a row of a log."""
    if not head & SHORT:
        return 9
    return 3 if head & 15 == CANCEL_REQ or head & 15 == FILL else 2
