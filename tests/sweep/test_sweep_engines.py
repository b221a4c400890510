"""Sweeps on a real Dask cluster: a scheduler and two worker processes on loopback, one of which is killed."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pytest
from sweep_desk import FILES, KNOBS, called, swept

from mm.errors import TryLater
from mm.sweep import engines as cluster
from support import ROOT

pytest.importorskip("distributed", reason="needs the extra [cluster]")
PATIENCE_S = 60
# Slow enough that something is killed while it plays; files note who plays what.
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
            time.sleep(float(os.environ["SLEEP_S"]))
        mid = view.mid2_ticks / 2
        return Quotes(mid - self.delta, mid + self.delta, 60, 60)
"""


@contextmanager
def process(module: str, *words: str, cwd: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a door of Dask in a folder of its own until the end of the block."""
    cwd.mkdir()
    env = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    found = subprocess.Popen([sys.executable, "-m", f"distributed.cli.{module}", *words], env=env, cwd=cwd, **silent)
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
def scheduler(folder: Path, number: int = 1) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run a scheduler on loopback; yield its address and its process."""
    told, own = folder / f"scheduler_{number}.json", ("--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    with process("dask_scheduler", *own, "--scheduler-file", str(told), cwd=folder / f"scheduler_{number}") as found:
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                address = json.loads(waited(told).read_text())["address"]
                break
            except ValueError:  # it is being written
                assert time.monotonic() < until
        yield address, found


def worker(address: str, folder: Path, sleep_s: float):
    """Run a worker that shares no disk with anybody: its folder and its OUT_ROOT are *folder*."""
    own = ("--no-nanny", "--no-dashboard", "--nthreads", "1", "--local-directory", ".", "--host", "127.0.0.1")
    variables = {"MARKS": str(folder.parent / "marks"), "SLEEP_S": str(sleep_s), "OUT_ROOT": "out"}
    return process("dask_worker", address, *own, cwd=folder, **variables)


class Desk:
    """A folder with a user's model, and sweeps of it that share nothing with workers but an object store."""

    def __init__(self, data: Path, folder: Path, points: int) -> None:
        self.folder, self.marks, self.data = folder, folder / "marks", data
        self.marks.mkdir()
        (folder / "home").mkdir()
        (folder / "home" / "my_slow.py").write_text(SLOW)
        deltas = ",".join(str(number) for number in range(1, points + 1))
        self.knobs = {"QUOTE_MODEL": "my_slow:Slow", "GRID": f"DELTA={deltas}"}

    def sweep(self, out_root: str, **more: str) -> "subprocess.Popen[str]":
        """Start a sweep."""
        env = {**os.environ, **KNOBS, **self.knobs, **more, "PYTHONPATH": str(ROOT), "DATA_ROOT": str(self.data)}
        return subprocess.Popen(
            [sys.executable, "-m", "mm", "sweep", "--out-root", out_root], cwd=self.folder / "home", env=env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def on(self, address: str) -> "subprocess.Popen[str]":
        """Start a sweep on a cluster."""
        return self.sweep("cluster", CLUSTER=address, OBJECT_STORE=f"file://{self.folder}/objects")

    def serial(self) -> Path:
        """Play one point after another; return the folder of the sweep."""
        out, told = self.sweep("serial", JOBS="1").communicate(timeout=PATIENCE_S)
        assert told == ""
        return self.folder / "home" / Path(out.splitlines()[-1]).parent

    def until(self, what: Callable[[], object], sweep: "subprocess.Popen[str]") -> None:
        """Wait until *what* holds, or the sweep has ended."""
        until = time.monotonic() + PATIENCE_S
        while not what() and sweep.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        assert what(), sweep.poll()

    def same(self, serial: Path, out: str) -> None:
        """Assert that a sweep left the bytes of a *serial* one."""
        other = self.folder / "home" / Path(out.splitlines()[-1]).parent
        for name in FILES:
            assert (serial / name).read_bytes() == (other / name).read_bytes(), name


def test_a_cluster_that_loses_a_worker_gives_the_same_bytes(sweep_data, tmp_path):
    """The first worker sleeps over a point until it is killed; the other one plays that point, and all the rest."""
    desk = Desk(sweep_data, tmp_path, 4)
    serial = desk.serial()
    with scheduler(tmp_path) as (address, _), worker(address, tmp_path / "one", 600) as first:
        sweep = desk.on(address)
        desk.until(lambda: list(desk.marks.glob(f"*_{first.pid}")), sweep)
        with worker(address, tmp_path / "two", 0) as second:
            desk.until(lambda: list(desk.marks.glob(f"*_{second.pid}")), sweep)
            first.kill()
            out, told = sweep.communicate(timeout=PATIENCE_S)
    assert (sweep.returncode, told) == (0, "")
    assert len(list(desk.marks.glob(f"*_{first.pid}"))) == 1
    assert len(list(desk.marks.glob(f"*_{second.pid}"))) == 4
    desk.same(serial, out)
    for name in ("one", "two"):  # each machine has fetched the tape, and knows the day by it alone
        assert len(list((tmp_path / name / "out" / "tapes").glob("SIMUSDT_20260105_????????????.arrow"))) == 1


def test_a_cluster_that_loses_its_scheduler_is_taken_up_by_the_next_start(sweep_data, tmp_path):
    """The sweep ends with one line; the next one plays what is missing, and leaves the same bytes."""
    desk = Desk(sweep_data, tmp_path, 8)
    serial = desk.serial()
    points = tmp_path / "home" / "cluster" / "points"
    with scheduler(tmp_path) as (address, killed), worker(address, tmp_path / "one", 0.4):
        sweep = desk.on(address)
        desk.until(lambda: list(points.rglob("*.json")), sweep)
        killed.kill()
        out, told = sweep.communicate(timeout=PATIENCE_S)
    kept = len(list(points.rglob("*.json")))
    assert (sweep.returncode, out) == (75, "")
    assert told == (
        f"error: --cluster (CLUSTER) {address}: its scheduler is gone; points played so far are kept, and the same "
        f"command resumes with the rest, also without --cluster\n"
    )
    before = {path.name.partition("_")[0] for path in desk.marks.iterdir()}
    assert 1 <= kept <= len(before) < 8
    with scheduler(tmp_path, 2) as (address, _), worker(address, tmp_path / "two", 0) as second:
        sweep = desk.on(address)
        out, told = sweep.communicate(timeout=PATIENCE_S)
    assert (sweep.returncode, told) == (0, "")
    assert out.splitlines()[0] == f"8 points, {8 - kept} played, {kept} known before"
    assert len(list(desk.marks.glob(f"*_{second.pid}"))) == 8 - kept
    desk.same(serial, out)


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

    def nthreads(self) -> dict:
        return dict.fromkeys(range(self.workers), 1)


def outcomes(stand: Stand, monkeypatch: pytest.MonkeyPatch, points: int = 1) -> list:
    monkeypatch.setattr(cluster, "_client", lambda _address: stand)
    monkeypatch.setattr(cluster, "_POLL_S", 0.001)
    monkeypatch.setattr(cluster, "PATIENCE_S", 0.005)
    return list(cluster.on_cluster([{}] * points, "tcp://host:1"))


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


def test_a_chunk_that_no_worker_could_play_is_played_point_by_point(monkeypatch):
    """So that a point that ends its process takes no others along."""

    class Deadly(Stand):
        def submit(self, _play: object, tasks: list, _seconds: float) -> Future:
            sizes.append(len(tasks))
            found: Future = Future()
            if {"ill": True} in tasks:
                found.set_exception(RuntimeError("Attempted to run task on 4 workers"))
            else:
                found.set_result([{"of": task["number"]} for task in tasks[:3]])
            return found

    sizes: list[int] = []
    monkeypatch.setattr(cluster, "_client", lambda _address: Deadly(Future(), workers=2))
    tasks = [{"number": number} if number != 2 else {"ill": True} for number in range(20)]
    found = dict(cluster.on_cluster(tasks, "tcp://host:1"))
    assert sorted(found) == list(range(20))
    assert {place: outcome for place, outcome in found.items() if place != 2} == {
        number: {"of": number} for number in range(20) if number != 2
    }
    assert "Attempted to run task on 4 workers" in found[2]["error"]
    assert sizes[:2] == [5, 4]  # a quarter of what is left for each of two threads
    assert sizes[-5:] == [1] * 5
