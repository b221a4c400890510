"""Audit logs: places, rows, hash chain, and its verification."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mm.errors import BrokenFile, DataError

SUFFIX = ".ndjson"
ZEROS = "0" * 64
START, STOP = "start", "stop"
OWN = frozenset(("seq", "type", "prev", "hash"))
"""Members that the log writes itself; no field of a row may have such a name."""
_END = re.compile(rb',"prev":"([0-9a-f]{64})","hash":"([0-9a-f]{64})"\}\Z')
_BEGIN = re.compile(rb'\{"seq":([1-9]\d*),"us":(\d+),"type":"(\w+)"[,}]')
_HASH_TEXT = len(',"hash":""}') + 64
_TAIL_BYTES = 1 << 16
_encode = msgspec.json.Encoder().encode


def audit_folder(out_root: Path, symbol: str) -> Path:
    return out_root / "audit" / symbol


def audit_path(out_root: Path, symbol: str, day: str, run_id: str) -> Path:
    return audit_folder(out_root, symbol) / f"{day}_{run_id}{SUFFIX}"


def body(seq: int, us: int, kind: str, fields: Mapping[str, object]) -> bytes:
    """Encode a row without *prev* and *hash*, in ASCII: some readers take other characters for line ends."""
    row = {"seq": seq, "us": us, "type": kind, **fields}
    text = _encode(row)
    return text if text.isascii() else json.dumps(msgspec.json.decode(text), separators=(",", ":")).encode()


def seal(unsealed: bytes, prev: bytes) -> tuple[bytes, bytes]:
    line = b'%b,"prev":"%b"}' % (unsealed[:-1], prev)
    digest = hashlib.sha256(prev + line).hexdigest().encode()
    return b'%b,"hash":"%b"}\n' % (line[:-1], digest), digest


@dataclass(frozen=True, slots=True)
class Witness:
    """One file's record of another: rows and last hash; it *grows* if rows may have been added since."""

    file: str
    rows: int
    hash: str
    source: str = ""
    grows: bool = False


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    rows: int
    last_hash: str
    row: int | None
    why: str
    torn_bytes: int
    stopped: bool
    first: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Line:
    text: bytes
    seq: int
    type: str
    prev: str
    hash: str

    @property
    def is_whole(self) -> bool:
        return hashlib.sha256(self.prev.encode() + self.text[:-_HASH_TEXT] + b"}").hexdigest() == self.hash


def _line(text: bytes) -> _Line | None:
    begin, end = _BEGIN.match(text), _END.search(text)
    if begin is None or end is None:
        return None
    return _Line(text, int(begin[1]), begin[3].decode(), end[1].decode(), end[2].decode())


def verify_lines(lines: Iterable[bytes], *, open_end: bool = False, witnesses: Sequence[Witness] = ()) -> ChainVerdict:
    """Find the first row of a log that was changed, removed, inserted or moved.

    *open_end* accepts a file without a final stop, with an incomplete last line, or without rows, as of a killed or
    running run.
    """
    hashes, kind, first, torn = [ZEROS], "", b"", 0  # of row 0, which is none, and of each row
    row, why = None, ""
    source = iter(lines)
    for text in source:
        number = len(hashes)
        first = first or text
        if not text.endswith(b"\n"):
            torn = len(text)
            break
        line = _line(text[:-1])
        if line is None or not line.is_whole:
            what = "its hash does not match its content" if line else "the line does not have the form of a row"
            row, why = number, f"{what}: it was changed"
        elif line.prev != hashes[-1]:
            row, why = _broken(line, hashes, next(source, b""))
        else:
            why = _misplaced(line, number, kind == STOP)
            row = number if why else None
        if row is not None or line is None:
            break
        hashes.append(line.hash)
        kind = line.type
    good = len(hashes) - 1 if row is None else row - 1
    if row is None:
        row, why = _contradiction(hashes, witnesses) or _end_error(kind, good, torn, open_end)
    stopped = kind == STOP and good == len(hashes) - 1
    return ChainVerdict(good, hashes[good], row, why, torn, stopped, _decoded(first) if good else {})


def _misplaced(line: _Line, number: int, stopped: bool) -> str:
    if line.seq != number:
        return f"it has the number {line.seq} there: rows were removed, inserted or moved"
    if (number == 1) != (line.type == START):
        return f"it is a row {line.type!r}; row 1, and no other, is {START!r}: it was inserted or changed"
    return f"it follows the row {STOP!r}, which is the last of a log: it was inserted" if stopped else ""


def _broken(line: _Line, hashes: list[str], next_text: bytes) -> tuple[int, str]:
    number = len(hashes)
    following = _line(next_text[:-1])
    goes_on = following is None or following.prev == line.hash
    if line.prev in hashes:
        root = hashes.index(line.prev)  # the row from which it follows
        if goes_on and hashes[root + 1] != line.hash and line.seq == root + 1:
            return root + 1, f"the row that belongs there is line {number}: rows were inserted"
        return number, f"it follows from row {root}: it was inserted or moved there"
    if line.seq == number and goes_on and number > 1:
        return number - 1, "the next row follows from another one: it was changed, and its hash recomputed"
    return number, f"it has the number {line.seq} and does not follow from the row before: rows were removed or moved"


def _contradiction(hashes: list[str], witnesses: Sequence[Witness]) -> tuple[int, str] | None:
    for record in sorted(witnesses, key=lambda witness: witness.rows):
        claim = f"{record.source} records {record.rows} rows"
        if record.rows >= len(hashes):
            return len(hashes), f"{claim}: the end was cut off"
        if hashes[record.rows] != record.hash:
            changed = "rows up to it were changed, and all hashes recomputed"
            return record.rows, f"{record.source} has a different hash of it: {changed}"
        if record.rows + 1 < len(hashes) and not record.grows:
            return record.rows + 1, f"{claim}: rows were added"
    return None


def _end_error(last_type: str, rows: int, torn_bytes: int, open_end: bool) -> tuple[int | None, str]:
    if rows == 0 and not open_end:
        return 1, "the file has no row"
    if open_end:
        return None, ""
    if torn_bytes:
        return rows + 1, "it was not written to its end (a killed run; --open accepts it)"
    if last_type != STOP:
        return rows + 1, "the file ends without a row 'stop' (a killed run, or a running one; --open accepts it)"
    return None, ""


def _decoded(text: bytes) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(text)
    except msgspec.DecodeError:  # a correct hash alone proves nothing: it can be computed for any content
        return {}
    return decoded if isinstance(decoded, dict) else {}


def whole_row(text: bytes) -> dict[str, Any]:
    line = _line(text[:-1]) if text.endswith(b"\n") else None
    return _decoded(line.text) if line is not None and line.is_whole else {}


def rows_after(lines: Iterable[bytes], before: Witness) -> Iterator[tuple[bytes, Witness]]:
    """Yield complete rows after *before*, each with the record of the log so far; BrokenFile if one does not follow."""
    rows, prev = before.rows, before.hash
    for text in lines:
        if not text.endswith(b"\n"):
            return
        line = _line(text[:-1])
        if line is None or not line.is_whole or (line.prev, line.seq) != (prev, rows + 1):
            raise BrokenFile(f"{before.file}: row {rows + 1} was changed, removed or moved; see mm audit verify")
        rows, prev = line.seq, line.hash
        yield text, Witness(before.file, rows, prev)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Read without checking hashes; an incomplete last line is left out. Raises BrokenFile or DataError."""
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                if text.endswith(b"\n"):
                    yield decode_row(text, number, path.name)
    except OSError as error:
        raise DataError(f"{path}: the audit log cannot be read ({error.strerror})") from error


def decode_row(text: bytes, number: int, name: str) -> dict[str, Any]:
    """BrokenFile if the line is not a row, or has another number."""
    try:
        row = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise BrokenFile(f"{name}: row {number} cannot be read ({error}); see mm audit verify") from error
    if not isinstance(row, dict) or row.get("seq") != number:
        raise BrokenFile(f"{name}: line {number} is not row {number}; see mm audit verify")
    return row


def end_of(path: Path) -> Witness:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            back = _TAIL_BYTES
            while True:
                file.seek(max(0, size - back))
                lines = file.read(back).split(b"\n")[:-1]  # without an incomplete line
                if len(lines) > 1 or (lines and back >= size):
                    break
                if back >= size:
                    return Witness(path.name, 0, ZEROS)
                back *= 4
    except OSError as error:
        raise DataError(f"{path}: the audit log cannot be read ({error.strerror})") from error
    last = _line(lines[-1])
    if last is None:
        raise BrokenFile(f"{path}: the last line is not a row of an audit log; see mm audit verify {path}")
    return Witness(path.name, last.seq, last.hash)
