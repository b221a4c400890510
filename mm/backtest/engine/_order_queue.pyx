# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Queue positions and fills of our orders by every order of the market (`mm.tape.order_index`).

Our order joins its price behind all orders that are there: its rank is the number of steps so far, so those that joined
at an earlier step are ahead of it. It is reached by the first meet that proves that nothing is ahead: an execution at
its price of an order that joined later, one beyond its price, or an order of the other side that reaches its price and
rests or expires with lots left. All meets of one order of the market are one fill: what it executed or had left from
the first such meet on, less what our orders before took: executions against nothing displayed first, then what it did
last, as it would have had less left then.
"""

cimport cython
from libc.stdint cimport int8_t, int32_t, int64_t

from libc.stdlib cimport free, malloc

from mm.backtest.engine._market cimport first_from, first_of
from mm.backtest.engine._own_orders cimport OpenOrders, Ranked
from mm.backtest.fills.base cimport NEVER, SENT, Order

cdef int64_t UNREAD = -2    # the level of an order has not been looked up since it came to rest
cdef int32_t UNRANKED = 2147483647  # as in the index: nothing displayed was executed
cdef int64_t FARTHEST = 256    # meets looked at in one search: a change of our orders begins another one


@cython.final
cdef class OrderQueue:
    def __dealloc__(self) -> None:
        free(self.left)

    cdef int begin_tape(self, object index, object reading, object tape, object feed, OpenOrders* open) except -1:
        """Begin a tape with the orders of its day, under a reading of its executions."""
        cdef const int64_t[::1] step_us, meet_us
        cdef const int64_t[::1] level = index.level, begin = index.begin, bid = index.top_bid, ask = index.top_ask
        cdef const OrderChange[::1] change = index.change
        cdef const Meet[::1] meet = index.meets(reading)
        cdef const int32_t[::1] top_step = index.top_step, near = index.near
        cdef int64_t i
        times = index.at(tape, feed)
        step_us, meet_us = times
        self.owners, self.attached = (index, meet, times), True
        self.step_us, self.meet_us = first_of(step_us), first_of(meet_us)
        self.level, self.begin = first_of(level), first_of(begin)
        self.best[0], self.best[1] = first_of(ask), first_of(bid)
        self.change = &change[0] if change.shape[0] else NULL
        self.meet = &meet[0] if meet.shape[0] else NULL
        self.near, self.nears = &near[0] if near.shape[0] else NULL, near.shape[0]
        self.top_step = &top_step[0] if top_step.shape[0] else NULL
        self.steps, self.meets = step_us.shape[0], meet_us.shape[0]
        self.levels, self.tops = level.shape[0], top_step.shape[0]
        self.passed = self.met = self.top_at = self.near_at = 0
        if self.steps:  # orders of ours that rest over its beginning stand behind its first book
            self.pass_time(self.step_us[0] + 1)
        for i in range(open.count):
            if open.orders[i].status != SENT:
                self.rest(&open.orders[i])
        return 0

    cdef void pass_time(self, int64_t us) noexcept nogil:
        self.passed = first_at(self.step_us, self.passed, self.steps, us)
        self.met = first_at(self.meet_us, self.met, self.meets, us)
        while self.top_at < self.tops and self.top_step[self.top_at] < self.passed:
            self.top_at += 1

    cdef bint crosses(self, const Order* order) noexcept nogil:
        """Whether an order of the other side rests at an arriving order's price, or at a better one."""
        cdef int64_t other
        if self.top_at == 0:
            return False
        other = self.best[order.side < 0][self.top_at - 1]
        return other > 0 and order.side * (order.ticks - other) >= 0

    cdef void rest(self, Order* order) noexcept nogil:
        order.joined_at, order.level_begin = self.passed, UNREAD

    cdef int64_t reaching(self, const OpenOrders* open) noexcept nogil:
        """All lots of the next order of the market are left.

        The first order of a side is reached before all others, so only its price and rank are compared.
        """
        cdef int64_t at, i, stop, sell = 0, buy = 0
        cdef bint near = True   # whether no order of the other side reaches ours yet
        cdef const Meet* meet
        cdef int64_t sell_ticks = open.nearest[0], buy_ticks = open.nearest[1]
        if open.resting[0]:
            sell = open.ranked[0][0].order.joined_at
            near = not self.crosses(open.ranked[0][0].order)
        else:
            sell_ticks = NEVER
        if open.resting[1]:
            buy = open.ranked[1][0].order.joined_at
            near &= not self.crosses(open.ranked[1][0].order)
        else:
            buy_ticks = -1
        if sell_ticks == NEVER and buy_ticks == -1:
            return NEVER
        while self.near_at < self.nears and self.near[self.near_at] < self.met:
            self.near_at += 1
        i = self.near_at if near else self.met
        stop = min(i + FARTHEST, self.nears if near else self.meets)
        while i < stop:
            at = self.near[i] if near else i
            meet = &self.meet[at]
            if meet.side > 0:
                if meet.ticks >= sell_ticks and (meet.ticks > sell_ticks or meet.joined >= sell):
                    return self.meet_us[at]
            elif meet.ticks <= buy_ticks and (meet.ticks < buy_ticks or meet.joined >= buy):
                return self.meet_us[at]
            i += 1
        if i == (self.nears if near else self.meets):
            return NEVER
        return self.meet_us[self.near[i] if near else i]

    cdef int begin_meets(self) except -1 nogil:
        cdef int64_t i, at = self.met + 1
        while at < self.meets and not self.meet[at].begins:
            at += 1
        self.several = at - self.met
        if self.several > self.room:
            free(self.left)
            self.room = 2 * self.several + 16
            self.left = <int64_t*> malloc(self.room * sizeof(int64_t))
            if self.left is NULL:
                self.room = 0
                with gil:
                    raise MemoryError(f"no memory for {self.several} executions of one order")
        for i in range(self.several):
            self.left[i] = self.meet[self.met + i].lots
        return 0

    cdef void end_meets(self) noexcept nogil:
        """`kind` is set to the first meet that left some."""
        self.met += self.several

    cdef int64_t left_for(self, const Order* order) noexcept nogil:
        """The lots left for an order of ours; `kind` is set to the first meet that left some."""
        cdef int64_t i, lots = 0
        for i in range(self.several):
            if self.left[i] and meets(&self.meet[self.met + i], order.side, order.ticks, order.joined_at):
                if lots == 0:
                    self.kind = self.meet[self.met + i].kind
                lots += self.left[i]
        return lots

    cdef void take(self, const Order* order, int64_t lots) noexcept nogil:
        """No more than `left_for` the order."""
        cdef int64_t i, part
        cdef const Meet* meet
        for i in range(2 * self.several):
            meet = &self.meet[self.met + (i if i < self.several else 2 * self.several - 1 - i)]
            if i < self.several and (meet.kind or meet.joined != UNRANKED):
                continue
            if meets(meet, order.side, order.ticks, order.joined_at):
                part = min(lots, self.left[meet - &self.meet[self.met]])
                self.left[meet - &self.meet[self.met]] -= part
                lots -= part

    cdef void settle(self, OpenOrders* open, int64_t step_lots) noexcept nogil:
        """Update the lots ahead of all resting orders, in order steps."""
        cdef int64_t i, at, before
        cdef Order* order
        for i in range(open.count):
            order = &open.orders[i]
            if order.status == SENT or order.joined_at < 0:  # on its way, or about to join
                continue
            if order.level_begin == UNREAD:
                self.find(order)
            at = order.level_next
            while at < order.level_stop and self.change[at].step < self.passed:
                if self.change[at].joined < order.joined_at:
                    before = self.change[at - 1].lots if at > order.level_begin else 0
                    order.level_lots += self.change[at].lots - before
                at += 1
            order.level_next = at
            order.ahead_lots = max(<double> order.level_lots / <double> step_lots, 0.0)

    cdef void find(self, Order* order) noexcept nogil:
        """Look up the level of an order as of the step at which it joined; `level_lots` are the lots ahead of it."""
        cdef int64_t key = 2 * order.ticks + (order.side > 0), at = first_at(self.level, 0, self.levels, key), low, high, middle
        order.level_begin = order.level_next = order.level_stop = order.level_lots = 0
        if at == self.levels or self.level[at] != key:
            return
        order.level_begin, order.level_stop = self.begin[at], self.begin[at + 1]
        low, high = order.level_begin, order.level_stop
        while low < high:
            middle = (low + high) // 2
            if self.change[middle].step < order.joined_at:
                low = middle + 1
            else:
                high = middle
        order.level_next = low
        order.level_lots = self.change[low - 1].lots if low > order.level_begin else 0


cdef inline int64_t first_at(const int64_t* rising, int64_t begin, int64_t stop, int64_t least) noexcept nogil:
    """The first index of ``begin:stop`` with a value of *least* or more, *stop* if there is none.

    Steps double from *begin* on, as the next instant is mostly near.
    """
    cdef int64_t step = 1
    while begin < stop and rising[begin] < least:
        if begin + step >= stop or rising[begin + step] >= least:
            return first_from(rising, begin + 1, min(stop, begin + step), least)
        begin += step
        step *= 2
    return begin
