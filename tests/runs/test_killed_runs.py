"""A killed run leaves a complete run or one listed as unfinished, and nothing in between."""

import json

import pytest

from support import ROOT, run_python


@pytest.mark.slow
def test_killed_runs_are_complete_or_listed_as_unfinished():
    """A few of the many random times that `killed_runs.py` tries with ``--kills 50`` (docs/evidence/measured.md)."""
    paths = f"{ROOT}:{ROOT}/tests:{ROOT}/tests/sweep"
    words = ("--kills", "2", "--commands", "backtest", "sweep")
    done = run_python("tests/runs/killed_runs.py", *words, cwd=ROOT, PYTHONPATH=paths)
    assert done.returncode == 0, done.stderr[-2_000:]
    report = json.loads(done.stdout)
    assert report["wrong"] == []
    assert {name: sum(ends.values()) for name, ends in report["ends"].items() if ends} == {"backtest": 2, "sweep": 2}
