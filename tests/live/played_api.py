"""A fake connection to the exchange; a test gives each answer."""

from typing import Any

import msgspec

from mm.live.venues.binance import why_of
from mm.live.venues.requests import ApiAnswer, Done, Outcome, RequestParams, Route


class PlayedApi:
    """Keeps every request until the test answers it."""

    def __init__(self) -> None:
        self.up = True
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.now_ms = 1_000_000
        self.us = 10**15
        self._waiting: list[Done] = []

    def request(self, route: Route, parameters: RequestParams, done: Done) -> int:
        self.requests.append((route.name, dict(parameters)))
        self._waiting.append(done)
        return self.now_ms

    def answer(self, result: Any = None, *, code: int = 0, status: int = 200, outcome: Outcome | None = None) -> None:
        """Answer the oldest request: a result, a refusal with its data, or an outcome without an answer."""
        outcome = outcome or (Outcome.REFUSED if code else Outcome.DONE)
        body = b"" if result is None else msgspec.json.encode(result)
        self._waiting.pop(0)(
            ApiAnswer(outcome, self.us, body, code, "why" if code else "", status, why=why_of(code, "why"))
        )

    @property
    def methods(self) -> list[str]:
        return [method for method, _ in self.requests]
