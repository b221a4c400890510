# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The lives of orders off a journal, in one pass each: what ``order_lives.py`` adds up."""

from libc.stdint cimport int64_t, uint8_t

from mm.backtest._account cimport wide
from mm.backtest.fills.base cimport NEVER
from mm.backtest.fills.intensity cimport Intensity
from mm.backtest.metrics._rows_at cimport row_at

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
    found = np.empty((sent, 7), dtype=np.int64)
    cdef int64_t[:, ::1] lives = found
    sent = 0
    with nogil:
        for i in range(orders.shape[0]):
            action = orders[i, 2]
            if action == PLACE:
                lives[sent, 0] = orders[i, 0]
                lives[sent, 1] = orders[i, 8]
                lives[sent, 2] = orders[i, 4]
                lives[sent, 3] = orders[i, 5]
                lives[sent, 4] = orders[i, 6]
                lives[sent, 5] = -1
                lives[sent, 6] = 0
                sent += 1
            elif action == CANCEL_ACK or action == CLOSE_FILLED or action == EXPIRE or action == REJECT:
                row = orders[i, 1] - first_id
                if 0 <= row < sent:
                    lives[row, 5] = orders[i, 0]
                    lives[row, 6] = action == REJECT
    return first_id, found, int(counts[CANCEL_REQ].sum()), counts


def rest(
    const int64_t[:, ::1] lives,
    const int64_t[::1] cuts,
    const int64_t[::1] mid2,
    Intensity intensity,
    const int64_t[::1] piece,
    block_us: int,
    blocks: tuple[int, int],
    int64_t last_us,
    bins: tuple[int, int, int],
) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Return how long orders rested and how many fills were predicted, by block of time and by distance.

    Args:
        lives: As ``read_lives`` returns them.
        cuts: Instants at which something changes; each stretch lasts until the next, the last one until *last_us*.
        mid2: Bid + ask of each stretch, in ticks; 0 for no valid book.
        intensity: What predicts fills.
        piece: Its piece that each stretch lies in; -1 for none.
        block_us: Length of a block; a stretch lies in one.
        blocks: The number of the first one since 1970, and how many there are.
        last_us: End of the data.
        bins: The first distance in half ticks, the width of a bin, and how many there are; the outermost two hold what
            is nearer or farther, too.

    Returns:
        float64[blocks, bins, 2]: order-seconds and predicted fills; and the least and the greatest distance at which an
        order rested, (0, -1) where none did.
    """
    cdef int64_t first = bins[0], width = bins[1], count = bins[2], i, at, half, place, begun = -1
    cdef int64_t until, since, side, price2, least = NEVER, most = -NEVER
    cdef double* sums
    cdef double seconds
    cdef bint predicts = len(intensity.rows()) > 0, single = bins[1] == 1  # a division costs more than all the rest
    cdef int64_t block = 0, length = block_us, first_of = blocks[0], ends = -NEVER, cells = cuts.shape[0]
    found = np.zeros((blocks[1], count, 2))
    cdef double[:, :, ::1] spent = found
    cdef int64_t known  # by distance and side, the rate of the last piece: orders meet few of them again and again
    cdef double[::1] known_rate = np.empty(2 * count)
    cdef int64_t[::1] known_piece = np.full(2 * count, -1)
    with nogil:
        for i in range(lives.shape[0]):
            until, since, side, price2 = _end(lives, i, last_us), lives[i, 1], lives[i, 2], 2 * lives[i, 3]
            begun = row_at(&cuts[0], 1, cells, since, begun)
            at = max(begun, 0) if until > since else cells
            while at < cells and cuts[at] < until:
                at += 1
                if mid2[at - 1] <= 0:
                    continue
                half = side * (mid2[at - 1] - price2)
                least, most = min(least, half), max(most, half)
                place = half - first if single else (half - first) / width
                place = 0 if half < first else min(place, count - 1)
                if not ends - length <= cuts[at - 1] < ends:
                    block = cuts[at - 1] / length
                    ends = (block + 1) * length
                    block -= first_of
                seconds = 1e-6 * <double> ((min(until, cuts[at]) if at < cells else until) - max(since, cuts[at - 1]))
                sums = &spent[block, place, 0]
                sums[0] += seconds
                if not predicts or piece[at - 1] < 0:
                    continue
                if not single or place != half - first:  # one of several distances of its bin
                    sums[1] += seconds * intensity.rate(piece[at - 1], side, 0.5 * <double> half)
                    continue
                known = 2 * place + (side > 0)
                if known_piece[known] != piece[at - 1]:
                    known_piece[known] = piece[at - 1]
                    known_rate[known] = intensity.rate(piece[at - 1], side, 0.5 * <double> half)
                sums[1] += seconds * known_rate[known]
    if least > most:
        least, most = 0, -1
    return found, (least, most)


def waits(
    const int64_t[:, ::1] lives, const int64_t[:, ::1] fills, first_id: int, int64_t last_us
) -> tuple[int, int, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the lots of all orders, how many have a fill smaller than themselves, and how long they took, in µs.

    From rest to end, of orders that rested and ended; from sending to arriving, of those that arrived; from rest and
    from sending to the first fill, of those that had one. *lives* are as ``read_lives`` returns them, of orders from
    *first_id* on.
    """
    cdef int64_t orders = lives.shape[0], first = first_id, i, row, ended = 0, arrived = 0, hit = 0, partial = 0
    cdef wide lots = 0
    lived, took = np.empty(orders, np.int64), np.empty(orders, np.int64)
    from_rest, from_sending = np.empty(fills.shape[0], np.int64), np.empty(fills.shape[0], np.int64)
    cdef int64_t[::1] living = lived, taking = took, resting = from_rest, waiting = from_sending
    cdef uint8_t[::1] met = np.zeros(orders, np.uint8), parted = np.zeros(orders, np.uint8)
    with nogil:
        for i in range(orders):  # each is written, and counts where it is one
            living[ended], taking[arrived] = lives[i, 5] - lives[i, 1], lives[i, 1] - lives[i, 0]
            ended += (lives[i, 5] >= 0) & (lives[i, 6] == 0)
            arrived += (lives[i, 5] >= 0) | (lives[i, 1] <= last_us)
            lots += lives[i, 4]
        for i in range(fills.shape[0]):
            row = fills[i, 1] - first
            if not 0 <= row < orders:
                continue
            if fills[i, 4] < lives[row, 4] and not parted[row]:
                parted[row] = True
                partial += 1
            if not met[row]:
                met[row] = True
                resting[hit], waiting[hit] = fills[i, 0] - lives[row, 1], fills[i, 0] - lives[row, 0]
                hit += 1
    whole = (int(<int64_t> (lots >> 32)) << 32) + int(<int64_t> (lots & 0xFFFFFFFF))
    return whole, int(partial), lived[:ended], took[:arrived], from_rest[:hit], from_sending[:hit]


def rested(const int64_t[:, ::1] lives, int64_t last_us) -> NDArray[np.bool_]:
    """Return of each order whether it came to rest: it arrived by the end of the data, and was not rejected."""
    found = np.empty(lives.shape[0], np.bool_)
    cdef uint8_t[::1] rests = found.view(np.uint8)
    cdef int64_t i
    with nogil:
        for i in range(lives.shape[0]):
            rests[i] = _rests(&lives[i, 0], last_us)
    return found


def any_rested(const int64_t[:, ::1] lives, int64_t last_us) -> bool:
    """Return whether one of the orders came to rest."""
    cdef int64_t i
    for i in range(lives.shape[0]):
        if _rests(&lives[i, 0], last_us):
            return True
    return False


cdef inline bint _rests(const int64_t* life, int64_t last_us) noexcept nogil:
    return ((life[1] <= last_us) | (life[5] != -1)) & (life[6] == 0)


def cut_at(
    const int64_t[:, ::1] mids, const int64_t[::1] instants
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the instants of *mids* and the rising *instants* after the first of them, and bid + ask from each on.

    One at the same instant as a row comes after it.
    """
    cdef int64_t rows = mids.shape[0], more = instants.shape[0], i, at = 0, place = 0
    us, mid2 = np.empty(rows + more, np.int64), np.empty(rows + more, np.int64)
    cdef int64_t[::1] cut_us = us, cut_mid2 = mid2
    with nogil:
        for i in range(rows):
            while at < more and instants[at] < mids[i, 0]:
                cut_us[place], cut_mid2[place] = instants[at], mids[i - 1, 1]
                place += 1
                at += 1
            cut_us[place], cut_mid2[place] = mids[i, 0], mids[i, 1]
            place += 1
        while at < more:
            cut_us[place], cut_mid2[place] = instants[at], mids[rows - 1, 1]
            place += 1
            at += 1
    return us, mid2


def distances_before(const int64_t[:, ::1] fills, const int64_t[:, ::1] mids) -> NDArray[np.int64]:
    """Return how far each order stood from the mid until its fill, in half ticks, also if the book moved onto it.

    Before the first row of *mids* that counts, and where no book was valid until then, the fill's own mid does.
    """
    found = np.empty(fills.shape[0], np.int64)
    cdef int64_t[::1] half_ticks = found
    cdef int64_t i, at = -1, before
    with nogil:
        for i in range(fills.shape[0]):
            at = row_at(&mids[0, 0], 2, mids.shape[0], fills[i, 0] - 1, at)
            before = mids[max(at, 0), 1] if mids.shape[0] else 0
            if before <= 0:
                before = fills[i, 7]
            half_ticks[i] = fills[i, 2] * (before - 2 * fills[i, 3])
    return found


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
        for i in range(lives.shape[0]):
            until = _end(lives, i, last_us)
            begun = row_at(&cuts[0], 1, cuts.shape[0], lives[i, 1], begun)
            at = max(begun, 0) if until > lives[i, 1] else cuts.shape[0]
            while at < cuts.shape[0] and cuts[at] < until:
                if mid2[at] > 0 and ranges[at, 0] <= ranges[at, 1]:  # not NaN
                    seconds = _seconds(cuts, at, lives[i, 1], until)
                    delta = 0.5 * <double> (lives[i, 2] * (mid2[at] - 2 * lives[i, 3]))
                    total += seconds
                    if delta < ranges[at, 0] or delta > ranges[at, 1]:
                        out += seconds
                at += 1
    return total, out


cdef inline int64_t _end(const int64_t[:, ::1] lives, int64_t i, int64_t last_us) noexcept nogil:
    """Return when an order stopped resting; before its arrival for one that never rested."""
    if lives[i, 6]:
        return -1
    return last_us if lives[i, 5] < 0 else lives[i, 5]


cdef inline double _seconds(const int64_t[::1] cuts, int64_t at, int64_t begin_us, int64_t end_us) noexcept nogil:
    """Return the seconds of an order's life, from *begin_us* to *end_us*, that lie after cut *at* and before the next."""
    cdef int64_t until = min(end_us, cuts[at + 1]) if at + 1 < cuts.shape[0] else end_us
    return 1e-6 * <double> (until - max(begin_us, cuts[at]))
