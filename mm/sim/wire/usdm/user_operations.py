"""The operations of users of USD-M: orders, positions, wallets, settings, listen keys."""

from collections.abc import Callable
from functools import partial
from typing import Any

from mm.instrument import decimal_text, short_text
from mm.sim.exchange import api_error
from mm.sim.exchange.accounts import DAY_US
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.orders import CANCELED, EXPIRED, UserOrder
from mm.sim.exchange.parameters import entries, words
from mm.sim.exchange.trades import TimeSpan, page, within
from mm.sim.exchange.usdm.conditional import Conditional
from mm.sim.wire.answers import Json
from mm.sim.wire.operations import by_presence
from mm.sim.wire.usdm.answers import rates
from mm.sim.wire.usdm.downloads import DOWNLOAD_PATH, DOWNLOADS, DOWNLOADS_KEPT_US
from mm.sim.wire.usdm.operation import DATA, V2, V3, UsdmCall, operation
from mm.sim.wire.usdm.parameters import (
    as_text,
    read_cancel,
    read_conditional,
    read_list,
    read_modification,
    read_new_order,
    read_position_side,
)

_DONE = {"code": 200, "msg": "success"}
_ADD, _TAKE = "1", "2"
_MOST_ORDERS, _MOST_CANCELS = 5, 10
"""The most entries of a batch."""
_TRADES_SPAN_US, _UNFILLED_KEPT_US, _ORDERS_KEPT_US = 7 * DAY_US, 3 * DAY_US, 90 * DAY_US
"""What an answer without an id covers of trades, and how long orders are known: without a fill, and at all."""
_FORCED_SPAN_US = 7 * DAY_US
_LONGEST_COUNTDOWN_MS = 7 * 86_400_000


# orders


def _place(call: UsdmCall) -> Json:
    new = read_new_order(call.parameters, call.exchange.rules, call.us, hedged=call.owner.wallet.hedged)
    order = call.exchange.place(call.us, call.account, new)
    return call.texts.order(order) if new.response == "RESULT" else call.texts.accepted(order)


def _test(call: UsdmCall) -> Json:
    new = read_new_order(call.parameters, call.exchange.rules, call.us, hedged=call.owner.wallet.hedged)
    call.exchange.check(call.account, new)
    return {}


def _modify(call: UsdmCall) -> Json:
    request, new = read_modification(call.parameters, call.exchange.rules)
    return call.texts.order(call.exchange.modify(call.us, call.account, request, new))


def _cancel(call: UsdmCall) -> Json:
    return call.texts.order(call.exchange.cancel(call.us, call.account, read_cancel(call.parameters)))


def _place_batch(call: UsdmCall) -> list[Json]:
    return [_attempt(_place, order) for order in _batch(call)]


def _modify_batch(call: UsdmCall) -> list[Json]:
    return [_attempt(_modify, order) for order in _batch(call)]


def _cancel_batch(call: UsdmCall) -> list[Json]:
    ids, names = (
        read_list(call.parameters, name) or read_list(call.parameters, name.lower())
        for name in ("orderIdList", "origClientOrderIdList")
    )
    if bool(ids) == bool(names):
        raise api_error.one_of_two("orderIdList", "origClientOrderIdList")
    name = "orderId" if ids else "origClientOrderId"
    _check_size(ids or names, _MOST_CANCELS)
    symbol = call.texts.symbol
    return [_attempt(_cancel, call.with_parameters({"symbol": symbol, name: str(order)})) for order in ids or names]


def _batch(call: UsdmCall) -> list[UsdmCall]:
    orders = read_list(call.parameters, "batchOrders")
    _check_size(orders, _MOST_ORDERS)
    if not all(isinstance(order, dict) for order in orders):
        raise api_error.not_valid("batchOrders")
    return [call.with_parameters({name: as_text(value) for name, value in order.items()}) for order in orders]


def _check_size(entries: list[Any], most: int) -> None:
    if not 1 <= len(entries) <= most:
        raise ApiError(-4082, f"Invalid number of batch place orders: {len(entries)}")


def _attempt(run: Callable[[UsdmCall], Json], call: UsdmCall) -> Json:
    try:
        return run(call)
    except ApiError as error:
        return error.content()


def _cancel_all(call: UsdmCall) -> Json:
    if call.exchange.users.open(call.account):
        call.exchange.cancel_all(call.us, call.account)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def _count_down(call: UsdmCall) -> Json:
    ms = call["countdownTime"]
    if ms > _LONGEST_COUNTDOWN_MS:
        raise api_error.not_valid("countdownTime")
    call.exchange.count_down(call.us, call.account, ms)
    return {"symbol": call.texts.symbol, "countdownTime": str(ms)}


def _find_order(call: UsdmCall) -> UserOrder:
    order_id, client_id = call.parameters.order_key()
    order, _ = call.exchange.users.find(call.account, order_id, "" if order_id is not None else client_id)
    if not order:
        raise api_error.no_such_order()
    return order


def _is_told(call: UsdmCall, order: UserOrder | Conditional) -> bool:
    """Return whether answers still know an order: for 90 days, three if it ended without a fill."""
    shown = call.exchange.shown_us
    if isinstance(order, Conditional):
        unfilled = order.status in (CANCELED, EXPIRED) and not (order.sent and order.sent.filled_lots)
    else:
        unfilled = not order.is_open and not order.filled_lots
    return shown(call.us) - shown(order.us) <= (_UNFILLED_KEPT_US if unfilled else _ORDERS_KEPT_US)


def _query(call: UsdmCall) -> Json:
    order = _find_order(call)
    if not _is_told(call, order):
        raise api_error.no_such_order()
    return call.texts.queried(order)


def _open_order(call: UsdmCall) -> Json:
    order = _find_order(call)
    if not order.is_open:
        raise api_error.no_such_order()
    return call.texts.queried(order)


def _moves(call: UsdmCall) -> list[Json]:
    span, limit = call.parameters.span(), call["limit"]
    order = _find_order(call)
    kept = [(at, move) for at, move in zip(order.moves[::-1], call.texts.moves(order), strict=True)]
    first_us, last_us = span.start_us or 0, span.end_us
    return [text for at, text in kept if first_us <= at[0] and (last_us is None or at[0] <= last_us)][:limit]


def _quantiles(call: UsdmCall) -> list[Json]:
    return [
        {"symbol": symbol_call.texts.symbol, "adlQuantile": symbol_call.texts.quantiles(symbol_call.owner)}
        for symbol_call in call.everywhere()
        if any(contract.lots for contract in symbol_call.owner.held)
    ]


def _open_orders(call: UsdmCall) -> list[Json]:
    return [
        symbol_call.texts.queried(order)
        for symbol_call in call.everywhere()
        for order in symbol_call.exchange.users.open(symbol_call.account)
    ]


def _all_orders(call: UsdmCall) -> list[Json]:
    first, span, limit = call["orderId"], call.parameters.span(), call["limit"]
    orders = call.exchange.users.all(call.account)
    shown = call.exchange.shown_us
    told = [order for order in orders if _is_told(call, order)]
    chosen = page(told, first, "order_id", _week(span, shown(call.us)), limit, lambda order: shown(order.us))
    return [call.texts.queried(order) for order in chosen]


def _own_trades(call: UsdmCall) -> list[Json]:
    order_id, first, shown = call["orderId"], call["fromId"], call.exchange.shown_us
    span, limit = call.parameters.span(), call["limit"]
    if span != (None, None) and first is not None:
        raise api_error.bad_combination()
    fills = [fill for fill in call.exchange.users.fills(call.account) if order_id in (None, fill.order_id)]
    week = _week(span, shown(call.us)) if order_id is None else span
    chosen = page(fills, first, "trade_id", week, limit, lambda fill: shown(fill.us))
    return [call.texts.own_trade(fill) for fill in chosen]


def _week(span: TimeSpan, now_us: int) -> TimeSpan:
    """The part of a span that an answer covers: seven days from its start, else up to its end, or now."""
    start_us, end_us = span
    if start_us is None:
        return TimeSpan((now_us if end_us is None else end_us) - _TRADES_SPAN_US, end_us)
    if end_us is not None and end_us - start_us > _TRADES_SPAN_US:
        raise ApiError(-1127, "Lookup interval is too big. More than 168 hours between startTime and endTime.")
    return TimeSpan(start_us, end_us or start_us + _TRADES_SPAN_US)


def _forced_orders(call: UsdmCall) -> list[Json]:
    kind, span, limit = call["autoCloseType"], call.parameters.span(), call["limit"]
    if span.start_us is None:
        span = TimeSpan((span.end_us or call.us) - _FORCED_SPAN_US, span.end_us)
    found = [
        (order, symbol_call.texts.forced(order))
        for symbol_call in call.everywhere()
        for order in symbol_call.exchange.forced
        if order.account == call.account and kind in ("", "ADL" if order.adl else "LIQUIDATION")
    ]
    found.sort(key=lambda pair: pair[0].us)
    return [text for _, text in within(found, span, len(found), lambda pair: pair[0].us)[-limit:]]


# conditional orders


def _place_conditional(call: UsdmCall) -> Json:
    new = read_conditional(call.parameters, call.exchange.rules, call.us, hedged=call.owner.wallet.hedged)
    return call.texts.conditional(call.exchange.place_conditional(call.us, call.account, new))


def _conditional(call: UsdmCall) -> tuple[UsdmCall, Conditional | None]:
    algo_id, client_id = call.parameters.order_key("algoId", "clientAlgoId")
    for symbol_call in call.everywhere():
        if found := symbol_call.exchange.conditionals.find(call.account, algo_id, client_id):
            return symbol_call, found
    return call, None


def _cancel_conditional(call: UsdmCall) -> Json:
    symbol_call, found = _conditional(call)
    order = symbol_call.exchange.conditionals.cancel(found)
    return {"algoId": order.algo_id, "clientAlgoId": order.client_id, "code": "200", "msg": "success"}


def _cancel_conditionals(call: UsdmCall) -> Json:
    for order in call.exchange.conditionals.open(call.account):
        call.exchange.conditionals.cancel(order)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def _query_conditional(call: UsdmCall) -> Json:
    symbol_call, found = _conditional(call)
    if found is None or not _is_told(call, found):
        raise api_error.no_such_order()
    return symbol_call.texts.conditional(found)


def _open_conditionals(call: UsdmCall) -> list[Json]:
    return [
        symbol_call.texts.conditional(order)
        for symbol_call in call.everywhere()
        for order in symbol_call.exchange.conditionals.open(call.account)
        if call["algoId"] in (None, order.algo_id)
    ]


def _all_conditionals(call: UsdmCall) -> list[Json]:
    first, limit = call["algoId"], call["limit"]
    shown, week = call.exchange.shown_us, _week(call.parameters.span(), call.exchange.shown_us(call.us))
    own = [order for order in call.exchange.conditionals.all.values() if order.account == call.account]
    told = [order for order in own if _is_told(call, order)]
    chosen = page(told, first, "algo_id", week, limit, lambda order: shown(order.us))
    return [call.texts.conditional(order) for order in chosen]


# positions and wallets


def _account(call: UsdmCall, *, old: bool) -> Json:
    return call.texts.account(call.owner, old=old)


def _balances(call: UsdmCall) -> list[Json]:
    return call.texts.balances(call.owner)


def _risks(call: UsdmCall, *, old: bool) -> list[Json]:
    contracts = [contract for symbol_call in call.everywhere() for contract in symbol_call.owner.held]
    return [call.texts.risk(call.owner, contract, old=old) for contract in contracts if old or contract.is_used]


def _income(call: UsdmCall) -> list[Json]:
    symbol, kind, limit = call["symbol"], call["incomeType"], call["limit"]
    shown, span = call.exchange.shown_us, call.parameters.span()
    now_us = shown(call.us)
    if span == (None, None):
        span = TimeSpan(now_us - _TRADES_SPAN_US, None)
    rows = [row for row in call.owner.wallet.income if symbol in (None, "", row.symbol) and kind in ("", row.kind)]
    rows = [row for row in rows if shown(row.us) >= now_us - _ORDERS_KEPT_US]
    chosen = within(rows, span, len(rows), lambda row: shown(row.us))
    begin = (call["page"] - 1) * limit
    if not call.parameters.given.get("startTime") and begin == 0:
        return [call.texts.income(row) for row in chosen[-limit:]]
    return [call.texts.income(row) for row in chosen[begin : begin + limit]]


def _commission(call: UsdmCall) -> Json:
    return {"symbol": call.texts.symbol} | rates(*call.exchange.settlement.rates_e8)


def _brackets(call: UsdmCall) -> list[Json]:
    return [symbol_call.texts.brackets() for symbol_call in call.everywhere()]


def _order_counts(call: UsdmCall) -> list[Json]:
    return call.owner.count.entries(call.us)


# settings


def _set_leverage(call: UsdmCall) -> Json:
    leverage = call["leverage"]
    call.exchange.set_leverage(call.us, call.account, leverage)
    most = short_text(call.exchange.rules.most_at_e8(leverage))
    return {"leverage": leverage, "maxNotionalValue": most, "symbol": call.texts.symbol}


def _set_margin_type(call: UsdmCall) -> Json:
    call.exchange.set_isolated(call.us, call.account, call["marginType"])
    return _DONE


def _change_margin(call: UsdmCall) -> Json:
    amount_e8, kind = call["amount"], call["type"]
    side = read_position_side(call.parameters, hedged=call.owner.wallet.hedged)
    if not amount_e8:
        raise ApiError(-4055, "Amount must be positive.")
    if kind not in (_ADD, _TAKE):
        raise api_error.not_valid("type")
    call.exchange.add_margin(call.us, call.account, amount_e8 if kind == _ADD else -amount_e8, side)
    text = decimal_text(amount_e8)
    return {"amount": float(text), "code": 200, "msg": "Successfully modify position margin.", "type": int(kind)}


def _is_hedged(call: UsdmCall) -> Json:
    return {"dualSidePosition": call.owner.wallet.hedged}


def _set_hedged(call: UsdmCall) -> Json:
    call.exchange.set_hedged(call.us, call.account, call["dualSidePosition"])
    return _DONE


def _is_multi_assets(call: UsdmCall) -> Json:
    return {"multiAssetsMargin": call.owner.wallet.multi_assets}


def _set_multi_assets(call: UsdmCall) -> Json:
    call.exchange.set_multi_assets(call.us, call.account, call["multiAssetsMargin"])
    return _DONE


def _account_config(call: UsdmCall) -> Json:
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": False,
        "canWithdraw": False,
        "dualSidePosition": call.owner.wallet.hedged,
        "updateTime": 0,
        "multiAssetsMargin": call.owner.wallet.multi_assets,
        "tradeGroupId": -1,
    }


def _symbol_configs(call: UsdmCall) -> list[Json]:
    return [
        {
            "symbol": contract.symbol,
            "marginType": "ISOLATED" if contract.isolated else "CROSSED",
            "isAutoAddMargin": False,
            "leverage": contract.leverage,
            "maxNotionalValue": short_text(rules.most_at_e8(contract.leverage)),
        }
        for contract, rules in ((one.owner.contract, one.exchange.rules) for one in call.everywhere())
    ]


def _margin_moves(call: UsdmCall) -> list[Json]:
    kind, wanted = call["type"], {_ADD: 1, _TAKE: -1}
    if kind and kind not in wanted:
        raise api_error.not_valid("type")
    every = [(*move, side) for side, contract in call.owner.contracts.items() for move in contract.margin_moves]
    moves = sorted(move for move in every if not kind or move[1] * wanted[kind] > 0)
    return [
        {
            "symbol": call.texts.symbol,
            "type": 1 if amount_e8 > 0 else 2,
            "deltaType": "USER_ADJUST",
            "amount": decimal_text(amount_e8),
            "asset": call.texts.asset,
            "time": call.texts.stamp(us),
            "positionSide": side,
            "clientTranId": "",
        }
        for us, amount_e8, side in within(moves, call.parameters.span(), call["limit"], lambda move: move[0])
    ]


def _set_fee_burn(call: UsdmCall) -> Json:
    if call["feeBurn"]:
        raise not_here()
    return _DONE


def _trading_status(call: UsdmCall) -> Json:
    shown = {
        symbol_call.texts.symbol: [
            {
                "isLocked": rule.until_us > call.us,
                "plannedRecoverTime": call.texts.stamp(rule.until_us) if rule.until_us > call.us else None,
                "indicator": name,
                "value": rule.value,
                "triggerValue": rule.trigger,
            }
            for name, rule in symbol_call.exchange.trading_rules.get(call.account, {}).items()
        ]
        for symbol_call in call.everywhere()
    }
    found = {symbol: rules for symbol, rules in shown.items() if rules}
    return {"indicators": found, "updateTime": call.texts.stamp(call.us)}


def _refuse(_: UsdmCall) -> Json:
    raise not_here()


def not_here() -> ApiError:
    return ApiError(-4084, "Method is not allowed currently. Upcoming soon.")


# downloads


def _ask_for(kind: str) -> Callable[[UsdmCall], Json]:
    def ask(call: UsdmCall) -> Json:
        span = call.parameters.span()
        number = call.keys.downloads.ask(call.account, kind, span, call.us)
        return {"avgCostTimestampOfLast30d": 0, "downloadId": str(number)}

    return ask


def _download(call: UsdmCall) -> Json:
    found = call.keys.downloads.find(call.account, call["downloadId"])
    if found is None:
        raise api_error.not_valid("downloadId")
    number, asked = found
    ends_us = asked.us + DOWNLOADS_KEPT_US
    return {
        "downloadId": str(number),
        "status": "completed",
        "url": f"{DOWNLOAD_PATH}?id={number}" if call.us < ends_us else "",
        "notified": True,
        "expirationTimestamp": call.texts.stamp(ends_us),
        "isExpired": call.us >= ends_us,
    }


# listen keys


def _start_stream(call: UsdmCall) -> Json:
    return {"listenKey": call.keys.start(call.account, call.us)}


def _keep_stream(call: UsdmCall) -> Json:
    return {"listenKey": call.keys.keep(call.account, call.us)}


def _stop_stream(call: UsdmCall) -> Json:
    call.keys.stop(call.account, call.us)
    return {}


_ORDER = (
    "symbol side positionSide type timeInForce quantity reduceOnly price newClientOrderId stopPrice closePosition "
    "activationPrice callbackRate workingType priceProtect newOrderRespType priceMatch selfTradePreventionMode "
    "goodTillDate"
)
"""All parameters of a new order that the exchange recognises, including parameters of orders that are refused."""
_CONDITIONAL = (
    "algoType symbol side positionSide type timeInForce quantity price triggerPrice workingType priceMatch "
    "closePosition priceProtect reduceOnly activatePrice callbackRate clientAlgoId newOrderRespType "
    "selfTradePreventionMode goodTillDate"
)
_WHICH_CONDITIONAL = "symbol algoId clientAlgoId"
_MODIFIED = "orderId origClientOrderId symbol! side quantity price priceMatch positionSide origType"
_WHICH = "symbol! orderId origClientOrderId"
_LISTS = "symbol! orderIdList origClientOrderIdList orderidlist origclientorderidlist"
"""Lists of a batch; ccxt and python-binance send their names in lower case, which the exchange takes too."""
_signed = partial(operation, signed=True)
_setting = partial(operation, signed=True, of_orders=False)
_stream = partial(operation, names="listenKey", keyed=True)
_OPEN_WEIGHT = by_presence("symbol", 1, 40)
_old_account, _new_account = partial(_account, old=True), partial(_account, old=False)
_old_risks, _new_risks = partial(_risks, old=True), partial(_risks, old=False)
_INCOME: dict[str, Any] = {"limit": entries(100, 1_000)}
_FORCED = "symbol autoCloseType startTime endTime limit"
_FORCED_LIMIT = {
    "limit": entries(50, 100),
    "autoCloseType": words("LIQUIDATION", "ADL", default=""),
}
_ALL, _MOVES = {"limit": entries(500, 1_000)}, {"limit": entries(50, 100)}
_NOT_HERE = {
    "allForceOrders": "symbol startTime endTime limit",
    "tradingSchedule": "",
    "convert/exchangeInfo": "fromAsset toAsset",
}
_DATA_NOT_HERE = ("topLongShortAccountRatio", "topLongShortPositionRatio", "globalLongShortAccountRatio", "basis")
_DATA_NAMES = "symbol pair contractType period startTime endTime limit"
"""What the exchange has, and the box refuses."""
USER_OPERATIONS = (
    _signed("POST order", "order.place", _place, _ORDER, 0, counts_orders=True),
    operation("POST order/test", "", _test, _ORDER, 1, signed=True, of_orders=False),
    _signed("PUT order", "order.modify", _modify, _MODIFIED, 0, counts_orders=True),
    _signed("POST batchOrders", "", _place_batch, "batchOrders!", 5, counts_orders=True),
    _signed("PUT batchOrders", "", _modify_batch, "batchOrders!", 5, counts_orders=True),
    _signed("DELETE batchOrders", "", _cancel_batch, _LISTS),
    _signed("DELETE order", "order.cancel", _cancel, _WHICH),
    _signed("DELETE allOpenOrders", "", _cancel_all, "symbol!"),
    _signed("POST countdownCancelAll", "", _count_down, "symbol! countdownTime!", 10),
    _signed("GET order", "order.status", _query, _WHICH),
    _signed("GET openOrder", "", _open_order, _WHICH),
    _signed("POST algoOrder", "algoOrder.place", _place_conditional, _CONDITIONAL, 0, counts_orders=True),
    _signed("DELETE algoOrder", "algoOrder.cancel", _cancel_conditional, _WHICH_CONDITIONAL),
    _signed("DELETE algoOpenOrders", "", _cancel_conditionals, "symbol!"),
    _signed("GET algoOrder", "", _query_conditional, _WHICH_CONDITIONAL),
    _signed("GET openAlgoOrders", "", _open_conditionals, "algoType symbol algoId", _OPEN_WEIGHT),
    _signed("GET allAlgoOrders", "", _all_conditionals, "symbol! algoId startTime endTime page limit", 5, own=_ALL),
    _signed("GET orderAmendment", "", _moves, f"{_WHICH} startTime endTime limit", own=_MOVES),
    _signed("GET adlQuantile", "", _quantiles, "symbol", 5),
    _signed("GET openOrders", "", _open_orders, "symbol", _OPEN_WEIGHT),
    _signed("GET allOrders", "", _all_orders, "symbol! orderId startTime endTime limit", 5, own=_ALL),
    _signed("GET userTrades", "", _own_trades, "symbol! orderId startTime endTime fromId limit", 5, own=_ALL),
    _signed("GET forceOrders", "", _forced_orders, _FORCED, by_presence("symbol", 20, 50), own=_FORCED_LIMIT),
    _signed("GET account", "account.status", _old_account, "", 5, root=V2),
    _signed("GET account", "v2/account.status", _new_account, "", 5, root=V3),
    _signed("GET balance", "account.balance", _balances, "", 5, root=V2),
    _signed("GET balance", "v2/account.balance", _balances, "", 5, root=V3),
    _signed("GET positionRisk", "account.position", _old_risks, "symbol", 5, root=V2),
    _signed("GET positionRisk", "v2/account.position", _new_risks, "symbol", 5, root=V3),
    _signed("GET income", "", _income, "symbol incomeType startTime endTime page limit", 30, own=_INCOME),
    _signed("GET commissionRate", "", _commission, "symbol!", 20),
    _signed("GET leverageBracket", "", _brackets, "symbol"),
    _signed("GET rateLimit/order", "", _order_counts),
    _setting("POST leverage", "", _set_leverage, "symbol! leverage!"),
    _setting("POST marginType", "", _set_margin_type, "symbol! marginType!"),
    _setting("POST positionMargin", "", _change_margin, "symbol! positionSide amount! type!"),
    _signed("GET positionSide/dual", "", _is_hedged, "", 30),
    _setting("POST positionSide/dual", "", _set_hedged, "dualSidePosition!"),
    _signed("GET multiAssetsMargin", "", _is_multi_assets, "", 30),
    _setting("POST multiAssetsMargin", "", _set_multi_assets, "multiAssetsMargin!"),
    _signed("GET accountConfig", "", _account_config, "", 5),
    _signed("GET symbolConfig", "", _symbol_configs, "symbol", 5),
    _signed("GET positionMargin/history", "", _margin_moves, "symbol! type startTime endTime limit", own=_ALL),
    _signed("GET feeBurn", "", lambda _: {"feeBurn": False}),
    _setting("POST feeBurn", "", _set_fee_burn, "feeBurn!"),
    _signed("GET apiTradingStatus", "", _trading_status, "symbol", by_presence("symbol", 1, 10)),
    *(_signed(f"GET {kind}/asyn", "", _ask_for(kind), "startTime! endTime!", 1_000) for kind in DOWNLOADS),
    *(_signed(f"GET {kind}/asyn/id", "", _download, "downloadId!", 10) for kind in DOWNLOADS),
    _signed("GET pmAccountInfo", "", _refuse, "asset", 5),
    *(operation(f"GET {path}", "", _refuse, names) for path, names in _NOT_HERE.items()),
    *(operation(f"GET {path}", "", _refuse, _DATA_NAMES, 0, root=DATA) for path in _DATA_NOT_HERE),
    _stream("POST listenKey", "userDataStream.start", _start_stream),
    _stream("PUT listenKey", "userDataStream.ping", _keep_stream),
    _stream("DELETE listenKey", "userDataStream.stop", _stop_stream),
)
