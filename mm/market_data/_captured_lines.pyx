# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Fast path of an import: runs of captured lines that continue a market regularly (`lines_ahead` calls it).

The kernel reads stamped lines of combined streams, with keys in any order, but only the regular cases: a depth message
that follows the book, a trade that follows the last one, a best price that agrees with the book. Its rows equal those
of the writers in Python. It stops before any other line; the book may already contain that line's changes, which is
harmless because quantities are absolute. Python then reads the line and continues.
"""

from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, memset

from mm._decimals cimport power_of_ten, put_whole
from mm.market_data._levels cimport LONGEST_CELL, ODD, SHORTEST, Level, Side, decimal, gcd, put, put_cells, read_level

cdef enum:
    MOST_DIGITS = 18    # digits of a whole number
    MOST_FRACTION = 6   # decimal places of a stamp that are used
    LONGEST_HEAD = 320  # bytes of a row other than levels, run and source
    MOST_STREAMS = 16   # streams of one symbol
    PREVIOUS = 63       # index of the field `pu`

cdef enum Kind:
    DEPTH
    TRADE
    AGGREGATE
    TICKER

cdef struct Stream:
    const char* name
    Py_ssize_t size
    Kind kind

cdef struct Text:
    const char* at
    Py_ssize_t size

cdef struct Buffer:
    char* first
    Py_ssize_t size, room

cdef struct Fields:
    int64_t[64] number  # of the field named by the letter 64 + index
    Text[64] text       # its text, or the text of its levels
    bint[64] has_number
    bint[64] has_text
    Py_ssize_t bids_from, bids_to, asks_from, asks_to


cdef struct Best:
    int64_t id    # of the book to compare with; -1 if none waits
    bint in_text  # whether a text differs from that of its number
    Level bid, ask


cdef inline int at_of(char letter) noexcept nogil:
    return letter & 63


cdef inline int64_t to_us(int64_t stamp, int64_t ms_below) noexcept nogil:
    return stamp * 1000 if stamp < ms_below else stamp


cdef inline int64_t to_ms(int64_t stamp, int64_t ms_below) noexcept nogil:
    return stamp if stamp < ms_below else stamp // 1000


cdef inline const char* word(const char* p, const char* end, const char* text, Py_ssize_t size) noexcept nogil:
    """Return the position after *text*; NULL if *p* does not begin with it."""
    return NULL if p is NULL or end - p < size or memcmp(p, text, size) else p + size


cdef inline const char* whole(const char* p, const char* end, int64_t* value) noexcept nogil:
    """Read a whole number without leading zeros; return the position after it, NULL if there is none."""
    cdef const char* first = p
    cdef int64_t read = 0
    while p < end and c"0" <= p[0] <= c"9" and p - first <= MOST_DIGITS:
        read = read * 10 + (p[0] - c"0")
        p += 1
    if p == first or p - first > MOST_DIGITS or (first[0] == c"0" and p - first > 1):
        return NULL
    value[0] = read
    return p


cdef inline const char* plain_text(const char* p, const char* end, Text* text) noexcept nogil:
    """Read an ASCII JSON string without escapes; return the position after it, NULL for any other string."""
    if p >= end or p[0] != c'"':
        return NULL
    p += 1
    text.at = p
    while p < end and p[0] != c'"':
        if not 32 <= p[0] < 127 or p[0] == c"\\":
            return NULL
        p += 1
    text.size = p - text.at
    return p + 1 if p < end else NULL


cdef str text_of(int64_t value, int places):
    cdef char[LONGEST_CELL] text
    return text[: put(text, value, places) - text].decode("ascii")


cdef bytes text_in(Buffer* buffer):
    return b"" if buffer.first is NULL else buffer.first[: buffer.size]


cdef int need(Buffer* buffer, Py_ssize_t size) except -1:
    """Reserve room for *size* bytes in total."""
    cdef char* first
    if size <= buffer.room:
        return 0
    first = <char*> PyMem_Realloc(buffer.first, 2 * size)
    if first is NULL:
        raise MemoryError(f"no memory for {2 * size} bytes of rows")
    buffer.first, buffer.room = first, 2 * size
    return 0


cdef inline char* put_text(char* p, const char* text, Py_ssize_t size) noexcept nogil:
    memcpy(p, text, size)
    return p + size


cdef inline char* put_number(char* p, int64_t value, char after) noexcept nogil:
    p = put_whole(p, value)
    p[0] = after
    return p + 1


cdef class CapturedLines:
    """State of the market of one symbol, and the rows of the processed lines.

    Args:
        symbol: As in the messages.
        futures: Whether updates have the id of the one before (`pu`).
        units: Limit below which a stamp is in ms; first valid stamp and end (excluded) for exchanges, and the same for
            lines, in µs; maximum time between a trade and its message, in ms.

    Attributes:
        last_us, to_us: Range of valid arrivals, without its end.
        seq: The number of the last row.
        epoch: The epoch of frames.
        book_id, trade_id: Last ids of the book and of the trades; −1 if none can follow.
        tick_e8, lot_e8: The known steps; 0 is none.
        seen_tick_e8, seen_lot_e8: Divisors of all prices and quantities received.
        rooms: Bytes by which each file may grow: diffs, frames, trades.
        lines, updates, trades, tickers, compared: Numbers processed since `begin`.
        units_seen: Bit mask of the stamp units in rows: 1 for ms, 2 for µs.
        first_id, exchange: First id and stamp of the last update; its number is `update_seq`, its arrival `update_us`.
        trade_us: Arrival of the last trade.
    """

    cdef public int64_t last_us, to_us, seq, epoch, book_id, trade_id
    cdef public int64_t tick_e8, lot_e8, seen_tick_e8, seen_lot_e8
    cdef readonly Py_ssize_t lines, updates, trades, tickers, compared
    cdef readonly int64_t units_seen, first_id, exchange, update_seq, update_us, trade_us
    cdef Py_ssize_t[3] room
    cdef Best waiting
    cdef bint futures
    cdef int64_t ms_below, first_us, end_us, first_line_us, end_line_us, most_late_ms
    cdef bytes symbol, run, source
    cdef list names
    cdef Stream[MOST_STREAMS] streams
    cdef int stream_count
    cdef Py_ssize_t top_n, last_diff
    cdef Buffer diffs, frames, trade_rows, offsets, levels

    def __cinit__(self, str symbol, bint futures, units: tuple[int, int, int, int, int, int]) -> None:
        self.symbol, self.futures, self.names = symbol.encode(), futures, []
        self.ms_below, self.first_us, self.end_us, self.first_line_us, self.end_line_us, self.most_late_ms = units
        self.waiting.id = -1

    def __dealloc__(self) -> None:
        PyMem_Free(self.diffs.first)
        PyMem_Free(self.frames.first)
        PyMem_Free(self.trade_rows.first)
        PyMem_Free(self.offsets.first)
        PyMem_Free(self.levels.first)

    def learn(self, str name, str kind) -> None:
        """Register the stream *name* of this *kind*: depth, trade, aggTrade or bookTicker."""
        kinds = {"depth": DEPTH, "trade": TRADE, "aggTrade": AGGREGATE, "bookTicker": TICKER}
        cdef bytes text = name.encode()
        if self.stream_count < MOST_STREAMS:
            self.names.append(text)
            self.streams[self.stream_count] = Stream(text, len(text), kinds[kind])
            self.stream_count += 1

    def wait_for(self, int64_t update_id, *texts: str) -> None:
        """Set best prices that wait for the book of their id, or none (−1): price and quantity of bid and of ask."""
        cdef bytes text
        cdef int64_t[4] value
        cdef int[4] places
        cdef const char* first
        cdef int n
        self.waiting.id, self.waiting.in_text = update_id, False
        for n, one in enumerate(texts):
            text = one.encode()
            first = text
            if decimal(first, first + len(text), value + n, places + n) != first + len(text):
                self.waiting.in_text = True
                return
        if texts:
            self.waiting.bid = Level(value[0], value[1], places[0], places[1])
            self.waiting.ask = Level(value[2], value[3], places[2], places[3])

    def waits(self) -> tuple[int, str, str, str, str] | None:
        """Return the best prices that wait, in the form of `wait_for`; None if none do."""
        cdef Best* best = &self.waiting
        if best.id < 0:
            return None
        return (
            best.id,
            text_of(best.bid.key, best.bid.price_places),
            text_of(best.bid.qty, best.bid.qty_places),
            text_of(best.ask.key, best.ask.price_places),
            text_of(best.ask.qty, best.ask.qty_places),
        )

    def begin(self, str run, str source, Py_ssize_t top_n, rooms: tuple[int, int, int]) -> None:
        """Start in a day: rows of *run*, trades from *source*, frames of *top_n* levels; all counts are 0."""
        self.run, self.source, self.top_n = run.encode(), source.encode(), top_n
        self.room[0], self.room[1], self.room[2] = rooms
        self.lines = self.updates = self.trades = self.tickers = self.compared = self.units_seen = 0
        self.diffs.size = self.frames.size = self.trade_rows.size = self.offsets.size = self.last_diff = 0

    def rows(self) -> tuple[bytes, bytes, bytes]:
        """Return the rows of the diffs, the frames and the trades."""
        return text_in(&self.diffs), text_in(&self.frames), text_in(&self.trade_rows)

    def last_diff_row(self) -> bytes:
        """Return the last row of the diffs."""
        return self.diffs.first[self.last_diff : self.diffs.size - 1]

    def late_us(self) -> bytes:
        """Return the time from stamp to arrival of each update, 64 bits each."""
        return text_in(&self.offsets)

    def take(self, bytes block, Py_ssize_t at, bids: Side | None, asks: Side | None, str trades) -> int:
        """Process the lines of *block* from *at*, and return the offset of the first line that was not processed.

        Args:
            block: Lines; the last may be incomplete.
            at: Offset of a line.
            bids, asks: The book; None to process no updates.
            trades: The kind of stream whose trades are processed.
        """
        cdef const char* start = block
        cdef const char* end = start + len(block)
        cdef const char* p = start + at
        cdef const char* newline
        cdef Kind trade_kind = AGGREGATE if trades == "aggTrade" else TRADE
        if bids is None or asks is None:
            self.book_id = -1
        while True:
            newline = <const char*> memchr(p, c"\n", end - p)
            if newline is NULL or not self.line(p, newline, bids, asks, trade_kind):
                return p - start
            self.lines += 1
            p = newline + 1

    cdef bint line(self, const char* p, const char* end, Side bids, Side asks, Kind trade_kind) except -1:
        """Process the line from *p* to its newline at *end*; False if it is not regular."""
        cdef int64_t recv_us = 0
        cdef Kind kind = DEPTH
        cdef Fields fields
        p = self.stamp(p, end, &recv_us)
        if p is NULL or not self.last_us <= recv_us < self.to_us:
            return False
        p = word(self.stream(word(p, end, b' {"stream":"', 12), end, &kind), end, b'","data":{', 10)
        if p is NULL:
            return False
        need(&self.levels, ((end - p) // SHORTEST + 1) * sizeof(Level))
        memset(fields.has_number, 0, sizeof(fields.has_number))
        memset(fields.has_text, 0, sizeof(fields.has_text))
        p = self.read(p, end, kind == DEPTH, &fields)
        if p is NULL or word(p, end, b"}", 1) != end or not self.is_ours(&fields):
            return False
        if kind == DEPTH:
            return self.book_id >= 0 and self.update(recv_us, &fields, bids, asks)
        if kind == TICKER:
            return self.best(recv_us, &fields, bids, asks)
        return kind == trade_kind and self.trade(recv_us, &fields, kind)

    cdef const char* stamp(self, const char* p, const char* end, int64_t* us) noexcept nogil:
        """Read the stamp of a line, in s (with a fraction), ms, µs or ns; NULL if it is outside the valid range."""
        cdef const char* first = p
        cdef uint64_t value = 0, ms_below = self.ms_below
        cdef int places = 0
        while p < end and c"0" <= p[0] <= c"9" and p - first < MOST_DIGITS + 1:
            value = value * 10 + (p[0] - c"0")
            p += 1
        if p == first:
            return NULL
        if value >= ms_below * 1000:
            value //= 1000
        elif value >= ms_below // 1000:
            value = value if value >= ms_below else value * 1000
        else:
            value *= 1000000
            if p < end and p[0] == c".":
                p += 1
                first = p
                while p < end and c"0" <= p[0] <= c"9":
                    if places < MOST_FRACTION:
                        value += <uint64_t> (p[0] - c"0") * power_of_ten(MOST_FRACTION - 1 - places)
                        places += 1
                    p += 1
                if p == first:
                    return NULL
        if not <uint64_t> self.first_line_us <= value < <uint64_t> self.end_line_us:
            return NULL
        us[0] = <int64_t> value
        return p + 1 if p < end and p[0] == c":" else p

    cdef const char* stream(self, const char* p, const char* end, Kind* kind) noexcept nogil:
        """Read the name of a registered stream."""
        cdef const char* quote
        cdef int n
        if p is NULL:
            return NULL
        quote = <const char*> memchr(p, c'"', end - p)
        for n in range(self.stream_count):
            if quote is not NULL and self.streams[n].size == quote - p and not memcmp(p, self.streams[n].name, quote - p):
                kind[0] = self.streams[n].kind
                return quote
        return NULL

    cdef const char* read(self, const char* p, const char* end, bint has_levels, Fields* fields) noexcept nogil:
        """Read the fields of an object after its bracket; NULL if it is irregular or has a field twice."""
        cdef Text name
        cdef int n
        fields.bids_from = fields.bids_to = fields.asks_from = fields.asks_to = 0
        while True:
            p = word(plain_text(p, end, &name), end, b":", 1)
            if p is NULL or p >= end or not name.size:
                return NULL
            n = -1
            if name.size == 1 and (c"A" <= name.at[0] <= c"Z" or c"a" <= name.at[0] <= c"z"):
                n = at_of(name.at[0])
            elif name.size == 2 and not memcmp(name.at, b"pu", 2):
                n = PREVIOUS
            if n >= 0 and (fields.has_number[n] or fields.has_text[n]):
                return NULL
            if has_levels and name.size == 1 and (name.at[0] == c"b" or name.at[0] == c"a"):
                p = self.read_levels(p, end, fields, n)
            else:
                p = value_of(p, end, fields, n)
            if p is NULL or p >= end:
                return NULL
            if p[0] == c"}":
                return p + 1
            if p[0] != c",":
                return NULL
            p += 1

    cdef const char* read_levels(self, const char* p, const char* end, Fields* fields, int n) noexcept nogil:
        """Read the levels of a side into the buffer of levels."""
        cdef Level* held = <Level*> self.levels.first
        cdef Py_ssize_t count = max(fields.bids_to, fields.asks_to)
        cdef Py_ssize_t first = count
        cdef const char* begin = p
        p = word(p, end, b"[", 1)
        while p is not NULL and p < end and p[0] != c"]":
            if count > first:
                p = word(p, end, b",", 1)
            p = NULL if p is NULL else read_level(p, end, held + count)
            if p is NULL or held[count].key < 1:
                return NULL
            count += 1
        if p is NULL or p >= end:
            return NULL
        fields.has_text[n] = True
        fields.text[n] = Text(begin, p + 1 - begin)
        if n == at_of(c"b"):
            fields.bids_from, fields.bids_to = first, count
        else:
            fields.asks_from, fields.asks_to = first, count
        return p + 1

    cdef bint is_ours(self, Fields* fields) noexcept:
        """Return True if a message is of the symbol."""
        cdef Text* text = fields.text + at_of(c"s")
        cdef const char* symbol = self.symbol
        return fields.has_text[at_of(c"s")] and text.size == len(self.symbol) and not memcmp(text.at, symbol, text.size)

    cdef bint is_stamp(self, int64_t stamp) noexcept nogil:
        return self.first_us <= stamp < self.end_us or self.first_us // 1000 <= stamp < self.end_us // 1000

    cdef bint on_grid(self, const Level* levels, Py_ssize_t count) noexcept nogil:
        """Return True if prices and quantities are on the known steps; update their common divisors."""
        cdef int64_t tick_e8 = self.seen_tick_e8, lot_e8 = self.seen_lot_e8
        cdef Py_ssize_t n
        for n in range(count):
            if not tick_e8 or levels[n].key % tick_e8:
                tick_e8 = gcd(levels[n].key, tick_e8)
            if levels[n].qty and levels[n].qty != INT64_MAX and (not lot_e8 or levels[n].qty % lot_e8):
                lot_e8 = gcd(levels[n].qty, lot_e8)
        if (self.tick_e8 and tick_e8 % self.tick_e8) or (self.lot_e8 and lot_e8 % self.lot_e8):
            return False
        self.seen_tick_e8, self.seen_lot_e8 = tick_e8, lot_e8
        return True

    cdef bint agrees(self, Side bids, Side asks) noexcept nogil:
        """Return True if the waiting best prices equal those of the book."""
        cdef Level bid, ask
        if self.waiting.in_text or not bids.count or not asks.count:
            return False
        bid, ask = bids.room[bids.begin + bids.count - 1], asks.room[asks.begin + asks.count - 1]
        return (
            bid.qty != ODD and bid.key == self.waiting.bid.key and bid.qty == self.waiting.bid.qty
            and ask.qty != ODD and -ask.key == self.waiting.ask.key and ask.qty == self.waiting.ask.qty
        )

    cdef bint update(self, int64_t recv_us, Fields* fields, Side bids, Side asks) except -1:
        """Process a depth message; False if it is not regular."""
        cdef Level* held = <Level*> self.levels.first
        cdef int64_t exchange = fields.number[at_of(c"E")], first_id = fields.number[at_of(c"U")]
        cdef int64_t last_id = fields.number[at_of(c"u")], matched = -1
        cdef Text* b = fields.text + at_of(c"b")
        cdef Text* a = fields.text + at_of(c"a")
        cdef Py_ssize_t n
        cdef char* frame
        if not have(fields, b"EUu") or not fields.has_text[at_of(c"b")] or not fields.has_text[at_of(c"a")]:
            return False
        if fields.has_number[PREVIOUS] != self.futures or fields.has_text[PREVIOUS]:
            return False
        if last_id < first_id or not self.is_stamp(exchange) or fields.has_text[at_of(c"T")]:
            return False
        if fields.has_number[at_of(c"T")]:
            matched = fields.number[at_of(c"T")]
            if not self.is_stamp(matched):
                return False
        if self.futures:
            if not fields.number[PREVIOUS] < first_id:
                return False
            first_id = fields.number[PREVIOUS] + 1
        if first_id != self.book_id + 1:
            return False
        if self.diffs.size + LONGEST_HEAD + len(self.run) + b.size + a.size >= self.room[0]:
            return False
        need(&self.frames, self.frames.size + LONGEST_HEAD + len(self.run) + 4 * self.top_n * LONGEST_CELL)
        if not self.on_grid(held, max(fields.bids_to, fields.asks_to)):
            return False
        for n in range(fields.bids_from, fields.bids_to):
            bids.set(held[n].key, held + n)
        for n in range(fields.asks_from, fields.asks_to):
            asks.set(-held[n].key, held + n)
        if bids.count and asks.count:
            if bids.room[bids.begin + bids.count - 1].key >= -asks.room[asks.begin + asks.count - 1].key:
                return False
        if self.waiting.id == last_id and not self.agrees(bids, asks):
            return False
        frame = self.put_frame(recv_us, exchange, last_id, bids, asks)
        if frame is NULL or frame - self.frames.first >= self.room[1]:
            return False
        self.frames.size = frame - self.frames.first
        self.seq += 1
        self.put_diff(recv_us, exchange, matched, first_id, last_id, b, a)
        need(&self.offsets, self.offsets.size + sizeof(int64_t))
        (<int64_t*> (self.offsets.first + self.offsets.size))[0] = recv_us - to_us(exchange, self.ms_below)
        self.offsets.size += sizeof(int64_t)
        if self.waiting.id == last_id:
            self.compared += 1
            self.waiting.id = -1
        self.units_seen |= 1 if exchange < self.ms_below else 2
        self.first_id, self.book_id, self.exchange, self.update_seq = first_id, last_id, exchange, self.seq
        self.last_us = self.update_us = recv_us
        self.updates += 1
        return True

    cdef char* put_frame(self, int64_t recv_us, int64_t exchange, int64_t last_id, Side bids, Side asks) noexcept:
        """Append the frame of the next row to the frames, and return its end; NULL if a text is irregular."""
        cdef char* p = put_number(self.frames.first + self.frames.size, to_ms(exchange, self.ms_below), c",")
        p = put_number(put_number(p, recv_us // 1000, c","), self.seq + 1, c",")
        p = put_text(p, self.run, len(self.run))
        p[0] = c","
        p = put_cells(put_number(p + 1, self.epoch, c","), bids, asks, self.top_n)
        return NULL if p is NULL else put_number(put_number(p, recv_us, c","), last_id, c"\n")

    cdef int put_diff(
        self, int64_t recv_us, int64_t exchange, int64_t matched, int64_t first_id, int64_t last_id, Text* b, Text* a
    ) except -1:
        """Append the row of a depth message; a negative *matched* is none."""
        cdef char* p
        need(&self.diffs, self.diffs.size + LONGEST_HEAD + len(self.run) + b.size + a.size)
        self.last_diff = self.diffs.size
        p = self.diffs.first + self.diffs.size
        p = put_whole(put_text(p, b'{"recv_ms":', 11), recv_us // 1000)
        p = put_whole(put_text(p, b',"recv_us":', 11), recv_us)
        p = put_whole(put_text(p, b',"recv_seq":', 12), self.seq)
        p = put_text(put_text(p, b',"run_id":"', 11), self.run, len(self.run))
        p = put_whole(put_text(p, b'","E":', 6), exchange)
        if matched >= 0:
            p = put_whole(put_text(p, b',"T":', 5), matched)
        p = put_whole(put_text(p, b',"U":', 5), first_id)
        p = put_whole(put_text(p, b',"u":', 5), last_id)
        p = put_text(put_text(p, b',"b":', 5), b.at, b.size)
        p = put_text(put_text(p, b',"a":', 5), a.at, a.size)
        p = put_text(p, b"}\n", 2)
        self.diffs.size = p - self.diffs.first
        return 0

    cdef bint best(self, int64_t recv_us, Fields* fields, Side bids, Side asks) except -1:
        """Process best prices; False if they are not regular."""
        cdef Level[2] found
        cdef Best before = self.waiting
        if not have(fields, b"u"):
            return False
        if not level_of(fields, c"b", c"B", found) or not level_of(fields, c"a", c"A", found + 1):
            return False
        self.waiting = Best(fields.number[at_of(c"u")], False, found[0], found[1])
        if (self.waiting.id == self.book_id and not self.agrees(bids, asks)) or not self.on_grid(found, 2):
            self.waiting = before
            return False
        if self.waiting.id == self.book_id:
            self.compared += 1
            self.waiting.id = -1
        self.tickers += 1
        self.last_us = recv_us
        return True

    cdef bint trade(self, int64_t recv_us, Fields* fields, Kind kind) except -1:
        """Process a trade; False if it is not regular."""
        cdef int64_t sent = fields.number[at_of(c"E")], traded = fields.number[at_of(c"T")]
        cdef int64_t number = fields.number[at_of(c"t")], first_id = number, last_id = number, late_us
        cdef Level found
        cdef Py_ssize_t size
        cdef char* p
        if not have(fields, b"ETm" if kind == TRADE else b"ETmafl"):
            return False
        if kind == AGGREGATE:
            number, first_id = fields.number[at_of(c"a")], fields.number[at_of(c"f")]
            last_id = fields.number[at_of(c"l")]
        elif not have(fields, b"t") or fields.has_number[at_of(c"X")]:
            return False
        elif fields.has_text[at_of(c"X")] and not (self.futures and is_market(fields.text + at_of(c"X"))):
            return False
        if self.trade_id < 0 or number != self.trade_id + 1 or not self.is_stamp(sent) or not self.is_stamp(traded):
            return False
        if not level_of(fields, c"p", c"q", &found):
            return False
        late_us = to_us(sent, self.ms_below) - to_us(traded, self.ms_below)
        if not -self.most_late_ms * 1000 <= late_us <= self.most_late_ms * 1000:
            return False
        size = LONGEST_HEAD + len(self.run) + len(self.source)
        if self.trade_rows.size + size >= self.room[2] or not self.on_grid(&found, 1):
            return False
        need(&self.trade_rows, self.trade_rows.size + size)
        self.seq += 1
        p = self.trade_rows.first + self.trade_rows.size
        p = put_number(put_number(p, to_ms(sent, self.ms_below), c","), recv_us // 1000, c",")
        p = put_text(put_number(p, self.seq, c","), self.run, len(self.run))
        p[0] = c","
        p = put_number(put_number(p + 1, number, c","), to_ms(traded, self.ms_below), c",")
        p = put_text(p, fields.text[at_of(c"p")].at, fields.text[at_of(c"p")].size)
        p[0] = c","
        p = put_text(p + 1, fields.text[at_of(c"q")].at, fields.text[at_of(c"q")].size)
        p = put_text(p, b",true,", 6) if fields.number[at_of(c"m")] else put_text(p, b",false,", 7)
        p = put_number(put_number(put_number(p, recv_us, c","), first_id, c","), last_id, c",")
        p = put_text(p, self.source, len(self.source))
        p[0] = c"\n"
        self.trade_rows.size = p + 1 - self.trade_rows.first
        self.units_seen |= 1 if traded < self.ms_below else 2
        self.trade_id = number
        self.last_us = self.trade_us = recv_us
        self.trades += 1
        return True


cdef const char* value_of(const char* p, const char* end, Fields* fields, int n) noexcept nogil:
    """Read a number, a text, true, false or null into the field *n*; a negative *n* is skipped."""
    cdef Text text
    cdef int64_t value = -1
    cdef const char* after = NULL
    if p[0] == c'"':
        after = plain_text(p, end, &text)
        if n >= 0:
            fields.has_text[n], fields.text[n] = True, text
        return after
    if p[0] == c"n":
        return word(p, end, b"null", 4)
    if p[0] == c"t" or p[0] == c"f":
        value = p[0] == c"t"
        after = word(p, end, b"true", 4) if value else word(p, end, b"false", 5)
        if n != at_of(c"m"):  # no other field is true or false
            return NULL if n == PREVIOUS or n == at_of(c"X") else after
    else:
        after = whole(p, end, &value)
        if n == at_of(c"m"):
            return NULL
    if n >= 0:
        fields.has_number[n], fields.number[n] = True, value
    return after


cdef bint is_market(const Text* kind) noexcept nogil:
    """Return True if a trade was an execution in the order book."""
    return kind.size == 6 and not memcmp(kind.at, b"MARKET", 6)


cdef bint have(Fields* fields, const char* letters) noexcept nogil:
    """Return True if each of these fields is present as a number."""
    while letters[0]:
        if not fields.has_number[at_of(letters[0])]:
            return False
        letters += 1
    return True


cdef bint level_of(Fields* fields, char price, char qty, Level* level) noexcept nogil:
    """Read a price and a quantity, both above zero."""
    cdef Text* text = fields.text + at_of(price)
    if not fields.has_text[at_of(price)] or not fields.has_text[at_of(qty)]:
        return False
    if decimal(text.at, text.at + text.size, &level.key, &level.price_places) != text.at + text.size:
        return False
    text = fields.text + at_of(qty)
    if decimal(text.at, text.at + text.size, &level.qty, &level.qty_places) != text.at + text.size:
        return False
    return level.key >= 1 and level.qty >= 1
