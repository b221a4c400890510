"""Bybit's addresses and topics, and the requests on a connection; no socket."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from mm.sim.wire.stream_requests import Opening, Reply, StreamControl, StreamDialect, StreamName, no_number

INTERVALS_MS: Mapping[int, int] = {1: 10, 50: 20, 200: 100, 1_000: 200}
"""Time between two messages of a book, ms, by its levels a side."""
TICKER_MS = 100
MOST_SPOT_ARGS = 10
MOST_ARGS_CHARACTERS = 21_000
_TOPIC = re.compile(r"(?:orderbook\.(?P<levels>\d+)|(?P<kind>publicTrade|tickers))\.(?P<symbol>[\w-]+)")
# Further topics of the exchange: a connection may subscribe to them, but receives no events in this simulation.
_SILENT = re.compile(r"(?:kline\.(?:\d+|[DWM])|allLiquidation|priceLimit|orderbook\.rpi)\.[\w-]+")
_CONNECTIONS = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicDialect(StreamDialect):
    """The topics under one path; the address names none, each is asked for.

    Attributes:
        path: Of the kind of market.
        contract: Linear contracts and Spot answer differently.
        symbols: Those that exist.
    """

    path: str
    contract: bool
    symbols: set[str] = field(default_factory=set)
    announces_end: bool = False

    def read(self, name: str, route: str = "") -> StreamName | None:  # noqa: ARG002 - one route
        if _SILENT.fullmatch(name):
            return StreamName(name, "", "silent")
        match = _TOPIC.fullmatch(name)
        if match is None:
            return None
        levels = int(match["levels"] or 0)
        if levels and levels not in INTERVALS_MS:
            return None
        interval_ms = INTERVALS_MS[levels] if levels else TICKER_MS
        return StreamName(name, match["symbol"], match["kind"] or "orderbook", interval_ms, levels)

    def open(self, path: str, query: str) -> Opening | None:  # noqa: ARG002 - a query says nothing
        return Opening(path, (), combined=False, micro=False) if path.removesuffix("/") == self.path else None

    def control(self, opening: Opening, most: int) -> "TopicControl":  # noqa: ARG002 - topics have no such limit
        return TopicControl(self)


def dialect(*, contract: bool) -> TopicDialect:
    """Return the topics of linear contracts or of Spot."""
    return TopicDialect(
        served=_TOPIC,
        silent=_SILENT,
        speeds={},
        api_path=None,
        path=f"/v5/public/{'linear' if contract else 'spot'}",
        contract=contract,
    )


class TopicControl(StreamControl):
    """Requests on a connection: subscribe, unsubscribe, ping."""

    def __init__(self, dialect: TopicDialect) -> None:
        super().__init__(combined=False, most=0, dialect=dialect)
        self._topics = dialect
        self._number = f"box-{next(_CONNECTIONS)}"

    def handle(self, text: str) -> Reply:
        try:
            request = json.loads(text, parse_constant=no_number)
        except (ValueError, RecursionError):
            return Reply(self._answer("", "", success=False, ret_msg="Bad request"))
        if not isinstance(request, dict):
            return Reply(self._answer("", "", success=False, ret_msg="Bad request"))
        op, given_id = request.get("op"), str(request.get("req_id", ""))
        if op == "ping":
            return Reply(self._answer("ping", given_id, ret_msg="pong"))
        if op not in ("subscribe", "unsubscribe"):
            return Reply(self._answer(str(op), given_id, success=False, ret_msg=f"unknown op:{op}"))
        return self._topics_of(op, given_id, request.get("args"))

    def _topics_of(self, op: str, given_id: str, args: Any) -> Reply:
        if not (isinstance(args, list) and all(isinstance(name, str) for name in args)):
            return Reply(self._answer(op, given_id, success=False, ret_msg="error:args"))
        if not self._topics.contract and len(args) > MOST_SPOT_ARGS:
            return Reply(self._answer(op, given_id, success=False, ret_msg=f"args size >{MOST_SPOT_ARGS}"))
        if len(json.dumps(args)) > MOST_ARGS_CHARACTERS:
            return Reply(self._answer(op, given_id, success=False, ret_msg="args length too long"))
        read = {name: self._dialect.read(name) for name in args}
        for name, stream in read.items():
            if stream is None or (stream.symbol and stream.symbol not in self._topics.symbols):
                unknown = f"error:handler not found,topic:{name}"
                return Reply(self._answer(op, given_id, success=False, ret_msg=unknown))
        streams = [stream for stream in read.values() if stream]
        message = op if not self._topics.contract else ""
        answer = self._answer(op, given_id, ret_msg=message)
        if op == "unsubscribe":
            return Reply(answer, left=[self.streams.pop(one.name) for one in streams if one.name in self.streams])
        joined = [stream for stream in streams if stream.name not in self.streams]
        self.streams |= {stream.name: stream for stream in joined}
        return Reply(answer, joined=joined)

    def _answer(self, op: str, given_id: str, *, success: bool = True, ret_msg: str = "") -> dict[str, Any]:
        answer = {"success": success, "ret_msg": ret_msg, "conn_id": self._number, "req_id": given_id, "op": op}
        if not self._topics.contract and not given_id:
            del answer["req_id"]
        return answer
