"""The user data streams of one conversation: whose they are, and what is told through them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.exchange import Exchange, Watcher
from mm.sim.exchange.orders import ExecutionReport, Position
from mm.sim.wire import user_data
from mm.sim.wire.symbol_texts import SymbolTexts


@dataclass(frozen=True, slots=True)
class _Subscription:
    account: int
    watcher: Watcher
    of_session: bool


class Subscriptions:
    """Wraps events as the exchange does, and sends them; while a request is answered they wait for its answer.

    Args:
        exchange: Tells what happens.
        texts: Writes it.
        send: Takes an event, and sends it as JSON.
    """

    def __init__(self, exchange: Exchange, texts: SymbolTexts, send: Callable[[dict[str, Any]], None]) -> None:
        self._exchange = exchange
        self._texts = texts
        self._send = send
        self._next_id = 0
        self._active: dict[int, _Subscription] = {}
        self._waiting: list[dict[str, Any]] | None = None

    @property
    def ids(self) -> list[int]:
        """Return the ids of the active subscriptions."""
        return list(self._active)

    def add(self, account: int, *, of_session: bool) -> int:
        """Tell what happens to an account from now on, and return the subscription's id.

        Args:
            account: Its number.
            of_session: Whether the subscription ends with the session's log-on.

        Raises:
            ApiError: Where the account is subscribed to already.
        """
        if any(one.account == account for one in self._active.values()):
            raise ApiError(-2035, "User Data Stream subscription already active.")
        number, self._next_id = self._next_id, self._next_id + 1

        def tell(what: ExecutionReport | Position) -> None:
            self._tell(number, user_data.event(self._texts, what))

        self._active[number] = _Subscription(account, tell, of_session)
        self._exchange.watch(account, tell)
        return number

    def end(self, number: int | None) -> None:
        """End one subscription, or all where *number* is None; raises ApiError where there is none to end."""
        numbers = self.ids if number is None else [number]
        if not numbers or any(one not in self._active for one in numbers):
            raise ApiError(-2036, "User Data Stream subscription not active.")
        for one in numbers:
            self._end(one)

    def end_of_session(self) -> None:
        """End the subscriptions that the log-on opened."""
        for number in [number for number, one in self._active.items() if one.of_session]:
            self._end(number)

    def hold(self) -> None:
        """Keep events back until `release`."""
        self._waiting = []

    def release(self) -> None:
        """Send the events that were kept back, and all further ones at once."""
        waiting, self._waiting = self._waiting or [], None
        for event in waiting:
            self._send(event)

    def close(self) -> None:
        """End all subscriptions without a word."""
        for one in self._active.values():
            self._exchange.unwatch(one.account, one.watcher)
        self._active.clear()

    def _end(self, number: int) -> None:
        one = self._active.pop(number)
        self._exchange.unwatch(one.account, one.watcher)
        self._tell(number, user_data.terminated(self._texts, self._exchange.now_us))

    def _tell(self, number: int, event: dict[str, Any]) -> None:
        wrapped = {"subscriptionId": number, "event": event}
        if self._waiting is None:
            self._send(wrapped)
        else:
            self._waiting.append(wrapped)
