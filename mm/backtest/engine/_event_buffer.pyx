# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Fed events as columns of a tape, which grow at the end and are cleared at the start."""

from libc.stdint cimport int8_t, int64_t, uint8_t
from libc.string cimport memmove

import numpy as np

from mm.errors import UsageError
from mm.tape._kinds cimport DEPTH, GAP, KEYFRAME, SNAPSHOT, TRADE

cdef int64_t MOST = 1000000000000000    # of ticks and of lots


cdef class EventBuffer:
    def __init__(self) -> None:
        self.event_us, self.recv_seq = np.zeros(1024, np.int64), np.zeros(1024, np.int64)
        self.event_id, self.kind = np.zeros(1024, np.int64), np.zeros(1024, np.uint8)
        self.event_exch_us, self.event_late_us = np.zeros(1024, np.int64), np.zeros(1024, np.int64)
        self.first_row, self.row_side = np.zeros(1025, np.int64), np.zeros(16384, np.int8)
        self.row_ticks, self.row_lots = np.zeros(16384, np.int64), np.zeros(16384, np.int64)
        self.changed = True

    cdef int extend(self, object events, int64_t after_us) except -1:
        """All, or none if one is rejected."""
        cdef int64_t before = self.events, rows = self.rows, fed = self.fed, fed_rows = self.fed_rows, last_us = self.last_us
        cdef bint has_book = self.has_book
        try:
            for event in events:
                self.append(event)
            if self.events > before and self.event_us[before] <= after_us:
                raise UsageError(f"an event at {self.event_us[before]} µs is too late: {after_us} µs has been played")
        except:
            self.events, self.rows, self.fed, self.last_us, self.has_book = before, rows, fed, last_us, has_book
            self.fed_rows = fed_rows
            raise
        return 0

    cdef int append(self, object event) except -1:
        """Everything about a ``FeedEvent`` is checked here, as the kernels that read it check no bounds.

        Raises:
            UsageError: If it is not a valid event.
        """
        cdef int64_t us, recv_seq, event_id, exch_us, late_us, side, ticks, lots, at, row = self.rows
        cdef int kind
        kind, us, recv_seq, event_id, rows, exch_us, late_us = event
        if not SNAPSHOT <= kind <= KEYFRAME or (len(rows) != 1 if kind == TRADE else kind == GAP and len(rows)):
            raise UsageError(f"{event!r} is not an event: a trade has one row, a gap none; see FeedEvent")
        if (kind == DEPTH or kind == KEYFRAME and self.fed) and not self.has_book:
            raise UsageError(f"{event!r} changes a book that is not valid; a SNAPSHOT begins one")
        if us < self.last_us:
            raise UsageError(f"{event!r} happened before the event at {self.last_us} µs; feed them in order")
        self.reserve(self.events + 1, row + len(rows))
        for side, ticks, lots in rows:
            if side != 1 and side != -1 or not 0 < ticks <= MOST or not 0 <= lots <= MOST:
                raise UsageError(f"{event!r}: a row is a side of +1 or -1, ticks from 1 and lots from 0 to {MOST}")
            self.row_side[row], self.row_ticks[row], self.row_lots[row] = side, ticks, lots
            row += 1
        at = self.events
        self.kind[at], self.event_us[at], self.recv_seq[at], self.event_id[at] = kind, us, recv_seq, event_id
        self.event_exch_us[at], self.event_late_us[at] = exch_us, late_us
        if kind == SNAPSHOT or kind == KEYFRAME:
            self.has_book = True
        elif kind == GAP:
            self.has_book = False
        if kind != KEYFRAME:
            self.fed_rows += row - self.rows
        self.first_row[at + 1] = self.rows = row
        self.last_us = us
        self.events += 1
        self.fed += 1
        return 0

    cdef int reserve(self, int64_t events, int64_t rows) except -1:
        """Older views of the columns become stale if they have to grow."""
        if events > self.kind.shape[0]:
            events = 2 * events
            self.changed = True
            self.event_us, self.recv_seq = longer(self.event_us, events), longer(self.recv_seq, events)
            self.event_id, self.kind = longer(self.event_id, events), longer(self.kind, events)
            self.event_exch_us = longer(self.event_exch_us, events)
            self.event_late_us = longer(self.event_late_us, events)
            self.first_row = longer(self.first_row, events + 1)
        if rows > self.row_side.shape[0]:
            rows = 2 * rows
            self.changed = True
            self.row_side = longer(self.row_side, rows)
            self.row_ticks, self.row_lots = longer(self.row_ticks, rows), longer(self.row_lots, rows)
        return 0

    cdef int drop(self, int64_t events) except -1:
        """The others move to the start of the columns."""
        cdef int64_t place, row = self.first_row[events], left = self.events - events, rows = self.rows - row
        memmove(&self.event_us[0], &self.event_us[events], left * sizeof(int64_t))
        memmove(&self.recv_seq[0], &self.recv_seq[events], left * sizeof(int64_t))
        memmove(&self.event_exch_us[0], &self.event_exch_us[events], left * sizeof(int64_t))
        memmove(&self.event_late_us[0], &self.event_late_us[events], left * sizeof(int64_t))
        memmove(&self.event_id[0], &self.event_id[events], left * sizeof(int64_t))
        memmove(&self.kind[0], &self.kind[events], left * sizeof(uint8_t))
        for place in range(left + 1):
            self.first_row[place] = self.first_row[place + events] - row
        memmove(&self.row_side[0], &self.row_side[row], rows * sizeof(int8_t))
        memmove(&self.row_ticks[0], &self.row_ticks[row], rows * sizeof(int64_t))
        memmove(&self.row_lots[0], &self.row_lots[row], rows * sizeof(int64_t))
        self.events, self.rows = left, rows
        return 0


cdef object longer(object column, int64_t size):
    held = np.asarray(column)
    with_room = np.zeros(size, held.dtype)
    with_room[: len(held)] = held
    return with_room
