"""One exchange behind REST and the WebSocket API, and REST itself: a request in, a response out; no socket."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from mm.clock import US_PER_S
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.exchange import Exchange
from mm.sim.exchange.keys import SIGNED_PARAMETERS, ApiKey, KeyRing, check_signature
from mm.sim.exchange.parameters import Parameters
from mm.sim.wire.answers import SymbolTexts
from mm.sim.wire.http_messages import Request, Response, json_response
from mm.sim.wire.limits import Weights
from mm.sim.wire.operations import MARKET_OPERATIONS, Call, Operation
from mm.sim.wire.user_operations import USER_OPERATIONS

OPERATIONS = (*MARKET_OPERATIONS, *USER_OPERATIONS)
Clocks = Callable[[], Sequence[int]]
"""Returns the exchange's instant, then others by which a request's timestamp may be fresh, in µs."""
_UNITS = {"MILLISECOND": False, "millisecond": False, "": False, "MICROSECOND": True, "microsecond": True}
_SIGNATURE = re.compile(r"(?:^|&)signature=[^&]*")
_RETIRED = "/api/v3/userDataStream"
_GONE = (
    b"<html>\r\n<head><title>410 Gone</title></head>\r\n<body><center><h1>410 Gone</h1></center></body>\r\n</html>\r\n"
)


class Api:
    """What REST and the WebSocket API share.

    Args:
        exchange: The exchange.
        keys: Of all its users.
        clocks: Return the time.
        limits: Whether too many requests are refused.

    Attributes:
        weights: What each address has used.
    """

    def __init__(self, exchange: Exchange, keys: Iterable[ApiKey], clocks: Clocks, *, limits: bool = True) -> None:
        self.exchange = exchange
        self.keys = KeyRing(keys)
        self.weights = Weights(limits)
        self.clocks = clocks
        self._texts = {micro: SymbolTexts(exchange.rules, micro) for micro in (False, True)}

    def advance(self) -> int:
        """Advance the exchange to its clock's instant, and return it."""
        self.exchange.advance(self.clocks()[0])
        return self.exchange.now_us

    def parameters(self, given: Mapping[str, str], operation: Operation, extra: tuple[str, ...] = ()) -> Parameters:
        """Return the parameters of a request; raises ApiError where their names are not those of the operation.

        Args:
            given: By name.
            operation: That is called.
            extra: Further names of the protocol.
        """
        parameters = Parameters(given, self.exchange.rules.instrument.symbol)
        parameters.check_names((*operation.parameters, *(SIGNED_PARAMETERS if operation.signed else ()), *extra))
        return parameters

    def texts(self, micro: bool) -> SymbolTexts:
        """Return what writes answers, with instants in µs or in ms."""
        return self._texts[micro]

    def act(self, operation: Operation, parameters: Parameters, account: int, *, micro: bool) -> Any:
        """Return the content of the answer; raises ApiError where the exchange refuses."""
        return operation.act(Call(self.exchange, parameters, self._texts[micro], account))


class RestRoutes:
    """Answers every request that is not for the wire itself."""

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
        try:
            self._api.weights.charge(request.remote, operation.weighs(request.params), us)
            content: Any = self._act(operation, request, headers)
            status = 200
        except ApiError as error:
            status, content = error.http_status, error.content()
            if error.data is not None:
                content |= {"data": error.data}
            if error.retry_us is not None:
                headers["Retry-After"] = str(-(-(error.retry_us - us) // US_PER_S))
        used = str(self._api.weights.used(request.remote, us))
        headers |= {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}
        return json_response(status, content, headers)

    def _act(self, operation: Operation, request: Request, headers: dict[str, str]) -> Any:
        api, account = self._api, 0
        micro = _UNITS.get(request.headers.get("x-mbx-time-unit", ""))
        if micro is None:
            raise ApiError(-1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")
        key = api.keys.find(request.headers.get("x-mbx-apikey", "")) if operation.signed else None
        for part in (request.query, request.body.decode("utf-8", "replace")):
            names = [name for name, _ in parse_qsl(part, keep_blank_values=True)]
            if len(set(names)) < len(names):  # a name in both is fine: the query's holds
                raise ApiError(-1101, "Duplicate values for a parameter detected.")
        parameters = api.parameters(request.params, operation)
        if key:
            check_signature(key, parameters, signed_payload(request), api.clocks())
            account = key.account
        content = api.act(operation, parameters, account, micro=micro)
        if operation.counts_orders:
            headers |= api.exchange.accounts[account].count.headers(api.exchange.now_us)
        return content


def signed_payload(request: Request) -> bytes:
    """Return what a request's signature signs: its query and its body as they came, without the signature."""
    body = request.body.decode("utf-8", "surrogateescape")
    parts = (_SIGNATURE.sub("", part).removeprefix("&") for part in (request.query, body))
    return "".join(parts).encode("utf-8", "surrogateescape")
