"""Every declared parameter with extreme values: no crash by a signal, no hang, no allocation without a bound.

The registries are walked, so that a new model, signal, scenario or knob is tried as well.
"""

import json
import os
import random
import select
import subprocess
import sys

import pytest

from extreme_player import cases
from support import ROOT

HANG_S = 60.0
SAMPLE = 400


def outcomes(tried: list[dict]) -> list[tuple[dict, str]]:
    """Return the outcome of each case; a case that ends or blocks its process is followed by a new one."""
    found, process = [], None
    for case in tried:
        if process is None:
            process = player()
        process.stdin.write(json.dumps(case) + "\n")
        process.stdin.flush()
        readable, _, _ = select.select([process.stdout], [], [], HANG_S)
        line = process.stdout.readline() if readable else ""
        if line:
            found.append((case, json.loads(line)))
            continue
        process.kill()
        code = ended(process)
        found.append((case, f"died with {code}" if readable else f"no answer in {HANG_S:g} s"))
        process = None
    if process is not None:
        ended(process)
    return found


def ended(process: "subprocess.Popen[str]") -> int:
    """Close the pipes of a process, and return its exit code."""
    process.stdin.close()
    code = process.wait()
    process.stdout.close()
    return code


def player() -> "subprocess.Popen[str]":
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    words = [sys.executable, "-X", "faulthandler", str(ROOT / "tests" / "extreme_player.py")]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, cwd=ROOT)


def bad(found: list[tuple[dict, str]]) -> list[str]:
    """Return the cases that neither played nor were refused by an error of ours."""
    return [f"{case}: {outcome}" for case, outcome in found if not outcome.startswith(("ok", "refused"))]


def test_sample_of_extreme_parameters_is_played_or_refused():
    every = cases()
    known = {"kind": "quote", "name": "avellaneda_stoikov", "mode": "session", "values": {"horizon_s": 1e-7}}
    assert known in every
    found = outcomes([known, *random.Random(0).sample(every, SAMPLE)])
    assert bad(found) == []
    played = sum(outcome == "ok" for _, outcome in found)
    assert SAMPLE // 10 < played < SAMPLE


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["quote", "step", "fill", "signal", "scenario", "knob"])
def test_every_extreme_parameter_is_played_or_refused(kind):
    assert bad(outcomes([case for case in cases() if case["kind"] == kind])) == []
