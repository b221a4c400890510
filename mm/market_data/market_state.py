"""State machine of one symbol's market: messages in, verdicts and events out; no sockets, timers or files.

`Arbiter` merges the messages of all connections into one feed; depth messages and snapshots update the book
(`BookState`), trades the trade sequence (`TradeState`). Subscribers get each event.

Two connections batch the same ids differently, with different losses and delays. A batch that another connection has
covered completely is dropped; one that only overlaps passes, because quantities are absolute. A batch that does not
continue the previous one waits until another connection delivers the missing ids, all others have passed them, or a
timeout. Then it passes, and the ids show the gap; a later batch with such ids passes too. Messages of a single
connection, even stale ones, pass unchanged.

Batches of one connection never overlap: if one begins after the first and up to the last id of the previous one, an id
is wrong, all ids are forgotten, and the book begins again with a snapshot.
"""

from bisect import insort
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from mm.clock import exchange_ms
from mm.dayfolder.ledger import DISCONNECTED, GRID, IDS_AGAIN, NOT_TRADED
from mm.dayfolder.rows import CLOCK_SLACK_US
from mm.ids import Follow, IdRanges, MissingIds, went_back
from mm.market_data.doubts import FAR_IDS, Doubts, Sequenced, Settled, ids_of, is_far
from mm.market_data.market_events import Anomaly, MarketEvent, MessageRefused, StatusReported, Subscriber, stream_of
from mm.market_data.message_batch import MessageBatch
from mm.market_data.sync_engine import IDS_MISSING, BookState
from mm.market_data.trade_state import PrintState, TradeState
from mm.markets.grid import Grid
from mm.markets.messages import DepthSnapshot, DepthUpdate, TradePrint
from mm.markets.sequence import CONTIGUOUS, SequenceRule, Verdict
from mm.markets.trade_ids import CountedPrints, TradeNumbers, TradeVerdict

HOLD_S = 1.0
MOST_HELD = 20_000
JUST_RESET = 50
"""Ids after a restart of a market's ids within which another connection's restart is the same one."""
COMPARED = 2_000
"""Number of updates whose contents are compared between connections."""
PAIR_DIFFERS = "pair_differs"
"""The kind of anomaly, and the cause, if two connections have different updates of equal ids."""
MOST_BACK_US = CLOCK_SLACK_US - 100_000

Item = TypeVar("Item")


class _Held(NamedTuple, Generic[Item]):
    """*number*, the order of arrival, breaks ties."""

    first_id: int
    last_id: int
    number: int
    until_s: float
    item: Item


class Lane(Generic[Item]):
    """One sequence of ids (book updates or trades) over the open connections.

    Attributes:
        alone: The single connection, whose messages need only `note`; None with several.
    """

    def __init__(self, hold_s: float = HOLD_S, rule: SequenceRule = CONTIGUOUS) -> None:
        self._rule = rule
        self.last_id: int | None = None
        self.alone: int | None = None
        self._hold_s = hold_s
        self._passed: dict[int, int | None] = {}
        self._behind_reset: set[int] = set()
        self._held: list[_Held[Item]] = []
        self._skipped = IdRanges()
        self._count = 0

    def opened(self, conn: int) -> None:
        if self.alone is not None:
            self._passed[self.alone] = self.last_id
        self.alone = None if self._passed else conn
        self._passed[conn] = None

    def closed(self, conn: int) -> list[Item]:
        self._passed.pop(conn, None)
        self._behind_reset.discard(conn)
        if self.alone == conn:
            self.alone = None
        return self._released()

    def joined(self, conn: int) -> bool:
        """Whether a message of *conn* passed, or would have if it had arrived first."""
        if conn == self.alone:
            return True
        passed = self._passed.get(conn)
        return passed is not None and self.last_id is not None and passed <= self.last_id

    def is_behind(self, conn: int) -> bool:
        """Whether *conn* has not had a reset that another connection has had."""
        return conn in self._behind_reset

    def note(self, last_id: int) -> bool:
        """Advance by a message of the single connection; False if it is not new."""
        known = self.last_id
        new = known is None or last_id > known or went_back(known, last_id)
        if new:
            self.last_id = last_id
        return new

    def begin(self, conn: int, last_id: int) -> list[Item]:
        """Pass on a snapshot of *conn* up to *last_id*, which needs nothing before it; return what follows it."""
        self._held = [held for held in self._held if held.last_id > last_id]
        self._skipped = IdRanges()
        self._behind_reset.clear()
        self.last_id = last_id
        if conn != self.alone:
            self._passed[conn] = last_id
        return self._released()

    def told_again(self, conn: int, last_id: int) -> bool:
        """Note a snapshot of *conn*; return whether other connections have passed on what it has."""
        known, passed = self.last_id, self._passed.get(conn)
        if conn in self._behind_reset and passed is not None and self._went_back(passed, last_id):
            self._behind_reset.discard(conn)
        elif (
            known is None
            or last_id > known
            or (
                self._rule.follow(known, last_id, last_id) is Follow.RESET
                and (passed is not None or known - last_id > JUST_RESET)
            )
        ):
            return False
        self._passed[conn] = last_id
        return True

    def _went_back(self, known: int, last_id: int) -> bool:
        return went_back(known, last_id) or (last_id == self._rule.first_id and last_id < known)

    def take(self, conn: int, first_id: int, last_id: int, item: Item, now_s: float) -> list[Item]:
        """Return what to pass on once *item* has arrived; *now_s* is a monotonic clock."""
        known, passed = self.last_id, self._passed.get(conn)
        if conn in self._behind_reset and passed is not None and self._went_back(passed, last_id):
            self._behind_reset.discard(conn)
            passed = None
        step = self._rule.follow(known, first_id, last_id)
        if step is Follow.RESET and (passed is None or self._went_back(passed, last_id)):  # else it only lags behind
            return self._reset(conn, last_id, item)
        self._passed[conn] = last_id if passed is None else max(passed, last_id)
        if conn in self._behind_reset or step in (Follow.STALE, Follow.RESET):
            late = self._skipped & IdRanges([(first_id, last_id)])
            self._skipped -= late
            return [item] if late else []
        if step is Follow.GAP:
            self._count += 1
            insort(self._held, _Held(first_id, last_id, self._count, now_s + self._hold_s, item))
            return self._released()
        if len(self._passed) == 1 and not self._held and step is Follow.CONTINUES:
            self.alone, self._skipped = conn, IdRanges()
        self.last_id = last_id
        return [item, *self._released()]

    def start_again(self) -> list[Item]:
        before = self.rest()
        self.last_id, self._passed = None, dict.fromkeys(self._passed)
        self._behind_reset.clear()
        return before

    def overdue(self, now_s: float) -> list[Item]:
        late = [held.first_id for held in self._held if held.until_s <= now_s]
        return self._released(max(late)) if late else []

    def rest(self) -> list[Item]:
        return self._released(self._held[-1].first_id) if self._held else []

    def _reset(self, conn: int, last_id: int, item: Item) -> list[Item]:
        before = self.rest()
        self._behind_reset = {other for other, passed in self._passed.items() if other != conn and passed is not None}
        self._skipped = IdRanges()
        self.last_id = self._passed[conn] = last_id
        return [*before, item]

    def _released(self, up_to: int = -1) -> list[Item]:
        """Continuations, unfillable gaps, and all up to id *up_to*, in order."""
        out: list[Item] = []
        while self._held:
            held, known = self._held[0], self.last_id or 0
            step = self._rule.follow(known, held.first_id, held.last_id)
            follows, covered = step is not Follow.GAP, held.last_id <= known
            if not (follows or held.first_id <= up_to or len(self._held) > MOST_HELD or self._all_passed(held)):
                break
            del self._held[0]
            if not covered:
                self.last_id = held.last_id
                out.append(held.item)
            if not follows:
                self._behind_reset.clear()
                self._skipped.add(known + 1, held.first_id - 1)
        return out

    def _all_passed(self, held: _Held[Item]) -> bool:
        reached = held.first_id - 1
        return all(
            passed is not None and passed >= reached
            for conn, passed in self._passed.items()
            if conn not in self._behind_reset
        )


Passing = list[tuple[int, Sequenced | DepthSnapshot]]
"""Messages to pass on, each with its arrival in µs."""


class Arbiter:
    """Merges updates and trades of all connections, in a `Lane` each.

    Args:
        doubts: Whether messages with far ids are held for confirmation; not in an import, which keeps the order.
        update_id: Last update id of an earlier run.
        rule: Of the updates; with snapshots in the stream, connections count the same messages, which are compared.

    Attributes:
        muted: Connections whose updates differ from those passed on.
    """

    def __init__(
        self,
        *,
        doubts: bool = False,
        update_id: int | None = None,
        trade_id: int | None = None,
        rule: SequenceRule = CONTIGUOUS,
    ) -> None:
        self.muted: set[int] = set()
        self._rows: OrderedDict[int, tuple[int, int]] | None = OrderedDict() if rule.in_stream else None
        self._updates: Lane[tuple[int, Sequenced | DepthSnapshot]] = Lane(rule=rule)
        self._trades: Lane[tuple[int, Sequenced | DepthSnapshot]] = Lane()
        self._updates.last_id, self._trades.last_id = update_id, trade_id
        self._doubts = {lane: Doubts() for lane in (self._updates, self._trades)} if doubts else {}
        self._open: set[int] = set()

    def opened(self, conn: int, update_ms: int = 0, trade_ms: int = 0) -> None:
        """The connection opened after an update and a trade that were sent at these instants."""
        self._open.add(conn)
        for lane in (self._updates, self._trades):
            lane.opened(conn)
        for (lane, doubts), sent_ms in zip(self._doubts.items(), (update_ms, trade_ms), strict=False):
            doubts.opened(conn, lane.last_id, sent_ms)

    def closed(self, conn: int) -> Passing:
        self._open.discard(conn)
        self.muted.discard(conn)
        return [*self._updates.closed(conn), *self._trades.closed(conn)]

    @property
    def open(self) -> bool:
        return bool(self._open)

    @property
    def doubts(self) -> list[Doubts]:
        return list(self._doubts.values())

    @property
    def only_muted(self) -> bool:
        return self._open <= self.muted

    @property
    def last_trade_id(self) -> int | None:
        return self._trades.last_id

    def joined(self, conn: int) -> bool:
        return self._updates.joined(conn)

    def start_again(self) -> Passing:
        if self._rows:
            self._rows.clear()
        return self._updates.start_again()

    def forget(self) -> None:
        for lane in (self._updates, self._trades):
            lane.start_again()
        for doubts in self._doubts.values():
            doubts.forget()

    def alone(self, conn: int | None, message: Sequenced, *, sure: bool = False) -> bool | None:
        """Whether *message* of the only connection advanced the feed; None if others exist or, unless *sure*, it is
        doubtful.
        """
        if isinstance(message, DepthUpdate):
            lane, first_id, last_id = self._updates, message.U, message.u
        else:
            lane, last_id = self._trades, message.t if isinstance(message, TradePrint) else message.a
            first_id = last_id
        if lane.alone != conn:
            return None
        near = abs(first_id - (lane.last_id or first_id)) < FAR_IDS  # nearly always: no call
        if (
            not sure
            and self._doubts
            and (
                self._doubts[lane].held
                or last_id <= (lane.last_id or 0)
                or (not near and is_far(lane.last_id, first_id, last_id))
            )
        ):
            return None
        return lane.note(last_id)

    @property
    def takes_columns(self) -> bool:
        return not self._doubts and self._updates.alone is None and self._trades.alone is None

    def took_columns(self, update_id: int | None, trade_id: int | None) -> None:
        self._updates.last_id, self._trades.last_id = update_id, trade_id

    def settle(self, recv_us: int, message: Sequenced, conn: int | None, now_s: float, raw: bytes) -> Settled:
        """Return the decision that *message* causes; `Settled.held` if it is doubtful itself."""
        lane = self._updates if isinstance(message, DepthUpdate) else self._trades
        if not self._doubts:
            return Settled()
        return self._doubts[lane].take(recv_us, message, conn, now_s, raw, lane.last_id)

    def take(self, recv_us: int, conn: int, message: Sequenced, now_s: float) -> Passing:
        if isinstance(message, DepthUpdate):
            return self._updates.take(conn, message.U, message.u, (recv_us, message), now_s)
        number = message.t if isinstance(message, TradePrint) else message.a
        return self._trades.take(conn, number, number, (recv_us, message), now_s)

    def differs(self, conn: int | None, update: DepthUpdate) -> bool:
        """Return whether another connection had other levels under the same id; then *conn* is muted."""
        lane = self._updates
        if self._rows is None or conn is None or lane.alone == conn or lane.is_behind(conn):
            return False
        content = hash((tuple(update.b), tuple(update.a)))
        told_by, told = self._rows.setdefault(update.u, (conn, content))
        if len(self._rows) > COMPARED:
            self._rows.popitem(last=False)
        if told_by == conn:
            self._rows[update.u] = conn, content
        elif told != content:
            self.muted.add(conn)
            return True
        return False

    def snapshot(
        self, recv_us: int, conn: int | None, snapshot: DepthSnapshot, now_s: float, *, wanted: bool
    ) -> Passing:
        """Return what to pass on once a snapshot of the stream has arrived, *wanted* while there is no book."""
        lane, last_id = self._updates, snapshot.lastUpdateId
        if self._doubts:
            self._doubts[lane].forget()
        if conn is None:
            return [(recv_us, snapshot)]
        known = lane.last_id
        if self._rows and known is not None and last_id < known:
            self._rows.clear()  # the ids may have been reset
        if lane.alone == conn or known is None or (wanted and last_id >= known):
            return [(recv_us, snapshot), *lane.begin(conn, last_id)]
        if lane.told_again(conn, last_id):
            return []
        return lane.take(conn, last_id, last_id, (recv_us, snapshot), now_s)

    def overdue(self, now_s: float) -> Passing:
        return [*self._updates.overdue(now_s), *self._trades.overdue(now_s)]

    def rest(self) -> Passing:
        return [*self._updates.rest(), *self._trades.rest()]


@dataclass(frozen=True)
class PreviousRun:
    update_id: int | None = None
    update_us: int = 0
    update_sent: int = 0
    trade_id: int | None = None
    trade_us: int = 0
    trade_sent: int = 0
    missing_trades: Sequence[MissingIds] = ()
    known_prints: Sequence[str] = ()
    cause: str = IDS_MISSING


class Taken(NamedTuple):
    """The effect of a message.

    Attributes:
        ids_missing: Whether ids are missing before it, or before a message that it released.
        late: Whether it is a trade delivered after a later one; it was not passed on.
    """

    ids_missing: bool
    advanced: bool
    late: bool


class MarketState:
    """Processes one symbol's messages in sequence.

    Args:
        trade_subscribers: Get only trade events, after the others.
        keeps_late: Whether trades behind later ones pass, as in an import.
        ids_skip: Whether the venue skips trade ids.

    Attributes:
        prints: Numbers trades, where the market's own ids do not.
        ids_again: The exchange gives known ids again: messages are dropped until `forget_ids`.
    """

    def __init__(  # noqa: PLR0913 - most have a default
        self,
        grid: Grid,
        subscribers: Iterable[Subscriber],
        *,
        trade_subscribers: Iterable[Subscriber] = (),
        top_n: int,
        keeps_late: bool = False,
        ids_skip: bool = False,
        before: PreviousRun | None = None,
        rule: SequenceRule = CONTIGUOUS,
        trade_numbers: TradeNumbers = TradeNumbers.EXCHANGE,
    ) -> None:
        before = before or PreviousRun()
        common = tuple(subscribers)
        self._emit = emit = _to_all(common)
        self._grid = grid
        self.arbiter = Arbiter(doubts=not keeps_late, update_id=before.update_id, trade_id=before.trade_id, rule=rule)
        self.book = BookState(grid, emit, top_n=top_n, seen_id=before.update_id, seen_us=before.update_us, rule=rule)
        self.trades = TradeState(
            _to_all((*common, *trade_subscribers)),
            keeps_late=keeps_late,
            ids_skip=ids_skip,
            last_id=before.trade_id,
            last_us=before.trade_us,
            missing=before.missing_trades,
        )
        self.prints: PrintState | None = None
        if trade_numbers.are_counted:
            self.prints = PrintState(emit, CountedPrints(before.trade_id or 0, before.known_prints))
        self._depth_cause = self._trade_cause = before.cause
        self._update_sent, self._trade_sent = before.update_sent, before.trade_sent
        self.ids_again = False
        self._last_us = self._passed_us = 0
        self._newest: dict[int, tuple[int, int]] = {}  # by connection, the ids of its last update
        self.needs_snapshot = False
        self._status = ""

    @property
    def book_id(self) -> int | None:
        return self.book.book_id

    def opened(self, conn: int) -> None:
        self.arbiter.opened(conn, exchange_ms(self._update_sent), exchange_ms(self._trade_sent))

    def forget_ids(self) -> None:
        """`BookState.next_day` drops the book."""
        self.arbiter.forget()
        self.book.ids.start_again()
        self.trades.forget_ids()
        self._newest.clear()
        self._update_sent = self._trade_sent = 0
        self.ids_again = False

    def closed(self, conn: int, at_us: int = 0) -> None:
        """Close a connection, and process the messages that waited for it."""
        self._last_us = max(self._last_us, at_us)
        self._newest.pop(conn, None)
        for doubts in self.arbiter.doubts:
            self._settle(doubts.closed(conn))
        others_muted = self.arbiter.muted - {conn}
        self._pass_on(self.arbiter.closed(conn))
        if others_muted and self.arbiter.only_muted:
            self._follow_another(max(self._last_us, at_us))

    def _follow_another(self, at_us: int) -> None:
        """Follow connections whose updates differ from those so far: ids and book begin anew."""
        self.arbiter.muted.clear()
        self._pass_on(self.arbiter.start_again())
        self.book.carry_over(at_us)
        self.book.drop_book(at_us, PAIR_DIFFERS)
        self.book.ids.start_again()
        self.needs_snapshot = True

    def all_closed(self) -> None:
        self._depth_cause = self._trade_cause = DISCONNECTED
        self.needs_snapshot = False

    def next_day_of_trades(self, last_id: int | None) -> None:
        """Continue in another day, of which an earlier run stored trades up to *last_id*."""
        self.trades.next_day()
        if self.prints:
            self.prints.next_day(last_id or 0)

    def arrived(self, recv_us: int) -> None:
        self._last_us = recv_us
        if self.book.carries:
            self.book.carry_over(recv_us)

    def passed(self, us: int) -> None:
        self._passed_us = us

    def take(  # noqa: PLR0911 - each message has one way
        self, recv_us: int, message: Sequenced, conn: int | None = None, now_s: float = 0.0, raw: bytes = b""
    ) -> Taken:
        if self.ids_again:
            return Taken(ids_missing=False, advanced=False, late=False)
        self._last_us = recv_us
        if self._grid.off:
            self.report_grid(recv_us)
        if self.prints and isinstance(message, TradePrint):
            self._trade_sent = max(self._trade_sent, message.E)
            return Taken(ids_missing=False, advanced=self.prints.take(recv_us, message, conn), late=False)
        if conn in self.arbiter.muted:
            return Taken(ids_missing=False, advanced=False, late=False)
        if isinstance(message, DepthUpdate) and self.arbiter.differs(conn, message):
            self._emit(Anomaly(recv_us, PAIR_DIFFERS, {"conn": conn, "update_id": message.u}))
            return Taken(ids_missing=False, advanced=False, late=False)
        if conn is not None and isinstance(message, DepthUpdate):
            first_id, last_id = self._newest.get(conn, (0, 0))
            in_stream = self.book.ids.rule.in_stream  # then ids of a connection go back with a snapshot only
            if last_id > message.U if in_stream else first_id < message.U <= last_id:
                self._pass_on(self.arbiter.start_again())
                self.book.start_again(recv_us, message, (first_id, last_id))
            self._newest[conn] = message.U, message.u
        advanced = self.arbiter.alone(conn, message)
        if advanced is not None:
            return self._alone(recv_us, message, advanced)
        settled = self.arbiter.settle(recv_us, message, conn, now_s, raw)
        missing = self._settle(settled, now_s)
        if settled.again:
            self.ids_again = True
            first_id, last_id = ids_of(message)
            known_id = self.book.ids.known_id if isinstance(message, DepthUpdate) else self.trades.last_id
            stream = "depth" if isinstance(message, DepthUpdate) else stream_of(message)
            details = {"stream": stream, "known_id": known_id, "first_id": first_id, "last_id": last_id}
            self._emit(Anomaly(recv_us, IDS_AGAIN, details))
        if settled.held:
            return Taken(missing, advanced=False, late=False)
        taken = self._feed(recv_us, message, conn, now_s)
        return taken._replace(ids_missing=taken.ids_missing or missing)

    def _feed(self, recv_us: int, message: Sequenced, conn: int | None, now_s: float) -> Taken:
        advanced = self.arbiter.alone(conn, message, sure=True)
        if advanced is not None:
            return self._alone(recv_us, message, advanced)
        messages = self.arbiter.take(recv_us, conn, message, now_s) if conn is not None else []
        return Taken(self._pass_on(messages), bool(messages), late=False)

    def _alone(self, recv_us: int, message: Sequenced, advanced: bool) -> Taken:
        verdict = self._process(recv_us, message, one_of_many=False)
        return Taken(_is_gap(verdict), advanced, verdict is TradeVerdict.LATE)

    def _settle(self, settled: Settled, now_s: float = 0.0) -> bool:
        """Return whether ids were missing."""
        last_us, missing = self._last_us, False
        for doubted in settled.wrong:
            self._emit(MessageRefused(max(last_us, self._passed_us), doubted.recv_us, doubted.message, doubted.raw))
        for doubted in settled.right:
            self._last_us = max(doubted.recv_us, self._passed_us, last_us - MOST_BACK_US)
            missing |= self._feed(self._last_us, doubted.message, doubted.conn, now_s).ids_missing
        self._last_us = last_us
        return missing

    def stream_snapshot(
        self, recv_us: int, snapshot: DepthSnapshot, conn: int | None = None, now_s: float = 0.0
    ) -> Taken:
        """Take a snapshot of the stream in the order of the messages; one that others have told is not passed on."""
        self._last_us = recv_us
        if self.ids_again or conn in self.arbiter.muted:
            return Taken(ids_missing=False, advanced=False, late=False)
        if conn is not None:
            self._newest[conn] = snapshot.lastUpdateId, snapshot.lastUpdateId
        passing = self.arbiter.snapshot(recv_us, conn, snapshot, now_s, wanted=self.book_id is None)
        missing = self._pass_on(passing)
        return Taken(missing, bool(passing), late=False)

    def snapshot(self, recv_us: int, snapshot: DepthSnapshot) -> bool:
        recv_us = max(recv_us, self._passed_us)
        self.report_grid(recv_us)
        loaded = self.book.snapshot(recv_us, snapshot)
        self.needs_snapshot = self.needs_snapshot and self.book_id is None and not self.book.snapshot_waits
        return loaded

    def columns_until(self, batch: MessageBatch) -> int:
        """The end of the messages that lead to nothing but rows and a changed book, unless they cross it."""
        lanes = self.arbiter.takes_columns and not self.ids_again and not self._grid.off
        if not (lanes and self.book.takes_columns(batch.update_id)):
            return 0
        known = self.trades.last_id
        follows = not len(batch.trade_at) or (known is not None and known + 1 == batch.trade_id)
        return len(batch.us) if follows else int(batch.trade_at[0])

    def took_columns(self, batch: MessageBatch) -> None:
        columns = batch.columns
        self._last_us = int(batch.us[columns.at - 1])
        updates, last_us, sent = columns.latest(False)
        if updates:
            self.book.took_columns(updates, last_us)
            self._depth_cause, self.needs_snapshot = IDS_MISSING, False
            self._update_sent = max(self._update_sent, sent)
        trades, last_us, sent = columns.latest(True)
        if trades:
            self.trades.took_columns(trades, last_us)
            self._trade_cause, self._trade_sent = IDS_MISSING, max(self._trade_sent, sent)
        self.arbiter.took_columns(self.book_id, self.trades.last_id)

    def status(self, recv_us: int, status: str) -> None:
        if status == self._status and status in NOT_TRADED:
            return
        self._status, traded, book_id = status, status not in NOT_TRADED, self.book_id
        book = None if book_id is None else self.book.book
        at_us = max(recv_us, self._passed_us, self._last_us + 1)
        self._emit(StatusReported(at_us, status, traded, book_id or 0, book))

    def status_again(self, recv_us: int) -> None:
        """Repeat that the symbol does not trade: a new day's ledger does not know it."""
        if (status := self._status) in NOT_TRADED:
            self._status = ""
            self.status(recv_us, status)

    def report_grid(self, recv_us: int, **details: Any) -> None:
        if self._grid.off:
            self._emit(Anomaly(recv_us, GRID, {**self._grid.report(), **details}))

    def let_through(self, now_s: float, at_us: int = 0) -> None:
        self._last_us = max(self._last_us, at_us)
        for doubts in self.arbiter.doubts:
            self._settle(doubts.overdue(now_s), now_s)
        self._pass_on(self.arbiter.overdue(now_s))

    def trades_lost(self, at_us: int, first_id: int, last_id: int) -> None:
        self.trades.lost(at_us, first_id, last_id, self._trade_cause)

    def flush(self, at_us: int = 0) -> None:
        self._last_us = max(self._last_us, at_us)
        for doubts in self.arbiter.doubts:
            self._settle(doubts.rest())
        self._pass_on(self.arbiter.rest())

    def _pass_on(self, messages: Passing) -> bool:
        """Return whether ids were missing; what waited gets the time of its release, so that time does not decrease."""
        missing, least_us = False, max(self._last_us, self._passed_us)
        for recv_us, message in messages:
            missing |= _is_gap(self._process(max(recv_us, least_us), message, one_of_many=True))
        return missing

    def _process(
        self, recv_us: int, message: Sequenced | DepthSnapshot, *, one_of_many: bool
    ) -> Verdict | TradeVerdict:
        if isinstance(message, DepthSnapshot):
            cause, self._depth_cause = self._depth_cause, IDS_MISSING
            self._update_sent = max(self._update_sent, message.E or 0)
            self.report_grid(recv_us)
            self.book.snapshot(recv_us, message, cause)
            self.needs_snapshot = self.book_id is None
            return Verdict.APPLY
        if isinstance(message, DepthUpdate):
            self._update_sent = max(self._update_sent, message.E)
            cause, self._depth_cause = self._depth_cause, IDS_MISSING
            updated = self.book.take(recv_us, message, one_of_many=one_of_many, cause=cause)
            self.needs_snapshot = self.book.ids.book_id is None and not self.book.snapshot_waits
            return updated
        self._trade_sent = max(self._trade_sent, message.E)
        verdict = self.trades.take(recv_us, message, self._trade_cause)
        if verdict is not TradeVerdict.DUPLICATE and verdict is not TradeVerdict.LATE:
            self._trade_cause = IDS_MISSING
        return verdict


def _to_all(subscribers: Sequence[Subscriber]) -> Subscriber:
    if len(subscribers) == 1:
        return subscribers[0]

    def emit(event: MarketEvent) -> None:
        for subscriber in subscribers:
            subscriber(event)

    return emit


def _is_gap(verdict: Verdict | TradeVerdict) -> bool:
    return verdict is Verdict.GAP or verdict is TradeVerdict.GAP
