"""A damaged tape cache causes a parse and a note, but no different results, hangs or crashes."""

import json

import pytest

from support import ROOT, run_python


@pytest.mark.slow
def test_damage_of_kept_tape_does_not_change_results():
    """The script compares results with those of the undamaged day after each of some 250 damages of its files.

    It runs in a separate process, because a kernel might hang or crash.
    """
    done = run_python("tests/tape/damaged_tapes.py", "--flips", "100", cwd=ROOT, PYTHONPATH=f"{ROOT}:{ROOT}/tests")
    assert done.returncode == 0, done.stderr[-2_000:]
    report = json.loads(done.stdout)
    assert report["bad"] == []
    ends = report["ends"]
    assert sum(sum(kind.values()) for kind in ends.values()) >= 200
    assert all(set(kind) == {"noted"} for name, kind in ends.items() if name != "flip anywhere")
