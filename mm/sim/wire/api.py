"""One exchange behind REST and the WebSocket API, and REST itself: a request in, a response out; no socket."""

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
from mm.sim.exchange.parameters import Parameters
from mm.sim.wire.account_truth import AccountTruth
from mm.sim.wire.answers import Json, SymbolTexts
from mm.sim.wire.faults.fault import RequestFate, UserRequest
from mm.sim.wire.faults.injector import FaultInjector
from mm.sim.wire.faults.request_faults import error_of
from mm.sim.wire.http_messages import Request, Response, json_response
from mm.sim.wire.limits import Weights
from mm.sim.wire.operations import MARKET_OPERATIONS, Call, Operation
from mm.sim.wire.user_operations import USER_OPERATIONS

OPERATIONS = (*MARKET_OPERATIONS, *USER_OPERATIONS)
Clocks = Callable[[], Sequence[int]]
"""Returns the exchange's instant, then further clocks by which a request's timestamp may be fresh, in µs."""
_UNITS = {"MILLISECOND": False, "millisecond": False, "": False, "MICROSECOND": True, "microsecond": True}
_SIGNATURE = re.compile(r"(?:^|&)signature=[^&]*")
_NOT_DONE = -1007
_RETIRED = "/api/v3/userDataStream"
_GONE = (
    b"<html>\r\n<head><title>410 Gone</title></head>\r\n<body><center><h1>410 Gone</h1></center></body>\r\n</html>\r\n"
)


class Api:
    """The shared part of REST and the WebSocket API.

    Args:
        exchange: The exchange.
        keys: Keys of all users.
        clocks: Returns the time.
        limits: Whether excess requests are refused.

    Attributes:
        weights: Weight that each address has used.
        faults: Injected faults of requests; None if none are set.
        truth: The truth about each user.
    """

    def __init__(self, exchange: Exchange, keys: Iterable[ApiKey], clocks: Clocks, *, limits: bool = True) -> None:
        self.exchange = exchange
        self.keys = KeyRing(keys)
        self.weights = Weights(limits)
        self.clocks = clocks
        self.faults: FaultInjector | None = None
        self._texts = {micro: SymbolTexts(exchange.rules, micro) for micro in (False, True)}
        self.truth = AccountTruth(exchange, self._texts)

    def advance(self) -> int:
        """Advance the exchange to its clock's instant, and return it."""
        self.exchange.advance(self.clocks()[0])
        return self.exchange.now_us

    def parameters(self, given: Mapping[str, str], operation: Operation, extra: tuple[str, ...] = ()) -> Parameters:
        """Return the parameters of a request; raises ApiError if their names are not those of the operation.

        Args:
            given: Parameters by name.
            operation: The operation.
            extra: Further names of the protocol.
        """
        parameters = Parameters(given, self.exchange.rules.instrument.symbol)
        parameters.check_names((*operation.parameters, *(SIGNED_PARAMETERS if operation.signed else ()), *extra))
        return parameters

    def texts(self, micro: bool) -> SymbolTexts:
        """Return the formatter of responses, with instants in µs or in ms."""
        return self._texts[micro]

    def call(self, parameters: Parameters, account: int, *, micro: bool) -> Call:
        """Return a call of an account, 0 for anonymous; with *micro* its response has time stamps in µs."""
        return Call(self.exchange, parameters, self._texts[micro], account)

    def arrive(self, operation: Operation, call: Call, via: str) -> UserRequest:
        """Return a request that is about to be executed, with the effect of faults; it came *via* REST or WS."""
        arrival = UserRequest(operation, call, via)
        return replace(arrival, fate=self.faults.fate(arrival)) if self.faults else arrival

    def act(self, arrival: UserRequest) -> Any:
        """Return the content of the response; raises ApiError if the exchange or a fault refuses."""
        fate, outcome = arrival.fate, None
        refused, content = fate.error, None
        if fate.done:
            try:
                content = arrival.operation.act(arrival.call)
                outcome = {"status": 200, "result": content}
            except ApiError as error:
                outcome = {"status": error.http_status, "error": error_content(error)}
                refused = refused or error
        elif refused is None:  # this response is not sent: a fault withholds or replaces it
            refused = error_of(_NOT_DONE)
        self.truth.received(arrival, outcome)
        if refused:
            raise refused
        return content


class RestRoutes:
    """Answers every request except WebSocket handshakes and control calls."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._routes = {operation.route: operation for operation in OPERATIONS}
        self._paths = {path for _, path in self._routes}

    def answer(self, request: Request) -> Response:
        """Return the exchange's response."""
        if request.path == _RETIRED:
            return Response(410, {"Content-Type": "text/html"}, _GONE)
        operation = self._routes.get((request.method, request.path))
        if operation is None:
            status, reason = (405, "Method Not Allowed") if request.path in self._paths else (404, "Not Found")
            return json_response(status, {"status": status, "error": reason, "path": request.path})
        us = self._api.advance()
        headers: dict[str, str] = {}
        fate = RequestFate()
        try:
            self._api.weights.charge(request.remote, operation.weighs(request.params), us)
            arrival = self._arrival(operation, request)
            fate = arrival.fate
            content: Any = self._api.act(arrival)
            status = 200
            if operation.counts_orders:
                headers |= arrival.call.owner.count.headers(self._api.exchange.now_us)
        except ApiError as error:
            status, content = error.http_status, error_content(error)
            if error.retry_us is not None:
                headers["Retry-After"] = str(-(-(error.retry_us - us) // US_PER_S))
        used = str(self._api.weights.used(request.remote, us))
        headers |= {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}
        return self._as_fated(json_response(status, content, headers), fate)

    def _as_fated(self, response: Response, fate: RequestFate) -> Response:
        """Return *response* after faults: delayed, or never sent."""
        faults = self._api.faults
        if not fate.answered:
            return replace(response, wait=lambda _: None)
        if fate.delay_us and faults:
            return replace(response, wait=partial(faults.at, self._api.exchange.now_us + fate.delay_us))
        return response

    def _arrival(self, operation: Operation, request: Request) -> UserRequest:
        api, account = self._api, 0
        micro = _UNITS.get(request.headers.get("x-mbx-time-unit", ""))
        if micro is None:
            raise ApiError(-1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")
        key = api.keys.find(request.headers.get("x-mbx-apikey", "")) if operation.signed else None
        for part in (request.query, request.body.decode("utf-8", "replace")):
            names = [name for name, _ in parse_qsl(part, keep_blank_values=True)]
            if len(set(names)) < len(names):  # a name in both is valid: the query takes precedence
                raise ApiError(-1101, "Duplicate values for a parameter detected.")
        parameters = api.parameters(request.params, operation)
        if key:
            check_signature(key, parameters, signed_payload(request), api.clocks())
            account = key.account
        return api.arrive(operation, api.call(parameters, account, micro=micro), "rest")


def error_content(error: ApiError) -> Json:
    """Return the response content for a refusal."""
    return error.content() if error.data is None else error.content() | {"data": error.data}


def signed_payload(request: Request) -> bytes:
    """Return the signed bytes of a request: its raw query and body, without the signature."""
    body = request.body.decode("utf-8", "surrogateescape")
    parts = (_SIGNATURE.sub("", part).removeprefix("&") for part in (request.query, body))
    return "".join(parts).encode("utf-8", "surrogateescape")
