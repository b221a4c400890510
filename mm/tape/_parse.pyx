# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Parsers from bytes to integer columns: the NDJSON of raw depth messages and the plain CSV tables of a day folder.

Both parsers process pieces of a file as they are decompressed. Decimals become whole units of 1e-8, exactly.
"""

from libc.stdint cimport INT64_MAX, int8_t, int64_t
from libc.string cimport memchr, memcmp, memcpy, memset

from mm.tape._scan cimport (
    ASKS, BIDS, EXCHANGE, FIRST_ID, Grid, LAST_ID, MATCHED, NUMBERS, OTHER, RECV_MS, RECV_SEQ, RECV_US, RUN, USUAL_LEVEL,
    blank, decimal, flag, grid_of, key_of, on_grid, past_value, take, usual_level, whole_number,
)

import numpy as np
from numpy.typing import NDArray

from mm.errors import BrokenFile, OffGrid
from mm.instrument import short_text

DIFF_NUMBERS = ("recv_us", "recv_seq", "run", "exchange_us", "first_id", "last_id", "size")
"""The numbers of a depth message, in the order of `DiffParser.take`; *size* counts its levels."""

cpdef enum Cell:
    """The type of a table's column; the cells of WORD columns are positions in ``words``."""
    SKIP, INT, PRICE, QTY, FLAG, WORD
    OPTIONAL = 8  # added to another: the column may be absent or a field empty, which gives -1

cdef enum:
    PER_MESSAGE = 7  # numbers, see DIFF_NUMBERS
    SHORTEST_LEVEL = 9  # bytes of ["1","0"]
    LONGEST_WORD = 64  # bytes
    RECENT = 4  # number of latest words, which are looked up without Python

cdef struct Recent:
    char text[LONGEST_WORD]
    Py_ssize_t size
    int64_t code


cdef class Column:
    """A growing array of int64 (*width* 8) or int8 (1) in memory of numpy."""

    cdef object array
    cdef char* data  # of the array
    cdef Py_ssize_t used, room, width

    def __init__(self, Py_ssize_t width=8) -> None:
        self.width = width
        self.grow(1024)

    cdef object taken(self):
        items = self.array[: self.used].copy()
        self.used = 0
        return items

    # Room is reserved once per message (`reserve`, `make_room`), so that no item needs a check.

    cdef inline void add(self, int64_t value) noexcept nogil:
        (<int64_t*> self.data)[self.used] = value
        self.used += 1

    cdef int grow(self, Py_ssize_t room) except -1:
        array = np.empty(room, np.int64 if self.width == 8 else np.int8)
        if self.used:
            array[: self.used] = self.array[: self.used]
        cdef int8_t[::1] bytes_of = array.view(np.int8)
        self.array = array
        self.data = <char*> &bytes_of[0]
        self.room = room
        return 0

    cdef int reserve(self, Py_ssize_t more) except -1 nogil:
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
        """-1 if a word is too long."""
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
        tick_e8: Price step; a price off it raises OffGrid. 0 infers the greatest step that divides all prices.
        qty_step_e8: Initial quantity step, refined by finer quantities. 0 starts with the first quantity.
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
        """The greatest step that divides the given one and all quantities; 0 without one."""
        return self.qty_grid.step

    @property
    def words(self) -> list[str]:
        return self.seen.words

    def feed(self, const unsigned char[::1] piece) -> None:
        """Parse the lines complete after *piece*, any bytes, and keep the rest; raises BrokenFile or OffGrid."""
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
        """Return the number of lines lost at the end; *accept_last* accepts a last line that lacks only its newline."""
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
        return 0

    cdef int refuse_price(self, const char* at, int64_t price) except -1 nogil:
        if price == 0:
            self.fail(at, b"a price above 0")
        with gil:
            raise OffGrid(
                "{}:{}: price {} is not a multiple of tick size {}; set {tick_size} or check instrument.json",
                self.name,
                self.lines,
                short_text(price),
                short_text(self.price_grid.step),
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
        lenient: Leave out levels off the tick, and count them.

    Attributes:
        left_out, first_left_out: Number of left-out levels, and the line (from 1) of the first; 0 without one.
    """

    cdef Column numbers, side, price, qty
    cdef Py_ssize_t fresh  # levels of the current message; they count once it is complete
    cdef bint lenient
    cdef readonly int64_t left_out, first_left_out

    def __init__(self, str name, int64_t tick_e8=0, int64_t qty_step_e8=0, bint lenient=False) -> None:
        super().__init__(name, tick_e8, qty_step_e8)
        self.lenient = lenient
        self.numbers, self.side, self.price, self.qty = Column(), Column(1), Column(), Column()

    def take(self) -> tuple[NDArray[np.int64], NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]:
        """Return the messages since the last call: numbers, and side, price and quantity of their levels.

        The numbers are int64[n, 7], columns `DIFF_NUMBERS`; -1 for an absent key. The run is a position in ``words``,
        the exchange's time is T, else E, as received.
        """
        numbers = self.numbers.taken().reshape(-1, PER_MESSAGE)
        return numbers, self.side.taken(), self.price.taken(), self.qty.taken()

    cdef int line(self) except -1 nogil:
        cdef int64_t[NUMBERS] number
        cdef int key
        if blank(self.start) == self.end:
            return 0
        self.make_room((self.end - self.start) // SHORTEST_LEVEL)  # no level is shorter, so `levels` needs no check
        for key in range(NUMBERS):
            number[key] = -1
        self.message(number)
        self.numbers.add(number[RECV_US] if number[RECV_US] >= 0 else number[RECV_MS] * 1000)
        self.numbers.add(number[RECV_SEQ])
        self.numbers.add(number[RUN])
        self.numbers.add(number[MATCHED] if number[MATCHED] > 0 else number[EXCHANGE])
        self.numbers.add(number[FIRST_ID])
        self.numbers.add(number[LAST_ID])
        self.numbers.add(self.fresh)
        self.side.used += self.fresh
        self.price.used += self.fresh
        self.qty.used += self.fresh
        return 0

    cdef int make_room(self, Py_ssize_t rows) except -1 nogil:
        self.numbers.reserve(PER_MESSAGE)
        self.side.reserve(rows)
        self.price.reserve(rows)
        self.qty.reserve(rows)
        self.fresh = 0
        return 0

    cdef int message(self, int64_t* number) except -1 nogil:
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
        cdef const char* p = at[0]
        cdef int64_t price = 0, qty = 0
        cdef int64_t* prices = <int64_t*> self.price.data
        cdef int64_t* quantities = <int64_t*> self.qty.data
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
            if on_grid(&self.price_grid, price):
                on_grid(&self.qty_grid, qty)
                prices[row], quantities[row] = price, qty
                row += 1
            else:
                self.leave_out(price)
            if not take(&p, c","):
                break
        memset(self.side.data + first, side, row - first)  # per item, a store of bytes could alias any field
        self.fresh = row - self.side.used
        at[0] = p
        if not take(at, c"]"):
            self.fail(p, b"a comma or ]")
        return 0

    cdef int level(self, const char** at, int64_t* price, int64_t* qty) except -1 nogil:
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

    cdef int leave_out(self, int64_t price) except -1 nogil:
        """Count a level off the tick, which is an error unless the parser is lenient."""
        if not self.lenient:
            self.refuse_price(self.start, price)
        if self.left_out == 0:
            self.first_left_out = self.lines
        self.left_out += 1
        return 0


cdef class TableParser(LineParser):
    """Parses a CSV file without quotes by its header; columns are in any order, unknown ones are skipped.

    Args:
        columns: Name and Cell of each requested column.
    """

    cdef Column cells
    cdef dict columns
    cdef Column plan  # for each field of a row, in file order: its Cell, and its index in the row
    cdef Py_ssize_t fields, width

    def __init__(self, str name, columns: dict[str, int], int64_t tick_e8=0, int64_t qty_step_e8=0) -> None:
        super().__init__(name, tick_e8, qty_step_e8)
        self.columns = columns
        self.width = len(columns)
        self.cells, self.plan = Column(), Column()

    def take(self) -> NDArray[np.int64]:
        """Return the rows since the last call, int64[n, columns]."""
        return self.cells.taken().reshape(-1, self.width)

    cdef int header(self) except -1:
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
