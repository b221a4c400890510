"""The same work on a processor without AVX, AVX2, FMA and AVX-512: docs/results.md about equal digests holds."""

import json
import math
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from support import ROOT

pytest.importorskip("scipy", reason="calibration needs the extra research")
OFF = {
    "OPENBLAS_CORETYPE": "Prescott",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2_Usable,-FMA_Usable,-AVX512F_Usable,-AVX2,-FMA,-FMA4,-AVX512F,-AVX",
}
SAME_BYTES = ("orders_", "fills_", "state_", "calibration_points")
LOOSE = {"unseen": 1e-8, "unseen_se": 1e-8}
CLOSE = 1e-8
DAY = ("--symbol", "SIMUSDT", "--day", "20260105")

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64" or sys.platform != "linux", reason="the switches are those of glibc on x86-64"
)


def used_instructions(**switches: str) -> str:
    """Return the instruction groups that numpy has found here, beyond those that it requires."""
    code = (
        "from numpy._core._multiarray_umath import __cpu_dispatch__ as every, __cpu_features__ as has;"
        "print(' '.join(name for name in every if has.get(name)))"
    )
    environment = {**os.environ, **switches}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout.strip()


def mm(folder: Path, *words: str, **variables: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LOG_LEVEL": "ERROR", **variables}
    done = subprocess.run(
        [sys.executable, "-m", "mm", *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def work(folder: Path, out: str, **switches: str) -> Path:
    """Calibrate, backtest with that fit, and walk forward."""
    switches |= {"OUT_ROOT": out, "INITIAL_INVENTORY": "1", "SENSITIVITY": "0"}
    mm(folder, "calibrate", *DAY, "--run-id", "c", **switches)
    mm(folder, "backtest", *DAY, "--fit", "c", "--fill-model", "poisson", "--run-id", "b", **switches)
    windows = ("--wf-train-window-min", "20", "--wf-step-min", "20")
    mm(folder, "walkforward", *DAY, *windows, "--run-id", "w", **switches)
    return folder / out


def flat(content, place=""):
    if isinstance(content, dict):
        for name, value in content.items():
            yield from flat(value, f"{place}.{name}")
    elif isinstance(content, list):
        for at, value in enumerate(content):
            yield from flat(value, f"{place}[{at}]")
    else:
        yield place, content


def differ(name: str, first, second) -> bool:
    if not isinstance(first, float) or not isinstance(second, float):
        return first != second
    key = name.rpartition(".")[2]
    relative = 2e-5 if ".lambda_curve" in name and "ci95" in name else CLOSE
    return not math.isclose(first, second, rel_tol=relative, abs_tol=LOOSE.get(key, 1e-12))


@pytest.mark.slow
def test_runs_without_wide_instructions_trade_the_same_and_fit_nearly_the_same(tmp_path):
    groups = used_instructions()
    if not groups:
        pytest.skip("this processor has none of the instructions that could be switched off")
    mm(tmp_path, "sim", "day", *DAY, "--hours", "1", "--seed", "7")
    reference = work(tmp_path, "here")
    off = {**OFF, "NPY_DISABLE_CPU_FEATURES": groups}
    assert used_instructions(**off) == "", "or the test would show nothing"
    without = work(tmp_path, "there", **off)
    same = compared = 0
    for path in sorted(reference.rglob("*")):
        if not path.is_file() or path.suffix not in (".csv", ".json") or "tapes" in path.parts:
            continue
        twin = without / path.relative_to(reference)
        if path.name.startswith(SAME_BYTES):
            assert path.read_bytes() == twin.read_bytes(), path
            same += 1
        elif path.name in ("poisson_fit.json", "poisson_schedule.json", "summary.json"):
            first, second = (dict(flat(json.loads(file.read_text()))) for file in (path, twin))
            assert first.keys() == second.keys()
            different = {
                name: (value, second[name])
                for name, value in first.items()
                if "fit.path" not in name and differ(name, value, second[name])
            }
            assert not different, (path, different)
            compared += 1
    assert same >= 7
    assert compared >= 4
    for name in "cbw":
        mm(tmp_path, "runs", "reproduce", name, "--tolerance", "2e-5", OUT_ROOT="there")
