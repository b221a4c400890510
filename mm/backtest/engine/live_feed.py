"""Feeds events of a live `MarketState` to the paper exchange."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mm.clock import US_PER_MS, exchange_ms
from mm.instrument import Instrument, e8
from mm.market_data.lateness import Lateness
from mm.market_data.market_events import (
    BookChanged,
    BookLost,
    ClockRead,
    DepthArrived,
    EpochOpened,
    MarketEvent,
    StatusReported,
    TradeArrived,
    trade_id_of,
)
from mm.markets.sequence import BUFFERED_DIFFS, Verdict
from mm.markets.trade_ids import TradeVerdict
from mm.tape.freshest import FreshestBook, Row, touch_rows
from mm.tape.lateness import lateness
from mm.tape.tape import DEPTH, GAP, SNAPSHOT, TRADE

if TYPE_CHECKING:
    from mm.markets.local_orderbook import Level
    from mm.markets.messages import BookTicker, DepthUpdate
    from mm.tape.tape import Tape

CROSSED = "crossed"
"""Cause of a lost book that ends the book at the message itself, and not after it."""

MADE = -1
"""The number of events that no message has, such as a halt."""


class FeedEvent(NamedTuple):
    """One event of a market, with the fields of a `Tape`.

    Attributes:
        recv_seq: Key of the random draws of ``poisson`` and ``hawkes``.
        rows: One for a trade, none for a gap, the whole book for a snapshot, changed levels for a depth message.
        exch_us: 0 if unknown. Trades of one side and stamp are one aggressive order.
    """

    kind: int
    us: int
    recv_seq: int
    event_id: int
    rows: Sequence[Row]
    exch_us: int = 0
    late_us: int = 0


def feed_events(tape: "Tape") -> Iterator[FeedEvent]:
    late_us = lateness(tape)
    columns = (tape.kind, tape.event_us, tape.recv_seq, tape.event_id, tape.event_exch_us)
    late = [0] * len(tape) if late_us is None else late_us.tolist()
    events = zip(*(column.tolist() for column in columns), late, strict=True)
    for event, (kind, us, recv_seq, event_id, exch_us, its_late_us) in enumerate(events):
        yield FeedEvent(kind, us, recv_seq, event_id, tape.rows(event), exch_us, its_late_us)


class RowNumbers(Protocol):
    @property
    def last_seq(self) -> int: ...

    def depth_seq(self, number: int) -> int: ...


class EventTaker(Protocol):
    def feed(self, events: "Iterable[FeedEvent]") -> None: ...

    def advance(self, until_us: int) -> None: ...


class LiveFeed:
    """Subscribes to a market and feeds a paper exchange.

    Args:
        freshest: A contract's best prices, which are fed too.
    """

    def __init__(
        self,
        exchange: EventTaker,
        instrument: Instrument,
        numbers: RowNumbers | None = None,
        *,
        strict: bool = False,
        freshest: FreshestBook | None = None,
    ) -> None:
        self._freshest = freshest
        self._exchange, self._instrument, self._numbers = exchange, instrument, numbers
        self._lateness = Lateness(strict=strict)
        self._count = 0
        self._us = 0
        self._open = self._halted = False
        self._waiting: dict[int, DepthUpdate] = {}  # messages not yet applied to the book, by number
        self._applying = False  # whether the waiting messages are being applied

    def __call__(self, event: MarketEvent) -> None:
        if isinstance(event, DepthArrived):
            self._arrived(event)
        elif isinstance(event, BookChanged):
            self._waiting.pop(event.number, None)
            self._depth(event.number, event.update)
        elif isinstance(event, EpochOpened):
            self._feed(SNAPSHOT, event.recv_us, event.last_update_id, self._levels(event.bids, event.asks))
            self._waiting = {number: diff for number, diff in self._waiting.items() if diff.u > event.last_update_id}
            self._open = self._applying = True
        elif isinstance(event, BookLost):
            self._lost(event)
        elif isinstance(event, StatusReported):
            self._reported(event)
        elif isinstance(event, ClockRead):
            self._lateness.measured(event.least_us)
        elif isinstance(event, TradeArrived) and event.verdict is not TradeVerdict.LATE:
            trade = event.trade
            ticks, rest = divmod(e8(trade.p), self._instrument.tick_e8)
            if not rest:
                row = (-1 if trade.m else 1, ticks, self._instrument.lots(trade.q))
                stamp_us = exchange_ms(trade.T) * US_PER_MS  # in ms, as a recording stores it
                self._feed(TRADE, event.recv_us, trade_id_of(trade), (row,), exch_us=stamp_us)

    def _arrived(self, event: DepthArrived) -> None:
        self._us = max(self._us, event.recv_us)
        self._applying = event.verdict is Verdict.APPLY
        if event.verdict is Verdict.STALE:
            return
        if event.verdict is not Verdict.BUFFER:
            self._waiting.clear()
        if event.book is not None:
            self._depth(event.number, event.update)
            return
        self._waiting[event.number] = event.update
        if len(self._waiting) > BUFFERED_DIFFS:
            del self._waiting[next(iter(self._waiting))]

    def _lost(self, event: BookLost) -> None:
        if self._applying and event.cause != CROSSED:
            for number, update in self._waiting.items():
                self._depth(number, update)
        if self._applying:
            self._waiting.clear()
        if self._open:
            self._feed(GAP, event.recv_us, 0, ())
        self._open = False

    def _reported(self, event: StatusReported) -> None:
        if event.traded != self._halted:
            return
        if self._halted:
            self._halted = False
            if self._open and event.book is not None:
                self._feed(SNAPSHOT, event.recv_us, event.last_update_id, self._levels(*event.book.levels()), MADE)
            return
        if self._open:
            self._feed(GAP, event.recv_us, 0, (), MADE)
        self._halted = True

    @property
    def begun(self) -> bool:
        return self._count > 0

    @property
    def now_us(self) -> int:
        return self._us

    def advance(self, until_us: int) -> None:
        self._us = max(self._us, until_us + 1)
        self._exchange.advance(until_us)

    def _depth(self, number: int, update: "DepthUpdate") -> None:
        seq = None if self._numbers is None else self._numbers.depth_seq(number)
        stamp_us = exchange_ms(update.E) * US_PER_MS
        self._feed(DEPTH, self._us, update.u, self._levels(update.b, update.a), seq, stamp_us)

    def _feed(
        self, kind: int, us: int, event_id: int, rows: Sequence[Row], seq: int | None = None, exch_us: int = 0
    ) -> None:
        if self._freshest is not None and kind != TRADE and (kind == SNAPSHOT or seq != MADE):
            rows = self._freshest.take(kind, event_id, rows)
        self._pass(kind, us, event_id, rows, seq, exch_us)

    def best(self, seq: int, us: int, best: "BookTicker") -> None:
        touch = touch_rows((best.b, best.B, best.a, best.A), self._instrument.tick_e8, self._instrument.lot_e8)
        if self._freshest is None or touch is None or not self._open:
            return
        if rows := self._freshest.best(best.u, touch):
            stamp_us = exchange_ms(best.E or 0) * US_PER_MS
            self._pass(DEPTH, us, self._freshest.last_id, rows, seq, stamp_us)

    def _pass(self, kind: int, us: int, event_id: int, rows: Sequence[Row], seq: int | None, exch_us: int) -> None:
        self._us = max(self._us, us)
        if self._halted and kind != TRADE:
            return
        self._count += 1
        if seq is None:
            seq = self._count if self._numbers is None else self._numbers.last_seq
        late_us = self._lateness.late_us
        if kind == DEPTH:
            late_us = self._lateness.depth(self._us, exch_us)
        elif kind == TRADE:
            late_us = self._lateness.trade(self._us, exch_us)
        self._exchange.feed((FeedEvent(kind, self._us, seq, event_id, rows, exch_us, late_us),))

    def _levels(self, bids: "Iterable[Level]", asks: "Iterable[Level]") -> list[Row]:
        return [*_rows_of(1, bids, self._instrument), *_rows_of(-1, asks, self._instrument)]


def _rows_of(side: int, levels: "Iterable[Level]", grid: Instrument) -> list[Row]:
    on_grid = getattr(levels, "on_grid", None)  # present on levels that a kernel has parsed
    on_grid_rows: list[Row] | None = on_grid(side, grid.tick_e8, grid.lot_e8) if on_grid else None
    if on_grid_rows is not None:
        return on_grid_rows
    rows = []
    for price, qty in levels:
        ticks, rest = divmod(e8(price), grid.tick_e8)
        if not rest:
            rows.append((side, ticks, grid.lots(qty)))
    return rows
