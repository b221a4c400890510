"""The terminal: results on stdout, logs and progress on stderr, and a Ctrl-C, which at times has to wait."""

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from mm.cli.logs import Log, Logger, write_line

_MASK = getattr(signal, "pthread_sigmask", None)  # not on every system; there a Ctrl-C does not wait


class Console:
    """The voice of one command.

    With ``--json`` the answer is the only line of stdout; without it, it is what was said.

    Attributes:
        as_json: Whether ``--json`` was given.
        level: The least level that is logged, LOG_LEVEL.
    """

    def __init__(self, *, as_json: bool, level: str) -> None:
        self.as_json = as_json
        self.level = level
        self._answer: Mapping[str, Any] | None = None
        self._log: Log | None = None

    def say(self, text: str) -> None:
        """Print *text*, a line or more, for people."""
        if not self.as_json:
            write_line(sys.stdout, text)

    def answer(self, content: Mapping[str, Any]) -> None:
        """Set the JSON object that ``--json`` prints at the end, also when an error follows."""
        self._answer = content

    def close(self) -> None:
        """Close the log, and print the answer where ``--json`` asked for it."""
        if self._log is not None:
            self._log.close()
        if self.as_json and self._answer is not None:
            write_line(sys.stdout, json.dumps(self._answer, allow_nan=False))

    @property
    def log(self) -> Logger:
        """The log of a command that makes no run: the terminal alone."""
        if self._log is None:
            self._log = Log(None, self.level)
        return self._log.logger

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a bar of *total* steps on a terminal and nothing in a pipe; yield what advances it by n steps."""
        if not sys.stderr.isatty() or self.level not in ("DEBUG", "INFO"):
            yield lambda _steps: None
            return
        import click

        with click.progressbar(length=total, label=label, file=sys.stderr) as bar:
            yield bar.update


class Interrupted(KeyboardInterrupt):
    """Somebody pressed Ctrl-C.

    A class of its own, because CPython remembers a plain KeyboardInterrupt that passes through code which
    it compiles while running (a dataclass, say), and then ends by the signal whatever exit code was asked for.
    """


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise Interrupted at a Ctrl-C, where nobody else has taken the signal."""
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def hold_interrupts() -> None:
    """Let a Ctrl-C wait until ``release_interrupts``."""
    if _MASK:
        _MASK(signal.SIG_BLOCK, {signal.SIGINT})


def release_interrupts() -> None:
    """Let a Ctrl-C through again; one that waited is raised here."""
    if _MASK:
        _MASK(signal.SIG_UNBLOCK, {signal.SIGINT})


def _raise(_number: int, _frame: FrameType | None) -> None:
    raise Interrupted
