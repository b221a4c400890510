"""A real recorder process and an exchange in a box with a known truth."""

import asyncio
import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

from mm import DayFolder
from mm.sim.wire.box import Box
from simulation import make_box
from support import ROOT

SYMBOL = "SIMUSDT"
FLUSH_S = 0.05


def _noon() -> str:
    """Return a time zone in which it is about noon, so that no test crosses midnight."""
    return f"Etc/GMT{time.gmtime().tm_hour - 12:+d}"


KNOBS = {
    "SYMBOL": SYMBOL,
    "WINDOW_START": "always",
    "WINDOW_TZ": _noon(),
    "START_JITTER_S": "0",
    "FLUSH_INTERVAL_S": str(FLUSH_S),
    "BACKOFF_MAX_S": "0.2",
    "MIN_FREE_MB": "0",
}
PATIENCE_S = 120.0
ENTRY = ("-m", "mm.market_data.recorder")


@contextlib.asynccontextmanager
async def exchange_box(
    seed: int = 7,
    *,
    speed: float = 10.0,
    faults: Iterable[str] = (),
    scenario: str = "zero_intelligence",
    port: int = 0,
) -> AsyncIterator[Box]:
    """Open an exchange, by default with an active market, whose clock runs *speed* times as fast."""
    limits = {"attempts": None, "close_s": 0.05}
    box = make_box(scenario, SYMBOL, seed=seed, speed=speed, limits=False, wire=limits, faults=faults)
    async with box.open(port=port):
        yield box


class Recorder:
    """A process that records into *root*.

    Args:
        box: The exchange.
        root: Parent of its data root, and its working folder.
        file_bytes: Maximum size of its files (RLIMIT_FSIZE); None for no limit.
        entry: Arguments of the Python interpreter.
    """

    def __init__(
        self, box: Box, root: Path, *, file_bytes: int | None = None, entry: Sequence[str] = ENTRY, **knobs: str
    ) -> None:
        self.root = root
        self._entry = entry
        (root / "tmp").mkdir(exist_ok=True)
        self._env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(root / "tmp"),
            "DATA_ROOT": str(root / "data"),
            **KNOBS,
            "WS_URL": box.ws_url,
            "REST_URL": box.rest_url,
            **knobs,
        }
        self._limit = file_bytes
        self.process: asyncio.subprocess.Process

    async def start(self) -> "Recorder":
        """Start the process."""

        def limit() -> None:
            if self._limit:
                resource.setrlimit(resource.RLIMIT_FSIZE, (self._limit, self._limit))

        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._entry,
            env=self._env,
            cwd=self.root,
            preexec_fn=limit if self._limit else None,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return self

    async def until(self, condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        """Wait until the condition holds; fail if the process ends before."""
        give_up_s = time.monotonic() + patience_s
        while not condition():
            if self.process.returncode is not None:
                raise AssertionError(f"ended with {self.process.returncode}: {await self.output()}")
            assert time.monotonic() < give_up_s, "it has waited long enough"
            await asyncio.sleep(0.005)

    async def kill(self) -> None:
        """End the process as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.communicate()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float, str]:
        """Send a signal; return exit code, duration, and output."""
        self.process.send_signal(number)
        begun_s = time.monotonic()
        _, err = await asyncio.wait_for(self.process.communicate(), PATIENCE_S)
        return self.process.returncode or 0, time.monotonic() - begun_s, err.decode()

    async def ended(self) -> tuple[int, str]:
        """Wait until the process ends by itself; return exit code and output."""
        _, err = await asyncio.wait_for(self.process.communicate(), PATIENCE_S)
        return self.process.returncode or 0, err.decode()

    async def output(self) -> str:
        """Return the output of an ended process."""
        _, err = await self.process.communicate()
        return err.decode()

    @property
    def day(self) -> DayFolder:
        """The day that the recorder writes."""
        (path,) = (self.root / "data" / SYMBOL).iterdir()
        return DayFolder.at(path)

    def bytes_of(self, name: str) -> int:
        """Return the size of its file of that kind (``frames``, ``diffs``, ``events`` …); 0 if there is none."""
        try:
            return os.path.getsize(getattr(self.day, name))
        except (OSError, ValueError):
            return 0


@contextlib.asynccontextmanager
async def running_recorder(
    box: Box, root: Path, *, file_bytes: int | None = None, entry: Sequence[str] = ENTRY, **knobs: str
) -> AsyncIterator[Recorder]:
    """Start a recorder; kill it at the end if it still runs."""
    recorder = await Recorder(box, root, file_bytes=file_bytes, entry=entry, **knobs).start()
    try:
        yield recorder
    finally:
        if recorder.process.returncode is None:
            await recorder.kill()
