# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, annotation_typing=False
"""The compiled matching core: price-time priority in whole ticks and lots, and a log of every event.

docs/specification/exchange.md specifies each command; ``tests/plain_matching.py`` is the same engine in plain Python.
The data have four parts, each in a separate file: prices (``_ladder.pxd``), orders with an index of their ids
(``_index.pxd``), owners (``_owners.pxd``), and rows of the log (``_log.pxd``). Memory grows with the number of orders
that rest at the same time, not with the number of orders over time.

Invariants (``Matching.check`` verifies them):
  - a level is in the tree if and only if an order rests at its price, and its lots are the sum of its queue
  - the best bid is below the best ask
  - an order is exactly once in its level's queue, in the index and in its owner's list
"""

cimport cython
from cython.view cimport array as cython_array
from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t
from libc.stdlib cimport free

from mm.sim.matching._arguments cimport MOST_LOTS, MOST_TICKS, a_side, first_id, most_of, some_id, whole
from mm.sim.matching._index cimport index_drop, index_find, index_put, index_reserve
from mm.sim.matching._ladder cimport (
    Level, ladder_add, ladder_close, ladder_drop, ladder_find, ladder_next, ladder_open, ladder_reserve, level_at,
)
from mm.sim.matching._log cimport (
    REASON_FOK, REASON_IOC, REASON_STP, ROW_CANCEL, ROW_EXPIRE, ROW_LEVEL, ROW_NEW, ROW_REDUCE, ROW_REFUSE, ROW_REST,
    ROW_TRADE, WIDTH, log_handed, log_reserve, log_row,
)
from mm.sim.matching._owners cimport (
    Owner, owner_add, owner_at, owner_of, owner_remove, owner_reserve, owners_close, owners_open,
)
from mm.sim.matching._pool cimport NONE, pool_close, pool_give, pool_open, pool_reserve, pool_take, pool_used

import numpy as np

cdef enum:
    FULL_LEVEL = 1 << 15    # number of orders of MOST_LOTS at one price whose total still fits an int64
    ROWS_OF_A_STEP = 4      # maximum log rows of one match, and of the steps before and after all matches

cdef enum:
    FINE, BAD_OP, BAD_US, BAD_ACCOUNT, BAD_SIDE, BAD_KIND, BAD_STP, BAD_MARKET, BAD_TICKS, BAD_LOTS, OVERFULL


cdef inline Order* order_at(Matching self, int32_t slot) noexcept nogil:
    return <Order*> self.slots.items + slot


cdef inline void log_event(
    Matching self, int64_t kind, int64_t order_id, int64_t other_id, int64_t account, int64_t side, int64_t ticks,
    int64_t lots, int64_t trade_id, int64_t update_id
) noexcept nogil:
    """Memory must be reserved."""
    cdef int64_t* row
    if self.log.on:
        row = log_row(&self.log)
        row[0], row[1], row[2], row[3], row[4] = self.us, kind, order_id, other_id, account
        row[5], row[6], row[7], row[8], row[9] = side, ticks, lots, trade_id, update_id


cdef inline void log_taker(Matching self, int64_t kind, const Taker* taker, int64_t other_id) noexcept nogil:
    log_event(self, kind, taker.id, other_id, taker.account, taker.side, taker.ticks, taker.left, 0, 0)


cdef inline void log_level(Matching self, const Level* level, int64_t order_id) noexcept nogil:
    self.update_id += 1
    log_event(self, ROW_LEVEL, order_id, 0, 0, level.side, level.ticks, level.lots, 0, self.update_id)


cdef int error_of(Matching self, const Command* command) noexcept nogil:
    """FINE if it is valid."""
    if not OP_SUBMIT <= command.op <= OP_REPLACE:
        return BAD_OP
    if command.us < self.us:
        return BAD_US
    if command.op == OP_CANCEL:
        return FINE
    if not 1 <= command.lots <= MOST_LOTS:
        return BAD_LOTS
    if command.op == OP_REDUCE:
        return FINE
    if command.op == OP_SUBMIT:
        if command.account < 0:
            return BAD_ACCOUNT
        if command.side != 1 and command.side != -1:
            return BAD_SIDE
    if not LIMIT <= command.kind <= MARKET:
        return BAD_KIND
    if not STP_NONE <= command.stp <= STP_DECREMENT:
        return BAD_STP
    if command.kind == MARKET:
        return BAD_MARKET if command.ticks else FINE
    if not 1 <= command.ticks <= MOST_TICKS:
        return BAD_TICKS
    return OVERFULL if self.by_id.used >= FULL_LEVEL and overfull(self, command) else FINE


cdef bint overfull(Matching self, const Command* command) noexcept nogil:
    """Return True if the resting part of an order would overflow its level's int64.

    If its price has a level of its own side, the order matches nothing, so all of it would rest.
    """
    cdef int32_t number = ladder_find(&self.ladder, command.ticks)
    cdef const Order* old
    cdef int64_t lots, side = command.side
    if number == NONE or command.kind > MAKER:
        return False
    lots = level_at(&self.ladder, number).lots
    if command.op == OP_REPLACE:
        old = self.resting_order(command.order_id)
        if old is NULL:
            return False
        side = self.side_of(old)
        if old.level == number:
            lots -= old.lots
    return level_at(&self.ladder, number).side == side and lots > INT64_MAX - command.lots


cdef int refuse(Matching self, const Command* command, int fault, int64_t row) except -1 with gil:
    where = f"row {row}: " if row != NONE else ""
    if fault == OVERFULL:
        raise OverflowError(
            f"{where}lots {command.lots} at {command.ticks} ticks: the price would display 2**63 lots or more; "
            f"submit less, or at another price"
        )
    what = {
        BAD_OP: f"op {command.op}: neither SUBMIT 1, CANCEL 2, REDUCE 3 nor REPLACE 4",
        BAD_US: f"us {command.us}: before the last command, at {self.us}; times must not decrease",
        BAD_ACCOUNT: f"account {command.account}: below 0",
        BAD_SIDE: f"side {command.side}: neither +1 to buy nor -1 to sell",
        BAD_KIND: f"kind {command.kind}: neither LIMIT 0, MAKER 1, IOC 2, FOK 3 nor MARKET 4",
        BAD_STP: f"stp {command.stp}: not within 0 to 4",
        BAD_MARKET: f"ticks {command.ticks}: a MARKET order has no price; give 0",
        BAD_TICKS: f"ticks {command.ticks}: not within 1 to {MOST_TICKS}",
        BAD_LOTS: f"lots {command.lots}: not within 1 to {MOST_LOTS}",
    }
    raise ValueError(where + what[fault])


cdef int64_t enter(Matching self, Taker* taker, int64_t kind) except FAILED nogil:
    """Match an order, and rest or expire its remainder, depending on its kind."""
    if kind == MAKER and crosses(self, taker):
        taker.id = 0
        log_taker(self, ROW_REFUSE, taker, 0)
        return WOULD_CROSS
    self.last_order_id += 1
    taker.id = self.last_order_id
    log_taker(self, ROW_NEW, taker, kind)
    if kind == FOK and not fillable(self, taker):
        log_taker(self, ROW_EXPIRE, taker, REASON_FOK)
        return taker.id
    match_all(self, taker)
    if taker.left and kind <= MAKER:
        rest(self, taker)
    elif taker.left:
        log_reserve(&self.log, 1)
        log_taker(self, ROW_EXPIRE, taker, REASON_IOC)
    return taker.id


cdef inline bint crosses(Matching self, const Taker* taker) noexcept nogil:
    """Return True if the best price of the other side is within the order's limit."""
    cdef int32_t number = self.top[taker.side < 0]
    return number != NONE and taker.side * (taker.reach - level_at(&self.ladder, number).ticks) >= 0


cdef bint fillable(Matching self, const Taker* taker) noexcept nogil:
    """Return True if enough lots rest within the limit; own orders count only if the taker would trade with them."""
    cdef int32_t own = owner_of(&self.owners, taker.account) if taker.stp else NONE
    cdef int32_t number = self.top[taker.side < 0], slot
    cdef int64_t missing = taker.left
    cdef const Level* level
    while number != NONE:
        level = level_at(&self.ladder, number)
        if taker.side * (taker.reach - level.ticks) < 0:
            return False
        if own == NONE:
            missing -= min(missing, level.lots)
        else:
            slot = level.head
            while slot != NONE and missing > 0:
                if order_at(self, slot).owner != own:
                    missing -= order_at(self, slot).lots
                slot = order_at(self, slot).behind
        if missing <= 0:
            return True
        number = ladder_next(&self.ladder, number, level.side)
    return False


cdef int match_all(Matching self, Taker* taker) except -1 nogil:
    """Match an order until it is filled or no price within its limit is left."""
    cdef int32_t own = owner_of(&self.owners, taker.account) if taker.stp else NONE
    cdef int32_t slot
    while taker.left and crosses(self, taker):
        log_reserve(&self.log, ROWS_OF_A_STEP)
        slot = level_at(&self.ladder, self.top[taker.side < 0]).head
        if own != NONE and order_at(self, slot).owner == own:
            prevent(self, taker, slot)
        else:
            trade(self, taker, slot)
    return 0


cdef inline void trade(Matching self, Taker* taker, int32_t slot) noexcept nogil:
    """Trade with a resting order, at its price."""
    cdef Order* maker = order_at(self, slot)
    cdef Level* level = level_at(&self.ladder, maker.level)
    cdef int64_t lots = min(taker.left, maker.lots)
    self.last_trade_id += 1
    taker.left -= lots
    maker.lots -= lots
    level.lots -= lots
    log_event(self, ROW_TRADE, taker.id, maker.id, taker.account, taker.side, level.ticks, lots, self.last_trade_id, 0)
    log_level(self, level, maker.id)
    if maker.lots == 0:
        remove_order(self, slot)


cdef void prevent(Matching self, Taker* taker, int32_t slot) noexcept nogil:
    cdef int64_t theirs = order_at(self, slot).lots
    cdef int64_t both = min(taker.left, theirs)
    if taker.stp == STP_DECREMENT:
        reduce_resting(self, slot, ROW_REDUCE if both < theirs else ROW_EXPIRE, theirs - both, theirs - both)
        taker.left -= both
    elif taker.stp != STP_EXPIRE_TAKER:
        reduce_resting(self, slot, ROW_EXPIRE, theirs, 0)
    if taker.left == 0 or taker.stp == STP_EXPIRE_TAKER or taker.stp == STP_EXPIRE_BOTH:
        log_taker(self, ROW_EXPIRE, taker, REASON_STP)
        taker.left = 0


cdef int rest(Matching self, const Taker* taker) except -1 nogil:
    """Place the remainder of an order at the end of the queue at its price."""
    cdef int32_t owner, slot, number
    cdef Order* order
    cdef Level* level
    log_reserve(&self.log, ROWS_OF_A_STEP)
    pool_reserve(&self.slots, 1)
    index_reserve(&self.by_id)
    ladder_reserve(&self.ladder)
    owner = owner_reserve(&self.owners, taker.account)
    number = ladder_find(&self.ladder, taker.ticks)
    if number == NONE:
        number = ladder_add(&self.ladder, taker.side, taker.ticks)
        if taker.side * (taker.ticks - self.best_ticks(taker.side)) > 0 or self.top[taker.side > 0] == NONE:
            self.top[taker.side > 0] = number
    level = level_at(&self.ladder, number)
    slot = pool_take(&self.slots)
    order = order_at(self, slot)
    order.id, order.lots, order.level, order.owner = taker.id, taker.left, number, owner
    order.behind = NONE
    order.ahead = level.tail
    if level.tail == NONE:
        level.head = slot
    else:
        order_at(self, level.tail).behind = slot
    level.tail = slot
    level.lots += taker.left
    index_put(&self.by_id, taker.id, slot)
    order.place = owner_add(owner_at(&self.owners, owner), slot)
    log_taker(self, ROW_REST, taker, 0)
    log_level(self, level, taker.id)
    return 0


cdef void reduce_resting(Matching self, int32_t slot, int64_t kind, int64_t noted, int64_t left) noexcept nogil:
    """Reduce a resting order to *left* lots; the log row has *noted* lots."""
    cdef Order* order = order_at(self, slot)
    cdef Level* level = level_at(&self.ladder, order.level)
    cdef int64_t reason = REASON_STP if kind == ROW_EXPIRE else 0
    level.lots -= order.lots - left
    order.lots = left
    log_event(self, kind, order.id, reason, self.account_of(order), level.side, level.ticks, noted, 0, 0)
    log_level(self, level, order.id)
    if left == 0:
        remove_order(self, slot)


cdef void remove_order(Matching self, int32_t slot) noexcept nogil:
    """Remove an order without remaining lots from the book."""
    cdef Order* order = order_at(self, slot)
    cdef Level* level = level_at(&self.ladder, order.level)
    cdef int32_t moved
    if order.ahead == NONE:
        level.head = order.behind
    else:
        order_at(self, order.ahead).behind = order.behind
    if order.behind == NONE:
        level.tail = order.ahead
    else:
        order_at(self, order.behind).ahead = order.ahead
    if level.head == NONE:
        if self.top[level.side > 0] == order.level:
            self.top[level.side > 0] = ladder_next(&self.ladder, order.level, level.side)
        ladder_drop(&self.ladder, order.level)
    index_drop(&self.by_id, order.id)
    moved = owner_remove(&self.owners, order.owner, order.place)
    if moved != NONE:
        order_at(self, moved).place = order.place
    pool_give(&self.slots, slot)


@cython.final
cdef class Matching:
    """One symbol's order book.

    Prices are ticks (1 to 2**40 - 1), quantities lots (1 to 2**48 - 1), ``side`` is +1 to buy and -1 to sell, and times
    are microseconds that never decrease. A method that raises changes nothing, except that `run` keeps the effect of
    the rows before the invalid one, and that a MemoryError loses the rest of the command.

    Args:
        first_order_id, first_trade_id, first_update_id: The last ids in use (0 to 2**62); new ids start after them.
        log: False leaves the log empty.

    Attributes:
        last_order_id, last_trade_id, update_id: The last ids in use.
    """

    def __cinit__(self, *, first_order_id: int = 0, first_trade_id: int = 0, first_update_id: int = 0, bint log=True) -> None:
        pool_open(&self.slots, sizeof(Order))
        owners_open(&self.owners)
        ladder_open(&self.ladder)
        self.top[0] = self.top[1] = NONE
        self.us = INT64_MIN
        self.log.on = log
        self.last_order_id = first_id(first_order_id, "first_order_id")
        self.last_trade_id = first_id(first_trade_id, "first_trade_id")
        self.update_id = first_id(first_update_id, "first_update_id")

    def __dealloc__(self) -> None:
        pool_close(&self.slots)
        owners_close(&self.owners)
        ladder_close(&self.ladder)
        free(self.by_id.entries)
        free(self.log.cells)

    # ------------------------------------------------------------------ commands

    def submit(
        self, us: int, account: int, side: int, ticks: int, lots: int, kind: int = LIMIT, stp: int = STP_NONE
    ) -> int:
        """Submit an order and match it.

        Args:
            us: Time in µs, not before the last command.
            account: Owner of the order, 0 or more.
            side: +1 to buy, -1 to sell.
            ticks: The worst acceptable price; 0 for a MARKET order.
            lots: Quantity.
            kind: LIMIT 0, MAKER 1, IOC 2, FOK 3, MARKET 4.
            stp: Self-trade prevention, if it would match an order of its account: 0 both trade, 1 it expires, 2 the
                resting order expires, 3 both expire, 4 both are reduced by the smaller quantity.

        Returns:
            The id of the order, or WOULD_CROSS (-1) if it is a MAKER order that would have matched.

        Raises:
            ValueError: If a value is out of range; the message names it.
            OverflowError: If its price level would have 2**63 lots or more.
        """
        return self.place(
            whole(us, "us"), whole(account, "account"), whole(side, "side"), whole(ticks, "ticks"), whole(lots, "lots"),
            whole(kind, "kind"), whole(stp, "stp"),
        )

    def cancel(self, us: int, order_id: int) -> int:
        """Cancel an order; return its remaining lots, 0 if it does not rest."""
        return self.withdraw(whole(us, "us"), some_id(order_id))

    def reduce(self, us: int, order_id: int, lots: int) -> int:
        """Reduce an order to *lots*; it keeps its priority.

        Returns:
            *lots*, or 0 if the order does not rest.

        Raises:
            ValueError: If *lots* is not below the remaining lots, or a value is out of range.
        """
        cdef int64_t order = some_id(order_id), left = whole(lots, "lots")
        cdef const Order* resting
        resting = self.resting_order(order)
        if resting is not NULL and left >= resting.lots:
            raise ValueError(f"lots {left}: order {order} has {resting.lots} left; an order can only be reduced")
        return self.shrink(whole(us, "us"), order, left)

    def replace(
        self, us: int, order_id: int, ticks: int, lots: int, kind: int = LIMIT, stp: int = STP_NONE
    ) -> int:
        """Cancel an order and submit another with its account and side in one step.

        Args:
            us, ticks, lots, kind, stp: As for `submit`.
            order_id: The order to cancel.

        Returns:
            The id of the new order; 0 if the old order does not rest, and then nothing changes; WOULD_CROSS (-1) if the
            new order is a MAKER order that would have matched; the old order is cancelled nevertheless.

        Raises:
            ValueError, OverflowError: As for `submit`; the old order keeps resting.
        """
        return self.renew(
            whole(us, "us"), some_id(order_id), whole(ticks, "ticks"), whole(lots, "lots"), whole(kind, "kind"),
            whole(stp, "stp"),
        )

    def order_aside(self) -> int:
        """Use up the id of an order that never comes to the book, and return it."""
        self.last_order_id += 1
        return self.last_order_id

    def trade_aside(self, us: int, side: int, ticks: int, lots: int, reason: int) -> int:
        """Log a trade that is not made in the book, and return its id.

        Args:
            us: Time in µs, not before the last command.
            side: +1 if the order that had to trade buys.
            ticks: Its price.
            lots: Its quantity.
            reason: Stands in the row instead of the maker, whose taker is order 0.

        Raises:
            ValueError: If a value is out of range; the message names it.
        """
        cdef int64_t at = whole(us, "us"), price = whole(ticks, "ticks"), quantity = whole(lots, "lots")
        cdef int64_t why = whole(reason, "reason")
        cdef int way = a_side(side)
        if not 1 <= price <= MOST_TICKS:
            raise ValueError(f"ticks {price}: not within 1 to {MOST_TICKS}")
        if not 1 <= quantity <= MOST_LOTS:
            raise ValueError(f"lots {quantity}: not within 1 to {MOST_LOTS}")
        self.withdraw(at, 0)
        log_reserve(&self.log, 1)
        self.last_trade_id += 1
        log_event(self, ROW_TRADE, 0, why, 0, way, price, quantity, self.last_trade_id, 0)
        return self.last_trade_id

    def run(self, commands: ArrayLike) -> None:
        """Execute many commands.

        Args:
            commands: int64[n, 8], or rows that convert to it: columns us, op (SUBMIT 1, CANCEL 2, REDUCE 3, REPLACE 4),
                account, side, ticks, lots, kind, arg: id of the order, or for SUBMIT its stp. REPLACE has no stp. An op
                ignores the columns that it does not use. A command for an order that does not rest, and a REDUCE to the
                remaining lots or more, have no effect.

        Raises:
            ValueError, OverflowError: As for `submit`, with the row; the rows before it have been executed.
        """
        cdef const int64_t[:, :] rows = np.asarray(commands)
        cdef int64_t row
        cdef Command command
        if rows.shape[1] != 8:
            raise ValueError(f"commands of {rows.shape[1]} columns; us, op, account, side, ticks, lots, kind and arg are 8")
        for row in range(rows.shape[0]):
            command.us, command.op = rows[row, 0], rows[row, 1]
            command.account, command.side = rows[row, 2], rows[row, 3]
            command.ticks, command.lots = rows[row, 4], rows[row, 5]
            command.kind = rows[row, 6]
            command.order_id = rows[row, 7]
            command.stp = command.order_id if command.op == OP_SUBMIT else STP_NONE
            self.play(&command, row)

    # ------------------------------------------------------------------ views

    @property
    def resting(self) -> int:
        """Number of resting orders."""
        return self.by_id.used

    def best(self) -> tuple[int, int, int, int]:
        """Return best bid and its lots, best ask and its lots; 0 if a side is empty."""
        (bid, bid_lots), (ask, ask_lots) = ((self.depth(side, 1) or [(0, 0)])[0] for side in (1, -1))
        return bid, bid_lots, ask, ask_lots

    def depth(self, side: int, limit: int | None) -> list[tuple[int, int]]:
        """Return (ticks, lots) of the *limit* best levels of a side, best first; of all levels if it is None."""
        cdef int64_t most = most_of(limit)
        cdef int32_t number
        cdef const Level* level
        number = self.top[a_side(side) > 0]
        levels = []
        while number != NONE and len(levels) < most:
            level = level_at(&self.ladder, number)
            levels.append((level.ticks, level.lots))
            number = ladder_next(&self.ladder, number, level.side)
        return levels

    def orders(self, side: int, limit: int | None = None) -> list[tuple[int, int, int, int]]:
        """Return (order_id, account, ticks, lots) of the first *limit* orders of a side by priority; of all if None."""
        cdef int64_t most = most_of(limit)
        cdef int32_t number, slot
        cdef const Order* order
        number = self.top[a_side(side) > 0]
        orders = []
        while number != NONE:
            slot = level_at(&self.ladder, number).head
            while slot != NONE:
                if len(orders) >= most:
                    return orders
                order = order_at(self, slot)
                orders.append((order.id, self.account_of(order), self.price_of(order), order.lots))
                slot = order.behind
            number = ladder_next(&self.ladder, number, level_at(&self.ladder, number).side)
        return orders

    def order(self, order_id: int) -> tuple[int, int, int, int] | None:
        """Return (account, side, ticks, remaining lots) of an order, None if it does not rest."""
        cdef const Order* order
        order = self.resting_order(some_id(order_id))
        if order is NULL:
            return None
        return self.account_of(order), self.side_of(order), self.price_of(order), order.lots

    def queue_ahead(self, order_id: int) -> int:
        """Return the lots ahead of an order in the queue at its price.

        Raises:
            ValueError: If the order does not rest.
        """
        cdef const Order* order
        cdef int64_t lots = 0
        order = self.resting_order(some_id(order_id))
        if order is NULL:
            raise ValueError(f"order_id {order_id}: does not rest; it was never accepted, or is filled, cancelled or expired")
        while order.ahead != NONE:
            order = order_at(self, order.ahead)
            lots += order.lots
        return lots

    def open_orders(self, account: int) -> list[int]:
        """Return the ids of an account's resting orders, oldest first."""
        cdef int64_t owner_account = whole(account, "account"), k
        return sorted([self.live_order(owner_account, k) for k in range(self.live(owner_account))])

    def take_log(self) -> NDArray[np.int64]:
        """Return and remove the rows since the last call: int64[n, 10], named by ``order_log.COLUMNS``."""
        cdef int64_t rows = self.log.used
        cdef cython_array owned
        if not rows:
            return np.empty((0, WIDTH), np.int64)
        owned = cython_array((rows, WIDTH), itemsize=sizeof(int64_t), format="q", allocate_buffer=False)
        owned.data = <char*> log_handed(&self.log)
        owned.callback_free_data = free
        return np.asarray(owned)

    # ------------------------------------------------------------------ for other kernels

    cdef int64_t place(
        self, int64_t us, int64_t account, int64_t side, int64_t ticks, int64_t lots, int64_t kind, int64_t stp
    ) except FAILED nogil:
        cdef Command command = Command(us, OP_SUBMIT, account, side, ticks, lots, kind, 0, stp)
        return self.play(&command, NONE)

    cdef int64_t withdraw(self, int64_t us, int64_t order_id) except FAILED nogil:
        cdef Command command = Command(us, OP_CANCEL, 0, 0, 0, 0, 0, order_id, STP_NONE)
        return self.play(&command, NONE)

    cdef int64_t shrink(self, int64_t us, int64_t order_id, int64_t lots) except FAILED nogil:
        cdef Command command = Command(us, OP_REDUCE, 0, 0, 0, lots, 0, order_id, STP_NONE)
        return self.play(&command, NONE)

    cdef int64_t renew(
        self, int64_t us, int64_t order_id, int64_t ticks, int64_t lots, int64_t kind, int64_t stp
    ) except FAILED nogil:
        cdef Command command = Command(us, OP_REPLACE, 0, 0, ticks, lots, kind, order_id, stp)
        return self.play(&command, NONE)

    cdef int64_t best_ticks(self, int side) noexcept nogil:
        cdef int32_t number = self.top[side > 0]
        return level_at(&self.ladder, number).ticks if number != NONE else 0

    cdef int64_t live(self, int64_t account) noexcept nogil:
        cdef int32_t owner = owner_of(&self.owners, account)
        return owner_at(&self.owners, owner).used if owner != NONE else 0

    cdef int64_t live_order(self, int64_t account, int64_t k) noexcept nogil:
        return order_at(self, owner_at(&self.owners, owner_of(&self.owners, account)).slots[k]).id

    cdef const Order* resting_order(self, int64_t order_id) noexcept nogil:
        cdef int32_t slot = index_find(&self.by_id, order_id)
        return order_at(self, slot) if slot != NONE else NULL

    cdef int64_t price_of(self, const Order* order) noexcept nogil:
        return level_at(&self.ladder, order.level).ticks

    cdef int side_of(self, const Order* order) noexcept nogil:
        return level_at(&self.ladder, order.level).side

    cdef int64_t account_of(self, const Order* order) noexcept nogil:
        return owner_at(&self.owners, order.owner).account

    # ------------------------------------------------------------------ one command

    cdef int64_t play(self, const Command* command, int64_t row) except FAILED nogil:
        """Check and execute a command; an error message has its *row*, unless that is NONE."""
        cdef Taker taker
        cdef Order* order
        cdef int64_t lots
        cdef int32_t slot
        cdef int fault = error_of(self, command)
        if fault:
            refuse(self, command, fault, row)
        log_reserve(&self.log, ROWS_OF_A_STEP)
        self.us = command.us
        taker.account, taker.side = command.account, command.side
        if command.op != OP_SUBMIT:
            slot = index_find(&self.by_id, command.order_id)
            if slot == NONE:
                return 0
            order = order_at(self, slot)
            if command.op == OP_REDUCE:
                if command.lots >= order.lots:
                    return 0
                reduce_resting(self, slot, ROW_REDUCE, command.lots, command.lots)
                return command.lots
            taker.account, taker.side = self.account_of(order), self.side_of(order)
            lots = order.lots
            reduce_resting(self, slot, ROW_CANCEL, lots, 0)
            if command.op == OP_CANCEL:
                return lots
        taker.ticks, taker.left, taker.stp = command.ticks, command.lots, command.stp
        taker.reach = taker.ticks
        if command.kind == MARKET and taker.side > 0:
            taker.reach = MOST_TICKS
        return enter(self, &taker, command.kind)

    # ------------------------------------------------------------------ invariants

    def check(self) -> None:
        """Raise AssertionError if an invariant is violated; for tests, as it walks the whole book."""
        cdef int32_t number, slot, owner
        cdef const Level* level
        cdef const Order* order
        orders = 0
        levels = 0
        for side in (1, -1):
            number = self.top[side > 0]
            before = None
            while number != NONE:
                level = level_at(&self.ladder, number)
                assert level.side == side and (before is None or side * (before - level.ticks) > 0), level.ticks
                assert ladder_find(&self.ladder, level.ticks) == number, level.ticks
                before, lots, ahead, slot = level.ticks, 0, NONE, level.head
                while slot != NONE:
                    order = order_at(self, slot)
                    assert order.lots > 0 and order.level == number and order.ahead == ahead, order.id
                    assert index_find(&self.by_id, order.id) == slot, order.id
                    assert owner_at(&self.owners, order.owner).slots[order.place] == slot, order.id
                    lots, orders, ahead, slot = lots + order.lots, orders + 1, slot, order.behind
                assert level.lots == lots and level.tail == ahead != NONE, level.ticks
                levels += 1
                number = ladder_next(&self.ladder, number, side)
        assert not self.best_ticks(-1) or self.best_ticks(1) < self.best_ticks(-1), self.best()
        assert self.by_id.used == orders == pool_used(&self.slots)
        assert levels == pool_used(&self.ladder.levels)
        owned = 0
        for owner in range(self.owners.pool.made):
            if owner_of(&self.owners, owner_at(&self.owners, owner).account) == owner:
                assert owner_at(&self.owners, owner).used <= owner_at(&self.owners, owner).room, owner
                owned += owner_at(&self.owners, owner).used
        assert owned == orders
        assert self.owners.by_account.used == pool_used(&self.owners.pool)
        assert orders or pool_used(&self.ladder.pages) == 1
