"""Receive times of rows: single times far from their neighbours, and times that step back."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from mm.clock import US_PER_S, iso

FAR_US = 5 * US_PER_S
"""Times further from their neighbours than this are counted and named."""
US_PER_DAY = 86_400 * US_PER_S
LOOK_AHEAD = 9
"""Number of rows with other times that are read to judge the time of one before them."""
MOST_HELD = 1_000

Row = TypeVar("Row")


@dataclass
class Moved:
    """Rows whose time was changed by more than `FAR_US`."""

    count: int = 0
    most_us: int = 0
    first: str = ""

    def note(self, where: str, own_us: int, us: int) -> None:
        if not self.count:
            self.first = f"{where} with {iso(own_us)}"
        self.count += 1
        self.most_us = max(self.most_us, abs(own_us - us))

    def far(self) -> list[str]:
        rows = "1 row has a time" if self.count == 1 else f"{self.count:,} rows have times"
        what = "trades among them are left out, changes of the book count as received with the row before"
        return [f"{rows} over 5 s from the rows around it, first {self.first}: {what}"] if self.count else []

    def raised(self) -> list[str]:
        rows = "1 row comes" if self.count == 1 else f"{self.count:,} rows come"
        back = f"up to {self.most_us / US_PER_S:,.1f} s before earlier rows, first {self.first}"
        return [f"{rows} {back}: they count as received at the time of the latest row before"] if self.count else []


class Steady(Generic[Row]):
    """Iterate over one stream's rows in order; rows with a far time go to a function.

    Args:
        us_of: Time of a row, µs; None without one.
        moved: Called with a row, its new time and the first row's time; returns what replaces the row, or None.
    """

    def __init__(
        self, rows: Iterable[Row], us_of: Callable[[Row], int | None], moved: Callable[[Row, int, int], Row | None]
    ) -> None:
        self._rows, self._us_of, self._moved = rows, us_of, moved
        self._held: deque[Row] = deque()
        self._first: int | None = None
        self._last: int | None = None

    def __iter__(self) -> Iterator[Row]:
        held = self._held
        for row in self._rows:
            if not held and self._follows(row):
                yield row
                continue
            held.append(row)
            if len(held) > MOST_HELD or (len(held) > LOOK_AHEAD and len(self._others()) >= LOOK_AHEAD):
                yield from self._released()
        while held:
            yield from self._released()

    @property
    def last_us(self) -> int | None:
        return None if self._held else self._last

    def passed(self, us: int) -> None:
        self._last = us

    def _follows(self, row: Row) -> bool:
        us = self._us_of(row)
        if us is None:
            return True
        if self._last is None or not 0 <= us - self._last <= FAR_US:
            return False
        self._last = us
        return True

    def _others(self) -> list[int]:
        first = self._us_of(self._held[0])
        return sorted(us for us in map(self._us_of, self._held) if us is not None and us != first)

    def _released(self) -> Iterator[Row]:
        following = self._others()
        row: Row | None = self._held.popleft()
        us = self._us_of(row) if row is not None else None
        if us is not None and row is not None:
            if _is_far(us, self._last, following):
                if self._last is None:
                    self._last = following[0]
                row = self._moved(row, self._last, self._last if self._first is None else self._first)
            else:
                self._last = us
        if self._first is None:
            self._first = self._last
        if row is not None:
            yield row
        while self._held and self._follows(self._held[0]):
            yield self._held.popleft()


def _is_far(us: int, last: int | None, following: list[int]) -> bool:
    """Far from *last* and from most of the *following* times."""
    middle = following[len(following) // 2] if following else us
    if last is None and us < middle - US_PER_DAY:
        return True
    if us > middle + FAR_US and (last is None or us > last + FAR_US):
        return True
    return last is not None and us < last - FAR_US and (not following or middle >= last - FAR_US)
