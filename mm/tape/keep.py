"""Tapes kept as Arrow files, so that opening one maps it and copies nothing.

A file has one row, whose columns are lists. Its entry holds the tape's other attributes, and what the tape was made
from: options, inputs and code. Where any of these is another now, the tape is made again.
"""

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from errno import EIO
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mm.code_identity import PACKAGE, code_files, digest
from mm.dayfolder.layout import DayFolder
from mm.instrument import Filters, Instrument
from mm.tape.columns import ARRAYS, DTYPES, TRADE, Column, TapeFacts, TapeMeta, bounds, mapped, release
from mm.tape.tape import Tape, bounds_hold
from mm.whole_file import clear_unfinished, whole_file

if TYPE_CHECKING:
    from mm.tape.build import TapeBuilder
    from mm.tape.top_of_book import BestPrices

_ENTRY = b"mm.tape"
MAKER = "mm.tape.load"
"""The module from which all code is imported that makes a tape, or its best prices."""

Json = dict[str, Any]
Kept = TypeVar("Kept")
Pieces = Iterable[tuple[str, int, Column]]
"""Parts of columns: the name, the position, and the items from there on."""
Shapes = Mapping[str, tuple[Any, int]]
"""Item type and length of each column, in order."""


@dataclass(frozen=True, slots=True)
class KeptTape:
    """The place of one tape.

    Attributes:
        path: Its file, which need not exist.
        key: What a tape in it must have been made from, beside the code: options, and size and time of each input.
    """

    path: Path
    key: str

    @classmethod
    def of(cls, folder: Path, day: DayFolder, options: str, inputs: Sequence[Path]) -> "KeptTape":
        """Return the place for the tape of *day* that *inputs* give under *options*."""
        stats = [(day.relative(path), path.stat()) for path in inputs]
        files = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
        name = hashlib.sha256(f"{day.path.resolve()} {options}".encode()).hexdigest()[:12]
        return cls(folder / f"{day.symbol}_{day.day}_{name}.arrow", json.dumps([options, files]))

    def read(self) -> Tape | None:
        """Map the tape; None where there is none, or a stale or broken one."""
        tape = self._read(ARRAYS, _tape)
        if tape is None:
            _code()  # what is imported next to make it, before anyone edits it
            return None
        return tape.with_best(partial(self._best, tape))

    def write(self, columns: Mapping[str, Column], entry: Json) -> None:
        """Write *columns* and *entry* whole or not at all; raises OSError where that is impossible."""
        shapes = {name: (column.dtype, len(column)) for name, column in columns.items()}
        with self._unfinished() as path:
            write_arrow(path, self._keyed(entry), shapes, ((name, 0, column) for name, column in columns.items()))

    def keep(self, facts: TapeFacts, builder: "TapeBuilder") -> Tape:
        """Write the tape of *facts* and of what *builder* has built, whole or not at all, and return it mapped.

        The builder is empty then.

        Raises:
            BrokenFile: If an invariant does not hold.
            OSError: If it cannot be written.
        """
        with self._unfinished() as path:
            shapes = {name: (DTYPES[name], size) for name, size in builder.lengths().items()}
            write_arrow(path, self._keyed(_entry(facts)), shapes, builder.pieces())
            tape = replace(self, path=path)._read(ARRAYS, _tape)
            if tape is None:
                raise OSError(EIO, "what was written cannot be read again")
            tape.check()
            _release(tape)
        tape = replace(tape, meta=replace(tape.meta, cache="miss"))
        return tape.with_best(partial(self._best, tape))

    def _best(self, tape: Tape) -> "BestPrices":
        """Return the best prices of *tape*, which are kept in a file beside its own."""
        from mm.tape import top_of_book

        place = KeptTape(self.path.with_suffix(".best.arrow"), self.key)
        best = place._read(top_of_book.KEPT, partial(top_of_book.opened, tape))
        if best is not None:
            return best
        best = top_of_book.project(_without_depth(tape))
        _release(tape)
        try:
            entry = {"low_ticks": best.low_ticks, "high_ticks": best.high_ticks}
            place.write({name: getattr(best, name) for name in top_of_book.KEPT}, entry)
        except OSError:  # a full disk, or another user's: they are made again the next time
            return best
        del best
        return place._read(top_of_book.KEPT, partial(top_of_book.opened, tape)) or top_of_book.project(tape)

    def _read(self, names: Sequence[str], made: Callable[[Json, Json], Kept | None]) -> Kept | None:
        """Map the file, and return what its entry and arrays make; None where it is missing, stale or broken."""
        try:
            text, arrays = read_arrow(self.path, names)
            entry = json.loads(text)
            known = entry.pop("key") == self.key and _is_ours(entry.pop("code"))
            return made(entry, arrays) if known else None
        except (OSError, KeyError, TypeError, ValueError):
            return None  # a cache is never worth an error: the caller makes the tape

    def _keyed(self, entry: Json) -> bytes:
        return json.dumps({"key": self.key, "code": _code(), **entry}).encode()

    @contextmanager
    def _unfinished(self) -> Iterator[Path]:
        """Yield the path of a file beside the tape's own, which replaces it when the block ends well."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        clear_unfinished(self.path.parent)
        with whole_file(self.path) as path:
            yield path


@cache
def _code() -> Json:
    """Return the digest of the code that makes a tape in this process, and size and time of each of its files."""
    files = code_files(MAKER)
    return {"digest": digest(files), "files": _stats(name for name, sha256 in files.items() if sha256)}


def _is_ours(code: Json) -> bool:
    """Return True if *code* is the code of this process.

    Where size and time of all its files are the same, nothing is hashed: that would take longer than opening a tape.
    """
    return bool(_stats(code["files"]) == code["files"] or code["digest"] == _code()["digest"])


def _stats(names: Iterable[str]) -> dict[str, list[int]]:
    """Return size and time of files of this package; raises OSError where one is missing."""
    stats = {name: (PACKAGE / name).stat() for name in names}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def _without_depth(tape: Tape) -> Tape:
    """Return *tape* without the rows of its books, which best prices are not made of."""
    rows: Json = {"row_side": tape.trade_side, "row_ticks": tape.trade_ticks, "row_lots": tape.trade_lots}
    return replace(tape, first_row=bounds(tape.kind == TRADE), **rows)


def _release(tape: Tape) -> None:
    for name in ARRAYS:
        release(getattr(tape, name))


def _entry(tape: Tape | TapeFacts) -> Json:
    """Return all of *tape* that is no array."""
    own = {name: getattr(tape, name) for name in ("days", "step_lots", "start_us", "end_us")}
    return own | {"instrument": asdict(tape.instrument), "meta": asdict(tape.meta)}


def _tape(entry: Json, arrays: Json) -> Tape | None:
    meta, instrument = entry["meta"], entry["instrument"]
    inputs = tuple((path, size, digest) for path, size, digest in meta["inputs"])
    facts = TapeFacts(
        **entry
        | {
            "days": tuple(entry["days"]),
            "instrument": Instrument(**instrument | {"filters": Filters(**instrument["filters"])}),
            "meta": TapeMeta(**meta | {"inputs": inputs, "warnings": tuple(meta["warnings"]), "cache": "hit"}),
        }
    )
    tape = Tape.from_parts(facts, arrays)
    return tape if bounds_hold(tape) else None


def read_arrow(path: Path, names: Sequence[str]) -> tuple[bytes, dict[str, Column]]:
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


def write_arrow(path: Path, entry: bytes, shapes: Shapes, pieces: Pieces) -> None:
    """Write an entry and columns of these *shapes*, whose items come as *pieces*, in any order.

    Raises:
        OSError: If the disk is full, or the file cannot be written.
    """
    import pyarrow as pa

    # Their memory is never touched: they only give Arrow the lengths to lay out.
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
    """A file to be written, in which the bytes at some addresses are skipped.

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
