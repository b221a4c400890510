"""Kill runs with SIGKILL at random instants, and look at everything that they leave below OUT_ROOT.

``PYTHONPATH=.:tests:tests/sweep python tests/runs/killed_runs.py --kills 50`` kills backtests, calibrations and
walk-forwards so often each, and sweeps so often in all, which are started again under the same RUN_ID until they end.
A folder must be whole, with the hashes of its manifest and the digest of a run that nobody killed, or be known as
unfinished. It prints what it found as JSON; ``wrong`` must be empty.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from sweep_desk import GRID, KNOBS, small_day

from mm.code_identity import hash_file
from mm.errors import DataError
from mm.runs.find import Found, find_run, find_runs
from mm.runs.folder import CHECKPOINT
from mm.runs.manifest import MANIFEST
from support import ROOT

COMMANDS = {
    "backtest": ["backtest", "--sensitivity", "0"],
    "calibrate": ["calibrate"],
    "walkforward": ["walkforward", "--wf-train-window-min", "10", "--wf-step-min", "5", "--sensitivity", "0"],
    "sweep": ["sweep", "--jobs", "2", "--grid", GRID],
}
_LOOK_S = 0.002


class Runs:
    """Runs of one day below one OUT_ROOT, killed or not."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.out = root, root / "out"
        self.wrong: list[str] = []
        self.ends: dict[str, Counter[str]] = {name: Counter() for name in COMMANDS}
        self._chance = random.Random(seed)
        self._expected: dict[str, tuple[str, dict[str, str]]] = {}
        self._took_s: dict[str, float] = {}
        small_day(root / "data")

    def whole(self, name: str, run_id: str) -> None:
        """Let a command end by itself; the first run of it is what all others are held against."""
        began = time.monotonic()
        process = self._started(name, run_id)
        _, told = process.communicate(timeout=300)
        self._took_s.setdefault(name, time.monotonic() - began)
        if process.returncode:
            self.wrong.append(f"{name} {run_id}: exit code {process.returncode}, {told.strip()[-300:]}")
            return
        run = find_run(run_id, self.out)
        found = run.manifest["digest"], self._in_digest(run)
        if self._expected.setdefault(name, found) != found:
            self.wrong.append(f"{name} {run_id}: other bytes than the run that nobody killed")

    def killed(self, name: str, run_id: str) -> bool:
        """Start a command, kill it at a random instant, and look at what is left; return whether the run is whole.

        Either its process alone is killed, as by the system for want of memory, or all of its processes.
        """
        wait_s = self._chance.uniform(0.2, 1.05) * self._took_s[name]
        process = self._started(name, run_id)
        began = time.monotonic()
        # Half of the instants lie where folders are written and renamed: when the first files are in the partial one.
        late = self._chance.random() < 0.5
        while process.poll() is None and time.monotonic() - began < wait_s:
            if late and any(self._written(run_id)):
                time.sleep(self._chance.uniform(0, 0.15 * self._took_s[name]))
                break
            time.sleep(_LOOK_S)
        all_of_them = self._chance.random() < 0.5
        if process.poll() is None:
            (os.killpg if all_of_them else os.kill)(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
        self._wait_for_workers(process.pid)
        left = self._left(name, run_id)
        self.ends[name][left] += 1
        return left == "whole"  # also of a process that was killed after it renamed its folder

    def _started(self, name: str, run_id: str) -> "subprocess.Popen[str]":
        env = {**os.environ, "PYTHONPATH": str(ROOT), **KNOBS, "RUN_ID": run_id}
        return subprocess.Popen(
            [sys.executable, "-m", "mm", *COMMANDS[name]], cwd=self.root, env=env, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    def _written(self, run_id: str) -> Iterator[Path]:
        return self.out.glob(f"**/*_{run_id}.partial/*.*")

    def _wait_for_workers(self, group: int) -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                os.killpg(group, 0)
            except ProcessLookupError:
                return
            time.sleep(_LOOK_S)
        self.wrong.append(f"a process of group {group} outlives its run")

    def _left(self, name: str, run_id: str) -> str:
        """Check every folder of a run, and return how it ended."""
        names = (f"_{run_id}", f"_{run_id}.partial")
        below = (path for path in self.out.rglob("*") if "logs" not in path.parts and path.name.endswith(names))
        folders = {path for path in below if path.is_dir()}
        runs, strays = find_runs(self.out)
        whole = [run for run in runs if run.manifest["run_id"] == run_id]
        known = {run.folder for run in whole} | {stray.folder for stray in strays}
        for folder in folders - known:
            self.wrong.append(f"{name}: {folder} is neither a run nor known as unfinished")
        for stray in strays:
            if not stray.why.startswith("not finished"):
                self.wrong.append(f"{name}: {stray.folder}: {stray.why}")
        for run in whole:
            self.wrong += [f"{name}: {told}" for told in self._harm(name, run)]
        try:
            found = find_run(run_id, self.out)
        except DataError:
            found = None
        if (found is None) != (not whole):
            self.wrong.append(f"{name} {run_id}: a name that stands for {found}")
        return "whole" if whole else "unfinished" if folders else "nothing but a log"

    def _harm(self, name: str, run: Found) -> Iterator[str]:
        named = {one["path"]: one["sha256"] for one in run.manifest["outputs"]}
        there = {path.relative_to(run.folder).as_posix(): path for path in run.folder.rglob("*") if path.is_file()}
        lie = {path: file for path, file in there.items() if path.split("/")[0] != CHECKPOINT and path != MANIFEST}
        if set(lie) != set(named):
            yield f"{run.folder}: {sorted(set(lie) ^ set(named))} are in the folder or in the manifest alone"
        for path, file in lie.items():
            if hash_file(file) != named.get(path):
                yield f"{file}: other content than in the manifest"
        if (run.manifest["digest"], self._in_digest(run)) != self._expected[name]:
            yield f"{run.folder}: other bytes than the run that nobody killed"

    @staticmethod
    def _in_digest(run: Found) -> dict[str, str]:
        """Return the sha256 of the outputs that equal work leaves equal: all but pages."""
        return {one["path"]: one["sha256"] for one in run.manifest["outputs"] if not one["path"].endswith(".html")}


def main() -> None:
    """Kill, look, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=[*COMMANDS])
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder), told.seed)
        ended = 0
        for name in told.commands:
            runs.whole(name, f"{name}-unharmed")
            for kill in range(told.kills):
                if name != "sweep":
                    runs.killed(name, f"{name}-{kill}")
                elif runs.killed(name, f"sweep-{ended}"):  # it was done: this one is whole, the next one begins
                    ended += 1
                    for path in (runs.out / "points").rglob("*.json"):
                        path.unlink()
            if name == "sweep":
                runs.whole(name, f"sweep-{ended}")
        print(json.dumps({"ends": runs.ends, "sweeps that ended": ended + 1, "wrong": runs.wrong}, indent=1))


if __name__ == "__main__":
    main()
