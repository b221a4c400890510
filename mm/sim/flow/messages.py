"""What the exchange sends of an order log: a depth message every 100 ms where the book changed, and every trade."""

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mm.sim.flow._day_rows import Batches
from mm.sim.flow.session import STEP_US, Session
from mm.sim.matching.order_log import COLUMNS, ROW_LEVEL

if TYPE_CHECKING:
    from mm.sim.flow._day_rows import Ints

SENT_US, FIRST_ID, LAST_ID, SIDE = range(4)
"""The first columns of the messages of `Arrived`."""

_KIND = COLUMNS.index("kind")
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


class Arrived(NamedTuple):
    """Messages as columns, in the order of sending, which is that of arrival.

    Attributes:
        messages: int64[n, 6] of `sent_us, first_id, last_id, side, ticks, lots`. A trade has its id twice. A depth
            message has side 0, and then the row of *levels* where its own begin, and the one behind its last.
        levels: int64[m, 3] of side, ticks and lots.
        recv_us: When each message arrived.
    """

    messages: "Ints"
    levels: "Ints"
    recv_us: "Ints"


class Messages:
    """Turn a session's order log, piece by piece, into the messages of one connection.

    A depth message stands before the trades of its own instant. A message arrives 2 ms and an exponential jitter after
    it was sent, never before another one.
    """

    def __init__(self, session: Session) -> None:
        self._batches = Batches(session.open_us, STEP_US)
        self._jitter = session.random("latency")
        self._last_us = 0

    def arrived(self, rows: "Ints") -> Arrived:
        """Return what is sent of *rows*, which end where a depth message does.

        Raises:
            ValueError: If time falls, or the rows before these ended within the 100 ms of a message.
        """
        messages, levels = self._batches.of(rows)
        return Arrived(messages, levels, self._received(messages[:, SENT_US]))

    def of(self, rows: "Ints") -> Iterator[Depth | Print]:
        """Yield what `arrived` returns, one by one."""
        messages, levels, recv_us = self.arrived(rows)
        every_level = list(map(tuple, levels.tolist()))
        for (sent, first_id, last_id, side, ticks, lots), received in zip(
            messages.tolist(), recv_us.tolist(), strict=True
        ):
            if side:
                yield Print(sent, received, first_id, side, ticks, lots)
            else:
                yield Depth(sent, received, first_id, last_id, every_level[ticks:lots])

    def _received(self, sent_us: "Ints") -> "Ints":
        jitter_us = np.minimum(self._jitter.exponential(_MEAN_JITTER_US, len(sent_us)), _MOST_JITTER_US)
        received = np.maximum.accumulate(np.append(self._last_us, sent_us + _LATENCY_US + jitter_us.astype(np.int64)))
        self._last_us = int(received[-1])
        late: Ints = received[1:]
        return late


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
