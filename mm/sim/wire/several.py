"""Several symbols on one server: their streams, and a client's session at all of them."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from mm.sim.wire.answers import Json
from mm.sim.wire.http_messages import Request
from mm.sim.wire.stream_messages import Subscriber
from mm.sim.wire.stream_requests import StreamName
from mm.sim.wire.wire_market import StreamSource
from mm.sim.wire.ws_api import ApiSession


class Feeds(list[StreamSource]):
    """The streams of all symbols, the first symbol's in front."""

    @property
    def now_us(self) -> int:
        return self[0].now_us

    def advance(self, us: int) -> None:
        for feed in self:
            feed.advance(us)

    def subscribe(self, subscriber: Subscriber, stream: StreamName) -> None:
        for feed in self:
            feed.subscribe(subscriber, stream)

    def unsubscribe(self, subscriber: Subscriber, stream: StreamName) -> None:
        for feed in self:
            feed.unsubscribe(subscriber, stream)

    def end_users(self, subscriber: Subscriber) -> None:
        for feed in self:
            feed.end_users(subscriber)


class SymbolSessions:
    """A client's session at several symbols: each request goes to the session of its symbol.

    One without a symbol (logon, subscriptions, the account) goes to all, and the first answers.
    """

    def __init__(
        self,
        opens: Mapping[str, Callable[[Callable[[Json], None], Request], ApiSession]],
        send: Callable[[Json], None],
        request: Request,
    ) -> None:
        self._send, self._answers = send, True
        self._sessions = {symbol: open_session(self._take, request) for symbol, open_session in opens.items()}

    def handle(self, text: str) -> None:
        named = self._sessions.get(_symbol_of(text))
        for at, session in enumerate(self._sessions.values()):
            if named in (None, session):
                self._answers = at == 0 or named is session
                session.handle(text)
        self._answers = True

    def log_off(self) -> None:
        for session in self._sessions.values():
            session.log_off()

    def end_streams(self) -> None:
        for session in self._sessions.values():
            session.end_streams()

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()

    def _take(self, content: Json) -> None:
        if self._answers or "event" in content:
            self._send(content)


def _symbol_of(text: str) -> str:
    try:
        symbol: Any = json.loads(text)["params"]["symbol"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return symbol if isinstance(symbol, str) else ""
