"""From the parameters of a request to an order on the grid, or to the exchange's error."""

from mm.sim.exchange import api_error
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.order import NewOrder
from mm.sim.exchange.parameters import Parameters
from mm.sim.exchange.requests import CancelRequest
from mm.sim.exchange.rules import ORDER_TYPES, STP_MODES, SymbolRules

ORDER_PARAMETERS = (
    "symbol",
    "side",
    "type",
    "timeInForce",
    "quantity",
    "quoteOrderQty",
    "price",
    "newClientOrderId",
    "strategyId",
    "strategyType",
    "stopPrice",
    "trailingDelta",
    "icebergQty",
    "newOrderRespType",
    "selfTradePreventionMode",
)
"""Every parameter of a new order that the exchange reads, if only to refuse it."""
CANCEL_PARAMETERS = ("symbol", "orderId", "origClientOrderId", "newClientOrderId", "cancelRestrictions")
REPLACE_PARAMETERS = (
    *ORDER_PARAMETERS,
    "cancelReplaceMode",
    "cancelNewClientOrderId",
    "cancelOrigClientOrderId",
    "cancelOrderId",
    "cancelRestrictions",
    "orderRateLimitExceededMode",
)
AMEND_PARAMETERS = ("symbol", "orderId", "origClientOrderId", "newClientOrderId", "newQty")

_SIDES = {"BUY": +1, "SELL": -1}
_TIMES = ("GTC", "IOC", "FOK")
_RESPONSES = ("ACK", "RESULT", "FULL")
_NOT_HERE = {
    "STOP_LOSS": "Stop loss orders are",
    "STOP_LOSS_LIMIT": "Stop loss limit orders are",
    "TAKE_PROFIT": "Take profit orders are",
    "TAKE_PROFIT_LIMIT": "Take profit limit orders are",
    "icebergQty": "Iceberg orders are",
    "trailingDelta": "Trailing stop orders are",
}
_UNWANTED = {
    "LIMIT": ("quoteOrderQty", "stopPrice"),
    "LIMIT_MAKER": ("timeInForce", "quoteOrderQty", "stopPrice"),
    "MARKET": ("timeInForce", "price", "stopPrice"),
}
_LEAST_STRATEGY = 1_000_000
_RESTRICTIONS = ("ONLY_NEW", "ONLY_PARTIALLY_FILLED")


def read_new_order(asked: Parameters, rules: SymbolRules) -> NewOrder:
    """Return the order that the parameters describe; raises ApiError where they describe none that the symbol takes."""
    asked.symbol()
    side = asked.one_of("side", _SIDES, ApiError(-1117, "Invalid side."))
    order_type = _read_type(asked)
    is_market = order_type == "MARKET"
    quantity, quote = asked.decimal_e8("quantity"), asked.decimal_e8("quoteOrderQty")
    if is_market and quantity is None and quote is None:
        raise api_error.one_of_two("quantity", "quoteOrderQty")
    if quantity is not None and quote is not None:
        raise api_error.not_required("quoteOrderQty")
    if quote == 0:
        raise api_error.invalid_message("Invalid quote order quantity.")
    if quantity is None and not is_market:
        raise api_error.mandatory("quantity")
    times = dict(zip(_TIMES, _TIMES, strict=True))
    return NewOrder(
        side=side,
        type=order_type,
        time_in_force=asked.one_of("timeInForce", times, ApiError(-1115, "Invalid timeInForce."))
        if order_type == "LIMIT"
        else "GTC",
        ticks=0 if is_market else rules.ticks(asked.needs_e8("price")),
        lots=0 if quantity is None else rules.lots(quantity, market=is_market),
        quote_e8=quote or 0,
        client_id=asked.client_id("newClientOrderId"),
        stp=_read_stp(asked, rules),
        response=asked.word("newOrderRespType", _RESPONSES, "ACK" if order_type == "LIMIT_MAKER" else "FULL"),
        strategy_id=asked.whole("strategyId"),
        strategy_type=_read_strategy_type(asked),
    )


def read_which(
    asked: Parameters, id_name: str = "orderId", client_name: str = "origClientOrderId"
) -> tuple[int | None, str]:
    """Return the id and the name by which an order is meant; raises ApiError where there is neither."""
    order_id, client_id = asked.whole(id_name), asked.client_id(client_name)
    if order_id is None and not client_id:
        raise api_error.one_of_two(client_name, id_name)
    return order_id, client_id


def read_cancel(asked: Parameters) -> CancelRequest:
    """Return which order to cancel."""
    asked.symbol()
    order_id, client_id = read_which(asked)
    return CancelRequest(
        order_id=order_id,
        client_id=client_id,
        request_id=asked.client_id("newClientOrderId"),
        restrictions=_read_restrictions(asked),
    )


def read_replace(asked: Parameters) -> CancelRequest:
    """Return which order to cancel so that another takes its place."""
    modes = {"STOP_ON_FAILURE": True, "ALLOW_FAILURE": False}
    stop_on_failure = asked.one_of("cancelReplaceMode", modes, api_error.not_valid("cancelReplaceMode"))
    order_id, client_id = read_which(asked, "cancelOrderId", "cancelOrigClientOrderId")
    exceeded = asked.word("orderRateLimitExceededMode", ("DO_NOTHING", "CANCEL_ONLY"), "DO_NOTHING")
    return CancelRequest(
        order_id=order_id,
        client_id=client_id,
        request_id=asked.client_id("cancelNewClientOrderId"),
        restrictions=_read_restrictions(asked),
        stop_on_failure=stop_on_failure,
        when_exceeded_cancel=exceeded == "CANCEL_ONLY",
    )


def read_amend(asked: Parameters, rules: SymbolRules) -> tuple[CancelRequest, int]:
    """Return which order to reduce, and to how many lots in all."""
    asked.symbol()
    order_id, client_id = read_which(asked)
    lots = rules.lots(asked.needs_e8("newQty"))
    request_id = asked.client_id("newClientOrderId")
    return CancelRequest(order_id=order_id, client_id=client_id, request_id=request_id), lots


def _read_type(asked: Parameters) -> str:
    order_type = asked.must("type")
    for name in (order_type, "icebergQty", "trailingDelta"):
        if name in _NOT_HERE and (name == order_type or asked.text(name)):
            raise api_error.invalid_message(f"{_NOT_HERE[name]} not supported for this symbol.")
    if order_type not in ORDER_TYPES:
        raise ApiError(-1116, "Invalid orderType.")
    for name in _UNWANTED[order_type]:
        if asked.text(name):
            raise api_error.not_required(name)
    return order_type


def _read_stp(asked: Parameters, rules: SymbolRules) -> str:
    mode = asked.word("selfTradePreventionMode", (*STP_MODES, "TRANSFER"), rules.default_stp)
    if mode not in STP_MODES:
        raise api_error.invalid_message("This symbol does not allow the specified self-trade prevention mode.")
    return mode


def _read_strategy_type(asked: Parameters) -> int | None:
    strategy_type = asked.whole("strategyType")
    if strategy_type is not None and strategy_type < _LEAST_STRATEGY:
        raise ApiError(-1134, "`strategyType` was less than 1000000.")
    return strategy_type


def _read_restrictions(asked: Parameters) -> str:
    restrictions = asked.text("cancelRestrictions")
    if restrictions and restrictions not in _RESTRICTIONS:
        raise ApiError(-1145, "Invalid cancelRestrictions")
    return restrictions
