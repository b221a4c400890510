"""From a live market to the paper exchange: the events of a `MarketState` as those of a tape."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mm.clock import US_PER_MS, exchange_ms
from mm.instrument import Instrument, e8
from mm.market_data.market_events import (
    BookChanged,
    BookLost,
    DepthArrived,
    EpochOpened,
    MarketEvent,
    TradeArrived,
    TradeVerdict,
    Verdict,
    trade_id_of,
)
from mm.market_data.sync_engine import BUFFERED_DIFFS
from mm.tape.tape import DEPTH, GAP, SNAPSHOT, TRADE

if TYPE_CHECKING:
    from mm.market_data.local_orderbook import Level
    from mm.market_data.venue import DepthUpdate
    from mm.tape.tape import Tape

CROSSED = "crossed"
"""Why a book is lost that a tape ends at the message itself, and not behind it."""

Row = tuple[int, int, int]
"""Side (+1 bid or buyer as aggressor, -1 ask or seller), ticks, and the lots traded or now displayed there."""


class FeedEvent(NamedTuple):
    """One event of a market, as in the columns of a `Tape`.

    Attributes:
        kind: SNAPSHOT, DEPTH, TRADE, GAP or KEYFRAME.
        us: When it arrived.
        recv_seq: Number of the message; it keys the draws of the fill models ``poisson`` and ``hawkes``.
        event_id: Trade id, last update id of a book; 0 for a gap.
        rows: One of a trade, none of a gap, the whole book of a snapshot, the changed levels of a depth message.
        exch_us: When it happened by the exchange's clock; 0 where it is not given. Trades of one side and stamp are one
            aggressive order.
    """

    kind: int
    us: int
    recv_seq: int
    event_id: int
    rows: Sequence[Row]
    exch_us: int = 0


def feed_events(tape: "Tape") -> Iterator[FeedEvent]:
    """Yield the events of a tape, or of a piece of one, as they would have been fed."""
    columns = (tape.kind, tape.event_us, tape.recv_seq, tape.event_id, tape.event_exch_us)
    events = zip(*(one.tolist() for one in columns), strict=True)
    for event, (kind, us, recv_seq, event_id, exch_us) in enumerate(events):
        yield FeedEvent(kind, us, recv_seq, event_id, tape.rows(event), exch_us)


class RowNumbers(Protocol):
    """Whoever writes the rows of a market's events, and numbers them."""

    @property
    def last_seq(self) -> int:
        """The number of the row that was written last."""

    def depth_seq(self, number: int) -> int:
        """Return the number of the row of the depth message that `DepthArrived` counted as *number*."""


class EventTaker(Protocol):
    """Who takes the events of a market: a `PaperExchange`, or a trader."""

    def feed(self, events: "Iterable[FeedEvent]") -> None:
        """Take events, in order."""

    def advance(self, until_us: int) -> None:
        """Take that nothing happens up to an instant any more."""


class LiveFeed:
    """A subscriber of a market that plays its events at a paper exchange.

    Trades that arrive after later ones or were requested by REST are left out: they were not there to be traded on.
    So are levels off the tick, as in a tape.

    Args:
        exchange: Where they are played.
        instrument: The grid of prices and quantities; that of the exchange's rules.
        numbers: Has written each event before it comes here; None counts the events instead.
    """

    def __init__(self, exchange: EventTaker, instrument: Instrument, numbers: RowNumbers | None = None) -> None:
        self._exchange, self._instrument, self._numbers = exchange, instrument, numbers
        self._count = 0
        self._us = 0
        self._open = False
        self._waiting: dict[int, DepthUpdate] = {}  # messages that have not changed the book, by number
        self._applying = False  # whether those that wait are about to

    def __call__(self, event: MarketEvent) -> None:
        """Play an event; what says nothing about book or trades is passed over."""
        if isinstance(event, DepthArrived):
            self._arrived(event)
        elif isinstance(event, BookChanged):
            self._waiting.pop(event.number, None)
            self._depth(event.number, event.update)
        elif isinstance(event, EpochOpened):
            self._feed(SNAPSHOT, event.recv_us, event.last_update_id, self._levels(event.bids, event.asks))
            self._waiting = {number: one for number, one in self._waiting.items() if one.u > event.last_update_id}
            self._open = self._applying = True
        elif isinstance(event, BookLost):
            self._lost(event)
        elif isinstance(event, TradeArrived) and event.verdict is not TradeVerdict.LATE:
            trade = event.trade
            ticks, rest = divmod(e8(trade.p), self._instrument.tick_e8)
            if not rest:
                row = (-1 if trade.m else 1, ticks, self._instrument.lots(trade.q))
                stamp_us = exchange_ms(trade.T) * US_PER_MS  # as a recording keeps it
                self._feed(TRADE, event.recv_us, trade_id_of(trade), (row,), exch_us=stamp_us)

    def _arrived(self, event: DepthArrived) -> None:
        """Play a depth message, or keep it as long as it may change the book later."""
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
        """End the book, as a tape does: behind all messages that were about to change it, unless it has crossed."""
        if self._applying and event.cause != CROSSED:
            for number, update in self._waiting.items():
                self._depth(number, update)
        if self._applying:
            self._waiting.clear()
        if self._open:
            self._feed(GAP, event.recv_us, 0, ())
        self._open = False

    @property
    def begun(self) -> bool:
        """Whether an event has been played."""
        return self._count > 0

    @property
    def now_us(self) -> int:
        """The instant of the last event, or the one behind that which was advanced to."""
        return self._us

    def advance(self, until_us: int) -> None:
        """Play up to and including *until_us* what is due; an event that comes later happens later."""
        self._us = max(self._us, until_us + 1)
        self._exchange.advance(until_us)

    def _depth(self, number: int, update: "DepthUpdate") -> None:
        """Feed a depth message that changes the book: one that waited for a snapshot has its instant."""
        seq = None if self._numbers is None else self._numbers.depth_seq(number)
        self._feed(DEPTH, self._us, update.u, self._levels(update.b, update.a), seq)

    def _feed(
        self, kind: int, us: int, event_id: int, rows: Sequence[Row], seq: int | None = None, exch_us: int = 0
    ) -> None:
        self._count += 1
        self._us = max(self._us, us)
        if seq is None:
            seq = self._count if self._numbers is None else self._numbers.last_seq
        self._exchange.feed((FeedEvent(kind, self._us, seq, event_id, rows, exch_us),))

    def _levels(self, bids: "Iterable[Level]", asks: "Iterable[Level]") -> list[Row]:
        return [*_rows_of(1, bids, self._instrument), *_rows_of(-1, asks, self._instrument)]


def _rows_of(side: int, levels: "Iterable[Level]", grid: Instrument) -> list[Row]:
    """Return the rows of one side's levels on the tick; raises OffGrid where a quantity has no whole lots."""
    on_grid = getattr(levels, "on_grid", None)  # of levels that a kernel has read
    found: list[Row] | None = on_grid(side, grid.tick_e8, grid.lot_e8) if on_grid else None
    if found is not None:
        return found
    rows = []
    for price, qty in levels:
        ticks, rest = divmod(e8(price), grid.tick_e8)
        if not rest:
            rows.append((side, ticks, grid.lots(qty)))
    return rows
