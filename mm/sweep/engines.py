"""Where points are played: in this process, in processes side by side, or on a cluster.

Each engine yields the place of a task and its outcome as they become known; the outcome is the same everywhere.
A cluster belongs to its user: it is neither started nor stopped here.
"""

import json
import logging
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import contextmanager, redirect_stdout, suppress
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from mm.errors import MMError, TryLater
from mm.sweep.objects import play_some
from mm.sweep.play import Outcome, Task, backtested, keep_freed_memory, outcome, play, without_collection

if TYPE_CHECKING:
    from distributed import Client

    from mm.backtest.result import Result

THREADS = 2  # of this process that play points
TRIES = 2  # of a point whose process dies: the first time it may have been the system's doing
GRACE_S = 5.0  # for a process that has closed its output to end
Outcomes = Iterator[tuple[int, Outcome]]
Answers = SimpleQueue[tuple[int, Outcome | BaseException]]
WAIT_S = 5.0  # for an answer
PATIENCE_S = 30.0  # without any worker, before a sweep gives up
SLICE_S = 1.0  # of points in one task of a cluster: little is lost with a worker, and a task's own cost is spread
_LOOK_S = 1.0
_TALKING = ("asyncio", "distributed", "tornado")


def in_process(tasks: Sequence[Task]) -> Outcomes:
    """Play tasks here: two at a time, or one by one where a user's model is among them.

    What a module of a user's holds, a generator of random numbers say, is the same for all points of this process.
    """
    keep_freed_memory()
    return _one_by_one(tasks) if have_users_model(tasks) else _two_at_a_time(tasks)


def have_users_model(tasks: Sequence[Task]) -> bool:
    """Return whether one of the tasks plays a model that is not the project's."""
    return any(task["sources"] for task in tasks)


def _two_at_a_time(tasks: Sequence[Task]) -> Outcomes:
    """Play tasks in two threads; the first one alone, because it imports what the others need, and opens the days."""
    for task in tasks[:1]:
        yield 0, play(task)
    with without_collection():
        yield from _shared_out(tasks[1:], [play] * THREADS, first=1)


def _one_by_one(tasks: Sequence[Task]) -> Outcomes:
    """Play one task after another; another thread sums one up while the next is played."""
    played: SimpleQueue[Result | Outcome | None] = SimpleQueue()
    summed: Answers = SimpleQueue()

    def sum_up() -> None:
        place = 0
        while (found := played.get()) is not None:
            _answer(summed, place, outcome, found)
            place += 1

    with without_collection(), _threads_of([sum_up], lambda: played.put(None)):
        for place, task in enumerate(tasks):
            with redirect_stdout(sys.stderr):  # as that of other processes, what a model prints is no answer
                played.put(backtested(task))
            if place:
                yield _answered(summed)
        if tasks:
            yield _answered(summed)


def in_processes(tasks: Sequence[Task], jobs: int) -> Outcomes:
    """Play as many tasks at a time as there are *jobs*, each in a process of its own."""
    workers = [_Worker() for _ in range(min(jobs, len(tasks)))]

    def stop() -> None:
        for worker in workers:
            worker.stop()

    yield from _shared_out(tasks, [worker.play for worker in workers], stop)


def _shared_out(
    tasks: Sequence[Task],
    players: Sequence[Callable[[Task], Outcome]],
    stop: Callable[[], None] = lambda: None,
    *,
    first: int = 0,
) -> Outcomes:
    """Give each of the *players* one task after another, in a thread of its own; *stop* ends what they are at.

    The *first* task has this place.
    """
    waiting, answers = deque(enumerate(tasks, first)), Answers()

    def serve(player: Callable[[Task], Outcome]) -> None:
        with suppress(IndexError):  # there are no more
            while True:
                place, task = waiting.popleft()
                _answer(answers, place, player, task)

    def end() -> None:
        waiting.clear()
        stop()

    with _threads_of([partial(serve, player) for player in players], end):
        for _ in tasks:
            yield _answered(answers)


@contextmanager
def _threads_of(run: Sequence[Callable[[], None]], stop: Callable[[], None]) -> Iterator[None]:
    """Run functions in threads until the end of the block; *stop* makes them return.

    They are not those of a pool, whose answers are futures: an interrupt may end the wait for a future while its lock
    is held, and its thread then waits for that lock for ever. A queue of C cannot be left locked.
    """
    threads = [Thread(target=one, daemon=True) for one in run]
    try:
        for thread in threads:
            thread.start()
        yield
    finally:
        stop()
        for thread in threads:
            if thread.is_alive():
                thread.join(GRACE_S)


def _answer(answers: "Answers", place: int, work: Callable[[Any], Outcome], given: object) -> None:
    """Put the outcome of some work at *place* into *answers*, or what it raised."""
    try:
        answers.put((place, work(given)))
    except BaseException as error:  # `_answered` raises it in the thread that waits
        answers.put((place, error))


def _answered(answers: "Answers") -> tuple[int, Outcome]:
    """Return the next place and its outcome, or raise what was raised there."""
    place, found = answers.get()
    if isinstance(found, BaseException):
        raise found
    return place, found


class _Worker:
    """A process that plays one task after another, started when it is needed and again when it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._errors: _Errors | None = None
        self._stopped = False

    def play(self, task: Task) -> Outcome:
        """Return what comes of *task*, whatever becomes of the process."""
        how = "it was stopped"
        for _ in range(TRIES):
            if self._stopped:
                break
            if self._process is None:
                self._process = _started()
                self._errors = _Errors(self._process)
            if self._stopped:  # while it was started
                self._process.kill()
            line = _answer_to(self._process, json.dumps(task, allow_nan=False))
            if line:
                outcome: Outcome = json.loads(line)
                return outcome
            how = f"its process ended with {self._ended()}, {TRIES} times"
        return died(how)

    def stop(self) -> None:
        """End the process, whatever it does."""
        self._stopped = True
        process = self._process
        if process is not None:
            process.kill()
            process.wait()

    def _ended(self) -> str:
        """Return how the process ended: its exit code or signal, and the last line that it wrote to stderr."""
        process, errors, self._process = self._process, self._errors, None
        if process is None or errors is None:
            return "nothing"
        try:  # before its input is closed: that ends it with code 0, whatever it was about to end with
            code = process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        errors.join(GRACE_S)
        ended = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"{ended} ({errors.last})" if errors.last else ended


class _Errors(Thread):
    """Passes on what a process writes to stderr, and keeps the last line of it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        super().__init__(daemon=True)
        self.last = ""
        self._lines = process.stderr
        self.start()

    def run(self) -> None:
        """Read until the process has ended."""
        for line in self._lines or ():
            self.last = line.strip() or self.last
            sys.stderr.write(line)


def died(how: str) -> Outcome:
    """Return the outcome of a point that could not be played."""
    return {"error": how, "exit_code": MMError.exit_code, "traceback": ""}


def _started() -> "subprocess.Popen[str]":
    """Start a worker that sees the modules that are seen here, and no Ctrl-C that is meant for this process."""
    return subprocess.Popen(
        [sys.executable, "-m", "mm.sweep.play"],
        env=os.environ | seeing_modules(),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def seeing_modules() -> dict[str, str]:
    """Return the variable by which another process finds all modules that this one does."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))}


def _answer_to(process: "subprocess.Popen[str]", line: str) -> str:
    """Return the answer to a *line*; empty where the process died."""
    if process.stdin is None or process.stdout is None:
        return ""
    try:
        process.stdin.write(line + "\n")
        process.stdin.flush()
        return process.stdout.readline()
    except (BrokenPipeError, ValueError):  # ValueError: closed by stop()
        return ""


def on_cluster(tasks: Sequence[Task], address: str) -> Outcomes:
    """Play *tasks* on the cluster whose scheduler listens at *address*.

    A task of the cluster is a chunk of points, from which a worker plays for `SLICE_S`; the rest goes into other
    chunks. A chunk whose worker dies is played by another one. The scheduler gives up on a chunk that outlives several
    workers: then each of its points is a chunk of its own, so that only a point that ends its process fails.

    Raises:
        TryLater: If there is no cluster, or it goes away; what was played before is known by then.
    """
    with _client(address) as client:
        executor = client.get_executor(pure=False)
        waiting, alone = deque(range(len(tasks))), deque[int]()
        flying: dict[Future[list[Outcome]], list[int]] = {}
        idle_s = 0.0
        while waiting or alone or flying:
            threads = _threads(client, address)
            while (waiting or alone) and len(flying) < max(threads, 1):
                places = _chunk(waiting, alone, threads)
                flying[executor.submit(play_some, [dict(tasks[place]) for place in places], SLICE_S)] = places
            done, _ = wait(flying, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=Future.cancelled):  # what was played counts, also where the rest is lost
                places = flying.pop(future)
                if (outcomes := _outcomes(future, address, len(places))) is None:
                    alone.extend(places)
                    continue
                yield from zip(places, outcomes, strict=False)
                waiting.extendleft(reversed(places[len(outcomes) :]))
            idle_s = 0.0 if done or threads else idle_s + _LOOK_S
            if idle_s >= PATIENCE_S:
                raise _lost_engine(address, f"it has had no worker for {PATIENCE_S:.0f} s")


def _chunk(waiting: deque[int], alone: deque[int], threads: int) -> list[int]:
    """Take the places of the next chunk: a fair share of half of what is *waiting*, so that the last chunks are small.

    Points that have to be played *alone* come last.
    """
    if not waiting:
        return [alone.popleft()]
    return [waiting.popleft() for _ in range(-(-len(waiting) // (2 * max(threads, 1))))]


def _client(address: str) -> "Client":
    """Return a connection to the scheduler."""
    from distributed import Client

    for name in [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _TALKING]:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # what matters is reported here, in one line
    try:
        return Client(address, timeout=WAIT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise _lost_engine(address, f"no Dask scheduler answered within {WAIT_S:.0f} s") from error


def _outcomes(future: "Future[list[Outcome]]", address: str, size: int) -> list[Outcome] | None:
    """Return what came of a chunk of that *size*; None where its points have to be played one by one."""
    try:
        return future.result()
    except CancelledError as error:
        raise _lost_engine(address, "its scheduler is gone") from error
    except Exception as error:  # whatever the cluster reports of a task that its workers could not play
        words = " ".join(f"the cluster could not play it ({type(error).__name__}: {error})".split())
        return None if size > 1 else [died(words)]


def _threads(client: "Client", address: str) -> int:
    """Return how many points the cluster plays at a time; refuse where it does not answer."""
    try:
        if client.status == "running":
            return sum(client.nthreads().values())
    except OSError as error:
        raise _lost_engine(address, "its scheduler is gone") from error
    raise _lost_engine(address, "its scheduler is gone")


def _lost_engine(address: str, why: str) -> TryLater:
    return TryLater(
        f"--cluster (CLUSTER) {address}: {why}; what was played is kept, and the same command goes on with the rest, "
        f"also without --cluster"
    )
