"""The commands of a day run as a user runs them; the cost of a sweep's point is that of an additional one."""

import pytest

from benchmarks import pipeline
from benchmarks.turns import NEAR_K, Bench, ProcessResult
from mm import DayFolder
from support import run_python

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(DayFolder(tmp_path / "data", "SIMUSDT", "20260105"), tmp_path / "out", 2, "0.001", ("peer",), k=NEAR_K)


def test_point_row_is_cost_of_additional_points(bench, monkeypatch):
    """Startup, opening the day and writing the page are in both sweeps, and cancel out."""
    commands: list[list[str]] = []

    def run(words, finding_code=0):
        commands.append(words)
        if words[0] == "peer":
            return ProcessResult(
                9.0, 9.0, 1.0, {"runs": [{"run_s": 9.0, "run_user_s": 9.0}, {"run_s": 2.0, "run_user_s": 1.0}]}
            )
        points = words[-1].count(",") + 1 if "sweep" in words else 0
        return ProcessResult(3.0 + 0.5 * points, 2.0 + 0.25 * points, 100.0, {})

    monkeypatch.setattr(pipeline, "run", run)
    rows = {row.name: row for row in pipeline.measure(bench).rows}
    for fills in pipeline.SWEPT:
        row = rows[f"a point of a sweep, {fills}"]
        assert (row.ratio, row.user_ratio) == (pytest.approx(4.0), pytest.approx(4.0))
    assert rows["schedule"].ours == rows["fills fit"].ours == [3.0, 3.0]
    assert rows["data check, peak memory"].unit == "MB"
    assert [words for words in commands if words[0] == "peer"] == [["peer", "--repeat", "2"]] * 2


def test_all_commands_are_valid_and_fail_only_for_missing_day(bench):
    """Detects renamed flags early: each command fails only because the day is missing."""
    for words in [*pipeline.commands(bench).values(), pipeline.sweep(bench, "trade_cross", 2)]:
        done = run_python(*words[1:], cwd=bench.folder.root.parent)
        assert done.returncode == 3, done.stderr
        assert "20260105" in done.stderr
