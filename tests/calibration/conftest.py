"""Simulated days with exact A and k, shared by the calibration tests."""

import pytest

from mm import load_day
from simulation import simulate_day

A, K = 1.2, 0.4


@pytest.fixture(scope="session")
def tape(tmp_path_factory: pytest.TempPathFactory):
    """Return a simulated two-hour day with exact A and k."""
    folder = simulate_day(tmp_path_factory.mktemp("sim"), hours=2.0, seed=11, A_per_s=A, k_per_tick=K)
    return load_day(folder)


@pytest.fixture(scope="session")
def days(tmp_path_factory: pytest.TempPathFactory):
    """Return two simulated one-hour sessions on consecutive days."""
    folders = [
        simulate_day(tmp_path_factory.mktemp("sim"), hours=1.0, seed=40 + number, day=day, A_per_s=A, k_per_tick=K)
        for number, day in enumerate(("20260105", "20260106"))
    ]
    return [load_day(folder) for folder in folders]
