"""A recorder stays with a market whose trouble comes again and again: minutes of simulated time, real delays."""

import os

import pytest
from simulated import every, simulate

from mm.market_data import binance_trades

LONG = bool(os.environ.get("LONG_SIMULATIONS"))
SECONDS = 600 if LONG else 120


@pytest.mark.parametrize(("period_s", "least"), [(30, 0.97), (10, 0.95)])
def test_a_lost_update_costs_one_snapshot_however_often_it_happens(period_s, least, tmp_path):
    """After a success nothing but the weight delays the next attempt."""
    day, found = simulate(every(period_s, SECONDS, "drop n=1"), SECONDS, tmp_path)
    assert len(day.told("gap")) == len(range(period_s, SECONDS, period_s))
    assert found.covered >= least
    assert found.longest_gap_s <= 2.0


@pytest.mark.parametrize("period_s", [20, 5])
def test_a_connection_that_drops_again_and_again_is_opened_again_at_once(period_s, tmp_path):
    """Each of them lived long enough to be a success."""
    _, found = simulate(every(period_s, SECONDS, "close code=1006"), SECONDS, tmp_path)
    assert found.connections == 1 + len(range(period_s, SECONDS, period_s))
    assert found.ids_lost < 0.02
    assert found.longest_gap_s <= 2.0


def test_missing_trades_come_one_request_after_the_other(tmp_path, monkeypatch):
    """While the weight lasts, nothing else delays them."""
    monkeypatch.setattr(binance_trades, "MOST_ROWS", 4)
    day, _ = simulate("at time 10 do drop n=40 of=trade", 60, tmp_path)
    came = [int(row["recv_time_us"]) for row in day.events if row["type"] == "backfill"]
    assert len(came) >= 4
    assert came[-1] - came[0] < 1_000_000
    assert day.missing_trades == set()
