"""Messages of several connections in, the messages of one perfect connection out: no input or output, no clock.

Two connections cut the same ids into batches of their own, each loses what it loses, and each comes as late as it
comes. What another connection has wholly covered is left out; a batch that only overlaps is let through, because
quantities are absolute. One that does not follow on what went before waits for the missing ids: until another
connection brings them, until all others have passed them, or until it has waited long enough. Then it goes through, and
the ids then show the gap.

A connection that is alone is trusted as it is: its messages, also stale ones, go through untouched.
"""

from bisect import insort
from typing import Generic, NamedTuple, TypeVar

from mm.ids import Follow, follow, went_back
from mm.market_data.messages import AggTrade, DepthUpdate, TradePrint

HOLD_S = 1.0
MOST_HELD = 20_000

Item = TypeVar("Item")


class _Held(NamedTuple, Generic[Item]):
    """A message that waits for ids before it; *number* orders equal ones."""

    first_id: int
    last_id: int
    number: int
    until_s: float
    item: Item


class Lane(Generic[Item]):
    """One sequence of ids (the updates of a book, or trades) over the connections that are open.

    Args:
        hold_s: How long, in s, a message may wait for ids that are missing before it.

    Attributes:
        last_id: Last id that went through; None before the first.
        alone: The connection that may pass by: `note` is enough for its messages; None where there is no such one.
    """

    def __init__(self, hold_s: float = HOLD_S) -> None:
        self.last_id: int | None = None
        self.alone: int | None = None
        self._hold_s = hold_s
        self._passed: dict[int, int | None] = {}
        self._behind_reset: set[int] = set()
        self._held: list[_Held[Item]] = []
        self._count = 0

    def opened(self, conn: int) -> None:
        """Connection *conn* is open, and what it brings counts."""
        if self.alone is not None:
            self._passed[self.alone] = self.last_id
        self.alone = None if self._passed else conn
        self._passed[conn] = None

    def closed(self, conn: int) -> list[Item]:
        """Return what need not wait any longer now that connection *conn* has ended."""
        self._passed.pop(conn, None)
        self._behind_reset.discard(conn)
        if self.alone == conn:
            self.alone = None
        return self._released()

    def joined(self, conn: int) -> bool:
        """Return True if a message of *conn* has gone through, or would have if it had been the first."""
        if conn == self.alone:
            return True
        passed = self._passed.get(conn)
        return passed is not None and self.last_id is not None and passed <= self.last_id

    def note(self, last_id: int) -> bool:
        """Move on to the last id of a message of the connection that is alone; return False where it is not new."""
        new = follow(self.last_id, last_id, last_id) is not Follow.STALE
        if new:
            self.last_id = last_id
        return new

    def take(self, conn: int, first_id: int, last_id: int, item: Item, now_s: float) -> list[Item]:
        """Return the messages that go through now that *item*, the ids *first_id* to *last_id*, came over *conn*.

        Args:
            conn: Where it came from; must be open.
            first_id: Its first id.
            last_id: Its last id.
            item: Stands for the message.
            now_s: The instant, in s of a monotonic clock.
        """
        known, passed = self.last_id, self._passed.get(conn)
        if conn in self._behind_reset and passed is not None and went_back(passed, last_id):
            self._behind_reset.discard(conn)
            passed = None
        found = follow(known, first_id, last_id)
        if found is Follow.RESET and (passed is None or went_back(passed, last_id)):  # else it only lags
            return self._reset(conn, last_id, item)
        self._passed[conn] = last_id if passed is None else max(passed, last_id)
        if conn in self._behind_reset or found in (Follow.STALE, Follow.RESET):
            return []
        if found is Follow.GAP:
            self._count += 1
            insort(self._held, _Held(first_id, last_id, self._count, now_s + self._hold_s, item))
            return self._released()
        if len(self._passed) == 1 and not self._held and found is Follow.CONTINUES:
            self.alone = conn
        self.last_id = last_id
        return [item, *self._released()]

    def overdue(self, now_s: float) -> list[Item]:
        """Return what has waited long enough."""
        late = [held.first_id for held in self._held if held.until_s <= now_s]
        return self._released(max(late)) if late else []

    def rest(self) -> list[Item]:
        """Return all that waits: nothing more will come."""
        return self._released(self._held[-1].first_id) if self._held else []

    def _reset(self, conn: int, last_id: int, item: Item) -> list[Item]:
        """Let *item* through, and leave out what other connections still say in the old ids."""
        before = self.rest()
        self._behind_reset = {other for other, passed in self._passed.items() if other != conn and passed is not None}
        self.last_id = self._passed[conn] = last_id
        return [*before, item]

    def _released(self, up_to: int = -1) -> list[Item]:
        """Take out what goes through, in order: what follows on, what cannot be filled, and all up to id *up_to*."""
        out: list[Item] = []
        while self._held:
            held, known = self._held[0], self.last_id or 0
            found = follow(known, held.first_id, held.last_id)
            follows, covered = found is not Follow.GAP, held.last_id <= known
            if not (follows or held.first_id <= up_to or len(self._held) > MOST_HELD or self._all_passed(held)):
                break
            del self._held[0]
            if not covered:
                self.last_id = held.last_id
                out.append(held.item)
            if not follows:
                self._behind_reset.clear()
        return out

    def _all_passed(self, held: _Held[Item]) -> bool:
        """Return True if no connection can bring the ids before *held* any more."""
        reached = held.first_id - 1
        return all(
            passed is not None and passed >= reached
            for conn, passed in self._passed.items()
            if conn not in self._behind_reset
        )


Sequenced = DepthUpdate | TradePrint | AggTrade
"""What has ids."""

Passing = list[tuple[int, Sequenced]]
"""Messages that go through, each with its arrival in µs."""


class Arbiter:
    """Updates and trades, each in a lane of its own, with the time of their arrival."""

    def __init__(self) -> None:
        self._updates: Lane[tuple[int, Sequenced]] = Lane()
        self._trades: Lane[tuple[int, Sequenced]] = Lane()
        self._open: set[int] = set()

    def opened(self, conn: int) -> None:
        """Connection *conn* is open."""
        self._open.add(conn)
        self._updates.opened(conn)
        self._trades.opened(conn)

    def closed(self, conn: int) -> Passing:
        """Return what goes through now that *conn* has ended; `open` says whether any other is left."""
        self._open.discard(conn)
        return [*self._updates.closed(conn), *self._trades.closed(conn)]

    @property
    def open(self) -> bool:
        """Whether any connection is open."""
        return bool(self._open)

    @property
    def last_trade_id(self) -> int | None:
        """Last id of the trades that went through; None before the first."""
        return self._trades.last_id

    def joined(self, conn: int) -> bool:
        """Return True if *conn* has brought an update that follows on those of the others."""
        return self._updates.joined(conn)

    def alone(self, conn: int | None, message: Sequenced) -> bool | None:
        """Let *message* through untouched, if *conn* is the only connection (None: there never was but one).

        Returns:
            Whether the feed has come to new ids; None where *conn* is not the only one, and `take` decides.
        """
        if isinstance(message, DepthUpdate):
            lane, last_id = self._updates, message.u
        else:
            lane, last_id = self._trades, message.t if isinstance(message, TradePrint) else message.a
        return lane.note(last_id) if lane.alone == conn else None

    def take(self, recv_us: int, conn: int, message: Sequenced, now_s: float) -> Passing:
        """Return what goes through now that *message* came over *conn*; each of them has new ids."""
        if isinstance(message, DepthUpdate):
            return self._updates.take(conn, message.U, message.u, (recv_us, message), now_s)
        number = message.t if isinstance(message, TradePrint) else message.a
        return self._trades.take(conn, number, number, (recv_us, message), now_s)

    def overdue(self, now_s: float) -> Passing:
        """Return what has waited long enough."""
        return [*self._updates.overdue(now_s), *self._trades.overdue(now_s)]

    def rest(self) -> Passing:
        """Return all that waits: nothing more will come."""
        return [*self._updates.rest(), *self._trades.rest()]
