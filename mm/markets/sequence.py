"""The order of a book's updates by their ids: a verdict per update, and which updates follow a snapshot."""

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from mm.ids import Follow, follow, went_back


@dataclass(frozen=True, slots=True)
class SequenceRule:
    """How a market's ids say that an update follows.

    Attributes:
        least: Least distance of an update's last id from a snapshot's for which it still changes the snapshot's book.
        in_stream: Snapshots come in the stream, in order with the updates: each is the book from there on.
        first_id: The id with which the exchange begins again after a restart, however far the last one was.
        relinks: An update names the id before it; one that names the last id follows even if its own id is lower.
    """

    least: int = 1
    in_stream: bool = False
    first_id: int | None = None
    relinks: bool = False

    def follow(self, last_id: int | None, first_new: int, last_new: int) -> Follow:
        """Return how the ids *first_new* to *last_new* continue those up to *last_id*."""
        if last_id is None:
            return Follow.CONTINUES
        if not self.relinks:
            restarted = first_new == self.first_id and first_new != last_id + 1
            return Follow.RESET if restarted else follow(last_id, first_new, last_new)
        if last_new == last_id:  # a heartbeat, or told again
            return Follow.STALE
        if first_new - 1 == last_id:
            return Follow.CONTINUES
        return Follow.GAP if first_new - 1 > last_id else Follow.RESET


CONTIGUOUS = SequenceRule()
"""The first update after a snapshot ends beyond its id."""
LINKED = SequenceRule(least=0)
"""An update has the last id of the one before it; the first one after a snapshot may end at its id."""
FROM_STREAM = SequenceRule(in_stream=True, first_id=1)
"""Each message of a book counts one id; a snapshot may come at any time, and the id 1 after a restart (Bybit)."""
RELINKED = SequenceRule(in_stream=True, relinks=True)
"""An update has the id of the one before it (``prevSeqId``), equal to its own in a heartbeat; the exchange may go on
from a lower id, which the next update then names (OKX)."""


class Verdict(Enum):
    BUFFER = "buffer"
    """Update: no book yet; it is buffered until a snapshot arrives."""
    APPLY = "apply"
    """Update: apply it to the book. Snapshot: it is the new book, and the returned updates are applied to it."""
    STALE = "stale"
    """Update or snapshot: it contains nothing new; the book stays unchanged."""
    GAP = "gap"
    """Update: ids before it are missing; a book is invalid now, and the update waits for a snapshot."""
    RESET = "reset"
    """As GAP (update) or APPLY (snapshot), because the ids were reset; all earlier ids are void."""
    TOO_OLD = "too_old"
    """Snapshot: it ends before the start of the buffer; fetch another one, the buffer is kept."""


BUFFERED_DIFFS = 36_000
HORIZON = "horizon"
"""The kind of anomaly, and the cause, if the best levels of a book reach beyond its snapshot's depth."""

Update = TypeVar("Update")


@dataclass(frozen=True, slots=True)
class Bridge(Generic[Update]):
    """Result of matching a snapshot with the buffered updates."""

    verdict: Verdict
    updates: tuple[Update, ...] = ()


class SyncEngine(Generic[Update]):
    """Decides, update by update, whether a book is valid.

    An update is any object (a message, a row number), buffered with its ids and returned by the first snapshot that can
    use it.

    Args:
        rule: The market's.
    """

    def __init__(
        self, seen_id: int | None = None, *, rule: SequenceRule = CONTIGUOUS, limit: int = BUFFERED_DIFFS
    ) -> None:
        self.book_id: int | None = None
        self.seen_id = seen_id
        self.rule, self.least = rule, rule.least
        self._fresh_id: int | None = None  # id of the snapshot in the book, if an update that ends there changes it
        self._buffer: deque[tuple[int, int, Update]] = deque(maxlen=limit)

    @property
    def synced(self) -> bool:
        return self.book_id is not None

    @property
    def known_id(self) -> int | None:
        """The id that the next update must follow."""
        return self.seen_id if self.book_id is None else self.book_id

    def changes(self, last_id: int, snapshot_id: int) -> bool:
        return last_id >= snapshot_id + self.least

    def diff(self, first_id: int, last_id: int, update: Update) -> Verdict:
        known = self.seen_id if self.book_id is None else self.book_id
        if first_id - 1 != known or last_id < first_id:  # nearly all follow directly: no call of `follow`
            step = self.rule.follow(known, first_id, last_id)
            if step is Follow.STALE:
                self.seen_id = max(last_id, self.seen_id or 0)
                if last_id == self.book_id == self._fresh_id:
                    self._fresh_id = None
                    return Verdict.APPLY
                return Verdict.STALE
            if step is Follow.GAP or step is Follow.RESET:
                return self._start_again(first_id, last_id, update, _LOST[step])
        self.seen_id = last_id
        if self.book_id is not None:
            self.book_id = last_id
            return Verdict.APPLY
        self._buffer.append((first_id, last_id, update))
        return Verdict.BUFFER

    def snapshot(self, last_update_id: int) -> Bridge[Update]:
        """APPLY and RESET make the snapshot the book, STALE and TOO_OLD do not."""
        known = self.known_id
        if self.rule.in_stream:
            return self._replaced_by(last_update_id, known)
        begins = self._buffer[0][0] - 1 if self._buffer else known  # the id to reach, for any length of the buffer
        if begins is not None and went_back(begins, last_update_id):
            self._buffer.clear()
            self.book_id, self.seen_id = last_update_id, None
            self._fresh_id = last_update_id if self.changes(last_update_id, last_update_id) else None
            return Bridge(Verdict.RESET)
        if self.book_id is not None:
            if last_update_id < self.book_id:
                return Bridge(Verdict.STALE)
        elif begins is not None and last_update_id < begins:
            return Bridge(Verdict.TOO_OLD)
        updates = tuple(update for _, last_id, update in self._buffer if self.changes(last_id, last_update_id))
        self._buffer.clear()
        self.book_id = max(last_update_id, known or 0)
        seen = self.seen_id is not None and self.changes(self.seen_id, last_update_id)
        self._fresh_id = last_update_id if not seen and self.changes(last_update_id, last_update_id) else None
        return Bridge(Verdict.APPLY, updates)

    def _replaced_by(self, last_id: int, known: int | None) -> Bridge[Update]:
        """Begin at a snapshot of the stream: whatever is buffered came before it."""
        self._buffer.clear()
        self.book_id = self.seen_id = last_id
        self._fresh_id = None
        again = known is not None and last_id != known and (last_id < known or last_id == self.rule.first_id)
        return Bridge(Verdict.RESET if again else Verdict.APPLY)

    def start_again(self) -> None:
        self._buffer.clear()
        self.book_id = self.seen_id = self._fresh_id = None

    def advance(self, last_id: int) -> None:
        """Updates up to *last_id* were applied, each of which followed directly."""
        self.book_id = self.seen_id = last_id

    def lose(self) -> None:
        self.book_id = None

    def _start_again(self, first_id: int, last_id: int, update: Update, verdict: Verdict) -> Verdict:
        self._buffer.clear()
        self._buffer.append((first_id, last_id, update))
        self.book_id, self.seen_id = None, last_id
        return verdict


_LOST = {Follow.GAP: Verdict.GAP, Follow.RESET: Verdict.RESET}
