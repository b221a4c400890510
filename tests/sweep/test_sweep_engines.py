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
from click.testing import CliRunner
from sweep_desk import FILES, KNOBS, invoke, own_of, run_sweep

from mm.__main__ import main
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.order_log import OrderLog, OrderLogWriter
from mm.errors import TryLater
from mm.sweep import engines as cluster
from mm.trials.ledger import Identity, Ledger
from support import ROOT

PATIENCE_S = 60
# Slow enough that something is killed while it plays; files record which process plays which point.
SLOW = """
import os, time
from pathlib import Path
from mm import Quotes

class Slow:
    def __init__(self, delta: float) -> None:
        self.delta, self.n_calls = delta, 0

    def quote(self, view):
        self.n_calls += 1
        if self.n_calls == 1 and os.environ.get("MARKS"):
            Path(os.environ["MARKS"], f"{self.delta}_{os.getpid()}").touch()
            time.sleep(float(os.environ["SLEEP_S"]))
        mid = view.mid2_ticks / 2
        return Quotes(mid - self.delta, mid + self.delta, 60, 60)
"""


@pytest.fixture(autouse=True)
def _extra() -> None:
    """Skip without Dask; at collection its import would take every worker a second."""
    pytest.importorskip("distributed", reason="needs the extra [cluster]")


@contextmanager
def process(module: str, *words: str, cwd: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Dask command in its own folder until the end of the block."""
    cwd.mkdir()
    env = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    running = subprocess.Popen([sys.executable, "-m", f"distributed.cli.{module}", *words], env=env, cwd=cwd, **silent)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def wait_for(path: Path) -> Path:
    """Wait until the file exists."""
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.exists(), path
    return path


@contextmanager
def scheduler(folder: Path, number: int = 1) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run a scheduler on loopback; yield its address and its process."""
    scheduler_file, flags = (
        folder / f"scheduler_{number}.json",
        ("--host", "127.0.0.1", "--port", "0", "--no-dashboard"),
    )
    with process(
        "dask_scheduler", *flags, "--scheduler-file", str(scheduler_file), cwd=folder / f"scheduler_{number}"
    ) as running:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                address = json.loads(wait_for(scheduler_file).read_text())["address"]
                break
            except ValueError:  # it is being written
                assert time.monotonic() < deadline
        yield address, running


def worker(address: str, folder: Path, sleep_s: float):
    """Run a worker that shares no disk with other processes: its folder and its OUT_ROOT are *folder*."""
    flags = ("--no-nanny", "--no-dashboard", "--nthreads", "1", "--local-directory", ".", "--host", "127.0.0.1")
    variables = {"MARKS": str(folder.parent / "marks"), "SLEEP_S": str(sleep_s), "OUT_ROOT": "out"}
    return process("dask_worker", address, *flags, cwd=folder, **variables)


class Desk:
    """A folder with a user's model, and sweeps of it that share with workers only an object store."""

    def __init__(self, data: Path, folder: Path, points: int) -> None:
        self.folder, self.marks, self.data = folder, folder / "marks", data
        self.marks.mkdir()
        (folder / "home").mkdir()
        (folder / "home" / "my_slow.py").write_text(SLOW)
        deltas = ",".join(str(number) for number in range(1, points + 1))
        self.knobs = {"QUOTE_MODEL": "my_slow:Slow", "GRID": f"DELTA={deltas}"}

    def sweep(self, out_root: str, **variables: str) -> "subprocess.Popen[str]":
        """Start a sweep."""
        env = {**os.environ, **KNOBS, **self.knobs, **variables, "PYTHONPATH": str(ROOT), "DATA_ROOT": str(self.data)}
        return subprocess.Popen(
            [sys.executable, "-m", "mm", "sweep", "--out-root", out_root], cwd=self.folder / "home", env=env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def on(self, address: str) -> "subprocess.Popen[str]":
        """Start a sweep on a cluster."""
        return self.sweep("cluster", CLUSTER=address, OBJECT_STORE=f"file://{self.folder}/objects")

    def serial(self) -> Path:
        """Play one point after another; return the folder of the sweep."""
        out, stderr = self.sweep("serial", JOBS="1").communicate(timeout=PATIENCE_S)
        assert stderr == ""
        return self.folder / "home" / Path(out.splitlines()[-1]).parent

    def wait_until(self, condition: Callable[[], object], sweep: "subprocess.Popen[str]") -> None:
        """Wait until *condition* holds, or the sweep has ended."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition() and sweep.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert condition(), sweep.poll()

    def same(self, serial: Path, out: str) -> None:
        """Assert that a sweep wrote the same as a *serial* one."""
        other = self.folder / "home" / Path(out.splitlines()[-1]).parent
        for name in FILES:
            assert own_of(serial / name) == own_of(other / name), name
        assert self.on_record("cluster") == self.on_record("serial")

    def on_record(self, out_root: str) -> dict[Identity, list[float]]:
        """Return the PnL of the trials on record below an OUT_ROOT, each of which has one line."""
        ledger = Ledger(self.folder / "home" / out_root)
        read = ledger.read(KNOBS["SYMBOL"], KNOBS["DAY"])
        lines = (ledger.folder / KNOBS["SYMBOL"] / f"{KNOBS['DAY']}.ndjson").read_text().splitlines()
        assert len(lines) == len(read.trials) == self.knobs["GRID"].count(",") + 1
        return {trial.identity: read.pnl(trial).tolist() for trial in read.trials}


@pytest.mark.slow
def test_sweep_on_a_cluster_survives_the_loss_of_a_worker(sweep_data, tmp_path):
    """The first worker sleeps over a point until it is killed; the other one plays that point and all the rest."""
    desk = Desk(sweep_data, tmp_path, 4)
    serial = desk.serial()
    with scheduler(tmp_path) as (address, _), worker(address, tmp_path / "one", 600) as first:
        sweep = desk.on(address)
        desk.wait_until(lambda: list(desk.marks.glob(f"*_{first.pid}")), sweep)
        with worker(address, tmp_path / "two", 0) as second:
            desk.wait_until(lambda: list(desk.marks.glob(f"*_{second.pid}")), sweep)
            first.kill()
            out, stderr = sweep.communicate(timeout=PATIENCE_S)
    assert (sweep.returncode, stderr) == (0, "")
    assert len(list(desk.marks.glob(f"*_{first.pid}"))) == 1
    assert len(list(desk.marks.glob(f"*_{second.pid}"))) == 4
    desk.same(serial, out)
    for name in ("one", "two"):  # each machine has fetched the tape, and reads the day from it alone
        assert len(list((tmp_path / name / "out" / "tapes").glob("SIMUSDT_20260105_????????????.npy"))) == 1


@pytest.mark.slow
def test_workers_of_a_cluster_play_the_order_log(tmp_path):
    """They share no disk with the sweep: the log's orders travel, and its points are those of one process."""
    words = ["--symbol", "SIMUSDT", "--day", KNOBS["DAY"], "--data-root", str(tmp_path / "data"), "--hours", "0.05"]
    made = CliRunner().invoke(main, ["sim", "day", *words, "--scenario", "zero_intelligence"])
    assert made.exit_code == 0, made.output
    day = DayFolder(tmp_path / "data", "SIMUSDT", KNOBS["DAY"])
    day.manifest.unlink()  # so that the log may change below
    desk = Desk(tmp_path / "data", tmp_path, 1)
    desk.knobs = {"GRID": "FILL_MODEL=queue_orders,trade_cross;GAMMA=0.01,0.1"}
    serial = desk.serial()
    with scheduler(tmp_path) as (address, _), worker(address, tmp_path / "one", 0):
        sweep = desk.on(address)
        out, stderr = sweep.communicate(timeout=PATIENCE_S)
    assert (sweep.returncode, stderr) == (0, "")
    other = desk.folder / "home" / Path(out.splitlines()[-1]).parent
    for name in FILES:
        assert own_of(serial / name) == own_of(other / name), name
    rows = [json.loads(line) for line in (other / "points.ndjson").read_text().splitlines()]
    fills = [row["summary"]["n_fills"] for row in rows]
    assert fills[:2] != fills[2:]
    assert len(list((tmp_path / "one" / "out" / "tapes").glob("order_log_SIMUSDT_20260105_*.npy"))) == 1
    _cover_half(day)  # only who plays the log is played again
    again = desk.sweep("cluster", JOBS="1")
    out, stderr = again.communicate(timeout=PATIENCE_S)
    assert (again.returncode, stderr) == (0, "")
    assert "4 points, 2 played, 2 reused" in out.splitlines()


def _cover_half(day: DayFolder) -> None:
    """Write the same log again, which covers only the first half of its time."""
    columns = OrderLog.open(day.order_log).columns
    first, last = int(columns["us"][0]), int(columns["us"][-1])
    day.order_log.unlink()
    with OrderLogWriter(day.order_log, [(first, (first + last) // 2)]) as log:
        log.add_columns(columns)


@pytest.mark.slow
def test_sweep_resumes_after_the_loss_of_the_scheduler(sweep_data, tmp_path):
    """The sweep ends with one line; the next one plays the missing points and writes the same bytes."""
    desk = Desk(sweep_data, tmp_path, 8)
    serial = desk.serial()
    points = tmp_path / "home" / "cluster" / "points"
    with scheduler(tmp_path) as (address, killed), worker(address, tmp_path / "one", 0.4):
        sweep = desk.on(address)
        desk.wait_until(lambda: list(points.rglob("*.json")), sweep)
        killed.kill()
        out, stderr = sweep.communicate(timeout=PATIENCE_S)
    kept = len(list(points.rglob("*.json")))
    assert (sweep.returncode, out) == (75, "")
    assert stderr == (
        f"error: --cluster (CLUSTER) {address}: the connection to its scheduler was lost; completed "
        f"points are kept, and the same command resumes the sweep, also without --cluster (CLUSTER)\n"
    )
    before = {path.name.partition("_")[0] for path in desk.marks.iterdir()}
    assert 1 <= kept <= len(before) < 8
    with scheduler(tmp_path, 2) as (address, _), worker(address, tmp_path / "two", 0) as second:
        sweep = desk.on(address)
        out, stderr = sweep.communicate(timeout=PATIENCE_S)
    assert (sweep.returncode, stderr) == (0, "")
    assert f"8 points, {8 - kept} played, {kept} reused" in out.splitlines()
    assert len(list(desk.marks.glob(f"*_{second.pid}"))) == 8 - kept
    desk.same(serial, out)


@pytest.mark.slow
def test_unreachable_cluster_gives_one_line_and_exits_with_75(sweep_data, tmp_path, unused_port):
    """The cluster may be available later, and played points are kept until then."""
    started_at = time.monotonic()
    done = run_sweep(tmp_path, sweep_data, CLUSTER=f"tcp://127.0.0.1:{unused_port}")
    assert done.returncode == 75
    assert done.stderr.count("\n") == 1
    assert "no Dask scheduler responded within 5 s" in done.stderr
    assert time.monotonic() - started_at < PATIENCE_S


@pytest.fixture
def unused_port() -> int:
    """A loopback port on which no process listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def test_missing_dask_error_names_the_extra(sweep_data, tmp_path, monkeypatch):
    """One command installs it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = invoke(sweep_data, CLUSTER="tcp://127.0.0.1:1")
    assert done.exit_code == 2
    assert "this command needs distributed; install it with: pip install '.[cluster]'" in done.stderr


class FakeCluster:
    """A fake client and its executor, for failures that are hard to time on a real cluster."""

    def __init__(self, future: Future, workers: int = 1, status: str = "running") -> None:
        self.future, self.workers, self.status = future, workers, status

    def __enter__(self) -> "FakeCluster":
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def get_executor(self, *, pure: bool) -> "FakeCluster":
        return self

    def submit(self, *_call: object) -> Future:
        return self.future

    def nthreads(self) -> dict:
        return dict.fromkeys(range(self.workers), 1)


def outcomes(fake: FakeCluster, monkeypatch: pytest.MonkeyPatch, points: int = 1) -> list:
    monkeypatch.setattr(cluster, "_client", lambda _address: fake)
    monkeypatch.setattr(cluster, "_POLL_S", 0.001)
    monkeypatch.setattr(cluster, "WORKER_TIMEOUT_S", 0.005)
    return list(cluster.on_cluster([{}] * points, "tcp://host:1"))


def test_lost_cluster_ends_the_sweep_in_bounded_time(monkeypatch):
    """Its scheduler ends or no longer answers, or its last worker is lost: TryLater."""
    cancelled: Future = Future()
    cancelled.cancel()
    cancelled.set_running_or_notify_cancel()
    for fake, message in (
        (FakeCluster(cancelled), "the connection to its scheduler was lost"),
        (FakeCluster(Future(), status="connecting"), "the connection to its scheduler was lost"),
        (FakeCluster(Future(), workers=0), "it has had no worker for"),
    ):
        with pytest.raises(TryLater, match=message):
            outcomes(fake, monkeypatch)


def test_task_that_no_worker_could_play_is_a_failed_point(monkeypatch):
    """The scheduler gives up on a task that kills several workers; the other points continue."""
    failed: Future = Future()
    failed.set_exception(RuntimeError("Attempted to run task on 4 workers"))
    ((place, outcome),) = outcomes(FakeCluster(failed), monkeypatch)
    assert place == 0
    assert outcome["error"] == "the cluster could not run it (RuntimeError: Attempted to run task on 4 workers)"


def test_chunk_that_no_worker_could_play_is_retried_point_by_point(monkeypatch):
    """So that a point that ends its process takes no others along."""

    class Deadly(FakeCluster):
        def submit(self, _play: object, tasks: list, _seconds: float) -> Future:
            sizes.append(len(tasks))
            result: Future = Future()
            if {"ill": True} in tasks:
                result.set_exception(RuntimeError("Attempted to run task on 4 workers"))
            else:
                result.set_result([{"of": task["number"]} for task in tasks[:3]])
            return result

    sizes: list[int] = []
    monkeypatch.setattr(cluster, "_client", lambda _address: Deadly(Future(), workers=2))
    tasks = [{"number": number} if number != 2 else {"ill": True} for number in range(20)]
    results = dict(cluster.on_cluster(tasks, "tcp://host:1"))
    assert sorted(results) == list(range(20))
    assert {place: outcome for place, outcome in results.items() if place != 2} == {
        number: {"of": number} for number in range(20) if number != 2
    }
    assert "Attempted to run task on 4 workers" in results[2]["error"]
    assert sizes[:2] == [5, 4]  # a quarter of the remaining points for each of two threads
    assert sizes[-5:] == [1] * 5
