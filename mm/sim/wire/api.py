"""One exchange behind both of its doors: keys, weights, clocks, and the list of what can be asked."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mm.sim.exchange.exchange import Exchange
from mm.sim.exchange.keys import SIGNED_PARAMETERS, ApiKey, KeyRing
from mm.sim.exchange.parameters import Parameters
from mm.sim.wire.account_operations import ACCOUNT_OPERATIONS
from mm.sim.wire.market_operations import MARKET_OPERATIONS
from mm.sim.wire.operations import Call, Operation
from mm.sim.wire.order_operations import ORDER_OPERATIONS
from mm.sim.wire.symbol_texts import SymbolTexts
from mm.sim.wire.weights import Weights

OPERATIONS = (*MARKET_OPERATIONS, *ORDER_OPERATIONS, *ACCOUNT_OPERATIONS)
Clocks = Callable[[], Sequence[int]]
"""Returns the exchange's instant, and behind it others that a request's timestamp may be fresh by, in µs."""


class Api:
    """What REST and the WebSocket API share.

    Args:
        exchange: The exchange.
        keys: Of all its users.
        clocks: Say what time it is.
        limits: Whether too many requests are refused.

    Attributes:
        exchange: As given.
        keys: As given.
        weights: What each address has used.
        clocks: As given.
    """

    def __init__(self, exchange: Exchange, keys: Iterable[ApiKey], clocks: Clocks, *, limits: bool = True) -> None:
        self.exchange = exchange
        self.keys = KeyRing(keys)
        self.weights = Weights(limits)
        self.clocks = clocks
        self._texts = {micro: SymbolTexts(exchange.rules, micro) for micro in (False, True)}

    def advance(self) -> int:
        """Let the exchange come to its clock's instant, and return it."""
        self.exchange.advance(self.clocks()[0])
        return self.exchange.now_us

    def parameters(self, given: dict[str, str], operation: Operation, extra: tuple[str, ...] = ()) -> Parameters:
        """Return the parameters of a request; raises ApiError where their names are not those of the operation.

        Args:
            given: By name.
            operation: That is asked for.
            extra: Further names that the door knows.
        """
        asked = Parameters(given, self.exchange.rules.instrument.symbol)
        asked.check_names((*operation.parameters, *(SIGNED_PARAMETERS if operation.signed else ()), *extra))
        return asked

    def texts(self, micro: bool) -> SymbolTexts:
        """Return what writes answers, with instants in µs or in ms."""
        return self._texts[micro]

    def act(self, operation: Operation, asked: Parameters, account: int, *, micro: bool) -> Any:
        """Return the content of the answer; raises ApiError where the exchange refuses."""
        return operation.act(Call(self.exchange, asked, self._texts[micro], account))
