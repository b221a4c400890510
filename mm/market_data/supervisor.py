"""Several symbols in parallel: recordings in one process, and processes with several recordings."""

import asyncio
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from mm.base.waiting import happened
from mm.errors import MMError
from mm.market_data.rate_budget import Backoff

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

FIRST_DELAY_S, MOST_DELAY_S = 1.0, 60.0
GRACE_S = 20.0
# Exit codes that a restart would only repeat: finished, a wrong knob, a damaged day.
FINAL = (0, 2, 3)
# In order of severity. A process killed by a signal counts as 1.
_SEVERITY = (0, 75, 3, 2, 1)


class Restarts:
    """Runs several recorders until all have ended for good.

    Args:
        due: Whether a recorder that died is to be started again.
        spread_s: Time between starts, so that not all connect at once.
    """

    def __init__(self, names: Sequence[str], log: "Logger", due: Callable[[], bool], *, spread_s: float = 0.0) -> None:
        self._names = names
        self._log = log
        self._due = due
        self._spread_s = spread_s
        self._stopping = asyncio.Event()

    async def run(self) -> dict[str, int]:
        codes = await asyncio.gather(*(self._keep(name, at * self._spread_s) for at, name in enumerate(self._names)))
        return dict(zip(self._names, codes, strict=True))

    async def _keep(self, name: str, wait_s: float) -> int:
        backoff, loop = Backoff(FIRST_DELAY_S, MOST_DELAY_S), asyncio.get_running_loop()
        start, code = 0, 0
        while not await self._stopped_within(wait_s + backoff.delay(loop.time())):
            wait_s, start = 0.0, start + 1
            code = await self._run_once(name, start)
            if self._stopping.is_set() or code in FINAL or not self._due():
                break
            self._log.warning("recorder_died", symbol=name, code=code, starts=start)
        return code

    async def _run_once(self, name: str, start: int) -> int:
        raise NotImplementedError

    async def _stopped_within(self, wait_s: float) -> bool:
        return await happened(self._stopping, wait_s)


class Supervisor(Restarts):
    """Runs one process per list of symbols; if this process is killed, they continue.

    Args:
        command: Returns a list's command for its start 1, 2, …
    """

    def __init__(
        self,
        names: Sequence[str],
        command: Callable[[str, int], Sequence[str]],
        log: "Logger",
        due: Callable[[], bool],
        *,
        spread_s: float = 0.0,
        capture: bool = False,
    ) -> None:
        super().__init__(names, log, due, spread_s=spread_s)
        self.answers: dict[str, str] = {}
        self._command = command
        self._capture = capture
        self._processes: dict[str, Process] = {}

    def stop(self, name: str) -> None:
        self._log.info("supervisor_stopping", signal=name, processes=len(self._processes))
        self._stopping.set()
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.Signals[name])

    async def _run_once(self, name: str, start: int) -> int:
        words = self._command(name, start)
        stdout = PIPE if self._capture else None
        process = await asyncio.create_subprocess_exec(*words, stdin=DEVNULL, stdout=stdout, process_group=0)
        self._processes[name] = process
        self._log.info("recorder_started", symbol=name, pid=process.pid, starts=start)
        try:
            if self._stopping.is_set():
                process.terminate()
            self.answers[name] = await self._ended(process)
        finally:
            del self._processes[name]
        return process.returncode or 0

    async def _ended(self, process: Process) -> str:
        ended = asyncio.create_task(process.communicate())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not (await asyncio.wait({ended}, timeout=GRACE_S))[0]:
            self._log.warning("recorder_killed", pid=process.pid, after_s=GRACE_S)
            process.kill()
        text, _ = await ended
        return (text or b"").decode()


class Stoppable(Protocol):
    async def run(self) -> None: ...

    def stop(self, reason: str) -> None: ...


class InProcessRecordings(Restarts):
    """Records several symbols in this process; each ends on its own."""

    def __init__(
        self,
        names: Sequence[str],
        begin: Callable[[str, int], Stoppable],
        as_error: Callable[[Exception], MMError],
        log: "Logger",
        due: Callable[[], bool],
    ) -> None:
        super().__init__(names, log, due)
        self._begin = begin
        self._as_error = as_error
        self._recordings: dict[str, Stoppable] = {}

    def stop(self, reason: str) -> None:
        self._stopping.set()
        for recording in self._recordings.values():
            recording.stop(reason)

    async def _run_once(self, name: str, start: int) -> int:
        try:
            recording = self._recordings[name] = self._begin(name, start)
            await recording.run()
        except Exception as raised:
            error = self._as_error(raised)
            self._log.warning("recording_failed", symbol=name, code=error.exit_code, reason=str(error))
            return error.exit_code
        finally:
            self._recordings.pop(name, None)
        return 0


def shares(symbols: Sequence[str], most: int) -> list[Sequence[str]]:
    count = -(-len(symbols) // most)
    ends = [len(symbols) * at // count for at in range(count + 1)]
    return [symbols[begin:end] for begin, end in pairwise(ends)]


def worst(codes: dict[str, int]) -> int:
    known = (code if code in _SEVERITY else 1 for code in codes.values())
    return max(known, key=_SEVERITY.index, default=0)
