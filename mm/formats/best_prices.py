"""Best prices of a source beside its whole books: the book of the newer of the two."""

from collections.abc import Iterable, Iterator
from operator import itemgetter

from mm.formats.events import BookEdits, LevelChanges, TimedEvent, WholeBook

BEST_RANK = 2
"""Rank of best prices, among the events of one instant behind those of the book."""

_Step = tuple[int, str | None, str | None]


class BestPrices:
    """Joins best prices to the events of a book, as edits of one book.

    A best price ends better levels of its side, and those of the other side that it meets; its own level has its
    quantity. Deeper levels stay as the book told them. A book that the exchange made before the latest best prices
    keeps their touch, since sources send books less often, and later.
    """

    def __init__(self) -> None:
        self._best = {1: (0, list[_Step]()), -1: (0, list[_Step]())}  # of each side: the exchange's time, and edits
        self._begun = False

    def edits(self, events: Iterable[TimedEvent]) -> Iterator[TimedEvent]:
        """Yield the events in their order; those of rank `BEST_RANK` are best prices."""
        for us, rank, place, event in events:
            if isinstance(event, (WholeBook, LevelChanges)):
                steps = self._newer(event) if rank == BEST_RANK else self._told(event)
                if steps:
                    yield us, rank, place, BookEdits(event.exch_us, steps, snapshot=not self._begun)
                    self._begun = True
            else:
                yield us, rank, place, event

    def _told(self, event: WholeBook | LevelChanges) -> list[_Step]:
        whole: list[_Step] = [(0, None, None)] if isinstance(event, WholeBook) else []
        later = sorted((best for best in self._best.values() if best[0] > event.exch_us), key=itemgetter(0))
        return [*whole, *_set(event), *(step for _, steps in later for step in steps)]

    def _newer(self, event: WholeBook | LevelChanges) -> list[_Step]:
        """Take the best prices that are no older than those known; return the edits they make."""
        made = list[_Step]()
        for side, levels in ((1, event.bids), (-1, event.asks)):
            if event.exch_us >= self._best[side][0] and levels and levels[-1][1].strip("0."):
                price, qty = levels[-1]
                steps: list[_Step] = [(side, price, None), (-side, price, None), (side, price, qty)]
                self._best[side] = event.exch_us, steps
                made += steps
        return made


def _set(event: WholeBook | LevelChanges) -> list[_Step]:
    return [(side, *level) for side, levels in ((1, event.bids), (-1, event.asks)) for level in levels]
