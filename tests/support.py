"""Helpers that tests import: paths, and the program as a process.

They are not in conftest.py because there are several of those, and an import could find any of them.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

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


def run_mm(*words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``mm *words`` in *cwd* with *variables* set, as `run_python` does, but without a process and its imports."""
    from mm.__main__ import main

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        for name, value in variables.items():
            patch.setenv(name, value)
        done = CliRunner().invoke(main, words)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)


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


def write_run(result, folder, **about):
    """Write the files of a backtest but its manifest; return the rows of each, None if it is no table."""
    from mm.report.backtest import write_summary
    from mm.report.frame import About
    from mm.report.run_columns import columns_of

    return {
        **result.write_tables(folder),
        **write_summary(result, folder, columns_of(result), About(**about) if about else None),
    }
