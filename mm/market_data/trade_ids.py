"""Which trades are new: ids count up by one, so a hole is a loss, and an id that was there before is no new trade."""

from bisect import bisect_right
from enum import Enum

from mm.market_data.sync_engine import went_back


class TradeVerdict(Enum):
    """What the id of a trade says."""

    NEW = "new"
    """It follows the last one, or is the first."""
    GAP = "gap"
    """It is new, and ids before it are missing: `TradeIds.hole`."""
    LATE = "late"
    """It fills a hole."""
    DUPLICATE = "duplicate"
    """It was there before, or would stand before the first that came."""
    RESET = "reset"
    """It lies so far back that the exchange has begun to count anew; it is new."""


class TradeIds:
    """Take trade ids one by one, and remember only the holes.

    Attributes:
        last_id: The highest id; None before the first.
        hole: The ids missing before the last GAP, first and last.
    """

    def __init__(self) -> None:
        self.last_id: int | None = None
        self.hole = (0, 0)
        self._holes: list[tuple[int, int]] = []

    def take(self, trade_id: int) -> TradeVerdict:
        """Return what *trade_id* is, and count it as there."""
        last = self.last_id
        if last is None or trade_id == last + 1:
            self.last_id = trade_id
            return TradeVerdict.NEW
        if trade_id > last:
            self.last_id, self.hole = trade_id, (last + 1, trade_id - 1)
            self._holes.append(self.hole)
            return TradeVerdict.GAP
        if self.fill(trade_id, trade_id):
            return TradeVerdict.LATE
        if went_back(last, trade_id):
            self.last_id = trade_id
            self._holes.clear()
            return TradeVerdict.RESET
        return TradeVerdict.DUPLICATE

    def skip(self, first_id: int, last_id: int) -> bool:
        """Take *first_id* to *last_id*, but for what came, for missing (`hole`); False where all of it came."""
        if self.last_id is not None:
            first_id = self.last_id + 1
        if first_id > last_id:
            return False
        self.hole, self.last_id = (first_id, last_id), last_id
        self._holes.append(self.hole)
        return True

    def missed(self, first_id: int, last_id: int) -> None:
        """Take a hole of an earlier run for one of these, so that it may be filled; holes come in order."""
        self._holes.append((first_id, last_id))

    def fill(self, first_id: int, last_id: int) -> bool:
        """Take the ids *first_id* to *last_id* out of the hole they lie in; False where they lie in none."""
        at = bisect_right(self._holes, (first_id, first_id)) - 1
        at += at + 1 < len(self._holes) and self._holes[at + 1][0] == first_id
        if at < 0 or not self._holes[at][0] <= first_id <= last_id <= self._holes[at][1]:
            return False
        first, last = self._holes[at]
        left = [(low, high) for low, high in ((first, first_id - 1), (last_id + 1, last)) if low <= high]
        self._holes[at : at + 1] = left
        return True
