"""Instants in µs (Unix, UTC), durations in µs, units of stamps, and days in Berlin.

A stamp whose unit is not stated is in ms below `MS_BELOW` and in µs from there on: the year 5138 as ms, 1973 as µs.
Stamps in s and ns are told apart by the same bound, a thousand times smaller and larger.
"""

import re
import time
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mm.errors import UsageError

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
US_PER_MS = 1_000
US_PER_S = 1_000_000
DAY_ZONE = "Europe/Berlin"
MS_BELOW = 10**14
"""Stamps below this are in ms, others in µs."""
FIRST_US, LAST_US = 1_230_768_000_000_000, 4_102_444_800_000_000
"""The years 2009 to 2099: the range of exchange stamps."""
_CALENDAR_US = 60_000_000_000_000_000  # about 1,900 years on either side of 1970: datetime ends with the year 9999
US_STAMPS = range(FIRST_US, LAST_US)
"""Exchange stamps in µs, as requested: a stamp in this range needs no further check."""


def now_us() -> int:
    return time.time_ns() // 1_000


class SteadyClock:
    """The wall clock in µs, which never goes back: once set back, it continues from its last value."""

    def __init__(
        self, wall: Callable[[], int] = now_us, passing: Callable[[], int] = lambda: time.monotonic_ns() // 1_000
    ) -> None:
        self.ahead_us = 0
        self._wall, self._passing = wall, passing
        self._offset_us = wall() - passing()

    def __call__(self) -> int:
        wall_us = self._wall()  # first, so that time between the two calls does not put this clock ahead
        passed_us = self._passing()
        self._offset_us = max(self._offset_us, wall_us - passed_us)
        self.ahead_us = passed_us + self._offset_us - wall_us
        return passed_us + self._offset_us


Instant = int | str | datetime
"""An instant from a user: µs since the Unix epoch, ISO 8601 text, or a datetime; UTC without a zone."""


def us_of(instant: Instant) -> int:
    """Return µs since the Unix epoch; UsageError if a text is not an instant."""
    if isinstance(instant, str):
        try:
            instant = datetime.fromisoformat(instant)
        except ValueError:
            raise UsageError(
                f"{instant!r} is not an instant; give ISO 8601, such as 2026-01-05T08:30:00Z, a datetime, or µs"
            ) from None
    if isinstance(instant, datetime):
        aware = instant if instant.tzinfo else instant.replace(tzinfo=timezone.utc)
        return (aware - EPOCH) // timedelta(microseconds=1)
    return int(instant)


def us_from_ms(ms: float) -> int:
    return round(ms * US_PER_MS)


def exchange_us(stamp: int) -> int:
    return stamp * US_PER_MS if stamp < MS_BELOW else stamp


def exchange_ms(stamp: int) -> int:
    return stamp if stamp < MS_BELOW else stamp // US_PER_MS


def stamp_to_us(stamp: int) -> int:
    """Tell a Unix *stamp*'s unit by its size: s, ms, µs or ns."""
    if stamp < MS_BELOW // 1_000:
        return stamp * US_PER_S
    if stamp < MS_BELOW * 1_000:
        return exchange_us(stamp)
    return stamp // 1_000


def checked_stamp(stamp: int, name: str) -> int:
    """Return an exchange stamp, ms or µs, unchanged; ValueError with the field's name if it is neither."""
    if FIRST_US <= stamp < LAST_US or FIRST_US // US_PER_MS <= stamp < LAST_US // US_PER_MS:
        return stamp
    raise ValueError(f"{name} is {stamp}, which is not a plausible time in ms or µs")


def checked_stamp_ms(stamp: int, name: str) -> int:
    """Return it unchanged; ValueError with the field's name if it is not in ms."""
    if FIRST_US // US_PER_MS <= stamp < LAST_US // US_PER_MS:
        return stamp
    raise ValueError(f"{name} is {stamp}, which is not a time in ms; it may be in another unit")


@lru_cache
def zone_of(name: str) -> tzinfo:
    """Find a zone, UTC without a time zone database; UsageError if there is no such zone."""
    if name in ("UTC", "Etc/UTC"):
        return timezone.utc
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        if name == DAY_ZONE or not has_zones():
            raise UsageError(
                f"time zone {name}: this machine has no time zone database; `pip install tzdata`, or install the "
                f"package tzdata of the system"
            ) from None
        raise UsageError(f"{name!r} is not a time zone; write one such as {DAY_ZONE}") from None


def has_zones() -> bool:
    try:
        ZoneInfo(DAY_ZONE)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def day_of(us: int, zone: str = DAY_ZONE) -> str:
    return datetime.fromtimestamp(us // US_PER_S, zone_of(zone)).strftime("%Y%m%d")


def plain_days(text: str) -> str:
    return re.sub(r"\b(\d{4})-(\d{2})-(\d{2})\b", r"\1\2\3", text)


def parse_day(day: str) -> date:
    if len(day) != 8 or not day.isascii() or not day.isdigit():
        raise ValueError(f"{day!r} is not a day in the form YYYYMMDD")
    try:
        return date(int(day[:4]), int(day[4:6]), int(day[6:]))
    except ValueError:
        raise ValueError(f"{day!r} is not a date of the calendar") from None


def midnight_us(day: str, zone: str = DAY_ZONE) -> int:
    first = parse_day(day)
    return int(datetime(first.year, first.month, first.day, tzinfo=zone_of(zone)).timestamp()) * US_PER_S


def next_day(day: str, step: int = 1) -> str:
    return (parse_day(day) + timedelta(days=step)).strftime("%Y%m%d")


def missing_days(days: Sequence[str]) -> str:
    """Days missing between ascending *days*, as in ``20260106, 20260109 to 20260112``."""
    gaps = [(next_day(day), next_day(other, -1)) for day, other in pairwise(days) if next_day(day) < other]
    return ", ".join(first if first == last else f"{first} to {last}" for first, last in gaps)


def run_stamp(us: int) -> str:
    """Return the UTC stamp that names runs: ``YYYYMMDDTHHMMSSZ``."""
    return datetime.fromtimestamp(us // US_PER_S, timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def iso(us: int) -> str:
    """ISO 8601 in UTC with µs; an instant that no calendar has stays in µs."""
    if not -_CALENDAR_US <= us <= _CALENDAR_US:
        return f"{us} us"
    whole, rest = divmod(us, US_PER_S)
    return f"{datetime.fromtimestamp(whole, timezone.utc).isoformat()[:19]}.{rest:06d}Z"
