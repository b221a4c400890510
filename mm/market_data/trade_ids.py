"""Which trades are new: ids count up by one, so a hole is a loss, and an id that was there before is no new trade."""

from enum import Enum

from mm.ids import Follow, IdRange, IdRanges, IdSequence


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
    """Take trade ids one by one, and remember only those that are missing.

    Args:
        last_id: The highest id before the first one here; None where there was none.

    Attributes:
        missing: Ids that may still come.
        hole: The ids missing before the last GAP.
    """

    def __init__(self, last_id: int | None = None) -> None:
        self.missing = IdRanges()
        self.hole = IdRange(0, -1)
        self._sequence = IdSequence(last_id)

    @property
    def last_id(self) -> int | None:
        """The highest id; None before the first."""
        return self._sequence.last_id

    def take(self, trade_id: int) -> TradeVerdict:
        """Return what *trade_id* is, and count it as received."""
        if trade_id in self.missing:
            self.missing.remove(trade_id, trade_id)
            return TradeVerdict.LATE
        hole = self._sequence.missing_before(trade_id)
        found = self._sequence.take(trade_id, trade_id)
        if hole:
            self._add(hole)
        elif found is Follow.RESET:
            self.missing = IdRanges()
        return _VERDICTS[found]

    def skip(self, first_id: int, last_id: int) -> bool:
        """Count *first_id* to *last_id* as missing (`hole`), except what came; return False where all of it came."""
        if self.last_id is not None:
            first_id = self.last_id + 1
        if first_id > last_id:
            return False
        self._sequence.last_id = last_id
        self._add(IdRange(first_id, last_id))
        return True

    def fill(self, first_id: int, last_id: int) -> bool:
        """Remove *first_id* to *last_id* from the missing ids; return False where not all of them are missing."""
        missing = self.missing.covers(first_id, last_id)
        if missing:
            self.missing.remove(first_id, last_id)
        return missing

    def _add(self, hole: IdRange) -> None:
        self.hole = hole
        self.missing.add(*hole)


_VERDICTS = {
    Follow.CONTINUES: TradeVerdict.NEW,
    Follow.GAP: TradeVerdict.GAP,
    Follow.STALE: TradeVerdict.DUPLICATE,
    Follow.RESET: TradeVerdict.RESET,
}
