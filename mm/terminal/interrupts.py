"""Signals that end a job, and those that end or kill a recording or a trader."""

import atexit
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from mm.errors import TryLater

if TYPE_CHECKING:
    import asyncio

ENDING = (signal.SIGINT, signal.SIGTERM)
KILLING = signal.SIGUSR1
_INITIAL = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
_deferred: list[int] | None = None  # signals received while they are deferred; None while they are not


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or SIGTERM, with which schedulers and containers end a job."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise Interrupted at Ctrl-C and SIGTERM; another handler, also one set meanwhile, stays."""
    here = threading.current_thread() is threading.main_thread()
    free = {number: plain for number, plain in _INITIAL.items() if here and signal.getsignal(number) == plain}
    for number in free:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, plain in free.items():
            if signal.getsignal(number) is _interrupt:
                signal.signal(number, plain)


@contextmanager
def deferred() -> Iterator[None]:
    global _deferred  # noqa: PLW0603 - a handler has no other argument
    received: list[int] = []
    _deferred = received
    try:
        yield
    finally:
        _deferred = None
        if received:
            raise Interrupted(received[0])


def _interrupt(number: int, _frame: FrameType | None) -> None:
    if _deferred is None:
        raise Interrupted(number)
    _deferred.append(number)


def _too_late(number: int, _frame: FrameType | None) -> None:
    """Do nothing; unlike SIG_IGN it is not inherited by a process that is started yet."""


def _ignore_last() -> None:
    """Ignore signals while the interpreter ends, in which Python resets its own handlers to the default, an end."""
    for number in (*ENDING, KILLING):
        if signal.getsignal(number) is _too_late:
            signal.signal(number, signal.SIG_IGN)


def at_ending_signals(stop: Callable[[str], object]) -> None:
    import asyncio

    loop = asyncio.get_running_loop()
    for number in ENDING:
        loop.add_signal_handler(number, stop, number.name)


class TradeSignals:
    """A shadow's or trader's signals for its whole life: the first ends it in order, others do nothing."""

    def __init__(self) -> None:
        self.ending = ""
        self._killed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: Callable[[str], object] = lambda _: None
        self._kill: Callable[[str], object] = lambda _: None
        self._hurry: Callable[[], object] = lambda: None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Record signals until `direct` gives them to a loop.

        After a run, and after a start that is to be tried later, they do nothing any more: the exit code is known, and
        a late SIGTERM would be another one.
        """
        from mm.base._calls import stop_calls  # compiled: only a trader and a shadow need it

        self._hurry = stop_calls
        before = {number: signal.signal(number, self._on_signal) for number in (*ENDING, KILLING)}
        later = False
        try:
            yield
        except TryLater:
            later = True
            raise
        finally:
            over = later or self.ending or self._loop is not None
            for number, handler in before.items():
                signal.signal(number, _too_late if over else handler)
            if over:
                atexit.register(_ignore_last)

    def direct(self, end: Callable[[str], object], kill: Callable[[str], object]) -> None:
        """Pass received and later signal names to *end* and *kill*, in this event loop."""
        import asyncio

        self._loop, self._end, self._kill = asyncio.get_running_loop(), end, kill
        if self._killed:
            kill(KILLING.name)
        if self.ending:
            end(self.ending)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        name = signal.Signals(number).name
        if number == KILLING:
            self._killed, take = True, self._kill
        else:
            self.ending, take = self.ending or name, self._end
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(take, name)
        self._hurry()
