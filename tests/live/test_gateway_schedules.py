"""Hundreds of random schedules: after each, our books equal the exchange's, to the last decimal."""

import os
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schedule_world import World, play_story, run_schedule

SCHEDULES = int(os.environ.get("FAULT_SCHEDULES", "320"))
PARTS = 16


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_books_match_exchange_after_random_schedules(part: int) -> None:
    """Repeat one with: .venv/bin/python tests/live/fault_schedules.py --seeds 1 --first SEED."""
    for seed in range(part, SCHEDULES, PARTS):
        try:
            run_schedule(seed)
        except BaseException as error:
            error.add_note(f"repeat: .venv/bin/python tests/live/fault_schedules.py --seeds 1 --first {seed}")
            raise


@pytest.mark.parametrize("seed", [121501])
def test_formerly_failing_schedules_pass(seed: int) -> None:
    """121501: killed after an intent, its clock 3 s slow; the next run took an order in transit for never sent."""
    run_schedule(seed)


@settings(
    max_examples=max(12, settings().max_examples // 4),
    suppress_health_check=[HealthCheck.large_base_example, HealthCheck.data_too_large, HealthCheck.too_slow],
)
@given(rng=st.randoms(use_true_random=False))
def test_books_match_exchange_after_trouble_and_trouble_again(rng: random.Random) -> None:
    """What a trouble sets is reset by the time it is over: the second is met as the first was."""
    play_story(World(rng, rng), rounds=2)
