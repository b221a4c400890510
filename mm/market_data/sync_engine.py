"""Synchronises an order book with its updates: a verdict per update, and the resulting book.

The rule of `mm.ids` applies to the book's id while there is a book, else to the last buffered id. A gap invalidates
book and buffer, because no snapshot can use updates before missing ids; the update after the gap starts a new buffer.
So a buffer never has a gap, and a snapshot need only reach its first update.

A book is never silently wrong: if ids are missing or reset, the book crosses, or its best levels reach beyond the
horizon, it is dropped with the cause until a snapshot is loaded. A side's horizon is the worst price of a snapshot that
has as many levels as requested: levels beyond it are unknown.
"""

from typing import Any, NamedTuple

from mm.dayfolder.ledger import OVERLAP
from mm.ids import RESET_IDS, Follow, MissingIds, follow, went_back
from mm.market_data import market_events as events
from mm.markets.grid import Grid
from mm.markets.local_orderbook import LocalOrderBook, SnapshotDepth, SnapshotSanity
from mm.markets.messages import DepthSnapshot, DepthUpdate
from mm.markets.sequence import CONTIGUOUS, HORIZON, Bridge, SequenceRule, SyncEngine, Verdict

__all__ = ["IDS_MISSING", "BookState", "Bridge", "SnapshotDepth", "SnapshotSanity", "SyncEngine", "Verdict"]

IDS_MISSING = "ids_missing"
"""The default cause of missing ids."""

AHEAD_US, MOST_AHEAD_US = 2_000_000, 60_000_000
"""Time, in µs, for which updates may lag behind a snapshot, until one was refused for that, and at most."""


class _Pending(NamedTuple):
    day: int
    number: int
    update: DepthUpdate


class BookState:
    """Maintains one symbol's book and reports changes.

    Attributes:
        limit: Requested levels per side of snapshots; None: unknown, without a horizon.
    """

    def __init__(
        self,
        grid: Grid,
        emit: events.Subscriber,
        *,
        top_n: int,
        seen_id: int | None = None,
        seen_us: int = 0,
        rule: SequenceRule = CONTIGUOUS,
    ) -> None:
        self.book = LocalOrderBook(grid.price, in_e8=True)
        self.depth = SnapshotDepth()
        self.limit: int | None = None
        self.losses = 0
        self._horizons: list[tuple[int, int]] = []
        self._grid = grid
        self._emit = emit
        self._top_n = max(top_n, 1)
        self.ids: SyncEngine[_Pending] = SyncEngine(seen_id, rule=rule)
        self._number = 0
        self._day = 0
        self.carries = False
        self._lost: str | None = None
        self._last: tuple[int, int] | None = None
        self._last_us = seen_us
        self._ahead: DepthSnapshot | None = None
        self._ahead_us = 0
        self._patience_us = AHEAD_US
        self._kept: list[DepthUpdate] | None = None

    @property
    def book_id(self) -> int | None:
        return self.ids.book_id

    @property
    def snapshot_waits(self) -> bool:
        return self._ahead is not None

    def next_day(self, recv_us: int, *, carry: bool, cause: str = "days_missing") -> None:
        """Continue in another day, from *recv_us*.

        A valid book carries over as the day's first snapshot, tagged ``carried``, unless the first message is a
        snapshot. Without *carry* it is dropped for *cause*.
        """
        self._day += 1
        if self.ids.synced and not carry:
            self._drop(recv_us, cause)
        elif self._lost:
            self._drop(recv_us, self._lost)
        self.carries = self.ids.synced

    def carry_over(self, recv_us: int) -> None:
        """Open the day's first epoch with the carried book, if due; call before all other events of a day."""
        if self.carries and self.book_id is not None:
            self.carries = False
            self._open_epoch(recv_us, "carried", self.book_id)

    def take(self, recv_us: int, update: DepthUpdate, *, one_of_many: bool, cause: str = IDS_MISSING) -> Verdict:
        """Apply a depth message if possible.

        Args:
            one_of_many: Connections batch ids differently, so an overlap is no anomaly.
        """
        if self._ahead:
            self._load_if_reached(recv_us, update, self._ahead)
        if self.carries:
            self.carry_over(recv_us)
        engine = self.ids
        seen, book_id = engine.seen_id, engine.book_id
        self._number += 1
        pending = _Pending(self._day, self._number, update)
        verdict = engine.diff(update.U, update.u, pending)
        fault = self._change(update) if verdict is Verdict.APPLY else None
        if self._kept is not None:
            self._collect(self._kept, update, verdict)
        book_after = self.book if verdict is Verdict.APPLY and fault is None else None
        self._emit(events.DepthArrived(recv_us, self._number, update, verdict, book_after))
        if verdict is Verdict.GAP:
            last_seen = (book_id if seen is None else seen) or 0
            missing = MissingIds(last_seen + 1, update.U - 1, self._last_us, recv_us)
            self._emit(events.DepthMissing(recv_us, missing, cause))
        elif verdict is Verdict.RESET:
            known = seen if book_id is None else book_id
            self.anomaly(recv_us, "id_reset", known_id=known, first_id=update.U, last_id=update.u)
        elif seen is not None and seen + 1 != update.U:
            self._note_ids(recv_us, seen, update, one_of_many)
        if fault is not None:
            self._drop_faulty(recv_us, update.u, fault)
        elif book_id is not None and engine.book_id is None:
            self._drop(recv_us, verdict.value if verdict is Verdict.GAP else "id_reset")
        self._last, self._last_us = (update.U, update.u), recv_us
        if self._ahead:
            self._look_ahead(recv_us, update, self._ahead)
        return verdict

    def takes_columns(self, first_id: int) -> bool:
        """Whether messages of one id each, from *first_id* on, only change the book, unless they cross it."""
        ids = self.ids
        follows = ids.book_id is not None and ids.book_id + 1 == first_id and ids.seen_id in (None, ids.book_id)
        waits = self._ahead or self.carries or self._kept is not None or self._horizons
        return follows and not waits and self.book.takes_columns

    def took_columns(self, count: int, last_us: int) -> None:
        if count and self.ids.book_id is not None:
            last_id = self.ids.book_id + count
            self.ids.advance(last_id)
            self._number += count
            self._last, self._last_us = (last_id, last_id), last_us

    def snapshot(self, recv_us: int, snapshot: DepthSnapshot, cause: str = IDS_MISSING) -> bool:
        """Load a snapshot as the book and return True, or let it wait, or refuse it.

        A snapshot ahead of the book waits for the update beyond it: only that shows whether the updates in between were
        in transit or are missing. A requested snapshot also waits while there is no book, as its id may be wrong. If
        updates do not reach it in time, it is dropped, and the next gets twice the time: on a slow stream every
        snapshot is ahead.
        """
        if self.ids.rule.in_stream:
            return self._replace(recv_us, snapshot, cause)
        if self.limit and self._impossible(snapshot.lastUpdateId):
            self._refuse(recv_us, "impossible_id", snapshot.lastUpdateId)
            return False
        depth = SnapshotDepth.of(snapshot.bids, snapshot.asks, self._grid.price)
        snapshot = self._brought_up(snapshot)
        self._kept = None
        self._drop_ahead(recv_us, "superseded")
        reached = self.book_id if self.book_id is not None else self.ids.seen_id if self.limit else None
        if reached is None or snapshot.lastUpdateId <= reached:
            return self._load(recv_us, snapshot, depth)
        self._ahead, self._ahead_us = snapshot, recv_us
        return False

    def _replace(self, recv_us: int, snapshot: DepthSnapshot, cause: str) -> bool:
        """Load a snapshot of the stream: it is the book from here on, and ids before it may be missing, for *cause*."""
        self.carry_over(recv_us)
        known, last_id = self.ids.known_id, snapshot.lastUpdateId
        if known is not None and last_id > known + 1 and not self.ids.rule.relinks:
            missing = MissingIds(known + 1, last_id - 1, self._last_us, recv_us)
            self._emit(events.DepthMissing(recv_us, missing, cause))
            self._drop(recv_us, Verdict.GAP.value)
        elif known is not None and last_id < known and self.ids.synced:
            self._drop(recv_us, "id_reset")
        loaded = self._load(recv_us, snapshot, SnapshotDepth.of(snapshot.bids, snapshot.asks, self._grid.price))
        if not loaded:  # the exchange's book is another one now
            self.ids.seen_id = last_id
            self.drop_book(recv_us, "crossed")
        self._last = None
        return loaded

    def _impossible(self, last_id: int) -> bool:
        known = self.ids.known_id
        return known is not None and (went_back(known, last_id) or last_id - known >= RESET_IDS)

    def expect_snapshot(self) -> None:
        """Keep the updates until a snapshot arrives, which may be older than the last of them."""
        self._kept = []

    def finish(self, recv_us: int) -> None:
        self._drop_ahead(recv_us, "not_reached")

    def start_again(self, recv_us: int, update: DepthUpdate, seen: tuple[int, int]) -> None:
        """Forget all ids before *update*, which began inside *seen*, the previous ids of its connection."""
        self.carry_over(recv_us)
        self.anomaly(recv_us, OVERLAP, first_id=update.U, last_id=update.u, seen_first_id=seen[0], seen_id=seen[1])
        self.ids.start_again()
        self._drop(recv_us, OVERLAP)
        self._last = None
        if self._kept is not None:
            self._kept.clear()

    def drop_book(self, recv_us: int, cause: str) -> None:
        if self.ids.synced:
            self._drop(recv_us, cause)

    def miss(self, recv_us: int, cause: str) -> None:
        """The source lost messages before *recv_us*: the next id counts as missing."""
        if self.book_id is not None:
            missing = MissingIds(self.book_id + 1, self.book_id + 1, self._last_us, recv_us)
            self._emit(events.DepthMissing(recv_us, missing, cause))
            self.ids.seen_id = missing.last_id
            self._drop(recv_us, cause)

    def anomaly(self, recv_us: int, kind: str, **details: Any) -> None:
        self._emit(events.Anomaly(recv_us, kind, details))

    @property
    def running_out(self) -> bool:
        """False while a new snapshot waits."""
        if self.book_id is None or self.snapshot_waits or not self._horizons:
            return False
        return self.depth.running_out(self.book, self.limit or 0, self._top_n)

    @staticmethod
    def _collect(kept: list[DepthUpdate], update: DepthUpdate, verdict: Verdict) -> None:
        if verdict is Verdict.APPLY:
            kept.append(update)
        elif verdict in (Verdict.GAP, Verdict.RESET):
            kept.clear()

    def _brought_up(self, snapshot: DepthSnapshot) -> DepthSnapshot:
        """Apply the kept updates if the book has passed the snapshot's id since the request."""
        kept = self._kept
        if not kept or snapshot.lastUpdateId < kept[0].U - 1 or not self.ids.changes(kept[-1].u, snapshot.lastUpdateId):
            return snapshot
        book = LocalOrderBook.of(snapshot.bids, snapshot.asks, self._grid.price, in_e8=True)
        for update in kept:
            if self.ids.changes(update.u, snapshot.lastUpdateId):
                book.change(update.b, update.a)
        return DepthSnapshot(kept[-1].u, *book.levels())

    def _look_ahead(self, recv_us: int, update: DepthUpdate, ahead: DepthSnapshot) -> None:
        if not self.limit or update.u >= ahead.lastUpdateId:
            if not self.ids.synced:
                self._load_ahead(recv_us, ahead)
        elif recv_us - self._ahead_us > self._patience_us:
            self._patience_us = min(2 * self._patience_us, MOST_AHEAD_US)
            self._drop_ahead(recv_us, "not_reached")

    def _load_if_reached(self, recv_us: int, update: DepthUpdate, ahead: DepthSnapshot) -> None:
        book_id = self.book_id
        if book_id is not None and self.ids.changes(update.u, ahead.lastUpdateId) and book_id + 1 >= update.U:
            self._load_ahead(recv_us, ahead)

    def _load_ahead(self, recv_us: int, ahead: DepthSnapshot) -> None:
        self._ahead = None
        self._load(recv_us, ahead, SnapshotDepth.of(ahead.bids, ahead.asks, self._grid.price))

    def _drop_ahead(self, recv_us: int, cause: str) -> None:
        if self._ahead:
            last_id, self._ahead = self._ahead.lastUpdateId, None
            self._refuse(recv_us, cause, last_id)

    def _load(self, recv_us: int, snapshot: DepthSnapshot, depth: SnapshotDepth) -> bool:
        fresh = LocalOrderBook.of(snapshot.bids, snapshot.asks, self._grid.price, in_e8=True)
        last_id, known, was_synced = snapshot.lastUpdateId, self.ids.known_id, self.ids.synced
        cause = self._fault(snapshot, fresh)
        differing = self.book.differences(fresh, self.depth.edges) if not cause and last_id == self.book_id else 0
        bridge: Bridge[_Pending] = Bridge(Verdict.STALE) if cause else self.ids.snapshot(last_id)
        if bridge.verdict not in (Verdict.APPLY, Verdict.RESET):
            self._refuse(recv_us, cause or bridge.verdict.value, last_id)
            return False
        tag = "resync" if self._lost else "refresh" if was_synced and not self.carries else "initial"
        self.carries = False
        if differing:
            self.anomaly(recv_us, "snapshot_differs", last_update_id=last_id, levels=differing)
        if bridge.verdict is Verdict.RESET:
            self.anomaly(recv_us, "id_reset", known_id=known, last_update_id=last_id)
            tag = "resync"
        self.depth = depth
        self._patience_us = AHEAD_US
        windows = self.ids.rule.in_stream  # they show the best levels at any time, not those of the first snapshot
        self._horizons = self.depth.horizons(self.limit) if self.limit and not windows else []
        self._last_us = recv_us
        self._begin(recv_us, tag, last_id, fresh, bridge.updates)
        return True

    def _fault(self, snapshot: DepthSnapshot, fresh: LocalOrderBook) -> str | None:
        if fresh.crossed():
            return "crossed"
        levels = len(snapshot.bids), len(snapshot.asks)
        shallow = any(2 * new < old for new, old in zip(levels, self.depth.levels, strict=True))
        return "shallow" if self.ids.synced and shallow and not self.ids.rule.in_stream else None

    def _refuse(self, recv_us: int, cause: str, last_id: int) -> None:
        self.carry_over(recv_us)
        if cause == "crossed":
            self.anomaly(recv_us, cause, last_id=last_id)
        self._emit(events.SnapshotRefused(recv_us, cause))

    def _begin(
        self, recv_us: int, tag: str, last_id: int, fresh: LocalOrderBook, updates: tuple[_Pending, ...]
    ) -> None:
        """Make *fresh* the book, open an epoch, apply the buffered updates.

        Updates of an earlier day are merged into the opening snapshot: they are not in this day's files.
        """
        earlier = [pending for pending in updates if pending.day != self._day]
        self.book = fresh
        for pending in earlier:
            self.book.change(pending.update.b, pending.update.a)
        self._open_epoch(recv_us, "carried" if earlier else tag, earlier[-1].update.u if earlier else last_id)
        for pending in updates[len(earlier) :]:
            if self.ids.synced:
                fault = self._change(pending.update)
                if fault is not None:
                    self._drop_faulty(recv_us, pending.update.u, fault)
                else:
                    self._emit(events.BookChanged(pending.number, pending.update, self.book))

    def _open_epoch(self, recv_us: int, tag: str, last_id: int) -> None:
        self._emit(events.EpochOpened(recv_us, tag, last_id, *self.book.levels()))
        if self._lost:
            self._emit(events.BookResynced(recv_us, last_id))
            self._lost = None

    def _change(self, update: DepthUpdate) -> int | None:
        crossed = self.book.change(update.b, update.a)
        beyond = self._beyond() if self._horizons else 0
        return 0 if crossed else beyond or None

    def _beyond(self) -> int:
        for side, edge in self._horizons:
            if self.book.levels_to(side, edge) < self._top_n:
                return side
        return 0

    def _drop_faulty(self, recv_us: int, last_id: int, fault: int) -> None:
        if fault == 0:
            (bid, _), (ask, _) = (side[0] for side in self.book.top(1))
            self.anomaly(recv_us, "crossed", bid=bid, ask=ask, last_id=last_id)
        else:
            known = self.book.levels_to(fault, dict(self._horizons)[fault])
            self.anomaly(recv_us, HORIZON, side="bid" if fault > 0 else "ask", levels=known, last_id=last_id)
        self._drop(recv_us, HORIZON if fault else "crossed")

    def _note_ids(self, recv_us: int, seen: int, update: DepthUpdate, one_of_many: bool) -> None:
        step = follow(seen, update.U, update.u)
        if step is Follow.CONTINUES:
            return
        ids = {"first_id": update.U, "last_id": update.u, "seen_id": seen}
        if step is Follow.STALE or step is Follow.RESET:
            self.anomaly(recv_us, "duplicate" if self._last == (update.U, update.u) else "stale", **ids)
        elif step is Follow.OVERLAPS and not one_of_many:
            self.anomaly(recv_us, OVERLAP, **ids)
        elif step is Follow.GAP:
            self.anomaly(recv_us, "hole_under_snapshot", **ids)

    def _drop(self, recv_us: int, cause: str) -> None:
        self._lost = cause
        self.losses += 1
        if self.ids.synced:
            self.ids.lose()
        self._emit(events.BookLost(recv_us, cause))
