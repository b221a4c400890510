"""Binance USD-M futures on the wire: the market of a server."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from mm.clock import US_PER_S
from mm.instrument import E8, Instrument, decimal_text, e8
from mm.markets.binance import USDM
from mm.sim.exchange.accounts import QUOTE_FUNDS_E8, USER_NAMES, RateLimit, UserAccount
from mm.sim.exchange.keys import SIGNED_PARAMETERS
from mm.sim.exchange.usdm.contract_rules import ContractRules
from mm.sim.exchange.usdm.exchange import RuleState, UsdmExchange
from mm.sim.exchange.usdm.terms import UsdmTerms
from mm.sim.exchange.usdm.wallet import futures_users
from mm.sim.flow.order_flow import Flow
from mm.sim.wire.feed import StreamFeed
from mm.sim.wire.http_messages import Request, Response
from mm.sim.wire.limits import WireLimits
from mm.sim.wire.operations import Operation
from mm.sim.wire.stream_requests import MINUTES_ON, StreamDialect
from mm.sim.wire.summaries import SUMMARIES, add_summaries
from mm.sim.wire.usdm.answers import UsdmTexts
from mm.sim.wire.usdm.downloads import DOWNLOAD_PATH
from mm.sim.wire.usdm.feeds import MarkFeed, UserStreams
from mm.sim.wire.usdm.market_operations import MARKET_OPERATIONS, WEIGHT
from mm.sim.wire.usdm.operation import UsdmCall
from mm.sim.wire.usdm.stream_texts import UsdmStreamTexts
from mm.sim.wire.usdm.user_operations import USER_OPERATIONS
from mm.sim.wire.wire_market import ALWAYS_TAKEN, BadControl, Session, StreamSource, only_text, set_fees, set_status

if TYPE_CHECKING:
    from mm.sim.matching._core import Matching

_SERVED = re.compile(
    r"(?P<symbol>[\w-]+)@(?:(?P<kind>trade|aggTrade|bookTicker|forceOrder|markPrice(?=@|$))(?P<pace>(?<=Price)(?:@1s)?)?"
    r"|depth(?P<levels>5|10|20)?(?P<speed>@500ms|@100ms)?)"
)
_SUMMARIES = (
    (re.compile(rf"(?P<symbol>[\w-]+)@kline_(?P<detail>{MINUTES_ON})"), "kline", 250),
    (re.compile(rf"(?P<symbol>\w+?)_perpetual@continuousKline_(?P<detail>{MINUTES_ON})"), "continuousKline", 250),
    (re.compile(r"(?P<symbol>[\w-]+)@(?P<kind>miniTicker|ticker)"), "", 2_000),
    (re.compile(r"!(?P<kind>miniTicker|ticker)@arr"), "", 1_000),
    (re.compile(r"!bookTicker"), "allBook", 5_000),
    (re.compile(r"!markPrice@arr@1s"), "markPrice", 1_000),
    (re.compile(r"!markPrice@arr"), "markPrice", 3_000),
    (re.compile(r"!(?P<kind>forceOrder)@arr"), "", 0),
    (re.compile(r"!(?P<kind>contractInfo)"), "", 0),
)
_SILENT = re.compile(r"[\w-]+@(?:compositeIndex|assetIndex|rpiDepth@500ms)|!assetIndex@arr")
_PUBLIC = frozenset({"depth", "partial", "bookTicker", "allBook", "trade", "silent"})
_MARKET = (SUMMARIES - _PUBLIC) | {"aggTrade", "markPrice", "forceOrder", "contractInfo", "silent"}
_ARRAYS_MS = 1_000
STREAMS = StreamDialect(
    served=_SERVED,
    silent=_SILENT,
    speeds={250: "", 500: "@500ms", 100: "@100ms"},
    api_path="/ws-fapi/v1",
    users=re.compile("[0-9A-Za-z]{64}"),
    routes={"public": _PUBLIC, "market": _MARKET, "private": frozenset({"user", "silent"})},
    summaries=_SUMMARIES,
)
_HIGHEST_RATE_E8 = E8 // 10
_RULES = ("UFR", "IFER", "GCR", "DR")


class UsdmMarket:
    """Binance USD-M futures, as documented in 2026."""

    name: ClassVar[str] = USDM.name
    operations: ClassVar[tuple[Operation, ...]] = (*MARKET_OPERATIONS, *USER_OPERATIONS)
    streams: ClassVar[StreamDialect] = STREAMS
    weight: ClassVar[RateLimit] = WEIGHT
    connect_weight: ClassVar[int] = 5
    prefix: ClassVar[str] = "v1/"
    always_taken: ClassVar[tuple[str, ...]] = (*ALWAYS_TAKEN, *SIGNED_PARAMETERS)  # ccxt signs what anybody may ask for
    fees_in_quote: ClassVar[bool] = True
    connections: ClassVar[WireLimits] = WireLimits(messages=10, ping_s=180.0, pong_s=600.0)

    def __init__(self, terms: UsdmTerms | None = None) -> None:
        self.terms = terms or UsdmTerms()
        self._exchanges: list[UsdmExchange] = []
        self._users = UserStreams()

    def accounts(self) -> list[UserAccount]:
        return list(futures_users(USER_NAMES, QUOTE_FUNDS_E8))

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
    ) -> UsdmExchange:
        rules = ContractRules(instrument=instrument, reference_ticks=reference_ticks, onboard_us=start_us)
        exchange = UsdmExchange(rules, core, flow, accounts, start_us, limits=limits, terms=self.terms)
        self._exchanges.append(exchange)
        return exchange

    def call(self, exchange: Any, parameters: Any, texts: Any, account: int) -> UsdmCall:
        return UsdmCall(exchange, parameters, texts, account, self._users, tuple(self._exchanges))

    def texts(self, exchange: Any, *, micro: bool) -> UsdmTexts:
        return UsdmTexts(exchange, micro)

    def feed(self, instrument: Instrument, now_us: int) -> StreamFeed:
        return StreamFeed(instrument, now_us, UsdmStreamTexts(instrument), STREAMS)

    def more_feeds(self, exchange: Any, peers: Sequence[StreamSource]) -> list[StreamSource]:
        self._users.attach(exchange)
        self._users.now_us = exchange.now_us
        texts = {micro: self.texts(exchange, micro=micro) for micro in (False, True)}
        summaries = add_summaries(exchange, texts, peers, _ARRAYS_MS, full=False)
        marks = MarkFeed(exchange, summaries.arrays)
        return [marks, summaries, *([self._users] if len(self._exchanges) == 1 else [])]

    def session_operations(self, session: Session) -> list[Operation]:  # noqa: ARG002 - users have listen keys
        return []

    def aside(self, request: Request) -> Response | None:
        """Answer a download; nothing is retired."""
        if request.path != DOWNLOAD_PATH:
            return None
        contracts = [(exchange, UsdmTexts(exchange, micro=False)) for exchange in self._exchanges]
        number = request.params.get("id", "")
        text = self._users.downloads.text(int(number), contracts) if re.fullmatch("[0-9]{1,18}", number) else None
        if text is None:
            return Response(404, {"Content-Type": "text/plain"}, b"no such download")
        return Response(200, {"Content-Type": "text/csv"}, text.encode())

    def controls(self, exchange: Any) -> Mapping[tuple[str, str], Callable[[Mapping[str, Any]], Any]]:
        def set_mark(content: Mapping[str, Any]) -> Any:
            price = only_text(content, "price")
            exchange.set_mark(None if price is None else e8(price))
            return {"markPrice": decimal_text(exchange.mark.e8), "fixed": exchange.mark.fixed}

        def set_funding(content: Mapping[str, Any]) -> Any:
            rate_e8 = e8(only_text(content, "rate") or "0")
            if abs(rate_e8) > _HIGHEST_RATE_E8:
                raise BadControl(f"rate={content['rate']}: it must be from -0.1 to 0.1")
            self.terms.rate_e8 = rate_e8
            return {"rate": decimal_text(rate_e8)}

        def set_rule(content: Mapping[str, Any]) -> Any:
            names = ("user", "indicator", "value", "trigger", "locked_s")
            if content.keys() != set(names) or not all(isinstance(part, str) for part in content.values()):
                raise BadControl(f"the body must have {', '.join(names)}, each a text")
            user, name, *numbers = (content[part] for part in names)
            found = [one for one in exchange.accounts.values() if one.name == user]
            if not found or name not in _RULES:
                raise BadControl(f"user={user} indicator={name}: no such user, or none of {', '.join(_RULES)}")
            value_e8, trigger_e8, locked_e8 = map(e8, numbers)
            until_us = exchange.now_us + locked_e8 * US_PER_S // E8 if locked_e8 else 0
            state = RuleState(value_e8 / E8, trigger_e8 / E8, until_us)
            exchange.trading_rules.setdefault(found[0].number, {})[name] = state
            return {"indicator": name, "value": state.value, "trigger": state.trigger, "locked_until_us": until_us}

        def settle(content: Mapping[str, Any]) -> Any:
            if content:
                raise BadControl("the body must be {}")
            exchange.settle()
            return {"status": exchange.rules.status, "price": decimal_text(exchange.mark.e8)}

        return {
            ("POST", "/sim/settle"): settle,
            ("POST", "/sim/trading_rule"): set_rule,
            ("POST", "/sim/mark"): set_mark,
            ("POST", "/sim/funding"): set_funding,
            ("POST", "/sim/status"): partial(set_status, exchange),
            ("POST", "/sim/fees"): partial(set_fees, exchange),
        }
