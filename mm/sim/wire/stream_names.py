"""The names of streams: what a name asks for, which names the exchange has, and which are none at all."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from mm.errors import UsageError

MS_SLOW, MS_FAST = 1_000, 100
_SERVED = re.compile(
    r"(?P<symbol>[\w-]+)@(?:(?P<kind>trade|aggTrade|bookTicker)|depth(?P<levels>5|10|20)?(?P<fast>@100ms)?)"
)
# What else the exchange streams: a connection may ask for it, and hears nothing of it here.
_KLINES = r"kline_(?:1s|1m|3m|5m|15m|30m|1h|2h|4h|6h|8h|12h|1d|3d|1w|1M)(?:@[+-]\d\d:\d\d)?"
_SILENT = re.compile(
    rf"[\w-]+@(?:{_KLINES}|miniTicker|ticker(?:_(?:1h|4h|1d))?|avgPrice|referencePrice|blockTrade)"
    r"|!(?:miniTicker|ticker|ticker_(?:1h|4h|1d))@arr"
)
_COMBINED_PATH, _RAW_PATH = "/stream", "/ws"
API_PATH = "/ws-api/v3"


class BadTimeUnit(UsageError):
    """A client asks for stamps in a unit that the exchange does not know."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What a stream's name asks for.

    Attributes:
        name: As the client wrote it, and as events that are wrapped say it.
        symbol: Lower case.
        kind: ``depth partial trade aggTrade bookTicker``, or ``silent``: one that is not served here.
        interval_ms: Between two events of ``depth`` and ``partial``; 0 for the others.
        levels: Of a side of ``partial``; 0 for the others.
    """

    name: str
    symbol: str
    kind: str
    interval_ms: int = 0
    levels: int = 0


@dataclass(frozen=True, slots=True)
class Opening:
    """What the address of a stream connection asks for.

    Attributes:
        streams: To begin with, in order, each once; unknown names are left out, as the exchange does.
        combined: Whether events are wrapped with their stream's name.
        micro: Whether stamps are µs, not ms.
    """

    streams: tuple[Stream, ...]
    combined: bool
    micro: bool


def read_stream(name: str) -> Stream | None:
    """Return what *name* asks for; None where the exchange has no such stream."""
    found = _SERVED.fullmatch(name)
    if found is None:
        return Stream(name, "", "silent") if _SILENT.fullmatch(name) else None
    if found["kind"]:
        return Stream(name, found["symbol"], found["kind"])
    interval_ms = MS_FAST if found["fast"] else MS_SLOW
    return Stream(
        name, found["symbol"], "partial" if found["levels"] else "depth", interval_ms, int(found["levels"] or 0)
    )


def read_opening(path: str, query: str) -> Opening | None:
    """Return what a connection to *path* and *query*, both as they came, begins with; None where nothing is there.

    Raises:
        BadTimeUnit: If the query asks for another unit than milliseconds and microseconds.
    """
    asked = parse_qs(query)
    head, slash, rest = unquote(path).removesuffix("/")[1:].partition("/")
    if f"/{head}" == _COMBINED_PATH and not slash:
        names = [name for part in asked.get("streams", []) for name in part.split("/")]
        return Opening(_known(names), True, is_micro(asked))
    if f"/{head}" == _RAW_PATH:
        return Opening(_known(rest.split("/")), False, is_micro(asked))
    return None


def is_micro(asked: dict[str, list[str]]) -> bool:
    """Return whether the parameters of an address ask for stamps in µs; raises BadTimeUnit for unknown units."""
    unit = asked.get("timeUnit", ["MILLISECOND"])[-1]
    if unit.upper() not in ("MILLISECOND", "MICROSECOND"):
        raise BadTimeUnit(f"timeUnit was {unit!r}: it must be MILLISECOND or MICROSECOND")
    return unit.upper() == "MICROSECOND"


def _known(names: list[str]) -> tuple[Stream, ...]:
    found = {name: stream for name in names if (stream := read_stream(name))}
    return tuple(found.values())
