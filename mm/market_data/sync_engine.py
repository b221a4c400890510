"""The synchronisation of a book with its updates: ids in, verdicts out, no input or output.

The rule is that of `mm.ids`. It is applied to the book's id while there is a book, else to the last id buffered. A gap
invalidates the book and the buffer alike, because no snapshot can use updates before missing ids; the update after the
gap opens a new buffer. So a buffer never has a gap, and a snapshot only has to reach its first update.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from mm.ids import Follow, follow, went_back

BUFFERED_DIFFS = 36_000

Update = TypeVar("Update")


class Verdict(Enum):
    """What to do with a depth update or a snapshot."""

    BUFFER = "buffer"
    """Update: no book yet; it is kept until a snapshot comes."""
    APPLY = "apply"
    """Update: change the book by it. Snapshot: it is the book now, and the updates handed back change it further."""
    STALE = "stale"
    """Update or snapshot: nothing in it is new; leave the book as it is."""
    GAP = "gap"
    """Update: ids before it are missing; a book is invalid now, and the update waits for a snapshot."""
    RESET = "reset"
    """As GAP (update) or APPLY (snapshot), because the ids were reset; all earlier ids have lost their meaning."""
    TOO_OLD = "too_old"
    """Snapshot: it ends before the buffer begins; fetch another one, the buffer stays as it is."""


@dataclass(frozen=True, slots=True)
class Bridge(Generic[Update]):
    """The answer to a snapshot.

    Attributes:
        verdict: APPLY, RESET, STALE or TOO_OLD.
        updates: The buffered updates to apply to it, in order; empty unless it became the book.
    """

    verdict: Verdict
    updates: tuple[Update, ...] = ()


class SyncEngine(Generic[Update]):
    """Decide, update by update, whether a book is right.

    The updates themselves pass through untouched: whatever stands for one (a message, a row number) is buffered with
    its ids and handed back by the snapshot that bridges it.

    Args:
        seen_id: Last id of the updates before the first one here; None where there were none.
        limit: Most updates to buffer (an hour at 100 ms). Where more come, the oldest go, and snapshots that would have
            needed them are too old.

    Attributes:
        book_id: Last id in the book; None while there is no valid book.
        seen_id: Last id of the updates taken so far, whether they reached a book or not; None before the first. A
            snapshot may be ahead of it: the updates up to the book's id are then stale when they come, and no fault.
    """

    def __init__(self, seen_id: int | None = None, *, limit: int = BUFFERED_DIFFS) -> None:
        self.book_id: int | None = None
        self.seen_id = seen_id
        self._buffer: deque[tuple[int, int, Update]] = deque(maxlen=limit)

    @property
    def synced(self) -> bool:
        """Whether there is a valid book."""
        return self.book_id is not None

    @property
    def known_id(self) -> int | None:
        """The id that the next update must follow: the book's, else the last one seen; None before anything came."""
        return self.seen_id if self.book_id is None else self.book_id

    def diff(self, first_id: int, last_id: int, update: Update) -> Verdict:
        """Take the depth update of the ids *first_id* to *last_id*; answers BUFFER, APPLY, STALE, GAP or RESET."""
        found = follow(self.seen_id if self.book_id is None else self.book_id, first_id, last_id)
        if found is Follow.STALE:
            self.seen_id = max(last_id, self.seen_id or 0)
            return Verdict.STALE
        if found is Follow.GAP:
            return self._start_again(first_id, last_id, update, Verdict.GAP)
        if found is Follow.RESET:
            return self._start_again(first_id, last_id, update, Verdict.RESET)
        self.seen_id = last_id
        if self.book_id is not None:
            self.book_id = last_id
            return Verdict.APPLY
        self._buffer.append((first_id, last_id, update))
        return Verdict.BUFFER

    def snapshot(self, last_update_id: int) -> Bridge[Update]:
        """Take a snapshot's ``lastUpdateId``; answers APPLY or RESET (it is the book now), STALE or TOO_OLD.

        While there is a book, a snapshot that is not older replaces it.
        """
        known = self.known_id
        begins = self._buffer[0][0] - 1 if self._buffer else known  # what it must reach, however long the buffer is
        if begins is not None and went_back(begins, last_update_id):
            self._buffer.clear()
            self.book_id, self.seen_id = last_update_id, None
            return Bridge(Verdict.RESET)
        if self.book_id is not None:
            if last_update_id < self.book_id:
                return Bridge(Verdict.STALE)
        elif begins is not None and last_update_id < begins:
            return Bridge(Verdict.TOO_OLD)
        updates = tuple(update for _, last_id, update in self._buffer if last_id > last_update_id)
        self._buffer.clear()
        self.book_id = max(last_update_id, known or 0)
        return Bridge(Verdict.APPLY, updates)

    def lose(self) -> None:
        """Declare the book invalid although no id is missing (it crossed, it cannot be read): a snapshot must come."""
        self.book_id = None

    def _start_again(self, first_id: int, last_id: int, update: Update, verdict: Verdict) -> Verdict:
        self._buffer.clear()
        self._buffer.append((first_id, last_id, update))
        self.book_id, self.seen_id = None, last_id
        return verdict
