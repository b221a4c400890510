"""Trades that the stream did not bring, by REST: what to request next, and what the answers hold; no input or output.

Single trades come from ``historicalTrades``; a host for market data alone does not serve it, and then ``aggTrades`` has
the same in one row for the trades of one order at one price, with the ids of the first and the last of them.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from mm.clock import US_PER_MS, US_PER_S, checked_stamp
from mm.dayfolder.rows import REST, Trade
from mm.errors import BrokenFile, OffGrid
from mm.ids import IdRange, MissingIds
from mm.market_data.grid import Grid
from mm.market_data.market_events import MarketEvent, TradesMissing
from mm.market_data.messages import Number
from mm.market_data.venue import Answer, RestRequest

MOST_ROWS = 1_000
MOST_MISSING = 200_000
MOST_MISSES = 5
MARGIN_US = 5 * US_PER_S
HISTORICAL, AGGREGATES = "/api/v3/historicalTrades", "/api/v3/aggTrades"
_FORBIDDEN, _BANNED, _SLOW_DOWN = 403, 418, 429


class _Historical(msgspec.Struct, gc=False):
    id: Number
    price: str
    qty: str
    time: int
    isBuyerMaker: bool


class _Aggregate(msgspec.Struct, gc=False):
    a: Number
    p: str
    q: str
    f: Number
    l: Number  # noqa: E741 - the wire's name
    T: int
    m: bool


_HISTORICAL = msgspec.json.Decoder(list[_Historical])
_AGGREGATES = msgspec.json.Decoder(list[_Aggregate])


@dataclass
class _Fill:
    """Trade ids to fetch, how often an answer did not bring any, and the aggregate to go on with."""

    missing: MissingIds
    misses: int = 0
    page_id: int | None = None


LAST_TRADE = RestRequest(AGGREGATES, {"limit": "1"}, 4)
"""The request for the last trade, without the symbol."""


def last_trade_id(body: bytes, *, aggregates: bool) -> int | None:
    """Return the highest id in the answer to `LAST_TRADE`; None where it has none, or is none.

    *aggregates*: the ids are those of aggregates.
    """
    try:
        return max(one.a if aggregates else one.l for one in _AGGREGATES.decode(body))
    except (ValueError, msgspec.MsgspecError):
        return None


class FillPlan:
    """Which trades to request, and when to give up.

    Args:
        aggregates: Whether the ids are those of aggregates, from ``aggTrade``.
    """

    def __init__(self, *, aggregates: bool) -> None:
        self._aggregates = aggregates
        self._by_time = False
        self._fills: deque[_Fill] = deque()

    def missing(self, missing: MissingIds) -> None:
        """Fetch these ids as well; more than 200,000 are left as they are."""
        if missing.ids.size <= MOST_MISSING:
            self._fills.append(_Fill(missing))

    def clear(self) -> None:
        """Forget all holes: they are another day's."""
        self._fills.clear()

    @property
    def current(self) -> MissingIds | None:
        """The ids that are being fetched."""
        return self._fills[0].missing if self._fills else None

    def next_request(self) -> RestRequest | None:
        """Return what to ask next; None where nothing is missing."""
        if not self._fills:
            return None
        fill, missing = self._fills[0], self._fills[0].missing
        limit = str(min(MOST_ROWS, missing.ids.size + 1))  # one id after them shows that they will never be there
        if self._aggregates:
            return RestRequest(AGGREGATES, {"fromId": str(missing.first_id), "limit": limit}, 4)
        if not self._by_time:
            return RestRequest(HISTORICAL, {"fromId": str(missing.first_id), "limit": limit}, 25)
        if fill.page_id is not None:
            return RestRequest(AGGREGATES, {"fromId": str(fill.page_id), "limit": str(MOST_ROWS)}, 4)
        times = {"startTime": missing.from_us - MARGIN_US, "endTime": missing.to_us + MARGIN_US}
        params = {name: str(us // US_PER_MS) for name, us in times.items()} | {"limit": str(MOST_ROWS)}
        return RestRequest(AGGREGATES, params, 4)

    def refused(self, status: int | None) -> None:
        """Take a refusal: request another kind, or the same again."""
        if status is None or not 400 <= status < 500 or status in (_FORBIDDEN, _BANNED, _SLOW_DOWN):
            return
        if self._aggregates or self._by_time:
            self._fills.popleft()
        else:
            self._by_time = True

    def unreadable(self) -> None:
        """Take an answer that cannot be read; the same is requested again, but not forever."""
        self._missed()

    def answered(self, body: bytes) -> list[tuple[IdRange, Trade]]:
        """Return the trades in an answer that lie in the hole, with the ids that each stands for.

        Raises:
            msgspec.MsgspecError: If it is no list of trades.
            BrokenFile: If its ids do not rise.
        """
        fill, missing = self._fills[0], self._fills[0].missing
        trades = self._read(body)
        ids = [self._span(trade) for trade in trades]
        if any(one.size < 1 for one in ids) or any(low.last >= high.first for low, high in pairwise(ids)):
            raise BrokenFile(f"trades from REST whose ids do not rise: {ids[:3]} …")
        found = zip(ids, trades, strict=True)
        inside = [(span, trade) for span, trade in found if span.within(missing.ids)]
        reached = max((last for _, last in ids), default=0)
        if reached >= missing.last_id:
            self._fills.popleft()
        elif reached >= missing.first_id:
            fill.missing, fill.misses = missing._replace(first_id=reached + 1), 0
        elif fill.page_id is None or not trades:
            self._missed()
        return inside

    def _missed(self) -> None:
        """Try these ids again after the others, and give up after some attempts."""
        fill = self._fills.popleft()
        fill.misses += 1
        if fill.misses < MOST_MISSES:
            self._fills.append(fill)

    def _read(self, body: bytes) -> Sequence[Trade]:
        if not (self._aggregates or self._by_time):
            return [
                Trade(None, one.id, one.time, one.price, one.qty, one.isBuyerMaker, one.id, one.id, REST)
                for one in _HISTORICAL.decode(body)
            ]
        found = _AGGREGATES.decode(body)
        if found and not self._aggregates:
            self._fills[0].page_id = found[-1].a + 1
        return [
            Trade(None, one.a if self._aggregates else one.f, one.T, one.p, one.q, one.m, one.f, one.l, REST)
            for one in found
        ]

    def _span(self, trade: Trade) -> IdRange:
        """Return the ids that *trade* stands for, of the kind that is counted."""
        if self._aggregates:
            return IdRange(trade.trade_id, trade.trade_id)
        return IdRange(trade.first_id, trade.last_id)


class TradeBackfill:
    """Fetch missing trades of one symbol: a subscriber of its market, whose events name them.

    Args:
        grid: Checks prices and quantities.
        aggregates: Whether the ids are those of aggregates.
        missing: Trades of earlier runs that are missing.

    Attributes:
        plan: What to request next.
    """

    def __init__(self, grid: Grid, *, aggregates: bool, missing: Iterable[MissingIds] = ()) -> None:
        self._grid = grid
        self._aggregates = aggregates
        self.plan = FillPlan(aggregates=aggregates)
        for one in missing:
            self.plan.missing(one)

    def __call__(self, event: MarketEvent) -> None:
        """Take an event of the market."""
        if isinstance(event, TradesMissing):
            self.plan.missing(event.missing)

    def last_id(self, answer: Answer) -> int | None:
        """Return the last id in an answer to `LAST_TRADE`, of the kind that is counted; None where it has none."""
        return None if answer.cause else last_trade_id(answer.body, aggregates=self._aggregates)

    def answered(self, answer: Answer) -> list[tuple[IdRange, Trade]]:
        """Return the trades in *answer* that were requested, each with the ids it stands for.

        Raises:
            BrokenFile: If the answer cannot be read; the request is then repeated.
        """
        missing = self.plan.current
        if missing is None:
            return []
        if answer.cause:
            self.plan.refused(answer.status)
            return []
        try:
            found = self.plan.answered(answer.body)
            self._grid.check([(trade.price, trade.qty) for _, trade in found])
            for _, trade in found:
                checked_stamp(trade.trade_time, "time")
        except (ValueError, OffGrid, msgspec.MsgspecError, BrokenFile) as error:
            if self.plan.current is missing:
                self.plan.unreadable()
            raise BrokenFile(f"{answer.url}: {error}") from error
        return found
