"""A recorder under recurring faults: minutes of simulated time with real delays."""

import os

import pytest
from simulated import every, simulate

from mm.markets import binance_trades

LONG = bool(os.environ.get("LONG_SIMULATIONS"))
SECONDS = 600 if LONG else 120


@pytest.mark.slow
@pytest.mark.parametrize(("period_s", "least"), [(30, 0.97), (10, 0.94)])
def test_each_lost_update_costs_one_short_gap(period_s, least, tmp_path):
    """After a success only the weight budget delays the next request."""
    day, figures = simulate(every(period_s, SECONDS, "drop n=1"), SECONDS, tmp_path)
    assert len(day.logged("gap")) == len(range(period_s, SECONDS, period_s))
    assert figures.covered >= least
    assert figures.longest_gap_s <= 2.0


@pytest.mark.slow
@pytest.mark.parametrize("period_s", [20, 5])
def test_repeatedly_dropped_connection_is_reopened_at_once(period_s, tmp_path):
    """Each connection lives long enough to count as a success."""
    _, figures = simulate(every(period_s, SECONDS, "close code=1006"), SECONDS, tmp_path)
    assert figures.connections == 1 + len(range(period_s, SECONDS, period_s))
    assert figures.ids_lost < 0.02
    assert figures.longest_gap_s <= 2.0


@pytest.mark.slow
def test_missing_trades_are_fetched_without_pauses(tmp_path, monkeypatch):
    """Only the weight budget delays the requests."""
    monkeypatch.setattr(binance_trades, "MOST_ROWS", 4)
    day, _ = simulate("at time 10 do drop n=40 of=trade", 60, tmp_path)
    arrivals_us = [int(row["recv_time_us"]) for row in day.events if row["type"] == "backfill"]
    assert len(arrivals_us) >= 4
    assert arrivals_us[-1] - arrivals_us[0] < 1_000_000
    assert day.missing_trades == set()
