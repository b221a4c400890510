"""The same backtest by the program itself, in a process of its own: with all of the day, or on a desk that ends."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MODEL_RAISED = 1  # exit code


@dataclass(frozen=True, slots=True)
class Child:
    """How a backtest in another process ended.

    Attributes:
        folder: Its run folder.
        code: Its exit code.
        told: What it said of a failure; empty without one.
    """

    folder: Path
    code: int
    told: str


def play(words: Sequence[str], place: Path, cwd: Path, environment: Mapping[str, str]) -> Child:
    """Run ``mm backtest`` with *words* in *cwd*; what it leaves lies in *place*."""
    folder = place / "run"
    own = [f"--out-dir={folder}", f"--log-root={place / 'logs'}", "--run-id=check", "--log-level=ERROR"]
    done = subprocess.run(
        [sys.executable, "-m", "mm", "backtest", *words, *own],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error: ")]
    told = lines[0].partition("; the traceback is in")[0] if lines else f"it ended with {done.returncode}"
    return Child(folder, done.returncode, told if done.returncode else "")
