"""When a session runs, and its random draws."""

import pytest

from mm.clock import iso
from mm.sim.flow.session import Session


@pytest.mark.parametrize(
    ("day", "utc"),
    [("20260105", "2026-01-05T07:00:00"), ("20260329", "2026-03-29T06:00:00"), ("20261025", "2026-10-25T07:00:00")],
)
def test_session_opens_at_eight_berlin_time(day, utc):
    """Also on days whose night is an hour shorter or longer."""
    assert iso(Session("S", day, 14, 0).open_us).startswith(utc)


def test_flow_is_between_first_and_last_depth_instant():
    """Before the first no recorder has a frame; after the last no message would show the sweeps."""
    session = Session("S", "20260105", 2, 0)
    assert session.flow_us == (session.open_us + 100_000, session.close_us - 100_000)
    assert session.close_us - session.open_us == 2 * 3600 * 10**6


def test_live_session_opens_at_begins_us():
    """Random draws stay those of the day; the instants follow the server's clock, on the grid of depth messages."""
    day, live = Session("S", "20260105", 1, 0), Session("S", "20260105", 1, 0, begins_us=1_234_500_000)
    assert live.open_us == 1_234_500_000
    assert live.close_us - live.open_us == day.close_us - day.open_us
    assert live.key("mid") == day.key("mid")


def test_draws_depend_on_seed_day_and_purpose():
    """Days of a range are independent, and one part of a market does not affect another."""
    drawn = {
        (Session("S", day, 1, seed).key(purpose), Session("S", day, 1, seed).random(purpose).random())
        for day in ("20260105", "20260106")
        for seed in (0, 1)
        for purpose in ("mid", "orders")
    }
    assert len({key for key, _ in drawn}) == len({draw for _, draw in drawn}) == 8


def test_first_id_increases_from_day_to_day():
    """A range of days is read as one tape."""
    assert Session("S", "20260106", 1, 0).first_id - Session("S", "20260105", 1, 0).first_id == 10**9
