"""The plain Python version of the matching core: one symbol's order book with price-time priority.

An arriving order (the taker) matches resting orders of the other side (the makers), best price first and oldest first
within a price, always at the maker's price. Its remainder rests behind all others at its own price, or expires. Every
step writes rows to the order log (`mm.sim.matching.order_log`).

`mm.sim.matching._core` is the compiled engine; docs/specification/exchange.md states the rules of both.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile
from operator import index

from mm.sim.matching.order_log import (
    COMMAND,
    FOK,
    LIMIT,
    MAKER,
    MARKET,
    MOST_LOTS,
    MOST_TICKS,
    OP_CANCEL,
    OP_REDUCE,
    OP_REPLACE,
    OP_SUBMIT,
    REASON_FOK,
    REASON_IOC,
    REASON_STP,
    ROW_CANCEL,
    ROW_EXPIRE,
    ROW_LEVEL,
    ROW_NEW,
    ROW_REDUCE,
    ROW_REFUSE,
    ROW_REST,
    ROW_TRADE,
    STP_DECREMENT,
    STP_EXPIRE_BOTH,
    STP_EXPIRE_MAKER,
    STP_EXPIRE_TAKER,
    STP_NONE,
    WOULD_CROSS,
    Row,
)

_MOST = 2**63 - 1


@dataclass(slots=True)
class Order:
    """An order: its limit in *ticks* (0: any price) and its remaining *lots*."""

    order_id: int
    account: int
    side: int
    ticks: int
    lots: int

    def accepts(self, ticks: int) -> bool:
        """Return whether the order may trade at a price of *ticks*."""
        return self.ticks == 0 or self.side * (self.ticks - ticks) >= 0


@dataclass(slots=True)
class Level:
    """The orders that rest at one price, oldest first, and their total *lots*."""

    ticks: int
    lots: int = 0
    queue: dict[int, Order] = field(default_factory=dict)


class Side:
    """The levels of one side of the book (+1 bids, -1 asks); iteration begins with the best price."""

    def __init__(self, side: int) -> None:
        self._side = side
        self._levels: dict[int, Level] = {}
        self._keys: list[int] = []  # side·ticks, ascending: the best price is last, where changes of a list are cheap

    def best(self) -> Level | None:
        """Return the level of the best price, or None if the side is empty."""
        return self._levels[self._side * self._keys[-1]] if self._keys else None

    def at(self, ticks: int) -> Level | None:
        """Return the level at a price of *ticks*, or None if no order rests there."""
        return self._levels.get(ticks)

    def add(self, order: Order) -> int:
        """Add *order* behind the others at its price; return the lots that now rest there."""
        if order.ticks not in self._levels:
            self._levels[order.ticks] = Level(order.ticks)
            insort(self._keys, self._side * order.ticks)
        level = self._levels[order.ticks]
        level.queue[order.order_id] = order
        level.lots += order.lots
        return level.lots

    def take(self, order: Order, lots: int) -> int:
        """Take *lots* from a resting *order*, removing it at zero; return the lots that now rest there."""
        level = self._levels[order.ticks]
        order.lots -= lots
        level.lots -= lots
        if order.lots == 0:
            del level.queue[order.order_id]
        if not level.queue:
            del self._levels[order.ticks]
            del self._keys[bisect_left(self._keys, self._side * order.ticks)]
        return level.lots

    def __iter__(self) -> Iterator[Level]:
        return (self._levels[self._side * key] for key in reversed(self._keys))


class PlainBook:
    """Both sides of a book, and queries of them."""

    def __init__(self) -> None:
        self._sides = {+1: Side(+1), -1: Side(-1)}
        self._resting: dict[int, Order] = {}

    def best(self) -> tuple[int, int, int, int]:
        """Return the best bid's ticks and lots and the best ask's; zeros if a side is empty."""
        bid, ask = self._sides[+1].best(), self._sides[-1].best()
        return (*((bid.ticks, bid.lots) if bid else (0, 0)), *((ask.ticks, ask.lots) if ask else (0, 0)))

    def depth(self, side: int, limit: int) -> list[tuple[int, int]]:
        """Return ticks and lots of up to *limit* levels of *side*, best first: the L2 view."""
        return [(level.ticks, level.lots) for level in islice(self._side(side), limit)]

    def orders(self, side: int, limit: int | None = None) -> list[tuple[int, int, int, int]]:
        """Return (order_id, account, ticks, lots left) of up to *limit* orders of *side* by priority: the L3 view."""
        orders = (order for level in self._side(side) for order in level.queue.values())
        return [(order.order_id, order.account, order.ticks, order.lots) for order in islice(orders, limit)]

    def order(self, order_id: int) -> tuple[int, int, int, int] | None:
        """Return (account, side, ticks, lots left) of a resting order, or None."""
        order = self._resting.get(order_id)
        return (order.account, order.side, order.ticks, order.lots) if order else None

    def queue_ahead(self, order_id: int) -> int:
        """Return the lots before a resting order in the queue of its price; raises ValueError if it does not rest."""
        order = self._resting.get(order_id)
        level = order and self._sides[order.side].at(order.ticks)
        if not level:
            raise ValueError(f"order_id {order_id} does not rest")
        return sum(other.lots for other in takewhile(lambda other: other is not order, level.queue.values()))

    def open_orders(self, account: int) -> list[int]:
        """Return the ids of an account's resting orders, ascending."""
        return [order_id for order_id, order in self._resting.items() if order.account == account]

    @property
    def resting(self) -> int:
        """How many orders rest."""
        return len(self._resting)

    def _side(self, side: int) -> Side:
        return self._sides[checked_side(side)]


def checked_side(side: int) -> int:
    """Return *side*; raises ValueError if it is neither +1 nor -1."""
    if index(side) not in (+1, -1):
        raise ValueError(f"side {side} is neither +1 (buy) nor -1 (sell)")
    return index(side)


class PlainMatching(PlainBook):
    """One symbol's matching engine: commands in, rows of the order log out.

    Prices are whole ticks, quantities whole lots, instants µs that never fall, sides +1 (buy) and -1 (sell). An
    argument out of range raises ValueError, a fraction TypeError, and neither changes anything.

    Args:
        first_order_id: The id before the first order's id, 0 or more.
        first_trade_id: Likewise for the first trade.
        first_update_id: Likewise for the first change of a level.
        log: Whether rows are kept for `take_log`.

    Attributes:
        last_order_id: The id of the last accepted order.
        last_trade_id: The id of the last trade.
        update_id: The id of the last change of a level.
    """

    def __init__(
        self, *, first_order_id: int = 0, first_trade_id: int = 0, first_update_id: int = 0, log: bool = True
    ) -> None:
        super().__init__()
        self.last_order_id = _within("first_order_id", first_order_id, 0, _MOST)
        self.last_trade_id = _within("first_trade_id", first_trade_id, 0, _MOST)
        self.update_id = _within("first_update_id", first_update_id, 0, _MOST)
        self._us = -_MOST - 1
        self._logs = log
        self._log: list[Row] = []

    def submit(  # noqa: PLR0917 - the fields of an order
        self, us: int, account: int, side: int, ticks: int, lots: int, kind: int = LIMIT, stp: int = STP_NONE
    ) -> int:
        """Send an order and return its id, or WOULD_CROSS.

        Args:
            us: The current time.
            account: The owner of the order, 0 or more.
            side: +1 buy, -1 sell.
            ticks: The worst price it accepts; 0 of a MARKET order, which accepts any.
            lots: Its quantity.
            kind: LIMIT rests its remainder; MAKER is rejected if it would match at once; the remainder of IOC and
                MARKET expires; FOK is filled completely or not at all.
            stp: Self-trade prevention: what happens when it meets an order of its own account.
        """
        order = Order(0, _within("account", account, 0, _MOST), checked_side(side), *_terms(ticks, lots, kind, stp))
        self._advance(us)
        return self._submit(order, kind, stp)

    def cancel(self, us: int, order_id: int) -> int:
        """Cancel a resting order and return its remaining lots; 0 if no such order rests."""
        self._advance(us)
        order = self._resting.get(order_id)
        return self._cancel(order) if order else 0

    def reduce(self, us: int, order_id: int, lots: int) -> int:
        """Reduce a resting order to *lots*, keeping its priority, and return them; 0 if no such order rests.

        Raises:
            ValueError: Also if *lots* are not below its remaining lots.
        """
        lots = _within("lots", lots, 1, MOST_LOTS)
        order = self._resting.get(order_id)
        if order and lots >= order.lots:
            raise ValueError(f"lots {lots} are not below the {order.lots} that are left of order {order_id}")
        self._advance(us)
        return self._reduce(order, lots) if order else 0

    def replace(self, us: int, order_id: int, ticks: int, lots: int, kind: int = LIMIT, stp: int = STP_NONE) -> int:
        """Cancel a resting order and send another of its account and side in one step, behind all others.

        Returns:
            The new order's id; WOULD_CROSS if the new one is rejected (the old one stays cancelled); 0 if no such order
            rests, and then nothing is sent.
        """
        terms = _terms(ticks, lots, kind, stp)
        self._advance(us)
        order = self._resting.get(order_id)
        if not order:
            return 0
        self._cancel(order)
        return self._submit(Order(0, order.account, order.side, *terms), kind, stp)

    def order_aside(self) -> int:
        """Use up the id of an order that never comes to the book, and return it."""
        self.last_order_id += 1
        return self.last_order_id

    def trade_aside(self, us: int, side: int, ticks: int, lots: int, reason: int) -> int:
        """Log a trade that is not made in the book, of order 0 with *reason* instead of a maker; return its id."""
        ticks, lots = _within("ticks", ticks, 1, MOST_TICKS), _within("lots", lots, 1, MOST_LOTS)
        self._advance(us)
        self.last_trade_id += 1
        taker = Order(0, 0, checked_side(side), ticks, lots)
        self._note(ROW_TRADE, taker, lots, other_id=reason, ticks=ticks, trade_id=self.last_trade_id)
        return self.last_trade_id

    def run(self, commands: Iterable[Sequence[int]]) -> None:
        """Execute many commands: rows of integers with the fields of `COMMAND`.

        `arg` is the order id of a cancel, reduce or replace, and the `stp` of a submit; a replacing order has
        STP_NONE. A command for an order that does not rest has no effect, nor does a reduction to no less than is left.

        Raises:
            ValueError: If a row is not a command; the rows before it are executed.
        """
        for number, command in enumerate(commands):
            try:
                self._run_one(command)
            except ValueError as error:
                raise ValueError(f"commands row {number}: {error}") from error

    def take_log(self) -> list[Row]:
        """Return the rows of the order log since the last call."""
        rows, self._log = self._log, []
        return rows

    def _run_one(self, command: Sequence[int]) -> None:
        if len(command) != len(COMMAND):
            raise ValueError(f"{len(command)} values are not the {len(COMMAND)} of {', '.join(COMMAND)}")
        us, op, account, side, ticks, lots, kind, arg = map(int, command)
        if op == OP_SUBMIT:
            self.submit(us, account, side, ticks, lots, kind, arg)
        elif op == OP_CANCEL:
            self.cancel(us, arg)
        elif op == OP_REDUCE:
            order = self._resting.get(arg)
            self.reduce(us, arg if order and lots < order.lots else 0, lots)
        elif op == OP_REPLACE:
            self.replace(us, arg, ticks, lots, kind)
        else:
            raise ValueError(f"op {op} is not one of {OP_SUBMIT} to {OP_REPLACE}")

    def _submit(self, taker: Order, kind: int, stp: int) -> int:
        if kind == MAKER and self._meets(taker):
            self._note(ROW_REFUSE, taker, taker.lots)
            return WOULD_CROSS
        self.last_order_id += 1
        taker.order_id = self.last_order_id
        self._note(ROW_NEW, taker, taker.lots, other_id=kind)
        if kind == FOK and not self._fillable(taker, stp):
            self._expire(taker, REASON_FOK, taker.lots)
            return taker.order_id
        self._match(taker, stp)
        if taker.lots and kind in (LIMIT, MAKER):
            self._rest(taker)
        elif taker.lots:
            self._expire(taker, REASON_IOC, taker.lots)
        return taker.order_id

    def _match(self, taker: Order, stp: int) -> None:
        """Match *taker* with one maker after another, until it is filled or no price is acceptable."""
        while taker.lots and (level := self._meets(taker)):
            maker = next(iter(level.queue.values()))
            if stp != STP_NONE and maker.account == taker.account:
                self._prevent(taker, maker, stp)
            else:
                self._trade(taker, maker)

    def _meets(self, taker: Order) -> Level | None:
        """Return the best level of the other side if *taker* accepts its price, or None."""
        level = self._sides[-taker.side].best()
        return level if level and taker.accepts(level.ticks) else None

    def _fillable(self, taker: Order, stp: int) -> bool:
        """Return whether other accounts have enough lots, at prices that *taker* accepts, to fill it completely."""
        missing = taker.lots
        for level in self._sides[-taker.side]:
            if missing <= 0 or not taker.accepts(level.ticks):
                break
            makers = (maker for maker in level.queue.values() if stp == STP_NONE or maker.account != taker.account)
            missing -= sum(maker.lots for maker in makers)
        return missing <= 0

    def _trade(self, taker: Order, maker: Order) -> None:
        lots = min(taker.lots, maker.lots)
        self.last_trade_id += 1
        taker.lots -= lots
        self._note(ROW_TRADE, taker, lots, other_id=maker.order_id, ticks=maker.ticks, trade_id=self.last_trade_id)
        self._take(maker, lots)

    def _prevent(self, taker: Order, maker: Order, stp: int) -> None:
        """Prevent two orders of one account from trading with each other."""
        if stp == STP_DECREMENT:
            self._decrement(taker, maker)
        if stp in (STP_EXPIRE_MAKER, STP_EXPIRE_BOTH):
            self._expire(maker, REASON_STP, maker.lots)
        if stp in (STP_EXPIRE_TAKER, STP_EXPIRE_BOTH):
            self._expire(taker, REASON_STP, taker.lots)

    def _decrement(self, taker: Order, maker: Order) -> None:
        """Reduce both by the lots of the smaller one, which expires."""
        lots = min(taker.lots, maker.lots)
        taker.lots -= lots
        if lots < maker.lots:
            self._reduce(maker, maker.lots - lots)
        else:
            self._expire(maker, REASON_STP, 0)
        if taker.lots == 0:
            self._expire(taker, REASON_STP, 0)

    def _rest(self, order: Order) -> None:
        self._note(ROW_REST, order, order.lots)
        self._resting[order.order_id] = order
        self._note_level(order, self._sides[order.side].add(order))

    def _cancel(self, order: Order) -> int:
        lots = order.lots
        self._note(ROW_CANCEL, order, lots)
        self._take(order, lots)
        return lots

    def _reduce(self, order: Order, lots: int) -> int:
        self._note(ROW_REDUCE, order, lots)
        self._take(order, order.lots - lots)
        return lots

    def _expire(self, order: Order, reason: int, lots: int) -> None:
        """Expire *order*, a taker or a resting order with *lots* left."""
        self._note(ROW_EXPIRE, order, lots, other_id=reason)
        if order.order_id in self._resting:
            self._take(order, order.lots)
        order.lots = 0

    def _take(self, order: Order, lots: int) -> None:
        """Take *lots* from a resting order, removing it from the book at zero."""
        shown = self._sides[order.side].take(order, lots)
        if order.lots == 0:
            del self._resting[order.order_id]
        self._note_level(order, shown)

    def _note(
        self, kind: int, order: Order, lots: int, *, other_id: int = 0, ticks: int | None = None, trade_id: int = 0
    ) -> None:
        price = order.ticks if ticks is None else ticks
        self._log_row((self._us, kind, order.order_id, other_id, order.account, order.side, price, lots, trade_id, 0))

    def _note_level(self, order: Order, lots: int) -> None:
        """Count and log the change of the level of *order*, which now has *lots*."""
        self.update_id += 1
        self._log_row((self._us, ROW_LEVEL, order.order_id, 0, 0, order.side, order.ticks, lots, 0, self.update_id))

    def _log_row(self, row: Row) -> None:
        if self._logs:
            self._log.append(row)

    def _advance(self, us: int) -> None:
        if us < self._us:
            raise ValueError(f"us {us} is before {self._us}; instants never fall")
        self._us = _within("us", us, -_MOST - 1, _MOST)


def _within(name: str, value: int, least: int, most: int) -> int:
    if not least <= index(value) <= most:
        raise ValueError(f"{name} {value} is not within {least} to {most}")
    return index(value)


def _terms(ticks: int, lots: int, kind: int, stp: int) -> tuple[int, int]:
    """Return price and quantity of an order, validated for its kind."""
    _within("kind", kind, LIMIT, MARKET)
    _within("stp", stp, STP_NONE, STP_DECREMENT)
    if kind == MARKET:
        ticks = _within("ticks of a MARKET order", ticks, 0, 0)
    else:
        ticks = _within("ticks", ticks, 1, MOST_TICKS)
    return ticks, _within("lots", lots, 1, MOST_LOTS)
