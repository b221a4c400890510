# cython: language_level=3
"""The function whose calls `benchmarks.instructions` counts: valgrind recognises it by its C symbol."""

from collections.abc import Callable


def counted(work: Callable[[], object]) -> object:
    """Return ``work()``."""
    return work()
