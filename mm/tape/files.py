"""The bytes of a recorded file: hashed as they are read, inflated one piece ahead of the parser."""

import hashlib
import io
import zlib
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from gzip import BadGzipFile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

# The reader inside `isal.igzip`: it alone inflates into a buffer of ours. New memory for every piece would cost as
# much as the inflating itself.
from isal.igzip_lib import IsalError
from isal.isal_zlib import _GzipReader

from mm.dayfolder.layout import PACKED
from mm.errors import BrokenFile

if TYPE_CHECKING:
    from mm.tape._parse import LineParser

_PIECE = 1 << 20
_PACKED_PIECE = 1 << 18
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
        text = _Text(stream)
        with closing(_ahead(text)) as pieces:  # no thread may go on reading when a line is refused
            for piece in pieces:
                parser.feed(piece)
    if text.packed.size == 0:
        bookless = "; a day without depth messages has no book" if ".ndjson" in path.name else ""
        raise BrokenFile(f"{path}: the file is empty (0 bytes); restore it, or import the day again{bookless}")
    # A row of CSV cut short may look whole; an object of JSON cannot.
    whole_if_parsed = not text.cut_off or path.name.removesuffix(PACKED).endswith(".ndjson")
    torn = parser.finish(whole_if_parsed)
    return FileRead(path, text.packed.size, text.packed.digest.hexdigest(), text.cut_off, parser.lines, torn)


def read_small(path: Path) -> tuple[bytes, FileRead]:
    """Return all bytes of a small file, inflated, and what reading it found."""
    with path.open("rb") as stream:
        text = _Text(stream)
        data = b"".join(bytes(piece) for piece in _ahead(text))
    read = FileRead(path, text.packed.size, text.packed.digest.hexdigest(), text.cut_off, data.count(b"\n"))
    return data, read


def first_line(path: Path) -> str:
    """Return the first line of a text file; empty where there is none."""
    line = b""
    with path.open("rb") as stream:
        text, piece = _Text(stream), bytearray(_PIECE)
        while b"\n" not in line and (size := text.readinto(piece)):
            line += piece[:size]
    return line.split(b"\n", 1)[0].decode("utf-8", "replace").strip()


class _Hashed(io.RawIOBase):
    """A file that counts and hashes what is read of it."""

    def __init__(self, stream: BinaryIO) -> None:
        self.size = 0
        self.digest = hashlib.sha256()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]  # of all buffers, these
        size: int = self._stream.readinto(buffer)  # type: ignore[attr-defined]  # every file opened here has it
        self.digest.update(memoryview(buffer)[:size])
        self.size += size
        return size


class _Text:
    """The text of a file; gzip members follow one another as if they were one."""

    def __init__(self, stream: BinaryIO) -> None:
        self.cut_off = False
        self.packed = _Hashed(stream)
        self._name = stream.name
        packed = cast("BinaryIO", self.packed)
        self._source: Any = _GzipReader(packed, _PACKED_PIECE) if self._name.endswith(PACKED) else packed
        self._size = 0
        self._rest = b""

    def readinto(self, buffer: bytearray) -> int:
        """Fill *buffer* and return how many bytes; 0 at the end, where `cut_off` is True for an unfinished member."""
        try:
            return self._inflate_into(buffer)
        except (BadGzipFile, IsalError, zlib.error) as error:  # type: ignore[misc]  # a stub has an instance there
            raise BrokenFile(
                f"{self._name}: damaged gzip data before byte {self.packed.size} ({error}); "
                f"restore the file, or record or import the day again"
            ) from error

    def _inflate_into(self, buffer: bytearray) -> int:
        if not self.cut_off:
            try:
                size = int(self._source.readinto(buffer))
            except EOFError:
                self.cut_off = True
                self._rest = _text_from(Path(self._name), self._size)
            else:
                self._size += size
                return size
        size = min(len(self._rest), len(buffer))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def _text_from(path: Path, offset: int) -> bytes:
    """Return the text from *offset* on of a gzip file that is cut off: what the fast reader did not return."""
    texts, size = [], 0
    member = zlib.decompressobj(_GZIP_FORMAT)
    with path.open("rb") as stream:
        while data := member.unused_data.lstrip(b"\0") or stream.read(_PACKED_PIECE):
            if member.eof:
                member = zlib.decompressobj(_GZIP_FORMAT)
            text = member.decompress(data)
            texts.append(text[max(offset - size, 0) :])
            size += len(text)
    return b"".join(texts)


def _ahead(text: _Text) -> Generator[memoryview, None, None]:
    """Yield all pieces while another thread reads the next one; a piece is valid until the next."""
    buffers = (bytearray(_PIECE), bytearray(_PIECE))
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(text.readinto, buffers[0])
        while size := coming.result():
            buffers = buffers[::-1]
            coming = reader.submit(text.readinto, buffers[0])
            yield memoryview(buffers[1])[:size]
