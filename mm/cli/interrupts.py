"""Ctrl-C: an exception of our own, and stretches in which it has to wait."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_MASK = getattr(signal, "pthread_sigmask", None)  # not on every system; there a Ctrl-C does not wait


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
