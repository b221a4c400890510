"""Messages whose ids are far ahead of the feed: one of them may be wrong, a second one there shows that it is right.

A connection that has lost more than `FAR_IDS` ids goes on far ahead, and so does a message whose id is damaged. Which
of both it is the next message shows, over whichever connection. Until then it is held, and nothing else is held up:

- another one comes there: the first was right, and both go through, each with the time of its arrival;
- its connection goes on at the lower ids: it was wrong, and is refused, as nothing that follows may be measured by it;
- nothing comes for `DOUBT_S`: where nobody could contradict it, because its connection is the only one and has brought
  nothing else, it goes through; else it is refused, and a later one there still shows that the ids between are missing.
"""

from typing import NamedTuple

from mm.market_data.venue import AggTrade, DepthUpdate, TradePrint

FAR_IDS = 1_000
DOUBT_S = 0.5

Sequenced = DepthUpdate | TradePrint | AggTrade
"""What has ids."""


def ids_of(message: Sequenced) -> tuple[int, int]:
    """Return the first and the last id of a message."""
    if isinstance(message, DepthUpdate):
        return message.U, message.u
    number = message.t if isinstance(message, TradePrint) else message.a
    return number, number


class Doubted(NamedTuple):
    """A message far ahead.

    Attributes:
        recv_us: Its arrival.
        conn: Where it came from; None where there is only one source.
        message: What it is.
        raw: As it came.
        until_s: How long it is held, in s of a monotonic clock.
        first: Whether its connection has brought nothing else, and is the only one.
    """

    recv_us: int
    conn: int | None
    message: Sequenced
    raw: bytes
    until_s: float
    first: bool


class Settled(NamedTuple):
    """What is known of messages now.

    Attributes:
        right: Go through, in this order.
        wrong: Are refused.
        held: Whether the message that was taken is in doubt itself.
    """

    right: tuple[Doubted, ...] = ()
    wrong: tuple[Doubted, ...] = ()
    held: bool = False


_NOTHING = Settled()


class Doubts:
    """The message in doubt of one sequence of ids.

    Attributes:
        held: The message, while it is held; None where there is none.
    """

    def __init__(self) -> None:
        self.held: Doubted | None = None
        self._refused_id: int | None = None
        self._opened_at: dict[int, int | None] = {}

    def opened(self, conn: int, known_id: int | None) -> None:
        """Connection *conn* is open, while the feed has come to *known_id*."""
        self._opened_at[conn] = known_id

    def closed(self, conn: int) -> Settled:
        """Settle what *conn* has brought: it brings nothing more."""
        self._opened_at.pop(conn, None)
        return self._give_up() if self.held and self.held.conn == conn else _NOTHING

    def take(
        self, recv_us: int, message: Sequenced, conn: int | None, now_s: float, raw: bytes, known_id: int | None
    ) -> Settled:
        """Take a message of a feed that has come to *known_id*, and return what it settles."""
        held, (first_id, last_id) = self.held, ids_of(message)
        if known_id is None or first_id - known_id <= FAR_IDS:
            if held is None or held.conn != conn:
                return _NOTHING
            self.held = self._refused_id = None
            return Settled(wrong=(held,))
        reached = ids_of(held.message)[1] if held else self._refused_id
        near = reached is not None and min(abs(first_id - reached), abs(last_id - reached)) <= FAR_IDS
        again = held is not None and held.conn == conn and last_id == reached
        if near and not again:
            self.held = self._refused_id = None
            return Settled(right=(held,) if held else ())
        first = conn is not None and self._opened_at == {conn: known_id}
        self.held = Doubted(recv_us, conn, message, raw, now_s + DOUBT_S, first)
        return Settled(wrong=(held,) if held else (), held=True)

    def overdue(self, now_s: float) -> Settled:
        """Settle what was held long enough."""
        return self._give_up() if self.held and self.held.until_s <= now_s else _NOTHING

    def rest(self) -> Settled:
        """Settle what is in doubt: nothing more will come."""
        return self._give_up() if self.held else _NOTHING

    def _give_up(self) -> Settled:
        """Settle it although nothing has shown what it is."""
        held, self.held = self.held, None
        if held is None or held.first:
            return Settled(right=(held,) if held else ())
        self._refused_id = ids_of(held.message)[1]
        return Settled(wrong=(held,))
