# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""What parsing is made of: columns that grow, words with numbers, lines out of pieces, rows put where they belong."""

from libc.stdint cimport INT32_MAX, int8_t, int32_t, int64_t
from libc.string cimport memchr, memcmp, memcpy

from mm.tape._scan cimport Grid, grid_of, steps_of

import numpy as np

from mm.errors import BrokenFile, OffGrid
from mm.instrument import short_text


DTYPES = {1: np.int8, 4: np.int32, 8: np.int64}


cdef class Column:
    """A growing run of int64 (*width* 8), int32 (4) or int8 (1) in memory of numpy.

    With width 4, `put` makes it int64 at the first item that needs it.
    """

    def __init__(self, Py_ssize_t width=8, Py_ssize_t room=1024) -> None:
        self.width = width
        self.grow(room)

    @property
    def values(self) -> np.ndarray:
        """The items so far; good until the column grows."""
        return self.array[: self.used]

    cdef int grow(self, Py_ssize_t room) except -1:
        """Move to an array of *room* items, in whose unused end no page is touched."""
        array = np.empty(room, DTYPES[self.width])
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
        """Multiply the first *items*, counted already or not, in items of *width* or of more where they need it."""
        values = self.array[:items].astype(np.int64) * times
        self.width = 8 if items and values.max() > INT32_MAX else width
        array = np.empty(self.room, DTYPES[self.width])
        array[:items] = values
        return self.hold(array)

    cdef int reserve(self, Py_ssize_t more) except -1 nogil:
        """Make room for *more* items."""
        if self.used + more > self.room:
            with gil:
                self.grow(2 * self.room + more)
        return 0


cdef class Words:
    """Numbers words by first appearance."""

    def __cinit__(self) -> None:
        cdef int slot
        self.words = []
        for slot in range(RECENT):
            self.recent[slot].size = -1

    cdef int64_t code(self, const char* text, Py_ssize_t size) except -2 nogil:
        """Return the number of a word, -1 for one that is too long."""
        cdef int i
        cdef Recent* slot
        for i in range(RECENT):
            if size == self.recent[i].size and memcmp(text, self.recent[i].text, size) == 0:
                return self.recent[i].code
        if size > LONGEST_WORD:
            return -1
        slot = &self.recent[self.oldest]
        self.oldest = (self.oldest + 1) % RECENT
        memcpy(slot.text, text, size)
        slot.size = size
        with gil:
            word = text[:size].decode("utf-8", "replace")
            if word not in self.words:
                self.words.append(word)
            slot.code = self.words.index(word)
        return slot.code


cdef class LineParser:
    """Cuts pieces of a file into lines; a subclass parses one.

    Args:
        name: The file, for messages.
        tick_e8: Price step; a price off it raises OffGrid. 0 finds the greatest that divides all prices.
        qty_step_e8: Quantity step to begin with; finer quantities make it finer. 0 begins with the first quantity.
    """

    def __init__(self, str name, int64_t tick_e8=0, int64_t qty_step_e8=0) -> None:
        self.name = name
        self.tail = b""
        self.seen = Words()
        self.price_grid = grid_of(tick_e8, tick_e8 > 0)
        self.qty_grid = grid_of(qty_step_e8, False)

    @property
    def tick_e8(self) -> int:
        """The price step given, or the greatest that divides all prices; 0 without one."""
        return self.price_grid.step

    @property
    def lot_e8(self) -> int:
        """The greatest step that divides the quantity step given and all quantities; 0 without one."""
        return self.qty_grid.step

    @property
    def words(self) -> list[str]:
        """The words that the cells of word columns number."""
        return self.seen.words

    def feed(self, const unsigned char[::1] piece) -> None:
        """Parse the lines that *piece*, any bytes, completes, and keep the one it tears.

        Raises:
            BrokenFile: If a line is not what it should be.
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
        """Return how many lines are lost at the end: 1 where the last one is torn.

        Args:
            accept_last: Take a last line that is whole but for its newline.
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
        """Parse whole lines; return where the torn one begins."""
        self.start = start
        with nogil:
            while True:
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
        """Raise about *price*, which stands at *at* and is 0 or off the grid."""
        if price == 0:
            self.fail(at, b"a price above 0")
        with gil:
            raise OffGrid(
                f"{self.name}:{self.lines}: price {short_text(price)} is not a multiple of tick size "
                f"{short_text(self.price_grid.step)}; set --tick-size or check instrument.json"
            )

    cdef int fail(self, const char* at, const char* wanted) except -1 nogil:
        with gil:
            stands = at[: min(self.end - at, 40)].decode("utf-8", "replace") or "nothing"
            raise BrokenFile(
                f"{self.name}:{self.lines}: {wanted.decode()} expected at byte {at - self.start + 1} of the line, "
                f"where {stands!r} stands; restore the file or take the line out"
            )


ctypedef fused Item:
    int32_t
    int64_t


cdef inline void in_steps(
    const Item* values, Py_ssize_t items, int64_t unit, const Grid* grid, int64_t* to
) noexcept nogil:
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
    tuple block,
    tuple target,
    tuple steps,
) -> None:
    """Copy runs of rows to where they belong, and turn prices and quantities into ticks and lots.

    Args:
        start, end: Bounds of each run in *block*; runs that begin outside of it are passed over.
        where: The row of *target* where each run begins.
        block: The rows as they were read.
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
        for i in range(start.shape[0]):
            run[0], run[1], to = start[i], end[i], where[i]
            if run[0] < 0 or run[0] >= side.shape[0] or run[0] == run[1]:
                continue
            memcpy(&to_side[to], &side[run[0]], run[1] - run[0])
            put_in_steps(<const char*> &price[0], price_width, run, price_unit, &tick, &to_ticks[to])
            put_in_steps(<const char*> &qty[0], qty_width, run, qty_unit, &lot, &to_lots[to])
