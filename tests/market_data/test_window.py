import asyncio

import pytest

from mm.clock import US_PER_S, midnight_us
from mm.market_data.days import WindowRule, sleep_until

HOUR_US = 3_600 * US_PER_S
BERLIN = WindowRule("08:00", "22:00", "Europe/Berlin")
BEFORE_SPRING, SPRING, AUTUMN = "20260328", "20260329", "20261025"


def utc(day, hours):
    return midnight_us(day, "UTC") + int(hours * HOUR_US)


@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [("20260105", 7, 21), (BEFORE_SPRING, 7, 21), (SPRING, 6, 20), (AUTUMN, 7, 21), ("20261024", 6, 20)],
)
def test_window_has_fourteen_hours_on_every_day(day, opens, closes):
    """Clock changes are at night, so only the UTC times of the window move."""
    window = BERLIN.of_day(day)
    assert (window.day, window.start_us, window.end_us) == (day, utc(day, opens), utc(day, closes))


@pytest.mark.parametrize(
    ("now_us", "day"),
    [
        (utc("20260105", 6.9), "20260105"),  # before the window
        (utc("20260105", 7), "20260105"),  # its first instant
        (utc("20260105", 21) - 1, "20260105"),  # its last instant
        (utc("20260105", 21), "20260106"),  # after its end: the next window
        (utc("20260105", 23.5), "20260106"),  # already the next day in Berlin
    ],
)
def test_at_returns_the_open_or_the_next_window(now_us, day):
    """A recorder started early waits for the window, one started after it for the next day's."""
    assert BERLIN.at(now_us).day == day


def test_wait_over_a_clock_change_is_in_elapsed_hours():
    """From 23:00 to 08:00 there are nine hours, eight in March, ten in October."""
    for day, hours in (("20260328", 8), ("20261024", 10), ("20260105", 9)):
        at_us = BERLIN.of_day(day).end_us + HOUR_US
        assert BERLIN.at(at_us).start_us - at_us == hours * HOUR_US


@pytest.mark.parametrize(("day", "hours"), [(SPRING, 23), (AUTUMN, 25), ("20260105", 24)])
@pytest.mark.parametrize(
    "rule", [WindowRule("always", "22:00", "Europe/Berlin"), WindowRule("00:00", "24:00", "Europe/Berlin")]
)
def test_whole_day_window_follows_clock_changes(rule, day, hours):
    """A whole day is from midnight to midnight of the time zone."""
    window = rule.of_day(day)
    assert (window.start_us, window.end_us - window.start_us) == (midnight_us(day), hours * HOUR_US)


def test_only_always_is_endless():
    """Other windows end the recording."""
    assert WindowRule("always", "22:00", "UTC").endless
    assert not WindowRule("00:00", "24:00", "UTC").endless


def test_window_across_midnight_belongs_to_its_first_day():
    """Also for times after midnight."""
    rule = WindowRule("20:00", "04:00", "UTC")
    assert rule.at(utc("20260106", 3.5)) == rule.of_day("20260105")
    assert rule.of_day("20260105").end_us == utc("20260106", 4)
    assert rule.at(utc("20260106", 4)).day == "20260106"


def test_equal_times_are_a_window_of_24_hours():
    """From 08:00 to 08:00 of the next day."""
    window = WindowRule("08:00", "08:00", "UTC").of_day("20260105")
    assert window.end_us - window.start_us == 24 * HOUR_US


@pytest.mark.parametrize(
    ("day", "start_utc", "end_utc"),
    [(AUTUMN, 0.5, 1.5), (SPRING, 1.5, 1.5)],
)
def test_ambiguous_or_missing_local_time_widens_the_window(day, start_utc, end_utc):
    """02:30 occurs twice in October: a start is the first one, an end the second; in March it becomes 03:30."""
    rule = WindowRule("02:30", "12:00", "Europe/Berlin")
    assert rule.of_day(day).start_us == utc(day, start_utc)
    assert WindowRule("00:00", "02:30", "Europe/Berlin").of_day(day).end_us == utc(day, end_utc)


def test_sleep_until_rereads_the_wall_clock(monkeypatch):
    """A clock step or a suspended machine changes the remaining wait."""
    slept, now_us = [], 0

    async def sleep(seconds):
        nonlocal now_us
        slept.append(seconds)
        now_us += 3 * US_PER_S if len(slept) == 2 else int(seconds * US_PER_S)

    monkeypatch.setattr("mm.market_data.days.asyncio.sleep", sleep)
    asyncio.run(sleep_until(9 * US_PER_S // 2, lambda: now_us))
    assert slept == [1, 1, 0.5]
