# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The lives of orders off a journal, in one pass each: what ``order_lives.py`` adds up."""

from libc.stdint cimport int64_t, uint8_t

from mm.backtest.fills.base cimport NEVER
from mm.backtest.fills.intensity cimport Intensity

import numpy as np

from mm.backtest.journal import ACTIONS

cdef int64_t PLACE = ACTIONS.index("PLACE")
cdef int64_t CANCEL_REQ = ACTIONS.index("CANCEL_REQ")
cdef int64_t CANCEL_ACK = ACTIONS.index("CANCEL_ACK")
cdef int64_t CLOSE_FILLED = ACTIONS.index("CLOSE_FILLED")
cdef int64_t EXPIRE = ACTIONS.index("EXPIRE")
cdef int64_t REJECT = ACTIONS.index("REJECT")


def read_lives(const int64_t[:, ::1] orders) -> tuple[int, NDArray[np.int64], int, NDArray[np.int64]]:
    """Return the id of the first order that was sent, a row for each, how many cancel requests there were, and counts.

    The columns: sent_us, active_us, side, ticks, lots, end_us (-1 while open) and whether it was rejected. Counts are
    of all rows, int64[16, 64], by action and reject reason.
    """
    cdef int64_t i, row, action, first_id = 1, sent = 0
    counts = np.zeros((16, 64), dtype=np.int64)
    cdef int64_t[:, ::1] count = counts
    for i in range(orders.shape[0]):
        count[orders[i, 2], orders[i, 12]] += 1
        if orders[i, 2] == PLACE:
            if sent == 0:
                first_id = orders[i, 1]
            sent += 1
    found = np.empty((7, sent), dtype=np.int64)
    cdef int64_t[:, ::1] lives = found
    sent = 0
    with nogil:
        for i in range(orders.shape[0]):
            action = orders[i, 2]
            if action == PLACE:
                lives[0, sent] = orders[i, 0]
                lives[1, sent] = orders[i, 8]
                lives[2, sent] = orders[i, 4]
                lives[3, sent] = orders[i, 5]
                lives[4, sent] = orders[i, 6]
                lives[5, sent] = -1
                lives[6, sent] = 0
                sent += 1
            elif action == CANCEL_ACK or action == CLOSE_FILLED or action == EXPIRE or action == REJECT:
                row = orders[i, 1] - first_id
                if 0 <= row < sent:
                    lives[5, row] = orders[i, 0]
                    lives[6, row] = action == REJECT
    return first_id, found, int(counts[CANCEL_REQ].sum()), counts


def rest(
    const int64_t[:, ::1] lives,
    const int64_t[::1] cuts,
    const int64_t[::1] mid2,
    Intensity intensity,
    const int64_t[::1] piece,
    const int64_t[::1] window,
    int64_t last_us,
    bins: tuple[int, int, int],
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, int]]:
    """Return how long orders rested and how many fills were predicted, by distance and by window.

    Args:
        lives: As ``read_lives`` returns them.
        cuts: Instants at which something changes; each stretch lasts until the next, the last one until *last_us*.
        mid2: Bid + ask of each stretch, in ticks; 0 for no valid book.
        intensity: What foresees fills.
        piece: Its piece that each stretch lies in; -1 for none.
        window: The window of each stretch.
        last_us: End of the data.
        bins: The first distance in half ticks, the width of a bin, and how many there are.

    Returns:
        float64[bins, 3]: order-seconds, order-seconds times half ticks, predicted fills; float64[windows, 2]: the first
        and the last of them; and the least and the greatest distance at which an order rested, (0, -1) where none did.
        Where these are not in the bins, the sums are of no use.
    """
    cdef int64_t first = bins[0], width = bins[1], count = bins[2], i, at, until, half, place, begun = -1
    cdef int64_t least = NEVER, most = -NEVER
    cdef double seconds, predicted
    cdef bint foresees = len(intensity.rows()) > 0
    by_distance, by_window = np.zeros((count, 3)), np.zeros((window[-1] + 1 if len(window) else 0, 2))
    cdef double[:, ::1] near = by_distance, when = by_window
    with nogil:
        for i in range(lives.shape[1]):
            until = _end(lives, i, last_us)
            begun = _first(cuts, lives[1, i], begun)
            at = begun if until > lives[1, i] else cuts.shape[0]
            while at < cuts.shape[0] and cuts[at] < until:
                if at >= 0 and mid2[at] > 0:
                    half = lives[2, i] * (mid2[at] - 2 * lives[3, i])
                    least, most = min(least, half), max(most, half)
                    place = half - first if width == 1 else (half - first) / width
                    if half < first or place >= count:
                        at += 1
                        continue
                    seconds = _seconds(cuts, at, lives[1, i], until)
                    near[place, 0] += seconds
                    near[place, 1] += seconds * <double> half
                    when[window[at], 0] += seconds
                    if foresees and piece[at] >= 0:
                        predicted = seconds * intensity.rate(piece[at], lives[2, i], 0.5 * <double> half)
                        near[place, 2] += predicted
                        when[window[at], 1] += predicted
                at += 1
    if least > most:
        least, most = 0, -1
    return by_distance, by_window, (least, most)


def waits(
    const int64_t[:, ::1] lives, const int64_t[:, :] fills, first_id: int, int64_t last_us
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return µs from rest to end, from sending to arriving, and from rest and from sending to the first fill.

    Of orders that rested and ended, of those that arrived, and of those that had a fill; *lives* are as
    ``read_lives`` returns them, of orders from *first_id* on.
    """
    cdef int64_t orders = lives.shape[1], first = first_id, i, row, ended = 0, arrived = 0, hit = 0
    lived, took = np.empty(orders, np.int64), np.empty(orders, np.int64)
    from_rest, from_sending = np.empty(fills.shape[0], np.int64), np.empty(fills.shape[0], np.int64)
    cdef int64_t[::1] living = lived, taking = took, resting = from_rest, waiting = from_sending
    cdef uint8_t[::1] met = np.zeros(orders, np.uint8)
    with nogil:
        for i in range(orders):
            if lives[5, i] >= 0 and not lives[6, i]:
                living[ended] = lives[5, i] - lives[1, i]
                ended += 1
            if lives[5, i] >= 0 or lives[1, i] <= last_us:
                taking[arrived] = lives[1, i] - lives[0, i]
                arrived += 1
        for i in range(fills.shape[0]):
            row = fills[i, 1] - first
            if 0 <= row < orders and not met[row]:
                met[row] = True
                resting[hit], waiting[hit] = fills[i, 0] - lives[1, row], fills[i, 0] - lives[0, row]
                hit += 1
    return lived[:ended], took[:arrived], from_rest[:hit], from_sending[:hit]


def outside(
    const int64_t[:, ::1] lives,
    const int64_t[::1] cuts,
    const int64_t[::1] mid2,
    const double[:, ::1] ranges,
    int64_t last_us,
) -> tuple[float, float]:
    """Return the order-seconds that had a range, and those of them in which the order stood outside it.

    Args:
        lives: As ``read_lives`` returns them.
        cuts: Instants at which something changes; each stretch lasts until the next, the last one until *last_us*.
        mid2: Bid + ask of each stretch, in ticks; 0 for no valid book.
        ranges: The nearest and the farthest distance of each stretch, in ticks; NaN where there is none.
        last_us: End of the data.
    """
    cdef int64_t i, at, until, begun = -1
    cdef double seconds, delta, total = 0.0, out = 0.0
    with nogil:
        for i in range(lives.shape[1]):
            until = _end(lives, i, last_us)
            begun = _first(cuts, lives[1, i], begun)
            at = begun if until > lives[1, i] else cuts.shape[0]
            while at < cuts.shape[0] and cuts[at] < until:
                if at >= 0 and mid2[at] > 0 and ranges[at, 0] <= ranges[at, 1]:  # not NaN
                    seconds = _seconds(cuts, at, lives[1, i], until)
                    delta = 0.5 * <double> (lives[2, i] * (mid2[at] - 2 * lives[3, i]))
                    total += seconds
                    if delta < ranges[at, 0] or delta > ranges[at, 1]:
                        out += seconds
                at += 1
    return total, out


cdef inline int64_t _end(const int64_t[:, ::1] lives, int64_t i, int64_t last_us) noexcept nogil:
    """Return when an order stopped resting; before its arrival for one that never rested."""
    if lives[6, i]:
        return -1
    return last_us if lives[5, i] < 0 else lives[5, i]


cdef inline double _seconds(const int64_t[::1] cuts, int64_t at, int64_t begin_us, int64_t end_us) noexcept nogil:
    """Return the seconds of an order's life, from *begin_us* to *end_us*, that lie after cut *at* and before the next."""
    cdef int64_t until = min(end_us, cuts[at + 1]) if at + 1 < cuts.shape[0] else end_us
    return 1e-6 * <double> (until - max(begin_us, cuts[at]))


cdef inline int64_t _first(const int64_t[::1] cuts, int64_t us, int64_t near) noexcept nogil:
    """Return the stretch that an instant lies in, -1 before the first; sought from *near*, where the order before was."""
    while near + 1 < cuts.shape[0] and cuts[near + 1] <= us:
        near += 1
    while near >= 0 and cuts[near] > us:
        near -= 1
    return near
