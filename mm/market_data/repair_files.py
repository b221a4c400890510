"""The files of a day that is being mended: read whatever damage they have, written whole."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

import msgspec

from mm.market_data.buffered_writer import FLUSH_BYTES, gzip_member
from mm.market_data.check_books import DiffRow
from mm.market_data.layout import EVENT_COLUMNS, GAP_COLUMNS, PACKED, TRADE_COLUMNS, DayFolder, existing
from mm.market_data.salvage import Salvage
from mm.whole_file import whole_file

USUAL_TOP_N = 20
_SEQ_COLUMN = TRADE_COLUMNS.index("recv_seq")  # as in events and frames


class LineWriter:
    """Write lines to an open file, plain or as gzip members.

    Args:
        stream: The file.
        packed: Whether to pack them.
    """

    def __init__(self, stream: BinaryIO, *, packed: bool) -> None:
        self._stream = stream
        self._packed = packed
        self._held = bytearray()

    def add(self, line: bytes) -> None:
        """Take a line without its end."""
        self._held += line
        self.add_all(b"\n")

    def add_all(self, lines: bytes) -> None:
        """Take whole lines with their ends."""
        self._held += lines
        if len(self._held) >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was taken so far."""
        if self._held:
            self._stream.write(gzip_member(self._held) if self._packed else self._held)
            self._held.clear()


@contextmanager
def line_writer(path: Path) -> Iterator[LineWriter]:
    """Yield a writer of the lines of *path*, packed by its name; the file is there, whole, when the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as unfinished, unfinished.open("wb") as stream:
        writer = LineWriter(stream, packed=path.suffix == PACKED)
        yield writer
        writer.flush()


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Write *lines* to *path* and remove its packed or unpacked twin."""
    with line_writer(path) as writer:
        for line in lines:
            writer.add(line)
    twin = path.with_suffix("") if path.suffix == PACKED else path.with_name(path.name + PACKED)
    twin.unlink(missing_ok=True)


class Dropped:
    """Rows that are whole and have no place in their file any more: kept aside, for the quarantine.

    Args:
        path: Where they are kept in the meantime.
    """

    def __init__(self, path: Path) -> None:
        self.count = 0
        self._path = path

    def add(self, reason: str, line: bytes) -> None:
        """Keep a row."""
        with self._path.open("ab") as stream:
            stream.write(msgspec.json.encode((reason, line)) + b"\n")
        self.count += 1

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        if self._path.is_file():
            decode = msgspec.json.Decoder(tuple[str, bytes]).decode
            with self._path.open("rb") as stream:
                yield from map(decode, stream)


def head_of(folder: DayFolder, path: Path, first_line: bytes) -> bytes:
    """Return the header of a table: its *first_line* where that is one, also that of an older day, else the right one.

    Frames may have any, for they are written anew.
    """
    columns = {folder.events: EVENT_COLUMNS, folder.gaps: GAP_COLUMNS, folder.trades: TRADE_COLUMNS}.get(path)
    if columns is None:
        return first_line
    proper = ",".join(columns).encode()
    return first_line if first_line and proper.startswith(first_line + b",") else proper


def sound_row(folder: DayFolder, path: Path, width: int) -> Callable[[bytes], bool]:
    """Return what tells whether a line of *path* is a row: of so many cells (*width*), or a depth message."""
    if path == folder.diffs:
        return _is_diff
    if path in (folder.frames, folder.trades):
        return lambda line: line.count(b",") + 1 == width and _whole(line.split(b",", _SEQ_COLUMN + 1)[_SEQ_COLUMN])
    if path == folder.events:
        return partial(_is_event, EVENT_COLUMNS[:width])
    return lambda _line: True


def _is_event(columns: Sequence[str], line: bytes) -> bool:
    """Tell whether a line is a row of the ledger: of these *columns*, its numbers whole, its details an object."""
    try:
        row = dict(zip(columns, next(csv.reader([line.decode()])), strict=True))
        msgspec.json.decode(row["details_json"], type=dict[str, msgspec.Raw])
    except (ValueError, csv.Error, msgspec.MsgspecError):
        return False
    return all(row[name].isdecimal() for name in ("event_id", "recv_seq", "epoch_id"))


def lines_of_file(path: Path) -> Iterator[bytes]:
    """Yield the whole lines of the file at *path* or of its twin; none where neither is."""
    found = existing(path)
    return iter(Salvage(found)) if found else iter(())


def seq_of(line: bytes, *, packed: bool) -> int:
    """Return the `recv_seq` of a row of diffs (*packed*), or of trades and frames."""
    return _SEQ.decode(line).recv_seq if packed else number_after(line, _SEQ_COLUMN)


def number_after(line: bytes, column: int) -> int:
    """Return the whole number in a *column* of a row, counted from 0."""
    return int(line.split(b",", column + 1)[column])


def top_n_of(folder: DayFolder) -> int:
    """Return the levels a side of the day's frames: by their header, else by the schema, else as is usual."""
    head = next(lines_of_file(folder.frames), b"").decode(errors="replace").split(",")
    shown = sum(name.startswith("bid") and name.endswith("_price") for name in head)
    if not shown and folder.schema.is_file():
        shown = msgspec.json.decode(folder.schema.read_bytes(), type=_Schema).top_n
    return shown or USUAL_TOP_N


class _Schema(msgspec.Struct):
    top_n: int = 0


class _Numbered(msgspec.Struct):
    recv_seq: int


_SEQ = msgspec.json.Decoder(_Numbered)
_DIFF = msgspec.json.Decoder(DiffRow)


def _is_diff(line: bytes) -> bool:
    with suppress(msgspec.MsgspecError, UnicodeDecodeError):
        diff = _DIFF.decode(line)
        return diff.u >= diff.U
    return False


def _whole(text: bytes) -> bool:
    return text.isdigit()
