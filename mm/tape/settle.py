"""Which recorded messages make a valid book: the sync engine, driven over a day's ids once, at load.

Where ids follow one another without a hole, the engine is told of a whole stretch as one update; it is asked
one by one where they do not. The answer is the same (tests hold the two ways together).
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mm.market_data.sync_engine import SyncEngine, Verdict
from mm.tape.ledger import LedgerRow
from mm.tape.ordering import Keys
from mm.tape.places import FEW, Place
from mm.tape.tables import Ints, Snapshot, Stream

_COUNTED = {
    Verdict.BUFFER: "unsynced_diffs",
    Verdict.STALE: "stale_diffs",  # the snapshot was ahead of them, which is no fault
    Verdict.GAP: "id_gaps",
    Verdict.RESET: "id_resets",
}
EPOCH_ENDS = ("gap", "resync_start")
AS_BEFORE = -1  # instant of a gap that is only noticed later: that of the event before it


@dataclass(frozen=True, slots=True)
class Mark:
    """A point of the day at which the book may become another: *key* says where.

    Attributes:
        key: Its place among the messages; it stands before those of an equal key.
        recv_us: Its instant, or AS_BEFORE.
        recv_seq: Its number; -1 without one.
        kind: ``gap``, ``run`` or ``snapshot``.
        snapshot: Which snapshot was loaded here, as an index.
    """

    key: int
    recv_us: int
    recv_seq: int
    kind: str
    snapshot: int = -1


@dataclass(slots=True)
class Settled:
    """What becomes of each message.

    Attributes:
        applied: Positions of the book messages that change a valid book where they stand, piece by piece.
        turns: In order, where a snapshot becomes the book, with the messages that were waiting for it, and
            where (a mark of another kind) a valid book ends.
        counts: Verdicts on all other messages and snapshots.
        places: Where the first few messages of each verdict are, and what their ids are.
        unused: Which snapshots do not meet the messages.
    """

    applied: list[Ints] = field(default_factory=list)
    turns: list[tuple[Mark, tuple[int, ...]]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    places: defaultdict[str, list[Place]] = field(default_factory=lambda: defaultdict(list))
    unused: list[int] = field(default_factory=list)

    def applied_at(self) -> Ints:
        """Return all positions of `applied`."""
        return np.concatenate([np.empty(0, np.int64), *self.applied])


def ledger_marks(ledger: Sequence[LedgerRow], keys: Keys, loaded: Mapping[int, int], whole_books: bool) -> list[Mark]:
    """Return the marks that the ledger sets, in order.

    Args:
        ledger: Its rows.
        keys: The order of the day.
        loaded: Index of the snapshot that each `snapshot_loaded` event, by its id, names.
        whole_books: The day has frames, which need no snapshot.
    """
    marks = [Mark(key, AS_BEFORE, -1, "run") for key in keys.first_of_run]
    for place, (row, key) in enumerate(zip(ledger, keys.ledger.tolist(), strict=True)):
        if row.kind == "snapshot_loaded" and not whole_books:
            marks.append(Mark(key, row.recv_us, row.recv_seq, "snapshot", loaded[row.event_id]))
        elif row.kind in EPOCH_ENDS:
            marks.append(Mark(key, row.recv_us, row.recv_seq, "gap"))
        elif row.kind == "run_start" and place:
            marks.append(Mark(key, AS_BEFORE, -1, "run"))
    return sorted(marks, key=lambda mark: mark.key)


def marks_by_id(book: Stream, keys: Keys, snapshots: Sequence[Snapshot]) -> list[Mark]:
    """Return where snapshots of a day without a ledger belong: before the first message that goes on from each."""
    marks = [Mark(key, AS_BEFORE, -1, "run") for key in keys.first_of_run]
    at = 0
    for index, snapshot in enumerate(snapshots):
        last = snapshot.last_update_id
        later = book.last_id[at:] > last
        bridging = np.flatnonzero(later & (book.first_id[at:] <= last + 1))
        newer = bridging if len(bridging) else np.flatnonzero(later)
        at = at + int(newer[0]) if len(newer) else len(book)
        if at < len(book):
            marks.append(Mark(int(keys.book[at]), int(book.recv_us[at]), -1, "snapshot", index))
        else:
            marks.append(Mark(int(keys.book[-1]) + 1, AS_BEFORE, -1, "snapshot", index))
    return sorted(marks, key=lambda mark: mark.key)


def settle_diffs(book: Stream, keys: Keys, marks: Sequence[Mark], snapshot_ids: Sequence[int]) -> Settled:
    """Drive the sync engine over a day of depth messages.

    Args:
        book: The messages, in order.
        keys: The order of the day.
        marks: Where runs begin, epochs end and snapshots were loaded, in order.
        snapshot_ids: ``lastUpdateId`` of each snapshot.
    """
    drive = _Drive(book, keys)
    at = 0
    for mark, stop in zip(marks, np.searchsorted(keys.book, [mark.key for mark in marks]).tolist(), strict=True):
        drive.play(at, stop)
        drive.mark(mark, snapshot_ids)
        at = stop
    drive.play(at, len(book))
    return drive.settled


class _Drive:
    """The engine on its way through the messages."""

    def __init__(self, book: Stream, keys: Keys) -> None:
        self.settled = Settled()
        self._engine: SyncEngine[int] = SyncEngine()
        self._book, self._keys = book, keys
        first, last = book.first_id, book.last_id
        follows = (first[1:] == last[:-1] + 1) & (last[1:] >= first[1:])
        self._breaks = [*(np.flatnonzero(~follows) + 1).tolist(), len(book)]

    def play(self, at: int, stop: int) -> None:
        """Take the messages ``at:stop``."""
        first, last = self._book.first_id, self._book.last_id
        while at < stop:
            synced, seen, known = self._engine.synced, self._engine.seen_id, self._engine.known_id
            verdict = self._engine.diff(int(first[at]), int(last[at]), at)
            end = at + 1
            if verdict is Verdict.APPLY:
                end = min(stop, self._breaks[bisect_right(self._breaks, at)])
                if end > at + 1:
                    self._engine.diff(int(first[at + 1]), int(last[end - 1]), at + 1)
                self.settled.applied.append(np.arange(at, end))
            else:
                repeated = verdict is Verdict.STALE and seen is not None and last[at] <= seen
                self._count("repeated_diffs" if repeated else _COUNTED[verdict], at, known)
                if synced and not self._engine.synced:
                    self.settled.turns.append((self._gap_at(at), ()))
            at = end

    def mark(self, mark: Mark, snapshot_ids: Sequence[int]) -> None:
        """Pass a mark."""
        if mark.kind == "snapshot":
            bridge = self._engine.snapshot(snapshot_ids[mark.snapshot])
            if bridge.verdict in (Verdict.APPLY, Verdict.RESET):
                self.settled.turns.append((mark, bridge.updates))
            else:
                self.settled.counts["snapshots_unused"] += 1
                self.settled.unused.append(mark.snapshot)
            return
        if self._engine.synced:
            self.settled.turns.append((mark, ()))
            self._engine.lose()
        if mark.kind == "run":
            self._engine = SyncEngine()

    def _count(self, verdict: str, message: int, known_id: int | None) -> None:
        self.settled.counts[verdict] += 1
        if len(self.settled.places[verdict]) < FEW:
            book = self._book
            ids = f"U={book.first_id[message]}, u={book.last_id[message]} after {known_id}"
            self.settled.places[verdict].append(Place(book.read.path, f"{book.name(message)}: {ids}"))

    def _gap_at(self, message: int) -> Mark:
        book = self._book
        return Mark(int(self._keys.book[message]), int(book.recv_us[message]), int(book.recv_seq[message]), "gap")


def settle_frames(book: Stream, keys: Keys, marks: Sequence[Mark]) -> Settled:
    """Settle a day that has frames only: each is a whole book, and one that repeats the last is dropped."""
    stops = np.searchsorted(keys.book, [mark.key for mark in marks])
    new = ~book.repeats
    new[stops[stops < len(book)]] = True
    settled = Settled(counts=Counter(frames_unchanged=int(np.count_nonzero(~new))))
    settled.applied.append(np.flatnonzero(new))
    before = 0
    for mark, stop in zip(marks, stops.tolist(), strict=True):
        if stop > before:
            settled.turns.append((mark, ()))
            before = stop
    return settled
