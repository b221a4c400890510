# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Order states over time, in one pass over the orders of a run: the kernel of ``resting_states.py``.

Why compiled: about ten stretches per order, each from a merge of seven sequences of instants. For 14 busy hours of
orders that follow the mid these are two million stretches, which took seconds and 300 MB as array columns.
"""

from collections.abc import Sequence

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, realloc

from mm.backtest.metrics._rows_at cimport row_at

import numpy as np
from numpy.typing import NDArray

RESTED_US = 1_000_000  # time at rest from which on an order counts as rested for long
NOWHERE = 1 << 62  # the distance of an order that was sent without a valid book

cdef int64_t RESTED = RESTED_US, UNKNOWN = NOWHERE


cdef struct State:  # the columns of `Stretches.states`, in order
    int64_t sent
    int64_t stands
    int64_t move
    int64_t level
    int64_t touch
    int64_t deviation
    int64_t swept


cdef struct Stretch:
    int64_t begin_us
    int64_t spent_us
    int64_t state


cdef enum:
    FLOW, SWEPT, SPREAD, DEVIATION, MARKET  # the paths of a market, in order, and their number


cdef struct Path:  # a step function of time: the number from each instant on
    const int64_t* us
    const int64_t* number
    int64_t rows


cdef struct Place:
    int64_t row   # current row of the path of the mid
    int64_t[2][MARKET] at  # current row of each path of the market, by side
    int64_t also  # the last additional cut, -1 before the first


cdef class LifeStates:
    """The states of the orders of a run, from its path of the mid and its market paths; each state is stored once.

    Args:
        lives: int64[orders, 7], the table of `Lives`.
        rested: Whether each order rested in the book.
        sent: Distance at which each was sent, in half ticks; `NOWHERE` without a valid book.
        path: Instants at which the mid changed, and bid + ask from then on (0: no valid book).
        recent_us: Time for which a move of the mid counts as recent.
        market: For each path of `MarketPaths`, that of buys and that of sells: instants, and the number from then on;
            the first number also applies before the first instant.
    """

    cdef const int64_t[:, ::1] lives
    cdef const uint8_t[::1] rested
    cdef const int64_t[::1] sent, us, mid2
    cdef int64_t recent_us
    cdef list columns  # keeps the arrays of the market alive
    cdef Path[2][MARKET] market
    cdef State* table
    cdef int64_t* slots  # hash table: the number of a state plus one; 0 is free
    cdef int64_t states, slot_mask

    def __cinit__(
        self,
        const int64_t[:, ::1] lives,
        const uint8_t[::1] rested,
        const int64_t[::1] sent,
        path: tuple[NDArray[np.int64], NDArray[np.int64]],
        int64_t recent_us,
        market: Sequence[Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]],
    ) -> None:
        cdef int64_t side, one
        cdef const int64_t[::1] at, number
        self.lives, self.rested, self.sent = lives, rested, sent
        (self.us, self.mid2), self.recent_us = path, recent_us
        if not lives.shape[0] == rested.shape[0] == sent.shape[0]:
            raise ValueError("states: columns of unequal length of the orders")
        if self.us.shape[0] != self.mid2.shape[0]:
            raise ValueError("states: columns of unequal length of the path")
        if len(market) != MARKET:
            raise ValueError(f"states: {len(market)} paths of the market, not {MARKET}")
        self.columns = []
        for one in range(MARKET):
            for side in range(2):
                at, number = market[one][side]
                if not at.shape[0] == number.shape[0] >= np.any(path[1]):
                    raise ValueError("states: no path of a market with a valid book, or columns of unequal length")
                self.columns.append((at, number))
                if at.shape[0]:
                    self.market[side][one] = Path(&at[0], &number[0], at.shape[0])
        self.slot_mask = -1

    def __dealloc__(self) -> None:
        free(self.table)
        free(self.slots)

    def stretches(
        self, int64_t start_us, int64_t end_us, const int64_t[::1] also
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return begin and length of each stretch in ``[start, end)``, in µs, and the number of its state.

        Args:
            start_us: Start.
            end_us: End, exclusive.
            also: Ascending instants at which stretches are cut, in addition to the changes of state.
        """
        cdef Stretch* found = NULL
        cdef int64_t count = 0, room = 0, order
        cdef Place place = before_first()
        try:
            with nogil:
                for order in range(self.lives.shape[0]):
                    if self.us.shape[0] and self.rested[order] and self.sent[order] < UNKNOWN:
                        self.follow(order, start_us, end_us, also, &place, &found, &count, &room)
            columns = np.empty((3, count), np.int64)
            self.copy(found, count, columns)
        finally:
            free(found)
        return columns[0], columns[1], columns[2]

    cdef void copy(self, const Stretch* found, int64_t count, int64_t[:, ::1] columns) noexcept:
        cdef int64_t at
        for at in range(count):
            columns[0, at], columns[1, at] = found[at].begin_us, found[at].spent_us
            columns[2, at] = found[at].state

    cdef int follow(
        self,
        int64_t order,
        int64_t start_us,
        int64_t end_us,
        const int64_t[::1] also,
        Place* place,
        Stretch** found,
        int64_t* count,
        int64_t* room,
    ) except -1 nogil:
        """Append the stretches of one order; the search starts from *place*, the rows of the order before."""
        cdef const int64_t* life = &self.lives[order, 0]
        cdef int64_t us = max(life[1], start_us, self.us[0]), until, one, side = 0 if life[2] > 0 else 1
        cdef const Path* market = self.market[side]
        if life[5] >= 0:
            end_us = min(end_us, life[5])
        if us >= end_us:
            return 0
        self.seek(us, side, also, place)
        while us < end_us:
            until = end_us
            if place.row + 1 < self.us.shape[0]:
                until = min(until, self.us[place.row + 1])
            for one in range(MARKET):
                if place.at[side][one] + 1 < market[one].rows:
                    until = min(until, market[one].us[place.at[side][one] + 1])
            until = earlier(until, self.us[place.row] + self.recent_us, us)
            until = earlier(until, life[1] + RESTED, us)
            if place.also + 1 < also.shape[0]:
                until = min(until, also[place.also + 1])
            if self.mid2[place.row] > 0:
                if count[0] == room[0]:
                    grow(found, room)
                found[0][count[0]] = Stretch(us, until - us, self.number(order, us, place))
                count[0] += 1
            us = until
            self.seek(us, side, also, place)
        return 0

    cdef void seek(self, int64_t us, int64_t side, const int64_t[::1] also, Place* place) noexcept nogil:
        """Set *place* to the rows at an instant: the mid, the paths of one side, and the cuts."""
        cdef int64_t one
        cdef const Path* path
        place.row = row_at(&self.us[0], 1, self.us.shape[0], us, place.row)
        for one in range(MARKET):
            path = &self.market[side][one]
            place.at[side][one] = row_at(path.us, 1, path.rows, us, place.at[side][one])
        if also.shape[0]:
            place.also = row_at(&also[0], 1, also.shape[0], us, place.also)

    def filled(self, const int64_t[::1] us, const int64_t[::1] order) -> NDArray[np.int64]:
        """Return the number of the state of orders just before instants; -1 without a valid book.

        Args:
            us: int64[n], ascending.
            order: int64[n], rows of the orders.
        """
        cdef int64_t at
        cdef Place place = before_first()
        if us.shape[0] != order.shape[0]:
            raise ValueError("states: columns of unequal length of the instants")
        found = np.full(us.shape[0], -1, np.int64)
        cdef int64_t[::1] numbers = found
        if self.us.shape[0] == 0:
            return found
        for at in range(us.shape[0]):
            if not 0 <= order[at] < self.lives.shape[0]:
                raise ValueError(f"states: order {order[at]} of {self.lives.shape[0]}")
            self.seek(us[at] - 1, 0 if self.lives[order[at], 2] > 0 else 1, numbers[:0], &place)
            if place.row >= 0 and self.mid2[place.row] > 0 and self.sent[order[at]] < UNKNOWN:
                numbers[at] = self.number(order[at], us[at] - 1, &place)
        return found

    def met(self) -> NDArray[np.int64]:
        """Return the distinct states so far, int64[n, 7], with the columns of `Stretches`."""
        found = np.empty((self.states, 7), np.int64)
        cdef int64_t[:, ::1] rows = found
        cdef int64_t at
        for at in range(self.states):
            rows[at, 0], rows[at, 1] = self.table[at].sent, self.table[at].stands
            rows[at, 2], rows[at, 3] = self.table[at].move, self.table[at].level
            rows[at, 4], rows[at, 5] = self.table[at].touch, self.table[at].deviation
            rows[at, 6] = self.table[at].swept
        return found

    cdef int64_t number(self, int64_t order, int64_t us, const Place* place) except -1 nogil:
        """Return the number of the state of an order at an instant; a new state is added and gets the next number."""
        cdef const int64_t* life = &self.lives[order, 0]
        cdef int64_t side = life[2], mid2 = self.mid2[place.row], before = self.mid2[max(place.row - 1, 0)]
        cdef int64_t own = 0 if side > 0 else 1, slot, at
        cdef State state = State(self.sent[order], side * (mid2 - 2 * life[3]), 0, us - life[1] >= RESTED, 0, 0, 0)
        cdef int64_t behind = state.stands - self.path_value(own, SPREAD, place)
        if before > 0:
            state.move = (side * (mid2 - before) < 0) + 2 * (us - self.us[place.row] < self.recent_us)
        state.touch = (behind > 0) - (behind < 0)
        state.level += 2 * self.path_value(own, FLOW, place)
        state.deviation, state.swept = self.path_value(own, DEVIATION, place), self.path_value(own, SWEPT, place)
        if 2 * self.states > self.slot_mask:
            self.widen()
        slot = hashed(&state) & self.slot_mask
        while self.slots[slot]:
            at = self.slots[slot] - 1
            if same(&self.table[at], &state):
                return at
            slot = (slot + 1) & self.slot_mask
        self.table[self.states] = state
        self.states += 1
        self.slots[slot] = self.states
        return self.states - 1

    cdef int64_t path_value(self, int64_t side, int64_t path, const Place* place) noexcept nogil:
        """Return the current value of a market path of a side."""
        return self.market[side][path].number[max(place.at[side][path], 0)]

    cdef int widen(self) except -1 nogil:
        """Make room for twice as many states."""
        cdef int64_t size = max(2 * (self.slot_mask + 1), 1024), at, slot
        cdef State* table = <State*> realloc(self.table, size * sizeof(State))
        cdef int64_t* slots = <int64_t*> calloc(size, sizeof(int64_t))
        if table is not NULL:
            self.table = table
        if table is NULL or slots is NULL:
            free(slots)
            with gil:
                raise MemoryError("no memory for the states of orders")
        free(self.slots)
        self.slots, self.slot_mask = slots, size - 1
        for at in range(self.states):
            slot = hashed(&self.table[at]) & self.slot_mask
            while slots[slot]:
                slot = (slot + 1) & self.slot_mask
            slots[slot] = at + 1
        return 0


cdef Place before_first() noexcept nogil:
    """Return the place before the first row of each path."""
    cdef Place place
    cdef int64_t one
    place.row = place.also = -1
    for one in range(MARKET):
        place.at[0][one] = place.at[1][one] = -1
    return place


cdef inline int64_t earlier(int64_t until, int64_t instant, int64_t us) noexcept nogil:
    """Return *instant* if it is between now (*us*) and *until*, else *until*."""
    return instant if us < instant < until else until


cdef inline uint64_t hashed(const State* state) noexcept nogil:
    cdef uint64_t mixed = <uint64_t> state.sent * <uint64_t> 0x9E3779B97F4A7C15
    mixed ^= (<uint64_t> state.stands * 16384 + state.touch * 4096 + state.move * 1024 + state.level) * <uint64_t> 0xC2B2AE3D27D4EB4F
    mixed ^= <uint64_t> (state.deviation * 64 + state.swept) * <uint64_t> 0x165667B19E3779F9
    return mixed ^ (mixed >> 29)


cdef inline bint same(const State* one, const State* other) noexcept nogil:
    return (
        one.sent == other.sent
        and one.stands == other.stands
        and one.move == other.move
        and one.level == other.level
        and one.touch == other.touch
        and one.deviation == other.deviation
        and one.swept == other.swept
    )


cdef int grow(Stretch** found, int64_t* room) except -1 nogil:
    """Make room for twice as many stretches."""
    cdef int64_t size = max(2 * room[0], 4096)
    cdef Stretch* longer = <Stretch*> realloc(found[0], size * sizeof(Stretch))
    if longer is NULL:
        with gil:
            raise MemoryError("no memory for the stretches of orders")
    found[0], room[0] = longer, size
    return 0
