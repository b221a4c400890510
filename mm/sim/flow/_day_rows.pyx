# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Formats the recorded files of a simulated market: depth messages, trades, frames of the best levels, order log.

- `Lines` formats a depth message as a line of the diffs and a frame of the book after it, and a trade message as a line
  of the trades. The lines equal those of ``mm.dayfolder.day_writer``, byte for byte.
- `log_lines` formats the order log.

Decimals have eight places and are computed in 128 bits, so that every product of a count and a step is exact.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove

from mm._decimals cimport put_decimal, put_signed, put_whole, wide_t

import json

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

# Columns of a message. In a depth message SIDE is 0, and its levels are the rows FIRST:END of the levels.
cdef enum:
    SENT_US, FIRST_ID, LAST_ID, SIDE, TICKS, LOTS
    FIRST = TICKS
    END = LOTS

# Columns of a level.
cdef enum:
    L_SIDE, L_TICKS, L_LOTS

cdef enum:
    DECIMAL = 48     # upper bound of the characters of a decimal
    NUMBERS = 400    # upper bound of the characters of all whole numbers and words of a line


cdef struct Text:
    char* start
    Py_ssize_t used
    Py_ssize_t room


cdef char* text_for(Text* text, Py_ssize_t most) except NULL nogil:
    """Return the position of the next line, with room for *most* characters."""
    cdef Py_ssize_t room
    cdef char* start
    if text.used + most > text.room:
        room = 2 * (text.used + most)
        start = <char*> realloc(text.start, room)
        if start is NULL:
            with gil:
                raise MemoryError(f"no memory for {room} bytes of a simulated day; make its chunks smaller")
        text.start, text.room = start, room
    return text.start + text.used


cdef bytes taken(Text* text):
    """Return the written bytes, and clear the text; its memory is reused."""
    cdef Py_ssize_t used = text.used
    text.used = 0
    return text.start[:used]


cdef struct Ladder:
    int64_t* keys       # side * ticks, ascending: the best price, near which most changes are, is last
    int64_t* lots
    Py_ssize_t count
    Py_ssize_t room


cdef int set_level(Ladder* ladder, int64_t key, int64_t lots) except -1 nogil:
    """Set the lots at *key*; 0 removes the level."""
    cdef Py_ssize_t low = 0
    cdef Py_ssize_t high = ladder.count
    cdef Py_ssize_t middle
    while low < high:
        middle = (low + high) // 2
        if ladder.keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    if low < ladder.count and ladder.keys[low] == key:
        ladder.lots[low] = lots
        if lots == 0:
            ladder.count -= 1
            move_levels(ladder, low + 1, low, ladder.count - low)
    elif lots:
        if ladder.count == ladder.room:
            more_levels(ladder)
        move_levels(ladder, low, low + 1, ladder.count - low)
        ladder.keys[low], ladder.lots[low] = key, lots
        ladder.count += 1
    return 0


cdef void move_levels(Ladder* ladder, Py_ssize_t start, Py_ssize_t to, Py_ssize_t count) noexcept nogil:
    memmove(ladder.keys + to, ladder.keys + start, count * sizeof(int64_t))
    memmove(ladder.lots + to, ladder.lots + start, count * sizeof(int64_t))


cdef int more_levels(Ladder* ladder) except -1 nogil:
    cdef Py_ssize_t room = 2 * ladder.room + 256
    cdef void* keys = realloc(ladder.keys, room * sizeof(int64_t))
    cdef void* lots = realloc(ladder.lots, room * sizeof(int64_t)) if keys is not NULL else NULL
    if keys is not NULL:
        ladder.keys = <int64_t*> keys
    if lots is NULL:
        with gil:
            raise MemoryError(f"no memory for a book of {room} levels")
    ladder.lots, ladder.room = <int64_t*> lots, room
    return 0


cdef inline char* put_text(char* p, bytes text) noexcept:
    memcpy(p, <const char*> text, len(text))
    return p + len(text)


cdef inline char* put_product(char* p, int64_t count, wide_t unit) noexcept nogil:
    """Append count·unit, a whole number of 1e-8, with eight decimal places."""
    cdef wide_t value = count
    value *= unit
    return put_decimal(p, value, 8)


cdef inline char* comma(char* p) noexcept nogil:
    p[0] = c","
    return p + 1


cdef inline char* without_comma(char* p) noexcept nogil:
    """Return the end of a list without the comma after its last entry; an empty list has none."""
    return p - 1 if (p - 1)[0] == c"," else p


cdef class Lines:
    """Format messages as the lines of a day folder, and maintain the resulting book.

    Args:
        run_id: Id of the run, written in every line.
        top_n: Levels per side in the frames.
        tick_e8: Price step, in 1e-8 of the quote asset.
        lot_e8: Quantity step, in 1e-8 of the base asset.
    """

    cdef wide_t tick, lot
    cdef Py_ssize_t top_n
    cdef bytes json_run, csv_run, csv_run_epoch
    cdef Ladder bids, asks
    cdef Text diffs, frames, trades

    def __init__(self, run_id: str, top_n: int, tick_e8: int, lot_e8: int) -> None:
        self.tick, self.lot = <int64_t> tick_e8, <int64_t> lot_e8
        self.top_n = top_n
        self.json_run = f',"run_id":{json.dumps(run_id, ensure_ascii=False)},"E":'.encode()
        self.csv_run = f",{run_id},".encode()

    def __dealloc__(self) -> None:
        free(self.bids.keys)
        free(self.bids.lots)
        free(self.asks.keys)
        free(self.asks.lots)
        free(self.diffs.start)
        free(self.frames.start)
        free(self.trades.start)

    def load(self, epoch_id: int, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]) -> None:
        """Begin an epoch with the book of a snapshot: (ticks, lots) of each level."""
        self.csv_run_epoch = self.csv_run + f"{epoch_id},".encode()
        self.bids.count = self.asks.count = 0
        for ticks, lots in bids:
            set_level(&self.bids, ticks, lots)
        for ticks, lots in asks:
            set_level(&self.asks, -ticks, lots)

    def of(
        self, const int64_t[:, ::1] messages, const int64_t[:, ::1] levels, const int64_t[::1] recv_us, int64_t first_seq
    ) -> tuple[bytes, bytes, bytes]:
        """Return the lines of *messages*: (diffs, frames, trades).

        Args:
            messages: Messages of the exchange, int64[n, 6], in the format of `recorder.Batches.of`.
            levels: Levels of the depth messages, int64[m, 3].
            recv_us: Receipt time of each message, µs.
            first_seq: `recv_seq` of the first message; it increases by one per message.
        """
        cdef Py_ssize_t i, level
        cdef const int64_t* message
        cdef int64_t seq = first_seq
        if not self.csv_run_epoch:
            raise ValueError("no book was loaded; frames cannot be made before the first snapshot")
        if recv_us.shape[0] != messages.shape[0]:
            raise ValueError(f"{messages.shape[0]} messages have {recv_us.shape[0]} instants of arrival")
        for i in range(messages.shape[0]):
            message = &messages[i, 0]
            if message[SIDE]:
                self.put_trade(message, recv_us[i], seq)
            elif not 0 <= message[FIRST] <= message[END] <= levels.shape[0]:
                raise ValueError(f"message {i} has levels {message[FIRST]} to {message[END]} of {levels.shape[0]}")
            else:
                self.put_diff(message, levels, recv_us[i], seq)
                for level in range(message[FIRST], message[END]):
                    self.change_book(levels[level, L_SIDE], levels[level, L_TICKS], levels[level, L_LOTS])
                self.put_frame(message, recv_us[i], seq)
            seq += 1
        return taken(&self.diffs), taken(&self.frames), taken(&self.trades)

    cdef int change_book(self, int64_t side, int64_t ticks, int64_t lots) except -1:
        return set_level(&self.bids if side > 0 else &self.asks, side * ticks, lots)

    cdef int put_trade(self, const int64_t* message, int64_t recv_us, int64_t seq) except -1:
        cdef char* p = text_for(&self.trades, NUMBERS + 2 * DECIMAL + len(self.csv_run))
        p = comma(put_whole(p, message[SENT_US] // 1000))
        p = comma(put_whole(p, recv_us // 1000))
        p = put_text(put_whole(p, seq), self.csv_run)
        p = comma(put_whole(p, message[LAST_ID]))
        p = comma(put_whole(p, message[SENT_US] // 1000))
        p = comma(put_product(p, message[TICKS], self.tick))
        p = comma(put_product(p, message[LOTS], self.lot))
        p = put_text(p, b"true," if message[SIDE] < 0 else b"false,")
        p = comma(put_whole(p, recv_us))
        p = comma(put_whole(p, message[FIRST_ID]))
        p = put_text(put_whole(p, message[LAST_ID]), b",ws\n")
        self.trades.used = p - self.trades.start
        return 0

    cdef int put_diff(
        self, const int64_t* message, const int64_t[:, ::1] levels, int64_t recv_us, int64_t seq
    ) except -1:
        cdef Py_ssize_t count = message[END] - message[FIRST]
        cdef char* p = text_for(&self.diffs, NUMBERS + len(self.json_run) + count * (2 * DECIMAL + 8))
        cdef Py_ssize_t level = message[FIRST]
        p = put_whole(put_text(p, b'{"recv_ms":'), recv_us // 1000)
        p = put_whole(put_text(p, b',"recv_us":'), recv_us)
        p = put_whole(put_text(p, b',"recv_seq":'), seq)
        p = put_whole(put_text(p, self.json_run), message[SENT_US] // 1000)
        p = put_whole(put_text(p, b',"U":'), message[FIRST_ID])
        p = put_whole(put_text(p, b',"u":'), message[LAST_ID])
        p = put_text(p, b',"b":[')
        while level < message[END] and levels[level, L_SIDE] > 0:
            p = self.put_level(p, levels[level, L_TICKS], levels[level, L_LOTS])
            level += 1
        p = put_text(without_comma(p), b'],"a":[')
        while level < message[END]:
            p = self.put_level(p, levels[level, L_TICKS], levels[level, L_LOTS])
            level += 1
        p = put_text(without_comma(p), b"]}\n")
        self.diffs.used = p - self.diffs.start
        return 0

    cdef inline char* put_level(self, char* p, int64_t ticks, int64_t lots) noexcept:
        """Append price and quantity as JSON, and a comma."""
        p = put_product(put_text(p, b'["'), ticks, self.tick)
        p = put_product(put_text(p, b'","'), lots, self.lot)
        return put_text(p, b'"],')

    cdef int put_frame(self, const int64_t* message, int64_t recv_us, int64_t seq) except -1:
        cdef Py_ssize_t depth
        cdef char* p = text_for(&self.frames, NUMBERS + len(self.csv_run_epoch) + self.top_n * (4 * DECIMAL + 4))
        p = comma(put_whole(p, message[SENT_US] // 1000))
        p = comma(put_whole(p, recv_us // 1000))
        p = put_text(put_whole(p, seq), self.csv_run_epoch)
        for depth in range(self.top_n):
            p = self.put_best(p, &self.bids, depth)
            p = self.put_best(p, &self.asks, depth)
        p = comma(put_whole(p, recv_us))
        p = put_text(put_whole(p, message[LAST_ID]), b"\n")
        self.frames.used = p - self.frames.start
        return 0

    cdef inline char* put_best(self, char* p, const Ladder* ladder, Py_ssize_t depth) noexcept:
        """Append price and quantity of the level at *depth* from the best (0); nothing if there is none."""
        cdef Py_ssize_t at = ladder.count - 1 - depth
        if at >= 0:
            p = comma(put_product(p, abs(ladder.keys[at]), self.tick))
            return comma(put_product(p, ladder.lots[at], self.lot))
        return comma(comma(p))


def log_lines(const int64_t[:, ::1] rows) -> bytes:
    """Return the rows of an order log as the lines of its file."""
    cdef Text text
    cdef char* p
    cdef Py_ssize_t i, column
    text.start, text.used, text.room = NULL, 0, 0
    try:
        for i in range(rows.shape[0]):
            p = text_for(&text, NUMBERS)
            for column in range(rows.shape[1]):
                p = comma(put_signed(p, rows[i, column]))
            (p - 1)[0] = c"\n"
            text.used = p - text.start
        return taken(&text)
    finally:
        free(text.start)
