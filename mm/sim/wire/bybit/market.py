"""The public part of Bybit v5: linear contracts, or Spot; orders and accounts are not simulated."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from mm.clock import US_PER_S
from mm.instrument import Instrument
from mm.sim.exchange.accounts import RateLimit, UserAccount
from mm.sim.exchange.exchange import Exchange
from mm.sim.exchange.rules import SymbolRules
from mm.sim.exchange.usdm.contract_rules import ContractRules
from mm.sim.exchange.usdm.exchange import UsdmExchange
from mm.sim.exchange.usdm.terms import UsdmTerms
from mm.sim.flow.order_flow import Flow
from mm.sim.wire.answers import SymbolTexts
from mm.sim.wire.bybit.feed import TopicFeed
from mm.sim.wire.bybit.rest import ROOT, answer, refused
from mm.sim.wire.bybit.topics import TopicDialect, dialect
from mm.sim.wire.http_messages import Request, Response
from mm.sim.wire.limits import RateWindow, WireLimits
from mm.sim.wire.operations import Call, Operation
from mm.sim.wire.wire_market import ALWAYS_TAKEN, Session, StreamSource, set_status

if TYPE_CHECKING:
    from mm.sim.matching._core import Matching
    from mm.sim.wire.wire_market import WireMarket

MOST_REQUESTS, REQUESTS_S = 600, 5.0
BANNED_US = 600 * US_PER_S
_WEIGHT = RateLimit("REQUESTS", "MINUTE", 1, 7_200)


class BybitMarket:
    """Bybit v5 as documented in 2026, with `contract` its linear contracts."""

    name: ClassVar[str] = "bybit"
    operations: ClassVar[tuple[Operation, ...]] = ()
    weight: ClassVar[RateLimit] = _WEIGHT
    connect_weight: ClassVar[int] = 0
    prefix: ClassVar[str] = ROOT
    always_taken: ClassVar[tuple[str, ...]] = ALWAYS_TAKEN
    fees_in_quote: ClassVar[bool] = False
    connections: ClassVar[WireLimits] = WireLimits(messages=1_000, attempts=500)

    def __init__(self, terms: UsdmTerms | None = None, *, contract: bool) -> None:
        self.contract = contract
        self.streams: TopicDialect = dialect(contract=contract)
        self._terms = terms or UsdmTerms()
        self._exchanges: dict[str, Exchange] = {}
        self._feeds: dict[str, TopicFeed] = {}
        self._requests: dict[str, RateWindow] = {}
        self._banned_us: dict[str, int] = {}
        self._limits = True

    def accounts(self) -> list[UserAccount]:
        return []

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
        exchange: Exchange
        if self.contract:
            rules = ContractRules(instrument=instrument, reference_ticks=reference_ticks, onboard_us=start_us)
            exchange = UsdmExchange(rules, core, flow, accounts, start_us, limits=limits, terms=self._terms)
        else:
            spot = SymbolRules(instrument=instrument, reference_ticks=reference_ticks)
            exchange = Exchange(spot, core, flow, accounts, start_us, limits=limits)
        self._exchanges[instrument.symbol] = exchange
        self._limits = limits
        self.streams.symbols.add(instrument.symbol)
        return exchange

    def call(self, exchange: Any, parameters: Any, texts: Any, account: int) -> Call:
        return Call(exchange, parameters, texts, account)

    def texts(self, exchange: Any, *, micro: bool) -> SymbolTexts:
        return SymbolTexts(exchange.rules, micro)

    def feed(self, instrument: Instrument, now_us: int) -> TopicFeed:
        feed = self._feeds[instrument.symbol] = TopicFeed(instrument, now_us, self.streams)
        exchange = self._exchanges[instrument.symbol]
        if isinstance(exchange, UsdmExchange):
            feed.told = exchange.mark_told(now_us)
            exchange.hear_marks(feed.marked)
        return feed

    def more_feeds(self, exchange: Any, peers: Sequence[StreamSource]) -> list[StreamSource]:  # noqa: ARG002
        return []

    def session_operations(self, session: Session) -> list[Operation]:  # noqa: ARG002 - no WebSocket API
        return []

    def aside(self, request: Request) -> Response | None:
        """Answer all requests: limits and errors have Bybit's form."""
        now_us = max(exchange.now_us for exchange in self._exchanges.values())
        if self._limits and not self._admits(request.remote, now_us):
            return refused()
        return answer(request, self._exchanges, self._feeds, now_us, contract=self.contract)

    def controls(self, exchange: Any) -> Mapping[tuple[str, str], Callable[[Mapping[str, Any]], Any]]:
        return {("POST", "/sim/status"): lambda content: set_status(exchange, content)}

    def _admits(self, remote: str, now_us: int) -> bool:
        if now_us < self._banned_us.get(remote, 0):
            return False
        window = self._requests.setdefault(remote, RateWindow(MOST_REQUESTS, REQUESTS_S))
        if window.admit(now_us / US_PER_S):
            return True
        self._banned_us[remote] = now_us + BANNED_US
        return False


def linear(terms: UsdmTerms) -> "WireMarket":
    """Return linear contracts for the exchange in a box."""
    return BybitMarket(terms, contract=True)


def spot(terms: UsdmTerms) -> "WireMarket":
    """Return Spot for the exchange in a box; it has no terms of contracts."""
    return BybitMarket(terms, contract=False)
