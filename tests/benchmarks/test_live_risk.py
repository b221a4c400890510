"""The results of the measurement of the limits, on little work."""

from benchmarks import live_risk


def test_both_measurements_say_a_number_of_microseconds():
    """A check takes time; what limits add to so few requotes may be lost in the clock's noise."""
    assert live_risk.check_us(100) > 0
    assert abs(live_risk.requote_us(1)) < 1_000


def test_the_rows_are_those_that_a_turn_prints():
    assert set(live_risk.NAMES) == {"check_us", "requote_us"}
