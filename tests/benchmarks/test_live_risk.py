"""The measurement of the risk limits, in short runs."""

import json

import pytest

from benchmarks import live_risk

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product


def test_check_and_requote_return_plausible_microseconds():
    """A check takes time; the cost of limits in so few requotes may be below the noise of the clock."""
    assert live_risk.check_us(100) > 0
    assert abs(live_risk.requote_us(1)) < 1_000


def test_turn_prints_a_number_per_row(monkeypatch, capsys):
    for name in live_risk.NAMES:
        monkeypatch.setattr(live_risk, name, lambda: 1.5)
    live_risk.main()
    assert json.loads(capsys.readouterr().out) == dict.fromkeys(live_risk.NAMES, 1.5)
