"""What a market says on the wire: its operations, streams, limits and texts, and the exchange behind them.

Matching, connections, limits, signatures and faults are the same for every market.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from mm.errors import MMError
from mm.instrument import E8, decimal_text, e8
from mm.sim.exchange.accounts import RateLimit, UserAccount
from mm.sim.exchange.exchange import Exchange
from mm.sim.exchange.keys import ApiKey
from mm.sim.flow.order_flow import Flow
from mm.sim.wire.feed import StreamFeed
from mm.sim.wire.http_messages import Request, Response
from mm.sim.wire.limits import WireLimits
from mm.sim.wire.operations import Call, Operation
from mm.sim.wire.stream_messages import Subscriber
from mm.sim.wire.stream_requests import StreamDialect, StreamName
from mm.sim.wire.subscriptions import Subscriptions

if TYPE_CHECKING:
    from mm.instrument import Instrument
    from mm.sim.matching._core import Matching


ALWAYS_TAKEN = ("apiKey", "returnRateLimits")
_HIGHEST_FEE_E8 = E8 // 10


class BadControl(MMError):
    """A control call of a market cannot be executed."""


class StreamSource(Protocol):
    now_us: int

    def advance(self, us: int) -> None: ...

    def subscribe(self, subscriber: Subscriber, stream: StreamName) -> None:
        """Ignore a stream that it lacks."""

    def unsubscribe(self, subscriber: Subscriber, stream: StreamName) -> None: ...

    def end_users(self, subscriber: Subscriber) -> None:
        """Send each its last event."""


class Session(Protocol):
    """A client's session of the WebSocket API, for the operations of a market; *key* is of its logon."""

    key: ApiKey | None
    subscriptions: Subscriptions


class WireMarket(Protocol):
    """One market; all symbols of a server have the same.

    Attributes:
        always_taken: Parameters that a request of the WebSocket API may have, whatever its method reads.
    """

    name: ClassVar[str]
    operations: ClassVar[tuple[Operation, ...]]
    weight: ClassVar[RateLimit]
    connect_weight: ClassVar[int]
    prefix: ClassVar[str]
    always_taken: ClassVar[tuple[str, ...]]
    fees_in_quote: ClassVar[bool]
    connections: ClassVar[WireLimits]

    @property
    def streams(self) -> StreamDialect: ...

    def accounts(self) -> list[UserAccount]: ...

    def exchange(  # noqa: PLR0913 - the parts of an exchange
        self,
        instrument: "Instrument",
        reference_ticks: int,
        core: "Matching",
        flow: Flow,
        accounts: Sequence[UserAccount],
        start_us: int,
        *,
        limits: bool,
    ) -> Exchange:
        """*reference_ticks* is the reference price before the first trade."""

    def call(self, exchange: Any, parameters: Any, texts: Any, account: int) -> Call: ...

    def texts(self, exchange: Any, *, micro: bool) -> Any: ...

    def feed(self, instrument: "Instrument", now_us: int) -> StreamFeed: ...

    def more_feeds(self, exchange: Any, peers: Sequence[StreamSource]) -> list[StreamSource]: ...

    def session_operations(self, session: Session) -> list[Operation]:
        """Operations of a session beside logon, status and logout."""

    def aside(self, request: Request) -> Response | None: ...

    def controls(self, exchange: Any) -> Mapping[tuple[str, str], Callable[[Mapping[str, Any]], Any]]: ...


def only_text(content: Mapping[str, Any], name: str) -> str | None:
    if content.keys() != {name} or not isinstance(content[name], str | None):
        raise BadControl(f'the body must be {{"{name}": "…"}}, a text')
    text: str | None = content[name]
    return text


def set_fees(exchange: Exchange, content: Mapping[str, Any]) -> dict[str, str]:
    if content.keys() != {"maker", "taker"} or not all(isinstance(rate, str) for rate in content.values()):
        raise BadControl('the body must be {"maker": "…", "taker": "…"}, shares of the notional')
    maker_e8, taker_e8 = e8(content["maker"]), e8(content["taker"])
    if max(abs(maker_e8), abs(taker_e8)) > _HIGHEST_FEE_E8:
        raise BadControl(f"maker={content['maker']} taker={content['taker']}: each must be from -0.1 to 0.1")
    exchange.set_fees(maker_e8, taker_e8)
    return {"maker": decimal_text(maker_e8), "taker": decimal_text(taker_e8)}


def set_status(exchange: Exchange, content: Mapping[str, Any]) -> dict[str, str]:
    exchange.rules = exchange.rules.of_status(only_text(content, "status") or "")
    return {"status": exchange.rules.status}
