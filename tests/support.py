"""What tests import from each other: where things lie, and the program as a process.

A module of its own, and not conftest.py: there are several of those, and an import would find any of them.
"""

import os
import subprocess
import sys
import time
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


def in_time(took_s: float, limit_s: float = 5.0) -> bool:
    """Return whether work took less than *limit_s* on a machine that has nothing else to do.

    Where it took longer, a bit of work is timed against its processor time: what others take away is granted twice.
    """
    if took_s < limit_s:
        return True
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    while time.process_time() - cpu_s < 0.5:
        pass
    shared = (time.perf_counter() - wall_s) / (time.process_time() - cpu_s)
    return took_s < limit_s * 2 * shared
