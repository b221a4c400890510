"""``mm demo``: the commands of the README in separate processes, on a day with known parameters."""

import json
from pathlib import Path

import pytest

from support import run_python


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    done = run_python("-m", "mm", "demo", "--out-root", str(folder / "out"), "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


@pytest.mark.slow
def test_fit_interval_contains_the_true_k(demo):
    _, report = demo
    low, high = report["fit"]["ci95_k"]
    assert low <= report["truth"]["k"] <= high


@pytest.mark.slow
def test_every_run_traded_and_left_its_folder(demo):
    folder, report = demo
    for name in ("poisson", "trade_cross", "walkforward"):
        assert report[name]["n_fills"] > 1000
        assert Path(report[name]["path"]).parent.is_relative_to(folder / "out")
    assert all((folder / place).exists() for place in report["places"].values())


def test_failed_command_ends_the_demo_with_its_exit_code(tmp_path):
    (tmp_path / "file").touch()
    done = run_python("-m", "mm", "demo", "--out-root", "file/out", cwd=tmp_path)
    assert done.returncode == 3
    assert "a part of the path is a file" in done.stderr
    assert "calibrate" not in done.stdout
