"""Binance Spot on the wire."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from mm.instrument import Instrument
from mm.markets import binance as markets
from mm.sim.exchange.accounts import RateLimit, UserAccount, two_users
from mm.sim.exchange.api_error import UNAUTHORIZED, ApiError
from mm.sim.exchange.exchange import Exchange
from mm.sim.exchange.rules import SymbolRules
from mm.sim.flow.order_flow import Flow
from mm.sim.wire.answers import Json, SymbolTexts
from mm.sim.wire.feed import StreamFeed
from mm.sim.wire.http_messages import Request, Response
from mm.sim.wire.limits import WEIGHT_LIMIT, WireLimits
from mm.sim.wire.operations import MARKET_OPERATIONS, Call, Operation
from mm.sim.wire.stream_requests import SPOT_STREAMS, StreamDialect
from mm.sim.wire.subscriptions import SUBSCRIBE_SIGNED
from mm.sim.wire.summaries import add_summaries
from mm.sim.wire.user_operations import USER_OPERATIONS
from mm.sim.wire.wire_market import ALWAYS_TAKEN, Session, StreamSource, WireMarket, set_fees, set_status

if TYPE_CHECKING:
    from mm.sim.exchange.usdm.terms import UsdmTerms
    from mm.sim.matching._core import Matching

OPERATIONS = (*MARKET_OPERATIONS, *USER_OPERATIONS)
_SESSION_WEIGHT, _ARRAYS_MS = 2, 1_000
_RETIRED = "/api/v3/userDataStream"
_GONE = (
    b"<html>\r\n<head><title>410 Gone</title></head>\r\n<body><center><h1>410 Gone</h1></center></body>\r\n</html>\r\n"
)


class SpotMarket:
    """Binance Spot, as documented in 2026."""

    name: ClassVar[str] = markets.SPOT.name
    operations: ClassVar[tuple[Operation, ...]] = OPERATIONS
    streams: ClassVar[StreamDialect] = SPOT_STREAMS
    weight: ClassVar[RateLimit] = WEIGHT_LIMIT
    connect_weight: ClassVar[int] = 2
    prefix: ClassVar[str] = "v3/"
    always_taken: ClassVar[tuple[str, ...]] = ALWAYS_TAKEN
    fees_in_quote: ClassVar[bool] = False
    connections: ClassVar[WireLimits] = WireLimits()

    def accounts(self) -> list[UserAccount]:
        return two_users()

    def exchange(  # noqa: PLR0913 - the parts of an exchange
        self,
        instrument: Instrument,
        reference_ticks: int,
        core: "Matching",
        flow: Flow,
        accounts: Sequence[UserAccount],
        start_us: int,
        *,
        limits: bool,
    ) -> Exchange:
        rules = SymbolRules(instrument=instrument, reference_ticks=reference_ticks)
        return Exchange(rules, core, flow, accounts, start_us, limits=limits)

    def call(self, exchange: Any, parameters: Any, texts: Any, account: int) -> Call:
        return Call(exchange, parameters, texts, account)

    def texts(self, exchange: Any, *, micro: bool) -> SymbolTexts:
        return SymbolTexts(exchange.rules, micro)

    def feed(self, instrument: Instrument, now_us: int) -> StreamFeed:
        return StreamFeed(instrument, now_us)

    def more_feeds(self, exchange: Any, peers: Sequence[StreamSource]) -> list[StreamSource]:
        texts = {micro: self.texts(exchange, micro=micro) for micro in (False, True)}
        return [add_summaries(exchange, texts, peers, _ARRAYS_MS, full=True)]

    def session_operations(self, session: Session) -> list[Operation]:
        signed = partial(Operation, "", weight=_SESSION_WEIGHT, signed=True)
        public = partial(Operation, "", weight=_SESSION_WEIGHT)
        subscriptions = session.subscriptions

        def subscribe(_: Call) -> Json:
            if session.key is None:
                raise ApiError(-1002, "You are not authorized to execute this request.", UNAUTHORIZED)
            return subscriptions.add(session.key.account, of_session=True)

        def unsubscribe(call: Call) -> Json:
            subscriptions.end(call["subscriptionId"])
            return {}

        return [
            public("session.subscriptions", lambda _: [{"subscriptionId": number} for number in subscriptions.ids]),
            public("userDataStream.subscribe", subscribe),
            signed(SUBSCRIBE_SIGNED, lambda call: subscriptions.add(call.account, of_session=False)),
            public("userDataStream.unsubscribe", unsubscribe, "subscriptionId"),
        ]

    def aside(self, request: Request) -> Response | None:
        return Response(410, {"Content-Type": "text/html"}, _GONE) if request.path == _RETIRED else None

    def controls(self, exchange: Any) -> Mapping[tuple[str, str], Callable[[Mapping[str, Any]], Any]]:
        return {
            ("POST", "/sim/status"): partial(set_status, exchange),
            ("POST", "/sim/fees"): partial(set_fees, exchange),
        }


SPOT = SpotMarket()


def make(_terms: "UsdmTerms") -> WireMarket:
    """Return it for the exchange in a box; it has no terms of contracts."""
    return SPOT
