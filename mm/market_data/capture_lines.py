"""The lines of a raw capture, plain or gzip, as many as its bytes still hold.

A capture is cut off as often as not: the power went, the disk was full, a member was torn and the next one appended.
Every whole line before and behind the damage is used, and what could not be is counted.
"""

import mmap
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from mm.errors import BrokenFile
from mm.market_data.tail import GZIP_FORMAT

CHUNK_BYTES = 1 << 18
LONGEST_LINE = 1 << 26
_GZIP = b"\x1f\x8b\x08"
_OTHER_PACKINGS = {
    b"\x28\xb5\x2f\xfd": ("zstd", "unpack it with `zstd -d`"),
    b"BZh": ("bzip2", "unpack it with `bunzip2`"),
    b"\xfd7zXZ": ("xz", "unpack it with `unxz`"),
    b"PK\x03\x04": ("zip", "unpack it with `unzip`"),
    b"PAR1": ("Parquet", "give the raw lines it was made from"),
}
ACCEPTED = (
    "accepted: plain or gzip lines of '<receive stamp> <JSON>', and captures that begin with a "
    'configuration record ("wss://… <-> time", or JSON with "t":"header")'
)


class CaptureLines:
    """Iterate over the lines of one file, without their newlines, empty ones included.

    Args:
        path: The file.
        progress: Called with the bytes of the file read so far.

    Attributes:
        number: Number of the line handed out last, from 1.
        cut: Whether that line has no newline and so may be a fragment: the end of the file, or a damaged stretch.
        lost_bytes: Bytes of the file that could not be unpacked.
        ends_early: Whether a gzip file ended in the middle of a member.

    Raises:
        BrokenFile: If there is no such file, it is empty, or packed in another way.
    """

    def __init__(self, path: Path, progress: Callable[[int], None] | None = None) -> None:
        self.path = path
        self.number = 0
        self.cut = False
        self.lost_bytes = 0
        self.ends_early = False
        self._progress = progress or (lambda _: None)
        self._head = _head(path)

    def __iter__(self) -> Iterator[bytes]:
        with self.path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            rest = b""
            for chunk in self._gunzip(data) if self._head.startswith(_GZIP) else self._plain(data):
                if chunk is None:
                    yield from self._fragment(rest)
                    rest = b""
                    continue
                lines = (rest + chunk).split(b"\n")
                rest = lines.pop()
                for line in lines:
                    self.number += 1
                    yield line
                if len(rest) > LONGEST_LINE:
                    raise BrokenFile(
                        f"{self.path}:{self.number + 1}: a line of more than {LONGEST_LINE} bytes; {ACCEPTED}"
                    )
            yield from self._fragment(rest)

    def _fragment(self, rest: bytes) -> Iterator[bytes]:
        if rest:
            self.number += 1
            self.cut = True
            yield rest
            self.cut = False

    def _plain(self, data: mmap.mmap) -> Iterator[bytes]:
        for at in range(0, len(data), CHUNK_BYTES):
            yield data[at : at + CHUNK_BYTES]
            self._progress(min(at + CHUNK_BYTES, len(data)))

    def _gunzip(self, data: mmap.mmap) -> Iterator[bytes | None]:
        """Yield what the members of *data* hold; None stands for a damaged stretch between two yields."""
        start = 0
        while 0 <= start < len(data):
            inflate, at = zlib.decompressobj(GZIP_FORMAT), start
            before = inflate.copy()
            try:
                while at < len(data) and not inflate.eof:
                    before = inflate.copy()
                    yield inflate.decompress(data[at : at + CHUNK_BYTES])
                    at = min(at + CHUNK_BYTES, len(data)) - len(inflate.unused_data)
                    self._progress(at)
            except zlib.error:
                following = _next_member(data, start + 1)
                chunk = data[at : min(at + CHUNK_BYTES, following)]
                good, used = _salvage(before, chunk)
                self.lost_bytes += max(following - at, 0) - used
                start = following
                yield good
                yield None
            else:
                self.ends_early = not inflate.eof
                start = _skip_zeros(data, at)


def _head(path: Path) -> bytes:
    """Return the first bytes of *path*; raises BrokenFile where it cannot be a capture."""
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
    except OSError as error:
        raise BrokenFile(f"{path}: cannot be read ({error.strerror}); give the path of a capture") from error
    if not head:
        raise BrokenFile(f"{path}: the file is empty; leave it out, or copy the capture again")
    for magic, (name, way_out) in _OTHER_PACKINGS.items():
        if head.startswith(magic):
            raise BrokenFile(f"{path}: this is a {name} file; {way_out}; {ACCEPTED}")
    return head


def _salvage(inflate: "zlib._Decompress", chunk: bytes) -> tuple[bytes, int]:
    """Return what unpacks of a damaged *chunk* and how many of its bytes that took."""
    good = bytearray()
    for at in range(len(chunk)):
        try:
            good += inflate.decompress(chunk[at : at + 1])
        except zlib.error:
            return bytes(good), at
    return bytes(good), len(chunk)


def _next_member(data: mmap.mmap, start: int) -> int:
    """Return where the next gzip member begins, at *start* or later; the end of *data* where there is none."""
    at = data.find(_GZIP, start)
    while at >= 0:
        try:
            if zlib.decompressobj(GZIP_FORMAT).decompress(data[at : at + CHUNK_BYTES]):
                return at
        except zlib.error:
            pass
        at = data.find(_GZIP, at + 1)
    return len(data)


def _skip_zeros(data: mmap.mmap, at: int) -> int:
    """Return the first byte from *at* that is no padding."""
    while at < len(data) and data[at] == 0:
        at += 1
    return at
