"""Helpers that tests import: paths, and the program as a process.

They are not in conftest.py because there are several of those, and an import could find any of them.
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
    """Return whether work took less than *limit_s* on an idle machine.

    If it took longer, wall time is compared with processor time, and twice the slowdown by other processes is allowed.
    """
    if took_s < limit_s:
        return True
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    while time.process_time() - cpu_s < 0.5:
        pass
    shared = (time.perf_counter() - wall_s) / (time.process_time() - cpu_s)
    return took_s < limit_s * 2 * shared
