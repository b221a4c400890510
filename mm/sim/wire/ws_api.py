"""The WebSocket API: sessions with REST's operations, and user data streams."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

from mm.sim.exchange import api_error
from mm.sim.exchange.accounts import OrderCount
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.keys import ApiKey, check_fresh, check_signature
from mm.sim.exchange.parameters import RequestParameters
from mm.sim.wire.answers import Json
from mm.sim.wire.api import Api
from mm.sim.wire.faults.fault import RequestEffect
from mm.sim.wire.faults.request_faults import REVOKED
from mm.sim.wire.http_messages import Request
from mm.sim.wire.operations import Call, Operation
from mm.sim.wire.stream_requests import is_micro, no_number
from mm.sim.wire.subscriptions import SUBSCRIBE_SIGNED, Send, Subscriptions

_SESSION_WEIGHT = 2
_LOGON = "session.logon"


class ApiSession:
    def __init__(self, api: Api, send: Send, request: Request) -> None:
        with suppress(ApiError):  # an address over its limit receives the error in every response
            api.weights.charge(request.remote, api.market.connect_weight, api.advance())
        query = parse_qs(request.query)
        self._api = api
        self._send = send
        self._remote = request.remote
        self._shows_limits = query.get("returnRateLimits") != ["false"]
        self._texts = api.texts[is_micro(query)]
        self._connected_us = api.exchange.now_us
        self._logged_on_us: int | None = None
        self.key: ApiKey | None = None
        self.subscriptions = Subscriptions(api.exchange, self._texts, send)
        operations = (*api.market.operations, *self._own_operations(), *api.market.session_operations(self))
        self._operations = {operation.method: operation for operation in operations if operation.method}

    def handle(self, text: str) -> None:
        api = self._api
        us = api.advance()
        answer: Json = {"id": None}
        shows_limits = self._shows_limits
        count: OrderCount | None = None
        given: Mapping[str, str] = {}
        revoked = False
        effect = RequestEffect()
        self.subscriptions.hold()
        try:
            request = _read(text)
            answer["id"] = _id_of(request)
            given = _texts_of(request)
            shows_limits = given.get("returnRateLimits", "true" if shows_limits else "false") == "true"
            operation = self._operation_of(request)
            if api.faults and not api.faults.requested(operation.method):
                return
            api.weights.charge(self._remote, operation.weighs(given), us)
            parameters = api.parameters(given, operation, api.market.always_taken)
            has_key = operation.signed or operation.keyed
            account = self._authenticate(operation, parameters).account if has_key else 0
            count = api.exchange.accounts[account].count if operation.counts_orders else None
            arrival = api.arrive(operation, api.market.call(api.exchange, parameters, self._texts, account), "ws")
            effect = arrival.effect
            self.subscriptions.release()  # earlier events are sent before the response
            self.subscriptions.hold()
            answer |= {"status": 200, "result": api.act(arrival)}
        except ApiError as error:
            answer |= {"status": error.http_status, "error": self._content(error)}
            # As the documents print it ("Authentication after an API key becomes invalid"): the session ends.
            revoked = error.code == REVOKED and self.key is not None and not given.get("apiKey")
            answer |= {"id": None} if revoked else {}
        if shows_limits:
            orders = count.entries(us) if count else []
            used = {"count": api.weights.used(self._remote, us)}
            answer["rateLimits"] = [*orders, api.weights.limit.entry() | used]
        if effect.answered:
            self._answer(answer, effect.delay_us)
        self.subscriptions.release()
        if revoked:
            self.log_off()

    def log_off(self) -> None:
        self.subscriptions.end_of_session()
        self.key = self._logged_on_us = None

    def end_streams(self) -> None:
        for number in self.subscriptions.ids:
            self.subscriptions.end(number)

    def close(self) -> None:
        self.subscriptions.close()

    def _answer(self, answer: Json, delay_us: int) -> None:
        faults = self._api.faults
        answer = faults.stamped(answer) if faults else answer
        if delay_us and faults:
            faults.at(self._api.exchange.now_us + delay_us, lambda: self._send(answer))
        else:
            self._send(answer)

    def _operation_of(self, request: Json) -> Operation:
        method = request.get("method")
        if not isinstance(method, str):
            raise _invalid("Invalid 'method' in JSON request; expected a string.")
        operations = self._operations
        operation = operations.get(method) or operations.get(method.removeprefix(self._api.market.prefix))
        if operation is None:
            raise ApiError(-1020, "This operation is not supported.")
        return operation

    def _authenticate(self, operation: Operation, parameters: RequestParameters) -> ApiKey:
        """Return the key of the request's signature, else of the session's logon."""
        clocks = self._api.shown_clocks()
        if not parameters["apiKey"]:
            if self.key is None or operation.method in (_LOGON, SUBSCRIBE_SIGNED):
                raise api_error.mandatory("apiKey")
            if operation.signed:
                check_fresh(parameters, clocks)
            return self.key
        key = self._api.keys.find(parameters["apiKey"])
        if not operation.signed:
            return key
        credential = check_signature(key, parameters, signed_payload(parameters.given), clocks)
        if operation.method == _LOGON:
            if credential != "ED25519":
                raise ApiError(-1022, "Signature for this request is not valid.")
            self.subscriptions.end_of_session()
            self.key, self._logged_on_us = key, self._api.exchange.now_us
        return key

    def _content(self, error: ApiError) -> Json:
        if error.retry_us is None:
            return error.content()
        stamp = self._texts.stamp
        data = {"serverTime": stamp(self._api.exchange.now_us), "retryAfter": stamp(error.retry_us)}
        return error.content() | {"data": data}

    def _own_operations(self) -> list[Operation]:
        return [
            Operation("", _LOGON, self._status, weight=_SESSION_WEIGHT, signed=True),
            Operation("", "session.status", self._status, weight=_SESSION_WEIGHT),
            Operation("", "session.logout", self._log_out, weight=_SESSION_WEIGHT),
        ]

    def _status(self, call: Call) -> Json:
        return {
            "apiKey": self.key.key if self.key else None,
            "authorizedSince": None if self._logged_on_us is None else call.texts.stamp(self._logged_on_us),
            "connectedSince": call.texts.stamp(self._connected_us),
            "returnRateLimits": self._shows_limits,
            "serverTime": call.texts.stamp(call.us),
            "userDataStream": bool(self.subscriptions.ids),
        }

    def _log_out(self, call: Call) -> Json:
        self.log_off()
        return self._status(call)


def signed_payload(given: Mapping[str, str]) -> bytes:
    return "&".join(f"{name}={text}" for name, text in sorted(given.items()) if name != "signature").encode()


def _read(text: str) -> Json:
    try:
        request = json.loads(text, parse_float=str, parse_constant=no_number)
        json.dumps(request, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise _invalid("Invalid JSON Request") from None
    if not isinstance(request, dict):
        raise _invalid("Invalid JSON Request")
    return request


def _id_of(request: Json) -> int | str | None:
    request_id = request.get("id")
    if isinstance(request_id, bool) or not isinstance(request_id, int | str | None):
        raise _invalid("Invalid 'id' in JSON request; expected an integer, a string, or null.")
    return request_id


def _texts_of(request: Json) -> dict[str, str]:
    parameters = request.get("params", {})
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise _invalid("Invalid 'params' in JSON request; expected an object.")
    return {name: _text_of(value) for name, value in parameters.items()}


def _text_of(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _invalid(msg: str) -> ApiError:
    return ApiError(-1135, msg)
