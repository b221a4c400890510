"""Kill runs with SIGKILL at random times, and check all files that they leave below OUT_ROOT.

``PYTHONPATH=.:tests:tests/sweep python tests/runs/killed_runs.py --kills 50`` kills backtests, calibrations and
walk-forwards that often each, and sweeps that often in total; sweeps are started again under the same RUN_ID until
they end. A folder must be complete, with the hashes of its manifest and the digest of a run that was not killed, or be
listed as unfinished. The results are printed as JSON; ``wrong`` must be empty.
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
from hashlib import sha256
from pathlib import Path

from sweep_desk import GRID, KNOBS, small_day

from mm import RunFolder, open_run
from mm.errors import DataError
from mm.runs.find import find_runs
from mm.runs.manifest import content_of
from mm.runs.plan import CHECKPOINT
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
        self._rng = random.Random(seed)
        self._expected: dict[str, tuple[str, dict[str, str]]] = {}
        self._took_s: dict[str, float] = {}
        small_day(root / "data")

    def run_to_end(self, name: str, run_id: str) -> None:
        """Let a command end by itself; its first run is the reference for all others."""
        started_at = time.monotonic()
        process = self._start(name, run_id)
        _, stderr = process.communicate(timeout=300)
        self._took_s.setdefault(name, time.monotonic() - started_at)
        if process.returncode:
            self.wrong.append(f"{name} {run_id}: exit code {process.returncode}, {stderr.strip()[-300:]}")
            return
        run = open_run(run_id, self.out)
        result = run.manifest["digest"], self._in_digest(run)
        if self._expected.setdefault(name, result) != result:
            self.wrong.append(f"{name} {run_id}: other bytes than the run that was not killed")

    def kill_run(self, name: str, run_id: str) -> bool:
        """Start a command, kill it at a random time and check what is left; return whether the run is complete.

        Either only its main process is killed, as by an out-of-memory killer, or all of its processes.
        """
        wait_s = self._rng.uniform(0.2, 1.05) * self._took_s[name]
        process = self._start(name, run_id)
        started_at = time.monotonic()
        # Half of the kills come while folders are written and renamed: when the partial folder has its first files.
        late = self._rng.random() < 0.5
        while process.poll() is None and time.monotonic() - started_at < wait_s:
            if late and any(self._written(run_id)):
                time.sleep(self._rng.uniform(0, 0.15 * self._took_s[name]))
                break
            time.sleep(_LOOK_S)
        all_of_them = self._rng.random() < 0.5
        if process.poll() is None:
            (os.killpg if all_of_them else os.kill)(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
        self._wait_for_workers(process.pid)
        outcome = self._outcome(name, run_id)
        self.ends[name][outcome] += 1
        return outcome == "whole"  # also of a process that was killed after it renamed its folder

    def _start(self, name: str, run_id: str) -> "subprocess.Popen[str]":
        env = {**os.environ, "PYTHONPATH": str(ROOT), **KNOBS, "RUN_ID": run_id}
        return subprocess.Popen(
            [sys.executable, "-m", "mm", *COMMANDS[name]], cwd=self.root, env=env, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    def _written(self, run_id: str) -> Iterator[Path]:
        return self.out.glob(f"**/*_{run_id}.partial/*.*")

    def _wait_for_workers(self, group: int) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                os.killpg(group, 0)
            except ProcessLookupError:
                return
            time.sleep(_LOOK_S)
        self.wrong.append(f"a process of group {group} outlives its run")

    def _outcome(self, name: str, run_id: str) -> str:
        """Check every folder of a run, and return how it ended."""
        names = (f"_{run_id}", f"_{run_id}.partial")
        below = (path for path in self.out.rglob("*") if "logs" not in path.parts and path.name.endswith(names))
        folders = {path for path in below if path.is_dir()}
        runs, invalid = find_runs(self.out)
        run_to_end = [run for run in runs if run.manifest["run_id"] == run_id]
        known = {run.folder for run in run_to_end} | {one.folder for one in invalid}
        for folder in folders - known:
            self.wrong.append(f"{name}: {folder} is neither a run nor known as unfinished")
        for one in invalid:
            if not one.why.startswith("not finished"):
                self.wrong.append(f"{name}: {one.folder}: {one.why}")
        for run in run_to_end:
            self.wrong += [f"{name}: {problem}" for problem in self._problems(name, run)]
        try:
            found = open_run(run_id, self.out)
        except DataError:
            found = None
        if (found is None) != (not run_to_end):
            self.wrong.append(f"{name} {run_id}: a name that stands for {found}")
        return "whole" if run_to_end else "unfinished" if folders else "nothing but a log"

    def _problems(self, name: str, run: RunFolder) -> Iterator[str]:
        named = {entry["path"]: entry["sha256"] for entry in run.manifest["outputs"]}
        files = {path.relative_to(run.folder).as_posix(): path for path in run.folder.rglob("*") if path.is_file()}
        outputs = {
            path: file
            for path, file in files.items()
            if path.split("/")[0] != CHECKPOINT and path != "run_manifest.json"
        }
        if set(outputs) != set(named):
            yield f"{run.folder}: {sorted(set(outputs) ^ set(named))} are in the folder or in the manifest alone"
        for path, file in outputs.items():
            if sha256(file.read_bytes()).hexdigest() != named.get(path):
                yield f"{file}: other content than in the manifest"
        if (run.manifest["digest"], self._in_digest(run)) != self._expected[name]:
            yield f"{run.folder}: other bytes than the run that was not killed"

    @staticmethod
    def _in_digest(run: RunFolder) -> dict[str, str]:
        """Return the sha256 of the outputs that are equal for equal work: no pages, nothing of the trials on record."""
        outputs = [entry for entry in run.manifest["outputs"] if not entry["path"].endswith(".html")]
        return {entry["path"]: content_of(entry) for entry in outputs}


def main() -> None:
    """Kill runs, check them, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=[*COMMANDS])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder), args.seed)
        ended = 0
        for name in args.commands:
            runs.run_to_end(name, f"{name}-unharmed")
            for kill in range(args.kills):
                if name != "sweep":
                    runs.kill_run(name, f"{name}-{kill}")
                elif runs.kill_run(name, f"sweep-{ended}"):  # it was done: this one is complete, the next one begins
                    ended += 1
                    for path in (runs.out / "points").rglob("*.json"):
                        path.unlink()
            if name == "sweep":
                runs.run_to_end(name, f"sweep-{ended}")
        print(json.dumps({"ends": runs.ends, "sweeps that ended": ended + 1, "wrong": runs.wrong}, indent=1))


if __name__ == "__main__":
    main()
