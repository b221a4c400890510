"""Read what can be read of a damaged file: whole lines, also behind the damage, and how much was lost."""

import mmap
import zlib
from collections.abc import Iterator
from pathlib import Path

from mm.market_data.layout import PACKED
from mm.market_data.tail import GZIP_FORMAT

_MAGIC = b"\x1f\x8b\x08"
_CHUNK = 1 << 20


class Salvage:
    """The whole lines of one file, without their newlines.

    In a plain file what holds a zero byte (a power cut leaves stretches of them) is no line. In a gzip file a member
    that is damaged is left out whole, for no checksum vouches for any part of it; of the last one, if it is only cut
    off, the lines before the cut are used.

    Args:
        path: The file, plain or gzip; it may be missing, and then has no lines.

    Attributes:
        lost_bytes: Bytes of the file that hold no whole line; known when all lines were read.
        lost_within: Whether lines stand behind what was lost.
    """

    def __init__(self, path: Path) -> None:
        self.lost_bytes = 0
        self.lost_within = False
        self._path = path

    def __iter__(self) -> Iterator[bytes]:
        self.lost_bytes, self.lost_within = 0, False
        if not self._path.is_file() or not self._path.stat().st_size:
            return
        with self._path.open("rb") as stream:
            if self._path.suffix == PACKED:
                with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    yield from self._packed(data)
            else:
                for raw in stream:
                    yield from self._sound([raw])

    def _sound(self, raw_lines: list[bytes]) -> Iterator[bytes]:
        """Yield those of *raw_lines* that are whole, without their ends."""
        for raw in raw_lines:
            if raw.endswith(b"\n") and b"\0" not in raw:
                self.lost_within = self.lost_bytes > 0
                yield raw[:-1]
            else:
                self.lost_bytes += len(raw)

    def _packed(self, data: mmap.mmap) -> Iterator[bytes]:
        """Yield the lines of all members, from one that is whole to the next."""
        at, rest = 0, b""
        while at < len(data):
            text, end = _member(data, at)
            if end is None:
                after = data.find(_MAGIC, at + 1)
                cut_off = after < 0 and text is not None
                rest, end = b"", len(data) if after < 0 else after
                self.lost_bytes += end - at
                if cut_off and text:
                    yield from text[: text.rfind(b"\n") + 1].splitlines()
            elif text:
                *lines, rest = (rest + text).split(b"\n")
                yield from self._sound([line + b"\n" for line in lines])
            at = end
        self.lost_bytes += len(rest)


def _member(data: mmap.mmap, start: int) -> tuple[bytes | None, int | None]:
    """Return the text of the gzip member at *start* and where it ends.

    The end is None where it has none; the text is None where it is damaged, and not only cut off.
    """
    inflate, at, parts = zlib.decompressobj(GZIP_FORMAT), start, []
    try:
        while at < len(data) and not inflate.eof:
            parts.append(inflate.decompress(data[at : at + _CHUNK]))
            at += _CHUNK
    except zlib.error:
        return None, None
    text = b"".join(parts)
    return (text, min(at, len(data)) - len(inflate.unused_data)) if inflate.eof else (text, None)
