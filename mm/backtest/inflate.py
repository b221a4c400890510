"""The bytes of a recorded file: hashed as they are read, inflated one piece ahead of whoever parses them."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from isal import isal_zlib
from isal.igzip_lib import IsalError

from mm.errors import BrokenFile
from mm.market_data.layout import PACKED

if TYPE_CHECKING:
    from mm.backtest._lines import LineParser

_PIECE = 1 << 18
_GZIP_FORMAT = 31


@dataclass(frozen=True, slots=True)
class FileRead:
    """What reading a file to its end found.

    Attributes:
        path: The file.
        bytes: Its size, packed as it lies.
        sha256: Of those bytes.
        cut_off: It is gzip and ends in the middle of a member.
        lines: Whole lines, header included.
        torn_lines: 1 where its last line is not whole, else 0.
    """

    path: Path
    bytes: int
    sha256: str
    cut_off: bool = False
    lines: int = 0
    torn_lines: int = 0


def parse_file(path: Path, parser: "LineParser") -> FileRead:
    """Feed all of *path* (plain, or gzip with many members) to *parser*.

    Raises:
        BrokenFile: If the file is empty, or damaged before its end, or holds a line that cannot be parsed.
    """
    with path.open("rb") as stream:
        pieces = _pieces(stream)
        for piece in _ahead(pieces):
            parser.feed(piece)
    if pieces.size == 0:
        raise BrokenFile(f"{path}: the file is empty (0 bytes); restore it, or record or import the day again")
    # A row of CSV cut short may look whole; an object of JSON cannot.
    whole_if_parsed = not pieces.cut_off or path.name.removesuffix(PACKED).endswith(".ndjson")
    torn = parser.finish(whole_if_parsed)
    return FileRead(path, pieces.size, pieces.digest.hexdigest(), pieces.cut_off, parser.lines, torn)


def read_small(path: Path) -> tuple[bytes, FileRead]:
    """Return all bytes of a small file, inflated, and what reading it found."""
    with path.open("rb") as stream:
        pieces = _pieces(stream)
        data = b"".join(iter(pieces.next, b""))
    return data, FileRead(path, pieces.size, pieces.digest.hexdigest(), pieces.cut_off, data.count(b"\n"))


def first_line(path: Path) -> str:
    """Return the first line of a text file; empty where there is none."""
    with path.open("rb") as stream:
        return _pieces(stream).next().split(b"\n", 1)[0].decode("utf-8", "replace").strip()


class _Plain:
    """The pieces of a plain file."""

    def __init__(self, stream: BinaryIO) -> None:
        self.cut_off = False
        self.size = 0
        self.digest = hashlib.sha256()
        self._stream = stream

    def next(self) -> bytes:
        """Return the next piece; empty at the end of the file."""
        data = self._stream.read(_PIECE)
        self.size += len(data)
        self.digest.update(data)
        return data


class _Packed(_Plain):
    """The pieces of a gzip file, inflated; members follow one another as if they were one."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self._member = isal_zlib.decompressobj(_GZIP_FORMAT)
        self._begun = False  # the member at work has taken bytes

    def next(self) -> bytes:
        """Return the next piece; empty at the end of the file, where `cut_off` tells whether it ends well."""
        text = b""
        while not text:
            data = super().next()
            if not data:
                self.cut_off = self._begun
                return b""
            text = self._inflate(data)
        return text

    def _inflate(self, data: bytes) -> bytes:
        texts = []
        while data:
            if not self._begun:
                data = data.lstrip(b"\0")  # padding between members, which gzip allows
            self._begun = bool(data)
            try:
                texts.append(self._member.decompress(data))
            except IsalError as error:  # type: ignore[misc]  # its stub calls the class an instance
                raise BrokenFile(
                    f"{self._stream.name}: damaged gzip data before byte {self.size} ({error}); "
                    f"restore the file, or keep what can be saved with `mm data repair`"
                ) from error
            if not self._member.eof:
                break
            data = self._member.unused_data
            self._member, self._begun = isal_zlib.decompressobj(_GZIP_FORMAT), False
        return b"".join(texts)


def _pieces(stream: BinaryIO) -> _Plain:
    return _Packed(stream) if stream.name.endswith(PACKED) else _Plain(stream)


def _ahead(pieces: _Plain) -> Iterator[bytes]:
    """Yield all pieces, the next one being read in another thread meanwhile."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(pieces.next)
        while piece := coming.result():
            coming = reader.submit(pieces.next)
            yield piece
