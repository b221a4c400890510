"""The ids of a market's trades: which are new, late or missing."""

from collections.abc import Iterable
from enum import Enum

from mm.ids import Follow, IdRange, IdRanges, IdSequence


class TradeNumbers(Enum):
    """What the `trade_id` of a market's days is, and what it proves."""

    EXCHANGE = "exchange"
    """The exchange's own id, counted without holes: a missing one is a missing trade."""
    UNDOCUMENTED = "undocumented"
    """The count of the day's prints; the exchange's own ids seem to be without holes, which it does not say."""
    TEXT = "text"
    """The count of the day's prints; the exchange's own ids are texts, so nothing shows that none is missing."""

    @property
    def are_counted(self) -> bool:
        return self is not TradeNumbers.EXCHANGE


KNOWN_PRINTS = 5_000
"""Number of latest prints among which one told again is looked for."""


class CountedPrints:
    """Counts the prints of a day, and notices by the exchange's own id which are told again.

    Attributes:
        last_id: Set at the start of a day; prints of the day before are still known.
    """

    def __init__(self, last_id: int = 0, known: Iterable[str] = ()) -> None:
        known = tuple(known)
        self.last_id = last_id
        self._known = {name: last_id - len(known) + 1 + at for at, name in enumerate(known)}

    def number(self, name: str) -> int | None:
        """Return the number of a new print, None for a known one."""
        if name in self._known:
            return None
        self.last_id += 1
        self._known[name] = self.last_id
        if len(self._known) > KNOWN_PRINTS:
            del self._known[next(iter(self._known))]
        return self.last_id

    def is_known(self, name: str, *, up_to: int) -> bool:
        """Return whether it is one of the latest prints, numbered *up_to* or before."""
        return self._known.get(name, up_to + 1) <= up_to

    def number_of(self, name: str) -> int:
        return self._known[name]


class TradeVerdict(Enum):
    NEW = "new"
    """It directly follows the last one, or is the first."""
    GAP = "gap"
    """It is new, and ids before it are missing."""
    LATE = "late"
    """It is one of the missing ids."""
    DUPLICATE = "duplicate"
    """It was received before, or would precede the first received one."""
    RESET = "reset"
    """It is so far back that the exchange has reset its ids; it is new."""


class TradeIds:
    def __init__(self, last_id: int | None = None) -> None:
        self.missing = IdRanges()
        self.hole = IdRange(0, -1)
        self._sequence = IdSequence(last_id)

    @property
    def last_id(self) -> int | None:
        """Setting it counts all ids up to it as received."""
        return self._sequence.last_id

    @last_id.setter
    def last_id(self, last_id: int | None) -> None:
        self._sequence.last_id = last_id

    def take(self, trade_id: int) -> TradeVerdict:
        if trade_id - 1 == self.last_id:  # nearly always: no search
            self.last_id = trade_id
            return TradeVerdict.NEW
        if trade_id in self.missing:
            self.missing.remove(trade_id, trade_id)
            return TradeVerdict.LATE
        hole = self._sequence.missing_before(trade_id)
        step = self._sequence.take(trade_id, trade_id)
        if hole:
            self._add(hole)
        elif step is Follow.RESET:
            self.missing = IdRanges()
        return _VERDICTS[step]

    def skip(self, first_id: int, last_id: int) -> bool:
        """Count ids as missing (`hole`); False if all were received."""
        if self.last_id is not None:
            first_id = self.last_id + 1
        if first_id > last_id:
            return False
        self._sequence.last_id = last_id
        self._add(IdRange(first_id, last_id))
        return True

    def fill(self, first_id: int, last_id: int) -> bool:
        """False unless all ids were missing."""
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
