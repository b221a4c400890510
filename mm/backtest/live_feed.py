"""From a live market to the paper exchange: the events of a `MarketState` as those of a tape."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mm.instrument import Instrument, e8
from mm.market_data.market_events import (
    BookChanged,
    BookLost,
    DepthArrived,
    EpochOpened,
    MarketEvent,
    TradeArrived,
    TradeVerdict,
    trade_id_of,
)
from mm.tape.tape import DEPTH, GAP, SNAPSHOT, TRADE

if TYPE_CHECKING:
    from mm.market_data.local_orderbook import Level
    from mm.tape.tape import Tape

Row = tuple[int, int, int]
"""Side (+1 bid or buyer as aggressor, -1 ask or seller), ticks, and the lots traded or now displayed there."""


class FeedEvent(NamedTuple):
    """One event of a market, as in the columns of a `Tape`.

    Attributes:
        kind: SNAPSHOT, DEPTH, TRADE, GAP or KEYFRAME.
        us: When it arrived.
        recv_seq: Number of the message; it keys the draws of the ``poisson`` fill model.
        event_id: Trade id, last update id of a book; 0 for a gap.
        rows: One of a trade, none of a gap, the whole book of a snapshot, the changed levels of a depth message.
    """

    kind: int
    us: int
    recv_seq: int
    event_id: int
    rows: Sequence[Row]


def feed_events(tape: "Tape") -> Iterator[FeedEvent]:
    """Yield the events of a tape, or of a piece of one, as they would have been fed."""
    columns = (tape.kind, tape.event_us, tape.recv_seq, tape.event_id)
    for event, (kind, us, recv_seq, event_id) in enumerate(zip(*(one.tolist() for one in columns), strict=True)):
        yield FeedEvent(kind, us, recv_seq, event_id, tape.rows(event))


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

    def __call__(self, event: MarketEvent) -> None:
        """Play an event; what says nothing about book or trades is passed over."""
        if isinstance(event, DepthArrived):
            self._us = max(self._us, event.recv_us)
        if isinstance(event, BookChanged) or (isinstance(event, DepthArrived) and event.book is not None):
            # One that waited for a snapshot changes the book when that has come, which is the latest instant so far.
            seq = None if self._numbers is None else self._numbers.depth_seq(event.number)
            self._feed(DEPTH, self._us, event.update.u, self._levels(event.update.b, event.update.a), seq)
        elif isinstance(event, EpochOpened):
            self._feed(SNAPSHOT, event.recv_us, event.last_update_id, self._levels(event.bids, event.asks))
            self._open = True
        elif isinstance(event, BookLost):
            if self._open:
                self._feed(GAP, event.recv_us, 0, ())
            self._open = False
        elif isinstance(event, TradeArrived) and event.verdict is not TradeVerdict.LATE:
            trade = event.trade
            ticks, rest = divmod(e8(trade.p), self._instrument.tick_e8)
            if not rest:
                row = (-1 if trade.m else 1, ticks, self._instrument.lots(trade.q))
                self._feed(TRADE, event.recv_us, trade_id_of(trade), (row,))

    @property
    def now_us(self) -> int:
        """The instant of the last event, or the one behind that which was advanced to."""
        return self._us

    def advance(self, until_us: int) -> None:
        """Play up to and including *until_us* what is due; an event that comes later happens later."""
        self._us = max(self._us, until_us + 1)
        self._exchange.advance(until_us)

    def _feed(self, kind: int, us: int, event_id: int, rows: Sequence[Row], seq: int | None = None) -> None:
        self._count += 1
        self._us = max(self._us, us)
        if seq is None:
            seq = self._count if self._numbers is None else self._numbers.last_seq
        self._exchange.feed((FeedEvent(kind, self._us, seq, event_id, rows),))

    def _levels(self, bids: "Iterable[Level]", asks: "Iterable[Level]") -> list[Row]:
        tick_e8, lots, rows = self._instrument.tick_e8, self._instrument.lots, list[Row]()
        for side, levels in ((1, bids), (-1, asks)):
            for price, qty in levels:
                ticks, rest = divmod(e8(price), tick_e8)
                if not rest:
                    rows.append((side, ticks, lots(qty)))
        return rows
