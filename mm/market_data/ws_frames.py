"""Frames of a WebSocket connection: splits the bytes of a server into frames, and builds a client's text frame."""

import os
from collections.abc import Iterator

from websockets import frames

_TEXT, _BINARY, _CONTINUATION = 1, 2, 0
_FINAL, _MASKED = 0x80, 0x80
_WHOLE = (_FINAL | _TEXT, _FINAL | _BINARY)
_TWO_BYTES, _EIGHT_BYTES = 126, 127
_MASKS_AT_A_TIME = 256

Piece = tuple[bool, bytes]
"""True and the payload of a complete message, or False and a complete frame of another kind."""


class FrameCutter:
    """Splits data of a server into frames; an incomplete frame waits for its end.

    Args:
        most_bytes: Maximum length of a frame; a longer one, and all data after it, is passed to the library unsplit.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._rest = bytearray()
        self._needed = 0
        self._in_fragments = self._uncut = False

    def cut(self, data: bytes) -> list[Piece]:
        """Return the frames that are complete with *data*, in order."""
        if self._uncut:
            return [(False, data)]
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return []
            data = bytes(self._rest)
            self._rest.clear()
        pieces: list[Piece] = []
        at, size = self._usual(data, pieces), len(data)
        while at < size:
            begin, end = self._bounds(data, at, size)
            if end > size:
                self._rest += data[at:]
                self._needed = end - at
                break
            if data[at] in _WHOLE and data[at + 1] < _MASKED and not self._in_fragments and not self._uncut:
                pieces.append((True, data[begin:end]))
            else:
                pieces.append((False, data[at:end]))
                self._note(data[at])
            at = end
        return pieces

    def _usual(self, data: bytes, pieces: list[Piece]) -> int:
        """Split off the messages of usual length at the start of *data*, the fast path; return their end.

        They are complete, of 126 to 65,535 bytes: two bytes of header, and two of length.
        """
        at, size = 0, len(data)
        while size - at > 4 and data[at + 1] == _TWO_BYTES and data[at] in _WHOLE and not self._in_fragments:
            end = at + 4 + (data[at + 2] << 8 | data[at + 3])
            if end > size or end - at - 4 > self._most_bytes:
                break
            pieces.append((True, data[at + 4 : end]))
            at = end
        return at

    def _bounds(self, data: bytes, at: int, size: int) -> tuple[int, int]:
        """Return the start and the end of the payload of the frame at *at*, as far as its header is complete."""
        if size - at < 2:
            return size, at + 2
        length, begin = data[at + 1] & ~_MASKED, at + 2
        if length >= _TWO_BYTES:
            begin = at + (4 if length == _TWO_BYTES else 10)
            if size < begin:
                return size, begin
            length = int.from_bytes(data[at + 2 : begin])
        if length > self._most_bytes or data[at + 1] >= _MASKED:
            self._uncut = True
            return begin, size
        return begin, begin + length

    def _note(self, first: int) -> None:
        """Record fragments: until the last one arrives, all frames are passed to the library."""
        kind = first & 0x0F
        if kind in (_TEXT, _BINARY):
            self._in_fragments = not first & _FINAL
        elif kind == _CONTINUATION and first & _FINAL:
            self._in_fragments = False


def text_frame(text: bytes, mask: bytes) -> bytes:
    """Return a text message as a single client frame (RFC 6455, 5.2); *mask* has four bytes."""
    size = len(text)
    if size < _TWO_BYTES:
        length = bytes((_MASKED | size,))
    elif size < 1 << 16:
        length = bytes((_MASKED | _TWO_BYTES,)) + size.to_bytes(2)
    else:
        length = bytes((_MASKED | _EIGHT_BYTES,)) + size.to_bytes(8)
    return b"\x81" + length + mask + frames.apply_mask(text, mask)  # type: ignore[attr-defined] # compiled, if available


def fresh_masks() -> Iterator[bytes]:
    """Yield unpredictable masks, fetched many at a time."""
    while True:
        drawn = os.urandom(4 * _MASKS_AT_A_TIME)
        for at in range(0, len(drawn), 4):
            yield drawn[at : at + 4]
