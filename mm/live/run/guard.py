"""The watched side of a guardian: starts it, shows it that the event loop runs, and tells it how the run ended."""

import asyncio
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import mm
from mm.base._calls import SHARED_BYTES, beat, end_at_signal, limit_calls, share
from mm.base.audit_chain import audit_folder
from mm.base.doors import is_loopback
from mm.errors import TryLater
from mm.live.account.locks import Holder
from mm.live.run.forced_end import GuardedRun
from mm.live.run.guardian import NOTHING_OPEN, READY, TAKE_OVER, Guarded, GuardedExchange
from mm.live.run.position_closer import RECONCILED, Closing
from mm.live.venues.addresses import quiet_file

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

    from mm.live.account.exchange_account import ExchangeAccount
    from mm.live.knobs import Contracts
    from mm.play.knobs import Day
    from mm.runs.in_progress import Run

BEAT_S = 0.1
START_S = 30.0
LEFT_S = 60.0
"""Time that a trader waits for its guardian to empty the exchange; then the guardian goes on alone, in s."""


class RunGuard(Protocol):
    def start(self) -> None: ...

    async def keep(self) -> None: ...

    def close(self, *, empty: bool) -> None: ...


class GuardianProcess:
    """The guardian of a trader or a shadow, in a process of its own.

    Args:
        reconciled: Of each run, what `RECONCILED` packs.
    """

    def __init__(
        self, told: Guarded, log: "Logger", reconciled: Callable[[], Sequence[tuple[float, int]]] = tuple
    ) -> None:
        self._told, self._log, self._reconciled = told, log, reconciled
        self._bytes = SHARED_BYTES + RECONCILED.size * len(told.runs)
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._memory: mmap.mmap | None = None

    def start(self) -> None:
        memory_fd = _memory_file(self._bytes)
        try:
            self._memory = mmap.mmap(memory_fd, self._bytes)
            self._begin(memory_fd)
        except (OSError, subprocess.SubprocessError) as error:
            raise TryLater(f"the guardian process cannot be started ({error}); start it again") from error
        finally:
            os.close(memory_fd)
        share(memoryview(self._memory))
        limit_calls(self._told.limit_s)
        if threading.current_thread() is threading.main_thread():
            end_at_signal()

    def _begin(self, memory_fd: int) -> None:
        here, there = socket.socketpair()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(_places())}
        with there:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "mm.live.run.guardian", str(there.fileno()), str(memory_fd)],
                pass_fds=(there.fileno(), memory_fd),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
        here.settimeout(START_S)
        here.sendall(json.dumps(asdict(self._told)).encode() + b"\n")
        if here.recv(1) != READY:
            raise OSError("it has ended")
        here.setblocking(False)
        self._channel = here
        if threading.current_thread() is threading.main_thread():
            # The byte is written by the handler in C, also while a call holds the interpreter.
            signal.set_wakeup_fd(here.fileno(), warn_on_full_buffer=False)

    async def keep(self) -> None:
        while True:
            beat()
            memory = memoryview(self._memory or b"")
            for index, seen in enumerate(self._reconciled() if memory else ()):
                RECONCILED.pack_into(memory, SHARED_BYTES + index * RECONCILED.size, *seen)
            await asyncio.sleep(BEAT_S)
            if self._process is not None and self._process.poll() is not None:
                self._log.error("guardian_died", exit_code=self._process.returncode, note="another one is started")
                self._restart()

    def _restart(self) -> None:
        self._stop_signals()
        memory_fd = _memory_file(self._bytes)
        try:
            memory = mmap.mmap(memory_fd, self._bytes)
            self._begin(memory_fd)
        except (OSError, subprocess.SubprocessError) as error:
            self._process = None
            self._log.error("guardian_not_started", error=str(error), note="a hung model cannot be ended from outside")
        else:
            share(memoryview(memory))
            self._memory = memory
        finally:
            os.close(memory_fd)

    def _stop_signals(self) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.set_wakeup_fd(-1)
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def close(self, *, empty: bool) -> None:
        """If orders may be open, let it cancel them first, for `LEFT_S` at most."""
        limit_calls(None)
        share(None)
        process, channel = self._process, self._channel
        if process is not None and channel is not None:
            with suppress(OSError):
                channel.send(bytes([NOTHING_OPEN if empty else TAKE_OVER]))
            try:
                process.wait(LEFT_S)
            except subprocess.TimeoutExpired:
                self._log.error("guardian_goes_on", note="orders may be open; it cancels them, then it ends")
        self._stop_signals()


def guarded_run(run: "Run", key: str, out_root: Path, market: str = "") -> GuardedRun:
    root = out_root.resolve()
    return GuardedRun(
        symbol=run.symbol,
        run_id=run.id,
        log=str(run.log_file.resolve()) if run.log_file else "",
        partial=str(run.partial.resolve()),
        audit=str(audit_folder(root, run.symbol)) if market else "",
        key=key,
        market=market,
        out_root=str(root),
    )


def guarded_closing(run: "Run", index: int, market: str, ids: str, kept: Path, wanted: "Contracts") -> Closing:
    log = str(run.log_file.resolve()) if run.log_file else ""
    after_s, slippage = wanted.flatten_after_s or 0.0, wanted.kill_max_slippage
    return Closing(market, run.symbol, index, ids, run.id, log, str(kept.resolve()), after_s, slippage)


def holder_of(run: "Run", day: "Day", venue: str, market: str = "") -> Holder:
    return Holder(
        symbol=run.symbol,
        out_root=str(day.out_root.resolve()),
        data_root=str(day.data_root.resolve()),
        log=str(run.log_file.resolve()) if run.log_file else "",
        kind=run.kind,
        venue=venue,
        market=market,
        run_id=run.id,
        pid=os.getpid(),
        host=socket.gethostname(),
    )


def guarded_exchange(
    at: "ExchangeAccount", window_ms: int, locks: Sequence[Path], runs: Sequence[str]
) -> GuardedExchange:
    url = at.urls.rest
    quiet = quiet_file(url)
    return GuardedExchange(
        url=url,
        key=at.credentials.handed(),
        locks=list(map(str, locks)),
        quiet_file=str(quiet) if quiet else "",
        window_s=window_ms / 1_000,
        box=is_loopback(urlsplit(url).hostname or ""),
        market=at.market,
        symbols=list(at.symbols),
        runs=list(runs),
    )


def _memory_file(size: int) -> int:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("mm-guardian")
    else:
        descriptor, name = tempfile.mkstemp(prefix="mm-guardian-")
        os.unlink(name)
    os.ftruncate(descriptor, size)
    return descriptor


def _places() -> list[str]:
    own = str(Path(mm.__file__).resolve().parent.parent)
    return [own, *(place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place)]
