"""What can be asked of the exchange, whichever door the question comes through: REST or the WebSocket API."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mm.sim.exchange.accounts import UserAccount
from mm.sim.exchange.exchange import Exchange
from mm.sim.exchange.parameters import Parameters
from mm.sim.wire.symbol_texts import SymbolTexts

Weigh = Callable[[Mapping[str, str]], int]


@dataclass(frozen=True, slots=True)
class Call:
    """One question, by whom and about what.

    Attributes:
        exchange: Asked.
        asked: The parameters.
        texts: Writes the answer.
        account: Number of who asks; 0 where nobody needs to know.
    """

    exchange: Exchange
    asked: Parameters
    texts: SymbolTexts
    account: int = 0

    @property
    def us(self) -> int:
        """Return the exchange's instant."""
        return self.exchange.now_us

    @property
    def owner(self) -> UserAccount:
        """Return the account of who asks."""
        return self.exchange.accounts[self.account]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One endpoint of REST, and the method of the WebSocket API that does the same.

    Attributes:
        route: HTTP method and path.
        method: Name in the WebSocket API; empty where it has none.
        act: Does it; returns the content of the answer, or raises ApiError.
        parameters: Names that it reads, besides those of signing.
        weight: Of a request with such parameters.
        signed: Whether it needs a key and a signature.
        counts_orders: Whether the answer says how many orders the account has sent.
    """

    route: tuple[str, str]
    method: str
    act: Callable[[Call], Any]
    parameters: tuple[str, ...] = ()
    weight: Weigh = lambda _: 1
    signed: bool = False
    counts_orders: bool = False


def flat(weight: int) -> Weigh:
    """Return a weight that does not depend on the parameters."""
    return lambda _: weight


def by_presence(name: str, with_it: int, without: int) -> Weigh:
    """Return a weight that depends on whether a parameter is sent."""
    return lambda given: with_it if name in given else without
