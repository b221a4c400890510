"""From a live market to the paper exchange: the events of a `MarketState` as those of a tape."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mm.instrument import Instrument
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
    from mm.backtest.paper_exchange import PaperExchange
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


class LiveFeed:
    """A subscriber of a market that plays its events at a paper exchange.

    Trades that arrive after later ones or were requested by REST are left out: they were not there to be traded on.

    Args:
        exchange: Where they are played.
        instrument: The grid of prices and quantities; that of the exchange's rules.
    """

    def __init__(self, exchange: "PaperExchange", instrument: Instrument) -> None:
        self._exchange, self._instrument = exchange, instrument
        self._number = 0
        self._us = 0
        self._open = False

    def __call__(self, event: MarketEvent) -> None:
        """Play an event; what says nothing about book or trades is passed over."""
        if isinstance(event, DepthArrived):
            self._us = max(self._us, event.recv_us)
        if isinstance(event, BookChanged) or (isinstance(event, DepthArrived) and event.book is not None):
            # One that waited for a snapshot changes the book when that has come, which is the latest instant so far.
            self._feed(DEPTH, self._us, event.update.u, self._levels(event.update.b, event.update.a))
        elif isinstance(event, EpochOpened):
            self._feed(SNAPSHOT, event.recv_us, event.last_update_id, self._levels(event.bids, event.asks))
            self._open = True
        elif isinstance(event, BookLost):
            if self._open:
                self._feed(GAP, event.recv_us, 0, ())
            self._open = False
        elif isinstance(event, TradeArrived) and event.verdict is not TradeVerdict.LATE:
            trade = event.trade
            row = (-1 if trade.m else 1, self._instrument.ticks(trade.p), self._instrument.lots(trade.q))
            self._feed(TRADE, event.recv_us, trade_id_of(trade), (row,))

    def _feed(self, kind: int, us: int, event_id: int, rows: Sequence[Row]) -> None:
        self._number += 1
        self._us = max(self._us, us)
        self._exchange.feed((FeedEvent(kind, self._us, self._number, event_id, rows),))

    def _levels(self, bids: "Iterable[Level]", asks: "Iterable[Level]") -> list[Row]:
        ticks, lots = self._instrument.ticks, self._instrument.lots
        return [(side, ticks(price), lots(qty)) for side, levels in ((1, bids), (-1, asks)) for price, qty in levels]
