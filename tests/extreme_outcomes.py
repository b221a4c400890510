"""Plays cases in processes that may die or hang: see `extreme_player` and `extreme_commander`."""

import json
import os
import select
import subprocess
import sys

from support import ROOT

HANG_S = 60.0


def outcomes(script: str, tried: list[dict]) -> list[tuple[dict, str]]:
    """Return the outcome of each case by a script beside this file; one that dies or hangs is followed by another."""
    found, process = [], None
    for case in tried:
        if process is None:
            process = player(script)
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


def player(script: str) -> "subprocess.Popen[str]":
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    words = [sys.executable, "-X", "faulthandler", str(ROOT / "tests" / script)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, cwd=ROOT)


def bad(found: list[tuple[dict, str]]) -> list[str]:
    """Return the cases that neither played nor were refused by an error of ours."""
    return [f"{case}: {outcome}" for case, outcome in found if not outcome.startswith(("ok", "refused"))]
