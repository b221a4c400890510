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
        self._waiting: list[tuple[str, Done]] = []

    def request(self, route: Route, parameters: RequestParams, done: Done) -> int:
        self.requests.append((route.name, dict(parameters)))
        self._waiting.append((route.name, done))
        return self.now_ms

    @property
    def waiting(self) -> list[str]:
        """The names of the requests without an answer, the oldest first."""
        return [name for name, _ in self._waiting]

    def answer(
        self,
        result: Any = None,
        *,
        of: str = "",
        code: int = 0,
        status: int = 200,
        outcome: Outcome | None = None,
    ) -> None:
        """Answer the oldest request, or the oldest of a name: a result, a refusal with its data, or only an outcome."""
        outcome = outcome or (Outcome.REFUSED if code else Outcome.DONE)
        body = b"" if result is None else msgspec.json.encode(result)
        _, done = self._waiting.pop(self.waiting.index(of) if of else 0)
        done(ApiAnswer(outcome, self.us, body, code, "why" if code else "", status, why=why_of(code, "why")))

    @property
    def methods(self) -> list[str]:
        return [method for method, _ in self.requests]
