"""Simulated days and their study, shared by the walk-forward tests."""

from pathlib import Path

import pytest

from mm import CalibrationConfig, DayFolder, WindowPlan, load_day
from mm.calibration.calibrator import Calibrator
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import PoissonMarket
from mm.sim.flow.session import Session
from mm.walkforward.walkforward import study


@pytest.fixture(scope="session")
def days(tmp_path_factory: pytest.TempPathFactory):
    """Return two busy one-hour sessions of one model."""
    folders = [DayFolder(Path(tmp_path_factory.mktemp("sim")), "SIMUSDT", f"2026010{day}") for day in (5, 6)]
    for seed, folder in enumerate(folders):
        make_day(folder, PoissonMarket(A_per_s=1.0, k_per_tick=0.4), Session("SIMUSDT", folder.day, 1.0, 70 + seed))
    return [load_day(folder) for folder in folders]


@pytest.fixture(scope="session")
def studied(days):
    return study(Calibrator(days, CalibrationConfig()), WindowPlan(train_window_min=20, step_min=10, latency_us=50_000))
