"""The `lab` fixture, shared by all test processes of a session."""

from pathlib import Path

import pytest
from lab import Lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Lab:
    """Return a folder that all test processes share, so that each command runs once."""
    base: Path = tmp_path_factory.getbasetemp()
    return Lab((base.parent if hasattr(request.config, "workerinput") else base) / "laboratory")
