"""What sweeps past one machine cost, and what they survive.

``python -m benchmarks.scaling`` plays a grid in one process, and again on a simulated cluster: a Dask scheduler and
eight workers, processes on loopback with a folder of their own each, which get the tape through an object store. In
the middle a worker is killed, and then the scheduler; the same command plays the rest on another cluster. Both sweeps
must leave the same bytes. The rates that are measured on the way make the table: what 1,000 symbols over 250 days and
100 points a day take in processor hours and bytes moved.
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
from pathlib import Path
from typing import Any

from benchmarks.turns import PYTHON, clean, run
from benchmarks.yardstick import Yardstick
from mm.backtest.rules import Account, Execution
from mm.cli.config import Day, Market, Models
from mm.cli.console import Console
from mm.commands.assemble import open_days
from mm.commands.setup import Setup
from mm.dataclass import dataclass
from mm.dayfolder.layout import DayFolder
from mm.errors import MMError
from mm.sweep.engines import on_cluster
from mm.sweep.findings import POINTS, SERIES, SWEEP, TABLE
from mm.sweep.grid import axes_for, points_of
from mm.sweep.objects import ObjectStore, play_some
from mm.sweep.play import Task
from mm.sweep.store import Store
from mm.sweep.work import Work, check, shared_inputs
from mm.tape.load import open_kept
from mm.tape.tape import Tape

SYMBOLS, DAYS, POINTS_A_DAY = 1_000, 250, 100
FILLS = ("trade_cross", "queue_prob_power")
PATIENCE_S = 600.0
EMPTY = 2_000  # points that end before they are played, on which the cluster's own cost is measured
WORKER_AT, SCHEDULER_AT = 0.2, 0.5  # of the points kept, when each is killed
_HOUR_S, _MB = 3600.0, 1e6
_CPU_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Rates:
    """What was measured, of one day; seconds are of one processor.

    Attributes:
        hours: Length of the day.
        rows: Rows of its tape.
        tape_s: Its files to a kept tape.
        sweep_s: A sweep's start, opening of the day, findings and page.
        point_s: A point, by fill model.
        put_s, fetch_s: The tape into the store; out of it, verified, opened, with best prices and levels.
        cluster_s: A point on the cluster beside its play: command, scheduler and worker.
        day_mb, tape_mb, object_mb: The files that the tape is made of, the tape, and the object.
        task_kb, result_kb: A point on its way to a worker, and back.
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
        day: The day that is swept.
        folder: Where everything is written.
        points: Of the grid, for each fill model.
    """

    day: DayFolder
    folder: Path
    points: int

    @property
    def url(self) -> str:
        """The object store."""
        return f"file://{self.folder}/objects"

    def command(self, out: str, points: int, *fills: str, reuse: bool = True) -> list[str]:
        """Return the words of a sweep in one process over *points* points for each of *fills*."""
        where = ["--symbol", self.day.symbol, "--day", self.day.day, "--data-root", str(self.day.root)]
        grid = ["--grid", f"GAMMA={gammas(points)};FILL_MODEL={','.join(fills)}"]
        more = ["--maker-fee-rate", "0", "--out-root", str(self.folder / out), "--log-level", "ERROR", "--json"]
        return [*PYTHON, "mm", "sweep", *where, *grid, *more, "--jobs", "1", "--reuse-points", str(int(reuse))]

    def on(self, address: str) -> "subprocess.Popen[str]":
        """Start the whole sweep on a cluster."""
        words = [*self.command("cluster", self.points, *FILLS), "--cluster", address, "--object-store", self.url]
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(words, text=True, env=clean(), **pipes)

    def kept(self) -> int:
        """Return how many points the sweep on the cluster has kept."""
        return len(list((self.folder / "cluster" / "points").rglob("*.json")))

    def tasks(self) -> tuple[list[Task], Tape]:
        """Return the tasks of the whole sweep on a cluster, and the tape."""
        day = Day(symbol=self.day.symbol, day=self.day.day, data_root=self.day.root, out_root=self.folder / "serial")
        setup = Setup(day, Market(), Execution(), Account(maker_fee_rate="0"), Models())
        axes = axes_for(f"GAMMA={gammas(self.points)};FILL_MODEL={','.join(FILLS)}", setup.models)
        points, cache = points_of(axes, setup, "refuse"), day.out_root / "tapes"
        tapes = open_days(day, Market(), cache)
        shared = check(None, points, tapes, shared_inputs(None, points, tapes, cache, self.url))
        work = Work(points, shared, Store.of(day.out_root, day.symbol, day.label()))
        return [job.task for job in work.jobs.values()], tapes[0]


def gammas(points: int) -> str:
    """Return so many values of an axis."""
    return ",".join(f"{0.01 * number:.2f}" for number in range(1, points + 1))


@contextmanager
def door(name: str, folder: Path, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a door of Dask, whose folder and OUT_ROOT nobody else uses, until the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    env = clean() | {"PYTHONPATH": os.getcwd(), "OUT_ROOT": str(folder / "out")}
    silent: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    own = ("--host", "127.0.0.1", "--no-dashboard", *words)
    found = subprocess.Popen([*PYTHON, f"distributed.cli.{name}", *own], cwd=folder, env=env, **silent)
    try:
        yield found
    finally:
        found.kill()
        found.wait()


class Cluster(ExitStack):
    """A scheduler and workers; all end with the block.

    Attributes:
        address: Of the scheduler.
        scheduler, workers: Their processes.
    """

    def __init__(self, folder: Path, workers: int) -> None:
        super().__init__()
        output = folder / "scheduler.json"
        output.unlink(missing_ok=True)
        own = ("--port", "0", "--scheduler-file", str(output))
        self.scheduler = self.enter_context(door("dask_scheduler", folder / "scheduler", *own))
        until(lambda: output.exists() and output.read_text(encoding="utf-8").endswith("}"), "the scheduler starts")
        self.address: str = json.loads(output.read_text(encoding="utf-8"))["address"]
        one = ("--no-nanny", "--nthreads", "1", "--local-directory", ".")
        self.workers = [
            self.enter_context(door("dask_worker", folder / f"worker_{number}", self.address, *one))
            for number in range(workers)
        ]

    def cpu_s(self) -> float:
        """Return the processor time of all its processes, in seconds."""
        stats = [Path(f"/proc/{one.pid}/stat").read_text("ascii") for one in (self.scheduler, *self.workers)]
        return sum(sum(map(int, stat.rpartition(")")[2].split()[11:13])) for stat in stats) * _CPU_TICK_S


def until(what: Callable[[], object], name: str, process: "subprocess.Popen[str] | None" = None) -> None:
    """Wait until *what* holds; raises MMError if it does not within `PATIENCE_S`, or the *process* ends before."""
    end = time.monotonic() + PATIENCE_S
    while not what():
        if time.monotonic() > end or (process is not None and process.poll() is not None):
            output = process.communicate()[1] if process is not None and process.poll() is not None else "time is up"
            raise MMError(f"waited in vain until {name}: {output.strip()}")
        time.sleep(0.01)


def survived(desk: Desk, workers: int) -> Iterator[str]:
    """Play the sweep on a cluster that loses one of its *workers*, and then its scheduler; yield what happens.

    Raises:
        MMError: If a sweep ends as it should not, or leaves other bytes than one process.
    """
    total, began = desk.points * len(FILLS), time.monotonic()
    with Cluster(desk.folder, workers) as cluster:
        sweep = desk.on(cluster.address)
        until(lambda: desk.kept() >= WORKER_AT * total, "the first points are kept", sweep)
        cluster.workers[0].send_signal(signal.SIGKILL)
        yield f"{desk.kept()} of {total} points kept after {time.monotonic() - began:.1f} s: one worker is killed"
        until(lambda: desk.kept() >= SCHEDULER_AT * total, "half of the points are kept", sweep)
        cluster.scheduler.send_signal(signal.SIGKILL)
        yield f"{desk.kept()} of {total} points kept after {time.monotonic() - began:.1f} s: the scheduler is killed"
        _, output = sweep.communicate(timeout=PATIENCE_S)
    yield f"exit code {sweep.returncode}: {output.strip()}"
    kept = desk.kept()
    with Cluster(desk.folder, workers) as cluster:
        began = time.monotonic()
        again = desk.on(cluster.address)
        out, output = again.communicate(timeout=PATIENCE_S)
        if (sweep.returncode, again.returncode) != (75, 0):
            raise MMError(f"the sweep ended with {sweep.returncode}, the next one with {again.returncode}: {output}")
    answer = json.loads(out)
    yield f"the same command on another cluster: {total - kept} points in {time.monotonic() - began:.1f} s"
    alone = run(desk.command("serial", desk.points, *FILLS)).said
    there, here = Path(answer["path"]).parent, Path(alone["path"]).parent
    for name in (SWEEP, TABLE, POINTS, SERIES):
        if (there / name).read_bytes() != (here / name).read_bytes():
            raise MMError(f"{there / name} differs from {here / name}, which one process has written")
    timings = json.loads((there / "run_manifest.json").read_text(encoding="utf-8"))["timings"]
    yield f"{timings['played']} played, {timings['reused']} known; {SWEEP}, {TABLE}, {POINTS}, {SERIES}: equal bytes"


def measured(desk: Desk, hours: float, workers: int) -> Rates:
    """Measure what a day costs; the points of the grid are known under ``serial`` then."""
    some = 1 + desk.points // 2
    cold = run(desk.command("serial", 1, FILLS[0], reuse=False)).user_s
    run(desk.command("serial", 1, *FILLS, reuse=False))  # which makes what is kept beside the tape
    one = {fills: run(desk.command("serial", 1, fills, reuse=False)).user_s for fills in FILLS}
    many = {fills: run(desk.command("serial", some, fills, reuse=False)).user_s for fills in FILLS}
    point_s = {fills: (many[fills] - one[fills]) / (some - 1) for fills in FILLS}
    tasks, tape = desk.tasks()
    store, sha256, file = ObjectStore(desk.url), tasks[0]["store"]["tapes"][0][1], Path(tape.meta.file)
    put_s = used(lambda: store.put(file, sha256))

    def fetch() -> None:
        opened = open_kept(store.fetch(sha256, desk.folder / "fetched" / file.name)).staying()
        opened.best, opened.levels  # noqa: B018 - they are made, and kept beside the tape

    fetch_s = used(fetch)
    outcomes = [play_some([{**task, "store": None}], 0.0)[0] for task in tasks[:: desk.points // 4]]
    return Rates(
        hours=hours,
        rows=len(tape.row_ticks),
        tape_s=cold - one[FILLS[0]],
        sweep_s=one[FILLS[0]] - point_s[FILLS[0]],
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
    """Return the processor time of a point on the cluster beside its play: of points whose code is another one's."""
    empty = [{**tasks[number % len(tasks)], "code": "of nobody", "store": None} for number in range(EMPTY)]
    with Cluster(desk.folder, workers) as cluster:
        for _ in on_cluster(empty[: 10 * workers], cluster.address):  # what each worker imports first
            pass
        before = cluster.cpu_s()
        own = used(lambda: sum(1 for _ in on_cluster(empty, cluster.address)))
        return (own + cluster.cpu_s() - before) / EMPTY


def used(what: Callable[[], object]) -> float:
    """Return the processor time that *what* takes in this process, in seconds."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    what()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def table(rates: Rates) -> Iterator[str]:
    """Yield the lines of what all symbols, days and points cost; days of 24 hours, by proportion."""
    days, longer = SYMBOLS * DAYS, 24 / rates.hours
    points = days * POINTS_A_DAY
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
    """Yield what was measured, as lines of a list."""
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
    """Measure, survive, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="folder of the yardstick day")
    parser.add_argument("--hours", type=float, default=4.0, help="length of the day (default 4)")
    parser.add_argument("--points", type=int, default=200, help="points for each of two fill models (default 200)")
    parser.add_argument("--workers", type=int, default=8, help="workers of the simulated cluster (default 8)")
    given = parser.parse_args()
    day = Yardstick(None, given.hours, given.out.resolve()).day(Console(as_json=False, level="ERROR"))
    with tempfile.TemporaryDirectory(prefix="mm-scaling-") as folder:
        desk = Desk(day, Path(folder), given.points)
        rates = measured(desk, given.hours, given.workers)
        for line in (*facts(rates), "", *survived(desk, given.workers), "", *table(rates)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
