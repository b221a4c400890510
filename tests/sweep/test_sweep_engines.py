"""Sweeps on a real Dask cluster: a scheduler and two worker processes on loopback, one of which is killed."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pytest
from sweep_desk import FILES, KNOBS, called, folder_of, swept

from mm.errors import TryLater
from mm.sweep import engines as cluster
from support import ROOT

pytest.importorskip("distributed", reason="needs the extra [cluster]")
PATIENCE_S = 60
# Slow enough that a worker is killed while it plays, and told by files who plays what.
SLOW = """
import os, time
from pathlib import Path
from mm import Quotes

class Slow:
    def __init__(self, delta: float) -> None:
        self.delta, self.asked = delta, 0

    def quote(self, view):
        self.asked += 1
        if self.asked == 1 and os.environ.get("MARKS"):
            Path(os.environ["MARKS"], f"{self.delta}_{os.getpid()}").touch()
            if int(os.environ["NUMBER"]) == 1:
                time.sleep(600)
        mid = view.mid2_ticks / 2
        return Quotes(mid - self.delta, mid + self.delta, 60, 60)
"""


@contextmanager
def process(module: str, *words: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a door of Dask until the end of the block."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    found = subprocess.Popen([sys.executable, "-m", f"distributed.cli.{module}", *words], env=env, **silent)
    try:
        yield found
    finally:
        found.kill()
        found.wait()


def waited(path: Path) -> Path:
    """Wait until there is such a file."""
    until = time.monotonic() + PATIENCE_S
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert path.exists(), path
    return path


@contextmanager
def scheduler(folder: Path) -> Iterator[str]:
    """Run a scheduler on loopback; yield its address."""
    said = folder / "scheduler.json"
    with process(
        "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(said)
    ):
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                address = json.loads(waited(said).read_text())["address"]
                break
            except ValueError:  # it is being written
                assert time.monotonic() < until
        yield address


def worker(address: str, number: int, marks: Path, cwd: Path):
    own = ("--no-nanny", "--no-dashboard", "--nthreads", "1", "--local-directory", str(cwd), "--host", "127.0.0.1")
    return process("dask_worker", address, *own, MARKS=str(marks), NUMBER=str(number))


def test_a_cluster_that_loses_a_worker_gives_the_same_bytes(sweep_data, tmp_path, monkeypatch):
    """The first worker sleeps over a point until it is killed; the other one plays that point, and all the rest."""
    (tmp_path / "my_slow.py").write_text(SLOW)
    marks, knobs = tmp_path / "marks", {"QUOTE_MODEL": "my_slow:Slow", "GRID": "DELTA=1,2,3,4"}
    marks.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    serial = called(sweep_data, **knobs, JOBS="1", OUT_ROOT="serial")
    assert serial.exit_code == 0, serial.stderr
    env = {**os.environ, **KNOBS, **knobs, "PYTHONPATH": str(ROOT), "DATA_ROOT": str(sweep_data)}
    with scheduler(tmp_path) as address, worker(address, 1, marks, tmp_path) as first:
        command = [sys.executable, "-m", "mm", "sweep", "--cluster", address, "--out-root", "cluster"]
        sweep = subprocess.Popen(
            command, cwd=tmp_path, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        until = time.monotonic() + PATIENCE_S
        while not list(marks.glob(f"*_{first.pid}")) and sweep.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        with worker(address, 2, marks, tmp_path) as second:
            while not list(marks.glob(f"*_{second.pid}")) and sweep.poll() is None and time.monotonic() < until:
                time.sleep(0.01)
            first.kill()
            out, told = sweep.communicate(timeout=PATIENCE_S)
    assert (sweep.returncode, told) == (0, "")
    played = {path.name for path in marks.iterdir()}
    assert len([name for name in played if name.endswith(f"_{first.pid}")]) == 1
    assert len([name for name in played if name.endswith(f"_{second.pid}")]) == 4
    one, other = folder_of(serial, tmp_path), (tmp_path / out.splitlines()[-1]).parent
    for name in FILES:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_a_cluster_that_is_not_there_is_told_in_one_line(sweep_data, tmp_path, unused_port):
    """Exit code 75: it may be there later, and what was played is kept until then."""
    began = time.monotonic()
    done = swept(tmp_path, sweep_data, CLUSTER=f"tcp://127.0.0.1:{unused_port}")
    assert done.returncode == 75
    assert done.stderr.count("\n") == 1
    assert "no Dask scheduler answered within 5 s" in done.stderr
    assert time.monotonic() - began < PATIENCE_S


@pytest.fixture
def unused_port() -> int:
    """A port of loopback that nobody listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def test_an_installation_without_dask_names_the_extra(sweep_data, tmp_path, monkeypatch):
    """What is missing can be had in one command."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = called(sweep_data, CLUSTER="tcp://127.0.0.1:1")
    assert done.exit_code == 2
    assert "this command needs distributed; install it with: pip install '.[cluster]'" in done.stderr


class Stand:
    """Stands in for a client and its executor: what a cluster may do that is hard to make a real one do in time."""

    def __init__(self, future: Future, workers: int = 1, status: str = "running") -> None:
        self.future, self.workers, self.status = future, workers, status

    def __enter__(self) -> "Stand":
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def get_executor(self, *, pure: bool) -> "Stand":
        return self

    def submit(self, *_call: object) -> Future:
        return self.future

    def scheduler_info(self) -> dict:
        return {"workers": dict.fromkeys(range(self.workers))}


def outcomes(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> list:
    monkeypatch.setattr(cluster, "_client", lambda _address: stand)
    monkeypatch.setattr(cluster, "_LOOK_S", 0.001)
    monkeypatch.setattr(cluster, "PATIENCE_S", 0.005)
    return list(cluster.on_cluster([{}], "tcp://host:1"))


def test_a_cluster_that_goes_away_ends_the_sweep_in_bounded_time(monkeypatch):
    """Its scheduler ends, it answers no more, or it has lost its last worker: come back later."""
    cancelled: Future = Future()
    cancelled.cancel()
    cancelled.set_running_or_notify_cancel()
    for stand, told in (
        (Stand(cancelled), "its scheduler is gone"),
        (Stand(Future(), status="connecting"), "its scheduler is gone"),
        (Stand(Future(), workers=0), "it has had no worker for"),
    ):
        with pytest.raises(TryLater, match=told):
            outcomes(stand, monkeypatch)


def test_a_task_that_no_worker_could_play_is_a_failed_point(monkeypatch):
    """The scheduler gives up on what outlives several workers; the other points go on."""
    failed: Future = Future()
    failed.set_exception(RuntimeError("Attempted to run task on 4 workers"))
    ((place, outcome),) = outcomes(Stand(failed), monkeypatch)
    assert place == 0
    assert outcome["error"] == "the cluster could not play it (RuntimeError: Attempted to run task on 4 workers)"
