"""Messages of a combined stream whose kind is known beforehand: read in one go, name and payload together."""

from typing import Any, Generic, TypeVar

import msgspec

Payload = TypeVar("Payload")

_BEGINNING = b'{"stream":"'


class _Framed(msgspec.Struct, Generic[Payload], gc=False):
    """What frames a payload; `e` is that of a message which is framed by nothing."""

    stream: str
    data: Payload
    e: str = ""


class FramedStreams(Generic[Payload]):
    """Read messages of streams whose names have been learnt."""

    def __init__(self) -> None:
        self._decoders: dict[bytes, Any] = {}

    def learn(self, name: str, payload: type[Payload]) -> None:
        """Take notice that the stream *name* has messages of the type *payload*."""
        self._decoders[name.encode()] = msgspec.json.Decoder(_Framed[payload])  # type: ignore[valid-type]

    def read(self, body: bytes | str) -> Payload | None:
        """Return the payload; None where *body* is not plainly such a message, and must be looked at more closely."""
        if not isinstance(body, bytes) or not body.startswith(_BEGINNING):
            return None
        name = body[len(_BEGINNING) : body.find(b'"', len(_BEGINNING))]
        decoder = self._decoders.get(name)
        if decoder is None:
            return None
        try:
            framed: _Framed[Payload] = decoder.decode(body)
        except msgspec.MsgspecError:
            return None
        return framed.data if not framed.e and framed.stream.encode() == name else None
