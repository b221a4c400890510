"""Parses the parameters of requests, up to complete orders, with the exchange's formats and errors."""

import json
import re
from collections.abc import Collection, Mapping
from typing import TypeVar

from mm.clock import MS_BELOW, US_PER_MS, exchange_us
from mm.instrument import E8
from mm.sim.exchange import api_error
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.orders import CancelRequest, NewOrder
from mm.sim.exchange.rules import ORDER_TYPES, STP_MODES, SymbolRules
from mm.sim.exchange.trades import TimeSpan

_INT64 = 2**63 - 1
_WHOLE = "^[0-9]{1,20}$"
_DECIMAL = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
_SYMBOL = "^[A-Z0-9-_.]{1,20}$"
_CLIENT_ID = "^[a-zA-Z0-9-_]{1,36}$"
_PLACES = 8

Value = TypeVar("Value")
ORDER_PARAMETERS = (
    *("symbol", "side", "type", "timeInForce", "quantity", "quoteOrderQty", "price", "newClientOrderId"),
    *("strategyId", "strategyType", "stopPrice", "trailingDelta", "icebergQty"),
    *("newOrderRespType", "selfTradePreventionMode"),
)
"""All parameters of a new order that the exchange recognises, including unsupported ones that are refused."""
WHICH_PARAMETERS = ("symbol", "orderId", "origClientOrderId")
CANCEL_PARAMETERS = (*WHICH_PARAMETERS, "newClientOrderId", "cancelRestrictions")
REPLACE_PARAMETERS = (
    *ORDER_PARAMETERS,
    *("cancelReplaceMode", "cancelNewClientOrderId", "cancelOrigClientOrderId", "cancelOrderId"),
    *("cancelRestrictions", "orderRateLimitExceededMode"),
)
AMEND_PARAMETERS = (*WHICH_PARAMETERS, "newClientOrderId", "newQty")
_SIDES = {"BUY": +1, "SELL": -1}
_TIMES = {word: word for word in ("GTC", "IOC", "FOK")}
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


class Parameters:
    """The parameters of one request, by name.

    Args:
        given: Decoded parameters.
        symbol: The only symbol of the exchange.
    """

    def __init__(self, given: Mapping[str, str], symbol: str) -> None:
        self.given = given
        self._symbol = symbol

    def check_names(self, known: Collection[str]) -> None:
        """Raise ApiError if there are too many parameters, unknown ones, or empty ones."""
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

    def text(self, name: str, legal: str = "") -> str:
        """Return the text of a parameter, empty if it was not sent; raises ApiError if it does not match *legal*."""
        text = self.given.get(name, "")
        if text and legal and not re.fullmatch(legal, text.replace("\n", " "), re.ASCII):
            raise ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")
        return text

    def must(self, name: str) -> str:
        """Return the text of a parameter; raises ApiError if it was not sent."""
        text = self.text(name)
        if not text:
            raise api_error.mandatory(name)
        return text

    def integer(self, name: str) -> int | None:
        """Return a non-negative whole number, None if it was not sent."""
        text = self.text(name, _WHOLE)
        if text and int(text) > _INT64:
            raise api_error.overflowed(name)
        return int(text) if text else None

    def decimal_e8(self, name: str) -> int | None:
        """Return a decimal in 1e-8, None if it was not sent."""
        text = self.text(name, _DECIMAL)
        if not text:
            return None
        whole, _, places = text.partition(".")
        if len(places.rstrip("0")) > _PLACES:
            raise ApiError(-1111, f"Parameter '{name}' has too much precision.")
        value = int(whole) * E8 + int(places[:_PLACES].ljust(_PLACES, "0"))
        if value > _INT64:
            raise api_error.overflowed(name)
        return value

    def needs_e8(self, name: str) -> int:
        """Return a decimal in 1e-8; raises ApiError if it was not sent."""
        self.must(name)
        return self.decimal_e8(name) or 0

    def instant_us(self, name: str, *, last: bool = False) -> int | None:
        """Return a timestamp, sent in ms or µs, in µs: the first or *last* µs of a ms; None if it was not sent."""
        stamp = self.integer(name)
        if stamp is None:
            return None
        return exchange_us(stamp) + (US_PER_MS - 1 if last and stamp < MS_BELOW else 0)

    def one_of(self, name: str, values: Mapping[str, Value], error: ApiError) -> Value:
        """Return the value that *values* has for the parameter; raises *error* if it has none."""
        text = self.must(name)
        if text not in values:
            raise error
        return values[text]

    def word(self, name: str, words: Collection[str], default: str) -> str:
        """Return a parameter that must be one of *words*, *default* if it was not sent."""
        text = self.text(name) or default
        if text not in words and text != default:
            raise api_error.not_valid(name)
        return text

    def flag(self, name: str, default: bool) -> bool:
        """Return a boolean, *default* if it was not sent."""
        return self.word(name, ("true", "false"), "true" if default else "false") == "true"

    def limit(self, default: int, most: int) -> int:
        """Return the requested number of entries, limited to *most*; *default* if it was not sent."""
        limit = self.integer("limit")
        if limit == 0:
            raise api_error.not_valid("limit")
        return min(default if limit is None else limit, most)

    def symbol(self) -> str:
        """Return the symbol; raises ApiError if it was not sent or is not the exchange's symbol."""
        self.must("symbol")
        if self.text("symbol", _SYMBOL) != self._symbol:
            raise ApiError(-1121, "Invalid symbol.")
        return self._symbol

    def is_for_all(self) -> bool:
        """Check the optional ``symbol`` or ``symbols``, and return whether the response is a list."""
        if "symbol" in self.given and "symbols" in self.given:
            raise api_error.bad_combination()
        if "symbols" in self.given:
            self._check_symbols()
            return True
        if "symbol" in self.given:
            self.symbol()
            return False
        return True

    def client_id(self, name: str) -> str:
        """Return a client order id, empty if it was not sent."""
        return self.text(name, _CLIENT_ID)

    def order_key(self, id_name: str = "orderId", client_name: str = "origClientOrderId") -> tuple[int | None, str]:
        """Return the id and the client id of the requested order; raises ApiError if neither was sent."""
        order_id, client_id = self.integer(id_name), self.client_id(client_name)
        if order_id is None and not client_id:
            raise api_error.one_of_two(client_name, id_name)
        return order_id, client_id

    def span(self, longest_us: int | None = None) -> TimeSpan:
        """Return the time span from ``startTime`` to ``endTime``; raises ApiError if it is longer than *longest_us*."""
        span = TimeSpan(self.instant_us("startTime"), self.instant_us("endTime", last=True))
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


def read_new_order(parameters: Parameters, rules: SymbolRules) -> NewOrder:
    """Return the order in the parameters; raises ApiError if it is not a valid order of the symbol."""
    parameters.symbol()
    side = parameters.one_of("side", _SIDES, ApiError(-1117, "Invalid side."))
    order_type = _read_type(parameters)
    is_market = order_type == "MARKET"
    quantity, quote = parameters.decimal_e8("quantity"), parameters.decimal_e8("quoteOrderQty")
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
        time_in_force=parameters.one_of("timeInForce", _TIMES, ApiError(-1115, "Invalid timeInForce."))
        if order_type == "LIMIT"
        else "GTC",
        ticks=0 if is_market else rules.ticks(parameters.needs_e8("price")),
        lots=0 if quantity is None else rules.lots(quantity, market=is_market),
        quote_e8=quote or 0,
        client_id=parameters.client_id("newClientOrderId"),
        stp=_read_stp(parameters, rules),
        response=parameters.word("newOrderRespType", _RESPONSES, "ACK" if order_type == "LIMIT_MAKER" else "FULL"),
        strategy_id=parameters.integer("strategyId"),
        strategy_type=_read_strategy_type(parameters),
    )


def read_cancel(parameters: Parameters) -> CancelRequest:
    """Return the order to cancel."""
    parameters.symbol()
    order_id, client_id = parameters.order_key()
    return CancelRequest(
        order_id=order_id,
        client_id=client_id,
        request_id=parameters.client_id("newClientOrderId"),
        restrictions=_read_restrictions(parameters),
    )


def read_replace(parameters: Parameters) -> CancelRequest:
    """Return the order to cancel and replace."""
    modes = {"STOP_ON_FAILURE": True, "ALLOW_FAILURE": False}
    stop_on_failure = parameters.one_of("cancelReplaceMode", modes, api_error.not_valid("cancelReplaceMode"))
    order_id, client_id = parameters.order_key("cancelOrderId", "cancelOrigClientOrderId")
    exceeded = parameters.word("orderRateLimitExceededMode", ("DO_NOTHING", "CANCEL_ONLY"), "DO_NOTHING")
    return CancelRequest(
        order_id=order_id,
        client_id=client_id,
        request_id=parameters.client_id("cancelNewClientOrderId"),
        restrictions=_read_restrictions(parameters),
        stop_on_failure=stop_on_failure,
        when_exceeded_cancel=exceeded == "CANCEL_ONLY",
    )


def read_amend(parameters: Parameters, rules: SymbolRules) -> tuple[CancelRequest, int]:
    """Return the order to reduce, and its new total quantity in lots."""
    parameters.symbol()
    order_id, client_id = parameters.order_key()
    lots = rules.lots(parameters.needs_e8("newQty"))
    request_id = parameters.client_id("newClientOrderId")
    return CancelRequest(order_id=order_id, client_id=client_id, request_id=request_id), lots


def _read_type(parameters: Parameters) -> str:
    order_type = parameters.must("type")
    for name in (order_type, "icebergQty", "trailingDelta"):
        if name in _NOT_HERE and (name == order_type or parameters.text(name)):
            raise api_error.invalid_message(f"{_NOT_HERE[name]} not supported for this symbol.")
    if order_type not in ORDER_TYPES:
        raise ApiError(-1116, "Invalid orderType.")
    for name in _UNWANTED[order_type]:
        if parameters.text(name):
            raise api_error.not_required(name)
    return order_type


def _read_stp(parameters: Parameters, rules: SymbolRules) -> str:
    mode = parameters.word("selfTradePreventionMode", (*STP_MODES, "TRANSFER"), rules.default_stp)
    if mode not in STP_MODES:
        raise api_error.invalid_message("This symbol does not allow the specified self-trade prevention mode.")
    return mode


def _read_strategy_type(parameters: Parameters) -> int | None:
    strategy_type = parameters.integer("strategyType")
    if strategy_type is not None and strategy_type < _LEAST_STRATEGY:
        raise ApiError(-1134, "`strategyType` was less than 1000000.")
    return strategy_type


def _read_restrictions(parameters: Parameters) -> str:
    restrictions = parameters.text("cancelRestrictions")
    if restrictions and restrictions not in _RESTRICTIONS:
        raise ApiError(-1145, "Invalid cancelRestrictions")
    return restrictions
