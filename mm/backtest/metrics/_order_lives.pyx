# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Order lifetimes read from a journal; single-pass kernels for ``order_lives.py``."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from mm.backtest._account cimport wide
from mm.backtest.fills.base cimport NEVER
from mm.backtest.fills.intensity cimport Intensity
from mm.backtest.metrics._rows_at cimport row_at
from mm.tape._memory cimport prefetch

import numpy as np

from mm.backtest.journal import ACTIONS

cdef int64_t PLACE = ACTIONS.index("PLACE")
cdef int64_t CANCEL_REQ = ACTIONS.index("CANCEL_REQ")
cdef int64_t CANCEL_ACK = ACTIONS.index("CANCEL_ACK")
cdef int64_t CLOSE_FILLED = ACTIONS.index("CLOSE_FILLED")
cdef int64_t EXPIRE = ACTIONS.index("EXPIRE")
cdef int64_t REJECT = ACTIONS.index("REJECT")


def read_lives(const int64_t[:, ::1] orders) -> tuple[int, NDArray[np.int64], int, NDArray[np.int64]]:
    """Return the id of the first order sent, a row per order, the number of cancel requests, and counts of rows.

    Columns: sent_us, active_us, side, ticks, lots, end_us (-1 for an open order) and whether it was rejected. Counts
    are of all rows of *orders*, int64[16, 64], by action and reject reason.
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


cdef enum:
    FEW = 3             # stretches that `add_few` adds
    ROOM = 1 << 14      # stretches of rare distances that are stored
    FETCHED = 7 * 16    # cells by which rows of orders are prefetched


cdef struct Spent:
    int64_t* us             # at rest, by block and bin
    double* fills           # predicted, by block and bin; NULL without an intensity
    int64_t length          # of a block, in µs
    int64_t first_block     # its number since 1970
    int64_t first           # distance, in half ticks
    int64_t width           # of a bin
    int64_t count           # of bins
    int64_t last_us         # end of the data
    int64_t inner           # number of bins of a single distance, from the second one on
    int64_t least           # minimum and maximum distance of resting orders in other bins
    int64_t most
    int64_t (*shared)[3]    # the stretches in these: number of the block, distance and µs,
    int64_t stretches       # and their number, of which the first `ROOM` are stored


def rest(
    const int64_t[:, ::1] lives,
    const int64_t[::1] cuts,
    const int64_t[::1] mid2,
    const int64_t[:, ::1] offsets,
    Intensity intensity,
    const int64_t[::1] piece,
    block_us: int,
    blocks: tuple[int, int],
    int64_t last_us,
    bins: tuple[int, int, int],
) -> tuple[NDArray[np.int64], NDArray[np.float64] | None, tuple[int, int], NDArray[np.int64] | None]:
    """Return time at rest and predicted fills, by block of time and by distance.

    Args:
        lives: As ``read_lives`` returns them.
        cuts: Starts of stretches; each lasts until the next one, the last one until *last_us*.
        mid2: Bid + ask of each stretch, in ticks; 0 without a valid book.
        offsets: Distance of the mid from the intensity's reference price of bids and of asks in each stretch, in 1/8
            tick; empty if that is the mid.
        intensity: Predicts fills.
        piece: Index of its piece in each stretch; -1 for none.
        block_us: Length of a block; no stretch crosses the end of a block.
        blocks: Number of the first block since 1970, and number of blocks.
        last_us: End of the data.
        bins: First distance in half ticks, width of a bin, and number of bins; the outermost two include all nearer or
            farther distances.

    Returns:
        Total µs of orders, int64[blocks, bins]; predicted fills of the same shape, None for an empty intensity; and the
        minimum and maximum distance at which an order rested, (0, -1) if none did. The last array has what the
        outermost two bins, or those wider than one distance, add up: a row per stretch with the number of its block,
        its distance and its µs; None if they are too many.
    """
    cdef bint predicts = len(intensity.rows()) > 0
    rested_us, fills = np.zeros((blocks[1], bins[2]), np.int64), np.zeros((blocks[1] if predicts else 0, bins[2]))
    cdef int64_t[:, ::1] us = rested_us
    cdef double[:, ::1] predicted = fills
    shared = np.empty((ROOM, 3), np.int64)
    cdef int64_t[:, ::1] stretch = shared
    cdef int64_t[::1] last_place = np.full(2 * bins[2], -1)
    cdef double[::1] last_rate = np.empty(2 * bins[2])
    cdef LastRates rates = LastRates(&last_place[0], &last_rate[0], NULL)
    if offsets.shape[0]:
        rates.offsets = &offsets[0, 0]
    cdef Spent spent = Spent(
        &us[0, 0], NULL, block_us, blocks[0], bins[0], bins[1], bins[2], last_us,
        max(bins[2] - 2, 0) if bins[1] == 1 else 0, NEVER, -NEVER, <int64_t (*)[3]> &stretch[0, 0], 0,
    )
    if predicts:
        spent.fills = &predicted[0, 0]
    with nogil:
        if predicts:
            rest_of(lives, cuts, mid2, intensity, &piece[0], &rates, &spent, True, spent.width == 1)
        else:
            rest_of(lives, cuts, mid2, intensity, NULL, NULL, &spent, False, spent.width == 1)
        widen_range(&spent, us)
    if spent.least > spent.most:
        spent.least, spent.most = 0, -1
    shared = shared[: spent.stretches] if spent.stretches <= ROOM else None
    return rested_us, fills if predicts else None, (spent.least, spent.most), shared


cdef struct LastRates:  # by distance and side, as few distances recur often
    int64_t* place          # piece of the rate, and offset of the mid
    double* rate
    const int64_t* offsets  # of the mid, by stretch and side; NULL for none


cdef inline void rest_of(
    const int64_t[:, ::1] lives,
    const int64_t[::1] cuts,
    const int64_t[::1] mid2,
    Intensity intensity,
    const int64_t* piece,
    LastRates* rates,
    Spent* spent,
    bint predicts,
    bint single,
) noexcept nogil:
    """Add the sums that ``rest`` returns; if *single*, a bin is one distance."""
    cdef const int64_t* life = &lives[0, 0]
    cdef const int64_t* us = &cuts[0]
    cdef const int64_t* bid_ask = &mid2[0]
    cdef int64_t cells = cuts.shape[0], i, at, until, from_us, to_us, origin, place, slot, half, offset
    cdef int64_t begun = -1, side, ends = -NEVER, begins = -NEVER, sure_us = -NEVER  # of the block
    cdef int64_t* row = spent.us
    cdef double* row_fills = spent.fills
    cdef bint alone
    for i in range(lives.shape[0]):
        prefetch(life + FETCHED)
        from_us, until = life[1], -1 if life[6] else spent.last_us if life[5] < 0 else life[5]
        while begun >= 0 and us[begun] > from_us:
            begun -= 1
        if begun + 2 < cells:
            begun += (us[begun + 1] <= from_us) + (us[begun + 2] <= from_us)
        while begun + 1 < cells and us[begun + 1] <= from_us:  # few iterations, none if two orders arrive together
            begun += 1
        at = max(begun, 0)
        if until > from_us and at < cells and us[at] < until:
            side, origin = life[2], 2 * life[2] * life[3] + spent.first
            from_us = max(from_us, us[at])
            if not predicts and single and begins <= us[at] and until <= sure_us and at + FEW < cells:
                if add_few(spent, row, us + at, bid_ask + at, side, origin, from_us, until):  # it is in one block
                    at += FEW
                    from_us = min(us[at], until)
            while from_us < until:
                to_us = min(us[at + 1], until) if at + 1 < cells else until
                if bid_ask[at] > 0:
                    if not begins <= us[at] < ends:
                        begins = us[at] / spent.length * spent.length
                        ends = begins + spent.length
                        sure_us = min(ends, us[cells - 1])
                        place = (begins / spent.length - spent.first_block) * spent.count
                        row = spent.us + place
                        if predicts:
                            row_fills = spent.fills + place
                    place = side * bid_ask[at] - origin
                    alone = is_alone(spent, place)
                    if not alone:
                        place = shared_bin(spent, row, place, to_us - from_us)
                    row[place] += to_us - from_us
                    if predicts and piece[at] >= 0:
                        slot = 2 * place + (side > 0) if alone else -1
                        half = side * bid_ask[at] - origin + spent.first
                        offset = rates.offsets[2 * at + (side < 0)] if rates.offsets is not NULL else 0
                        row_fills[place] += 1e-6 * <double> (to_us - from_us) * (
                            rate_of(intensity, rates, slot, piece[at], side, 4 * half - offset, offset)
                        )
                from_us = to_us
                at += 1
        life += 7


cdef inline bint add_few(
    const Spent* spent,
    int64_t* row,
    const int64_t* us,
    const int64_t* bid_ask,
    int64_t side,
    int64_t origin,
    int64_t from_us,
    int64_t until,
) noexcept nogil:
    """Add an order's time in its first three stretches, without a branch: those after its end add 0.

    Return False, and add nothing, if one of them has no valid book or no bin of its own.
    """
    cdef int64_t a = side * bid_ask[0] - origin, b = side * bid_ask[1] - origin, c = side * bid_ask[2] - origin
    cdef int64_t first_us = min(us[1], until), second_us = min(us[2], until), third_us = min(us[3], until)
    if min(min(bid_ask[0], bid_ask[1]), bid_ask[2]) <= 0:
        return False
    if not (is_alone(spent, a) & is_alone(spent, b) & is_alone(spent, c)):
        return False
    row[a] += first_us - from_us
    row[b] += second_us - first_us
    row[c] += third_us - second_us
    return True


cdef inline bint is_alone(const Spent* spent, int64_t place) noexcept nogil:
    """Return whether a distance, *place* half ticks from the first, has a bin of its own, and not an outermost one."""
    return <uint64_t> (place - 1) < <uint64_t> spent.inner


cdef void widen_range(Spent* spent, const int64_t[:, ::1] us) noexcept nogil:
    """Extend the range of distances to the bins of a single distance in which an order rested."""
    cdef int64_t block, i, least = spent.inner + 1, most = 0
    for block in range(us.shape[0]):
        i = 1
        while i < least and us[block, i] == 0:
            i += 1
        least = i
        i = spent.inner
        while i > most and us[block, i] == 0:
            i -= 1
        most = i
    if least <= most:
        spent.least, spent.most = min(spent.least, spent.first + least), max(spent.most, spent.first + most)


cdef int64_t shared_bin(Spent* spent, const int64_t* row, int64_t place, int64_t us) noexcept nogil:
    """Return the shared bin of a stretch, *place* half ticks from the first; store it, and extend the range of distances."""
    if spent.stretches < ROOM:
        spent.shared[spent.stretches][0] = (row - spent.us) // spent.count
        spent.shared[spent.stretches][1], spent.shared[spent.stretches][2] = place + spent.first, us
    spent.stretches += 1
    spent.least, spent.most = min(spent.least, place + spent.first), max(spent.most, place + spent.first)
    return 0 if place < 0 else min(place / spent.width, spent.count - 1)


cdef inline double rate_of(
    Intensity intensity, LastRates* rates, int64_t slot, int64_t piece, int64_t side, int64_t eighths, int64_t offset
) noexcept nogil:
    """Return the fills per second predicted by a *piece*; with a *slot* of 0 or more the last rate is reused."""
    cdef int64_t place = piece + (offset << 24)
    if slot < 0:
        return intensity.rate(piece, side, 0.125 * <double> eighths)
    if rates.place[slot] != place:
        rates.place[slot] = place
        rates.rate[slot] = intensity.rate(piece, side, 0.125 * <double> eighths)
    return rates.rate[slot]


def waits(
    const int64_t[:, ::1] lives, const int64_t[:, ::1] fills, first_id: int, int64_t last_us
) -> tuple[int, int, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the lots of all orders, the number of orders with a partial fill, and four arrays of times in µs.

    From rest to end, of orders that rested and ended; from sending to arrival, of those that arrived; from rest and
    from sending to the first fill, of those with a fill. *lives* are as ``read_lives`` returns them, of orders from
    *first_id* on.
    """
    cdef int64_t orders = lives.shape[0], first = first_id, i, row, ended = 0, arrived = 0, hit = 0, partial = 0
    cdef wide lots = 0
    lifetimes, latencies = np.empty(orders, np.int64), np.empty(orders, np.int64)
    from_rest, from_sending = np.empty(fills.shape[0], np.int64), np.empty(fills.shape[0], np.int64)
    cdef int64_t[::1] lifetime = lifetimes, latency = latencies, resting = from_rest, waiting = from_sending
    cdef uint8_t[::1] has_fill = np.zeros(orders, np.uint8), is_partial = np.zeros(orders, np.uint8)
    with nogil:
        for i in range(orders):  # written unconditionally; a counter advances only if valid (no branch)
            prefetch(&lives[i, 0] + FETCHED)
            lifetime[ended], latency[arrived] = lives[i, 5] - lives[i, 1], lives[i, 1] - lives[i, 0]
            ended += (lives[i, 5] >= 0) & (lives[i, 6] == 0)
            arrived += (lives[i, 5] >= 0) | (lives[i, 1] <= last_us)
            lots += lives[i, 4]
        for i in range(fills.shape[0]):
            row = fills[i, 1] - first
            if not 0 <= row < orders:
                continue
            if fills[i, 4] < lives[row, 4] and not is_partial[row]:
                is_partial[row] = True
                partial += 1
            if not has_fill[row]:
                has_fill[row] = True
                resting[hit], waiting[hit] = fills[i, 0] - lives[row, 1], fills[i, 0] - lives[row, 0]
                hit += 1
    whole = (int(<int64_t> (lots >> 32)) << 32) + int(<int64_t> (lots & 0xFFFFFFFF))
    return whole, int(partial), lifetimes[:ended], latencies[:arrived], from_rest[:hit], from_sending[:hit]


def rested(const int64_t[:, ::1] lives, int64_t last_us) -> NDArray[np.bool_]:
    """Return for each order whether it rested: it arrived by the end of the data, and was not rejected."""
    found = np.empty(lives.shape[0], np.bool_)
    cdef uint8_t[::1] rests = found.view(np.uint8)
    cdef int64_t i
    with nogil:
        for i in range(lives.shape[0]):
            rests[i] = _rests(&lives[i, 0], last_us)
    return found


def any_rested(const int64_t[:, ::1] lives, int64_t last_us) -> bool:
    """Return whether any order rested."""
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
    """Return the instants of *mids* merged with ascending *instants* after its first row, and bid + ask from each on.

    An instant equal to that of a row comes after it.
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


def count_fills(
    const int64_t[:, ::1] fills,
    block_us: int,
    blocks: tuple[int, int],
    bins: tuple[int, int, int],
) -> NDArray[np.float64]:
    """Return the number of fills with a mid by block and by distance, float64[blocks, bins].

    The distance is that of the order from the fill's mid, the last valid one before the event that filled it. *blocks*
    and *bins* are as for ``rest``; the outermost blocks include all earlier or later fills.
    """
    cdef int64_t length = block_us, first_block = blocks[0], last_block = blocks[1] - 1
    cdef int64_t first = bins[0], width = bins[1], last = bins[2] - 1, i, at
    found = np.zeros((blocks[1], bins[2]))
    cdef double[:, ::1] count = found
    if last_block < 0 or last < 0:
        return found
    with nogil:
        for i in range(fills.shape[0]):
            if fills[i, 7] <= 0:
                continue
            at = min(max((fills[i, 2] * (fills[i, 7] - 2 * fills[i, 3]) - first) // width, 0), last)
            count[min(max(fills[i, 0] // length - first_block, 0), last_block), at] += 1
    return found


def outside(
    const int64_t[:, ::1] lives,
    const int64_t[::1] cuts,
    const int64_t[::1] mid2,
    const int64_t[:, ::1] offsets,
    const double[:, ::1] ranges,
    int64_t last_us,
) -> tuple[float, float]:
    """Return the order-seconds with a range of distances, and those at distances outside it.

    Args:
        lives: As ``read_lives`` returns them.
        cuts: Starts of stretches; each lasts until the next one, the last one until *last_us*.
        mid2: Bid + ask of each stretch, in ticks; 0 without a valid book.
        offsets: As for ``rest``.
        ranges: Minimum and maximum distance of each stretch, in ticks; NaN for none.
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
                    if offsets.shape[0]:
                        delta -= 0.125 * <double> offsets[at, lives[i, 2] < 0]
                    total += seconds
                    if delta < ranges[at, 0] or delta > ranges[at, 1]:
                        out += seconds
                at += 1
    return total, out


cdef inline int64_t _end(const int64_t[:, ::1] lives, int64_t i, int64_t last_us) noexcept nogil:
    """Return the instant at which an order stopped resting; before its arrival if it never rested."""
    if lives[i, 6]:
        return -1
    return last_us if lives[i, 5] < 0 else lives[i, 5]


cdef inline double _seconds(const int64_t[::1] cuts, int64_t at, int64_t begin_us, int64_t end_us) noexcept nogil:
    """Return the seconds from *begin_us* to *end_us* that are after cut *at* and before the next."""
    cdef int64_t until = min(end_us, cuts[at + 1]) if at + 1 < cuts.shape[0] else end_us
    return 1e-6 * <double> (until - max(begin_us, cuts[at]))
