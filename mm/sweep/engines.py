"""Runs points in this process, in parallel processes, or on a cluster, with equal outcomes."""

import json
import logging
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import redirect_stdout, suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from mm.errors import MMError, TryLater
from mm.sweep.objects import run_tasks
from mm.sweep.play_point import Outcome, Task, play

if TYPE_CHECKING:
    from distributed import Client

TRIES = 2  # attempts at a point whose process dies: the system may have killed the first one
GRACE_S = 5.0  # for a process to end after it has closed its output
Outcomes = Iterator[tuple[int, Outcome]]
WAIT_S = 5.0  # timeout of the connection to a scheduler
WORKER_TIMEOUT_S = 30.0  # time without any worker before a sweep gives up
SLICE_S = 1.0  # playing time of one cluster task: a lost worker costs little, and the overhead per task is spread
_POLL_S = 1.0
_Answer = tuple[int, Outcome | BaseException]
_NOISY_LOGGERS = ("asyncio", "distributed", "tornado")


def in_process(tasks: Sequence[Task]) -> Outcomes:
    """Tasks share the state of a user's module."""
    for place, task in enumerate(tasks):
        with redirect_stdout(sys.stderr):  # as for other processes: stdout is for results
            outcome = play(task)
        yield place, outcome


def in_processes(tasks: Sequence[Task], jobs: int) -> Outcomes:
    workers = [_Worker() for _ in range(min(jobs, len(tasks)))]
    waiting, answers = deque(enumerate(tasks)), SimpleQueue[_Answer]()

    def serve(worker: _Worker) -> None:
        with suppress(IndexError):  # no more tasks
            while True:
                place, task = waiting.popleft()
                try:
                    answers.put((place, worker.play(task)))
                except BaseException as error:  # raised below, in the thread that waits
                    answers.put((place, error))

    try:
        for worker in workers:
            Thread(target=serve, args=(worker,), daemon=True).start()
        for _ in tasks:
            place, outcome = _next(answers)
            if isinstance(outcome, BaseException):
                raise outcome
            yield place, outcome
    finally:
        waiting.clear()
        for worker in workers:
            worker.stop()


def _next(answers: SimpleQueue[_Answer]) -> _Answer:
    """Wait for an answer, and notice Ctrl-C meanwhile.

    Once polars has run a query, its handler of SIGINT restarts system calls, so a wait without an end is not woken.
    """
    while True:
        with suppress(Empty):
            return answers.get(timeout=_POLL_S)


class _Worker:
    """A process that plays tasks, started when needed and restarted if it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._errors: _StderrReader | None = None
        self._stopped = False

    def play(self, task: Task) -> Outcome:
        """Gives an outcome even if the process dies."""
        how = "it was stopped"
        for _ in range(TRIES):
            if self._stopped:
                break
            if self._process is None:
                self._process = _started()
                self._errors = _StderrReader(self._process)
            if self._stopped:  # stopped while the process started
                self._process.kill()
            line = _answer_to(self._process, json.dumps(task, allow_nan=False))
            if line:
                outcome: Outcome = json.loads(line)
                return outcome
            how = f"its process ended with {self._end_reason()}, {TRIES} times"
        return failed_outcome(how)

    def stop(self) -> None:
        self._stopped = True
        process = self._process
        if process is not None:
            process.kill()
            process.wait()
            _close(process)

    def _end_reason(self) -> str:
        process, errors, self._process = self._process, self._errors, None
        if process is None or errors is None:
            return "nothing"
        try:  # wait before its input is closed: that would end it with code 0, and hide its own code
            code = process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        _close(process)
        errors.join(GRACE_S)
        ended = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"{ended} ({errors.last})" if errors.last else ended


class _StderrReader(Thread):
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        super().__init__(daemon=True)
        self.last = ""
        self._lines = process.stderr
        self.start()

    def run(self) -> None:
        if self._lines is None:
            return
        with self._lines:
            for line in self._lines:
                self.last = line.strip() or self.last
                sys.stderr.write(line)


def _close(process: "subprocess.Popen[str]") -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):  # of a task that it did not read
                pipe.close()


def failed_outcome(how: str) -> Outcome:
    return {"error": how, "exit_code": MMError.exit_code, "traceback": ""}


def _started() -> "subprocess.Popen[str]":
    """Ctrl-C in this process does not reach the worker."""
    return subprocess.Popen(
        [sys.executable, "-m", "mm.sweep.play_point"],
        env=os.environ | module_path_env(),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def module_path_env() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))}


def _answer_to(process: "subprocess.Popen[str]", line: str) -> str:
    if process.stdin is None or process.stdout is None:
        return ""
    try:
        process.stdin.write(line + "\n")
        process.stdin.flush()
        return process.stdout.readline()
    except (BrokenPipeError, ValueError):  # ValueError: stop() closed the pipe
        return ""


def on_cluster(tasks: Sequence[Task], address: str) -> Outcomes:
    with _client(address) as client:
        executor = client.get_executor(pure=False)
        waiting, alone = deque(range(len(tasks))), deque[int]()
        in_flight: dict[Future[list[Outcome]], list[int]] = {}
        idle_s = 0.0
        while waiting or alone or in_flight:
            threads = _threads(client, address)
            while (waiting or alone) and len(in_flight) < max(threads, 1):
                places = _chunk(waiting, alone, threads)
                in_flight[executor.submit(run_tasks, [dict(tasks[place]) for place in places], SLICE_S)] = places
            done, _ = wait(in_flight, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=Future.cancelled):  # outcomes first: they count even if others are lost
                places = in_flight.pop(future)
                if (outcomes := _outcomes(future, address, len(places))) is None:
                    alone.extend(places)
                    continue
                yield from zip(places, outcomes, strict=False)
                waiting.extendleft(reversed(places[len(outcomes) :]))
            idle_s = 0.0 if done or threads else idle_s + _POLL_S
            if idle_s >= WORKER_TIMEOUT_S:
                raise _lost_engine(address, f"it has had no worker for {WORKER_TIMEOUT_S:.0f} s")


def _chunk(waiting: deque[int], alone: deque[int], threads: int) -> list[int]:
    """A share of half the *waiting* points, so that the last chunks are small; points to play *alone* come last."""
    if not waiting:
        return [alone.popleft()]
    return [waiting.popleft() for _ in range(-(-len(waiting) // (2 * max(threads, 1))))]


def _client(address: str) -> "Client":
    from distributed import Client

    for name in [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _NOISY_LOGGERS]:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # this module reports failures in one line
    try:
        return Client(address, timeout=WAIT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise _lost_engine(address, f"no Dask scheduler responded within {WAIT_S:.0f} s") from error


def _outcomes(future: "Future[list[Outcome]]", address: str, size: int) -> list[Outcome] | None:
    try:
        return future.result()
    except CancelledError as error:
        raise _lost_engine(address, "the connection to its scheduler was lost") from error
    except Exception as error:  # any error of a task that the workers could not play
        words = " ".join(f"the cluster could not run it ({type(error).__name__}: {error})".split())
        return None if size > 1 else [failed_outcome(words)]


def _threads(client: "Client", address: str) -> int:
    try:
        if client.status == "running":
            return sum(client.nthreads().values())
    except OSError as error:
        raise _lost_engine(address, "the connection to its scheduler was lost") from error
    raise _lost_engine(address, "the connection to its scheduler was lost")


def _lost_engine(address: str, why: str) -> TryLater:
    return TryLater(
        "{cluster} {}: {}; completed points are kept, and the same command resumes the sweep, also without {cluster}",
        address,
        why,
    )
