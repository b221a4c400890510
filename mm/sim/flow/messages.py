"""What the exchange sends of an order log: a depth message every 100 ms where the book changed, and every trade."""

from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mm.sim.flow.session import STEP_US, Session
from mm.sim.matching.order_log import COLUMNS, ROW_LEVEL, ROW_TRADE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

_US, _KIND, _SIDE, _TICKS, _LOTS, _TRADE_ID, _UPDATE_ID = (
    COLUMNS.index(name) for name in ("us", "kind", "side", "ticks", "lots", "trade_id", "update_id")
)
_LATENCY_US, _MEAN_JITTER_US, _MOST_JITTER_US = 2_000, 1_000, 6_000


class Depth(NamedTuple):
    """A depth message: update ids *first_id* to *last_id*, and (side, ticks, lots) of each level they changed.

    Bids stand before asks, the best first.
    """

    sent_us: int
    recv_us: int
    first_id: int
    last_id: int
    levels: list[tuple[int, int, int]]


class Print(NamedTuple):
    """A trade message; *side* is the aggressor's."""

    sent_us: int
    recv_us: int
    trade_id: int
    side: int
    ticks: int
    lots: int


class Messages:
    """Turn a session's order log, piece by piece, into the messages of one connection.

    A message arrives 2 ms and an exponential jitter after it was sent, never before another one.
    """

    def __init__(self, session: Session) -> None:
        self._open_us = session.open_us
        self._jitter = session.random("latency")
        self._last_us = 0

    def of(self, rows: "Ints") -> Iterator[Depth | Print]:
        """Yield what is sent of *rows*, which end where a depth message does, in the order of sending."""
        changes, trades = rows[rows[:, _KIND] == ROW_LEVEL], rows[rows[:, _KIND] == ROW_TRADE]
        step = -((self._open_us - changes[:, _US]) // STEP_US)
        starts = np.flatnonzero(np.diff(step, prepend=-1))
        sent_us = np.concatenate([self._open_us + step[starts] * STEP_US, trades[:, _US]])
        order = np.argsort(sent_us, kind="stable")
        recv_us = self._received(sent_us[order])
        depths = self._depths(changes, step, starts)
        prints = iter(trades[:, (_TRADE_ID, _SIDE, _TICKS, _LOTS)].tolist())
        for place, sent, received in zip(order.tolist(), sent_us[order].tolist(), recv_us, strict=True):
            if place < len(starts):
                yield Depth(sent, received, *next(depths))
            else:
                yield Print(sent, received, *next(prints))

    def _received(self, sent_us: "Ints") -> list[int]:
        jitter_us = np.minimum(self._jitter.exponential(_MEAN_JITTER_US, len(sent_us)), _MOST_JITTER_US)
        received = np.maximum.accumulate(np.append(self._last_us, sent_us + _LATENCY_US + jitter_us.astype(np.int64)))
        self._last_us = int(received[-1])
        late: list[int] = received[1:].tolist()
        return late

    def _depths(
        self, changes: "Ints", step: "Ints", starts: "Ints"
    ) -> Iterator[tuple[int, int, list[tuple[int, int, int]]]]:
        """Yield ids and levels of each depth message: what its levels show when it is sent."""
        first_id = changes[starts, _UPDATE_ID].tolist()
        last_id = changes[np.append(starts[1:], len(changes)) - 1, _UPDATE_ID].tolist()
        place = -changes[:, _SIDE] * changes[:, _TICKS]  # rises from best to worst
        order = np.lexsort((place, -changes[:, _SIDE], step))
        step, place = step[order], place[order]
        last = np.append((step[1:] != step[:-1]) | (place[1:] != place[:-1]), True)[: len(order)]
        kept = order[last]
        levels = list(map(tuple, changes[kept][:, (_SIDE, _TICKS, _LOTS)].tolist()))
        bounds = np.append(np.flatnonzero(np.diff(step[last], prepend=-1)), len(kept)).tolist()
        for first, upto, (begin, end) in zip(first_id, last_id, pairwise(bounds), strict=True):
            yield first, upto, levels[begin:end]


class BookAt:
    """The exchange's book at any instant, from its order log."""

    def __init__(self) -> None:
        self.update_id = 0
        self._levels: dict[int, dict[int, int]] = {1: {}, -1: {}}
        self._changes: deque[list[int]] = deque()

    def feed(self, rows: "Ints") -> None:
        """Take what happened next."""
        self._changes.extend(rows[rows[:, _KIND] == ROW_LEVEL].tolist())

    def depth(self, us: int) -> dict[int, list[tuple[int, int]]]:
        """Return ticks and lots of each side, best first, as of *us*, which never falls."""
        while self._changes and self._changes[0][0] <= us:
            _, _, _, _, _, side, ticks, lots, _, self.update_id = self._changes.popleft()
            self._levels[side][ticks] = lots
            if not lots:
                del self._levels[side][ticks]
        return {side: sorted(levels.items(), reverse=side > 0) for side, levels in self._levels.items()}
