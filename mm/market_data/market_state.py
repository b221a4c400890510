"""The market of one symbol as a state machine: messages in, verdicts and events out; no socket, no timer, no file.

Messages of all open connections become one feed (`Arbiter`), depth messages and snapshots a book (`BookState`), trades
a sequence (`TradeState`). What happens goes to the subscribers, event by event: a writer of day folders, the requests
for missing trades, or a consumer that trades on it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mm.ids import MissingIds
from mm.market_data.arbiter import Arbiter, Passing, Sequenced
from mm.market_data.book_state import IDS_MISSING, BookState
from mm.market_data.grid import Grid
from mm.market_data.market_events import MarketEvent, Subscriber, TradeVerdict
from mm.market_data.messages import DepthSnapshot, DepthUpdate
from mm.market_data.sync_engine import Verdict
from mm.market_data.trade_state import TradeState

RESTART, DISCONNECTED = "restart", "disconnected"


@dataclass(frozen=True)
class Before:
    """What an earlier run left, so that ids missing since are reported.

    Attributes:
        update_id: Its last update id; None where it had none.
        update_us: When that arrived.
        trade_id: Its last trade.
        trade_us: When that arrived.
        missing_trades: Trades that may still come.
        cause: What missing ids are due to until the first message has come.
    """

    update_id: int | None = None
    update_us: int = 0
    trade_id: int | None = None
    trade_us: int = 0
    missing_trades: Sequence[MissingIds] = ()
    cause: str = IDS_MISSING


class Taken(NamedTuple):
    """What a message did.

    Attributes:
        ids_missing: Ids before it, or before one that it let through, did not arrive.
        advanced: The feed has come to new ids.
        late: It is a trade that the stream brought after a later one; it was not passed on.
    """

    ids_missing: bool
    advanced: bool
    late: bool


class MarketState:
    """Take what comes of one symbol, one message after the other.

    Args:
        grid: The symbol's decimals; every text that comes here was checked by it.
        subscribers: Take the events, in this order.
        trade_subscribers: Take the events of trades alone, after the others.
        top_n: Levels of a side on which no price may be off the tick.
        keeps_late: Whether trades that come after later ones are passed on, as in an import.
        before: What an earlier run left.

    Attributes:
        arbiter: Makes one feed of those of several connections.
        book: The book, and what is reported of it.
        trades: The trades.
        wants_snapshot: Whether updates wait for a book.
    """

    def __init__(
        self,
        grid: Grid,
        subscribers: Iterable[Subscriber],
        *,
        trade_subscribers: Iterable[Subscriber] = (),
        top_n: int,
        keeps_late: bool = False,
        before: Before | None = None,
    ) -> None:
        before = before or Before()
        every = tuple(subscribers)
        emit = _to_all(every)
        self.arbiter = Arbiter()
        self.book = BookState(grid, emit, top_n=top_n, seen_id=before.update_id, seen_us=before.update_us)
        self.trades = TradeState(
            grid,
            _to_all((*every, *trade_subscribers)),
            keeps_late=keeps_late,
            last_id=before.trade_id,
            last_us=before.trade_us,
            missing=before.missing_trades,
        )
        self._depth_cause = self._trade_cause = before.cause
        self._last_us = 0
        self.wants_snapshot = False

    @property
    def book_id(self) -> int | None:
        """Last id in the book; None while there is no valid book."""
        return self.book.book_id

    def opened(self, conn: int) -> None:
        """Connection *conn* is open."""
        self.arbiter.opened(conn)

    def closed(self, conn: int) -> None:
        """Connection *conn* has ended, and what waited for it need not wait any longer."""
        self._pass_on(self.arbiter.closed(conn))

    def all_closed(self) -> None:
        """No connection is open: ids missing when the next one is were lost since."""
        self._depth_cause = self._trade_cause = DISCONNECTED
        self.wants_snapshot = False

    def arrived(self, recv_us: int) -> None:
        """Something arrived at *recv_us*, whether it can be used or not: to be called before it is taken."""
        self._last_us = recv_us
        if self.book.carries:
            self.book.carry_over(recv_us)

    def take(self, recv_us: int, message: Sequenced, conn: int | None = None, now_s: float = 0.0) -> Taken:
        """Take a depth message or a trade.

        Args:
            recv_us: Its arrival, in µs.
            message: The message.
            conn: The connection that brought it; None where there is only one source.
            now_s: The instant, in s of a monotonic clock.
        """
        advanced = self.arbiter.alone(conn, message)
        if advanced is not None:
            verdict = self._one(recv_us, message, one_of_many=False)
            return Taken(_misses(verdict), advanced, verdict is TradeVerdict.LATE)
        messages = self.arbiter.take(recv_us, conn, message, now_s) if conn is not None else []
        return Taken(self._pass_on(messages), bool(messages), late=False)

    def snapshot(self, recv_us: int, snapshot: DepthSnapshot) -> bool:
        """Take a snapshot of the book, and return whether it is the book now."""
        loaded = self.book.snapshot(recv_us, snapshot)
        self.wants_snapshot = self.wants_snapshot and self.book_id is None
        return loaded

    def let_through(self, now_s: float) -> None:
        """Let messages through that have waited long enough for ids before them."""
        self._pass_on(self.arbiter.overdue(now_s))

    def trades_lost(self, at_us: int, first_id: int, last_id: int) -> None:
        """Report the trades that did not come of these ids: no connection will bring them."""
        self.trades.lost(at_us, first_id, last_id, self._trade_cause)

    def flush(self) -> None:
        """Let everything through that waits for other connections: nothing more will come."""
        self._pass_on(self.arbiter.rest())

    def _pass_on(self, messages: Passing) -> bool:
        """Take what the arbiter lets through, and return whether ids were missing.

        What had to wait arrives when it need not wait any more, so that time does not fall.
        """
        missing = False
        for recv_us, message in messages:
            missing |= _misses(self._one(max(recv_us, self._last_us), message, one_of_many=True))
        return missing

    def _one(self, recv_us: int, message: Sequenced, *, one_of_many: bool) -> Verdict | TradeVerdict:
        """Take one message of the feed."""
        if isinstance(message, DepthUpdate):
            cause, self._depth_cause = self._depth_cause, IDS_MISSING
            updated = self.book.take(recv_us, message, one_of_many=one_of_many, cause=cause)
            self.wants_snapshot = self.book_id is None
            return updated
        verdict = self.trades.take(recv_us, message, self._trade_cause)
        if verdict is not TradeVerdict.DUPLICATE and verdict is not TradeVerdict.LATE:
            self._trade_cause = IDS_MISSING
        return verdict


def _to_all(subscribers: Sequence[Subscriber]) -> Subscriber:
    """Return what calls all *subscribers*; of a single one, itself."""
    if len(subscribers) == 1:
        return subscribers[0]

    def emit(event: MarketEvent) -> None:
        for subscriber in subscribers:
            subscriber(event)

    return emit


def _misses(verdict: Verdict | TradeVerdict) -> bool:
    return verdict is Verdict.GAP or verdict is TradeVerdict.GAP
