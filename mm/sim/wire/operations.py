"""Declares operations of REST and WebSocket API; and the public ones: clock, rules, book, trades."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mm.sim.exchange import api_error
from mm.sim.exchange.accounts import DAY_US, MINUTE_US, ORDER_LIMITS, UserAccount
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.exchange import Exchange
from mm.sim.exchange.klines import Intervals, klines
from mm.sim.exchange.parameters import Parameter, RequestParameters, entries, words
from mm.sim.exchange.trades import TradeBar
from mm.sim.wire.answers import ZERO, Json, SymbolTexts
from mm.sim.wire.bars import INTERVAL, WINDOW, ZONE, best_prices, kline, statistics
from mm.sim.wire.limits import RAW_LIMIT, WEIGHT_LIMIT

Weigh = Callable[[Mapping[str, str]], int]
_DEPTH_WEIGHTS = ((100, 5), (500, 25), (1_000, 50))
_DEEPEST_WEIGHT = 250


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operation; *account* is 0 for public operations."""

    exchange: Exchange
    parameters: RequestParameters
    texts: SymbolTexts
    account: int = 0

    @property
    def us(self) -> int:
        return self.exchange.now_us

    @property
    def owner(self) -> UserAccount:
        return self.exchange.accounts[self.account]

    def __getitem__(self, name: str) -> Any:
        return self.parameters[name]


@dataclass(frozen=True, slots=True)
class Operation:
    """One REST endpoint, and the equivalent method of the WebSocket API.

    Attributes:
        names: Parameters except the signature's; one with ``!`` is required, and read before it runs, with all before
            it.
        keyed: Whether a key without a signature is required.
    """

    rest: str
    method: str
    run: Callable[[Any], Any]
    names: str = ""
    weight: int | Weigh = 1
    signed: bool = False
    counts_orders: bool = False
    own: Mapping[str, Parameter] = field(default_factory=dict)
    root: str = "/api/v3/"
    keyed: bool = False
    of_orders: bool = True

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(self.names.replace("!", "").split())

    @property
    def route(self) -> tuple[str, str]:
        verb, _, path = self.rest.partition(" ")
        return verb, f"{self.root}{path}"

    @property
    def name(self) -> str:
        return self.method or self.rest

    def act(self, call: Call) -> Any:
        for name in self.names[: self.names.rfind("!") + 1].split():
            if name.endswith("!"):
                call.parameters.must(name[:-1])
            else:
                call[name]
        return self.run(call)

    @property
    def changes_orders(self) -> bool:
        changes = self.signed and self.rest.startswith(("POST", "PUT", "DELETE"))
        return changes and self.of_orders and self.rest != "POST order/test"

    def weighs(self, given: Mapping[str, str]) -> int:
        return self.weight if isinstance(self.weight, int) else self.weight(given)


def by_presence(name: str, with_it: int, without: int) -> Weigh:
    return lambda given: with_it if name in given else without


def _exchange_info(call: Call) -> Json:
    given = call.parameters.given.keys()
    status = call["symbolStatus"]
    if len(given & {"symbol", "symbols", "permissions"}) > 1 or (
        "symbolStatus" in given and given & {"symbol", "symbols"}
    ):
        raise api_error.bad_combination()
    call.parameters.is_for_all()
    entry = call.exchange.rules.entry()
    if not call["showPermissionSets"]:
        entry["permissionSets"] = []
    shown = status == "TRADING" and "SPOT" in call["permissions"]
    return {
        "timezone": "UTC",
        "serverTime": call.texts.stamp(call.us),
        "rateLimits": [limit.entry() for limit in (WEIGHT_LIMIT, *ORDER_LIMITS, RAW_LIMIT)],
        "exchangeFilters": [],
        "symbols": [entry] if shown and call.exchange.rules.listed else [],
    }


def _execution_rules(call: Call) -> Json:
    """No symbol has one."""
    call.parameters.is_for_all()
    shown = call["symbolStatus"] == "TRADING" and call.exchange.rules.listed
    return {"symbolRules": [{"symbol": call.texts.symbol, "rules": []}] if shown else []}


def _no_reference_price(call: Call) -> Json:
    _check_status(call)
    raise ApiError(-2043, "This symbol doesn't have a reference price.")


def _check_status(call: Call) -> None:
    if call["symbolStatus"] != "TRADING":
        raise ApiError(-1220, "The symbol's status does not match the requested symbolStatus.")


def _depth(call: Call) -> Json:
    _check_status(call)
    update_id, bids, asks = call.exchange.depth(call["limit"])
    return {"lastUpdateId": update_id, "bids": bids, "asks": asks}


def _depth_weight(given: Mapping[str, str]) -> int:
    text = given.get("limit", "100")
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 1
    return next((weight for most, weight in _DEPTH_WEIGHTS if limit <= most), _DEEPEST_WEIGHT)


def _trades(call: Call) -> list[Json]:
    return [call.texts.market_trade(trade) for trade in call.exchange.tape.trades.latest(call["limit"])]


def _historical_trades(call: Call) -> list[Json]:
    from_id = call["fromId"]
    if from_id is None:
        return _trades(call)
    return [call.texts.market_trade(trade) for trade in call.exchange.tape.trades.since_id(from_id, call["limit"])]


def agg_trades(call: Call) -> list[Json]:
    aggregates, from_id, span, limit = call.exchange.aggregates, call["fromId"], call.parameters.span(), call["limit"]
    if from_id is not None and span != (None, None):
        raise api_error.bad_combination()
    trades = aggregates.within(span, limit) if from_id is None else aggregates.since_id(from_id, limit)
    return [call.texts.aggregate_trade(trade) for trade in trades]


def _avg_price(call: Call) -> Json:
    tape = call.exchange.tape
    average, last = tape.average(call.us), tape.last
    return {
        "mins": call.exchange.rules.average_mins,
        "price": call.texts.mean_price(*average) if average else ZERO,
        "closeTime": call.texts.stamp(last.us) if last else 0,
    }


def _price(call: Call) -> Json | list[Json]:
    last = call.exchange.tape.last
    return _for_one_or_all(call, {"price": call.texts.price(last.ticks) if last else ZERO})


def _book_ticker(call: Call) -> Json | list[Json]:
    return _for_one_or_all(call, best_prices(call.exchange))


def _day_ticker(call: Call) -> Json | list[Json]:
    if call["type"] == "MINI":
        return _for_one_or_all(call, _span_ticker(call, call.us - DAY_US, call.us, call.exchange.tape.day(call.us)))
    texts, tape = call.texts, call.exchange.tape
    bar, last = tape.day(call.us), tape.last
    before = tape.before(bar.us) if bar else None
    ticker = {
        "prevClosePrice": texts.price(before.ticks if before else 0),
        "lastQty": texts.qty(last.lots if last else 0),
    }
    span = {"openTime": texts.stamp(call.us - DAY_US), "closeTime": texts.stamp(call.us)}
    return _for_one_or_all(call, ticker | best_prices(call.exchange) | statistics(call.exchange, texts, bar) | span)


def _span_ticker(call: Call, begin_us: int, end_us: int, bar: TradeBar | None) -> Json:
    left_out = ("priceChange", "priceChangePercent", "weightedAvgPrice") if call["type"] == "MINI" else ()
    ticker = {name: value for name, value in statistics(call.exchange, call.texts, bar).items() if name not in left_out}
    return ticker | {"openTime": call.texts.stamp(begin_us), "closeTime": call.texts.stamp(end_us)}


def _window_ticker(call: Call) -> Json | list[Json]:
    _one_of_both(call)
    window_us = call["windowSize"]
    bar, begin_us = call.exchange.tape.rolling(call.us, window_us), call.us - window_us
    return _for_one_or_all(call, _span_ticker(call, begin_us - begin_us % MINUTE_US, call.us, bar))


def _trading_day(call: Call) -> Json | list[Json]:
    _one_of_both(call)
    days = Intervals("1d", call["timeZone"])
    begin_us = days.begin(call.us)
    end_us = days.end(begin_us)
    return _for_one_or_all(
        call, _span_ticker(call, begin_us, end_us - 1, call.exchange.tape.minutes.between(begin_us, end_us))
    )


def _one_of_both(call: Call) -> None:
    if not call["symbol"] and "symbols" not in call.parameters.given:
        raise api_error.one_of_two("symbol", "symbols")


def _klines(call: Call) -> list[list[Any]]:
    interval, zone_us, span, limit = call["interval"], call["timeZone"], call.parameters.span(), call["limit"]
    tape = call.exchange.tape
    source = tape.seconds if interval == "1s" else tape.minutes
    return [kline(call.texts, made) for made in klines(source, Intervals(interval, zone_us), span, limit, call.us)]


def _for_one_or_all(call: Call, ticker: Json) -> Json | list[Json]:
    entry = {"symbol": call.texts.symbol} | ticker
    if call.parameters.is_for_all():
        return [entry]
    _check_status(call)
    return entry


_TICKER, _TICKER_WEIGHT = "symbol symbols symbolStatus", by_presence("symbol", 2, 4)
_INFO = "symbol symbols permissions showPermissionSets symbolStatus"
_FULL_OR_MINI = {"type": words("FULL", "MINI", default="FULL")}
_KLINES, _KLINE_PARAMETERS = (
    "symbol! interval! startTime endTime timeZone limit",
    {"interval": INTERVAL, "timeZone": ZONE},
)
MARKET_OPERATIONS = (
    Operation("GET ping", "ping", lambda _: {}),
    Operation("GET time", "time", lambda call: {"serverTime": call.texts.stamp(call.us)}),
    Operation("GET exchangeInfo", "exchangeInfo", _exchange_info, _INFO, 20),
    Operation(
        "GET executionRules",
        "executionRules",
        _execution_rules,
        "symbol symbols symbolStatus",
        lambda given: 2 if given.keys() & {"symbol", "symbols"} else 40,
    ),
    Operation("GET referencePrice", "referencePrice", _no_reference_price, "symbol!", 2),
    Operation(
        "GET referencePrice/calculation",
        "referencePrice.calculation",
        _no_reference_price,
        "symbol! symbolStatus",
        2,
    ),
    Operation("GET historicalBlockTrades", "blockTrades.historical", lambda _: [], "symbol! fromId! limit", 25),
    Operation(
        "GET depth", "depth", _depth, "symbol! limit symbolStatus", _depth_weight, own={"limit": entries(100, 5_000)}
    ),
    Operation("GET trades", "trades.recent", _trades, "symbol! limit", 25),
    Operation("GET historicalTrades", "trades.historical", _historical_trades, "fromId symbol! limit", 25),
    Operation("GET aggTrades", "trades.aggregate", agg_trades, "symbol! fromId startTime endTime limit", 4),
    Operation("GET avgPrice", "avgPrice", _avg_price, "symbol!", 2),
    Operation("GET ticker/price", "ticker.price", _price, _TICKER, _TICKER_WEIGHT),
    Operation("GET ticker/bookTicker", "ticker.book", _book_ticker, _TICKER, _TICKER_WEIGHT),
    Operation(
        "GET ticker/24hr",
        "ticker.24hr",
        _day_ticker,
        f"{_TICKER} type",
        by_presence("symbol", 2, 80),
        own=_FULL_OR_MINI,
    ),
    Operation(
        "GET ticker/tradingDay",
        "ticker.tradingDay",
        _trading_day,
        f"{_TICKER} timeZone type",
        4,
        own=_FULL_OR_MINI | {"timeZone": ZONE},
    ),
    Operation(
        "GET ticker",
        "ticker",
        _window_ticker,
        f"{_TICKER} windowSize type",
        4,
        own=_FULL_OR_MINI | {"windowSize": WINDOW},
    ),
    Operation("GET klines", "klines", _klines, _KLINES, 2, own=_KLINE_PARAMETERS),
    Operation("GET uiKlines", "uiKlines", _klines, _KLINES, 2, own=_KLINE_PARAMETERS),
)
