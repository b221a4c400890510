"""The commands of a day are run as a user would, and a sweep's point is what a further one costs."""

from pathlib import Path

import pytest

from benchmarks import pipeline
from benchmarks.turns import NEAR_K, Bench, Ran
from mm.dayfolder.layout import DayFolder
from support import run_python


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(DayFolder(tmp_path / "data", "SIMUSDT", "20260105"), tmp_path / "out", 2, "0.001", ("peer",), k=NEAR_K)


def test_a_point_costs_what_further_points_add(bench, monkeypatch):
    """Starting, opening the day and writing the page are in both sweeps, and cancel out."""
    told: list[list[str]] = []

    def run(words, defects=0):
        told.append(words)
        assert defects == (3 if "check" in words else 0), "a day with defects is checked all the same"
        if words[0] == "peer":
            return Ran(9.0, 9.0, 1.0, {"runs": [{"run_s": 9.0, "run_user_s": 9.0}, {"run_s": 2.0, "run_user_s": 1.0}]})
        points = words[-1].count(",") + 1 if "sweep" in words else 0
        return Ran(3.0 + 0.5 * points, 2.0 + 0.25 * points, 100.0, {})

    monkeypatch.setattr(pipeline, "run", run)
    found = {row.name: row for row in pipeline.measure(bench).rows}
    for fills in pipeline.SWEPT:
        row = found[f"a point of a sweep, {fills}"]
        assert (row.ratio, row.user_ratio) == (pytest.approx(4.0), pytest.approx(4.0))
    assert found["schedule"].ours == found["fills fit"].ours == [3.0, 3.0]
    assert found["data check, peak memory"].unit == "MB"
    assert [words for words in told if words[0] == "peer"] == [["peer", "--repeat", "2"]] * 2


def test_a_sweep_is_played_in_one_process_and_remembers_nothing(bench):
    """Else the second one would find its points."""
    words = pipeline.sweep(bench, "trade_cross", 3)
    assert words[-1] == "GAMMA=0.0010000,0.0010001,0.0010002"
    assert words[words.index("--jobs") + 1] == "1"
    assert words[words.index("--reuse-points") + 1] == "0"


def test_every_command_is_one_that_a_user_has(bench):
    """A flag that is renamed would be found here, not after minutes: each fails for the day alone."""
    for words in [*pipeline.commands(bench).values(), pipeline.sweep(bench, "trade_cross", 2)]:
        done = run_python(*words[1:], cwd=bench.folder.root.parent)
        assert done.returncode == 3, done.stderr
        assert "20260105" in done.stderr


def test_the_run_that_a_command_leaves_is_removed(tmp_path):
    """A measurement leaves no hundred megabytes of orders; a command that leaves no run removes nothing."""
    run = tmp_path / "out" / "schedule" / "A" / "1"
    (run / "backtest").mkdir(parents=True)
    (run / "run_manifest.json").write_text("{}")
    pipeline._removed(Ran(1.0, 1.0, 1.0, {"path": str(run / "backtest" / "summary.json")}))
    assert not run.exists()
    pipeline._removed(Ran(1.0, 1.0, 1.0, {"path": str(tmp_path / "other.json")}))
    assert Path(tmp_path).exists()
