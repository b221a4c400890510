"""Arrow files of one row whose columns are lists: opening one maps it, and writing one needs no column in memory."""

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mm.tape.mapped import Column, mapped

_ENTRY = b"mm.tape"

Shapes = Mapping[str, tuple[Any, int]]
"""Item type and length of each column, in order."""

Pieces = Iterable[tuple[str, int, Column]]
"""Parts of columns: whose, from which item on, and the items."""


def read(path: Path, names: Sequence[str]) -> tuple[bytes, dict[str, Column]]:
    """Return the entry of a file, and its columns, mapped.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no such file.
    """
    import pyarrow as pa

    memory = mapped(path)
    try:
        batch = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(memory))).get_batch(0)
        begin = pa.py_buffer(memory).address
        return batch.schema.metadata[_ENTRY], {name: _items(memory, begin, batch.column(name).values) for name in names}
    except (KeyError, TypeError, pa.ArrowException) as error:
        raise ValueError(f"{path}: {error}") from error


def _items(memory: Any, begin: int, items: Any) -> Column:
    """Return the items of an Arrow column as they lie in *memory*, which begins at an address."""
    buffer = items.buffers()[1]
    offset = buffer.address - begin if buffer and len(items) else 0
    return np.frombuffer(memory, str(items.type), len(items), offset)


def write(path: Path, entry: bytes, shapes: Shapes, pieces: Pieces) -> None:
    """Write an entry and columns of these *shapes*, whose items come as *pieces*, in any order.

    Raises:
        OSError: If the disk is full, or the file cannot be written.
    """
    import pyarrow as pa

    # Their memory is never touched: what is laid out with them are lengths.
    blank = {name: np.empty(size, dtype) for name, (dtype, size) in shapes.items()}
    lists = [_as_list(column) for column in blank.values()]
    named = [(name, column.type) for name, column in zip(blank, lists, strict=True)]
    schema = pa.schema(named, metadata={_ENTRY: entry})
    with _Layout(path, [column.ctypes.data for column in blank.values()]) as file:
        with pa.ipc.new_file(file, schema) as writer:
            writer.write_batch(pa.record_batch(lists, schema=schema))
        for name, at, items in pieces:
            _put(file.fileno(), items, file.begins[blank[name].ctypes.data] + at * items.itemsize)


class _Layout(io.FileIO):
    """A file to be written, in which the bytes at some addresses are passed over.

    Attributes:
        begins: Where the bytes of each address belong.
    """

    def __init__(self, path: Path, addresses: Sequence[int]) -> None:
        super().__init__(path, "w")
        self.begins = dict.fromkeys(addresses, 0)

    def write(self, data: Any) -> int:
        content = np.frombuffer(data, np.uint8)
        address = content.ctypes.data
        if len(content) == 0 or address not in self.begins:
            return super().write(content.data) or 0
        self.begins[address] = self.tell()
        self.seek(len(content), os.SEEK_CUR)
        return len(content)


def _put(file: int, items: Column, offset: int) -> None:
    """Write *items* at an offset, in as many calls as the system wants."""
    content = np.ascontiguousarray(items).view(np.uint8).data
    while len(content):
        written = os.pwrite(file, content, offset)
        content, offset = content[written:], offset + written


def _as_list(column: Column) -> Any:
    """Return *column* as an Arrow column of one row, without a copy."""
    import pyarrow as pa

    # By buffers: `pa.array` and `to_numpy` would first import pandas, where it is installed.
    items = pa.Array.from_buffers(pa.type_for_alias(column.dtype.name), len(column), [None, pa.py_buffer(column)])
    bounds = pa.py_buffer(np.array([0, len(column)], np.int64))
    return pa.LargeListArray.from_buffers(pa.large_list(items.type), 1, [None, bounds], children=[items])
