# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Runs of correct rows of a day, read without an object per row (`check_ahead` calls it).

The kernel reads only the format of our own writers, with their order of keys and plain decimals, and only rows that
continue the rows before. It stops before any other row; the book may already have that row's changes, which makes no
difference: the checks in Python read the row, set its levels again and report its defects.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport INT64_MAX, int64_t
from libc.string cimport memchr, memcmp, memcpy

from mm._decimals cimport put_whole
from mm.market_data._levels cimport LONGEST_CELL, SHORTEST, Level, Side, decimal, put_cells, read_level

cdef enum:
    MOST_ROWS = 1 << 15   # rows per call
    MOST_DIGITS = 18      # digits of a whole number
    LONGEST_HEAD = 256    # bytes of a frame's cells other than levels and run


cdef inline const char* word(const char* p, const char* end, const char* text, Py_ssize_t size) noexcept nogil:
    """Return the position after *text*; NULL if *p* does not begin with it."""
    if p is NULL or end - p < size or memcmp(p, text, size):
        return NULL
    return p + size


cdef inline const char* number(const char* p, int64_t* value) noexcept nogil:
    """Read a whole number without leading zeros; return the position after it, NULL if there is none."""
    cdef const char* first = p
    cdef int64_t read = 0
    if p is NULL:
        return NULL
    while c"0" <= p[0] <= c"9":
        read = read * 10 + (p[0] - c"0")
        p += 1
        if p - first > MOST_DIGITS:
            return NULL
    if p == first or (first[0] == c"0" and p - first > 1):
        return NULL
    value[0] = read
    return p


cdef class Arrivals:
    """State of the rows of one file, and number and arrival of each row taken.

    Args:
        from_us, to_us: Range of valid arrivals, without its end, in µs.
        slack_us: Maximum backward step of arrival times.

    Attributes:
        latest_us: The latest arrival of the run so far.
        count: Rows taken since `begin`.
    """

    cdef readonly int64_t latest_us
    cdef readonly Py_ssize_t count
    cdef int64_t from_us, to_us, slack_us, last_seq
    cdef bytes run
    cdef const char* run_text
    cdef Py_ssize_t run_size
    cdef int64_t* seqs
    cdef int64_t* stamps

    def __cinit__(self, int64_t from_us, int64_t to_us, int64_t slack_us, *_) -> None:
        self.from_us, self.to_us, self.slack_us = from_us, to_us, slack_us
        self.seqs = <int64_t*> PyMem_Malloc(2 * MOST_ROWS * sizeof(int64_t))
        if self.seqs is NULL:
            raise MemoryError(f"no memory for {MOST_ROWS} rows")
        self.stamps = self.seqs + MOST_ROWS

    def __dealloc__(self) -> None:
        PyMem_Free(self.seqs)

    def begin(self, str run, int64_t last_seq, int64_t latest_us) -> None:
        """Start after a row of *run* with the number *last_seq*, with no row taken."""
        self.run = run.encode()
        self.run_text, self.run_size = self.run, len(self.run)
        self.last_seq, self.latest_us, self.count = last_seq, latest_us, 0

    def taken(self) -> tuple[bytes, bytes]:
        """Return the numbers and the arrivals in µs of the taken rows, 64 bits each."""
        cdef Py_ssize_t size = self.count * sizeof(int64_t)
        return (<char*> self.seqs)[:size], (<char*> self.stamps)[:size]

    cdef bint follows(self, int64_t seq, int64_t recv_ms, int64_t recv_us) noexcept nogil:
        """Return True if a row of this number and arrival may follow."""
        return (
            seq > self.last_seq
            and recv_ms == recv_us // 1000
            and self.from_us <= recv_us < self.to_us
            and recv_us >= self.latest_us - self.slack_us
        )

    cdef void take_row(self, int64_t seq, int64_t recv_us) noexcept nogil:
        self.seqs[self.count] = seq
        self.stamps[self.count] = recv_us
        self.count += 1
        self.last_seq = seq
        if recv_us > self.latest_us:
            self.latest_us = recv_us


cdef class RowLimits:
    """Limits of the values of rows: steps in 1e-8 (0 is unknown), and the number of the first row without known steps.

    Attributes:
        tick_e8, lot_e8: Steps of prices and quantities.
        until_seq: The first row for which they are unknown.
        stamps_ms: Range of exchange times, without its end, in ms; that of times in µs is a thousand times as large.
    """

    cdef public int64_t tick_e8, lot_e8, until_seq
    cdef int64_t from_ms, to_ms

    def __init__(self, int64_t from_ms, int64_t to_ms) -> None:
        self.from_ms, self.to_ms = from_ms, to_ms
        self.until_seq = INT64_MAX

    cdef bint on_step(self, int64_t price, int64_t qty) noexcept nogil:
        if self.tick_e8 and price % self.tick_e8:
            return False
        return not self.lot_e8 or qty % self.lot_e8 == 0 or qty == INT64_MAX  # the exchange caps it there

    cdef bint is_ms(self, int64_t stamp) noexcept nogil:
        return self.from_ms <= stamp < self.to_ms

    cdef bint is_stamp(self, int64_t stamp) noexcept nogil:
        return self.is_ms(stamp) or self.from_ms * 1000 <= stamp < self.to_ms * 1000


cdef class CleanFrames(Arrivals):
    """The frames of depth messages; each line must equal the line formatted from the book.

    Args:
        from_us, to_us, slack_us: As for `Arrivals`.
        top_n: Levels per side.
    """

    cdef bytes block, first
    cdef const char* p
    cdef const char* end
    cdef char* expected
    cdef int64_t epoch
    cdef Py_ssize_t top_n
    cdef bint first_left

    def __init__(self, int64_t from_us, int64_t to_us, int64_t slack_us, Py_ssize_t top_n) -> None:
        self.top_n = top_n

    def __dealloc__(self) -> None:
        PyMem_Free(self.expected)

    def open(self, bytes block, Py_ssize_t at, bytes first, int64_t epoch) -> None:
        """Set the lines to compare: *first*, a line read before, and those of *block* from *at*, all of *epoch*."""
        cdef const char* start = block
        self.block, self.first, self.first_left, self.epoch = block, first, True, epoch
        self.p, self.end = start + at, start + len(block)
        PyMem_Free(self.expected)
        self.expected = <char*> PyMem_Malloc(4 * self.top_n * LONGEST_CELL + LONGEST_HEAD + self.run_size)
        if self.expected is NULL:
            raise MemoryError(f"no memory for a frame of {self.top_n} levels")

    @property
    def at(self) -> int:
        """Offset of the next line in the block."""
        return self.p - <const char*> self.block

    cdef bint has_line(self) noexcept nogil:
        """Return True if a whole line is loaded."""
        return self.first_left or memchr(self.p, c"\n", self.end - self.p) is not NULL

    cdef bint row(self, Side bids, Side asks, int64_t* stamp) noexcept nogil:
        """Take the next frame; False if it differs from that of the book and *stamp* (E, recv_ms, seq, recv_us, u)."""
        cdef char* p = self.expected
        cdef Py_ssize_t size
        cdef bint same
        cdef int i
        for i in range(3):
            p = put_whole(p, stamp[i])
            p[0] = c","
            p += 1
        memcpy(p, self.run_text, self.run_size)
        p[self.run_size] = c","
        p = put_whole(p + self.run_size + 1, self.epoch)
        p[0] = c","
        p = put_cells(p + 1, bids, asks, self.top_n)
        if p is NULL:
            return False
        p = put_whole(p, stamp[3])
        p[0] = c","
        p = put_whole(p + 1, stamp[4])
        p[0] = c"\n"
        size = p + 1 - self.expected
        if self.first_left:
            with gil:
                same = self.first == self.expected[:size]
            self.first_left = not same
            return same
        if self.end - self.p < size or memcmp(self.p, self.expected, size):
            return False
        if not self.follows(stamp[2], stamp[1], stamp[3]) or self.count >= MOST_ROWS:
            return False
        self.p += size
        self.take_row(stamp[2], stamp[3])
        return True


cdef class CleanDiffs(Arrivals):
    """Takes depth messages that continue a book, and changes it.

    Attributes:
        last_id: The last update id in the book.
        until_id: Messages that reach this id are not taken.
        total_us, last_us: As in `ValidTime`: the time with a valid book, and its end.
        seen_us, jump_from_us, jump_to_us: As in `ClockJumps`: the last row, and the widest step between two.
        low_e8, high_e8: The lowest best bid and the highest best ask.
        starved: Whether the last `take` stopped because no line of the frames was loaded.
    """

    cdef public int64_t last_id, until_id, total_us, last_us, seen_us, jump_from_us, jump_to_us, low_e8, high_e8
    cdef readonly bint starved
    cdef int64_t bid_edge, ask_edge
    cdef Py_ssize_t top_n
    cdef Level* held
    cdef Py_ssize_t room

    def __dealloc__(self) -> None:
        PyMem_Free(self.held)

    def reach(self, bid_edge: int | None, ask_edge: int | None, Py_ssize_t top_n) -> None:
        """Set the edges of the snapshot, in 1e-8 (None: no edge), beyond which *top_n* levels may not reach."""
        self.bid_edge = -INT64_MAX if bid_edge is None else bid_edge
        self.ask_edge = -INT64_MAX if ask_edge is None else -ask_edge
        self.top_n = top_n

    def take(
        self, bytes block, Py_ssize_t at, RowLimits limits, Side bids, Side asks, CleanFrames frames: CleanFrames | None
    ) -> int:
        """Take the lines of *block* from *at*, and return the offset of the first line that was not taken.

        Args:
            block: Lines of the file; the last may be torn.
            at: Offset of a line.
            limits: Limits of the values.
            bids, asks: The book; it may have the changes of the message at the returned offset.
            frames: Takes the frames of these messages; None without frames.
        """
        cdef const char* start = block
        cdef const char* end = start + len(block)
        cdef const char* p = start + at
        cdef const char* newline
        self.starved = False
        with nogil:
            while self.count < MOST_ROWS:
                newline = <const char*> memchr(p, c"\n", end - p)
                if newline is NULL:
                    break
                if frames is not None and not frames.has_line():
                    self.starved = True
                    break
                if not self.row(p, newline, limits, bids, asks, frames):
                    break
                p = newline + 1
        return p - start

    cdef int row(
        self, const char* p, const char* end, RowLimits limits, Side bids, Side asks, CleanFrames frames
    ) except -1 nogil:
        """Take the message from *p* to its newline at *end*; 0 if it is not taken."""
        cdef int64_t recv_ms, seq, recv_us, exchange, matched, first_id, last_id
        cdef Py_ssize_t of_bids = 0, levels = 0, at
        cdef int64_t[5] stamp
        p = number(word(p, end, b'{"recv_ms":', 11), &recv_ms)
        p = number(word(p, end, b',"recv_us":', 11), &recv_us)
        p = number(word(p, end, b',"recv_seq":', 12), &seq)
        p = word(word(p, end, b',"run_id":"', 11), end, self.run_text, self.run_size)
        p = number(word(p, end, b'","E":', 6), &exchange)
        matched = exchange
        if p is not NULL and word(p, end, b',"T":', 5) is not NULL:
            p = number(word(p, end, b',"T":', 5), &matched)
        p = number(word(p, end, b',"U":', 5), &first_id)
        p = number(word(p, end, b',"u":', 5), &last_id)
        if p is NULL or not self.follows(seq, recv_ms, recv_us) or seq >= limits.until_seq:
            return 0
        if first_id != self.last_id + 1 or last_id < first_id or last_id >= self.until_id:
            return 0
        if not limits.is_stamp(exchange) or not limits.is_stamp(matched):
            return 0
        self.make_room((end - p) // SHORTEST + 1)
        p = self.levels(word(p, end, b',"b":[', 6), end, limits, &of_bids)
        levels = of_bids
        p = self.levels(word(p, end, b',"a":[', 6), end, limits, &levels)
        if word(p, end, b"}", 1) != end:
            return 0
        for at in range(of_bids):
            bids.set(self.held[at].key, self.held + at)
        for at in range(of_bids, levels):
            asks.set(-self.held[at].key, self.held + at)
        stamp[:] = [exchange if limits.is_ms(exchange) else exchange // 1000, recv_ms, seq, recv_us, last_id]
        if not self.sound(bids, asks) or (frames is not None and not frames.row(bids, asks, stamp)):
            return 0
        self.mark(recv_us)
        self.take_row(seq, recv_us)
        self.last_id = last_id
        return 1

    cdef const char* levels(
        self, const char* p, const char* end, RowLimits limits, Py_ssize_t* count
    ) noexcept nogil:
        """Read the levels of a side after its bracket, and append them to *count* levels; NULL if one is irregular."""
        cdef Level* level
        if p is NULL or p[0] == c"]":
            return word(p, end, b"]", 1)
        while True:
            level = self.held + count[0]
            p = read_level(p, end, level)
            if p is NULL or level.key < 1 or not limits.on_step(level.key, level.qty):
                return NULL
            count[0] += 1
            if p[0] != c",":
                return word(p, end, b"]", 1)
            p += 1

    cdef bint sound(self, Side bids, Side asks) noexcept nogil:
        """Return True if the book is not crossed and its best levels are known; update the range of best prices."""
        cdef int64_t bid, ask
        if bids.count and asks.count:
            bid = bids.room[bids.begin + bids.count - 1].key
            ask = -asks.room[asks.begin + asks.count - 1].key
            if bid >= ask:
                return False
            self.low_e8, self.high_e8 = min(self.low_e8, bid), max(self.high_e8, ask)
        if self.bid_edge != -INT64_MAX and bids.count - bids.place(self.bid_edge) < self.top_n:
            return False
        return self.ask_edge == -INT64_MAX or asks.count - asks.place(self.ask_edge) >= self.top_n

    cdef void mark(self, int64_t us) noexcept nogil:
        """Do the same as `ValidTime.mark` for a book that was valid before."""
        if self.seen_us and us - self.seen_us > self.jump_to_us - self.jump_from_us:
            self.jump_from_us, self.jump_to_us = self.seen_us, us
        self.seen_us = us
        if us > self.last_us:
            self.total_us += us - self.last_us
            self.last_us = us

    cdef int make_room(self, Py_ssize_t levels) except -1 nogil:
        if levels > self.room:
            with gil:
                PyMem_Free(self.held)
                self.held = <Level*> PyMem_Malloc(2 * levels * sizeof(Level))
                self.room = 0 if self.held is NULL else 2 * levels
                if self.held is NULL:
                    raise MemoryError(f"no memory for {levels} levels")
        return 0

