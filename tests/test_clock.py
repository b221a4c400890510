"""Units of time stamps are inferred from their magnitude; the steady clock never falls."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.clock import (
    FIRST_US,
    LAST_US,
    SteadyClock,
    checked_stamp,
    checked_stamp_ms,
    exchange_ms,
    exchange_us,
    iso,
    midnight_us,
    next_day,
    stamp_to_us,
    zone_of,
)
from mm.errors import UsageError

instants = st.integers(FIRST_US, LAST_US - 1)


@given(instants)
def test_timestamp_units_are_inferred_from_magnitude(us):
    """A stamp in s, ms, µs or ns gives the same instant, to the precision of its unit."""
    assert exchange_us(us) == stamp_to_us(us) == stamp_to_us(us * 1_000 + 999) == us
    assert exchange_us(us // 1_000) == stamp_to_us(us // 1_000) == us // 1_000 * 1_000
    assert stamp_to_us(us // 1_000_000) == us // 1_000_000 * 1_000_000
    assert exchange_ms(us) == exchange_ms(us // 1_000) == us // 1_000
    assert checked_stamp(us, "E") == us
    assert checked_stamp(us // 1_000, "E") == checked_stamp_ms(us // 1_000, "E") == us // 1_000


@pytest.mark.parametrize("stamp", [0, -1, FIRST_US // 1_000_000, FIRST_US * 1_000, FIRST_US - 1, LAST_US])
def test_checked_stamp_rejects_other_units_and_implausible_years(stamp):
    """Seconds, nanoseconds and years before 2009 or after 2099."""
    with pytest.raises(ValueError, match=f"E is {stamp}, which is not a plausible time in ms or µs"):
        checked_stamp(stamp, "E")


@pytest.mark.parametrize("stamp", [0, FIRST_US, LAST_US // 1_000])
def test_checked_stamp_ms_rejects_microseconds(stamp):
    """Zero, microseconds and times beyond the last accepted year are rejected."""
    with pytest.raises(ValueError, match=f"event_time_ms is {stamp}, which is not a time in ms"):
        checked_stamp_ms(stamp, "event_time_ms")


@given(st.lists(st.tuples(st.integers(0, 1_000), st.integers(-5_000, 5_000)), max_size=30))
def test_steady_clock_never_falls_and_follows_elapsed_time(moves):
    """A forward step of the wall clock is adopted; after a backward step, time continues from where it was."""
    passed_us, wall_us = 10, 1_000_000
    clock = SteadyClock(lambda: wall_us, lambda: passed_us)
    last_us = clock()
    assert last_us == wall_us
    for passing_us, step_us in moves:
        passed_us += passing_us
        wall_us += passing_us + step_us
        now_us = clock()
        assert now_us == max(last_us + passing_us, wall_us)
        assert clock.ahead_us == now_us - wall_us
        last_us = now_us


@pytest.mark.parametrize("us", [2**63 - 1, -(2**63), 1_767_596_400_000_000_000])
def test_instant_of_no_calendar_is_still_text(us):
    """A stamp in another unit than its file says must be named in the error, not end it."""
    assert iso(us) == f"{us} us"


_ZONES = (
    "from mm.clock import day_of, midnight_us, zone_of\n"
    "assert day_of(0, 'UTC') == '19700101' and midnight_us('20260105', 'UTC') == 1767571200000000\n"
    "zone_of('Europe/Berlin')"
)


def test_machine_without_time_zones_is_told_what_to_install(tmp_path):
    """Slim containers have no database: UTC works, and the remedy of any other zone is named."""
    (tmp_path / "tzdata").mkdir()
    (tmp_path / "tzdata/__init__.py").touch()  # hides the package
    hidden = os.environ | {"PYTHONTZPATH": "/nonexistent", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", _ZONES], env=hidden, capture_output=True, text=True, check=False)
    assert "UsageError: time zone Europe/Berlin: this machine has no time zone database; `pip install" in done.stderr


def test_misspelt_zone_is_another_error():
    """Where a database exists, the name is wrong."""
    with pytest.raises(UsageError, match="'Europe/Berln' is not a time zone"):
        zone_of("Europe/Berln")


@pytest.mark.parametrize(("day", "hours"), [("20260329", 23), ("20261025", 25), ("20260330", 24)])
def test_days_of_summer_time_have_their_hours(day, hours):
    """Days of Berlin begin at midnight on the wall clock."""
    assert midnight_us(next_day(day)) - midnight_us(day) == hours * 3_600_000_000
