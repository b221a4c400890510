"""How far a snapshot can be relied on: how deep it reached, and whether a side that it shows empty may be so.

Beyond the last level of its snapshot a book knows only what has changed since.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mm.market_data.local_orderbook import Level, LocalOrderBook

_LEAST_SHARE = 10
_DOUBTS = 3


@dataclass(frozen=True, slots=True)
class Reach:
    """The levels of a snapshot, bids and asks.

    Attributes:
        levels: How many there were.
        edges: Price of the last of them, as the number that orders it; None where there was none.
    """

    levels: tuple[int, int] = (0, 0)
    edges: tuple[int | None, int | None] = (None, None)

    @classmethod
    def of(cls, bids: Sequence[Level], asks: Sequence[Level], key: Callable[[str], int]) -> "Reach":
        """Return the reach of a snapshot's levels, given in any order; *key* is that of the book."""
        last_bid = min((key(price) for price, _ in bids), default=None)
        last_ask = max((key(price) for price, _ in asks), default=None)
        return cls((len(bids), len(asks)), (last_bid, last_ask))

    def running_out(self, book: LocalOrderBook, limit: int, top_n: int) -> bool:
        """Tell whether the best *top_n* levels of *book* may soon reach beyond what the snapshot showed.

        A side with fewer levels than were asked for, *limit*, was shown whole. Of any other side, a tenth of the
        levels, twice *top_n* at least, must be left between the best price and the edge; half of a snapshot that has
        no more than that.
        """
        for side, levels, edge in zip((1, -1), self.levels, self.edges, strict=True):
            if edge is None or levels < limit:
                continue
            least = min(max(levels // _LEAST_SHARE, 2 * top_n), levels // 2)
            if book.levels_to(side, edge) < least:
                return True
        return False


class EmptySides:
    """Doubt a snapshot that shows a side empty: it may be so, but an answer that is broken looks the same."""

    def __init__(self) -> None:
        self._told = 0

    def doubted(self, bids: Sequence[Level], asks: Sequence[Level]) -> bool:
        """Tell whether to ask again; what was told three times before, in a row, is believed."""
        self._told = 0 if bids and asks else self._told + 1
        return 0 < self._told <= _DOUBTS
