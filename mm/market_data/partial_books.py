"""Streams that repeat the best 5, 10 or 20 levels (``@depth20``), told from changes and used as changes.

On USD-M they have the event and ids of changes, on Spot the form of a REST response; only combined streams and
connection addresses name them. Otherwise they are recognised because each lists equally many levels a side and removes
none.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Raw, Struct

from mm.clock import US_PER_MS
from mm.markets.grid import Grid
from mm.markets.local_orderbook import Level
from mm.markets.messages import BookFrame, DepthSnapshot, DepthUpdate

DEPTHS = (5, 10, 20)
"""Levels a side that such streams have."""
ENOUGH_UPDATES, ENOUGH_ANSWERS = 5, 3
"""Messages of a shape from which on it is no chance; nobody asks by REST for so few levels again and again."""
MOST_LINES, MOST_UPDATES = 5_000, 200
"""What is read of a capture to know what it contains."""
_SHARE = 0.2
_STREAM = re.compile(r"([^@/=?]+)@depth(5|10|20)?(?=[@/&]|$)")


class Peeked(Struct, gc=False):
    stream: str = ""
    data: Raw = Raw(b"")
    e: str = ""
    s: str = ""
    b: list[Level] | None = None
    a: list[Level] | None = None
    lastUpdateId: int | None = None
    bids: list[Level] | None = None
    asks: list[Level] | None = None


_PEEKED = msgspec.json.Decoder(Peeked)


@dataclass
class BookContent:
    levels: int = 0
    bare_updates: bool = False
    bare_answers: bool = False
    changes: bool = False
    mixed: bool = False


def content_of(symbol: str, packets: Iterable[tuple[str, bytes | str]]) -> BookContent:
    found, named = BookContent(), set[int]()
    updates, answers = list[int](), list[int]()
    for url, body in packets:
        if not body:
            named |= {int(depth or 0) for name, depth in _STREAM.findall(url) if name.upper() == symbol}
            continue
        if url:
            continue
        try:
            message = _PEEKED.decode(body)
        except msgspec.MsgspecError:
            continue
        if stream := _STREAM.match(message.stream):
            if stream[1].upper() == symbol:
                found.levels = int(stream[2] or found.levels)
                found.changes |= stream[2] is None
        elif message.e == "depthUpdate" and message.s == symbol:
            updates.append(_depth(message.b, message.a))
        elif message.lastUpdateId is not None:
            answers.append(_depth(message.bids, message.asks))
        if len(updates) >= MOST_UPDATES:
            break
    _judge(found, named, updates, answers)
    return found


def _judge(found: BookContent, named: set[int], updates: Sequence[int], answers: Sequence[int]) -> None:
    depth, shaped = max(named | {0}), [one for one in updates if one]
    repeated = [one for one in answers if one]
    alike = len(shaped) >= ENOUGH_UPDATES
    if len(repeated) >= (1 if depth else ENOUGH_ANSWERS):
        found.levels, found.bare_answers = max(repeated), True
        found.changes |= bool(updates)
    elif updates and depth and 0 not in named:
        found.levels, found.bare_updates = depth, True
    elif alike and len(shaped) == len(updates) and not named:
        found.levels, found.bare_updates = max(shaped), True
    elif updates:
        found.changes = True
        found.mixed = bool(depth) or (alike and len(shaped) >= _SHARE * len(updates))


def _depth(bids: Sequence[Level] | None, asks: Sequence[Level] | None) -> int:
    if not bids or not asks or len(bids) != len(asks) or len(bids) not in DEPTHS:
        return 0
    return len(bids) if all(level[1].strip("0.") for level in (*bids, *asks)) else 0


class PartialBooks:
    """Turns one symbol's partial books into a snapshot and changes with ids of their own."""

    def __init__(self, symbol: str, grid: Grid) -> None:
        self._symbol, self._grid = symbol, grid
        self._id = 1
        self._sides: list[Mapping[int, Level]] | None = None

    def convert(self, recv_us: int, frame: BookFrame) -> Iterator[DepthSnapshot | DepthUpdate]:
        before, grid = self._sides, self._grid
        self._sides = [{grid.price(price): (price, qty) for price, qty in side} for side in (frame.bids, frame.asks)]
        if before is None:
            self._id += 1
            yield DepthSnapshot(self._id, [*frame.bids], [*frame.asks], symbol=self._symbol)
            before = self._sides  # a message without levels follows, so that the day has a frame of the book
        bids, asks = (difference(old, new) for old, new in zip(before, self._sides, strict=True))
        self._id += 1
        at_ms = frame.E or recv_us // US_PER_MS
        yield DepthUpdate(
            at_ms, self._symbol, self._id, self._id, bids, asks, self._id - 1 if frame.T else None, frame.T
        )

    def lose(self) -> bool:
        """Return whether there was a book."""
        had_one, self._sides = self._sides is not None, None
        self._id += had_one
        return had_one


def difference(before: Mapping[int, Level], after: Mapping[int, Level]) -> list[Level]:
    gone = [(price, "0") for key, (price, _) in before.items() if key not in after]
    return gone + [level for key, level in after.items() if before.get(key) != level]
