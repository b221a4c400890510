"""A venue's request limits: the address's budget, shared by its recorders, and delays between attempts."""

import asyncio
import math
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from mm.base.held_file import hold_file
from mm.base.host_clock import HostTime, boot, passing_s

HEALTHY_S = 60.0
EARLY_MOST_S = 8.0


class Backoff:
    """Delays that double from *first_s* to *most_s*, each shortened at random by up to a half."""

    def __init__(self, first_s: float, most_s: float, draw: Callable[[], float] = random.random) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._draw = draw
        self._delays = 0
        self._trouble_s = 0.0
        self._attempt_s: float | None = None

    def delay(self, now_s: float) -> float:
        if self._attempt_s is None or now_s - self._attempt_s >= HEALTHY_S:
            self._delays, self._trouble_s, self._attempt_s = 0, now_s, now_s
            return 0.0
        early = now_s - self._trouble_s < HEALTHY_S
        most_s = min(self._most_s, EARLY_MOST_S) if early else self._most_s
        longest = min(most_s, self._first_s * 2.0 ** min(self._delays, 30))
        self._delays += 1
        delay_s = longest * (1 - self._draw() / 2)
        self._attempt_s = now_s + delay_s
        return delay_s

    def succeeded(self) -> None:
        self._attempt_s = None


LONGEST_BAN_S = 3 * 86_400.0
SHORT_BAN_S = 120.0


def retry_after_s(header: str | None) -> float:
    """0 unless ``Retry-After`` is whole seconds."""
    if not (header and header.isascii() and header.isdigit()):
        return 0.0
    seconds = float(header[:20])
    return seconds if seconds <= LONGEST_BAN_S else SHORT_BAN_S


HELD_S = 0.02
LEAST_WAIT_S = 0.05
LONG_WAIT_S = 1.0  # minimum wait that is reported
STALLED_S = 0.1
"""How long a request waits for the file before only this process's own spending counts."""
_Found = TypeVar("_Found")


class _Spent(msgspec.Struct):
    """Spending with its times (s of `passing_s`), when the exchange accepts requests again, and when it was noted.

    A file without the last field has wall-clock times, as its zeros say.
    """

    spent: list[tuple[float, float]] = []
    asked_s: float = 0.0
    quiet_until_s: float = 0.0
    passing_s: float = 0.0
    wall_s: float = 0.0
    boot: str = ""


_DECODER = msgspec.json.Decoder(_Spent)


def shared_path(kind: str, netloc: str) -> Path | None:
    """The file of this user's processes for *kind* of the host *netloc*; None if others own the folder."""
    folder = Path(tempfile.gettempdir()) / f"mm-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    if status.st_uid != os.getuid() or status.st_mode & 0o022 or not folder.is_dir() or folder.is_symlink():
        return None
    name = "".join(char if char.isalnum() or char in ".-" else "_" for char in netloc)
    return folder / f"{kind}_{name}.json"


class RateBudget:
    """Limits the spending in a sliding window.

    Args:
        path: File shared by processes; None: this process only.
    """

    def __init__(
        self,
        most: float,
        window_s: float,
        path: Path | None = None,
        now_s: Callable[[], float] = passing_s,
        waits: Callable[[float], object] = lambda _: None,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._most = most
        self._window_s = window_s
        self._path = path
        self._now_s, self._wall_s = now_s, wall_s
        self._waits = waits
        self._own = _Spent()
        self._quiet_until_s = 0.0
        self._thread: ThreadPoolExecutor | None = None
        self._stalled: asyncio.Future[float] | None = None

    async def granted(self, amount: float, kept: float = 0.0) -> None:
        """Wait until *amount* may be spent while *kept* is left for urgent requests, and count it."""
        reported = False
        while (wait_s := await self._ask(amount, kept)) > 0:
            if wait_s >= LONG_WAIT_S and not reported:  # other waiting tasks may repeatedly be first
                self._waits(wait_s)
                reported = True
            await asyncio.sleep(wait_s)

    def spend(self, amount: float, kept: float = 0.0) -> float:
        """Return 0 and count *amount*, or the seconds until the next attempt."""
        with self._hold_state() as state:
            return HELD_S * (1 + random.random()) if state is None else self._spend(state, amount, kept)

    def _spend(self, state: _Spent, amount: float, kept: float) -> float:
        now_s = self._now_s()
        self._prune(state, now_s)
        quiet_s = max(state.quiet_until_s, self._quiet_until_s) - now_s
        if quiet_s > 0:
            return quiet_s
        too_much = sum(entry for _, entry in state.spent) + amount - self._most + kept
        if state.spent and too_much > 0:
            return max(LEAST_WAIT_S, _freed_s(state, too_much) + self._window_s - now_s)
        state.spent.append((now_s, amount))
        return 0.0

    async def _ask(self, amount: float, kept: float) -> float:
        """`spend` in a thread; if the disk stalls, by this process's own spending."""
        if self._path is None:
            return self.spend(amount, kept)
        if self._stalled is None or self._stalled.done():
            asked = self._in_thread(partial(self.spend, amount, kept))
            await asyncio.wait({asked}, timeout=STALLED_S)
            if asked.done():
                return asked.result()
            self._stalled = asked
        return self._spend(self._own, amount, kept)

    def _in_thread(self, work: Callable[[], _Found]) -> "asyncio.Future[_Found]":
        self._thread = self._thread or ThreadPoolExecutor(1, "budget")
        return asyncio.get_running_loop().run_in_executor(self._thread, work)

    def soon(self, work: Callable[[], _Found], then: Callable[[_Found], object] = lambda _: None) -> None:
        """Call *then* with the result of *work* on the file; in a thread if there is an event loop."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            then(work())
            return
        self._in_thread(work).add_done_callback(lambda done: done.cancelled() or then(done.result()))

    def used(self, used: float) -> None:
        """The exchange's own count includes others' spending."""
        self.soon(partial(self._use, used))

    def shared(self, used: float) -> float:
        """Take over the exchange's count; return for how long (s) another process wants no requests."""
        self._use(used)
        return self.spend(0.0)

    def _use(self, used: float) -> None:
        with self._hold_state() as state:
            if state is not None:
                now_s = self._now_s()
                self._prune(state, now_s)
                unknown = used - sum(entry for _, entry in state.spent)
                if unknown > 0:
                    state.spent.append((now_s, unknown))

    def hold_off(self, seconds: float) -> None:
        """Hold off the requests of all processes."""
        now_s = self._now_s()
        self._quiet_until_s = max(self._quiet_until_s, now_s + seconds)
        self.soon(partial(self._hold_off, now_s, now_s + seconds))

    def _hold_off(self, now_s: float, until_s: float) -> None:
        with self._hold_state(attempts=10) as state:
            if state is not None:
                state.asked_s, state.quiet_until_s = now_s, max(state.quiet_until_s, until_s)

    @property
    def spent(self) -> float:
        """Spending as this process last read it."""
        now_s = self._now_s()
        return sum(entry for at_s, entry in self._own.spent if at_s > now_s - self._window_s)

    def _prune(self, state: _Spent, now_s: float) -> None:
        from_s = now_s - self._window_s
        state.spent = [entry for entry in state.spent if from_s < entry[0] <= now_s and 0 < entry[1] < math.inf]
        if not (state.asked_s <= now_s and state.quiet_until_s - state.asked_s <= LONGEST_BAN_S):
            state.asked_s = state.quiet_until_s = 0.0

    @contextmanager
    def _hold_state(self, *, attempts: int = 1) -> Iterator[_Spent | None]:
        """None while another process holds the lock."""
        if self._path is None:
            yield self._own
            return
        try:
            opened = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            yield self._own
            return
        try:
            if not hold_file(opened, attempts):
                yield None
                return
            now = HostTime(self._now_s(), self._wall_s(), boot())
            self._own = _read(opened, now)
            yield self._own
            self._own.passing_s, self._own.wall_s, self._own.boot = now
            _write(opened, self._own)
        finally:
            os.close(opened)


def _freed_s(state: _Spent, amount: float) -> float:
    for at_s, spent in state.spent:
        amount -= spent
        if amount <= 0:
            return at_s
    return state.spent[-1][0]


def _read(opened: int, now: HostTime) -> _Spent:
    """An unreadable file (crash, full disk) is empty."""
    try:
        state = _DECODER.decode(os.pread(opened, 1 << 20, 0))
    except (OSError, msgspec.MsgspecError):
        return _Spent()
    if by_s := now.shift_s(HostTime(state.passing_s, state.wall_s, state.boot)):
        state.spent = [(at_s + by_s, amount) for at_s, amount in state.spent]
        state.asked_s, state.quiet_until_s = state.asked_s + by_s, state.quiet_until_s + by_s
    return state


def _write(opened: int, state: _Spent) -> None:
    text = msgspec.json.encode(state)
    try:
        os.ftruncate(opened, 0)
        os.pwrite(opened, text, 0)
    except OSError:
        return
