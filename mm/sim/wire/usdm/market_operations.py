"""The public operations of USD-M: clock, rules, book, trades, mark prices, funding."""

from collections.abc import Mapping

from mm.instrument import decimal_text
from mm.sim.exchange import api_error
from mm.sim.exchange.accounts import DAY_US, RateLimit
from mm.sim.exchange.parameters import entries
from mm.sim.exchange.trades import MarketTrade, within
from mm.sim.exchange.usdm.wallet import ORDER_LIMITS
from mm.sim.wire.answers import NONE_ID, ZERO, Json
from mm.sim.wire.operations import by_presence
from mm.sim.wire.usdm.operation import V2, UsdmCall, operation
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
    """Return trades without those of the insurance fund and of auto-deleveraging."""
    return [call.texts.market_trade(trade) for trade in trades if not trade.aside]


def _agg_trades(call: UsdmCall) -> list[Json]:
    aggregates, from_id, span, limit = call.exchange.aggregates, call["fromId"], call.parameters.span(), call["limit"]
    if from_id is not None and span != (None, None):
        raise api_error.bad_combination()
    trades = aggregates.within(span, limit) if from_id is None else aggregates.since_id(from_id, limit)
    return [call.texts.aggregate_trade(trade) for trade in trades]


def _price(call: UsdmCall) -> Json | list[Json]:
    last = call.exchange.tape.last
    price = call.texts.price(last.ticks) if last else ZERO
    return _one_or_all(call, {"price": price, "time": call.texts.stamp(last.us if last else call.us)})


def _book_ticker(call: UsdmCall) -> Json | list[Json]:
    update_id, bids, asks = call.exchange.depth(1)
    (bid, bid_qty), (ask, ask_qty) = (levels[0] if levels else (ZERO, ZERO) for levels in (bids, asks))
    best = {"bidPrice": bid, "bidQty": bid_qty, "askPrice": ask, "askQty": ask_qty}
    return _one_or_all(call, best | {"time": call.texts.stamp(call.us), "lastUpdateId": update_id})


def _day_ticker(call: UsdmCall) -> Json | list[Json]:
    texts, tape = call.texts, call.exchange.tape
    bar, last = tape.day(call.us), tape.last
    ticks = (bar.open_ticks, bar.high_ticks, bar.low_ticks, bar.close_ticks) if bar else (0, 0, 0, 0)
    names = ("openPrice", "highPrice", "lowPrice", "lastPrice")
    moved = bar.close_ticks - bar.open_ticks if bar else 0
    thousandths = abs(moved) * 100_000 // bar.open_ticks if bar else 0
    return _one_or_all(
        call,
        {
            "priceChange": decimal_text(moved * call.exchange.rules.instrument.tick_e8),
            "priceChangePercent": decimal_text(-thousandths if moved < 0 else thousandths, 3),
            "weightedAvgPrice": texts.mean_price(bar.turnover_tl, bar.volume_lots) if bar else ZERO,
            "lastQty": texts.qty(last.lots if last else 0),
            **{name: texts.price(at) for name, at in zip(names, ticks, strict=True)},
            "volume": texts.qty(bar.volume_lots if bar else 0),
            "quoteVolume": texts.worth(bar.turnover_tl if bar else 0),
            "openTime": texts.stamp(call.us - DAY_US),
            "closeTime": texts.stamp(call.us),
            "firstId": bar.first_id if bar else NONE_ID,
            "lastId": bar.last_id if bar else NONE_ID,
            "count": bar.last_id - bar.first_id + 1 if bar else 0,
        },
    )


def _premium(call: UsdmCall) -> Json | list[Json]:
    premiums = call.texts.premium(call.exchange.told(call.us))
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
    held_e8 = [call.exchange.account(account).contract.amount_e8 for account in call.exchange.accounts]
    held_e8.append(call.exchange.settlement.market.base.free)
    long_e8 = sum(max(0, amount_e8) for amount_e8 in held_e8)
    return {"openInterest": decimal_text(long_e8), "symbol": call.texts.symbol, "time": call.texts.stamp(call.us)}


def _one_or_all(call: UsdmCall, ticker: Json) -> Json | list[Json]:
    entry = {"symbol": call.texts.symbol} | ticker
    return entry if call["symbol"] else [entry]


_TICKER_WEIGHT, _PRICE_WEIGHT = by_presence("symbol", 2, 5), by_presence("symbol", 1, 2)
_LIMIT_AGGREGATES = {"limit": entries(500, 1_000)}
MARKET_OPERATIONS = (
    operation("GET ping", "ping", lambda _: {}),
    operation("GET time", "time", lambda call: {"serverTime": call.texts.stamp(call.us)}),
    operation("GET exchangeInfo", "exchangeInfo", _exchange_info),
    operation("GET depth", "depth", _depth, "symbol! limit", _depth_weight, own={"limit": DEPTH_LIMIT}),
    operation("GET trades", "", _trades, "symbol! limit", 5),
    operation("GET historicalTrades", "", _historical_trades, "fromId symbol! limit", 20, keyed=True),
    operation("GET aggTrades", "", _agg_trades, "symbol! fromId startTime endTime limit", 20, own=_LIMIT_AGGREGATES),
    operation("GET ticker/price", "", _price, "symbol", _PRICE_WEIGHT),
    operation("GET ticker/price", "ticker.price", _price, "symbol", _PRICE_WEIGHT, root=V2),
    operation("GET ticker/bookTicker", "ticker.book", _book_ticker, "symbol", _TICKER_WEIGHT),
    operation("GET ticker/24hr", "", _day_ticker, "symbol", by_presence("symbol", 1, 40)),
    operation("GET premiumIndex", "", _premium, "symbol", by_presence("symbol", 1, 10)),
    operation("GET fundingRate", "", _payments, "symbol startTime endTime limit", own={"limit": entries(100, 1_000)}),
    operation("GET fundingInfo", "", _funding_info, "", 0),
    operation("GET insuranceBalance", "", _insurance, "symbol"),
    operation("GET openInterest", "", _open_interest, "symbol!"),
)
