"""Signals to a trader, from its first line to its last: the first one ends it in order, further ones change nothing."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGINT)
KILLING = signal.SIGUSR1


class TradeSignals:
    """What has come, and what it leads to in an event loop that runs.

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
        """Catch signals until the block ends; outside of a loop that was directed they are only kept.

        Once one has ended the trade, later ones are ignored until the process is gone: its exit code stands.
        """
        before = {number: signal.signal(number, self._on_signal) for number in (*ENDING, KILLING)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_IGN if self.ending else handler)

    def direct(self, end: Callable[[str], object], kill: Callable[[str], object]) -> None:
        """Let *end* and *kill* take the names of signals in this event loop: at once those that came, then the next."""
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
