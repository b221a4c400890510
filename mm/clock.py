"""Instants in µs (Unix, UTC), durations in µs, and days as the exchange desk in Berlin counts them."""

import time
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

US_PER_MS = 1_000
US_PER_S = 1_000_000
DAY_ZONE = "Europe/Berlin"


def now_us() -> int:
    """Return the wall clock, in µs since the Unix epoch."""
    return time.time_ns() // 1_000


def us_from_ms(ms: float) -> int:
    """Return a duration given in milliseconds (fractions allowed) in whole µs."""
    return round(ms * US_PER_MS)


def stamp_to_us(stamp: int) -> int:
    """Return a Unix *stamp* of unstated unit (s, ms, µs or ns) in µs, judged by its size.

    The bounds lie between the years 2001 and 2286 of each unit, so no recorded stamp is ambiguous.
    """
    if stamp < 10**10:
        return stamp * US_PER_S
    if stamp < 10**13:
        return stamp * US_PER_MS
    if stamp < 10**16:
        return stamp
    return stamp // 1_000


def day_of(us: int, zone: str = DAY_ZONE) -> str:
    """Return the local calendar day of an instant as ``YYYYMMDD``."""
    return datetime.fromtimestamp(us // US_PER_S, ZoneInfo(zone)).strftime("%Y%m%d")


def parse_day(day: str) -> date:
    """Return ``YYYYMMDD`` as a date; raises ValueError where it is none."""
    if len(day) != 8 or not day.isascii() or not day.isdigit():
        raise ValueError(f"{day!r} is not a day of the form YYYYMMDD")
    try:
        return datetime.strptime(day, "%Y%m%d").date()
    except ValueError:
        raise ValueError(f"{day!r} is in no calendar") from None


def midnight_us(day: str, zone: str = DAY_ZONE) -> int:
    """Return the instant at which *day* begins in *zone*, in µs."""
    first = parse_day(day)
    return int(datetime(first.year, first.month, first.day, tzinfo=ZoneInfo(zone)).timestamp()) * US_PER_S


def next_day(day: str) -> str:
    """Return the day after *day*."""
    return (parse_day(day) + timedelta(days=1)).strftime("%Y%m%d")


def run_stamp(us: int) -> str:
    """Return an instant as the UTC stamp that names runs: ``YYYYMMDDTHHMMSSZ``."""
    return datetime.fromtimestamp(us // US_PER_S, timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def iso(us: int) -> str:
    """Return an instant as ISO 8601 in UTC with µs."""
    whole, rest = divmod(us, US_PER_S)
    return datetime.fromtimestamp(whole, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest:06d}Z"
