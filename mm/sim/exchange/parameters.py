"""Declares the parameters of requests, and reads the orders that they describe, with the exchange's errors."""

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from mm.clock import MS_BELOW, US_PER_MS, exchange_us
from mm.instrument import E8
from mm.sim.exchange import api_error
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.orders import CancelRequest, NewOrder
from mm.sim.exchange.rules import ORDER_TYPES, STP_MODES, SymbolRules
from mm.sim.exchange.trades import TimeSpan

_INT64 = 2**63 - 1
_PLACES = 8
_LEAST_STRATEGY = 1_000_000
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


class Parameter(NamedTuple):
    """Reads a parameter's text, given its name; *default* counts if it is not sent.

    It is no `Knob`: its errors are the exchange's, with a code for each kind of mistake.
    """

    read: Callable[[str, str], Any]
    default: Any = None


def any_text(legal: str = ".*") -> Parameter:
    def read(name: str, text: str) -> str:
        if not re.fullmatch(legal, text.replace("\n", " "), re.ASCII):
            raise ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")
        return text

    return Parameter(read, "")


_DIGITS, _DECIMAL = any_text("^[0-9]{1,20}$"), any_text(r"^([0-9]{1,20})(\.[0-9]{1,20})?$")


def _whole(name: str, text: str) -> int:
    value = int(_DIGITS.read(name, text))
    if value > _INT64:
        raise api_error.overflowed(name)
    return value


def _in_e8(name: str, text: str) -> int:
    whole, _, places = _DECIMAL.read(name, text).partition(".")
    if len(places.rstrip("0")) > _PLACES:
        raise ApiError(-1111, f"Parameter '{name}' has too much precision.")
    value = int(whole) * E8 + int(places[:_PLACES].ljust(_PLACES, "0"))
    if value > _INT64:
        raise api_error.overflowed(name)
    return value


def _first_us(name: str, text: str) -> int:
    return exchange_us(_whole(name, text))


def _last_us(name: str, text: str) -> int:
    stamp = _whole(name, text)
    return exchange_us(stamp) + (US_PER_MS - 1 if stamp < MS_BELOW else 0)


def _strategy(name: str, text: str) -> int:
    value = _whole(name, text)
    if value < _LEAST_STRATEGY:
        raise ApiError(-1134, "`strategyType` was less than 1000000.")
    return value


def choice(values: Mapping[str, Any], code: int = 0, msg: str = "", *, default: Any = None) -> Parameter:
    """Any other text is error *code*, by default -1130."""

    def read(name: str, text: str) -> Any:
        if text not in values:
            raise ApiError(code, msg) if code else api_error.not_valid(name)
        return values[text]

    return Parameter(read, default)


def words(*names: str, default: str | None = None) -> Parameter:
    return choice({name: name for name in names}, default=default)


def entries(default: int, most: int) -> Parameter:

    def read(name: str, text: str) -> int:
        limit = _whole(name, text)
        if limit == 0:
            raise api_error.not_valid(name)
        return min(limit, most)

    return Parameter(read, default)


_TEXT, whole, in_e8, _CLIENT_ID = any_text(), Parameter(_whole), Parameter(_in_e8), any_text("^[a-zA-Z0-9-_]{1,36}$")
_NO = choice({"true": True, "false": False}, default=False)
PARAMETERS: Mapping[str, Parameter] = {
    **dict.fromkeys(("apiKey", "icebergQty", "signature", "stopPrice", "trailingDelta", "type"), _TEXT),
    **dict.fromkeys(
        ("cancelNewClientOrderId", "cancelOrigClientOrderId", "newClientOrderId", "origClientOrderId"), _CLIENT_ID
    ),
    **dict.fromkeys(("cancelOrderId", "fromExecutionId", "fromId", "fromPreventedMatchId", "orderId"), whole),
    **dict.fromkeys(("preventedMatchId", "strategyId", "subscriptionId"), whole),
    **dict.fromkeys(("newQty", "price", "quantity", "quoteOrderQty", "recvWindow"), in_e8),
    **dict.fromkeys(("computeCommissionRates", "omitZeroBalances"), _NO),
    "cancelReplaceMode": choice({"STOP_ON_FAILURE": True, "ALLOW_FAILURE": False}),
    "cancelRestrictions": choice(
        {name: name for name in ("ONLY_NEW", "ONLY_PARTIALLY_FILLED")}, -1145, "Invalid cancelRestrictions", default=""
    ),
    "endTime": Parameter(_last_us),
    "limit": entries(500, 1_000),
    "newOrderRespType": words("ACK", "RESULT", "FULL"),
    "orderRateLimitExceededMode": words("DO_NOTHING", "CANCEL_ONLY", default="DO_NOTHING"),
    "permissions": _TEXT._replace(default="SPOT"),
    "selfTradePreventionMode": words(*STP_MODES, "TRANSFER"),
    "showPermissionSets": _NO._replace(default=True),
    "side": choice({"BUY": +1, "SELL": -1}, -1117, "Invalid side."),
    "startTime": Parameter(_first_us),
    "strategyType": Parameter(_strategy),
    "symbol": any_text(r"^[-.0-9A-Z_\x80-\U0010ffff]{1,20}$"),
    "symbolStatus": words("TRADING", "HALT", "BREAK", "CANCEL_ONLY", default="TRADING"),
    "timeInForce": choice({name: name for name in ("GTC", "IOC", "FOK")}, -1115, "Invalid timeInForce."),
    "timestamp": Parameter(_first_us),
}
"""Type, legal values and default of every parameter; a price or quantity is in 1e-8, a timestamp in µs."""


class RequestParameters:
    def __init__(self, given: Mapping[str, str], symbol: str, own: Mapping[str, Parameter] | None = None) -> None:
        self.given = given
        self._symbol = symbol
        self._own = own or {}

    def check_names(self, known: Collection[str]) -> None:
        read = sum(name in known for name in self.given)
        sent = len(self.given)
        if sent > len(known):
            raise ApiError(-1101, f"Too many parameters; expected '{len(known)}' and received '{sent}'.")
        if read < sent:
            raise ApiError(
                -1104, f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'."
            )
        for name, text in self.given.items():
            if not text:
                raise ApiError(-1105, f"Parameter '{name}' was empty.")

    def __getitem__(self, name: str) -> Any:
        """Return its default if it was not sent; raises ApiError."""
        parameter = self._own.get(name) or PARAMETERS[name]
        text = self.given.get(name, "")
        if not text:
            return parameter.default
        value = parameter.read(name, text)
        if name == "symbol" and value != self._symbol:
            raise ApiError(-1121, "Invalid symbol.")
        return value

    def must(self, name: str) -> Any:
        if not self.given.get(name):
            raise api_error.mandatory(name)
        return self[name]

    def is_for_all(self) -> bool:
        """Check the optional ``symbol`` or ``symbols``; return whether the response is a list."""
        if "symbol" in self.given and "symbols" in self.given:
            raise api_error.bad_combination()
        if "symbols" in self.given:
            self._check_symbols()
        return "symbol" not in self.given or not self.must("symbol")

    def order_key(self, id_name: str = "orderId", client_name: str = "origClientOrderId") -> tuple[int | None, str]:
        order_id, client_id = self[id_name], self[client_name]
        if order_id is None and not client_id:
            raise api_error.one_of_two(client_name, id_name)
        return order_id, client_id

    def span(self, longest_us: int | None = None) -> TimeSpan:
        span = TimeSpan(self["startTime"], self["endTime"])
        if longest_us and None not in span and (span.end_us or 0) - (span.start_us or 0) >= longest_us + US_PER_MS:
            raise ApiError(-1127, "More than 24 hours between startTime and endTime.")
        return span

    def _check_symbols(self) -> None:
        try:
            symbols = json.loads(self.given["symbols"])
        except (ValueError, RecursionError):
            symbols = None
        if not isinstance(symbols, list) or not symbols or not all(isinstance(text, str) for text in symbols):
            raise ApiError(-1100, "Illegal characters found in parameter 'symbols'; legal range is '^\\[\".*\"\\]$'.")
        if any(text != self._symbol for text in symbols):
            raise ApiError(-1121, "Invalid symbol.")
        if len(set(symbols)) < len(symbols):
            raise ApiError(-1151, "Symbol is present multiple times in the list.")


def read_new_order(parameters: RequestParameters, rules: SymbolRules) -> NewOrder:
    """Raises ApiError for an invalid order of the symbol."""
    parameters.must("symbol")
    side, order_type = parameters.must("side"), _read_type(parameters)
    is_market = order_type == "MARKET"
    quantity, quote = parameters["quantity"], parameters["quoteOrderQty"]
    if is_market and quantity is None and quote is None:
        raise api_error.one_of_two("quantity", "quoteOrderQty")
    if quantity is not None and quote is not None:
        raise api_error.not_required("quoteOrderQty")
    if quote == 0:
        raise api_error.invalid_message("Invalid quote order quantity.")
    if quantity is None and not is_market:
        raise api_error.mandatory("quantity")
    return NewOrder(
        side=side,
        type=order_type,
        time_in_force=parameters.must("timeInForce") if order_type == "LIMIT" else "GTC",
        ticks=0 if is_market else rules.ticks(parameters.must("price")),
        lots=0 if quantity is None else rules.lots(quantity, market=is_market),
        quote_e8=quote or 0,
        client_id=parameters["newClientOrderId"],
        stp=_read_stp(parameters, rules),
        response=parameters["newOrderRespType"] or ("ACK" if order_type == "LIMIT_MAKER" else "FULL"),
        strategy_id=parameters["strategyId"],
        strategy_type=parameters["strategyType"],
    )


def read_cancel(parameters: RequestParameters) -> CancelRequest:
    order_id, client_id = parameters.order_key()
    return CancelRequest(
        order_id=order_id,
        client_id=client_id,
        request_id=parameters["newClientOrderId"],
        restrictions=parameters["cancelRestrictions"],
    )


def read_replace(parameters: RequestParameters) -> CancelRequest:
    stop_on_failure = parameters.must("cancelReplaceMode")
    order_id, client_id = parameters.order_key("cancelOrderId", "cancelOrigClientOrderId")
    exceeded = parameters["orderRateLimitExceededMode"]
    return CancelRequest(
        order_id=order_id,
        client_id=client_id,
        request_id=parameters["cancelNewClientOrderId"],
        restrictions=parameters["cancelRestrictions"],
        stop_on_failure=stop_on_failure,
        when_exceeded_cancel=exceeded == "CANCEL_ONLY",
    )


def read_amend(parameters: RequestParameters, rules: SymbolRules) -> tuple[CancelRequest, int]:
    order_id, client_id = parameters.order_key()
    lots = rules.lots(parameters.must("newQty"))
    request_id = parameters["newClientOrderId"]
    return CancelRequest(order_id=order_id, client_id=client_id, request_id=request_id), lots


def _read_type(parameters: RequestParameters) -> str:
    order_type: str = parameters.must("type")
    for name in (order_type, "icebergQty", "trailingDelta"):
        if name in _NOT_HERE and (name == order_type or parameters[name]):
            raise api_error.invalid_message(f"{_NOT_HERE[name]} not supported for this symbol.")
    if order_type not in ORDER_TYPES:
        raise ApiError(-1116, "Invalid orderType.")
    for name in _UNWANTED[order_type]:
        if parameters.given.get(name):
            raise api_error.not_required(name)
    return order_type


def _read_stp(parameters: RequestParameters, rules: SymbolRules) -> str:
    mode = parameters["selfTradePreventionMode"] or rules.default_stp
    if mode not in STP_MODES:
        raise api_error.invalid_message("This symbol does not allow the specified self-trade prevention mode.")
    return str(mode)
