"""The positions of a kept tape's columns in its Arrow file, read from the file's metadata.

Importing pyarrow takes longer than everything else in opening a kept tape. This module supports the part of the format
(an IPC file: flatbuffers that describe a schema and record batches) that such a tape uses: one batch of one row, whose
columns are lists of integers.
"""

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

_MAGIC = b"ARROW1"
_INT, _LARGE_LIST, _RECORD_BATCH = 2, 21, 3  # of the unions Type and MessageHeader
# Positions of fields in the tables of the format.
_FOOTER_SCHEMA, _FOOTER_BATCHES = 1, 3
_SCHEMA_FIELDS, _SCHEMA_METADATA = 1, 2
_FIELD_NAME, _FIELD_KIND, _FIELD_TYPE, _FIELD_CHILDREN = 0, 2, 3, 5
_INT_BITS, _INT_SIGNED = 0, 1
_MESSAGE_KIND, _MESSAGE_HEADER = 1, 2
_BATCH_ROWS, _BATCH_NODES, _BATCH_BUFFERS, _BATCH_COMPRESSION = 0, 1, 2, 3
_MOST = 1_000  # limit of any count: a damaged count must not fill the memory
_BUFFERS = 4  # of a list column: null flags of rows and start of their items; null flags of items, and the items


class ColumnPlace(NamedTuple):
    """A column's items: numpy's name of their type, their number, and the offset of the first."""

    dtype: str
    size: int
    offset: int


class _Part(NamedTuple):
    """A part of a flatbuffer (a table, a struct, a vector): its *data*, and its start."""

    data: Any
    at: int

    def number(self, form: str, at: int) -> int:
        """Return the number stored *at* bytes after the start."""
        found: int = struct.unpack_from(form, self.data, self.at + at)[0]
        return found

    def _field(self, position: int) -> int:
        """Return the offset of a field from the start, in bytes; 0 if it is absent."""
        fields = _Part(self.data, self.at - self.number("<i", 0))
        slot = 4 + 2 * position
        return fields.number("<H", slot) if slot < fields.number("<H", 0) else 0

    def value(self, position: int, form: str) -> int:
        """Return a number field; 0 if it is absent, the default of all fields here."""
        at = self._field(position)
        return self.number(form, at) if at else 0

    def table(self, position: int) -> Self:
        """Return the target of a field: a table, a text or a vector.

        Raises:
            ValueError: If the field is absent.
        """
        at = self._field(position)
        if not at:
            raise ValueError("it has no description of its columns")
        return self._replace(at=self.at + at + self.number("<I", at))

    def structs(self, position: int, size: int) -> "list[_Part]":
        """Return the structs of a vector, *size* bytes each; raises ValueError if there are too many."""
        vector = self.table(position)
        if (count := vector.number("<I", 0)) > _MOST:
            raise ValueError(f"{count} parts are described, but a tape has at most {_MOST}")
        return [vector._replace(at=vector.at + 4 + size * i) for i in range(count)]

    def tables(self, position: int) -> "Iterator[_Part]":
        """Yield the tables of a vector."""
        for pointer in self.structs(position, 4):
            yield pointer._replace(at=pointer.at + pointer.number("<I", 0))

    def text(self, position: int) -> bytes:
        """Return the bytes of a text."""
        found = self.table(position)
        return bytes(self.data[found.at + 4 : found.at + 4 + found.number("<I", 0)])


def read_layout(data: Any) -> tuple[dict[bytes, bytes], dict[str, ColumnPlace]]:
    """Return the metadata of an Arrow file, and the place of each of its columns.

    Offsets are as in the file; the caller must check that they are within the file.

    Args:
        data: Its bytes, mapped or not.

    Raises:
        ValueError: If it is not an Arrow file, or has another format than a kept tape.
    """
    size = len(data)
    if data[: len(_MAGIC)] != _MAGIC or data[size - len(_MAGIC) : size] != _MAGIC:
        raise ValueError("it does not begin and end as an Arrow file")
    try:
        length = _Part(data, size - len(_MAGIC) - 4)
        footer = _root(data, length.at - length.number("<i", 0))
        schema = footer.table(_FOOTER_SCHEMA)
        metadata = {pair.text(0): pair.text(1) for pair in schema.tables(_SCHEMA_METADATA)}
        (block,) = footer.structs(_FOOTER_BATCHES, 24)
        begin = block.number("<q", 0)
        message = _root(data, begin + 8)  # after a marker and its own length
        if message.value(_MESSAGE_KIND, "<B") != _RECORD_BATCH:
            raise ValueError("its first message is not a record batch")
        batch = message.table(_MESSAGE_HEADER)
        return metadata, dict(_places(schema, batch, begin + block.number("<i", 8)))
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"its description is damaged ({error})") from error


def _root(data: Any, at: int) -> _Part:
    return _Part(data, at + _Part(data, at).number("<I", 0))


def _places(schema: _Part, batch: _Part, body: int) -> Iterator[tuple[str, ColumnPlace]]:
    """Yield the columns of a record *batch* whose buffers are counted from *body*."""
    fields = list(schema.tables(_SCHEMA_FIELDS))
    nodes, buffers = batch.structs(_BATCH_NODES, 16), batch.structs(_BATCH_BUFFERS, 16)
    shape = (batch.value(_BATCH_ROWS, "<q"), len(nodes), len(buffers), batch.value(_BATCH_COMPRESSION, "<I"))
    if shape != (1, 2 * len(fields), _BUFFERS * len(fields), 0):
        raise ValueError(f"it has {shape[0]} rows, {shape[1]} nodes and {shape[2]} buffers for {len(fields)} columns")
    for field, items, buffer in zip(fields, nodes[1::2], buffers[_BUFFERS - 1 :: _BUFFERS], strict=True):
        name = field.text(_FIELD_NAME).decode()
        dtype, size, length = _type(field, name), items.number("<q", 0), buffer.number("<q", 8)
        if size < 0 or length < size * int(dtype.rpartition("t")[2]) // 8:
            raise ValueError(f"{name} has {size} items in {length} bytes")
        yield name, ColumnPlace(dtype, size, body + buffer.number("<q", 0))


def _type(field: _Part, name: str) -> str:
    """Return numpy's type name for the items of a list column."""
    (item,) = field.tables(_FIELD_CHILDREN)
    if (field.value(_FIELD_KIND, "<B"), item.value(_FIELD_KIND, "<B")) != (_LARGE_LIST, _INT):
        raise ValueError(f"{name} is not a list of integers")
    number = item.table(_FIELD_TYPE)
    return f"{'' if number.value(_INT_SIGNED, '<B') else 'u'}int{number.value(_INT_BITS, '<i')}"
