"""One small day for all tests of sweeps, with its tape kept."""

from pathlib import Path

import pytest
from sweep_desk import GRID, KNOBS, folder_of, small_day

from support import run_mm


@pytest.fixture(scope="session")
def sweep_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half an hour of a synthetic day."""
    root = Path(tmp_path_factory.mktemp("sweep_data"))
    small_day(root)
    return root


@pytest.fixture(scope="module")
def serial(sweep_data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep that was played one point after another."""
    cwd = tmp_path_factory.mktemp("serial")
    done = run_mm("sweep", cwd=cwd, DATA_ROOT=str(sweep_data), **KNOBS, GRID=GRID, JOBS="1", RUN_ID="whole")
    assert (done.returncode, done.stderr) == (0, "")
    return folder_of(done, cwd)
