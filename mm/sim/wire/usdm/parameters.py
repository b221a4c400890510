"""Parameters that USD-M adds or reads otherwise, and the orders that they describe."""

import json
from collections.abc import Mapping
from typing import Any

from mm.clock import US_PER_S
from mm.instrument import E8
from mm.margin.wallet import BOTH, LONG, SHORT
from mm.sim.exchange import api_error
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.orders import CancelRequest, NewOrder
from mm.sim.exchange.parameters import Parameter, RequestParameters, any_text, choice, entries, in_e8, whole, words
from mm.sim.exchange.usdm.conditional import CONTRACT_PRICE, MARK_PRICE, Conditional
from mm.sim.exchange.usdm.contract_rules import (
    CONDITIONAL_TYPES,
    ORDER_TYPES,
    STP_MODES,
    TIMES_IN_FORCE,
    TRAILING,
    ContractRules,
)
from mm.sim.exchange.usdm.exchange import Modification

_LONGEST_ID = 36
_DEPTHS = (5, 10, 20, 50, 100, 500, 1_000)
_SWITCH = {"true": True, "false": False, "TRUE": True, "FALSE": False, "True": True, "False": False}
_LEAST_CALLBACK_E8, _MOST_CALLBACK_E8 = E8 // 10, 10 * E8
"""Bounds of ``callbackRate``, which is in per cent."""
_MATCHES = ("OPPONENT", "QUEUE")
_LEAST_TILL_US, _MOST_TILL_MS = 600 * US_PER_S, 253_402_300_799_000
_UNWANTED = {"LIMIT": (), "MARKET": ("timeInForce", "price")}


def _client_id(name: str, text: str) -> str:
    if len(text) > _LONGEST_ID:
        raise ApiError(-4015, f"Client order id length should be less than {_LONGEST_ID} chars")
    return str(_CLIENT_ID.read(name, text))


def _depth(name: str, text: str) -> int:
    limit = whole.read(name, text)
    if limit not in _DEPTHS:
        raise ApiError(-4021, f"'{text}' is not valid depth limit.")
    return int(limit)


_CLIENT_ID = any_text(r"^[\.A-Z\:/a-z0-9_-]{1,36}$")
SWITCH = choice(_SWITCH, default=False)
USDM_PARAMETERS: Mapping[str, Parameter] = {
    **dict.fromkeys(("newClientOrderId", "origClientOrderId", "clientAlgoId"), Parameter(_client_id, "")),
    "algoId": whole,
    **dict.fromkeys(("activatePrice", "callbackRate", "triggerPrice"), in_e8),
    "algoType": words("CONDITIONAL"),
    "workingType": words(CONTRACT_PRICE, MARK_PRICE, default=CONTRACT_PRICE),
    **dict.fromkeys(("reduceOnly", "closePosition", "priceProtect"), SWITCH),
    **dict.fromkeys(("asset", "fromAsset", "toAsset", "pair", "contractType", "period"), any_text()),
    "feeBurn": choice(_SWITCH),
    "downloadId": whole,
    **dict.fromkeys(("dualSidePosition", "multiAssetsMargin"), choice(_SWITCH)),
    **dict.fromkeys(("activationPrice", "listenKey"), any_text()),
    "goodTillDate": whole,
    **dict.fromkeys(("incomeType", "batchOrders", "orderIdList", "origClientOrderIdList"), any_text()),
    **dict.fromkeys(("orderidlist", "origclientorderidlist"), any_text()),
    **dict.fromkeys(("leverage", "countdownTime"), whole),
    "amount": in_e8,
    "marginType": choice({"ISOLATED": True, "CROSSED": False}),
    "newOrderRespType": choice({"ACK": "ACK", "RESULT": "RESULT"}, -1136, "Invalid newOrderRespType.", default="ACK"),
    "origType": any_text(),
    "page": entries(1, 1_000_000),
    "positionSide": choice({name: name for name in (BOTH, LONG, SHORT)}, -4060, "Invalid position side."),
    "priceMatch": choice(
        {name: name for name in ("NONE", *(f"{which}{at}" for which in _MATCHES for at in ("", "_5", "_10", "_20")))},
        -5037,
        "Invalid price match",
        default="NONE",
    ),
    "selfTradePreventionMode": choice(
        {name: name for name in STP_MODES}, -5039, "Invalid self trade prevention mode", default=""
    ),
    "timeInForce": choice({name: name for name in TIMES_IN_FORCE}, -1115, "Invalid timeInForce."),
}
"""Declarations that differ from Spot's; a price or quantity is in 1e-8, a timestamp in µs."""
DEPTH_LIMIT = Parameter(_depth, 500)


def read_new_order(parameters: RequestParameters, rules: ContractRules, now_us: int, *, hedged: bool) -> NewOrder:
    """Raise ApiError; *hedged* accounts keep long and short apart, and say which of them an order is for."""
    parameters.must("symbol")
    side, order_type = parameters.must("side"), _read_type(parameters)
    position_side, closes = _read_position(parameters, side, hedged=hedged)
    is_market = order_type == "MARKET"
    time_in_force = "GTC" if is_market else parameters.must("timeInForce")
    return NewOrder(
        side=side,
        type=order_type,
        time_in_force=time_in_force,
        ticks=_read_price(parameters, rules, is_limit=not is_market),
        price_match=parameters["priceMatch"],
        good_till_us=_read_till(parameters, now_us) if time_in_force == "GTD" else 0,
        lots=rules.lots(parameters.must("quantity"), market=is_market),
        client_id=parameters["newClientOrderId"],
        stp=parameters["selfTradePreventionMode"] or rules.default_stp,
        response=parameters["newOrderRespType"],
        reduce_only=closes,
        position_side=position_side,
    )


def _read_price(parameters: RequestParameters, rules: ContractRules, *, is_limit: bool) -> int:
    if parameters["priceMatch"] == "NONE":
        return rules.ticks(parameters.must("price")) if is_limit else 0
    if not is_limit:
        raise ApiError(-5038, "Price match only supported for order type: LIMIT, STOP AND TAKE_PROFIT.")
    if parameters.given.get("price"):
        raise api_error.not_required("price")
    return 0


def _read_till(parameters: RequestParameters, now_us: int) -> int:
    till_ms = int(parameters.must("goodTillDate"))
    till_us = till_ms // 1_000 * US_PER_S
    if till_us <= now_us + _LEAST_TILL_US or till_ms >= _MOST_TILL_MS:
        msg = "The goodTillDate timestamp must be greater than the current time plus 600 seconds and smaller than"
        raise ApiError(-5040, f"{msg} {_MOST_TILL_MS}")
    return till_us


def read_conditional(parameters: RequestParameters, rules: ContractRules, now_us: int, *, hedged: bool) -> Conditional:
    for name in ("algoType", "symbol"):
        parameters.must(name)
    side, order_type, whole = parameters.must("side"), parameters.must("type"), parameters["closePosition"]
    if order_type not in CONDITIONAL_TYPES:
        raise ApiError(-1116, "Invalid orderType.")
    position_side, closes = _read_position(parameters, side, hedged=hedged)
    _check_closing(parameters, order_type)
    if hedged and whole and not closes:
        raise ApiError(-4138, "Reduce only must be true with closePosition equals true.")
    is_limit = order_type in ("STOP", "TAKE_PROFIT")
    trailing = order_type == TRAILING
    order = NewOrder(
        side=side,
        type="LIMIT" if is_limit else "MARKET",
        time_in_force=(time_in_force := parameters["timeInForce"] or "GTC"),
        ticks=_read_price(parameters, rules, is_limit=is_limit),
        price_match=parameters["priceMatch"],
        good_till_us=_read_till(parameters, now_us) if time_in_force == "GTD" else 0,
        lots=0 if whole else rules.lots(parameters.must("quantity"), market=not is_limit),
        stp=parameters["selfTradePreventionMode"] or rules.default_stp,
        response=parameters["newOrderRespType"],
        reduce_only=closes,
        position_side=position_side,
    )
    tick_e8, activate = rules.instrument.tick_e8, parameters["activatePrice"] if trailing else None
    return Conditional(
        type=order_type,
        order=order,
        client_id=parameters["clientAlgoId"],
        trigger_e8=0 if trailing else rules.ticks(parameters.must("triggerPrice")) * tick_e8,
        activate_e8=0 if activate is None else rules.ticks(activate) * tick_e8,
        callback_e8=_read_callback(parameters) if trailing else 0,
        working=parameters["workingType"],
        close_position=whole,
        price_protect=parameters["priceProtect"],
    )


def _check_closing(parameters: RequestParameters, order_type: str) -> None:
    if not parameters["closePosition"]:
        return
    if order_type not in ("STOP_MARKET", "TAKE_PROFIT_MARKET"):
        raise ApiError(-4136, f"Target strategy invalid for orderType '{order_type}',closePosition 'true'.")
    if parameters.given.get("quantity"):
        raise ApiError(-4137, "Quantity must be zero with closePosition equals true.")
    if parameters.given.get("reduceOnly"):
        raise api_error.not_required("reduceOnly")


def _read_callback(parameters: RequestParameters) -> int:
    rate = int(parameters.must("callbackRate"))
    if not _LEAST_CALLBACK_E8 <= rate <= _MOST_CALLBACK_E8:
        raise ApiError(-2007, "Invalid callBack rate.")
    return rate // 100


def read_modification(parameters: RequestParameters, rules: ContractRules) -> tuple[CancelRequest, Modification]:
    order_id, client_id = parameters.order_key()
    side, quantity = parameters.must("side"), parameters.must("quantity")
    ticks = _read_price(parameters, rules, is_limit=True)
    new = Modification(side, ticks, rules.lots(quantity), parameters["priceMatch"])
    return CancelRequest(order_id=order_id, client_id="" if order_id else client_id), new


def read_cancel(parameters: RequestParameters) -> CancelRequest:
    order_id, client_id = parameters.order_key()
    return CancelRequest(order_id=order_id, client_id="" if order_id is not None else client_id)


def read_list(parameters: RequestParameters, name: str) -> list[Any]:
    try:
        items = json.loads(parameters[name] or "[]")
    except (ValueError, RecursionError):
        items = None
    if not isinstance(items, list):
        raise api_error.not_valid(name)
    return items


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _read_type(parameters: RequestParameters) -> str:
    order_type: str = parameters.must("type")
    if order_type in CONDITIONAL_TYPES:
        raise ApiError(
            -4120, "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
        )
    if order_type not in ORDER_TYPES:
        raise ApiError(-1116, "Invalid orderType.")
    for name in _UNWANTED[order_type]:
        if parameters.given.get(name):
            if name == "timeInForce":
                raise ApiError(-1114, "TimeInForce parameter sent when not required.")
            raise api_error.not_required(name)
    if parameters["closePosition"]:
        raise ApiError(-4136, "Target strategy invalid for orderType 'LIMIT',closePosition 'true'.")
    return order_type


def read_position_side(parameters: RequestParameters, *, hedged: bool) -> str:
    position_side: str = parameters["positionSide"] or BOTH
    if (position_side == BOTH) is hedged:
        raise ApiError(-4061, "Order's position side does not match user's setting.")
    return position_side


def _read_position(parameters: RequestParameters, side: int, *, hedged: bool) -> tuple[str, bool]:
    """Return the side of the position, and whether the order only reduces it: in hedge mode by its own side."""
    position_side = read_position_side(parameters, hedged=hedged)
    if not hedged:
        return position_side, parameters["reduceOnly"]
    if parameters.given.get("reduceOnly"):
        raise ApiError(-1106, "Parameter 'reduceonly' sent when not required.")
    return position_side, (side < 0) is (position_side == LONG)
