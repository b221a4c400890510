"""The measurement of the risk limits, in short runs."""

from benchmarks import live_risk


def test_check_and_requote_return_plausible_microseconds():
    """A check takes time; the cost of limits in so few requotes may be below the noise of the clock."""
    assert live_risk.check_us(100) > 0
    assert abs(live_risk.requote_us(1)) < 1_000


def test_row_names_match_keys_of_a_turn():
    assert set(live_risk.NAMES) == {"check_us", "requote_us"}
