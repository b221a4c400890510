"""The public operations of USD-M: clock, rules, book, trades, mark prices, funding."""

from collections.abc import Callable, Mapping
from typing import Any

from mm.instrument import decimal_text
from mm.sim.exchange.accounts import DAY_US, RateLimit
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.klines import Intervals, Kline, klines
from mm.sim.exchange.parameters import any_text, entries, words
from mm.sim.exchange.trades import MarketTrade, MinuteBars, within
from mm.sim.exchange.usdm.wallet import ORDER_LIMITS
from mm.sim.wire.answers import ZERO, Json
from mm.sim.wire.bars import MINUTE_INTERVAL, best_prices, kline, sampled_kline, statistics, weight_of_klines
from mm.sim.wire.operations import Operation, agg_trades, by_presence
from mm.sim.wire.usdm.operation import DATA, V2, UsdmCall, operation
from mm.sim.wire.usdm.parameters import DEPTH_LIMIT

WEIGHT = RateLimit("REQUEST_WEIGHT", "MINUTE", 1, 2_400)
_DEPTH_WEIGHTS = ((50, 2), (100, 5), (500, 10))
_DEEPEST_WEIGHT = 20


def _exchange_info(call: UsdmCall) -> Json:
    rules = call.exchange.rules
    asset = {"asset": rules.instrument.quote_asset, "marginAvailable": True, "autoAssetExchange": "0"}
    return {
        "timezone": "UTC",
        "serverTime": call.texts.stamp(call.us),
        "futuresType": "U_MARGINED",
        "rateLimits": [limit.entry() for limit in (WEIGHT, *ORDER_LIMITS)],
        "exchangeFilters": [],
        "assets": [asset],
        "symbols": [exchange.rules.entry() for exchange in call.exchanges if exchange.rules.listed],
    }


def _depth(call: UsdmCall) -> Json:
    update_id, bids, asks = call.exchange.depth(call["limit"])
    us = call.texts.stamp(call.us)
    return {"lastUpdateId": update_id, "E": us, "T": us, "bids": bids, "asks": asks}


def _depth_weight(given: Mapping[str, str]) -> int:
    text = given.get("limit", "500")
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 1
    return next((weight for most, weight in _DEPTH_WEIGHTS if limit <= most), _DEEPEST_WEIGHT)


def _trades(call: UsdmCall) -> list[Json]:
    return _of_the_book(call, call.exchange.tape.trades.latest(call["limit"]))


def _historical_trades(call: UsdmCall) -> list[Json]:
    from_id = call["fromId"]
    if from_id is None:
        return _trades(call)
    return _of_the_book(call, call.exchange.tape.trades.since_id(from_id, call["limit"]))


def _of_the_book(call: UsdmCall, trades: list[MarketTrade]) -> list[Json]:
    return [call.texts.market_trade(trade) for trade in trades if not trade.aside]


def _price(call: UsdmCall) -> Json | list[Json]:
    last = call.exchange.tape.last
    price = call.texts.price(last.ticks) if last else ZERO
    return _one_or_all(call, {"price": price, "time": call.texts.stamp(last.us if last else call.us)})


def _book_ticker(call: UsdmCall) -> Json | list[Json]:
    times = {"time": call.texts.stamp(call.us), "lastUpdateId": call.exchange.update_id}
    return _one_or_all(call, best_prices(call.exchange) | times)


def _day_ticker(call: UsdmCall) -> Json | list[Json]:
    texts, tape = call.texts, call.exchange.tape
    last = {"lastQty": texts.qty(tape.last.lots if tape.last else 0)}
    span = {"openTime": texts.stamp(call.us - DAY_US), "closeTime": texts.stamp(call.us)}
    return _one_or_all(call, statistics(call.exchange, texts, tape.day(call.us)) | last | span)


def _klines(call: UsdmCall) -> list[list[Any]]:
    return [kline(call.texts, made) for made in _klines_asked(call, call.exchange.tape.minutes)]


def _continuous_klines(call: UsdmCall) -> list[list[Any]]:
    _check_pair(call)
    if call["contractType"] != "PERPETUAL":
        raise ApiError(-4104, "Invalid contract type")
    return _klines(call)


def _mark_klines(call: UsdmCall) -> list[list[Any]]:
    return [sampled_kline(call.texts, made) for made in _klines_asked(call, call.exchange.marks)]


def _index_klines(call: UsdmCall) -> list[list[Any]]:
    _check_pair(call)
    return _mark_klines(call)


def _premium_klines(call: UsdmCall) -> list[list[Any]]:
    """The premium of the mark price over the index, which are the same."""
    none = {"open_ticks": 0, "high_ticks": 0, "low_ticks": 0, "close_ticks": 0}
    made = _klines_asked(call, call.exchange.marks)
    return [sampled_kline(call.texts, one._replace(bar=one.bar._replace(**none))) for one in made]


def _klines_asked(call: UsdmCall, source: MinuteBars) -> list[Kline]:
    interval, span, limit = call["interval"], call.parameters.span(), call["limit"]
    return klines(source, Intervals(interval), span, limit, call.us)


def _check_pair(call: UsdmCall) -> None:
    if call["pair"] != call.texts.symbol:
        raise ApiError(-4144, "Invalid pair.")


def _premium(call: UsdmCall) -> Json | list[Json]:
    premiums = call.texts.premium(call.exchange.mark_told(call.us))
    return _one_or_all(call, premiums)


def _payments(call: UsdmCall) -> list[Json]:
    payments = within(call.exchange.payments, call.parameters.span(), call["limit"], lambda paid: paid.us)
    return [call.texts.payment(paid) for paid in payments]


def _funding_info(call: UsdmCall) -> list[Json]:
    hours, rest = divmod(call.exchange.terms.interval_us, 3_600 * 10**6)
    entry = {
        "symbol": call.texts.symbol,
        "adjustedFundingRateCap": "0.02000000",
        "adjustedFundingRateFloor": "-0.02000000",
        "fundingIntervalHours": call.exchange.terms.interval_us / 3_600e6 if rest else hours,
    }
    return [entry | {"disclaimer": False}]


def _insurance(call: UsdmCall) -> Json | list[Json]:
    symbols = [exchange.rules.instrument.symbol for exchange in call.exchanges]
    fund = call.texts.fund(call.us, symbols)
    return fund if call["symbol"] else [fund]


def _open_interest(call: UsdmCall) -> Json:
    held = decimal_text(call.exchange.open_interest_e8)
    return {"openInterest": held, "symbol": call.texts.symbol, "time": call.texts.stamp(call.us)}


def _interest_history(call: UsdmCall) -> list[Json]:
    period_us, samples = _PERIODS_US[call["period"]], call.exchange.interest
    chosen = [one for one in samples if one.us % period_us == 0]
    return [
        {
            "symbol": call.texts.symbol,
            "sumOpenInterest": decimal_text(one.amount_e8),
            "sumOpenInterestValue": decimal_text(one.worth_e8),
            "timestamp": call.texts.stamp(one.us),
        }
        for one in within(chosen, call.parameters.span(), call["limit"], lambda one: one.us)
    ]


def _taker_volumes(call: UsdmCall) -> list[Json]:
    tape, span, texts = call.exchange.tape, call.parameters.span(), call.texts
    made = klines(tape.minutes, Intervals(call["period"]), span, call["limit"], call.us)
    volumes = [(one.us, one.bar.bought_lots, one.bar.volume_lots - one.bar.bought_lots) for one in made]
    return [
        {
            "buySellRatio": decimal_text(bought * 10_000 // sold, 4) if sold else "0.0000",
            "buyVol": texts.qty(bought),
            "sellVol": texts.qty(sold),
            "timestamp": texts.stamp(us),
        }
        for us, bought, sold in volumes
    ]


def _constituents(call: UsdmCall) -> Json:
    price = decimal_text(call.exchange.mark.e8)
    own = {"exchange": "simulated", "symbol": call.texts.symbol, "price": price, "weight": "1.00000000"}
    return {"symbol": call.texts.symbol, "time": call.texts.stamp(call.us), "constituents": [own]}


def _adl_risk(call: UsdmCall) -> Json | list[Json]:
    risk = "low" if call.exchange.terms.fund.balance_e8 > 0 else "high"
    return _one_or_all(call, {"adlRisk": risk, "updateTime": call.texts.stamp(call.us)})


def _asset_index(call: UsdmCall) -> Json | list[Json]:
    asset, one, none = f"{call.texts.asset}USD", "1.00000000", "0.00000000"
    names = ("bidBuffer", "askBuffer", "autoExchangeBidBuffer", "autoExchangeAskBuffer")
    rates = dict.fromkeys(("index", "bidRate", "askRate", "autoExchangeBidRate", "autoExchangeAskRate"), one)
    named = call.parameters.given.get("symbol")
    if named not in (None, asset):
        raise ApiError(-1121, "Invalid symbol.")
    entry = {"symbol": asset, "time": call.texts.stamp(call.us)} | rates | dict.fromkeys(names, none)
    return entry if named else [entry]


def _one_or_all(call: UsdmCall, ticker: Json) -> Json | list[Json]:
    entry = {"symbol": call.texts.symbol} | ticker
    return entry if call["symbol"] else [entry]


def _klines_of(path: str, run: Callable[[UsdmCall], list[list[Any]]], which: str) -> Operation:
    own = {"interval": MINUTE_INTERVAL, "limit": entries(500, 1_500), "pair": any_text(), "contractType": any_text()}
    return operation(f"GET {path}", "", run, f"{which} interval! startTime endTime limit", weight_of_klines, own=own)


_TICKER_WEIGHT, _PRICE_WEIGHT = by_presence("symbol", 2, 5), by_presence("symbol", 1, 2)
_PERIODS_US = {name: Intervals(name).end(0) for name in ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")}
_PERIOD = "symbol! period! startTime endTime limit"
_PERIOD_PARAMETERS = {"period": words(*_PERIODS_US), "limit": entries(30, 500)}
_LIMIT_AGGREGATES = {"limit": entries(500, 1_000)}
MARKET_OPERATIONS = (
    operation("GET ping", "ping", lambda _: {}),
    operation("GET time", "time", lambda call: {"serverTime": call.texts.stamp(call.us)}),
    operation("GET exchangeInfo", "exchangeInfo", _exchange_info),
    operation("GET depth", "depth", _depth, "symbol! limit", _depth_weight, own={"limit": DEPTH_LIMIT}),
    operation("GET trades", "", _trades, "symbol! limit", 5),
    operation("GET historicalTrades", "", _historical_trades, "fromId symbol! limit", 20, keyed=True),
    operation("GET aggTrades", "", agg_trades, "symbol! fromId startTime endTime limit", 20, own=_LIMIT_AGGREGATES),
    operation("GET ticker/price", "", _price, "symbol", _PRICE_WEIGHT),
    operation("GET ticker/price", "ticker.price", _price, "symbol", _PRICE_WEIGHT, root=V2),
    operation("GET ticker/bookTicker", "ticker.book", _book_ticker, "symbol", _TICKER_WEIGHT),
    operation("GET ticker/24hr", "", _day_ticker, "symbol", by_presence("symbol", 1, 40)),
    _klines_of("klines", _klines, "symbol!"),
    _klines_of("continuousKlines", _continuous_klines, "pair! contractType!"),
    _klines_of("markPriceKlines", _mark_klines, "symbol!"),
    _klines_of("indexPriceKlines", _index_klines, "pair!"),
    _klines_of("premiumIndexKlines", _premium_klines, "symbol!"),
    operation("GET premiumIndex", "", _premium, "symbol", by_presence("symbol", 1, 10)),
    operation("GET fundingRate", "", _payments, "symbol startTime endTime limit", own={"limit": entries(100, 1_000)}),
    operation("GET fundingInfo", "", _funding_info, "", 0),
    operation("GET insuranceBalance", "", _insurance, "symbol"),
    operation("GET openInterest", "", _open_interest, "symbol!"),
    operation("GET rpiDepth", "", _depth, "symbol! limit", 20, own={"limit": DEPTH_LIMIT}),
    operation("GET constituents", "", _constituents, "symbol!", 2),
    operation("GET symbolAdlRisk", "", _adl_risk, "symbol timestamp recvWindow signature"),
    operation("GET assetIndex", "", _asset_index, "symbol", by_presence("symbol", 1, 10)),
    operation("GET indexInfo", "", lambda _: [], "symbol"),
    operation("GET openInterestHist", "", _interest_history, _PERIOD, 0, root=DATA, own=_PERIOD_PARAMETERS),
    operation("GET takerlongshortRatio", "", _taker_volumes, _PERIOD, 0, root=DATA, own=_PERIOD_PARAMETERS),
    operation("GET delivery-price", "", lambda _: [], "pair!", 0, root=DATA, own={"pair": any_text()}),
)
