"""Columns of a day that is being read: in memory, or in temporary files from which they are mapped.

A day that will be kept needs disk space anyway. Its parsed data is stored there until it is used, so that memory
contains only the working set, not the day.
"""

import mmap
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from mm.tape.columns import Column, fresh, mapped_file, put

if TYPE_CHECKING:
    from mm.tape._parse import Block


class Spill:
    """Storage of columns that are needed later.

    Args:
        folder: Folder of their files, which have no names and are deleted with the columns. None: they stay in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def kept(self, column: Column) -> Column:
        """Return *column* itself if it stays in memory, else the same items, read-only, from a file.

        Raises:
            OSError: If the file cannot be written.
        """
        return self._from_file([column])[0] if self._folder else column

    @property
    def keep_block(self) -> "Callable[[Block], Block] | None":
        """Function that applies `kept` to the columns of a block of rows; None if all stays in memory."""
        return self._kept_block if self._folder else None

    def _kept_block(self, block: "Block") -> "Block":
        side, price, qty, tick, lot = block
        price, qty, side = self._from_file([price, qty, side])
        return side, price, qty, tick, lot

    def growing(self, dtype: Any, room: int) -> "Growing":
        """Return an empty column with an expected length of *room* items."""
        return GrowingFile(dtype, self._file()) if self._folder else Growing(dtype, room)

    def _from_file(self, columns: Sequence[Column]) -> list[Column]:
        with self._file() as file:
            places, end = [], 0
            for column in columns:
                places.append(end)
                put(file.fileno(), np.ascontiguousarray(column), end)
                end = -(-(end + column.nbytes) // 8) * 8  # the next column is aligned
            if not end:
                return list(columns)
            file.truncate(end)
            memory = mapped_file(file)
        return [_items(memory, column.dtype, len(column), at) for column, at in zip(columns, places, strict=True)]

    def _file(self) -> BinaryIO:

        return tempfile.TemporaryFile(dir=self._folder, buffering=0)


class Growing:
    """A column in memory to which items are appended.

    Args:
        dtype: Type of the items.
        room: Expected number of items; if there are more, they are moved to larger memory.
    """

    def __init__(self, dtype: Any, room: int) -> None:
        self._items = fresh(room, dtype)
        self._used = 0

    def add(self, items: Column) -> None:
        """Append *items*."""
        end = self._used + len(items)
        if end > len(self._items):
            self._items = np.concatenate((self._items[: self._used], np.empty(end, self._items.dtype)))
        self._items[self._used : end] = items
        self._used = end

    def whole(self) -> Column:
        """Return all items."""
        return self._items[: self._used]

    def close(self) -> None:
        """Stop appending items."""


class GrowingFile(Growing):
    """A column in a *file* to which items are appended."""

    def __init__(self, dtype: Any, file: BinaryIO) -> None:
        super().__init__(dtype, 0)
        self._file = file

    def add(self, items: Column) -> None:
        """Append *items*; raises OSError if they cannot be written."""
        whole = np.ascontiguousarray(items, self._items.dtype)
        put(self._file.fileno(), whole, self._used * whole.itemsize)
        self._used += len(whole)

    def whole(self) -> Column:
        """Return all items, read-only."""
        return _items(mapped_file(self._file), self._items.dtype, self._used, 0) if self._used else self._items

    def close(self) -> None:
        """Close the file; mapped items stay valid."""
        self._file.close()


def _items(memory: mmap.mmap, dtype: Any, count: int, at: int) -> Column:
    return np.frombuffer(memory, dtype, count, at)
