"""Messages with ids far from the feed: a single one may be wrong, a second one confirms it.

A connection that lost more than `FAR_IDS` ids continues far ahead, an exchange that reset its ids far back; a damaged
id looks the same. The next message, on any connection, distinguishes them. The message is held meanwhile, without
blocking others:

- another message arrives in its range: it was right, and both are passed on, each with its arrival time;
- its connection continues at the known ids: it was wrong, and is refused, so that later messages are not compared with
  it;
- nothing arrives for `DOUBT_S`: it is passed on if nothing else has arrived on any connection since its own opened;
  else it is refused, and a later message in that range still reveals the missing ids.

An exchange set up anew may give its ids again. Two messages in order with known ids, both sent `AGAIN_MS` or more after
the last new id, on a connection opened after it, show that. Far-back updates are a reset, which a book survives; trades
would be stored under the ids of others.
"""

from typing import NamedTuple

from mm.clock import exchange_ms
from mm.ids import went_back
from mm.markets.messages import AggTrade, DepthUpdate, TradePrint

FAR_IDS = 1_000
DOUBT_S = 0.5
AGAIN_MS = 1_000

Sequenced = DepthUpdate | TradePrint | AggTrade
"""A message with sequence ids."""


def ids_of(message: Sequenced) -> tuple[int, int]:
    if isinstance(message, DepthUpdate):
        return message.U, message.u
    number = message.t if isinstance(message, TradePrint) else message.a
    return number, number


def is_far(known_id: int | None, first_id: int, last_id: int) -> bool:
    return known_id is not None and (first_id - known_id > FAR_IDS or went_back(known_id, last_id))


class Doubted(NamedTuple):
    """A message whose ids are far from the feed's."""

    recv_us: int
    conn: int | None
    message: Sequenced
    raw: bytes
    until_s: float
    first: bool


class Settled(NamedTuple):
    right: tuple[Doubted, ...] = ()
    wrong: tuple[Doubted, ...] = ()
    held: bool = False
    again: bool = False


_NOTHING = Settled()


class Doubts:
    def __init__(self) -> None:
        self.held: Doubted | None = None
        self._refused_id: int | None = None
        self._opened_at: dict[int | None, tuple[int | None, int]] = {}
        self._again: tuple[int | None, int] | None = None  # connection and last id of the first message of known ids

    def opened(self, conn: int, known_id: int | None, sent_ms: int) -> None:
        self._opened_at[conn] = known_id, sent_ms

    def forget(self) -> None:
        self.held = self._refused_id = self._again = None
        self._opened_at = dict.fromkeys(self._opened_at, (None, 0))

    def closed(self, conn: int) -> Settled:
        self._opened_at.pop(conn, None)
        return self._give_up() if self.held and self.held.conn == conn else _NOTHING

    def take(
        self, recv_us: int, message: Sequenced, conn: int | None, now_s: float, raw: bytes, known_id: int | None
    ) -> Settled:
        held, (first_id, last_id) = self.held, ids_of(message)
        far = is_far(known_id, first_id, last_id)
        if not (far and isinstance(message, DepthUpdate)) and self._is_known(message, last_id, conn, known_id):
            again = self._again is not None and self._again[0] == conn and self._again[1] < last_id
            self._again = conn, last_id
            refused = Doubted(recv_us, conn, message, raw, now_s, first=True)
            return Settled(wrong=(refused,), held=True, again=again)
        if not far:
            if held is None or held.conn != conn:
                self.held = held and held._replace(first=False)
                return _NOTHING
            self.held = self._refused_id = None
            return Settled(wrong=(held,))
        reached = ids_of(held.message)[1] if held else self._refused_id
        near = reached is not None and min(abs(first_id - reached), abs(last_id - reached)) <= FAR_IDS
        again = held is not None and held.conn == conn and last_id == reached
        if near and not again:
            self.held = self._refused_id = None
            return Settled(right=(held,) if held else ())
        first = conn in self._opened_at and self._opened_at[conn][0] == known_id
        self.held = Doubted(recv_us, conn, message, raw, now_s + DOUBT_S, first)
        return Settled(wrong=(held,) if held else (), held=True)

    def overdue(self, now_s: float) -> Settled:
        return self._give_up() if self.held and self.held.until_s <= now_s else _NOTHING

    def rest(self) -> Settled:
        return self._give_up() if self.held else _NOTHING

    def _is_known(self, message: Sequenced, last_id: int, conn: int | None, known_id: int | None) -> bool:
        opened_id, sent_ms = self._opened_at.get(conn, (None, 0))
        known = known_id is not None and last_id <= known_id == opened_id
        return known and exchange_ms(message.E) >= sent_ms + AGAIN_MS

    def _give_up(self) -> Settled:
        held, self.held = self.held, None
        if held is None or held.first:
            return Settled(right=(held,) if held else ())
        self._refused_id = ids_of(held.message)[1]
        return Settled(wrong=(held,))
