"""Messages of a combined stream whose kind is known beforehand: read in one go, name and payload together."""

from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Raw, Struct

from mm.market_data import kernel

Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A whole number of 64 bits that is not negative."""

Payload = TypeVar("Payload")

_BEGINNING = b'{"stream":"'


class _Framed(Struct, Generic[Payload], gc=False):
    """What frames a payload; `e` is that of a message which is framed by nothing."""

    stream: str
    data: Payload
    e: str = ""


class PackedDepth(Struct, gc=False):
    """A ``depthUpdate`` whose levels are left to the kernel."""

    E: int
    s: str
    U: Number
    u: Number
    b: Raw
    a: Raw
    pu: int | None = None

    def levels(self) -> tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]]] | None:
        """Return bids and asks, checked, as the kernel keeps them; None where one is not as the exchange writes it."""
        bids, asks = kernel.levels.read_levels(self.b), kernel.levels.read_levels(self.a)
        return None if bids is None or asks is None else (bids, asks)


class FramedStreams(Generic[Payload]):
    """Read messages of streams whose names have been learnt."""

    def __init__(self) -> None:
        self._decoders: dict[bytes, tuple[str, Any]] = {}

    def learn(self, name: str, payload: type[Payload]) -> None:
        """Take notice that the stream *name* has messages of the type *payload*."""
        self._decoders[name.encode()] = name, msgspec.json.Decoder(_Framed[payload])  # type: ignore[valid-type]

    def read(self, body: bytes | str) -> Payload | None:
        """Return the payload; None where *body* is not plainly such a message, and must be looked at more closely."""
        if not isinstance(body, bytes) or not body.startswith(_BEGINNING):
            return None
        known = self._decoders.get(body[len(_BEGINNING) : body.find(b'"', len(_BEGINNING))])
        if known is None:
            return None
        name, decoder = known
        try:
            framed: _Framed[Payload] = decoder.decode(body)
        except msgspec.MsgspecError:
            return None
        return framed.data if not framed.e and framed.stream == name else None
