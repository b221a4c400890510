"""Depth messages and snapshots into a day folder: diffs, frames, snapshots, and what the ledger must say of them.

Never a silently wrong book: where ids are missing, the ids begin anew, the book crosses, or a frame would show a price
off the tick, the book is dropped, the ledger says why, and no frame is written until a snapshot bridges. Deeper in the
book, orders older than a change of the tick may rest off it for years: they are left out, and the ledger holds them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from mm.market_data.book_counts import BookCounts
from mm.market_data.day_writer import DayWriter, Stamp
from mm.market_data.grid import Grid
from mm.market_data.local_orderbook import Level, LocalOrderBook
from mm.market_data.messages import DepthUpdate, Snapshot
from mm.market_data.reach import Reach
from mm.market_data.sync_engine import Bridge, SyncEngine, Verdict

TOP_N = 20


_Held = tuple[str, str, str]
"""Side (``bid``, ``ask``), price and quantity of a level."""


class _Pending(NamedTuple):
    """An update with the day (a running number) it was stored in, and its stamp there."""

    day: int
    stamp: Stamp
    update: DepthUpdate


class BookKeeper:
    """Keep one symbol's book and write what becomes of it.

    Args:
        writer: The day that is written first; where it has earlier runs, ids missing since are a gap.
        grid: Knows the symbol's decimals; every text that comes here was checked by it.
        top_n: Levels a side in the frames.

    Attributes:
        book: The book; valid only while `book_id` is not None.
        counts: Of the day that is being written.
        epoch_id: Last epoch opened in that day; 0 before the first.
        reach: How deep the last snapshot reached.
        gap_cause: What the ledger says of ids that are missing.
    """

    def __init__(self, writer: DayWriter, grid: Grid, top_n: int = TOP_N) -> None:
        self.book = LocalOrderBook(grid.price, in_e8=True)
        self.counts = BookCounts()
        self.epoch_id = writer.earlier.epoch_id
        self.gap_cause = "ids_missing"
        self._writer = writer
        self._grid = grid
        self._top_n = top_n
        self._engine: SyncEngine[_Pending] = SyncEngine(writer.earlier.last_diff_id)
        self._day = 0
        self._carry = False
        self._lost: str | None = None
        self._last: DepthUpdate | None = None
        self._last_us = writer.earlier.last_diff_us
        self._ahead: Snapshot | None = None
        self.reach = Reach()

    @property
    def book_id(self) -> int | None:
        """Last id in the book; None while there is no valid book."""
        return self._engine.book_id

    def roll(self, writer: DayWriter, recv_us: int, *, carry: bool) -> None:
        """Go on in another day, from *recv_us*.

        A valid book is carried over: it becomes the day's first snapshot, tagged ``carried``, at the day's first
        message, unless that is a snapshot that becomes the book. Without *carry* the book is dropped.
        """
        self._writer = writer
        self._day += 1
        self.epoch_id = writer.earlier.epoch_id
        self.counts = BookCounts()
        if self._engine.synced and not carry:
            self._drop(recv_us, "days_missing")
        elif self._lost:
            self._drop(recv_us, self._lost)
        self._carry = self._engine.synced

    def settle(self, recv_us: int) -> None:
        """Write the carried book, if it is due: before every row of a new day."""
        if self._carry and self.book_id is not None:
            self._carry = False
            self._open_epoch(recv_us, "carried", self.book_id)

    def anomaly(self, recv_us: int, kind: str, **details: Any) -> None:
        """Write what is strange and count it."""
        self.counts.anomalies[kind] += 1
        self._writer.event(recv_us, "anomaly", self.epoch_id, {"kind": kind, **details})

    @property
    def awaits(self) -> bool:
        """Whether a snapshot is here that waits for the book to come as far."""
        return self._ahead is not None

    def depth(self, recv_us: int, update: DepthUpdate, *, one_of_many: bool = False) -> None:
        """Store a depth message, apply it where it applies, and write its frame.

        *one_of_many*: connections cut the ids differently, so that an overlap is nothing strange.
        """
        if self._ahead:
            self._take_if_reached(recv_us, update)
        self.settle(recv_us)
        seq = self._writer.diff(recv_us, update.E, update.U, update.u, update.b, update.a)
        self.counts.diffs += 1
        engine = self._engine
        seen, known, was_synced = engine.seen_id, engine.known_id, engine.synced
        pending = _Pending(self._day, Stamp(recv_us, seq, update.E, update.u), update)
        verdict = engine.diff(update.U, update.u, pending)
        if verdict is Verdict.GAP:
            self._gap(recv_us, (known if seen is None else seen) or 0, update.U)
        elif verdict is Verdict.RESET:
            self.anomaly(recv_us, "id_reset", known_id=known, first_id=update.U, last_id=update.u)
        elif seen is not None:
            self._note_ids(recv_us, seen, update, one_of_many)
        if verdict is Verdict.APPLY:
            self._apply(recv_us, pending)
        elif was_synced and not engine.synced:
            self._drop(recv_us, verdict.value if verdict is Verdict.GAP else "id_reset")
        self._last, self._last_us = update, recv_us
        if self._ahead and not engine.synced:
            ahead, self._ahead = self._ahead, None
            self._take(recv_us, ahead)

    def snapshot(self, recv_us: int, snapshot: Snapshot) -> None:
        """Make a snapshot the book, where it bridges, and write it; else the ledger says why it was not loaded.

        While there is a valid book, a snapshot that is not older replaces it (tag ``refresh``). One that is ahead of
        the book waits for the update that reaches beyond it: only that tells whether the updates up to it were on their
        way or are missing. Refused is one with fewer than half the levels of the last one on a side: it is a look at
        the top, and not the book.
        """
        if self.book_id is None or snapshot.lastUpdateId <= self.book_id:
            self._take(recv_us, snapshot)
            return
        if self._ahead:
            self._refuse(recv_us, "superseded", self._ahead.lastUpdateId)
        self._ahead = snapshot

    def finish(self, recv_us: int) -> None:
        """Take leave: a snapshot that still waits is refused."""
        if self._ahead:
            self._refuse(recv_us, "not_reached", self._ahead.lastUpdateId)
            self._ahead = None

    def _take_if_reached(self, recv_us: int, update: DepthUpdate) -> None:
        """Load the snapshot that waits, if the book has come as far as it can and *update* goes on beyond it."""
        ahead, book_id = self._ahead, self.book_id
        if ahead and book_id is not None and ahead.lastUpdateId < update.u and book_id + 1 >= update.U:
            self._ahead = None
            self._take(recv_us, ahead)

    def _take(self, recv_us: int, snapshot: Snapshot) -> None:
        fresh = LocalOrderBook.of(snapshot.bids, snapshot.asks, self._grid.price, in_e8=True)
        last_id, known, was_synced = snapshot.lastUpdateId, self._engine.known_id, self._engine.synced
        off_tick = self._off_tick(snapshot.bids, snapshot.asks)
        cause = self._fault(snapshot, fresh)
        differing = self.book.differences(fresh, self.reach.edges) if not cause and last_id == self.book_id else 0
        bridge: Bridge[_Pending] = Bridge(Verdict.STALE) if cause else self._engine.snapshot(last_id)
        if bridge.verdict not in (Verdict.APPLY, Verdict.RESET):
            self._refuse(recv_us, cause or bridge.verdict.value, last_id, off_tick)
            return
        tag = "resync" if self._lost else "refresh" if was_synced and not self._carry else "initial"
        self._carry = False
        if off_tick:
            self._leave_out(recv_us, last_id, off_tick, fresh)
        if differing:
            self.anomaly(recv_us, "snapshot_differs", last_update_id=last_id, levels=differing)
        if bridge.verdict is Verdict.RESET:
            self.anomaly(recv_us, "id_reset", known_id=known, last_update_id=last_id)
            tag = "resync"
        self.reach = Reach.of(snapshot.bids, snapshot.asks, self._grid.price)
        self._last_us = recv_us
        self._load(recv_us, tag, last_id, fresh, bridge.updates)

    def _fault(self, snapshot: Snapshot, fresh: LocalOrderBook) -> str | None:
        """Return why a snapshot cannot be used at all; None where it can."""
        if self._shows_off_tick(fresh):
            return "off_tick"
        if fresh.crossed():
            return "crossed"
        levels = len(snapshot.bids), len(snapshot.asks)
        shallow = any(2 * new < old for new, old in zip(levels, self.reach.levels, strict=True))
        return "shallow" if self._engine.synced and shallow else None

    def _refuse(self, recv_us: int, cause: str, last_id: int, off_tick: Sequence[_Held] = ()) -> None:
        self.settle(recv_us)
        if cause == "off_tick":
            self.anomaly(recv_us, cause, price=off_tick[0][1], last_id=last_id)
        elif cause == "crossed":
            self.anomaly(recv_us, cause, last_id=last_id)
        self.counts.snapshots_refused += 1
        self._writer.event(recv_us, "snapshot_failed", self.epoch_id, {"cause": cause, "http_status": None})

    def _load(self, recv_us: int, tag: str, last_id: int, fresh: LocalOrderBook, updates: tuple[_Pending, ...]) -> None:
        """Make *fresh* the book, bring it up to date, and open an epoch.

        Updates stored in an earlier day are no part of this day's files. They go into the snapshot that is written,
        which is then a carried one.
        """
        earlier = [pending for pending in updates if pending.day != self._day]
        self.book = fresh
        for pending in earlier:
            self._change_book(pending.update)
        self._open_epoch(recv_us, "carried" if earlier else tag, earlier[-1].update.u if earlier else last_id)
        for pending in updates[len(earlier) :]:
            if self._engine.synced:
                self._apply(recv_us, pending)

    def _open_epoch(self, recv_us: int, tag: str, last_id: int) -> None:
        self._writer.snapshot(recv_us, tag, last_id, *self.book.levels(), self.epoch_id + 1)
        self.epoch_id += 1
        self.counts.epochs += 1
        self.counts.snapshots += 1
        if self._lost:
            self._writer.event(recv_us, "resync_done", self.epoch_id, {"last_update_id": last_id})
            self._lost = None

    def _apply(self, recv_us: int, pending: _Pending) -> None:
        """Change the book and write its frame, or drop it where the change shows that it is wrong."""
        update = pending.update
        self._change_book(update)
        off_tick = self._off_tick(update.b, update.a)
        if off_tick and self._shows_off_tick(self.book):
            self.anomaly(recv_us, "off_tick", price=off_tick[0][1], last_id=update.u)
            self._drop(recv_us, "off_tick")
            return
        if off_tick:
            self._leave_out(recv_us, update.u, off_tick, self.book)
        if self.book.crossed():
            (bid, _), (ask, _) = (side[0] for side in self.book.top(1))
            self.anomaly(recv_us, "crossed", bid=bid, ask=ask, last_id=update.u)
            self._drop(recv_us, "crossed")
            return
        self._writer.frame_of(pending.stamp, self.epoch_id, self.book.cells(self._writer.top_n))
        self.counts.frames += 1

    def _off_tick(self, bids: Sequence[Level], asks: Sequence[Level]) -> list[_Held]:
        """Return the levels that hold something at a price off the tick."""
        tick_e8, price_e8 = self._grid.tick_e8, self._grid.price
        if not tick_e8 or self._grid.all_on_tick:
            return []
        sides = (("bid", bids), ("ask", asks))
        return [
            (side, price, qty)
            for side, levels in sides
            for price, qty in levels
            if price_e8(price) % tick_e8 and qty.strip("0.")
        ]

    def _shows_off_tick(self, book: LocalOrderBook) -> bool:
        return bool(self._off_tick(*book.top(self._top_n)))

    def _leave_out(self, recv_us: int, last_id: int, off_tick: Sequence[_Held], book: LocalOrderBook) -> None:
        """Take levels off the tick out of *book* and into the ledger."""
        for side, price, _ in off_tick:
            book.apply(1 if side == "bid" else -1, price, "0")
        self.anomaly(recv_us, "off_tick", price=off_tick[0][1], last_id=last_id, left_out=off_tick)

    def _change_book(self, update: DepthUpdate) -> None:
        self.book.change(update.b, update.a)

    def _gap(self, recv_us: int, last_known: int, first_id: int) -> None:
        self.counts.gaps += 1
        details = {"from_id": last_known + 1, "to_id": first_id - 1, "from_us": self._last_us, "to_us": recv_us}
        self._writer.gap(recv_us, "gap", self.epoch_id, {**details, "cause": self.gap_cause})

    def _note_ids(self, recv_us: int, seen: int, update: DepthUpdate, one_of_many: bool) -> None:
        """Write what is strange about the ids of an update that follows one of last id *seen* and is no gap."""
        ids = {"first_id": update.U, "last_id": update.u, "seen_id": seen}
        if update.u <= seen:
            again = self._last is not None and (self._last.U, self._last.u) == (update.U, update.u)
            self.anomaly(recv_us, "duplicate" if again else "stale", **ids)
        elif seen >= update.U and not one_of_many:
            self.anomaly(recv_us, "overlap", **ids)
        elif seen + 1 < update.U:
            self.anomaly(recv_us, "hole_under_snapshot", **ids)

    def _drop(self, recv_us: int, cause: str) -> None:
        """Declare the book void until a snapshot comes."""
        self._lost = cause
        if self._engine.synced:
            self._engine.lose()
        self._writer.gap(recv_us, "resync_start", self.epoch_id, {"cause": cause})
