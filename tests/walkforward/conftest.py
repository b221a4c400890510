"""Simulated days and their study, shared by the walk-forward tests."""

import pytest

from mm import CalibrationConfig, WindowPlan, load_day
from mm.calibration.calibrator import Calibrator
from mm.walkforward.walkforward import study
from simulation import simulate_day


@pytest.fixture(scope="session")
def days(tmp_path_factory: pytest.TempPathFactory):
    """Return two busy one-hour sessions of one model."""
    folders = [
        simulate_day(tmp_path_factory.mktemp("sim"), hours=1.0, seed=70 + number, day=day, A_per_s=1.0, k_per_tick=0.4)
        for number, day in enumerate(("20260105", "20260106"))
    ]
    return [load_day(folder) for folder in folders]


@pytest.fixture(scope="session")
def studied(days):
    return study(
        Calibrator(days, CalibrationConfig(reference="mid")),
        WindowPlan(train_window_min=20, step_min=10, latency_us=50_000),
    )
