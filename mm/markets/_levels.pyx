# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Levels and book sides as integers, without one object per level; the Python version is in `local_orderbook`.

Why compiled: a recorder parses, checks, orders and writes some 46 changed levels per message of a busy symbol (``python
-m mm.bench recorder``). Handles only the exchanges' usual format, decimals of up to eight places in 64 bits; everything
else goes to the Python version, or is kept as text.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport INT64_MAX, int8_t, int64_t, uint64_t
from libc.string cimport memcmp, memcpy, memmove
cimport cython

from array import array

import msgspec
from mm._decimals cimport eight_digits, power_of_ten, put_eight, put_fixed, put_whole, usual_decimal
from mm.instrument import e8

cdef enum:
    SHORTEST = 9       # bytes of ["1","0"] without a comma
    LONGEST_CELL = 22  # bytes of a price or a quantity with its comma: 11 digits, the point, eight places
    FIRST_ROOM = 64    # initial capacity in levels
    MOST_CELLS = 256   # bytes of the cells of a row beside its levels and its run
    FIRST_TEXT = 1 << 16
    ODD = -1           # as a quantity: the texts differ from the canonical ones, and are kept in `odd`

cdef struct Level:
    int64_t key  # the price in 1e-8, negative for an ask, so that the best is the greatest
    int64_t qty  # in 1e-8, or ODD
    int price_places, qty_places  # of the texts


cdef struct Shown:
    Level level
    Py_ssize_t size
    char[2 * LONGEST_CELL] text  # its cells in the last frame


cdef inline int64_t gcd(int64_t one, int64_t other) noexcept nogil:
    while other:
        one, other = other, one % other
    return one


cdef inline const char* plain(const char* p, const char* end, int64_t* value) noexcept nogil:
    """Read a decimal in the exchange's format; return the position after it, NULL if the format differs."""
    cdef const char* first = p
    cdef const char* after
    cdef uint64_t whole = 0, places
    if end - p >= 16:
        after = usual_decimal(p, &whole)
        if after is not NULL and (p[0] != c"0" or p[1] == c"."):
            value[0] = <int64_t> whole
            return after
        whole = 0
    while p < end and c"0" <= p[0] <= c"9" and p - first <= 11:
        whole = whole * 10 + <uint64_t> (p[0] - c"0")
        p += 1
    if not 0 < p - first <= 11 or (first[0] == c"0" and p - first > 1):
        return NULL
    if end - p < 9 or p[0] != c"." or not eight_digits(p + 1, &places):
        return NULL
    whole = whole * 100000000u + places
    if whole > <uint64_t> INT64_MAX:
        return NULL
    value[0] = <int64_t> whole
    return p + 9


cdef inline const char* decimal(const char* p, const char* end, int64_t* value, int* places) noexcept nogil:
    """Read a decimal of up to eight *places*, without leading zeros; return the position after it, or NULL."""
    cdef const char* first = p
    cdef const char* after = plain(p, end, value)
    cdef uint64_t whole = 0
    places[0] = 8
    if after is not NULL:
        return after
    while p < end and c"0" <= p[0] <= c"9" and p - first <= 11:
        whole = whole * 10 + <uint64_t> (p[0] - c"0")
        p += 1
    if not 0 < p - first <= 11 or (first[0] == c"0" and p - first > 1):
        return NULL
    places[0] = 0
    if p < end and p[0] == c".":
        p += 1
        first = p
        while p < end and c"0" <= p[0] <= c"9" and p - first < 8:
            whole = whole * 10 + <uint64_t> (p[0] - c"0")
            p += 1
        if p == first:
            return NULL
        places[0] = <int> (p - first)
    whole *= power_of_ten(8 - places[0])
    if whole > <uint64_t> INT64_MAX:
        return NULL
    value[0] = <int64_t> whole
    return p


cdef inline const char* read_level(const char* p, const char* end, Level* level) noexcept nogil:
    """Read ``["price","quantity"]``; return the position after it, NULL if the format differs."""
    if end - p < SHORTEST or memcmp(p, b'["', 2):
        return NULL
    p = decimal(p + 2, end, &level.key, &level.price_places)
    if p is NULL or end - p < 3 or memcmp(p, b'","', 3):
        return NULL
    p = decimal(p + 3, end, &level.qty, &level.qty_places)
    if p is NULL or end - p < 2 or memcmp(p, b'"]', 2):
        return NULL
    return p + 2


cdef inline char* put(char* p, int64_t value, int places) noexcept nogil:
    """Append *value*, in 1e-8, with *places* decimal places."""
    p = put_whole(p, <uint64_t> value // 100000000u)
    if places == 0:
        return p
    p[0] = c"."
    if places == 8:
        return put_eight(p + 1, <uint64_t> value % 100000000u)
    return put_fixed(p + 1, <uint64_t> value % 100000000u // power_of_ten(8 - places), places)


cdef str text_of(int64_t value, int places):
    cdef char[LONGEST_CELL] text
    return text[: put(text, value, places) - text].decode("ascii")


@cython.final
@cython.no_gc
cdef class Levels:
    """Levels of one side of a depth message, in its order: a sequence of texts of price and quantity.

    Attributes:
        json: Their JSON text.
        step_e8: Greatest common divisor of the prices, in 1e-8; 0 without a level.
        lot_e8: The same for the quantities, except the largest one that the exchange can display; 0 without any.
        filled: Number of quantities above 0 without those largest ones.
    """

    cdef readonly object json  # type: msgspec.Raw
    cdef readonly int64_t step_e8
    cdef readonly int64_t lot_e8
    cdef readonly Py_ssize_t filled
    cdef Level* held
    cdef Py_ssize_t count

    def __dealloc__(self) -> None:
        PyMem_Free(self.held)

    cdef bint read(self, const char* p, const char* end) noexcept:
        """Read the levels; False if the format differs from the exchange's."""
        cdef Level* level = self.held
        if end - p < 2 or p[0] != c"[" or (end - 1)[0] != c"]":
            return False
        p += 1
        end -= 1
        if p == end:
            return True
        while True:
            p = read_level(p, end, level)
            if p is NULL or level.key < 1:
                return False
            if not self.step_e8 or level.key % self.step_e8:
                self.step_e8 = gcd(level.key, self.step_e8)
            if level.qty and level.qty != INT64_MAX:
                self.filled += 1
                if not self.lot_e8 or level.qty % self.lot_e8:
                    self.lot_e8 = gcd(level.qty, self.lot_e8)
            level += 1
            if p == end:
                self.count = level - self.held
                return True
            if p[0] != c",":
                return False
            p += 1

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, at: int) -> tuple[str, str]:
        if not 0 <= at < self.count:
            raise IndexError(at)
        cdef Level* level = self.held + <Py_ssize_t> at
        return text_of(level.key, level.price_places), text_of(level.qty, level.qty_places)

    def on_grid(self, side: int, int64_t tick_e8, int64_t lot_e8) -> list[tuple[int, int, int]] | None:
        """Return *side*, ticks and lots of each level on the tick; None if one of these is not in whole lots."""
        cdef Level* level
        cdef Py_ssize_t at
        rows = []
        for at in range(self.count):
            level = self.held + at
            if level.key % tick_e8:
                continue
            if level.qty % lot_e8:
                return None
            rows.append((side, level.key // tick_e8, level.qty // lot_e8))
        return rows


def read_levels(json: msgspec.Raw | bytes) -> Levels | None:
    """Return the levels of a JSON array; None if the format differs from the exchange's, or a price is zero."""
    cdef Py_buffer view
    cdef Levels levels = Levels.__new__(Levels)
    cdef bint valid = False
    PyObject_GetBuffer(json, &view, PyBUF_SIMPLE)
    try:
        levels.json = json
        levels.held = <Level*> PyMem_Malloc((view.len // SHORTEST + 1) * sizeof(Level))
        if levels.held is NULL:
            raise MemoryError(f"no memory for the levels of {view.len} bytes")
        valid = levels.read(<const char*> view.buf, <const char*> view.buf + view.len)
    finally:
        PyBuffer_Release(&view)
    return levels if valid else None


cdef class Side:
    """Levels of one side by price in 1e-8 (negative for asks), in order, the best last; free space on both ends lets a
    change move the shorter part.

    Args:
        number: Returns a price in 1e-8; its exceptions propagate.
        sign: 1 for bids, -1 for asks.

    Attributes:
        odd: The texts of levels that are not the usual ones, by key.

    Every method with text arguments raises OverflowError if a price has more than 64 bits.
    """

    cdef object number
    cdef int sign
    cdef Level* room
    cdef Py_ssize_t size, begin, count
    cdef readonly dict odd  # type: dict[int, tuple[str, str]]

    def __cinit__(self, number: Callable[[str], int], int sign) -> None:
        self.number, self.sign, self.odd = number, sign, {}
        self.size = FIRST_ROOM
        self.begin = FIRST_ROOM // 2
        self.room = <Level*> PyMem_Malloc(FIRST_ROOM * sizeof(Level))
        if self.room is NULL:
            raise MemoryError("no memory for a side of a book")

    def __dealloc__(self) -> None:
        PyMem_Free(self.room)

    def change(self, changes: Iterable[tuple[str, str]]) -> None:
        cdef Levels levels
        cdef Py_ssize_t n
        if isinstance(changes, Levels):
            levels = <Levels> changes
            for n in range(levels.count):
                self.set(self.sign * levels.held[n].key, levels.held + n)
            return
        for price, qty in changes:
            self.set_texts(price, qty)

    def top(self, Py_ssize_t n) -> list[tuple[str, str]]:
        cdef Level* best = self.room + self.begin + self.count - 1
        cdef Py_ssize_t at
        return [self.texts(best - at) for at in range(max(0, min(n, self.count)))]

    @property
    def best(self) -> int | None:
        return self.room[self.begin + self.count - 1].key if self.count else None

    @property
    def last(self) -> int | None:
        return self.room[self.begin].key if self.count else None

    def qty_at(self, key: int) -> str | None:
        """None without the level."""
        cdef Py_ssize_t at = self.place_of(key)
        if at == self.count or self.room[self.begin + at].key != key:
            return None
        return self.texts(self.room + self.begin + at)[1]

    def count_to(self, key: int) -> int:
        """From the best to *key*, both included."""
        return self.count - self.place_of(key)

    def quantities(self, key: int) -> dict[int, int]:
        cdef Py_ssize_t at
        cdef Level* level
        found = {}
        for at in range(self.place_of(key), self.count):
            level = self.room + self.begin + at
            found[level.key] = e8(self.odd[level.key][1]) if level.qty == ODD else level.qty
        return found

    def check(self) -> None:
        """Raise ValueError if an invariant is violated: ordered keys, no empty levels, consistent texts."""
        cdef Level* level = self.room + self.begin
        cdef Py_ssize_t at, odd = 0
        if self.begin < 0 or self.begin + self.count > self.size:
            raise ValueError(f"{self.count} levels from {self.begin} on in room for {self.size}")
        for at in range(self.count):
            if at and level[at].key <= level[at - 1].key:
                raise ValueError(f"keys do not ascend: {level[at - 1].key}, {level[at].key}")
            if level[at].qty == 0 or level[at].qty < ODD:
                raise ValueError(f"a level of {level[at].qty} was kept at {level[at].key}")
            odd += level[at].qty == ODD and level[at].key in self.odd
        if odd != len(self.odd):
            raise ValueError(f"{len(self.odd)} texts are kept for {odd} levels")

    def __len__(self) -> int:
        return self.count

    cdef Py_ssize_t place_of(self, key) except -1:
        if -INT64_MAX <= key <= INT64_MAX:
            return self.place(key)
        return self.count if key > 0 else 0

    cdef Py_ssize_t place(self, int64_t key) noexcept nogil:
        cdef Level* first = self.room + self.begin
        cdef Level* level = first
        cdef Py_ssize_t left = self.count, half
        while left > 1:  # no branch on keys: half of the predictions would fail
            half = left >> 1
            level += half * (level[half - 1].key < key)
            left -= half
        return level - first + (1 if left and level.key < key else 0)

    cdef int set(self, int64_t key, const Level* given) except -1 nogil:
        """Set the level *key* to *given*; a quantity of 0 removes it, and its kept texts."""
        cdef Py_ssize_t at = self.place(key)
        cdef Level* level = self.room + self.begin + at
        if at < self.count and level.key == key:
            if level.qty == ODD:
                with gil:
                    del self.odd[key]
            if not given.qty:
                self.close_up(at)
                return 0
        elif given.qty:
            level = self.make_way(at)
        else:
            return 0
        level[0] = given[0]
        level.key = key
        return 0

    cdef int set_texts(self, str price, str qty) except -1:
        """Texts are kept if they differ from the canonical ones."""
        cdef int64_t key = self.sign * self.number(price)
        cdef Level level = Level(0, 0, 0, 0)
        if key < -INT64_MAX:
            raise OverflowError(f"{price} has more than 64 bits")
        if not qty.strip("0."):
            return self.set(key, &level)
        if read_text(price, &level.key, &level.price_places) and level.key == self.sign * key:
            if read_text(qty, &level.qty, &level.qty_places):
                return self.set(key, &level)
        level.qty = ODD
        self.set(key, &level)
        self.odd[key] = (price, qty)
        return 0

    cdef void close_up(self, Py_ssize_t at) noexcept nogil:
        cdef Level* level = self.room + self.begin + at
        self.count -= 1
        if at < self.count - at:
            memmove(self.room + self.begin + 1, self.room + self.begin, at * sizeof(Level))
            self.begin += 1
        else:
            memmove(level, level + 1, (self.count - at) * sizeof(Level))

    cdef Level* make_way(self, Py_ssize_t at) except NULL nogil:
        cdef bint before = at < self.count - at
        cdef Level* level
        if self.begin == 0 if before else self.begin + self.count == self.size:
            with gil:
                self.widen()
        if before:
            self.begin -= 1
            memmove(self.room + self.begin, self.room + self.begin + 1, at * sizeof(Level))
        level = self.room + self.begin + at
        if not before:
            memmove(level + 1, level, (self.count - at) * sizeof(Level))
        self.count += 1
        return level

    cdef int widen(self) except -1:
        """With at least as much free space before and after the levels as they occupy."""
        cdef Py_ssize_t size = 3 * self.count + FIRST_ROOM
        cdef Level* room = <Level*> PyMem_Malloc(size * sizeof(Level))
        if room is NULL:
            raise MemoryError(f"no memory for {size} levels")
        memmove(room + self.count, self.room + self.begin, self.count * sizeof(Level))
        PyMem_Free(self.room)
        self.room, self.size, self.begin = room, size, self.count
        return 0

    cdef tuple texts(self, const Level* level):
        if level.qty == ODD:
            return self.odd[level.key]
        return text_of(self.sign * level.key, level.price_places), text_of(level.qty, level.qty_places)


cdef bint read_text(str text, int64_t* value, int* places) except -1:
    """Read a decimal in the exchanges' format; False if the format differs."""
    cdef bytes raw
    if not text.isascii():
        return False
    raw = text.encode("ascii")
    cdef const char* first = raw
    return decimal(first, first + len(raw), value, places) == first + len(raw)


cdef char* put_level(char* p, Side side, Py_ssize_t at) noexcept nogil:
    """Append the cells of a level, counted from the best, each followed by a comma; NULL if its text is odd."""
    cdef Level* level = side.room + side.begin + side.count - 1 - at
    if at >= side.count:
        p[0] = p[1] = c","
        return p + 2
    if level.qty == ODD:
        return NULL
    p = put(p, side.sign * level.key, level.price_places)
    p[0] = c","
    p = put(p + 1, level.qty, level.qty_places)
    p[0] = c","
    return p + 1


cdef inline char* put_shown(char* p, Side side, Py_ssize_t at, Shown* shown) noexcept nogil:
    """Append the cells of a level as `put_level`; *shown* has those of the same place in the frame before."""
    cdef Level* level = side.room + side.begin + side.count - 1 - at
    if at >= side.count:
        p[0] = p[1] = c","
        return p + 2
    if memcmp(&shown.level, level, sizeof(Level)):
        shown.level = level[0]
        shown.size = put_level(shown.text, side, at) - shown.text
    memcpy(p, shown.text, 2 * LONGEST_CELL)
    return p + shown.size


def cells(Side bids, Side asks, Py_ssize_t n) -> str | None:
    """Return the cells of the best *n* levels, alternating bid and ask, empty for missing ones; None for odd texts."""
    cdef char* first = <char*> PyMem_Malloc(4 * n * LONGEST_CELL + 1)
    cdef char* end = first
    cdef Py_ssize_t at
    if first is NULL:
        raise MemoryError(f"no memory for the cells of {n} levels")
    try:
        for at in range(n):
            end = put_level(end, bids, at)
            if end is not NULL:
                end = put_level(end, asks, at)
            if end is NULL:
                return None
        return first[: max(0, end - first - 1)].decode("ascii")
    finally:
        PyMem_Free(first)


cdef struct Text:
    char* at
    Py_ssize_t used, room


cdef char* reserve(Text* text, Py_ssize_t count) except NULL nogil:
    cdef char* grown
    cdef Py_ssize_t room
    if text.used + count > text.room:
        room = 2 * text.room + count + FIRST_TEXT
        with gil:
            grown = <char*> PyMem_Realloc(text.at, room)
            if grown is NULL:
                raise MemoryError(f"no memory for {room:,} bytes of rows")
        text.at, text.room = grown, room
    return text.at + text.used


cdef inline int places_of(int64_t value_e8) noexcept nogil:
    cdef int places = 8
    if value_e8 % 100000000 == 0:
        return 0
    if value_e8 % 10000 == 0:
        places, value_e8 = 4, value_e8 // 10000
    if value_e8 % 100 == 0:
        places, value_e8 = places - 2, value_e8 // 100
    return places - (value_e8 % 10 == 0)


cdef inline char* put_bytes(char* p, const char* text, Py_ssize_t count) noexcept nogil:
    memcpy(p, text, count)
    return p + count


cdef inline char* put_number(char* p, int64_t number, char after) noexcept nogil:
    p = put_whole(p, <uint64_t> number)
    p[0] = after
    return p + 1


@cython.final
cdef class MessageColumns:
    """Consecutive depth messages and trades of one source, as columns; each row is a level of a message, or a trade.

    Args:
        us, exch_us: Arrival of each message and its time at the exchange, both in µs.
        is_trade: Which messages are trades, of one row each.
        end: Number of rows up to and including each message.
        side: +1 bid or buyer as aggressor, -1 ask or seller.
        price, qty: In 1e-8; a quantity of 0 removes a level.
        price_places: Decimal places of the prices.
        update_id, trade_id: Ids of the first depth message and the first trade; the following ones are consecutive.
        qty_places: Decimal places of the quantities; -1 as few as each needs.
        unit_us: Unit in which exchange times of depth messages are written, 1 or 1,000 µs.

    Attributes:
        at: Number of messages that were written.
        crossed: Whether the next message would cross the book.
        diffs, trades: Depth messages and trades written.
    """

    cdef const int64_t[::1] us, exch_us, end, price, qty
    cdef const int8_t[::1] is_trade, side, price_places
    cdef Text diffs_text, frames_text, trades_text
    cdef Shown* shown
    cdef int shown_room
    cdef Level* before
    cdef Py_ssize_t before_room
    cdef int64_t update_id, trade_id
    cdef int qty_places
    cdef bint frame_due
    cdef readonly int unit_us
    cdef readonly Py_ssize_t at, diffs, trades
    cdef readonly bint crossed

    def __init__(
        self, const int64_t[::1] us, const int64_t[::1] exch_us, const int8_t[::1] is_trade, const int64_t[::1] end,
        const int8_t[::1] side, const int64_t[::1] price, const int8_t[::1] price_places, const int64_t[::1] qty,
        int64_t update_id, int64_t trade_id, int qty_places=-1, int unit_us=1,
    ) -> None:
        self.us, self.exch_us, self.is_trade, self.end = us, exch_us, is_trade, end
        self.side, self.price, self.price_places, self.qty = side, price, price_places, qty
        self.update_id, self.trade_id, self.qty_places, self.unit_us = update_id, trade_id, qty_places, unit_us

    def __dealloc__(self) -> None:
        PyMem_Free(self.diffs_text.at)
        PyMem_Free(self.frames_text.at)
        PyMem_Free(self.trades_text.at)
        PyMem_Free(self.before)
        PyMem_Free(self.shown)

    def write(
        self, Side bids, Side asks, Py_ssize_t upto, int64_t seq, bytes run_id, int64_t epoch_id, int top_n,
        bytes source, Py_ssize_t diff_bytes, Py_ssize_t frame_bytes, Py_ssize_t trade_bytes,
    ) -> tuple[bytes, bytes, bytes, int]:
        """Apply messages to the book, and return their rows: diffs, frames, trades, and the number of frames.

        It ends before the message *upto*, before one that would cross the book, or after a row with which one of the
        three texts has its number of bytes. The sides must have no odd texts.

        Args:
            seq: The number of the last row.
            run_id, epoch_id, source: Cells of the rows.
            top_n: Levels of a side in a frame; 0 writes none, and counts the books.
        """
        cdef Py_ssize_t frames = 0
        self.show(2 * top_n)
        self.diffs_text.used = self.frames_text.used = self.trades_text.used = 0
        cdef const char* run = run_id
        cdef const char* origin = source
        cdef Py_ssize_t run_size = len(run_id), origin_size = len(source)
        with nogil:
            while self.at < upto:
                if self.is_trade[self.at]:
                    seq += 1
                    self.put_trade(seq, run, run_size, origin, origin_size)
                    self.trades += 1
                    self.at += 1
                    if self.trades_text.used >= trade_bytes:
                        break
                    continue
                if not self.frame_due:
                    if not self.apply(bids, asks):
                        self.crossed = True
                        break
                    seq += 1
                    self.put_diff(seq, run, run_size)
                    self.diffs += 1
                    if self.diffs_text.used >= diff_bytes:
                        self.frame_due = True
                        break
                self.frame_due = False
                if top_n:
                    self.put_frame(bids, asks, seq, run, run_size, epoch_id, top_n)
                frames += 1
                self.at += 1
                if self.frames_text.used >= frame_bytes:
                    break
        return (
            self.diffs_text.at[: self.diffs_text.used] if self.diffs_text.used else b"",
            self.frames_text.at[: self.frames_text.used] if self.frames_text.used else b"",
            self.trades_text.at[: self.trades_text.used] if self.trades_text.used else b"",
            frames,
        )

    def change(self, Side bids, Side asks) -> None:
        """Apply the messages written so far to another book that was equal before them."""
        cdef Py_ssize_t at, row
        cdef Level level
        for at in range(self.at):
            if self.is_trade[at]:
                continue
            for row in range(self.end[at - 1] if at else 0, self.end[at]):
                self.read(row, &level)
                (bids if self.side[row] > 0 else asks).set(self.side[row] * level.key, &level)

    def latest(self, bint trades) -> tuple[int, int, int]:
        """Number of the trades, or depth messages, written so far, the arrival of the last, and the latest exchange
        time; zeros without any.
        """
        cdef Py_ssize_t at, count = 0
        cdef int64_t us = 0, exch_us = 0
        for at in range(self.at):
            if self.is_trade[at] == trades:
                count, us, exch_us = count + 1, self.us[at], max(exch_us, self.exch_us[at])
        return count, us, exch_us

    def offsets_us(self) -> bytes:
        """Return arrival less exchange time of each depth message written so far, as bytes of int64."""
        cdef Py_ssize_t at
        offsets = array("q")
        for at in range(self.at):
            if not self.is_trade[at]:
                offsets.append(self.us[at] - self.exch_us[at])
        return offsets.tobytes()

    def stretch(
        self, bint prices, Py_ssize_t at, Py_ssize_t upto, int64_t step_e8, Py_ssize_t most
    ) -> tuple[int, int, int, int]:
        """Return what `GridStretches.add` does with messages from *at* on, for prices or for quantities above 0.

        Returns:
            The message before which it stopped, with at least *most* values or at *upto*; the common divisor of
            *step_e8* and the values; the last message that reduced it, or -1; and the number of values.
        """
        cdef const int64_t[::1] values = self.price if prices else self.qty
        cdef Py_ssize_t row, count = 0, reduced = -1
        cdef int64_t divisor
        while at < upto and count < most:
            if not self.is_trade[at]:
                for row in range(self.end[at - 1] if at else 0, self.end[at]):
                    if values[row] == 0 or (not prices and values[row] == INT64_MAX):
                        continue
                    count += 1
                    if step_e8 == 0 or values[row] % step_e8:
                        divisor = gcd(values[row], step_e8)
                        if divisor != step_e8:
                            step_e8, reduced = divisor, at
            at += 1
        return at, step_e8, reduced, count

    def values(self, bint prices, Py_ssize_t at) -> list[int]:
        """Return the prices, or the quantities above 0, of the message *at*; empty for a trade."""
        cdef Py_ssize_t row
        cdef const int64_t[::1] column = self.price if prices else self.qty
        if self.is_trade[at]:
            return []
        rows = range(self.end[at - 1] if at else 0, self.end[at])
        return [column[row] for row in rows if column[row] and (prices or column[row] != INT64_MAX)]

    cdef int show(self, int count) except -1:
        cdef int at
        if count <= self.shown_room:
            return 0
        self.shown = <Shown*> PyMem_Realloc(self.shown, count * sizeof(Shown))
        if self.shown is NULL:
            raise MemoryError(f"no memory for the cells of {count} levels")
        for at in range(count):
            self.shown[at].level.qty = 0
        self.shown_room = count
        return 0

    cdef inline void read(self, Py_ssize_t row, Level* level) noexcept nogil:
        level.key, level.price_places = self.price[row], self.price_places[row]
        level.qty, level.qty_places = self.qty[row], self.places(row)

    cdef inline int places(self, Py_ssize_t row) noexcept nogil:
        return places_of(self.qty[row]) if self.qty_places < 0 else self.qty_places

    cdef bint apply(self, Side bids, Side asks) except -1 nogil:
        """Apply the next message; False, and the book is as it was, if it would be crossed."""
        cdef Py_ssize_t begin = self.end[self.at - 1] if self.at else 0, end = self.end[self.at], row
        cdef Level* before
        if end - begin > self.before_room:
            with gil:
                before = <Level*> PyMem_Realloc(self.before, (end - begin) * sizeof(Level))
                if before is NULL:
                    raise MemoryError(f"no memory for {end - begin:,} levels of a message")
            self.before, self.before_room = before, end - begin
        for row in range(begin, end):
            before = self.before + (row - begin)
            if self.side[row] > 0:
                self.replace(bids, row, before)
            else:
                self.replace(asks, row, before)
        if not bids.count or not asks.count:
            return True
        if bids.room[bids.begin + bids.count - 1].key < -asks.room[asks.begin + asks.count - 1].key:
            return True
        for row in range(end - 1, begin - 1, -1):
            before = self.before + (row - begin)
            if self.side[row] > 0:
                bids.set(before.key, before)
            else:
                asks.set(before.key, before)
        return False

    cdef int replace(self, Side side, Py_ssize_t row, Level* before) except -1 nogil:
        """And keep the level that it replaces, empty if there was none."""
        cdef int64_t key = side.sign * self.price[row]
        cdef Py_ssize_t place = side.place(key)
        cdef Level level
        before.qty = 0
        if place < side.count and side.room[side.begin + place].key == key:
            before[0] = side.room[side.begin + place]
        before.key = key
        self.read(row, &level)
        return side.set(key, &level)

    cdef int put_diff(self, int64_t seq, const char* run, Py_ssize_t run_size) except -1 nogil:
        cdef Py_ssize_t begin = self.end[self.at - 1] if self.at else 0, end = self.end[self.at]
        cdef char* p = reserve(&self.diffs_text, MOST_CELLS + run_size + (end - begin) * (2 * LONGEST_CELL + 8))
        p = put_bytes(p, b'{"recv_ms":', 11)
        p = put_whole(p, <uint64_t> self.us[self.at] // 1000)
        p = put_bytes(p, b',"recv_us":', 11)
        p = put_whole(p, <uint64_t> self.us[self.at])
        p = put_bytes(p, b',"recv_seq":', 12)
        p = put_whole(p, <uint64_t> seq)
        p = put_bytes(p, b',"run_id":"', 11)
        p = put_bytes(p, run, run_size)
        p = put_bytes(p, b'","E":', 6)
        p = put_whole(p, <uint64_t> (self.exch_us[self.at] // self.unit_us))
        p = put_bytes(p, b',"U":', 5)
        p = put_whole(p, <uint64_t> (self.update_id + self.diffs))
        p = put_bytes(p, b',"u":', 5)
        p = put_whole(p, <uint64_t> (self.update_id + self.diffs))
        p = put_bytes(p, b',"b":[', 6)
        p = self.put_levels(p, 1, begin, end)
        p = put_bytes(p, b'],"a":[', 7)
        p = self.put_levels(p, -1, begin, end)
        p = put_bytes(p, b']}\n', 3)
        self.diffs_text.used = p - self.diffs_text.at
        return 0

    cdef char* put_levels(self, char* p, int side, Py_ssize_t begin, Py_ssize_t end) noexcept nogil:
        cdef Py_ssize_t row
        cdef bint first = True
        for row in range(begin, end):
            if self.side[row] != side:
                continue
            if not first:
                p[0] = c","
                p += 1
            first = False
            p = put_bytes(p, b'["', 2)
            p = put(p, self.price[row], self.price_places[row])
            p = put_bytes(p, b'","', 3)
            p = put(p, self.qty[row], self.places(row))
            p = put_bytes(p, b'"]', 2)
        return p

    cdef int put_frame(
        self, Side bids, Side asks, int64_t seq, const char* run, Py_ssize_t run_size, int64_t epoch_id, int top_n
    ) except -1 nogil:
        cdef char* p = reserve(&self.frames_text, MOST_CELLS + run_size + 4 * top_n * LONGEST_CELL)
        cdef Py_ssize_t at
        p = self.put_head(p, seq, run, run_size)
        p = put_number(p, epoch_id, c",")
        for at in range(top_n):
            p = put_shown(p, bids, at, self.shown + 2 * at)
            p = put_shown(p, asks, at, self.shown + 2 * at + 1)
        p = put_number(p, self.us[self.at], c",")
        # The diff of this frame is already counted.
        p = put_number(p, self.update_id + self.diffs - 1, c"\n")
        self.frames_text.used = p - self.frames_text.at
        return 0

    cdef int put_trade(
        self, int64_t seq, const char* run, Py_ssize_t run_size, const char* source, Py_ssize_t source_size
    ) except -1 nogil:
        cdef char* p = reserve(&self.trades_text, 2 * MOST_CELLS + run_size + source_size)
        cdef Py_ssize_t row = self.end[self.at] - 1
        cdef int64_t number = self.trade_id + self.trades
        p = self.put_head(p, seq, run, run_size)
        p = put_number(p, number, c",")
        p = put_number(p, self.exch_us[self.at] // 1000, c",")
        p = put(p, self.price[row], self.price_places[row])
        p[0] = c","
        p = put(p + 1, self.qty[row], self.places(row))
        p = put_bytes(p, b",true,", 6) if self.side[row] < 0 else put_bytes(p, b",false,", 7)
        p = put_number(p, self.us[self.at], c",")
        p = put_number(p, number, c",")
        p = put_number(p, number, c",")
        p = put_bytes(p, source, source_size)
        p[0] = c"\n"
        self.trades_text.used = p + 1 - self.trades_text.at
        return 0

    cdef inline char* put_head(self, char* p, int64_t seq, const char* run, Py_ssize_t run_size) noexcept nogil:
        p = put_number(p, self.exch_us[self.at] // 1000, c",")
        p = put_number(p, self.us[self.at] // 1000, c",")
        p = put_number(p, seq, c",")
        p = put_bytes(p, run, run_size)
        p[0] = c","
        return p + 1
