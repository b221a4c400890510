"""``mm bench day`` on half a minute of market: its rows are complete, independent of the measured times."""

import pytest

from benchmarks import commands

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product


def test_simulated_day_reports_rate_memory_and_counts(monkeypatch):
    """A rate is market time over wall time, not the inverse, and a turn is a complete run of the command."""
    monkeypatch.setattr(commands, "HOURS", 0.01)
    measured = commands.simulated_day(2)
    market_rate, user, whole_day, memory = measured.rows
    assert len(market_rate.ours) == len(memory.ours) == 2
    assert all(
        abs(rate * seconds - 14 * 3600) < 1e-6 for rate, seconds in zip(market_rate.ours, whole_day.ours, strict=True)
    )
    assert min(user.ours) > 0
    assert measured.facts["depth_messages"] > 300
    assert measured.facts["trades"] > 0
