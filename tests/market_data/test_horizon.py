"""No frame shows more of a book than a snapshot has shown: a price that travels, against the true book."""

import os
from random import Random

import pytest
from simulated import crash, simulate, slow

from mm.market_data import sync_engine

SEEDS = 40 if os.environ.get("LONG_SIMULATIONS") else 3


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_a_frame_is_true_however_fast_the_price_travels(seed, tmp_path):
    """0.8 % in 18 s with 100 levels a snapshot, and other speeds, depths and books; every frame is the true one."""
    luck = Random(seed)
    share, limit = luck.choice([0.008, -0.008, 0.003, 0.02]), luck.choice([20, 50, 100, 500])
    acts = crash(10, share * 10 / 18, levels=1_200, gap=luck.choice([1, 2, 5]), seed=seed, churn=luck.choice([10, 60]))
    day, found = simulate(slow(200), 15, tmp_path, scenario="empty", acts=acts, limit=limit)
    spans = day.anomalies().count("horizon")
    assert len([one for one in day.told("resync_start") if one["cause"] == "horizon"]) == spans
    assert len(day.frames) > 20
    assert found.longest_gap_s <= 1.0
    if spans:
        assert found.excluded_s > 0


def test_a_check_finds_frames_beyond_the_horizon(tmp_path, monkeypatch):
    """A recorder that did not withhold them leaves a day with a defect."""
    monkeypatch.setattr(sync_engine.BookState, "_beyond", lambda _: 0)
    acts = crash(5, 0.002, calm_s=1, levels=300, gap=1)
    with pytest.raises(AssertionError, match="best 10 levels reach beyond those of the snapshot"):
        simulate("", 6, tmp_path, scenario="empty", acts=acts, limit=20)
