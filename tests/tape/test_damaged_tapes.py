"""A damaged tape cache costs a parse and a note: never another number, never a process that hangs or dies."""

import json

from support import ROOT, run_python


def test_no_damage_of_a_kept_tape_changes_a_result():
    """The script holds results against those of the undamaged day, after each of some 250 damages of its two files.

    It runs in a process of its own, which the test ends where it hangs, and in which a kernel may read anywhere.
    """
    done = run_python("tests/tape/damaged_tapes.py", "--flips", "30", cwd=ROOT, PYTHONPATH=f"{ROOT}:{ROOT}/tests")
    assert done.returncode == 0, done.stderr[-2_000:]
    told = json.loads(done.stdout)
    assert told["bad"] == []
    ends = told["ends"]
    assert sum(sum(kind.values()) for kind in ends.values()) >= 200
    assert all(set(kind) == {"noted"} for name, kind in ends.items() if name != "flip anywhere")
