# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Bytes to int64 columns: the NDJSON of raw depth messages and the plain CSV tables of a day folder.

Both parsers are fed pieces of a file as they are inflated. Decimals become whole units of 1e-8, exactly.
"""

from libc.stdint cimport int8_t, int64_t, uint64_t
from libc.string cimport memchr

from mm.tape._lines cimport Column, LineParser
from mm.tape._scan cimport (
    ASKS, BIDS, EXCHANGE, FIRST_ID, LAST_ID, NUMBERS, OTHER, RECV_MS, RECV_SEQ, RECV_US, RUN,
    blank, decimal, flag, key_of, on_grid, past_value, steps_of, take, whole_number,
)

from mm.errors import BrokenFile

cpdef enum Cell:
    """What a column of a table holds; the cells of WORD columns are positions in ``words``."""
    SKIP, INT, PRICE, QTY, FLAG, WORD
    OPTIONAL = 8  # added to another: the column may be absent and a field empty; both read -1

cdef enum:
    BLOCK_ROWS = 1 << 22  # columns of 16 MiB, which go back to the system when they are let go
    SHORTEST_LEVEL = 9  # bytes of ["1","0"]


cdef class DiffParser(LineParser):
    """Parses raw depth messages: one JSON object a line, keys in any order, unknown keys passed over.

    Args:
        name, tick_e8, qty_step_e8: As for `LineParser`.
        room: Messages to expect; more are as welcome, but move what was parsed to larger memory.
        lenient: Leave levels off the tick out, and count them.

    Attributes:
        recv_us, recv_seq, run, exchange, first_id, last_id: One item a message; -1 where a key is absent.
            ``run`` is a position in ``words``, ``exchange`` is E as received.
        first_row: Where the rows of each message begin, and, last, where they end.
        left_out, first_left_out: Levels that were left out, and the line (from 1) of the first; 0 without one.
    """

    cdef readonly Column recv_us, recv_seq, run_code, exchange, first_id, last_id, first_row
    cdef list closed
    cdef Column side, price, qty  # of the block at work
    cdef uint64_t tick, lot  # what its prices and quantities are counted in; 0 before the first
    cdef Py_ssize_t fresh  # levels of the message at work; they count once it is whole
    cdef int64_t rows
    cdef bint lenient
    cdef readonly int64_t left_out, first_left_out

    def __init__(
        self, str name, int64_t tick_e8=0, int64_t qty_step_e8=0, Py_ssize_t room=1024, bint lenient=False
    ) -> None:
        super().__init__(name, tick_e8, qty_step_e8)
        self.lenient = lenient
        self.recv_us, self.recv_seq, self.run_code = Column(8, room), Column(8, room), Column(8, room)
        self.exchange, self.first_id, self.last_id = Column(8, room), Column(8, room), Column(8, room)
        self.first_row = Column(8, room)
        self.first_row.add(0)
        self.closed = []
        self.price, self.qty = Column(4, 0), Column(4, 0)
        self.open_block(BLOCK_ROWS)

    @property
    def blocks(self) -> list[Block]:
        """(side, price, quantity, tick, lot) of the rows, block after block; no message stands in two.

        Prices are counted in the block's tick and quantities in its lot, in 1e-8: int32 where that is enough.
        Whoever moves the rows on can let go of them block by block.
        """
        return [*self.closed, self.block()]

    cdef tuple block(self):
        return self.side.values, self.price.values, self.qty.values, self.tick, self.lot

    cdef int open_block(self, Py_ssize_t rows) except -1:
        """Begin a block of at least *rows*, in items as wide as those of the last."""
        if self.rows:
            self.closed.append(self.block())
        rows = max(rows, BLOCK_ROWS)
        self.side, self.price, self.qty = Column(1, rows), Column(self.price.width, rows), Column(self.qty.width, rows)
        self.tick, self.lot = self.price_grid.step, self.qty_grid.step
        return 0

    cdef int refine(self, Py_ssize_t rows) except -1:
        """Count the first *rows* of the block in the grids' steps, which have become finer."""
        if self.tick != self.price_grid.step:
            self.price.remake(rows, self.tick // self.price_grid.step if self.tick else 1, self.price.width)
        if self.lot != self.qty_grid.step:
            self.qty.remake(rows, self.lot // self.qty_grid.step if self.lot else 1, self.qty.width)
        self.tick, self.lot = self.price_grid.step, self.qty_grid.step
        return 0

    cdef int line(self) except -1 nogil:
        cdef int64_t[NUMBERS] number
        cdef int key
        if blank(self.start) == self.end:
            return 0
        self.make_room((self.end - self.start) // SHORTEST_LEVEL)
        for key in range(NUMBERS):
            number[key] = -1
        self.message(number)
        self.recv_us.add(number[RECV_US] if number[RECV_US] >= 0 else number[RECV_MS] * 1000)
        self.recv_seq.add(number[RECV_SEQ])
        self.run_code.add(number[RUN])
        self.exchange.add(number[EXCHANGE])
        self.first_id.add(number[FIRST_ID])
        self.last_id.add(number[LAST_ID])
        self.side.used += self.fresh
        self.price.used += self.fresh
        self.qty.used += self.fresh
        self.rows += self.fresh
        self.first_row.add(self.rows)
        return 0

    cdef int make_room(self, Py_ssize_t rows) except -1 nogil:
        """Make room for one message of at most *rows* levels."""
        if self.side.used + rows > self.side.room:
            with gil:
                self.open_block(rows)
        self.recv_us.reserve(1)
        self.recv_seq.reserve(1)
        self.run_code.reserve(1)
        self.exchange.reserve(1)
        self.first_id.reserve(1)
        self.last_id.reserve(1)
        self.first_row.reserve(1)
        self.fresh = 0
        return 0

    cdef int message(self, int64_t* number) except -1 nogil:
        """Parse the line's object: its numbers into *number*, its levels behind the rows."""
        cdef const char* p = self.start
        cdef const char* key_text
        cdef int key, seen = 0
        if not take(&p, c"{"):
            self.fail(p, b"{")
        while True:
            if not take(&p, c'"'):
                self.fail(p, b"a key")
            key_text = p
            p = <const char*> memchr(p, c'"', self.end - p)
            if p == NULL:
                self.fail(key_text, b"a key")
            key = key_of(key_text, p - key_text)
            p += 1
            if not take(&p, c":"):
                self.fail(p, b"a colon")
            p = blank(p)
            self.value(key, &p, number)
            seen |= 1 << key
            if take(&p, c"}"):
                break
            if not take(&p, c","):
                self.fail(p, b"a comma or }")
        if blank(p) != self.end:
            self.fail(p, b"the end of the line")
        if not (seen & (1 << FIRST_ID) and seen & (1 << LAST_ID) and seen & (1 << BIDS) and seen & (1 << ASKS)):
            self.fail(self.end, b"each of the keys U, u, b and a")
        if not (seen & (1 << RECV_US) or seen & (1 << RECV_MS)):
            self.fail(self.end, b"the key recv_us or recv_ms")
        return 0

    cdef int value(self, int key, const char** at, int64_t* number) except -1 nogil:
        """Parse the value of *key*."""
        cdef const char* text = at[0]
        if key == BIDS or key == ASKS:
            self.levels(at, 1 if key == BIDS else -1)
        elif key == OTHER:
            if not past_value(at, self.end):
                self.fail(text, b"a whole value")
        elif key == RUN:
            at[0] = <const char*> memchr(text + 1, c'"', self.end - text - 1) if text[0] == c'"' else NULL
            if at[0] == NULL:
                self.fail(text, b"a run id in quotes")
            number[RUN] = self.seen.code(text + 1, at[0] - text - 1)
            if number[RUN] < 0:
                self.fail(text, b"a run id of at most 64 bytes")
            at[0] += 1
        elif not whole_number(at, &number[key]):
            self.fail(text, b"a whole number")
        return 0

    cdef int levels(self, const char** at, int8_t side) except -1 nogil:
        """Append the levels of one side."""
        cdef const char* p = at[0]
        cdef const char* text
        cdef int64_t price = 0, qty = 0
        cdef bint good
        cdef Py_ssize_t row = self.side.used + self.fresh
        if not take(&p, c"["):
            self.fail(p, b"a list of levels")
        at[0] = p
        if take(at, c"]"):
            return 0
        while True:
            if not (take(&p, c"[") and take(&p, c'"')):
                self.fail(p, b"a level")
            text = p
            if not decimal(&p, self.end, &price) or p[0] != c'"':
                self.fail(text, b"a price, a plain decimal of at most 8 places,")
            good = price and on_grid(&self.price_grid, price)
            if not good and (price == 0 or not self.lenient):
                self.refuse_price(text, price)
            p += 1
            if not (take(&p, c",") and take(&p, c'"')):
                self.fail(p, b"a quantity in quotes")
            text = p
            if not decimal(&p, self.end, &qty) or p[0] != c'"':
                self.fail(text, b"a quantity, a plain decimal of at most 8 places,")
            p += 1
            if not take(&p, c"]"):
                self.fail(p, b"the end of the level")
            if good:
                on_grid(&self.qty_grid, qty)
                if self.tick != self.price_grid.step or self.lot != self.qty_grid.step:
                    with gil:
                        self.refine(row)
                (<int8_t*> self.side.data)[row] = side
                self.price.put(row, steps_of(&self.price_grid, price))
                self.qty.put(row, steps_of(&self.qty_grid, qty))
                row += 1
            else:
                if self.left_out == 0:
                    self.first_left_out = self.lines
                self.left_out += 1
            if not take(&p, c","):
                break
        self.fresh = row - self.side.used
        at[0] = p
        if not take(at, c"]"):
            self.fail(p, b"a comma or ]")
        return 0


cdef class TableParser(LineParser):
    """Parses a CSV file without quotes by its header; columns stand in any order, others are passed over.

    Args:
        name, tick_e8, qty_step_e8: As for `LineParser`.
        columns: Name and Cell of each column that is wanted.
        room: Rows to expect, as for `DiffParser`.

    Attributes:
        cells: Row by row, one item for each of *columns*.
    """

    cdef readonly Column cells
    cdef dict columns
    cdef Column plan  # for each field of a row: its Cell, and which item of the row it becomes
    cdef Py_ssize_t fields, width

    def __init__(
        self, str name, dict columns, int64_t tick_e8=0, int64_t qty_step_e8=0, Py_ssize_t room=1024
    ) -> None:
        super().__init__(name, tick_e8, qty_step_e8)
        self.columns = columns
        self.width = len(columns)
        self.cells, self.plan = Column(8, room * self.width), Column()

    cdef int header(self) except -1:
        """Plan how to read the rows under this header."""
        text = self.start[: self.end - self.start].decode("utf-8", "replace")
        names = [name.strip() for name in text.removeprefix("\ufeff").split(",")]
        needed = [name for name, cell in self.columns.items() if not cell & OPTIONAL]
        for name in [*needed, *self.columns]:
            if names.count(name) > 1 or (name in needed and name not in names):
                raise BrokenFile(
                    f"{self.name}:{self.lines}: column {name} stands {names.count(name)} times in the header "
                    f"{text[:120]!r}; in any order, these must be there: {','.join(needed)}"
                )
        places = list(self.columns)
        self.plan.reserve(2 * len(names))
        for name in names:
            self.plan.add(self.columns.get(name, SKIP))
            self.plan.add(places.index(name) if name in self.columns else 0)
        self.fields = len(names)
        return 0

    cdef int line(self) except -1 nogil:
        cdef const char* p = self.start
        cdef const int64_t* plan = <const int64_t*> self.plan.data
        cdef int64_t* cells
        cdef Py_ssize_t i
        if blank(p) == self.end:
            return 0
        if self.fields == 0:
            with gil:
                return self.header()
        self.cells.reserve(self.width)
        cells = <int64_t*> self.cells.data + self.cells.used
        for i in range(self.width):
            cells[i] = -1
        for i in range(self.fields):
            if i and not take(&p, c","):
                self.fail(p, b"another field")
            if plan[2 * i] == SKIP:
                while p[0] != c"," and p[0] != c"\n":
                    p += 1
            else:
                self.field(plan[2 * i], &p, cells + plan[2 * i + 1])
        if blank(p) != self.end:
            self.fail(p, b"the end of the line")
        self.cells.used += self.width
        return 0

    cdef int field(self, int64_t cell, const char** at, int64_t* value) except -1 nogil:
        """Parse one field."""
        cdef const char* text = at[0]
        if cell & OPTIONAL and (text[0] == c"," or text[0] == c"\r" or text == self.end):
            return 0
        cell &= ~OPTIONAL
        if cell == INT:
            if not whole_number(at, value):
                self.fail(text, b"a whole number")
        elif cell == PRICE or cell == QTY:
            if not decimal(at, self.end, value):
                self.fail(text, b"a plain decimal of at most 8 places")
            if cell == QTY:
                on_grid(&self.qty_grid, value[0])
            elif value[0] == 0 or not on_grid(&self.price_grid, value[0]):
                self.refuse_price(text, value[0])
        else:
            while at[0][0] != c"," and at[0][0] != c"\r" and at[0] != self.end:
                at[0] += 1
            value[0] = flag(text, at[0] - text) if cell == FLAG else self.seen.code(text, at[0] - text)
            if value[0] < 0 or at[0] == text:
                self.fail(text, b"true or false" if cell == FLAG else b"a word")
        return 0
