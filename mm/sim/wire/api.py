"""What REST and the WebSocket API share, and the handler of REST requests; no socket."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from mm.clock import US_PER_S
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.exchange import Exchange
from mm.sim.exchange.keys import SIGNED_PARAMETERS, ApiKey, KeyRing, check_signature
from mm.sim.exchange.parameters import RequestParameters
from mm.sim.wire.account_truth import AccountTruth
from mm.sim.wire.faults.fault import RequestEffect, UserRequest
from mm.sim.wire.faults.injector import FaultInjector
from mm.sim.wire.faults.request_faults import error_of
from mm.sim.wire.http_messages import Request, Response, json_response
from mm.sim.wire.limits import Weights
from mm.sim.wire.operations import Call, Operation
from mm.sim.wire.spot import SPOT
from mm.sim.wire.wire_market import WireMarket

Clocks = Callable[[], Sequence[int]]
"""Function that returns the exchange's time, then other clock readings accepted for request timestamps, µs."""
_UNITS = {"MILLISECOND": False, "millisecond": False, "": False, "MICROSECOND": True, "microsecond": True}
_SIGNATURE = re.compile(r"(?:^|&)signature=[^&]*")
_NOT_DONE = -1007


class Api:
    def __init__(
        self,
        exchange: Exchange,
        keys: Iterable[ApiKey],
        clocks: Clocks,
        *,
        limits: bool = True,
        market: WireMarket = SPOT,
    ) -> None:
        self.exchange = exchange
        self.market = market
        self.keys = KeyRing(keys)
        self.weights = Weights(limits, market.weight)
        self.clocks = clocks
        self.faults: FaultInjector | None = None
        self.texts: dict[bool, Any] = {micro: market.texts(exchange, micro=micro) for micro in (False, True)}
        self.truth = AccountTruth(exchange, self.texts)

    def advance(self) -> int:
        self.exchange.advance(self.clocks()[0])
        return self.exchange.now_us

    def shown_clocks(self) -> Sequence[int]:
        return [self.faults.shown_us(us) for us in self.clocks()] if self.faults else self.clocks()

    def parameters(
        self, given: Mapping[str, str], operation: Operation, extra: tuple[str, ...] = ()
    ) -> RequestParameters:
        """Raises ApiError for a name that the operation and *extra* lack."""
        rules = self.exchange.rules
        parameters = RequestParameters(given, rules.instrument.symbol if rules.listed else "", operation.own)
        has_key = operation.signed or operation.keyed
        parameters.check_names({*operation.parameters, *(SIGNED_PARAMETERS if has_key else ()), *extra})
        return parameters

    def arrive(self, operation: Operation, call: Call, via: str) -> UserRequest:
        arrival = UserRequest(operation, call, via)
        return replace(arrival, effect=self.faults.effect(arrival)) if self.faults else arrival

    def act(self, arrival: UserRequest) -> Any:
        effect, outcome = arrival.effect, None
        refused, content = effect.error, None
        if effect.done:
            try:
                content = arrival.operation.act(arrival.call)
                outcome = {"status": 200, "result": content}
            except ApiError as error:
                outcome = {"status": error.http_status, "error": error.content()}
                refused = refused or error
        elif refused is None:  # placeholder: a fault withholds or replaces this response
            refused = error_of(_NOT_DONE)
        self.truth.received(arrival, outcome)
        if refused:
            raise refused
        return content


class RestRoutes:
    def __init__(self, api: Api) -> None:
        self._api = api
        self._routes = {operation.route: operation for operation in api.market.operations if operation.rest}
        self._paths = {path for _, path in self._routes}

    def answer(self, request: Request) -> Response:
        if gone := self._api.market.aside(request):
            return gone
        operation = self._routes.get((request.method, request.path))
        if operation is None:
            status, reason = (405, "Method Not Allowed") if request.path in self._paths else (404, "Not Found")
            return json_response(status, {"status": status, "error": reason, "path": request.path})
        us = self._api.advance()
        headers: dict[str, str] = {}
        effect = RequestEffect()
        try:
            self._api.weights.charge(request.remote, operation.weighs(request.params), us)
            arrival = self._arrival(operation, request)
            effect = arrival.effect
            content: Any = self._api.act(arrival)
            status = 200
            if operation.counts_orders:
                headers |= arrival.call.owner.count.headers(self._api.exchange.now_us)
        except ApiError as error:
            status, content = error.http_status, error.content()
            if error.retry_us is not None:
                headers["Retry-After"] = str(-(-(error.retry_us - us) // US_PER_S))
        used = str(self._api.weights.used(request.remote, us))
        headers |= {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}
        return self._with_faults(json_response(status, content, headers), effect)

    def _with_faults(self, response: Response, effect: RequestEffect) -> Response:
        faults = self._api.faults
        if not effect.answered:
            return replace(response, wait=lambda _: None)
        if effect.delay_us and faults:
            return replace(response, wait=partial(faults.at, self._api.exchange.now_us + effect.delay_us))
        return response

    def _arrival(self, operation: Operation, request: Request) -> UserRequest:
        api, account = self._api, 0
        micro = _UNITS.get(request.headers.get("x-mbx-time-unit", ""))
        if micro is None:
            raise ApiError(-1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")
        needs_key = operation.signed or operation.keyed
        key = api.keys.find(request.headers.get("x-mbx-apikey", "")) if needs_key else None
        for part in (request.query, request.body.decode("utf-8", "replace")):
            names = [name for name, _ in parse_qsl(part, keep_blank_values=True)]
            if len(set(names)) < len(names):  # a name in both is valid: the query takes precedence
                raise ApiError(-1101, "Duplicate values for a parameter detected.")
        parameters = api.parameters(request.params, operation)
        if key:
            if operation.signed:
                check_signature(key, parameters, signed_payload(request), api.shown_clocks())
            account = key.account
        return api.arrive(operation, api.market.call(api.exchange, parameters, api.texts[micro], account), "rest")


def signed_payload(request: Request) -> bytes:
    body = request.body.decode("utf-8", "surrogateescape")
    parts = (_SIGNATURE.sub("", part).removeprefix("&") for part in (request.query, body))
    return "".join(parts).encode("utf-8", "surrogateescape")
