"""What tests import from each other: where things lie, and the program as a process.

A module of its own, and not conftest.py: there are several of those, and an import would find any of them.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


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
