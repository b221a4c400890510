"""Tapes kept as files of .npy arrays, which are memory-mapped and not copied when opened."""

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from errno import EIO
from functools import cache, partial
from itertools import chain, islice
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.lib import format as npy

from mm.base.atomic_file import VerifiedFiles, atomic_file, clear_unfinished
from mm.base.code_identity import PACKAGE, code_files, digest
from mm.dayfolder.layout import DayFolder
from mm.tape import level_changes, order_index
from mm.tape.columns import DTYPES, Column, TapeFacts, in_pieces, mapped, release
from mm.tape.level_changes import LevelIndex
from mm.tape.order_index import OrderIndex
from mm.tape.tape import Tape

SUFFIX = ".npy"
_SUM_BYTES = 4
MAKER = "mm.tape.load"
"""The module that imports all code that builds a tape, or its level index."""

Json = dict[str, Any]
Kept = TypeVar("Kept", bound=Tape | LevelIndex | OrderIndex)
_MAKING = RLock()
"""Of several threads that need the same levels, one makes them."""


@dataclass(frozen=True, slots=True)
class KeptTape:
    """Where and under which key a tape is kept.

    Attributes:
        key: The required origin without the code: options, and size and time of each input. None: the caller has
            verified the file.
    """

    path: Path
    key: str | None

    @classmethod
    def of(cls, folder: Path, day: DayFolder, options: str, inputs: Sequence[Path]) -> "KeptTape":
        stats = [(day.relative(path), path.stat()) for path in inputs]
        files = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
        name = hashlib.sha256(os.fsencode(f"{day.path.resolve()} {options}")).hexdigest()[:12]
        return cls(folder / f"{day.symbol}_{day.day}_{name}{SUFFIX}", json.dumps([options, files]))

    def read(self, notes: list[str]) -> Tape | None:
        tape = self._read(DTYPES, partial(_tape, self.path), notes)
        if tape is None:
            _code()  # digest of the code that builds it, taken before an edit can change the code
            return None
        levels = self._sibling()._read(level_changes.KEPT, partial(LevelIndex.of, tape), notes)
        return tape.with_levels(partial(self._levels, tape) if levels is None else lambda: levels)

    def keep(self, facts: TapeFacts, columns: Mapping[str, Column]) -> Tape:
        """Write completely or not at all; raises OSError."""
        notes: list[str] = []
        with self._unfinished() as path:
            write_columns(path, self._keyed(msgspec.to_builtins(facts)), columns)
            tape = replace(self, path=path)._read(DTYPES, partial(_tape, self.path), notes)
            if tape is None:
                raise OSError(EIO, f"the written file cannot be read again: {''.join(notes)}")
        tape = replace(tape, meta=replace(tape.meta, cache="miss"))
        return tape.with_levels(partial(self._levels, tape))

    def _sibling(self) -> "KeptTape":
        return KeptTape(self.path.with_suffix(f".levels{SUFFIX}"), self.key or self.path.stem)

    def _levels(self, tape: Tape) -> LevelIndex:
        sibling, opened = self._sibling(), partial(LevelIndex.of, tape)
        with _MAKING:
            kept = sibling._read(level_changes.KEPT, opened, [])
            if kept is None:
                try:
                    index = level_changes.level_changes(tape, self.path.parent)
                    with sibling._unfinished() as path:
                        columns = {name: getattr(index, name) for name in level_changes.KEPT}
                        write_columns(path, sibling._keyed({}), columns)
                except OSError:  # a full disk, or a file of another user: it is computed again next time
                    return level_changes.level_changes(tape)
                kept = sibling._read(level_changes.KEPT, opened, [])
        return kept or index

    @classmethod
    def of_log(cls, folder: Path, log: Path) -> "KeptTape":
        stat = log.stat()
        name = hashlib.sha256(os.fsencode(log.resolve())).hexdigest()[:12]
        return cls(
            folder / f"{log.name.partition('.')[0]}_{name}{SUFFIX}", json.dumps([stat.st_size, stat.st_mtime_ns])
        )

    def orders(self, made: Callable[[], OrderIndex]) -> OrderIndex:
        with _MAKING:
            kept = self.open_orders([])
            if kept is None:
                index = made()
                try:
                    with self._unfinished() as path:
                        columns = {name: getattr(index, name) for name in order_index.KEPT}
                        write_columns(path, self._keyed(index.entry()), columns)
                except OSError:  # a full disk, or a file of another user: it is made again next time
                    return index
                kept = self.open_orders([])
        return kept or index

    def open_orders(self, notes: list[str]) -> OrderIndex | None:
        return self._read(order_index.KEPT, OrderIndex.kept, notes)

    def _read(
        self, dtypes: Mapping[str, Any], made: Callable[[Json, dict[str, Column]], Kept], notes: list[str]
    ) -> Kept | None:
        wrong: list[str] = []
        try:
            file = read_columns(self.path, dtypes)
            entry = file.entry
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

    def _keyed(self, entry: Json) -> Json:
        return {"key": self.key, "code": _code(), **entry}

    @contextmanager
    def _unfinished(self) -> Iterator[Path]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        clear_unfinished(self.path.parent)
        with atomic_file(self.path, durable=True) as path:
            yield path


@cache
def _code() -> Json:
    files = code_files(MAKER)
    return {"digest": digest(files), "files": _stats(name for name, sha256 in files.items() if sha256)}


def _is_ours(code: Json) -> bool:
    return bool(_stats(code["files"]) == code["files"] or code["digest"] == _code()["digest"])


def _stats(names: Iterable[str]) -> dict[str, list[int]]:
    stats = {name: os.stat(f"{PACKAGE}/{name}") for name in names}  # quicker than `Path.stat`
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def _tape(path: Path, entry: Json, arrays: dict[str, Column]) -> Tape:
    facts = msgspec.convert(entry, TapeFacts)
    return Tape.from_parts(replace(facts, meta=replace(facts.meta, cache="hit", file=str(path))), arrays)


@dataclass(frozen=True, slots=True)
class KeptColumns:
    """A mapped file: its entry (checksum verified), columns (not verified) and their expected checksums."""

    entry: Json
    columns: dict[str, Column]
    sums: dict[str, int]

    def wrong_sums(self) -> Iterator[str]:
        for name, column in self.columns.items():
            checksum = 0
            for _, piece in in_pieces(column):
                checksum = _crc32(piece, checksum)
            if checksum != self.sums[name]:
                yield f"{name} has the checksum {checksum:08x}, not {self.sums[name]:08x}"


def read_columns(path: Path, dtypes: Mapping[str, Any]) -> KeptColumns:
    memory, arrays = mapped(path), []
    while memory.tell() < len(memory):
        if npy.read_magic(memory) != (1, 0):
            raise ValueError("it is not a file of .npy arrays of version 1.0")
        (size,), _, dtype = npy.read_array_header_1_0(memory)
        arrays.append(np.frombuffer(memory, dtype, size, memory.tell()))
        memory.seek(arrays[-1].nbytes, os.SEEK_CUR)
    text = arrays.pop()[_SUM_BYTES:].tobytes()
    if memory[-len(text) - _SUM_BYTES : len(memory) - len(text)] != zlib.crc32(text).to_bytes(_SUM_BYTES):
        raise ValueError("its entry has another checksum")
    entry = json.loads(text)
    sums: dict[str, int] = entry.pop("sums")
    columns = dict(zip(sums, arrays, strict=True))
    if {name: column.dtype for name, column in columns.items()} != {
        name: np.dtype(dtype) for name, dtype in dtypes.items()
    }:
        raise ValueError("it has other columns")
    return KeptColumns(entry, columns, sums)


def write_columns(path: Path, entry: Json, columns: Mapping[str, Column]) -> None:
    sums = {}
    with path.open("wb") as file:
        for name in sorted(columns, key=lambda name: -_alignment(columns[name])):  # so that each is aligned
            column = np.ascontiguousarray(columns[name])
            npy.write_array_header_1_0(file, npy.header_data_from_array_1_0(column))
            sums[name] = 0
            for _, piece in in_pieces(column):
                file.write(piece.view(np.uint8).data)
                sums[name] = _crc32(piece, sums[name])
        text = json.dumps(entry | {"sums": sums}).encode()
        np.save(file, np.frombuffer(zlib.crc32(text).to_bytes(_SUM_BYTES) + text, np.uint8))


def _alignment(column: Column) -> int:
    return column.itemsize & -column.itemsize


def _crc32(data: Column, before: int) -> int:
    from isal import isal_zlib  # three times as fast as zlib's; not needed to open a verified tape

    return isal_zlib.crc32(data, before)
