"""The exchange's time: at a factor of wall time, stopped, and late."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.sim.wire.pace import Scheduler, WireClock

START_US = 1_767_600_000_000_000


class Wall:
    """A clock that is set manually, in s."""

    def __init__(self):
        self.now_s = 50.0

    def __call__(self):
        return self.now_s


def pump_of(speed):
    """Return a wall clock, a scheduler and the list of the instants that it reached."""
    wall, reached = Wall(), []
    pump = Scheduler(WireClock(START_US, speed, wall), reached.append)
    return wall, pump, reached


@pytest.mark.parametrize("speed", [1, 0.5, 100])
def test_time_runs_at_configured_speed(speed):
    """A second of wall time is *speed* seconds of the exchange."""
    wall, pump, _ = pump_of(speed)
    wall.now_s += 2
    assert pump.clock.now_us() == START_US + 2_000_000 * speed


def test_time_at_speed_zero_moves_only_by_advance_to():
    """Lockstep: nothing depends on how long anything takes."""
    wall, pump, reached = pump_of(0)
    wall.now_s += 1_000
    pump.step()
    assert (pump.clock.now_us(), reached) == (START_US, [])
    pump.advance_to(START_US + 2_500_000)
    assert reached == [START_US + 1_000_000, START_US + 2_000_000, START_US + 2_500_000]
    assert pump.clock.now_us() == START_US + 2_500_000
    pump.advance_to(START_US)
    assert pump.clock.now_us() == START_US + 2_500_000


def test_clock_continues_from_advanced_time():
    """A call that moves the time of a running exchange moves it once."""
    wall, pump, reached = pump_of(2)
    pump.advance_to(START_US + 10_000_000)
    wall.now_s += 0.1
    assert pump.clock.now_us() == pytest.approx(START_US + 10_200_000, abs=1)
    pump.step()
    assert reached[-1] == pytest.approx(START_US + 10_200_000, abs=1)


def test_time_of_a_suspended_process_is_skipped():
    """A process that was stopped for an hour does not replay the hour at once: its exchange's time stood still."""
    wall, pump, reached = pump_of(10)
    wall.now_s += 3_600
    while not reached or pump.clock.now_us() > reached[-1]:
        pump.step()
    assert reached[-1] - START_US == pytest.approx(10 * 250_000, rel=1e-6)
    assert pump.clock.slipped_s == pytest.approx(3_600 - 0.25)
    wall.now_s += 0.1
    assert pump.clock.now_us() - reached[-1] == pytest.approx(1_000_000, abs=2)


def test_clock_of_speed_one_regains_a_pause():
    """Otherwise the stamps of clients, which use the wall clock, were ahead of the exchange for good."""
    wall, pump, _ = pump_of(1)
    wall.now_s += 8
    pump.step()
    behind_s = [8 - 0.25]
    for _ in range(20 * 100):
        wall.now_s += 0.05
        pump.step()
        behind_s.append(wall.now_s - 50 - (pump.clock.now_us() - START_US) / 1e6)
    assert behind_s[1200] == pytest.approx(7.75 - 0.1 * 60, abs=0.01)
    assert all(now <= before + 2e-6 for before, now in pairwise(behind_s))
    assert behind_s[-1] == pytest.approx(0, abs=1e-4)
    assert pump.clock.slipped_s == pytest.approx(0, abs=1e-9)


@given(st.lists(st.floats(0, 0.2), max_size=30), st.sampled_from([0.5, 1, 7, 1_000]))
def test_instants_increase_and_never_pass_the_clock(steps, speed):
    """For any rhythm of the scheduler."""
    wall, pump, reached = pump_of(speed)
    for step in steps:
        wall.now_s += step
        pump.step()
        assert pump.done_us <= pump.clock.now_us()
    assert all(before < after for before, after in zip([START_US, *reached], reached, strict=False))
