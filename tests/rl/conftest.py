"""A synthetic day shared by the reinforcement learning tests."""

from pathlib import Path

import pytest

from mm import Tape, load_day
from rl_agents import sim_day


@pytest.fixture(scope="session")
def day(tmp_path_factory) -> Path:
    return sim_day(tmp_path_factory.mktemp("days"))


@pytest.fixture(scope="session")
def tape(day) -> Tape:
    return load_day(day)
