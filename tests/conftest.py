"""What tests share: where the recorded data lies, a clean environment, and the program as a process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mm.config import GROUPS
from mm.knobs import knobs

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
VARIABLES = [one.variable for group in GROUPS for one in knobs(group)]


@pytest.fixture(autouse=True, scope="session")
def _no_knobs_from_outside() -> Iterator[None]:
    """No test depends on the variables of the shell that started it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [*VARIABLES, "NO_COLOR"]:
            patch.delenv(name, raising=False)
        yield


def run_python(*args: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``python *args`` in *cwd* with the package importable and *variables* set; stdin is closed."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [sys.executable, *args],
        cwd=cwd,
        env=env,
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=120,
    )
