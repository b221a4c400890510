"""Past trades from Binance's REST endpoints: single trades by id, aggregates by id or by time."""

import msgspec
from msgspec import Struct

from mm.clock import US_PER_MS, US_PER_S
from mm.dayfolder.rows import REST, Trade
from mm.ids import IdRange, MissingIds
from mm.market_data.venue import Number, RestRequest, TradePage

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
    """Single trades of Spot by id; hosts that serve only market data do not have this endpoint."""

    def request(self, missing: MissingIds) -> RestRequest:
        """Return the request for the first 1,000 of them."""
        return _from_id(HISTORICAL, missing, _HISTORICAL_WEIGHT)

    def page(self, body: bytes) -> TradePage:
        """Return the trades in an answer."""
        return TradePage([(IdRange(one.id, one.id), _single(one)) for one in _HISTORICAL.decode(body)])


class Aggregates:
    """Aggregates by their own ids.

    Args:
        path: Path of the requests.
        weight: Weight of each request.
    """

    def __init__(self, path: str = AGGREGATES, weight: int = _AGGREGATES_WEIGHT) -> None:
        self._path, self._weight = path, weight

    def request(self, missing: MissingIds) -> RestRequest:
        """Return the request for the first 1,000 of them."""
        return _from_id(self._path, missing, self._weight)

    def page(self, body: bytes) -> TradePage:
        """Return the trades in an answer."""
        return TradePage([(IdRange(one.a, one.a), _aggregate(one, one.a)) for one in _AGGREGATES.decode(body)])

    def last(self) -> RestRequest:
        """Return the request for the last aggregate, without the symbol."""
        return RestRequest(self._path, {"limit": "1"}, self._weight)


class SpannedTrades(Aggregates):
    """Single trades, of which an aggregate has those of one order at one price: by time, and then page by page."""

    def request(self, missing: MissingIds) -> RestRequest:
        """Return the request for those around the instants of arrival."""
        times = {"startTime": missing.from_us - _MARGIN_US, "endTime": missing.to_us + _MARGIN_US}
        params = {name: str(us // US_PER_MS) for name, us in times.items()}
        return RestRequest(self._path, params | {"limit": str(MOST_ROWS)}, self._weight)

    def page(self, body: bytes) -> TradePage:
        """Return the trades in an answer, and the request for the next page."""
        found = _AGGREGATES.decode(body)
        trades = [(IdRange(one.f, one.l), _aggregate(one, one.f)) for one in found]
        after = {"fromId": str(found[-1].a + 1), "limit": str(MOST_ROWS)} if found else None
        return TradePage(trades, RestRequest(self._path, after, self._weight) if after else None)


def last_id(body: bytes, *, aggregates: bool) -> int | None:
    """Return the highest id of the aggregates, or of the trades in them, in a response; None if it has none."""
    try:
        return max(one.a if aggregates else one.l for one in _AGGREGATES.decode(body))
    except (ValueError, msgspec.MsgspecError):
        return None


def _single(one: _Historical) -> Trade:
    return Trade(None, one.id, one.time, one.price, one.qty, one.isBuyerMaker, one.id, one.id, REST)


def _aggregate(one: _Aggregate, trade_id: int) -> Trade:
    return Trade(None, trade_id, one.T, one.p, one.q, one.m, one.f, one.l, REST)
