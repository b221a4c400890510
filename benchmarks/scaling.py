"""Cost and fault tolerance of sweeps on several machines.

``python -m benchmarks.scaling`` plays a grid in one process, and again on a simulated cluster: a Dask scheduler and
eight workers, processes on loopback with a separate folder each, which get the tape from an object store. Halfway, a
worker is killed, and then the scheduler; the same command plays the remaining points on another cluster. Both sweeps
must write the same bytes. The measured rates are extrapolated in a table: processor hours and transferred bytes of
1,000 symbols over 250 days with 100 points per day.
"""

import argparse
import json
import os
import pickle
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.turns import PYTHON, clean_environment, run
from benchmarks.yardstick import Yardstick
from mm.backtest.rules import Account, Execution
from mm.dayfolder.layout import DayFolder
from mm.errors import MMError
from mm.play.knobs import Day, Market, Models
from mm.play.market import Markets
from mm.play.setup import Setup
from mm.report.contents import SERIES, SWEEP
from mm.sweep.engines import on_cluster
from mm.sweep.findings import POINTS, TABLE
from mm.sweep.grid import axes_for, points_of
from mm.sweep.objects import ObjectStore, run_tasks
from mm.sweep.play_point import Task
from mm.sweep.store import Store
from mm.sweep.work import Work, check, shared_inputs
from mm.tape.load import open_kept
from mm.tape.tape import Tape
from mm.terminal.console import Console
from mm.trials.on_record import Recording

SYMBOLS, DAYS, POINTS_PER_DAY = 1_000, 250, 100
FILLS = ("trade_cross", "queue_prob_power")
TIMEOUT_S = 600.0
EMPTY = 2_000  # points that end before they are played, to measure the cluster's own cost
WORKER_KILLED_AT, SCHEDULER_KILLED_AT = 0.2, 0.5  # shares of stored points at which each is killed
_HOUR_S, _MB = 3600.0, 1e6
_CPU_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Rates:
    """Measured costs of one day, in seconds of processor time.

    Attributes:
        hours: Length of the day.
        rows: Number of rows of its tape.
        tape_s: Time to convert its files to a cached tape.
        sweep_s: Time of a sweep without its points: start, opening of the day, findings and page.
        point_s: Time of a point, by fill model.
        put_s, fetch_s: Time to put the tape into the store; and to fetch, verify and open it, with best prices and
            levels.
        cluster_s: Overhead of a point on the cluster: command, scheduler and worker.
        day_mb, tape_mb, object_mb: Sizes of the tape's source files, of the tape, and of the object.
        task_kb, result_kb: Size of a point's task and of its result.
    """

    hours: float
    rows: int
    tape_s: float
    sweep_s: float
    point_s: dict[str, float]
    put_s: float
    fetch_s: float
    cluster_s: float
    day_mb: float
    tape_mb: float
    object_mb: float
    task_kb: float
    result_kb: float


@dataclass(frozen=True)
class Desk:
    """The submitting machine.

    Attributes:
        day: Day of the sweep.
        folder: Output folder.
        points: Number of points of the grid, for each fill model.
    """

    day: DayFolder
    folder: Path
    points: int

    @property
    def url(self) -> str:
        """URL of the object store."""
        return f"file://{self.folder}/objects"

    def command(self, out: str, points: int, *fills: str, reuse: bool = True) -> list[str]:
        """Return the words of a sweep in one process over *points* points for each of *fills*."""
        where = ["--symbol", self.day.symbol, "--day", self.day.day, "--data-root", str(self.day.root)]
        grid = ["--grid", f"GAMMA={gammas(points)};FILL_MODEL={','.join(fills)}"]
        more = ["--maker-fee-rate", "0", "--out-root", str(self.folder / out), "--log-level", "ERROR", "--json"]
        return [*PYTHON, "mm", "sweep", *where, *grid, *more, "--jobs", "1", "--reuse-points", str(int(reuse))]

    def on(self, address: str) -> "subprocess.Popen[str]":
        """Start the complete sweep on a cluster."""
        words = [*self.command("cluster", self.points, *FILLS), "--cluster", address, "--object-store", self.url]
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(words, text=True, env=clean_environment(), **pipes)

    def stored(self) -> int:
        """Return the number of points that the sweep on the cluster has stored."""
        return len(list((self.folder / "cluster" / "points").rglob("*.json")))

    def tasks(self) -> tuple[list[Task], Tape]:
        """Return the tasks of the complete sweep on a cluster, and the tape."""
        day = Day(symbol=self.day.symbol, day=self.day.day, data_root=self.day.root, out_root=self.folder / "serial")
        setup = Setup(day=day, execution=Execution(), account=Account(maker_fee_rate="0"), models=Models())
        axes = axes_for(f"GAMMA={gammas(self.points)};FILL_MODEL={','.join(FILLS)}", setup)
        points, cache = points_of(axes, setup, "refuse"), day.out_root / "tapes"
        markets = Markets.open(day, Market())
        shared = check(None, points, markets, shared_inputs(None, points, markets, cache, self.url))
        recording = Recording(day.out_root, "sweep")
        work = Work(points, shared, Store.of(day.out_root, day.symbol, day.label()), recording)
        return [job.task for job in work.jobs.values()], markets.first


def gammas(points: int) -> str:
    """Return *points* values of the GAMMA axis."""
    return ",".join(f"{0.01 * number:.2f}" for number in range(1, points + 1))


@contextmanager
def dask_process(name: str, folder: Path, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command of Dask with its own folder and OUT_ROOT until the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    env = clean_environment() | {"PYTHONPATH": os.getcwd(), "OUT_ROOT": str(folder / "out")}
    silent: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    arguments = ("--host", "127.0.0.1", "--no-dashboard", *words)
    process = subprocess.Popen([*PYTHON, f"distributed.cli.{name}", *arguments], cwd=folder, env=env, **silent)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class Cluster(ExitStack):
    """A scheduler and workers; all end with the block.

    Attributes:
        address: Address of the scheduler.
        scheduler, workers: Their processes.
    """

    def __init__(self, folder: Path, workers: int) -> None:
        super().__init__()
        output = folder / "scheduler.json"
        output.unlink(missing_ok=True)
        arguments = ("--port", "0", "--scheduler-file", str(output))
        self.scheduler = self.enter_context(dask_process("dask_scheduler", folder / "scheduler", *arguments))
        until(lambda: output.exists() and output.read_text(encoding="utf-8").endswith("}"), "the scheduler starts")
        self.address: str = json.loads(output.read_text(encoding="utf-8"))["address"]
        worker_arguments = ("--no-nanny", "--nthreads", "1", "--local-directory", ".")
        self.workers = [
            self.enter_context(
                dask_process("dask_worker", folder / f"worker_{number}", self.address, *worker_arguments)
            )
            for number in range(workers)
        ]

    def cpu_s(self) -> float:
        """Return the processor time of all its processes, in seconds."""
        stats = [Path(f"/proc/{process.pid}/stat").read_text("ascii") for process in (self.scheduler, *self.workers)]
        return sum(sum(map(int, stat.rpartition(")")[2].split()[11:13])) for stat in stats) * _CPU_TICK_S


def until(condition: Callable[[], object], name: str, process: "subprocess.Popen[str] | None" = None) -> None:
    """Wait until *condition* is true; raise MMError after `TIMEOUT_S`, or if the *process* ends earlier."""
    end = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > end or (process is not None and process.poll() is not None):
            output = process.communicate()[1] if process is not None and process.poll() is not None else "time is up"
            raise MMError(f"waited in vain until {name}: {output.strip()}")
        time.sleep(0.01)


def fault_tolerance(desk: Desk, workers: int) -> Iterator[str]:
    """Play the sweep on a cluster that loses one of its *workers*, and then its scheduler; yield the events.

    Raises:
        MMError: If a sweep has an unexpected exit code, or writes other bytes than a sweep in one process.
    """
    total, began = desk.points * len(FILLS), time.monotonic()
    with Cluster(desk.folder, workers) as cluster:
        sweep = desk.on(cluster.address)
        until(lambda: desk.stored() >= WORKER_KILLED_AT * total, "the first points are kept", sweep)
        cluster.workers[0].send_signal(signal.SIGKILL)
        yield f"{desk.stored()} of {total} points kept after {time.monotonic() - began:.1f} s: one worker is killed"
        until(lambda: desk.stored() >= SCHEDULER_KILLED_AT * total, "half of the points are kept", sweep)
        cluster.scheduler.send_signal(signal.SIGKILL)
        yield f"{desk.stored()} of {total} points kept after {time.monotonic() - began:.1f} s: the scheduler is killed"
        _, output = sweep.communicate(timeout=TIMEOUT_S)
    yield f"exit code {sweep.returncode}: {output.strip()}"
    stored_before = desk.stored()
    with Cluster(desk.folder, workers) as cluster:
        began = time.monotonic()
        resumed = desk.on(cluster.address)
        out, output = resumed.communicate(timeout=TIMEOUT_S)
        if (sweep.returncode, resumed.returncode) != (75, 0):
            raise MMError(f"the sweep ended with {sweep.returncode}, the next one with {resumed.returncode}: {output}")
    answer = json.loads(out)
    yield f"the same command on another cluster: {total - stored_before} points in {time.monotonic() - began:.1f} s"
    serial = run(desk.command("serial", desk.points, *FILLS)).output
    cluster_run, serial_run = Path(answer["path"]).parent, Path(serial["path"]).parent
    for name in (SWEEP, TABLE, POINTS, SERIES):
        if (cluster_run / name).read_bytes() != (serial_run / name).read_bytes():
            raise MMError(f"{cluster_run / name} differs from {serial_run / name}, which one process has written")
    timings = json.loads((cluster_run / "run_manifest.json").read_text(encoding="utf-8"))["timings"]
    yield f"{timings['played']} played, {timings['reused']} known; {SWEEP}, {TABLE}, {POINTS}, {SERIES}: equal bytes"


def measured(desk: Desk, hours: float, workers: int) -> Rates:
    """Measure the costs of a day; afterwards, the points of the grid are stored under ``serial``."""
    points = 1 + desk.points // 2
    cold = run(desk.command("serial", 1, FILLS[0], reuse=False)).user_s
    run(desk.command("serial", 1, *FILLS, reuse=False))  # creates the files that are cached next to the tape
    single = {fills: run(desk.command("serial", 1, fills, reuse=False)).user_s for fills in FILLS}
    several = {fills: run(desk.command("serial", points, fills, reuse=False)).user_s for fills in FILLS}
    point_s = {fills: (several[fills] - single[fills]) / (points - 1) for fills in FILLS}
    tasks, tape = desk.tasks()
    store, sha256, file = ObjectStore(desk.url), tasks[0]["store"]["tapes"][0][1], Path(tape.meta.file)
    put_s = used(lambda: store.put(file, sha256))

    def fetch() -> None:
        opened = open_kept(store.fetch(sha256, desk.folder / "fetched" / file.name)).kept_mapped()
        opened.levels  # noqa: B018 - computes them, and caches them next to the tape

    fetch_s = used(fetch)
    outcomes = [run_tasks([{**task, "store": None}], 0.0)[0] for task in tasks[:: desk.points // 4]]
    return Rates(
        hours=hours,
        rows=len(tape.row_ticks),
        tape_s=cold - single[FILLS[0]],
        sweep_s=single[FILLS[0]] - point_s[FILLS[0]],
        point_s=point_s,
        put_s=put_s,
        fetch_s=fetch_s,
        cluster_s=cluster_s(desk, tasks, workers),
        day_mb=sum(size for _, size, _ in tape.meta.inputs) / _MB,
        tape_mb=file.stat().st_size / _MB,
        object_mb=(desk.folder / "objects" / f"{sha256}.gz").stat().st_size / _MB,
        task_kb=len(pickle.dumps(tasks)) / len(tasks) / 1e3,
        result_kb=len(pickle.dumps(outcomes)) / len(outcomes) / 1e3,
    )


def cluster_s(desk: Desk, tasks: Sequence[Task], workers: int) -> float:
    """Return the processor time of a point on the cluster without its play: workers skip points with another code."""
    empty = [{**tasks[number % len(tasks)], "code": "another", "store": None} for number in range(EMPTY)]
    with Cluster(desk.folder, workers) as cluster:
        for _ in on_cluster(empty[: 10 * workers], cluster.address):  # first imports of each worker
            pass
        before = cluster.cpu_s()
        own_s = used(lambda: sum(1 for _ in on_cluster(empty, cluster.address)))
        return (own_s + cluster.cpu_s() - before) / EMPTY


def used(work: Callable[[], object]) -> float:
    """Return the processor time of a call of *work* in this process, in seconds."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def table(rates: Rates) -> Iterator[str]:
    """Yield the table of the costs of all symbols, days and points, scaled to days of 24 hours."""
    days, longer = SYMBOLS * DAYS, 24 / rates.hours
    points = days * POINTS_PER_DAY
    fixed = {
        "a day's files to a tape": (days, rates.tape_s * longer, 0.0),
        "tapes into the store": (days, rates.put_s * longer, rates.object_mb * longer),
        "out of the store, opened, indexed, once a day": (
            days,
            rates.fetch_s * longer,
            rates.object_mb * longer,
        ),
        "sweeps: start, findings, page": (days, rates.sweep_s, 0.0),
        "points through the cluster": (points, rates.cluster_s, (rates.task_kb + rates.result_kb * longer) / 1e3),
    }
    played = {f"points, {fills}": (points, point_s * longer, 0.0) for fills, point_s in rates.point_s.items()}
    yield "| work | times | processor time each | processor hours | moved each | moved |"
    yield "|---|---|---|---|---|---|"
    for name, row in (fixed | played).items():
        yield _row(name, *row)
    for fills in FILLS:
        both = [*fixed.values(), played[f"points, {fills}"]]
        cpu_h, moved_tb = (sum(times * one[place] for times, *one in both) for place in (0, 1))
        yield f"| **together, {fills}** | | | **{cpu_h / _HOUR_S:,.0f}** | | **{moved_tb / _MB:,.1f} TB** |"


def _row(name: str, times: int, each_s: float, each_mb: float) -> str:
    moved = f"{each_mb:.3g} MB | {times * each_mb / _MB:,.1f} TB" if each_mb else " | "
    return f"| {name} | {times:,} | {each_s:.3g} s | {times * each_s / _HOUR_S:,.0f} | {moved} |"


def facts(rates: Rates) -> Iterator[str]:
    """Yield the measured rates, as lines of a list."""
    sizes = f"files {rates.day_mb:.1f} MB, tape {rates.tape_mb:.1f} MB, object {rates.object_mb:.1f} MB"
    points = ", ".join(f"{name} {each * 1e3:.1f} ms" for name, each in rates.point_s.items())
    more = (
        f"on a cluster {rates.cluster_s * 1e3:.2f} ms more; {rates.task_kb:.2f} kB there, {rates.result_kb:.1f} kB back"
    )
    moved = f"into the store {rates.put_s:.2f} s; out of it, verified, opened and indexed {rates.fetch_s:.2f} s"
    yield f"- day of {rates.hours:g} h, {rates.rows:,} rows: {sizes}"
    yield f"- point: {points}; {more}"
    yield f"- day to tape {rates.tape_s:.2f} s; {moved}; a sweep beside its points {rates.sweep_s:.2f} s"


def main() -> None:
    """Measure the rates, test the fault tolerance, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="folder of the yardstick day")
    parser.add_argument("--hours", type=float, default=4.0, help="length of the day (default 4)")
    parser.add_argument(
        "--points", type=int, default=200, help="number of points for each of two fill models (default 200)"
    )
    parser.add_argument("--workers", type=int, default=8, help="number of workers of the simulated cluster (default 8)")
    args = parser.parse_args()
    day = Yardstick(None, args.hours, args.out.resolve()).day(Console(as_json=False, level="ERROR"))
    with tempfile.TemporaryDirectory(prefix="mm-scaling-") as folder:
        desk = Desk(day, Path(folder), args.points)
        rates = measured(desk, args.hours, args.workers)
        for line in (*facts(rates), "", *fault_tolerance(desk, args.workers), "", *table(rates)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
