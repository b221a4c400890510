"""Simulated days with exact A and k, shared by the calibration tests."""

from pathlib import Path

import pytest

from mm import DayFolder, load_day
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import PoissonMarket
from mm.sim.flow.session import Session

A, K = 1.2, 0.4


@pytest.fixture(scope="session")
def tape(tmp_path_factory: pytest.TempPathFactory):
    """Return a simulated two-hour day with exact A and k."""
    folder = DayFolder(Path(tmp_path_factory.mktemp("sim")), "SIMUSDT", "20260105")
    make_day(folder, PoissonMarket(A_per_s=A, k_per_tick=K), Session("SIMUSDT", "20260105", 2.0, 11))
    return load_day(folder)


@pytest.fixture(scope="session")
def days(tmp_path_factory: pytest.TempPathFactory):
    """Return two simulated one-hour sessions on consecutive days."""
    folders = [DayFolder(Path(tmp_path_factory.mktemp("sim")), "SIMUSDT", f"2026010{day}") for day in (5, 6)]
    for seed, folder in enumerate(folders):
        make_day(folder, PoissonMarket(A_per_s=A, k_per_tick=K), Session("SIMUSDT", folder.day, 1.0, 40 + seed))
    return [load_day(folder) for folder in folders]
