# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Parsers from bytes to integer columns: the NDJSON of raw depth messages and the plain CSV tables of a day folder.

Both parsers process pieces of a file as they are decompressed. Decimals become whole units of 1e-8, exactly;
`place_rows` converts the parsed rows into ticks and lots.
"""

from libc.stdint cimport INT32_MAX, INT64_MAX, int8_t, int32_t, int64_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, memset

from mm.tape._scan cimport (
    ASKS, BIDS, EXCHANGE, FIRST_ID, Grid, LAST_ID, MATCHED, NUMBERS, OTHER, RECV_MS, RECV_SEQ, RECV_US, RUN, USUAL_LEVEL,
    blank, decimal, flag, grid_of, key_of, on_grid, past_value, steps_of, take, usual_level, whole_number,
)

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mm.errors import BrokenFile, OffGrid
from mm.instrument import short_text
from mm.tape.columns import fresh

Rows = tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]  # side, ticks, lots
Whole = NDArray[np.int32] | NDArray[np.int64]
Block = tuple[NDArray[np.int8], Whole, Whole, int, int]  # side, price, quantity, and the tick and the lot of both
DTYPES = {1: np.int8, 4: np.int32, 8: np.int64}  # type: dict[int, type[np.signedinteger]]

cpdef enum Cell:
    """The type of a table's column; the cells of WORD columns are positions in ``words``."""
    SKIP, INT, PRICE, QTY, FLAG, WORD
    OPTIONAL = 8  # added to another: the column may be absent or a field empty, which gives -1

cdef enum:
    BLOCK_ROWS = 1 << 20  # columns of 4 MiB: little memory until it is kept elsewhere, or released with its rows
    SHORTEST_LEVEL = 9  # bytes of ["1","0"]
    LONGEST_WORD = 64  # bytes
    RECENT = 4  # number of latest words, which are looked up without Python

cdef struct Recent:
    char text[LONGEST_WORD]
    Py_ssize_t size
    int64_t code


cdef class Column:
    """A growing array of int64 (*width* 8), int32 (4) or int8 (1) in memory of numpy.

    With width 4, `put` converts it to int64 at the first item that needs it.
    """

    cdef object array
    cdef char* data  # of the array
    cdef Py_ssize_t used, room, width

    def __init__(self, Py_ssize_t width=8, Py_ssize_t room=1024) -> None:
        self.width = width
        self.grow(room)

    @property
    def values(self) -> NDArray[np.int64]:
        """The items so far; valid until the column grows."""
        return self.array[: self.used]

    # Room is reserved once per message (`reserve`, `make_room`), so that no item needs a check.

    cdef inline void add(self, int64_t value) noexcept nogil:
        """Append to a column of width 8 that has room (`reserve`)."""
        (<int64_t*> self.data)[self.used] = value
        self.used += 1

    cdef inline int put(self, Py_ssize_t at, int64_t value) except -1 nogil:
        """Write an item after the counted ones; all items before it have been written."""
        if self.width == 4:
            if value <= INT32_MAX:
                (<int32_t*> self.data)[at] = <int32_t> value
                return 0
            with gil:
                self.remake(at, 1, 8)
        (<int64_t*> self.data)[at] = value
        return 0

    cdef int grow(self, Py_ssize_t room) except -1:
        """Move to an array of *room* items, whose unused end takes no memory pages."""
        array = fresh(room, DTYPES[self.width])
        if self.used:
            array[: self.used] = self.array[: self.used]
        return self.hold(array)

    cdef int hold(self, array) except -1:
        cdef const int8_t[::1] bytes_of = array.view(np.int8)
        self.array = array
        self.data = <char*> &bytes_of[0]
        self.room = len(array)
        return 0

    cdef int remake(self, Py_ssize_t items, int64_t times, Py_ssize_t width) except -1:
        """Multiply the first *items*, counted or not, by *times*; items get *width* bytes, or 8 if necessary."""
        values = self.array[:items].astype(np.int64) * times
        self.width = 8 if items and values.max() > INT32_MAX else width
        array = fresh(self.room, DTYPES[self.width])
        array[:items] = values
        return self.hold(array)

    cdef int reserve(self, Py_ssize_t more) except -1 nogil:
        """Make room for *more* items."""
        if self.used + more > self.room:
            with gil:
                self.grow(2 * self.room + more)
        return 0


cdef class Words:
    """Assigns numbers to words in the order of first appearance."""

    cdef readonly list words  # type: list[str]
    cdef Recent[RECENT] recent
    cdef int oldest

    def __cinit__(self) -> None:
        cdef int slot
        self.words = []
        for slot in range(RECENT):
            self.recent[slot].size = -1

    cdef int64_t code(self, const char* text, Py_ssize_t size) except -2 nogil:
        """Return the number of a word, -1 if it is too long."""
        cdef int i
        cdef Recent* slot
        # A run id is in every row and changes a few times a day: comparing bytes avoids a string and a look-up.
        for i in range(RECENT):
            if size == self.recent[i].size and memcmp(text, self.recent[i].text, size) == 0:
                return self.recent[i].code
        if size > LONGEST_WORD:
            return -1
        slot = &self.recent[self.oldest]
        self.oldest = (self.oldest + 1) % RECENT
        memcpy(slot.text, text, size)
        slot.size = size
        with gil:  # without a Python variable, which would take the lock at the end of every call
            self.words = list(dict.fromkeys([*self.words, text[:size].decode("utf-8", "replace")]))
            slot.code = self.words.index(text[:size].decode("utf-8", "replace"))
        return slot.code


cdef class LineParser:
    """Splits pieces of a file into lines; a subclass parses one line.

    Args:
        name: The file, for messages.
        tick_e8: Price step; a price off it raises OffGrid. 0 infers the greatest step that divides all prices.
        qty_step_e8: Initial quantity step; finer quantities make it finer. 0 starts with the first quantity.
    """

    cdef readonly str name
    cdef readonly int64_t lines
    cdef Grid price_grid, qty_grid
    cdef Words seen
    cdef bytes tail
    cdef const char* start  # of the current line
    cdef const char* end    # its newline

    def __init__(self, str name, int64_t tick_e8=0, int64_t qty_step_e8=0) -> None:
        self.name = name
        self.tail = b""
        self.seen = Words()
        self.price_grid = grid_of(tick_e8, tick_e8 > 0)
        self.qty_grid = grid_of(qty_step_e8, False)

    @property
    def tick_e8(self) -> int:
        """The given price step, or the greatest that divides all prices; 0 without one."""
        return self.price_grid.step

    @property
    def lot_e8(self) -> int:
        """The greatest step that divides the given quantity step and all quantities; 0 without one."""
        return self.qty_grid.step

    @property
    def words(self) -> list[str]:
        """The words to which the cells of word columns refer."""
        return self.seen.words

    def feed(self, const unsigned char[::1] piece) -> None:
        """Parse the lines that are complete after *piece*, any bytes, and keep the incomplete rest.

        Raises:
            BrokenFile: If a line is invalid.
            OffGrid: If a price is off the given step.
        """
        if piece.shape[0] == 0:
            return
        cdef const char* start = <const char*> &piece[0]
        cdef const char* end = start + piece.shape[0]
        cdef const char* newline
        if self.tail:
            newline = <const char*> memchr(start, c"\n", end - start)
            if newline == NULL:
                self.tail += start[: end - start]
                return
            whole = self.tail + start[: newline + 1 - start]
            self.tail = b""
            self.run(whole, <const char*> whole + len(whole))
            start = newline + 1
        start = self.run(start, end)
        self.tail = start[: end - start]

    def finish(self, bint accept_last) -> int:
        """Return the number of lines lost at the end: 1 if the last one is incomplete, else 0.

        Args:
            accept_last: Accept a last line that lacks only its newline.
        """
        torn = self.tail
        self.tail = b""
        if not torn.strip():
            return 0
        if accept_last:
            try:
                self.feed(torn + b"\n")
            except BrokenFile:
                self.lines -= 1
            else:
                return 0
        return 1

    cdef const char* run(self, const char* start, const char* end) except NULL:
        """Parse complete lines; return the start of the incomplete one."""
        self.start = start
        with nogil:  # another thread decompresses the next piece meanwhile (`mm.tape.files`)
            while True:
                # Every line ends with a newline in memory, so the scanners need no bounds check (`_scan.pxd`).
                self.end = <const char*> memchr(self.start, c"\n", end - self.start)
                if self.end == NULL:
                    break
                self.lines += 1
                self.line()
                self.start = self.end + 1
        return self.start

    cdef int line(self) except -1 nogil:
        """Parse the line between ``start`` and ``end``."""
        return 0

    cdef int refuse_price(self, const char* at, int64_t price) except -1 nogil:
        """Raise the error for *price* at *at*, which is 0 or off the grid."""
        if price == 0:
            self.fail(at, b"a price above 0")
        with gil:
            raise OffGrid(
                f"{self.name}:{self.lines}: price {short_text(price)} is not a multiple of tick size "
                f"{short_text(self.price_grid.step)}; set --tick-size or check instrument.json"
            )

    cdef int fail(self, const char* at, const char* wanted) except -1 nogil:
        with gil:
            found = at[: min(self.end - at, 40)].decode("utf-8", "replace")
            raise BrokenFile(
                f"{self.name}:{self.lines}: {wanted.decode()} expected at byte {at - self.start + 1} of the line, "
                f"found {repr(found) if found else 'nothing'}; restore the file or remove the line"
            )


cdef class DiffParser(LineParser):
    """Parses raw depth messages: one JSON object per line, keys in any order, unknown keys are skipped.

    Args:
        name, tick_e8, qty_step_e8: As for `LineParser`.
        room: Expected number of messages; more are accepted, but cause a copy to larger memory.
        lenient: Leave out levels off the tick, and count them.
        keep: Called with each full block; returns it in other memory. None: it stays in the same memory.

    Attributes:
        recv_us, recv_seq, run, exchange, first_id, last_id: One item per message; -1 if a key is absent. ``run`` is a
            position in ``words``, ``exchange`` is T, else E, as received.
        first_row: The first row of each message, and at the end the row after the last.
        left_out, first_left_out: Number of left-out levels, and the line (from 1) of the first; 0 without one.
    """

    cdef readonly Column recv_us, recv_seq, run_code, exchange, first_id, last_id, first_row
    cdef list closed
    cdef Column side, price, qty  # of the current block
    cdef uint64_t tick, lot  # units of its prices and quantities; 0 before the first
    cdef Py_ssize_t fresh  # levels of the current message; they count once it is complete
    cdef int64_t rows
    cdef bint lenient
    cdef readonly int64_t left_out, first_left_out
    cdef object keep

    def __init__(
        self,
        str name,
        int64_t tick_e8=0,
        int64_t qty_step_e8=0,
        Py_ssize_t room=1024,
        bint lenient=False,
        keep: Callable[[Block], Block] | None = None,
    ) -> None:
        super().__init__(name, tick_e8, qty_step_e8)
        self.lenient, self.keep = lenient, keep
        self.recv_us, self.recv_seq, self.run_code = Column(8, room), Column(8, room), Column(8, room)
        self.exchange, self.first_id, self.last_id = Column(8, room), Column(8, room), Column(8, room)
        self.first_row = Column(8, room)
        self.first_row.add(0)
        self.closed = []
        self.price, self.qty = Column(4, 0), Column(4, 0)
        self.open_block(0)

    @property
    def blocks(self) -> list[Block]:
        """(side, price, quantity, tick, lot) of the rows, block after block; no message is split between two.

        Prices are in units of the block's tick and quantities of its lot, in 1e-8: int32 if that is enough. A caller
        that copies the rows can release them block by block.
        """
        return [*self.closed, self.block()]

    cdef tuple block(self):
        return self.side.values, self.price.values, self.qty.values, self.tick, self.lot

    cdef int open_block(self, Py_ssize_t rows) except -1:
        """Start a block of at least *rows*, with items as wide as those of the last."""
        if self.rows:
            self.closed.append(self.keep(self.block()) if self.keep else self.block())
        if self.rows and self.keep and rows <= self.side.room:
            self.side.used = self.price.used = self.qty.used = 0  # reusing touched memory costs nothing
            self.tick, self.lot = self.price_grid.step, self.qty_grid.step
            return 0
        rows = max(rows, BLOCK_ROWS)
        # A message is never split between two blocks, so a run of rows is one piece of memory to `place_rows`.
        self.side, self.price, self.qty = Column(1, rows), Column(self.price.width, rows), Column(self.qty.width, rows)
        self.tick, self.lot = self.price_grid.step, self.qty_grid.step
        return 0

    cdef int refine(self, Py_ssize_t rows) except -1:
        """Convert the first *rows* of the block to the grids' steps, which have become finer."""
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
        self.make_room((self.end - self.start) // SHORTEST_LEVEL)  # no level is shorter, so `levels` needs no check
        for key in range(NUMBERS):
            number[key] = -1
        self.message(number)
        self.recv_us.add(number[RECV_US] if number[RECV_US] >= 0 else number[RECV_MS] * 1000)
        self.recv_seq.add(number[RECV_SEQ])
        self.run_code.add(number[RUN])
        self.exchange.add(number[MATCHED] if number[MATCHED] > 0 else number[EXCHANGE])
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
        """Parse the line's object: its numbers into *number*, its levels after the rows so far."""
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
        if number[RECV_US] < 0 and number[RECV_MS] > INT64_MAX // 1000:
            self.fail(self.end, b"a recv_ms that is a time in ms")
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
        elif not whole_number(at, self.end, &number[key]):
            self.fail(text, b"a whole number")
        return 0

    cdef int levels(self, const char** at, int8_t side) except -1 nogil:
        """Append the levels of one side."""
        cdef const char* p = at[0]
        cdef int64_t price = 0, qty = 0
        cdef uint64_t ticks, lots
        cdef bint good
        cdef Py_ssize_t first = self.side.used + self.fresh, row = first
        if not take(&p, c"["):
            self.fail(p, b"a list of levels")
        at[0] = p
        if take(at, c"]"):
            return 0
        # Nearly all of a day's bytes are parsed in this loop. The position is a local, so that it can stay in a
        # register; levels are written after the counted rows, and counted when the whole message is valid (`line`).
        while True:
            if self.end - p < USUAL_LEVEL or not usual_level(&p, &price, &qty):
                self.level(&p, &price, &qty)
            ticks, lots = steps_of(&self.price_grid, price), steps_of(&self.qty_grid, qty)
            good = ticks <= self.price_grid.limit and lots <= self.qty_grid.limit
            if not good and self.settle(price, qty, row):
                ticks, lots, good = steps_of(&self.price_grid, price), steps_of(&self.qty_grid, qty), True
            if good:
                self.price.put(row, ticks)
                self.qty.put(row, lots)
                row += 1
            if not take(&p, c","):
                break
        memset(self.side.data + first, side, row - first)  # per item, a store of bytes could alias any field
        self.fresh = row - self.side.used
        at[0] = p
        if not take(at, c"]"):
            self.fail(p, b"a comma or ]")
        return 0

    cdef int level(self, const char** at, int64_t* price, int64_t* qty) except -1 nogil:
        """Parse a level in any format; its price is above 0."""
        cdef const char* p = at[0]
        cdef const char* text
        if not (take(&p, c"[") and take(&p, c'"')):
            self.fail(p, b"a level")
        text = p
        if not decimal(&p, self.end, price) or p[0] != c'"':
            self.fail(text, b"a price, a plain decimal of at most 8 places,")
        if price[0] == 0:
            self.fail(text, b"a price above 0")
        p += 1
        if not (take(&p, c",") and take(&p, c'"')):
            self.fail(p, b"a quantity in quotes")
        text = p
        if not decimal(&p, self.end, qty) or p[0] != c'"':
            self.fail(text, b"a quantity, a plain decimal of at most 8 places,")
        p += 1
        if not take(&p, c"]"):
            self.fail(p, b"the end of the level")
        at[0] = p
        return 0

    cdef int settle(self, int64_t price, int64_t qty, Py_ssize_t row) except -1 nogil:
        """Refine the grids for a level that is off them, after *row* rows; return 0 if the level is left out."""
        if not on_grid(&self.price_grid, price):
            if not self.lenient:
                self.refuse_price(self.start, price)
            if self.left_out == 0:
                self.first_left_out = self.lines
            self.left_out += 1
            return 0
        on_grid(&self.qty_grid, qty)
        # A finer step is found a few times at the start of a day; then all rows of the block are multiplied.
        if self.tick != self.price_grid.step or self.lot != self.qty_grid.step:
            with gil:
                self.refine(row)
        return 1


cdef class TableParser(LineParser):
    """Parses a CSV file without quotes by its header; columns are in any order, unknown ones are skipped.

    Args:
        name, tick_e8, qty_step_e8: As for `LineParser`.
        columns: Name and Cell of each requested column.
        room: Expected number of rows, as for `DiffParser`.

    Attributes:
        cells: Row by row, one item for each of *columns*, since the last `take`.
    """

    cdef readonly Column cells
    cdef dict columns
    cdef Column plan  # for each field of a row, in file order: its Cell, and its index in the row
    cdef Py_ssize_t fields, width

    def __init__(
        self, str name, columns: dict[str, int], int64_t tick_e8=0, int64_t qty_step_e8=0, Py_ssize_t room=1024
    ) -> None:
        super().__init__(name, tick_e8, qty_step_e8)
        self.columns = columns
        self.width = len(columns)
        self.cells, self.plan = Column(8, room * self.width), Column()

    def take(self) -> NDArray[np.int64]:
        """Return the rows since the last call, int64[n, columns]; they are valid until the next piece is fed."""
        taken = self.cells.values.reshape(-1, self.width)
        self.cells.used = 0
        return taken

    cdef int header(self) except -1:
        """Set the plan for reading the rows under this header."""
        text = self.start[: self.end - self.start].decode("utf-8", "replace")
        names = [name.strip() for name in text.removeprefix("\ufeff").split(",")]
        needed = [name for name, cell in self.columns.items() if not cell & OPTIONAL]
        for name in [*needed, *self.columns]:
            if names.count(name) > 1 or (name in needed and name not in names):
                raise BrokenFile(
                    f"{self.name}:{self.lines}: column {name} occurs {names.count(name)} times in the header "
                    f"{text[:120]!r}; it must have these, in any order: {','.join(needed)}"
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
            if not whole_number(at, self.end, value):
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


ctypedef fused Item:
    int32_t
    int64_t


cdef inline void in_steps(
    const Item* values, Py_ssize_t items, int64_t unit, const Grid* grid, int64_t* to
) noexcept nogil:
    # Blocks are nearly always in a multiple of the day's step: one multiplication per item, which the compiler
    # vectorises. Each branch has its own loop for that.
    cdef int64_t times = unit // <int64_t> grid.step
    cdef Py_ssize_t i
    if times * <int64_t> grid.step == unit:
        for i in range(items):
            to[i] = values[i] * times
    else:
        for i in range(items):
            to[i] = steps_of(grid, values[i] * unit)


cdef inline void put_in_steps(
    const char* values, Py_ssize_t width, int64_t[2] run, int64_t unit, const Grid* grid, int64_t* to
) noexcept nogil:
    """Write items ``run[0]:run[1]`` of *values*, whole units, in steps of the grid."""
    if width == 4:
        in_steps(<const int32_t*> values + run[0], run[1] - run[0], unit, grid, to)
    else:
        in_steps(<const int64_t*> values + run[0], run[1] - run[0], unit, grid, to)


def place_rows(
    const int64_t[::1] start,
    const int64_t[::1] end,
    const int64_t[::1] where,
    block: Block,
    target: Rows,
    steps: tuple[int, int],
) -> None:
    """Copy runs of rows to their positions, and convert prices and quantities into ticks and lots.

    Args:
        start, end: Bounds of each run in *block*; runs that begin outside of it are skipped.
        where: The row of *target* where each run begins.
        block: The rows as parsed.
        target: (side int8, ticks, lots) arrays.
        steps: Tick and lot in 1e-8; each price and quantity is a whole multiple.
    """
    if target[0].size == 0 or block[0].size == 0:
        return
    cdef const int8_t[::1] side = block[0], price = block[1].view(np.int8), qty = block[2].view(np.int8)
    cdef Py_ssize_t price_width = block[1].itemsize, qty_width = block[2].itemsize
    cdef int64_t price_unit = block[3], qty_unit = block[4]
    cdef int8_t[::1] to_side = target[0]
    cdef int64_t[::1] to_ticks = target[1], to_lots = target[2]
    cdef Grid tick = grid_of(steps[0], True), lot = grid_of(steps[1], True)
    cdef int64_t[2] run
    cdef Py_ssize_t i
    cdef int64_t to
    with nogil:
        # In tape order: writes are sequential; reads are not, but each covers a whole message.
        for i in range(start.shape[0]):
            run[0], run[1], to = start[i], end[i], where[i]
            if run[0] < 0 or run[0] >= side.shape[0] or run[0] == run[1]:
                continue
            memcpy(&to_side[to], &side[run[0]], run[1] - run[0])
            put_in_steps(<const char*> &price[0], price_width, run, price_unit, &tick, &to_ticks[to])
            put_in_steps(<const char*> &qty[0], qty_width, run, qty_unit, &lot, &to_lots[to])
