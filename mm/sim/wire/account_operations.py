"""What users ask about their accounts."""

from collections.abc import Callable
from typing import Any

from mm.sim.exchange import api_error
from mm.sim.exchange.accounts import ORDER_LIMITS
from mm.sim.exchange.trades import read_day_span, within
from mm.sim.wire import account_answers, order_answers
from mm.sim.wire.operations import Call, Operation, Weigh, by_presence, flat
from mm.sim.wire.symbol_texts import Json


def _account(call: Call) -> Json:
    return account_answers.account(call.texts, call.owner, omit_zero=call.asked.flag("omitZeroBalances", False))


def _commission(call: Call) -> Json:
    call.asked.symbol()
    return account_answers.commission(call.texts)


def _all_orders(call: Call) -> list[Json]:
    asked = call.asked
    asked.symbol()
    first, span, limit = asked.whole("orderId"), read_day_span(asked), asked.limit(500, 1_000)
    orders = call.exchange.users.all(call.account)
    if first is None:
        found = within(orders, span, limit, lambda order: order.us)
    else:
        found = [order for order in orders if order.order_id >= first][:limit]
    return [order_answers.queried(call.texts, order) for order in found]


def _my_trades(call: Call) -> list[Json]:
    asked = call.asked
    asked.symbol()
    order_id, first = asked.whole("orderId"), asked.whole("fromId")
    span, limit = read_day_span(asked), asked.limit(500, 1_000)
    if span != (None, None) and (first, order_id) != (None, None):
        raise api_error.bad_combination()
    fills = [fill for fill in call.exchange.users.fills(call.account) if order_id in (None, fill.order_id)]
    if first is None:
        found = within(fills, span, limit, lambda fill: fill.us)
    else:
        found = [fill for fill in fills if fill.trade_id >= first][:limit]
    return [account_answers.trade(call.texts, fill) for fill in found]


def _prevented_matches(call: Call) -> list[Json]:
    asked = call.asked
    asked.symbol()
    match_id, order_id = asked.whole("preventedMatchId"), asked.whole("orderId")
    first, limit = asked.whole("fromPreventedMatchId"), asked.limit(500, 1_000)
    if (match_id is None) == (order_id is None) or (first is not None and order_id is None):
        raise api_error.bad_combination()
    found = [
        match
        for match in call.exchange.users.prevented(call.account)
        if match_id in (None, match.match_id)
        and (order_id is None or order_id in (match.taker_id, match.maker_id))
        and match.match_id >= (first or 0)
    ]
    return [account_answers.prevented(call.texts, match) for match in found[:limit]]


def _order_counts(call: Call) -> list[Json]:
    counts = call.owner.count.counts(call.us)
    return [limit.entry() | {"count": count} for limit, count in zip(ORDER_LIMITS, counts, strict=True)]


def _filters(call: Call) -> Json:
    call.asked.symbol()
    return {"exchangeFilters": [], "symbolFilters": call.exchange.rules.filters(), "assetFilters": []}


def _ask(path: str, method: str, act: Callable[[Call], Any], parameters: tuple[str, ...], weight: Weigh) -> Operation:
    return Operation(
        route=("GET", f"/api/v3/{path}"), method=method, act=act, parameters=parameters, weight=weight, signed=True
    )


ACCOUNT_OPERATIONS = (
    _ask("account", "account.status", _account, ("omitZeroBalances",), flat(20)),
    _ask("account/commission", "account.commission", _commission, ("symbol",), flat(20)),
    _ask("allOrders", "allOrders", _all_orders, ("symbol", "orderId", "startTime", "endTime", "limit"), flat(20)),
    _ask(
        "myTrades",
        "myTrades",
        _my_trades,
        ("symbol", "orderId", "startTime", "endTime", "fromId", "limit"),
        by_presence("orderId", 5, 20),
    ),
    _ask(
        "myPreventedMatches",
        "myPreventedMatches",
        _prevented_matches,
        ("symbol", "preventedMatchId", "orderId", "fromPreventedMatchId", "limit"),
        by_presence("orderId", 20, 2),
    ),
    _ask("rateLimit/order", "account.rateLimits.orders", _order_counts, (), flat(40)),
    _ask("myFilters", "myFilters", _filters, ("symbol",), flat(40)),
)
