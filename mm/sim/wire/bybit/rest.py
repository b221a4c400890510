"""Bybit's public REST answers: always an envelope with a ``retCode``; 0 is success, and errors have status 200, too."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mm.clock import US_PER_MS, US_PER_S
from mm.instrument import decimal_text, short_text
from mm.sim.exchange.exchange import Exchange
from mm.sim.exchange.klines import Intervals, klines
from mm.sim.exchange.trades import TimeSpan
from mm.sim.exchange.usdm.contract_rules import ContractRules
from mm.sim.exchange.usdm.exchange import UsdmExchange
from mm.sim.wire.answers import Json
from mm.sim.wire.bybit.feed import TopicFeed
from mm.sim.wire.http_messages import Request, Response, json_response

ROOT = "/v5/"
_PRIVATE = ("order", "position", "account", "asset", "user", "execution", "pre-upgrade", "spot-margin-trade", "broker")
_PARAMS_ERROR = 10_001
_MINUTES = {"1": "1m", "3": "3m", "5": "5m", "15": "15m", "30": "30m", "60": "1h", "120": "2h", "240": "4h"}
_MINUTES |= {"360": "6h", "720": "12h", "D": "1d", "W": "1w", "M": "1M"}
_MOST_SPOT_TRADES = 60


class _Refused(Exception):
    """A parameter is missing or wrong."""


@dataclass(frozen=True)
class _Asked:
    params: Mapping[str, str]
    exchanges: Mapping[str, Exchange]
    feeds: Mapping[str, TopicFeed]
    now_us: int
    contract: bool

    @property
    def category(self) -> str:
        return "linear" if self.contract else "spot"

    def symbol(self) -> str:
        symbol = self.params.get("symbol", "")
        if symbol not in self.feeds or not self.exchanges[symbol].rules.listed:
            raise _Refused("params error: symbol invalid" if symbol else "params error: symbol is empty")
        return symbol

    def symbols(self) -> list[str]:
        if self.params.get("symbol"):
            return [self.symbol()]
        return [name for name, exchange in self.exchanges.items() if exchange.rules.listed]

    def limit(self, default: int, most: int) -> int:
        limit = self.number("limit", default)
        return min(max(limit or default, 1), most)

    def number(self, name: str, default: int | None = None) -> int | None:
        text = self.params.get(name, "")
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 17):
            raise _Refused(f"params error: {name} invalid")
        return int(text)


def answer(
    request: Request,
    exchanges: Mapping[str, Exchange],
    feeds: Mapping[str, TopicFeed],
    now_us: int,
    *,
    contract: bool,
) -> Response | None:
    """Return the answer to a path of v5; None for another path."""
    part, _, rest = request.path.removeprefix(ROOT).partition("/")
    if not request.path.startswith(ROOT):
        return None
    if part in _PRIVATE:
        line = f"{request.path}: this simulation has Bybit's public part only; orders and accounts are not in it\n"
        return Response(404, {"Content-Type": "text/plain;charset=UTF-8"}, line.encode())
    make = _ANSWERS.get(rest) if part == "market" and request.method == "GET" else None
    if make is None:
        return None
    asked = _Asked(request.params, exchanges, feeds, now_us, contract)
    try:
        if rest != "time" and asked.params.get("category") != asked.category:
            raise _Refused("params error: category invalid")
        return _envelope(make(asked), now_us)
    except _Refused as error:
        return _envelope({}, now_us, _PARAMS_ERROR, str(error))


def refused() -> Response:
    """Return what an address over its limit gets, for ten minutes."""
    return Response(403, {"Content-Type": "text/plain;charset=UTF-8"}, b"access too frequent\n")


def _envelope(result: Json, now_us: int, code: int = 0, message: str = "OK") -> Response:
    content = {"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": now_us // US_PER_MS}
    return json_response(200, content)


def _time(asked: _Asked) -> Json:
    return {"timeSecond": str(asked.now_us // US_PER_S), "timeNano": str(asked.now_us * 1_000)}


def _instruments(asked: _Asked) -> Json:
    names, start = asked.symbols(), asked.number("cursor", 0) or 0
    limit = asked.limit(500, 1_000)
    page = names[start : start + limit]
    entry = _contract_entry if asked.contract else _spot_entry
    result: Json = {"category": asked.category, "list": [entry(asked.exchanges[name], name) for name in page]}
    if asked.contract:
        result["nextPageCursor"] = str(start + limit) if start + limit < len(names) else ""
    return result


def _contract_entry(exchange: Exchange, symbol: str) -> Json:
    rules = exchange.rules
    assert isinstance(exchange, UsdmExchange)
    assert isinstance(rules, ContractRules)
    grid = rules.instrument
    tick, step = short_text(grid.tick_e8), short_text(grid.lot_e8)
    price = {"minPrice": tick, "maxPrice": short_text(rules.most_price_e8), "tickSize": tick}
    lot = {
        "maxOrderQty": short_text(rules.most_qty_e8),
        "minOrderQty": step,
        "qtyStep": step,
        "postOnlyMaxOrderQty": short_text(rules.most_qty_e8),
        "maxMktOrderQty": short_text(rules.most_qty_e8),
        "minNotionalValue": short_text(grid.min_notional_e8),
    }
    return {
        "symbol": symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading" if rules.status == "TRADING" else "Closed",
        "baseCoin": grid.base_asset,
        "quoteCoin": grid.quote_asset,
        "launchTime": str(rules.onboard_us // US_PER_MS),
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": "2",
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": price,
        "lotSizeFilter": lot,
        "unifiedMarginTrade": True,
        "fundingInterval": exchange.terms.interval_us // (60 * US_PER_S),
        "settleCoin": grid.quote_asset,
        "copyTrading": "none",
        "upperFundingRate": "0.005",
        "lowerFundingRate": "-0.005",
        "isPreListing": False,
        "preListingInfo": None,
    }


def _spot_entry(exchange: Exchange, symbol: str) -> Json:
    rules = exchange.rules
    grid = rules.instrument
    step = short_text(grid.lot_e8)
    lot = {
        "basePrecision": step,
        "quotePrecision": "0.00000001",
        "minOrderQty": step,
        "maxOrderQty": short_text(rules.most_qty_e8),
        "minOrderAmt": short_text(grid.min_notional_e8),
        "maxOrderAmt": short_text(rules.most_notional_e8),
    }
    return {
        "symbol": symbol,
        "baseCoin": grid.base_asset,
        "quoteCoin": grid.quote_asset,
        "innovation": "0",
        "status": "Trading" if rules.status == "TRADING" else "Closed",
        "marginTrading": "none",
        "lotSizeFilter": lot,
        "priceFilter": {"tickSize": short_text(grid.tick_e8)},
    }


def _orderbook(asked: _Asked) -> Json:
    symbol = asked.symbol()
    feed = asked.feeds[symbol]
    bids, asks = feed.levels(asked.limit(25 if asked.contract else 1, 1_000))
    stamps = {"ts": asked.now_us // US_PER_MS, "cts": feed.matched_us // US_PER_MS}
    return {"s": symbol, "b": bids, "a": asks, "u": feed.u, "seq": feed.update_id, **stamps}


def _recent_trades(asked: _Asked) -> Json:
    symbol = asked.symbol()
    limit = asked.limit(500, 1_000) if asked.contract else asked.limit(_MOST_SPOT_TRADES, _MOST_SPOT_TRADES)
    newest = [*asked.feeds[symbol].recent][-limit:]
    rows = [
        {
            "execId": row["i"],
            "symbol": symbol,
            "price": row["p"],
            "size": row["v"],
            "side": row["S"],
            "time": str(row["T"]),
            "isBlockTrade": False,
            "isRPITrade": False,
            "seq": str(row["seq"]),
        }
        for row in reversed(newest)
    ]
    return {"category": asked.category, "list": rows}


def _tickers(asked: _Asked) -> Json:
    rows = [{"symbol": symbol, **asked.feeds[symbol].ticker()} for symbol in asked.symbols()]
    return {"category": asked.category, "list": rows}


def _funding(asked: _Asked) -> Json:
    """Newest first; a start without an end is an error."""
    symbol = asked.symbol()
    start_ms, end_ms = asked.number("startTime"), asked.number("endTime")
    if not asked.contract or (start_ms is not None and end_ms is None):
        raise _Refused("params error: endTime is empty" if asked.contract else "params error: category invalid")
    exchange = asked.exchanges[symbol]
    assert isinstance(exchange, UsdmExchange)
    rows = [
        {
            "symbol": symbol,
            "fundingRate": short_text(paid.rate_e8),
            "fundingRateTimestamp": str(paid.us // US_PER_MS),
        }
        for paid in reversed(exchange.payments)
        if (start_ms or 0) <= paid.us // US_PER_MS <= (paid.us if end_ms is None else end_ms)
    ]
    return {"category": asked.category, "list": rows[: asked.limit(200, 200)]}


def _mark_klines(asked: _Asked) -> Json:
    symbol = asked.symbol()
    interval = _MINUTES.get(asked.params.get("interval", ""))
    if interval is None or not asked.contract:
        raise _Refused("params error: interval invalid" if asked.contract else "params error: category invalid")
    exchange = asked.exchanges[symbol]
    assert isinstance(exchange, UsdmExchange)
    ends = (asked.number("start"), asked.number("end"))
    span = TimeSpan(*(None if ms is None else ms * US_PER_MS for ms in ends))
    made = klines(exchange.marks, Intervals(interval), span, asked.limit(200, 1_000), asked.now_us)
    rows = [[str(bar.us // US_PER_MS), *_prices(bar.bar[1:5])] for bar in reversed(made)]
    return {"category": asked.category, "symbol": symbol, "list": rows}


def _prices(values_e8: Sequence[int]) -> list[str]:
    return [decimal_text(value) for value in values_e8]


_ANSWERS: Mapping[str, Callable[[_Asked], Json]] = {
    "time": _time,
    "instruments-info": _instruments,
    "orderbook": _orderbook,
    "recent-trade": _recent_trades,
    "tickers": _tickers,
    "funding/history": _funding,
    "mark-price-kline": _mark_klines,
}
