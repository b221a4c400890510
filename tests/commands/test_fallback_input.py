"""The fit of FALLBACK_POLICY=global_default is an input of the run like any other file."""

import hashlib
import json

import pytest

from simulation import simulate_day
from support import run_mm


@pytest.mark.parametrize("command", ["schedule", "walkforward"])
def test_the_file_of_the_default_fit_is_an_input(tmp_path, command):
    simulate_day(tmp_path / "data", hours=0.2, seed=3)
    words = ["--symbol", "SIMUSDT", "--day", "20260105"]
    done = run_mm("calibrate", *words, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    fit = tmp_path / json.loads(done.stdout.splitlines()[-1])["path"]
    windows = ["--wf-train-window-min", "4", "--wf-step-min", "2", "--fallback-policy", "global_default"]
    done = run_mm(command, *words, *windows, "--fill-params-file", str(fit), "--run-id", "R1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (manifest,) = (tmp_path / "out").glob("**/20260105_R1/run_manifest.json")
    inputs = {item["sha256"] for item in json.loads(manifest.read_text())["inputs"]}
    assert hashlib.sha256(fit.read_bytes()).hexdigest() in inputs
