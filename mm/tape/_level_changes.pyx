# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The rows of a tape's books, sorted by side and price in one pass over the counts of each."""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t

import numpy as np

from mm.tape._kinds cimport DEPTH, SNAPSHOT


def by_price(
    const uint8_t[::1] kind,
    const int64_t[::1] first_row,
    const int8_t[::1] row_side,
    const int64_t[::1] slot,
    const int64_t[::1] row_lots,
    int64_t least,
    int64_t slots,
    bint framed,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows of all DEPTH and SNAPSHOT events by slot and side, in order of time within each.

    Args:
        kind, first_row, row_side, row_lots: The columns of the tape.
        slot: Of each row, the number of its price; numbers lie in ``least`` … ``least + slots - 1``.
        least: The least of them.
        slots: How many there are.
        framed: Whether the rows of the first event count, whatever its kind.

    Returns:
        Where the rows of ``2 * (slot - least) + is_bid`` begin, int64[2 * slots + 1]; of each row its event, int32[n],
        and its lots, int64[n].
    """
    cdef int64_t event, row, at, total = 0, events = kind.shape[0]
    begins_of = np.zeros(2 * slots + 1, np.int64)
    cdef int64_t[::1] begins = begins_of
    cdef int64_t[::1] place
    cdef int32_t[::1] events_out
    cdef int64_t[::1] lots_out
    with nogil:
        for event in range(events):
            if kind[event] == DEPTH or kind[event] == SNAPSHOT or (event == 0 and framed):
                for row in range(first_row[event], first_row[event + 1]):
                    begins[2 * (slot[row] - least) + (row_side[row] > 0) + 1] += 1
        for at in range(2 * slots):
            begins[at + 1] += begins[at]
        total = begins[2 * slots]
    of_event, of_lots = np.empty(total, np.int32), np.empty(total, np.int64)
    places = begins_of[:-1].copy()
    place, events_out, lots_out = places, of_event, of_lots
    with nogil:
        for event in range(events):
            if kind[event] == DEPTH or kind[event] == SNAPSHOT or (event == 0 and framed):
                for row in range(first_row[event], first_row[event + 1]):
                    at = 2 * (slot[row] - least) + (row_side[row] > 0)
                    events_out[place[at]] = <int32_t> event
                    lots_out[place[at]] = row_lots[row]
                    place[at] += 1
    return begins_of, of_event, of_lots
