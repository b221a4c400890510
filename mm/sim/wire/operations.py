"""What can be called over REST or the WebSocket API, and the public operations: clock, rules, book and trades."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mm.instrument import decimal_text
from mm.sim.exchange import api_error
from mm.sim.exchange.accounts import ORDER_LIMITS, UserAccount
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.exchange import Exchange
from mm.sim.exchange.parameters import Parameters
from mm.sim.exchange.trades import DAY_US, MarketTrade, TradeBar, read_span
from mm.sim.wire.answers import ZERO, Json, SymbolTexts
from mm.sim.wire.limits import RAW_LIMIT, WEIGHT_LIMIT

Weigh = Callable[[Mapping[str, str]], int]
_DEPTH_WEIGHTS = ((100, 5), (500, 25), (1_000, 50))
_DEEPEST, _DEEPEST_WEIGHT = 5_000, 250
_STATUSES = ("TRADING", "HALT", "BREAK", "CANCEL_ONLY")
_TICKER = ("symbol", "symbols", "symbolStatus")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operation.

    Attributes:
        exchange: That is called.
        parameters: The parameters.
        texts: Writes the answer.
        account: Number of the caller's account; 0 for public operations.
    """

    exchange: Exchange
    parameters: Parameters
    texts: SymbolTexts
    account: int = 0

    @property
    def us(self) -> int:
        """Return the exchange's instant."""
        return self.exchange.now_us

    @property
    def owner(self) -> UserAccount:
        """Return the caller's account."""
        return self.exchange.accounts[self.account]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One endpoint of REST, and the method of the WebSocket API that does the same.

    Attributes:
        route: HTTP method and path.
        method: Name in the WebSocket API; empty where it has none.
        act: Does it; returns the content of the answer, or raises ApiError.
        parameters: Names that it reads, besides those of signing.
        weight: Of a request with such parameters.
        signed: Whether it needs a key and a signature.
        counts_orders: Whether the answer says how many orders the account has sent.
    """

    route: tuple[str, str]
    method: str
    act: Callable[[Call], Any]
    parameters: tuple[str, ...] = ()
    weight: Weigh = lambda _: 1
    signed: bool = False
    counts_orders: bool = False


def flat(weight: int) -> Weigh:
    """Return a weight that does not depend on the parameters."""
    return lambda _: weight


def by_presence(name: str, with_it: int, without: int) -> Weigh:
    """Return a weight that depends on whether a parameter is sent."""
    return lambda given: with_it if name in given else without


_LIGHT = flat(1)


def _ping(_: Call) -> Json:
    return {}


def _time(call: Call) -> Json:
    return {"serverTime": call.texts.stamp(call.us)}


def _exchange_info(call: Call) -> Json:
    parameters = call.parameters
    chosen = sum(name in parameters.given for name in ("symbol", "symbols", "permissions"))
    status = parameters.word("symbolStatus", _STATUSES, "TRADING")
    for_one = not parameters.given.keys().isdisjoint(("symbol", "symbols"))
    if chosen > 1 or ("symbolStatus" in parameters.given and for_one):
        raise api_error.bad_combination()
    parameters.is_for_all()
    entry = call.exchange.rules.entry()
    if not parameters.flag("showPermissionSets", True):
        entry["permissionSets"] = []
    shown = status == "TRADING" and "SPOT" in parameters.given.get("permissions", "SPOT")
    return {
        "timezone": "UTC",
        "serverTime": call.texts.stamp(call.us),
        "rateLimits": [WEIGHT_LIMIT, *(limit.entry() for limit in ORDER_LIMITS), RAW_LIMIT],
        "exchangeFilters": [],
        "symbols": [entry] if shown else [],
    }


def _check_status(call: Call) -> None:
    if call.parameters.word("symbolStatus", _STATUSES, "TRADING") != "TRADING":
        raise ApiError(-1220, "The symbol's status does not match the requested symbolStatus.")


def _depth(call: Call) -> Json:
    call.parameters.symbol()
    _check_status(call)
    update_id, bids, asks = call.exchange.depth(call.parameters.limit(100, _DEEPEST))
    return {"lastUpdateId": update_id, "bids": bids, "asks": asks}


def _depth_weight(given: Mapping[str, str]) -> int:
    text = given.get("limit", "100")
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 1
    return next((weight for most, weight in _DEPTH_WEIGHTS if limit <= most), _DEEPEST_WEIGHT)


def _trades(call: Call) -> list[Json]:
    call.parameters.symbol()
    return [_trade(call, trade) for trade in call.exchange.tape.latest(call.parameters.limit(500, 1_000))]


def _historical_trades(call: Call) -> list[Json]:
    from_id = call.parameters.whole("fromId")
    if from_id is None:
        return _trades(call)
    call.parameters.symbol()
    return [_trade(call, trade) for trade in call.exchange.tape.since_id(from_id, call.parameters.limit(500, 1_000))]


def _trade(call: Call, trade: MarketTrade) -> Json:
    texts = call.texts
    return {
        "id": trade.trade_id,
        "price": texts.price(trade.ticks),
        "qty": texts.qty(trade.lots),
        "quoteQty": texts.worth(trade.ticks * trade.lots),
        "time": texts.stamp(trade.us),
        "isBuyerMaker": trade.buyer_is_maker,
        "isBestMatch": True,
    }


def _agg_trades(call: Call) -> list[Json]:
    parameters, texts = call.parameters, call.texts
    parameters.symbol()
    from_id, span, limit = parameters.whole("fromId"), read_span(parameters), parameters.limit(500, 1_000)
    if from_id is not None and span != (None, None):
        raise api_error.bad_combination()
    found = (
        call.exchange.aggregates.within(span, limit)
        if from_id is None
        else call.exchange.aggregates.since_id(from_id, limit)
    )
    return [
        {
            "a": trade.id,
            "p": texts.price(trade.ticks),
            "q": texts.qty(trade.lots),
            "f": trade.first_id,
            "l": trade.last_id,
            "T": texts.stamp(trade.us),
            "m": trade.side < 0,
            "M": True,
        }
        for trade in found
    ]


def _avg_price(call: Call) -> Json:
    call.parameters.symbol()
    tape = call.exchange.tape
    average, last = tape.average(call.us), tape.last
    return {
        "mins": call.exchange.rules.average_mins,
        "price": _mean_price(call, *average) if average else ZERO,
        "closeTime": call.texts.stamp(last.us) if last else 0,
    }


def _mean_price(call: Call, cost_tl: int, lots: int) -> str:
    return decimal_text(cost_tl * call.exchange.rules.instrument.tick_e8 // lots)


def _price(call: Call) -> Json | list[Json]:
    last = call.exchange.tape.last
    price = call.texts.price(last.ticks) if last else ZERO
    return _for_one_or_all(call, {"symbol": call.texts.symbol, "price": price})


def _book_ticker(call: Call) -> Json | list[Json]:
    _, bids, asks = call.exchange.depth(1)
    (bid, bid_qty), (ask, ask_qty) = (levels[0] if levels else (ZERO, ZERO) for levels in (bids, asks))
    ticker = {"bidPrice": bid, "bidQty": bid_qty, "askPrice": ask, "askQty": ask_qty}
    return _for_one_or_all(call, {"symbol": call.texts.symbol} | ticker)


def _day_ticker(call: Call) -> Json | list[Json]:
    if call.parameters.word("type", ("FULL", "MINI"), "FULL") == "MINI":
        return _for_one_or_all(call, {"symbol": call.texts.symbol} | _day(call))
    _, bids, asks = call.exchange.depth(1)
    bar, last, before = call.exchange.tape.day(call.us), call.exchange.tape.last, None
    (bid, bid_qty), (ask, ask_qty) = (levels[0] if levels else (ZERO, ZERO) for levels in (bids, asks))
    if bar:
        before = call.exchange.tape.before(bar.us)
    ticker = {
        "symbol": call.texts.symbol,
        **_change(call, bar),
        "prevClosePrice": call.texts.price(before.ticks if before else 0),
        "lastQty": call.texts.qty(last.lots if last else 0),
        "bidPrice": bid,
        "bidQty": bid_qty,
        "askPrice": ask,
        "askQty": ask_qty,
        **_day(call),
    }
    return _for_one_or_all(call, ticker)


def _change(call: Call, bar: TradeBar | None) -> Json:
    """Return how far the price came in a day; the percentage has three places, rounded towards zero."""
    if not bar:
        return {"priceChange": ZERO, "priceChangePercent": "0.000", "weightedAvgPrice": ZERO}
    moved = bar.close_ticks - bar.open_ticks
    thousandths = abs(moved) * 100_000 // bar.open_ticks
    return {
        "priceChange": decimal_text(moved * call.exchange.rules.instrument.tick_e8),
        "priceChangePercent": decimal_text(-thousandths if moved < 0 else thousandths, 3),
        "weightedAvgPrice": _mean_price(call, bar.turnover_tl, bar.volume_lots),
    }


def _day(call: Call) -> Json:
    texts, bar = call.texts, call.exchange.tape.day(call.us)
    ticks = (bar.open_ticks, bar.high_ticks, bar.low_ticks, bar.close_ticks) if bar else (0, 0, 0, 0)
    names = ("openPrice", "highPrice", "lowPrice", "lastPrice")
    return {
        **{name: texts.price(at) for name, at in zip(names, ticks, strict=True)},
        "volume": texts.qty(bar.volume_lots if bar else 0),
        "quoteVolume": texts.worth(bar.turnover_tl if bar else 0),
        "openTime": texts.stamp(call.us - DAY_US),
        "closeTime": texts.stamp(call.us),
        "firstId": bar.first_id if bar else -1,
        "lastId": bar.last_id if bar else -1,
        "count": bar.last_id - bar.first_id + 1 if bar else 0,
    }


def _for_one_or_all(call: Call, entry: Json) -> Json | list[Json]:
    is_list = call.parameters.is_for_all()
    if not is_list:
        _check_status(call)
    return [entry] if is_list else entry


def _get(
    path: str, method: str, act: Callable[[Call], Any], parameters: tuple[str, ...] = (), weight: Weigh = _LIGHT
) -> Operation:
    route = ("GET", f"/api/v3/{path}")
    return Operation(route=route, method=method, act=act, parameters=parameters, weight=weight)


MARKET_OPERATIONS = (
    _get("ping", "ping", _ping),
    _get("time", "time", _time),
    _get(
        "exchangeInfo",
        "exchangeInfo",
        _exchange_info,
        ("symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus"),
        flat(20),
    ),
    _get("depth", "depth", _depth, ("symbol", "limit", "symbolStatus"), _depth_weight),
    _get("trades", "trades.recent", _trades, ("symbol", "limit"), flat(25)),
    _get("historicalTrades", "trades.historical", _historical_trades, ("symbol", "limit", "fromId"), flat(25)),
    _get(
        "aggTrades",
        "trades.aggregate",
        _agg_trades,
        ("symbol", "fromId", "startTime", "endTime", "limit"),
        flat(4),
    ),
    _get("avgPrice", "avgPrice", _avg_price, ("symbol",), flat(2)),
    _get("ticker/price", "ticker.price", _price, _TICKER, by_presence("symbol", 2, 4)),
    _get("ticker/bookTicker", "ticker.book", _book_ticker, _TICKER, by_presence("symbol", 2, 4)),
    _get("ticker/24hr", "ticker.24hr", _day_ticker, (*_TICKER, "type"), by_presence("symbol", 2, 80)),
)
