"""A session's subscriptions to the events of users."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.exchange import Exchange, Watcher
from mm.sim.exchange.orders import AccountEvent
from mm.sim.wire.answers import Json

SUBSCRIBE_SIGNED = "userDataStream.subscribe.signature"
"""Subscribes by a key and signature of its own, whatever the session's."""
Send = Callable[[Json], None]
"""Function that sends a response or an event as JSON."""


@dataclass(frozen=True, slots=True)
class _Subscription:
    account: int
    watcher: Watcher
    of_session: bool


class Subscriptions:
    """Wraps and sends events in the exchange's format; during a request they wait for its response."""

    def __init__(self, exchange: Exchange, texts: Any, send: Send) -> None:
        self._exchange = exchange
        self._texts = texts
        self._send = send
        self._next_id = 0
        self._active: dict[int, _Subscription] = {}
        self._waiting: list[Json] | None = None

    @property
    def ids(self) -> list[int]:
        return list(self._active)

    def add(self, account: int, *, of_session: bool) -> Json:
        """Return the response with the subscription id; ApiError if the account is already subscribed."""
        if any(subscription.account == account for subscription in self._active.values()):
            raise ApiError(-2035, "User Data Stream subscription already active.")
        number, self._next_id = self._next_id, self._next_id + 1

        def publish(what: AccountEvent) -> None:
            self._publish(number, self._texts.event(what))

        self._active[number] = _Subscription(account, publish, of_session)
        self._exchange.watch(account, publish)
        return {"subscriptionId": number}

    def end(self, number: int | None) -> None:
        numbers = self.ids if number is None else [number]
        if not numbers or any(number not in self._active for number in numbers):
            raise ApiError(-2036, "User Data Stream subscription not active.")
        for ended in numbers:
            self._end(ended)

    def end_of_session(self) -> None:
        for number in [number for number, subscription in self._active.items() if subscription.of_session]:
            self._end(number)

    def hold(self) -> None:
        self._waiting = []

    def release(self) -> None:
        waiting, self._waiting = self._waiting or [], None
        for event in waiting:
            self._send(event)

    def close(self) -> None:
        for subscription in self._active.values():
            self._exchange.unwatch(subscription.account, subscription.watcher)
        self._active.clear()

    def _end(self, number: int) -> None:
        subscription = self._active.pop(number)
        self._exchange.unwatch(subscription.account, subscription.watcher)
        self._publish(number, self._texts.terminated(self._exchange.now_us))

    def _publish(self, number: int, event: Json) -> None:
        wrapped = {"subscriptionId": number, "event": event}
        if self._waiting is None:
            self._send(wrapped)
        else:
            self._waiting.append(wrapped)
