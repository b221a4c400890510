"""Memory that need not stay: pages of columns that are mapped from a file, and what was freed."""

import ctypes
import mmap
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]

PIECE = 1 << 20
"""How many items are read before their pages are let go."""


def mapped(path: Path) -> mmap.mmap:
    """Map a whole file to be read; raises OSError, or ValueError where it is empty."""
    with path.open("rb") as stream:
        if sys.version_info >= (3, 13):  # no file stays open: a range of days maps hundreds
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ, trackfd=False)
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def give_back() -> None:
    """Give back to the system what was freed but is kept for later use, where the C library can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def let_go(column: Column) -> None:
    """Let go of the pages behind a mapped column; they are read again when they are asked for.

    Pages that reach beyond it stay, and a column that is not mapped stays as it is.
    """
    base: Any = column
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    if not isinstance(base, mmap.mmap) or not len(column):
        return
    first = column.ctypes.data - np.frombuffer(base, np.uint8).ctypes.data
    begin = -(-first // mmap.PAGESIZE) * mmap.PAGESIZE
    size = (first + column.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE - begin
    if size > 0:
        base.madvise(mmap.MADV_DONTNEED, begin, size)


def in_pieces(column: Column) -> Iterator[tuple[int, Column]]:
    """Yield a column piece by piece, with where each begins, and let go of each when the next is asked for."""
    for begin in range(0, len(column), PIECE):
        piece = column[begin : begin + PIECE]
        yield begin, piece
        let_go(piece)


def gathered(column: Column, places: NDArray[np.int64]) -> Column:
    """Return the items at *places*, which rise, and let go of what lies between them."""
    found = np.empty(len(places), column.dtype)
    for begin, piece in in_pieces(column):
        first, stop = np.searchsorted(places, (begin, begin + len(piece)))
        found[first:stop] = piece[places[first:stop] - begin]
    return found
