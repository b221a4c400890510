"""Tapes kept as Arrow files, which are memory-mapped and not copied when opened.

A file has one row, whose columns are lists. Its entry contains the tape's other attributes, and the origin of the tape:
options, inputs and code. If any of these has changed, the tape is built again. One more column contains the checksums
of the entry and of the other columns; they and the invariants of the tape are verified once for each identity of the
file. If one is violated, the tape is built again, with a note.
"""

import hashlib
import io
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from errno import EIO
from functools import cache, partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mm.atomic_file import VerifiedFiles, atomic_file, clear_unfinished
from mm.code_identity import PACKAGE, code_files, digest
from mm.dayfolder.layout import DayFolder
from mm.instrument import Filters, Instrument
from mm.tape import _book, level_changes
from mm.tape.columns import (
    ARRAYS,
    DTYPES,
    Column,
    Payment,
    TapeFacts,
    TapeMeta,
    in_pieces,
    mapped,
    put,
    release,
)
from mm.tape.tape import Tape

if TYPE_CHECKING:
    from mm.tape.build import TapeBuilder
    from mm.tape.level_changes import LevelIndex

_ENTRY = b"mm.tape"
_SUMS = "crc32"
MAKER = "mm.tape.load"
"""The module that imports all code that builds a tape, or its level index."""

Json = dict[str, Any]
Kept = TypeVar("Kept", bound="Tape | LevelIndex")
Pieces = Iterable[tuple[str, int, Column]]
"""Parts of columns as (name, position, items); the parts of a column are in order."""
Shapes = Mapping[str, tuple[Any, int]]
"""Item type and length of each column, in order."""


@dataclass(frozen=True, slots=True)
class KeptTape:
    """The storage of one tape.

    Attributes:
        path: Its file, which need not exist.
        key: The required origin of its tape, without the code: options, and size and time of each input. None: the
            caller has verified the file's content, which may have been built elsewhere.
    """

    path: Path
    key: str | None

    @classmethod
    def of(cls, folder: Path, day: DayFolder, options: str, inputs: Sequence[Path]) -> "KeptTape":
        """Return the storage for the tape of *day* made from *inputs* under *options*."""
        stats = [(day.relative(path), path.stat()) for path in inputs]
        files = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
        name = hashlib.sha256(os.fsencode(f"{day.path.resolve()} {options}")).hexdigest()[:12]
        return cls(folder / f"{day.symbol}_{day.day}_{name}.arrow", json.dumps([options, files]))

    def read(self, notes: list[str]) -> Tape | None:
        """Map the tape; None if it is missing, stale or damaged.

        A line is added to *notes* for each damaged file: that of the tape, or of its levels.
        """
        tape = self._read(ARRAYS, partial(_tape, self.path), notes)
        if tape is None:
            _code()  # digest of the code that builds it, taken before an edit can change the code
            return None

        levels = self._sibling()._read(level_changes.KEPT, partial(level_changes.opened, tape), notes)
        return tape.with_levels(partial(self._levels, tape) if levels is None else lambda: levels)

    def write(self, columns: Mapping[str, Column], entry: Json) -> None:
        """Write *columns* and *entry* completely or not at all; raises OSError if that is impossible."""
        shapes = {name: (column.dtype, len(column)) for name, column in columns.items()}
        with self._unfinished() as path:
            write_arrow(path, self._keyed(entry), shapes, ((name, 0, column) for name, column in columns.items()))

    def keep(self, facts: TapeFacts, builder: "TapeBuilder") -> Tape:
        """Write the tape of *facts* and of the results of *builder*, completely or not at all, and return it mapped.

        The builder is empty afterwards.

        Raises:
            OSError: If it cannot be written, or the written file is not a tape.
        """
        notes: list[str] = []
        with self._unfinished() as path:
            shapes = {name: (DTYPES[name], size) for name, size in builder.lengths().items()}
            write_arrow(path, self._keyed(_entry(facts)), shapes, builder.pieces())
            tape = replace(self, path=path)._read(ARRAYS, partial(_tape, self.path), notes)
            if tape is None:
                raise OSError(EIO, f"the written file cannot be read again: {''.join(notes)}")
            _release(tape)
        tape = replace(tape, meta=replace(tape.meta, cache="miss"))
        return tape.with_levels(partial(self._levels, tape))

    def _sibling(self) -> "KeptTape":
        """Return the storage of the level index of the tape: a file next to its own."""
        return KeptTape(self.path.with_suffix(".levels.arrow"), self.key or self.path.stem)

    def _levels(self, tape: Tape) -> "LevelIndex":
        """Compute the level index of *tape*, and keep it."""

        sibling, opened = self._sibling(), partial(level_changes.opened, tape)
        making = level_changes.LevelIndexBuilder.of(tape)
        begin, page, size = making.begin, making.page, int(making.begin[-1])
        per_mark, words = _book.EVERY, level_changes.CHANGE.itemsize // 4
        sizes = {"page": len(page), "begin": len(begin), "change": size * words, "mark": -(-size // per_mark)}
        shapes = {name: (DTYPES.get(name, np.int64), length) for name, length in sizes.items()}

        def pieces() -> Iterator[tuple[str, int, Column]]:
            yield from (("page", 0, page), ("begin", 0, begin))
            for at, change in making.pieces():
                yield "change", at * words, change.view(np.int32)
                yield "mark", -(-at // per_mark), change["event"][-at % per_mark :: per_mark]

        kept = sibling._read(level_changes.KEPT, opened, []) if sibling._written(shapes, pieces()) else None
        return kept or level_changes.level_changes(tape)

    def _written(self, shapes: Shapes, pieces: Pieces, entry: Json | None = None) -> bool:
        """Write the file; return False if that is impossible: a full disk, or a file of another user."""
        try:
            with self._unfinished() as path:
                write_arrow(path, self._keyed(entry or {}), shapes, pieces)
        except OSError:
            return False  # it is computed again next time
        return True

    def _read(self, names: Sequence[str], made: Callable[[Json, Json], Kept], notes: list[str]) -> Kept | None:
        """Map the file, and return what *made* returns for its entry and arrays; None if missing, stale or damaged."""
        wrong: list[str] = []
        try:
            file = read_arrow(self.path, names)
            entry = json.loads(file.entry)
            code, key = entry.pop("code"), entry.pop("key")
            if self.key is not None and (key != self.key or not _is_ours(code)):
                return None
            kept = made(entry, file.columns)

            def sound() -> bool:
                wrong.extend(islice(chain(file.wrong_sums(), kept.faults()), 1))
                for column in file.columns.values():
                    release(column)  # all of it was verified, once
                return not wrong

            if VerifiedFiles(self.path.parent).verified_once(self.path, code["digest"], sound):
                return kept
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, KeyError, TypeError, ValueError) as error:
            wrong.append(str(error).partition("\n")[0])
        notes.append(f"{self.path}: damaged ({wrong[0]}); it is rebuilt")  # a cache must not cause an error
        return None

    def _keyed(self, entry: Json) -> bytes:
        return json.dumps({"key": self.key, "code": _code(), **entry}).encode()

    @contextmanager
    def _unfinished(self) -> Iterator[Path]:
        """Yield the path of a temporary file next to the tape's own, which replaces it if the block succeeds."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        clear_unfinished(self.path.parent)
        with atomic_file(self.path, durable=True) as path:
            yield path


@cache
def _code() -> Json:
    """Return the digest of the code that builds a tape in this process, and size and time of each of its files."""
    files = code_files(MAKER)
    return {"digest": digest(files), "files": _stats(name for name, sha256 in files.items() if sha256)}


def _is_ours(code: Json) -> bool:
    """Return True if *code* is the code of this process.

    If size and time of all its files are unchanged, nothing is hashed: hashing takes longer than opening a tape.
    """
    return bool(_stats(code["files"]) == code["files"] or code["digest"] == _code()["digest"])


def _stats(names: Iterable[str]) -> dict[str, list[int]]:
    """Return size and time of files of this package; raises OSError if one is missing."""
    stats = {name: os.stat(f"{PACKAGE}/{name}") for name in names}  # quicker than `Path.stat`
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def _release(tape: Tape) -> None:
    for name in ARRAYS:
        release(getattr(tape, name))


def _entry(tape: Tape | TapeFacts) -> Json:
    """Return everything of *tape* except its arrays."""
    own = {name: getattr(tape, name) for name in ("days", "step_lots", "step_ticks", "start_us", "end_us")}
    return own | {"instrument": asdict(tape.instrument), "meta": asdict(tape.meta)}


def _tape(path: Path, entry: Json, arrays: Json) -> Tape:
    meta, instrument = entry["meta"], entry["instrument"]
    inputs = tuple((path, size, digest) for path, size, digest in meta["inputs"])
    lists = {name: tuple(meta[name]) for name in ("warnings", "excluded")}
    lists["hindsight"] = tuple((begin, end) for begin, end in meta["hindsight"])
    lists["funding"] = tuple(Payment(*payment) for payment in meta["funding"])
    facts = TapeFacts(
        **entry
        | {
            "days": tuple(entry["days"]),
            "instrument": Instrument(**instrument | {"filters": Filters(**instrument["filters"])}),
            "meta": TapeMeta(**meta | {"inputs": inputs, **lists, "cache": "hit", "file": str(path)}),
        }
    )
    return Tape.from_parts(facts, arrays)


@dataclass(frozen=True, slots=True)
class ArrowFile:
    """A mapped file.

    Attributes:
        entry: Its entry, with a verified checksum.
        columns: Its columns by name, not verified.
        sums: The expected checksum of each column.
    """

    entry: bytes
    columns: dict[str, Column]
    sums: dict[str, int]

    def wrong_sums(self) -> Iterator[str]:
        """Yield a sentence for each column with a wrong checksum; pages are released meanwhile."""
        for name, column in self.columns.items():
            found = 0
            for _, piece in in_pieces(column):
                found = _crc32(piece, found)
            if found != self.sums[name]:
                yield f"{name} has the checksum {found:08x}, not {self.sums[name]:08x}"


def read_arrow(path: Path, names: Sequence[str]) -> ArrowFile:
    """Map a file with columns *names*.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not such a file, or the checksum of its entry is wrong.
    """
    import pyarrow as pa

    memory = mapped(path)
    try:
        entry, columns = _contents(memory, (*names, _SUMS))
    except (KeyError, TypeError, OSError, pa.ArrowException) as error:
        raise ValueError(f"it is not such an Arrow file: {error}") from error
    entry_sum, *sums = columns.pop(_SUMS).tolist()
    if zlib.crc32(entry) != entry_sum or len(sums) != len(names):
        raise ValueError("its entry has another checksum")
    return ArrowFile(entry, columns, dict(zip(names, sums, strict=True)))


def _contents(memory: Any, names: Sequence[str]) -> tuple[bytes, dict[str, Column]]:
    """Return the entry of the Arrow file in *memory*, and its columns *names*, views of this memory."""
    import pyarrow as pa

    whole = pa.py_buffer(memory)
    batch = pa.ipc.open_file(whole).get_batch(0)
    batch.validate()
    columns = {}
    for name in names:
        expected, column = np.dtype(DTYPES.get(name, np.int64)), batch.column(name)
        if len(column) != 1 or column.type != pa.large_list(pa.from_numpy_dtype(expected)):
            raise TypeError(f"{name} has {len(column)} rows of {column.type}, not a list of {expected}")
        items = column.values
        begin = items.buffers()[1].address - whole.address if len(items) else 0
        if not 0 <= begin < whole.size:
            raise TypeError(f"{name} is compressed")
        columns[name] = np.frombuffer(memory, expected, len(items), begin)
    return batch.schema.metadata[_ENTRY], columns


def _crc32(data: Column, before: int) -> int:
    """Return the CRC-32 of *data* that continues the CRC *before*."""
    from isal import isal_zlib  # three times as fast as zlib's; not needed to open a verified tape

    return isal_zlib.crc32(data, before)


def write_arrow(path: Path, entry: bytes, shapes: Shapes, pieces: Pieces) -> None:
    """Write an entry and columns of these *shapes*, whose items come as *pieces*, and the checksums of all.

    Raises:
        OSError: If the disk is full, or the file cannot be written.
    """
    import pyarrow as pa

    # Their memory is never accessed: they only give Arrow the lengths for its layout.
    blank = {name: np.empty(size, dtype) for name, (dtype, size) in shapes.items()}
    blank[_SUMS] = np.empty(1 + len(shapes), np.int64)
    lists = [_as_list(column) for column in blank.values()]
    named = [(name, column.type) for name, column in zip(blank, lists, strict=True)]
    schema = pa.schema(named, metadata={_ENTRY: entry})
    sums = dict.fromkeys(shapes, 0)

    def with_sums() -> Iterator[tuple[str, int, Column]]:
        for name, at, items in pieces:
            whole = np.ascontiguousarray(items)
            sums[name] = _crc32(whole, sums[name])
            yield name, at, whole
        yield _SUMS, 0, np.array([zlib.crc32(entry), *sums.values()], np.int64)

    with _Layout(path, [column.ctypes.data for column in blank.values()]) as file:
        with pa.ipc.new_file(file, schema) as writer:
            writer.write_batch(pa.record_batch(lists, schema=schema))
        for name, at, items in with_sums():
            put(file.fileno(), items, file.begins[blank[name].ctypes.data] + at * items.itemsize)


class _Layout(io.FileIO):
    """An output file that leaves room for the bytes at given memory addresses, without writing them.

    Attributes:
        begins: File offset for the bytes at each address.
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


def _as_list(column: Column) -> Any:
    """Return *column* as an Arrow column of one row, without a copy."""
    import pyarrow as pa

    # From buffers: `pa.array` and `to_numpy` would first import pandas if it is installed.
    items = pa.Array.from_buffers(pa.type_for_alias(column.dtype.name), len(column), [None, pa.py_buffer(column)])
    bounds = pa.py_buffer(np.array([0, len(column)], np.int64))
    return pa.LargeListArray.from_buffers(pa.large_list(items.type), 1, [None, bounds], children=[items])
