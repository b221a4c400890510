"""The true state of each user: requests, orders, trades, balances and events, in the API's format.

Faults change messages to a user, not this record.
"""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Any

from mm.errors import MMError
from mm.sim.exchange.exchange import Exchange
from mm.sim.exchange.orders import AccountEvent
from mm.sim.wire.answers import Json
from mm.sim.wire.faults.fault import UserRequest

PARTS = ("openOrders", "orders", "trades", "events", "requests")
_KEEP = 200_000
_SECRETS = ("apiKey", "signature")


class NoSuchUser(MMError):
    """No account has this name."""


class AccountTruth:
    """The newest order-changing requests and the newest events of each account."""

    def __init__(self, exchange: Exchange, texts: Mapping[bool, Any], keep: int = _KEEP) -> None:
        self._exchange = exchange
        self._texts = texts
        self._requests: dict[int, deque[Json]] = {}
        self._events: dict[int, deque[AccountEvent]] = {}
        for number in exchange.accounts:
            self._requests[number], self._events[number] = deque(maxlen=keep), deque(maxlen=keep)
            exchange.watch(number, self._events[number].append)

    def received(self, arrival: UserRequest, outcome: Json | None) -> None:
        """Keep a request without its secrets; *outcome* is the response without faults, None if it was not executed."""
        if not arrival.operation.changes_orders:
            return
        given = {name: text for name, text in arrival.call.parameters.given.items() if name not in _SECRETS}
        request = {
            "us": self._exchange.now_us,
            "via": arrival.via,
            "method": arrival.operation.name,
            "params": given,
            "outcome": outcome,
            "faults": list(arrival.effect.faults),
        }
        self._requests[arrival.call.account].append(request)

    def content(self, user: str, *, micro: bool = False, since_us: int = 0, parts: Collection[str] = PARTS) -> Json:
        exchange, texts = self._exchange, self._texts[micro]
        accounts = {account.name: account for account in exchange.accounts.values()}
        if user not in accounts:
            raise NoSuchUser(f"user={user}: unknown user; known: {', '.join(accounts)}")
        account = accounts[user]
        number, users = account.number, exchange.users
        lists: dict[str, Callable[[], list[Json]]] = {
            "openOrders": lambda: [texts.queried(order) for order in users.open(number)],
            "orders": lambda: [texts.queried(order) for order in users.all(number) if order.updated_us >= since_us],
            "trades": lambda: [texts.own_trade(fill) for fill in users.fills(number) if fill.us >= since_us],
            "events": lambda: [
                {"us": what.us} | texts.event(what) for what in self._events[number] if what.us >= since_us
            ],
            "requests": lambda: [request for request in self._requests[number] if request["us"] >= since_us],
        }
        return {
            "user": user,
            "now_us": exchange.now_us,
            **texts.truth(exchange, account),
            **{name: lists[name]() for name in PARTS if name in parts},
        }
