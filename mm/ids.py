"""Sequences of increasing ids: how an update continues one, and which ids are missing.

A depth update covers the ids from `U` (first) to `u` (last) and carries absolute quantities; a trade covers its own id.
One rule covers all cases, with *last* the last id of the sequence, or a snapshot's ``lastUpdateId``:

- stale: ``u <= last``; if it is far back, the exchange has restarted its ids (a reset)
- gap: ``U > last + 1``; the ids from ``last + 1`` to ``U - 1`` are missing
- continues: ``U == last + 1``
- overlaps: anything else; legal, because quantities are absolute
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import pairwise
from typing import NamedTuple

RESET_IDS = 1_000_000
RESET_LEAST_IDS = 1_000


class Follow(Enum):
    CONTINUES = "continues"
    """It starts with the next id, or is the first update."""
    OVERLAPS = "overlaps"
    """It starts at or before the last id and ends after it."""
    STALE = "stale"
    """It ends at or before the last id, so it has nothing new."""
    GAP = "gap"
    """Ids before it are missing."""
    RESET = "reset"
    """It ends so far back that the exchange must have reset its ids; earlier ids are no longer comparable."""


def went_back(last_id: int, new_id: int) -> bool:
    """Return whether *new_id* is so far before *last_id* that the exchange must have reset its ids.

    Late messages are seconds old, some thousand ids each. So a reset goes back by `RESET_IDS`, or by `RESET_LEAST_IDS`
    and half of *last_id*: a new symbol's ids are below a million.
    """
    back = last_id - new_id
    return back >= RESET_IDS or (back >= RESET_LEAST_IDS and 2 * back >= last_id)


def follow(last_id: int | None, first_new: int, last_new: int) -> Follow:
    """Tell how an update follows *last_id*; None: the sequence is empty, and every update continues it."""
    if last_id is None:
        return Follow.CONTINUES
    if last_new <= last_id:
        return Follow.RESET if went_back(last_id, last_new) else Follow.STALE
    if first_new > last_id + 1:
        return Follow.GAP
    return Follow.OVERLAPS if first_new <= last_id else Follow.CONTINUES


class IdSequence:
    __slots__ = ("last_id",)

    def __init__(self, last_id: int | None = None) -> None:
        self.last_id = last_id

    def follow(self, first_id: int, last_id: int) -> Follow:
        return follow(self.last_id, first_id, last_id)

    def take(self, first_id: int, last_id: int) -> Follow:
        step = follow(self.last_id, first_id, last_id)
        if step is not Follow.STALE:
            self.last_id = last_id
        return step

    def missing_before(self, first_id: int) -> "IdRange | None":
        if self.last_id is None or first_id <= self.last_id + 1:
            return None
        return IdRange(self.last_id + 1, first_id - 1)


class IdRange(NamedTuple):
    """Both ends are included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        return self.last - self.first + 1

    def is_within(self, other: "IdRange") -> bool:
        return other.first <= self.first and self.last <= other.last


class MissingIds(NamedTuple):
    """Ids that did not arrive, and the arrivals (µs, 0: unknown) around them."""

    first_id: int
    last_id: int
    from_us: int = 0
    to_us: int = 0

    @property
    def ids(self) -> IdRange:
        return IdRange(self.first_id, self.last_id)

    def subtract(self, came: "IdRanges") -> "list[MissingIds]":
        return [MissingIds(*left, self.from_us, self.to_us) for left in IdRanges([self.ids]) - came]

    def details(self, cause: str) -> dict[str, int | str]:
        ids = {"from_id": self.first_id, "to_id": self.last_id}
        return {**ids, "from_us": self.from_us, "to_us": self.to_us, "cause": cause}


class IdRanges:
    """A set of ids as sorted, disjoint ranges; adjacent ranges are merged."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in sorted(ranges):
            self.add(first, last)

    def add(self, first: int, last: int) -> None:
        """Add nothing if *last* is below *first*."""
        if first > last:
            return
        low, high = bisect_left(self._lasts, first - 1), bisect_right(self._firsts, last + 1)
        if low < high:
            first, last = min(first, self._firsts[low]), max(last, self._lasts[high - 1])
        self._firsts[low:high], self._lasts[low:high] = [first], [last]

    def remove(self, first: int, last: int) -> None:
        low, high = bisect_left(self._lasts, first), bisect_right(self._firsts, last)
        if low >= high or first > last:
            return
        left = [(self._firsts[low], first - 1), (last + 1, self._lasts[high - 1])]
        left = [(begin, end) for begin, end in left if begin <= end]
        self._firsts[low:high] = [begin for begin, _ in left]
        self._lasts[low:high] = [end for _, end in left]

    def covers(self, first: int, last: int) -> bool:
        at = bisect_right(self._firsts, first) - 1
        return at >= 0 and last <= self._lasts[at]

    def __contains__(self, number: int) -> bool:
        return self.covers(number, number)

    def __or__(self, other: "IdRanges") -> "IdRanges":
        return IdRanges([*self, *other])

    def __sub__(self, other: "IdRanges") -> "IdRanges":
        left = IdRanges(self)
        for first, last in other:
            left.remove(first, last)
        return left

    def __and__(self, other: "IdRanges") -> "IdRanges":
        return self - (self - other)

    def __iter__(self) -> Iterator[IdRange]:
        return map(IdRange, self._firsts, self._lasts)

    @property
    def size(self) -> int:
        """Not `len`, which Python uses as a hint to reserve memory."""
        return sum(self._lasts) - sum(self._firsts) + len(self._firsts)

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdRanges) and (self._firsts, self._lasts) == (other._firsts, other._lasts)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"IdRanges({[tuple(ids) for ids in self]})"

    def check(self) -> None:
        """ValueError unless ranges are sorted, disjoint and not adjacent."""
        bounds = [bound for ids in self for bound in (ids.first, ids.last + 1)]
        if any(low >= high for low, high in pairwise(bounds)):
            raise ValueError(f"ranges touch or are out of order: {self!r}")


class ConsecutiveIds(NamedTuple):
    """Arrivals of the first and last id in µs."""

    first_id: int
    last_id: int
    from_us: int
    to_us: int


def missing_trades(
    runs: Iterable[ConsecutiveIds], declared: IdRanges, excused: IdRanges | None = None, until_us: int | None = None
) -> list[MissingIds]:
    """Return trade ids that never arrived and are not *excused*, with the arrivals around them.

    An id that arrives later (REST, out of order), or precedes a reset, is not missing.

    Args:
        declared: Gaps in the ledger, whose ids may arrive late.
        excused: Not returned; None: the ids of *declared*.
        until_us: Up to here declared ids after the last one are missing; None leaves them out.
    """
    sequence, came, holes, last_us = IdSequence(), IdRanges(declared if excused is None else excused), [], 0
    for run in runs:
        if run.last_id <= (sequence.last_id or 0) and declared.covers(run.first_id, run.last_id):
            came.add(run.first_id, run.last_id)  # fetched by REST; otherwise a jump as far back is a reset
            continue
        hole = sequence.missing_before(run.first_id)
        step = sequence.take(run.first_id, run.last_id)
        if hole:
            holes.append(MissingIds(*hole, last_us, run.from_us))
        if step is Follow.STALE:
            came.add(run.first_id, run.last_id)
        else:
            last_us = run.to_us
    if until_us is not None:
        after = (sequence.last_id or 0) + 1
        holes += [MissingIds(max(first, after), last, last_us, until_us) for first, last in declared if last >= after]
    return [left for hole in holes for left in hole.subtract(came)]
