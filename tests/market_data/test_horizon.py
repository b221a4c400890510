"""Frames contain no levels beyond those of a snapshot: a moving price, compared with the true book."""

import os
from random import Random

import pytest
from simulated import crash, simulate, slow

from mm.market_data import sync_engine

SEEDS = 40 if os.environ.get("LONG_SIMULATIONS") else 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_frames_are_true_however_fast_the_price_moves(seed, tmp_path):
    """Price moves such as 0.8 % in 18 s with 100 levels per snapshot, and other speeds, depths and books."""
    luck = Random(seed)
    share, limit = luck.choice([0.008, -0.008, 0.003, 0.02]), luck.choice([20, 50, 100, 500])
    acts = crash(10, share * 10 / 18, levels=1_200, gap=luck.choice([1, 2, 5]), seed=seed, churn=luck.choice([10, 60]))
    day, figures = simulate(slow(200), 15, tmp_path, scenario="empty", acts=acts, limit=limit)
    spans = day.anomalies().count("horizon")
    assert len([start for start in day.logged("resync_start") if start["cause"] == "horizon"]) == spans
    assert len(day.frames) > 20
    assert figures.longest_gap_s <= 1.0
    if spans:
        assert figures.excluded_s > 0


def test_check_finds_frames_beyond_the_horizon(tmp_path, monkeypatch):
    """If the recorder does not withhold these frames, the day has a defect."""
    monkeypatch.setattr(sync_engine.BookState, "_beyond", lambda _: 0)
    acts = crash(5, 0.002, calm_s=1, levels=300, gap=1)
    with pytest.raises(AssertionError, match="best 10 levels reach beyond the snapshot's"):
        simulate("", 6, tmp_path, scenario="empty", acts=acts, limit=20)
