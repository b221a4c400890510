"""Several recorders side by side: a process a symbol, each started again when it dies, and none touched by another.

What the processes say goes where this one's words go. They do not hang on this one: were it killed, they would go on.
"""

import asyncio
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from mm.market_data.rate_budget import Backoff

FIRST_DELAY_S, MOST_DELAY_S = 1.0, 60.0
GRACE_S = 20.0
# Ends that another start would only repeat: done, a wrong knob, a damaged day.
FINAL = (0, 2, 3)
# Worst last. A process that a signal killed counts as 1.
_SEVERITY = (0, 75, 3, 2, 1)


class EventLog(Protocol):
    """Takes the events of a recording."""

    def info(self, event: str, **numbers: Any) -> Any:
        """Log what happened."""

    def warning(self, event: str, **numbers: Any) -> Any:
        """Log what needs attention."""


class Supervisor:
    """Run one process for each symbol until all have ended for good.

    Args:
        symbols: Upper case.
        command: Returns the words of the process of a symbol, for its first start (1), its second …
        log: Takes what happens.
        due: Returns whether there is still something to record, so that a dead process is started again.
        spread_s: Time between the starts, so that they do not all connect at once.
        capture: Whether to keep what the processes write on stdout.

    Attributes:
        answers: What each symbol's last process wrote on its stdout, where that was captured.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        command: Callable[[str, int], Sequence[str]],
        log: EventLog,
        due: Callable[[], bool],
        *,
        spread_s: float = 0.0,
        capture: bool = False,
    ) -> None:
        self.answers: dict[str, str] = {}
        self._symbols = symbols
        self._command = command
        self._log = log
        self._due = due
        self._spread_s = spread_s
        self._capture = capture
        self._processes: dict[str, Process] = {}
        self._stopping = asyncio.Event()

    def stop(self, number: signal.Signals) -> None:
        """Pass a signal on to every process, and start none any more."""
        self._log.info("supervisor_stopping", signal=number.name, processes=len(self._processes))
        self._stopping.set()
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(number)

    async def run(self) -> dict[str, int]:
        """Return the last exit code of each symbol, when all have ended."""
        codes = await asyncio.gather(
            *(self._keep(symbol, at * self._spread_s) for at, symbol in enumerate(self._symbols))
        )
        return dict(zip(self._symbols, codes, strict=True))

    async def _keep(self, symbol: str, wait_s: float) -> int:
        """Keep one symbol's process going; return the exit code that stands."""
        backoff, loop = Backoff(FIRST_DELAY_S, MOST_DELAY_S), asyncio.get_running_loop()
        start, code = 0, 0
        while not await self._stopped_within(wait_s + backoff.delay(loop.time())):
            wait_s, start = 0.0, start + 1
            code = await self._once(symbol, start)
            if self._stopping.is_set() or code in FINAL or not self._due():
                break
            self._log.warning("recorder_died", symbol=symbol, code=code, starts=start)
        return code

    async def _once(self, symbol: str, start: int) -> int:
        """Run one process to its end."""
        words = self._command(symbol, start)
        stdout = PIPE if self._capture else None
        process = await asyncio.create_subprocess_exec(*words, stdin=DEVNULL, stdout=stdout, process_group=0)
        self._processes[symbol] = process
        self._log.info("recorder_started", symbol=symbol, pid=process.pid, starts=start)
        try:
            if self._stopping.is_set():
                process.terminate()
            self.answers[symbol] = await self._ended(process)
        finally:
            del self._processes[symbol]
        return process.returncode or 0

    async def _ended(self, process: Process) -> str:
        """Return what *process* wrote, when it has ended; one that outlives a signal by `GRACE_S` is killed."""
        ended = asyncio.create_task(process.communicate())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not (await asyncio.wait({ended}, timeout=GRACE_S))[0]:
            self._log.warning("recorder_killed", pid=process.pid, after_s=GRACE_S)
            process.kill()
        text, _ = await ended
        return (text or b"").decode()

    async def _stopped_within(self, wait_s: float) -> bool:
        """Wait, and return whether the end was requested before the time was over."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), wait_s)
        return self._stopping.is_set()


def worst(codes: dict[str, int]) -> int:
    """Return the exit code that stands for all: the gravest of them."""
    known = (code if code in _SEVERITY else 1 for code in codes.values())
    return max(known, key=_SEVERITY.index, default=0)
