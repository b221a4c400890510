"""Signals to a trader during its whole lifetime: the first one ends it in order, further ones have no effect."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGINT)
KILLING = signal.SIGUSR1


class TradeSignals:
    """The received signals, and their handlers in a running event loop.

    Attributes:
        ending: Name of the first SIGTERM or SIGINT; empty before it.
    """

    def __init__(self) -> None:
        self.ending = ""
        self._killed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: Callable[[str], object] = lambda _: None
        self._kill: Callable[[str], object] = lambda _: None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Catch signals until the block ends; without handlers of a loop they are only recorded.

        Once one has ended the trade, later ones are ignored until the process exits, so that its exit code stays.
        """
        before = {number: signal.signal(number, self._on_signal) for number in (*ENDING, KILLING)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_IGN if self.ending else handler)

    def direct(self, end: Callable[[str], object], kill: Callable[[str], object]) -> None:
        """Pass signal names to *end* and *kill* in this event loop: first those already received, then later ones."""
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
