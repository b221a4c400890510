"""One small day for all tests of sweeps, its tape kept."""

from pathlib import Path

import pytest
from sweep_desk import small_day


@pytest.fixture(scope="session")
def sweep_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half an hour of a synthetic day."""
    root = Path(tmp_path_factory.mktemp("sweep_data"))
    small_day(root)
    return root
