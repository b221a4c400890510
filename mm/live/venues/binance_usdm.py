"""Binance USD-M perpetuals: routes, weights, requests, answers and user events.

Orders go by the WebSocket API; most queries, which it lacks, by REST. Account events come over a stream of their own
(`usdm_connection`). No request replaces an order; a modified one keeps its ids, and goes to the end of the queue.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from mm.clock import US_PER_MS, US_PER_S
from mm.errors import DataError
from mm.instrument import Instrument
from mm.live.venues.balances import Balances
from mm.live.venues.binance import Signer
from mm.live.venues.binance_requests import AccountRequests, AccountRoutes, OrderRequests, OrderRoutes
from mm.live.venues.contract_info import ContractInfo, unlimited
from mm.live.venues.fills import SIDE_NAMES
from mm.live.venues.live_orders import LiveOrder, OrderSeen
from mm.live.venues.positions import ContractSetup, PositionIncome, PositionSeen, RuleSeen, StopSeen
from mm.live.venues.requests import ApiAnswer, ApiWatcher, Call, Outcome, RequestParams, Route
from mm.live.venues.rest_api import RestApi
from mm.live.venues.usdm_connection import UsdmConnection
from mm.live.venues.usdm_messages import (
    ACCOUNT,
    ACCOUNT_ANSWER,
    BURN,
    CALL_EVENT,
    COMMISSION,
    CONFIG_EVENT,
    CONFIGS,
    CONFIGURED,
    DUAL,
    EXECUTION,
    EXECUTION_EVENT,
    INCOME_ROWS,
    MARGIN_CALL,
    MULTI,
    ORDER,
    ORDERS,
    PAYING,
    PRICE,
    RISKS,
    RULES,
    STOP,
    STOP_EVENT,
    STOPPED,
    STOPS,
    TRADES,
    UPDATE_EVENT,
    forced_name,
)
from mm.live.venues.venue import AccountEvent, AccountSeen, FeeRates, Replaced, Wiring
from mm.live.venues.ws_api import linked

INCOMES = 1_000
"""The most payments that an answer has."""
COUNTDOWN_MS = 60_000
_WIRE_TYPES: Mapping[str, RequestParams] = {
    "LIMIT_MAKER": {"type": "LIMIT", "timeInForce": "GTX"},
    "LIMIT": {"type": "LIMIT", "timeInForce": "GTC"},
    "IOC": {"type": "LIMIT", "timeInForce": "IOC"},
    "FOK": {"type": "LIMIT", "timeInForce": "FOK"},
    "MARKET": {"type": "MARKET"},
}

PLACE = Route("order.place", "POST", "/fapi/v1/order", 0, counted=True, stamped_once=True)
MODIFY = Route("order.modify", "PUT", "/fapi/v1/order", 0, counted=True, stamped_once=True)
CANCEL = Route("order.cancel", "DELETE", "/fapi/v1/order")
ORDER_STATUS = Route("order.status", "GET", "/fapi/v1/order")
ACCOUNT_STATUS = Route("v2/account.status", "GET", "/fapi/v3/account", 5)
POSITION = Route("v2/account.position", "GET", "/fapi/v3/positionRisk", 5)
TIME = Route("time", "GET", "/fapi/v1/time", signed=False, by_rest=True)
OPEN_ORDERS = Route("openOrders", "GET", "/fapi/v1/openOrders", by_rest=True)
CANCEL_ALL = Route("allOpenOrders", "DELETE", "/fapi/v1/allOpenOrders", by_rest=True)
USER_TRADES = Route("userTrades", "GET", "/fapi/v1/userTrades", 5, by_rest=True)
ORDER_COUNTS = Route("rateLimit/order", "GET", "/fapi/v1/rateLimit/order", by_rest=True)
EXCHANGE_INFO = Route("exchangeInfo", "GET", "/fapi/v1/exchangeInfo", signed=False, by_rest=True)
MARK_PRICE = Route("premiumIndex", "GET", "/fapi/v1/premiumIndex", signed=False, by_rest=True)
LAST_PRICE = Route("ticker/price", "GET", "/fapi/v2/ticker/price", signed=False, by_rest=True)
DUAL_SIDE = Route("positionSide/dual", "GET", "/fapi/v1/positionSide/dual", 30, by_rest=True)
MULTI_ASSETS = Route("multiAssetsMargin", "GET", "/fapi/v1/multiAssetsMargin", 30, by_rest=True)
SYMBOL_CONFIG = Route("symbolConfig", "GET", "/fapi/v1/symbolConfig", 5, by_rest=True)
INCOME = Route("income", "GET", "/fapi/v1/income", 30, by_rest=True)
TRADING_RULES = Route("apiTradingStatus", "GET", "/fapi/v1/apiTradingStatus", by_rest=True)
PLACE_STOP = Route("algoOrder", "POST", "/fapi/v1/algoOrder", 0, counted=True, stamped_once=True, by_rest=True)
CANCEL_STOP = Route("algoOrder", "DELETE", "/fapi/v1/algoOrder", by_rest=True)
STOPS_OPEN = Route("openAlgoOrders", "GET", "/fapi/v1/openAlgoOrders", by_rest=True)
FEE_RATES = Route("commissionRate", "GET", "/fapi/v1/commissionRate", 20, by_rest=True)
FEE_BURN = Route("feeBurn", "GET", "/fapi/v1/feeBurn", 30, by_rest=True)
COUNTDOWN = Route("countdownCancelAll", "POST", "/fapi/v1/countdownCancelAll", 10, by_rest=True)
ROUTES = (
    *(PLACE, MODIFY, CANCEL, ORDER_STATUS, ACCOUNT_STATUS, POSITION, TIME, OPEN_ORDERS, CANCEL_ALL, USER_TRADES),
    *(ORDER_COUNTS, EXCHANGE_INFO, MARK_PRICE, LAST_PRICE, DUAL_SIDE, MULTI_ASSETS, SYMBOL_CONFIG, INCOME, COUNTDOWN),
    *(FEE_RATES, FEE_BURN, TRADING_RULES, PLACE_STOP, CANCEL_STOP, STOPS_OPEN),
)
"""All requests that REST has, too."""


class UsdmAccount(AccountRequests):
    account_routes = AccountRoutes(TIME, ORDER_COUNTS, LAST_PRICE)
    weight = 2_400

    def orders_of(self, symbol: str) -> "UsdmVenue":
        return UsdmVenue(symbol)

    def transports(self, wiring: Wiring, watcher: ApiWatcher) -> tuple[UsdmConnection, RestApi]:
        urls, credentials, window_ms, clock, limits, around = wiring
        signer = Signer(credentials, clock, window_ms)
        connect = around.connect or partial(linked, clock_us=around.clock)
        rest = RestApi(urls.rest, signer, limits, around.rest)
        return UsdmConnection((urls.ws_api, urls.streams), signer, limits, rest, watcher, connect), rest

    def account(self) -> Call:
        return ACCOUNT_STATUS, {}

    def account_of(self, answer: ApiAnswer) -> AccountSeen:
        return ACCOUNT_ANSWER.decode(answer.result).seen()

    def price(self, answer: ApiAnswer) -> str:
        found = PRICE.decode(answer.result)
        return found.markPrice or found.price

    def event(self, kind: str, body: bytes) -> AccountEvent | None:
        if kind == EXECUTION:
            return EXECUTION_EVENT.decode(body).o
        if kind == ACCOUNT:
            return UPDATE_EVENT.decode(body).read()
        if kind == STOPPED:
            return STOP_EVENT.decode(body).read()
        if kind == CONFIGURED:
            return CONFIG_EVENT.decode(body).read()
        return CALL_EVENT.decode(body).read() if kind == MARGIN_CALL else None


class UsdmVenue(OrderRequests):
    """A `SymbolVenue`, and its `contract`."""

    can_replace = can_amend = False
    can_move = True
    income_page, countdown_ms, span_us = INCOMES, COUNTDOWN_MS, 7 * 86_400 * US_PER_S
    routes = OrderRoutes(
        PLACE, CANCEL, CANCEL_ALL, ORDER_STATUS, OPEN_ORDERS, USER_TRADES, OPEN_ORDERS._replace(weight=40)
    )
    wire_types = _WIRE_TYPES
    answers = ORDER, ORDERS, TRADES

    @property
    def contract(self) -> "UsdmVenue":
        return self

    # requests that change orders

    def replace(self, old: LiveOrder, new: LiveOrder) -> Call:
        raise NotImplementedError(
            f"{self._symbol}: {old.client_id} cannot be replaced by {new.client_id} in one request"
        )

    def amend(self, order: LiveOrder, qty: str, price: str = "") -> Call:
        which = self._by_id(order.exchange_id) | {"side": SIDE_NAMES[order.side]}
        return MODIFY, which | {"quantity": qty, "price": price or order.price}

    # queries

    def order(self, order: LiveOrder) -> Call:
        return ORDER_STATUS, self._by_id(order.exchange_id) if self.forced(order.client_id) else self._named(order)

    def mean_price(self) -> Call:
        return MARK_PRICE, {"symbol": self._symbol}

    def terms(self) -> Call:
        return EXCHANGE_INFO, {}

    def fee_rates(self) -> Sequence[Call]:
        return (FEE_RATES, {"symbol": self._symbol}), (FEE_BURN, {})

    # answers

    def fee_rates_of(self, answers: Sequence[ApiAnswer]) -> FeeRates:
        rates, burn = answers
        return COMMISSION.decode(rates.result).rates(BURN.decode(burn.result))

    def seen_all(self, answer: ApiAnswer) -> list[OrderSeen]:  # noqa: ARG002 - the protocol's
        return []

    def amended(self, answer: ApiAnswer) -> OrderSeen:
        return self.seen(answer)

    def replaced(self, answer: ApiAnswer) -> Replaced:
        raise NotImplementedError(f"{self._symbol}: no order was replaced by {answer!r}")

    def terms_of(self, answer: ApiAnswer) -> ContractInfo:
        return ContractInfo(answer.result if answer.outcome is Outcome.DONE else b"{}", self._symbol)

    def ours_e8(
        self,
        instrument: Instrument,  # noqa: ARG002 - the protocol's
        balances: Balances,  # noqa: ARG002
        orders: Iterable[LiveOrder],
    ) -> tuple[int, int]:
        """No balance binds: positions may be short, and the exchange judges the margin."""
        return unlimited(orders)

    # what only contracts have

    def setup(self) -> Sequence[Call]:
        return (DUAL_SIDE, {}), (MULTI_ASSETS, {}), (SYMBOL_CONFIG, {"symbol": self._symbol})

    def setup_of(self, answers: Sequence[ApiAnswer]) -> ContractSetup:
        dual, several, configs = answers
        found = next((one for one in CONFIGS.decode(configs.result) if one.symbol == self._symbol), None)
        if found is None:
            raise DataError(
                f"the exchange has no configuration of {self._symbol} for this account; open the symbol once"
            )
        return found.setup(DUAL.decode(dual.result), MULTI.decode(several.result))

    def position(self) -> Call:
        return POSITION, {"symbol": self._symbol}

    def position_of(self, answer: ApiAnswer) -> PositionSeen:
        found = (one for one in RISKS.decode(answer.result) if one.symbol == self._symbol)
        return next((one.seen() for one in found), PositionSeen())

    def incomes(self, since_us: int, page: int) -> Call:
        span = {"startTime": since_us // US_PER_MS, "page": page, "limit": INCOMES}
        return INCOME, {"symbol": self._symbol, **span}

    def incomes_of(self, answer: ApiAnswer) -> tuple[Sequence[PositionIncome], int]:
        rows = INCOME_ROWS.decode(answer.result)
        return [row.read() for row in rows if row.incomeType in PAYING], len(rows)

    def count_down(self, ms: int) -> Call:
        return COUNTDOWN, {"symbol": self._symbol, "countdownTime": ms}

    def trading_rules(self) -> Call:
        return TRADING_RULES, {"symbol": self._symbol}

    def trading_rules_of(self, answer: ApiAnswer) -> Sequence[RuleSeen]:
        return RULES.decode(answer.result).rules()

    def place_stop(self, client_id: str, side: int, trigger: str) -> Call:
        terms = {"algoType": "CONDITIONAL", "type": "STOP_MARKET", "workingType": "MARK_PRICE", "closePosition": "true"}
        whose = {"symbol": self._symbol, "side": SIDE_NAMES[side], "clientAlgoId": client_id}
        return PLACE_STOP, {**whose, **terms, "triggerPrice": trigger}

    def cancel_stop(self, client_id: str) -> Call:
        return CANCEL_STOP, {"clientAlgoId": client_id}

    def stops(self) -> Call:
        return STOPS_OPEN, {"symbol": self._symbol}

    def stops_of(self, answer: ApiAnswer) -> Sequence[StopSeen]:
        return [one.seen() for one in STOPS.decode(answer.result)]

    def stop_of(self, answer: ApiAnswer) -> StopSeen:
        return STOP.decode(answer.result).seen()

    def forced(self, client_id: str) -> str:
        return forced_name(client_id)

    def _terms(self, order: LiveOrder) -> dict[str, str | int]:
        return super()._terms(order) | ({"reduceOnly": "true"} if order.reduces else {})
