"""The messages of several captures in the order of their arrival.

Captures that overlap, such as files of single streams, are merged by receive time; each keeps its own order.
"""

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from itertools import chain
from typing import NamedTuple

from mm.market_data.captures import CapturedMessage, CaptureLike


class Arrived(NamedTuple):
    """A message, or None at the end of a capture."""

    source: int
    line: int
    captured: CapturedMessage | None


def in_order(captures: Sequence[CaptureLike], *, overlap: bool = True) -> Iterator[Arrived]:
    """Yield messages by arrival (at equal times the first capture's), and each capture's end after its last."""
    streams = [_messages(source, capture) for source, capture in enumerate(captures)]
    if len(captures) == 1 or not overlap:
        yield from chain.from_iterable(streams)
        return
    heads = [(_us_of(first), source, first) for source, first in enumerate(map(next, streams))]
    heapify(heads)
    while heads:
        us, source, arrived = heads[0]
        yield arrived
        following = next(streams[source], None)
        if following is None:
            heappop(heads)
        else:  # a capture keeps its order, also where its clock was set back
            heapreplace(heads, (max(us, _us_of(following)), source, following))


def _messages(source: int, capture: CaptureLike) -> Iterator[Arrived]:
    for captured in capture:
        yield Arrived(source, capture.line, captured)
    yield Arrived(source, capture.line, None)


def _us_of(arrived: Arrived) -> int:
    return (arrived.captured.recv_us or 0) if arrived.captured else 0
