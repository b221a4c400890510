"""A run that is killed leaves a whole run or one that is known as unfinished; nothing between them is believed."""

import json

from support import ROOT, run_python


def test_what_a_killed_run_leaves_is_whole_or_known_as_unfinished():
    """A few random instants of the many that `killed_runs.py` tries with ``--kills 50`` (docs/reliability.md)."""
    paths = f"{ROOT}:{ROOT}/tests:{ROOT}/tests/sweep"
    words = ("--kills", "2", "--commands", "backtest", "sweep")
    done = run_python("tests/runs/killed_runs.py", *words, cwd=ROOT, PYTHONPATH=paths)
    assert done.returncode == 0, done.stderr[-2_000:]
    told = json.loads(done.stdout)
    assert told["wrong"] == []
    assert {name: sum(ends.values()) for name, ends in told["ends"].items() if ends} == {"backtest": 2, "sweep": 2}
