"""Past trades from Binance's REST endpoints: single trades by id, aggregates by id or by time."""

import msgspec
from msgspec import Struct

from mm.clock import US_PER_MS, US_PER_S
from mm.ids import IdRange, MissingIds
from mm.markets.messages import RestRequest, TradePage
from mm.markets.records import REST, Number, Trade

HISTORICAL, AGGREGATES = "/api/v3/historicalTrades", "/api/v3/aggTrades"
"""Paths of Spot."""
MOST_ROWS = 1_000
_HISTORICAL_WEIGHT, _AGGREGATES_WEIGHT = 25, 4
_MARGIN_US = 5 * US_PER_S


class _Historical(Struct, gc=False):
    id: Number
    price: str
    qty: str
    time: int
    isBuyerMaker: bool


class _Aggregate(Struct, gc=False):
    a: Number
    p: str
    q: str
    f: Number
    l: Number  # noqa: E741 - the wire's name
    T: int
    m: bool


_HISTORICAL = msgspec.json.Decoder(list[_Historical])
_AGGREGATES = msgspec.json.Decoder(list[_Aggregate])


def _from_id(path: str, missing: MissingIds, weight: int) -> RestRequest:
    limit = str(min(MOST_ROWS, missing.ids.size + 1))  # a later id shows that these will never be available
    return RestRequest(path, {"fromId": str(missing.first_id), "limit": limit}, weight)


class SingleTrades:
    """Single trades of Spot by id; hosts that serve only market data lack this endpoint."""

    def request(self, missing: MissingIds) -> RestRequest:
        return _from_id(HISTORICAL, missing, _HISTORICAL_WEIGHT)

    def page(self, body: bytes) -> TradePage:
        return TradePage([(IdRange(row.id, row.id), _single(row)) for row in _HISTORICAL.decode(body)])


class Aggregates:
    """Aggregates by their own ids."""

    def __init__(self, path: str = AGGREGATES, weight: int = _AGGREGATES_WEIGHT) -> None:
        self._path, self._weight = path, weight

    def request(self, missing: MissingIds) -> RestRequest:
        return _from_id(self._path, missing, self._weight)

    def page(self, body: bytes) -> TradePage:
        return TradePage([(IdRange(row.a, row.a), _aggregate(row, row.a)) for row in _AGGREGATES.decode(body)])

    def last(self) -> RestRequest:
        return RestRequest(self._path, {"limit": "1"}, self._weight)


class SpannedTrades(Aggregates):
    """Ranges of single trades, from aggregates of one order at one price: by time around the gap, then page by page."""

    def request(self, missing: MissingIds) -> RestRequest:
        times = {"startTime": missing.from_us - _MARGIN_US, "endTime": missing.to_us + _MARGIN_US}
        params = {name: str(us // US_PER_MS) for name, us in times.items()}
        return RestRequest(self._path, params | {"limit": str(MOST_ROWS)}, self._weight)

    def page(self, body: bytes) -> TradePage:
        aggregates = _AGGREGATES.decode(body)
        trades = [(IdRange(row.f, row.l), _aggregate(row, row.f)) for row in aggregates]
        after = {"fromId": str(aggregates[-1].a + 1), "limit": str(MOST_ROWS)} if aggregates else None
        return TradePage(trades, RestRequest(self._path, after, self._weight) if after else None)


def last_id(body: bytes, *, aggregates: bool) -> int | None:
    try:
        return max(row.a if aggregates else row.l for row in _AGGREGATES.decode(body))
    except (ValueError, msgspec.MsgspecError):
        return None


def _single(row: _Historical) -> Trade:
    return Trade(None, row.id, row.time, row.price, row.qty, row.isBuyerMaker, row.id, row.id, REST)


def _aggregate(row: _Aggregate, trade_id: int) -> Trade:
    return Trade(None, trade_id, row.T, row.p, row.q, row.m, row.f, row.l, REST)
