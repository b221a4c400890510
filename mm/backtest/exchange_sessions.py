"""Sessions of an exchange, with its holidays and early closes, by the package exchange_calendars."""

import warnings
from bisect import bisect_right
from functools import cache
from typing import Any

from mm.clock import US_PER_MS, US_PER_S

_NEVER = 1 << 62


@cache
def sessions_of(calendar: str, year: int) -> tuple[tuple[int, int], ...] | None:
    """Open and close (µs) of each session that touches a year, for an ISO 10383 code such as ``XNYS``.

    None without the package.
    """
    try:
        import exchange_calendars
    except ModuleNotFoundError:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # what the package uses of newer pandas
        known: Any = exchange_calendars.get_calendar(calendar, start=f"{year - 1}-12-20", end=f"{year + 1}-01-10")
    opens, closes = (known.schedule[column].astype("int64") for column in ("open", "close"))
    per_us = US_PER_S // US_PER_MS  # the schedule counts nanoseconds
    return tuple((opened // per_us, closed // per_us) for opened, closed in zip(opens, closes, strict=True))


def is_in_session(calendar: str, us: int, year: int) -> bool:
    """True if the sessions are unknown."""
    sessions = sessions_of(calendar, year)
    if sessions is None:
        return True
    at = bisect_right(sessions, (us, _NEVER)) - 1
    return at >= 0 and us < sessions[at][1]
