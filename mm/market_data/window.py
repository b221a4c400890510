"""The recording window: wall-clock times of a zone, turned into instants once and compared as such.

On the night of a clock change a time of day may come twice: the window then begins with the first and ends with the
second. A time that is skipped is as much later as the clock jumped. Lengths are those that pass, not those on the dial.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from mm.clock import US_PER_S, day_of, parse_day

ALWAYS = "always"
LONGEST_SLEEP_S = 1.0


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of recording.

    Attributes:
        day: ``YYYYMMDD``, the local date on which it opens.
        start_us: Its first instant.
        end_us: The first instant behind it.
    """

    day: str
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class WindowRule:
    """When to record, day by day.

    Attributes:
        start: ``HH:MM``, or ``always`` for every day as a whole.
        end: ``HH:MM`` up to ``24:00``; where it is not behind *start*, it is of the next day. Unused with ``always``.
        zone: Time zone of both, and of the day.
    """

    start: str
    end: str
    zone: str

    @property
    def endless(self) -> bool:
        """Whether the next window begins as one ends, so that recording goes on."""
        return self.start == ALWAYS

    def of_day(self, day: str) -> Window:
        """Return the window that opens on *day*."""
        first = parse_day(day)
        start, end = ("00:00", "24:00") if self.endless else (self.start, self.end)
        last = first + timedelta(days=1) if end <= start else first
        return Window(day, self._instants(first, start)[0], max(self._instants(last, end)))

    def at(self, now_us: int) -> Window:
        """Return the window that is open at *now_us*, else the next one to open."""
        today = parse_day(day_of(now_us, self.zone))
        days = (today + timedelta(days=ahead) for ahead in (-1, 0, 1))
        windows = (self.of_day(day.strftime("%Y%m%d")) for day in days)
        return next(window for window in windows if window.end_us > now_us)

    def _instants(self, day: date, text: str) -> tuple[int, int]:
        """Return when a local time of *day* comes for the first and for the second time."""
        hours, minutes = map(int, text.split(":"))
        local = datetime.combine(day + timedelta(days=hours // 24), time(hours % 24, minutes), ZoneInfo(self.zone))
        first, second = (int(local.replace(fold=fold).timestamp()) * US_PER_S for fold in (0, 1))
        return first, second


async def sleep_until(us: int, clock: Callable[[], int]) -> None:
    """Sleep until the wall *clock* shows *us*, also where it is set, or the machine sleeps, in the meantime."""
    while (rest_us := us - clock()) > 0:
        await asyncio.sleep(min(rest_us / US_PER_S, LONGEST_SLEEP_S))
