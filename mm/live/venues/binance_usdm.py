"""Binance USD-M perpetuals: routes, weights, requests, and what their answers and user events say.

Orders go by the WebSocket API, which lacks most queries: these are sent by REST. Events of the account come over a
stream of their own (`usdm_connection`). Nothing here replaces an order, and a modified one loses its
place in the queue.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from mm.clock import US_PER_MS
from mm.errors import DataError
from mm.instrument import Instrument
from mm.live.account.holdings import Balances
from mm.live.account.ledger import SIDE_NAMES, AccountFill
from mm.live.account.positions import ContractSetup, Income, PositionSeen
from mm.live.knobs import VenueUrls
from mm.live.orders.live_orders import LiveOrder, OrderSeen
from mm.live.venues.addresses import attempts_file, quiet_file
from mm.live.venues.binance import CODES, LIMITS, ApiLimit, Signer, time_us
from mm.live.venues.contract_info import ContractInfo, unlimited
from mm.live.venues.request_limits import OrderLimits
from mm.live.venues.rest_api import RestApi
from mm.live.venues.usdm_connection import UsdmConnection
from mm.live.venues.usdm_messages import (
    ACCOUNT,
    ACCOUNT_ANSWER,
    CALL_EVENT,
    CONFIGS,
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
    TRADES,
    UPDATE_EVENT,
    forced_name,
)
from mm.live.venues.venue import (
    AccountEvent,
    AccountSeen,
    ApiAnswer,
    ApiWatcher,
    Call,
    ListedOrder,
    Outcome,
    Replaced,
    RequestParams,
    Route,
    Wiring,
)
from mm.live.venues.ws_api import linked
from mm.market_data.rate_budget import RateBudget

PAGE, INCOMES = 1_000, 1_000
"""The most trades, and payments, that an answer has."""
COUNTDOWN_MS = 60_000
_WIRE_TYPES: Mapping[str, RequestParams] = {
    "LIMIT_MAKER": {"type": "LIMIT", "timeInForce": "GTX"},
    "LIMIT": {"type": "LIMIT", "timeInForce": "GTC"},
    "IOC": {"type": "LIMIT", "timeInForce": "IOC"},
    "FOK": {"type": "LIMIT", "timeInForce": "FOK"},
    "MARKET": {"type": "MARKET"},
}
_WEIGHT, _WEIGHT_S = 2_400, 60.0
_ATTEMPTS, _ATTEMPTS_S = 290, 300.0  # to connect; the exchange allows 300

PLACE = Route("order.place", "POST", "/fapi/v1/order", 0, counted=True, stamped_once=True)
MODIFY = Route("order.modify", "PUT", "/fapi/v1/order", counted=True, stamped_once=True)
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
COUNTDOWN = Route("countdownCancelAll", "POST", "/fapi/v1/countdownCancelAll", 10, by_rest=True)
ROUTES = (
    *(PLACE, MODIFY, CANCEL, ORDER_STATUS, ACCOUNT_STATUS, POSITION, TIME, OPEN_ORDERS, CANCEL_ALL, USER_TRADES),
    *(ORDER_COUNTS, EXCHANGE_INFO, MARK_PRICE, LAST_PRICE, DUAL_SIDE, MULTI_ASSETS, SYMBOL_CONFIG, INCOME, COUNTDOWN),
)
"""All requests that REST has, too."""


class UsdmAccount:
    """Binance USD-M as an account sees it: an `AccountVenue`."""

    codes = CODES
    discount_asset = "BNB"
    """Commissions are taken in it, at a discount, while an account that has chosen so holds it."""

    def orders_of(self, symbol: str) -> "BinanceUsdm":
        """Return the requests of a symbol's orders."""
        return BinanceUsdm(symbol)

    def limits(self, urls: VenueUrls, seconds: Callable[[], float]) -> OrderLimits:
        """Return the limits of an account, shared with the other processes of this host."""
        path = quiet_file(urls.rest)
        weight = RateBudget(_WEIGHT, _WEIGHT_S, path) if path else None
        return OrderLimits(weight, seconds, RateBudget(_ATTEMPTS, _ATTEMPTS_S, attempts_file(urls.ws_api)))

    def transports(self, wiring: Wiring, watcher: ApiWatcher) -> tuple[UsdmConnection, RestApi]:
        """Return the connections for orders and the account's events, and requests by REST."""
        urls, credentials, window_ms, clock, limits, around = wiring
        signer = Signer(credentials, clock, window_ms)
        connect = around.connect or partial(linked, clock_us=around.clock)
        rest = RestApi(urls.rest, signer, limits, around.rest)
        return UsdmConnection((urls.ws_api, urls.streams), signer, limits, rest, watcher, connect), rest

    def time(self) -> Call:
        """Ask for the exchange's time."""
        return TIME, {}

    def time_us(self, answer: ApiAnswer) -> int:
        """Return the exchange's time of an answer, µs."""
        return time_us(answer)

    def account(self) -> Call:
        """Ask for the account's wallets, and the positions that are not zero."""
        return ACCOUNT_STATUS, {}

    def account_of(self, answer: ApiAnswer) -> AccountSeen:
        """Return the account of an answer."""
        return ACCOUNT_ANSWER.decode(answer.result).seen()

    def order_counts(self) -> Call:
        """Ask how many orders the exchange has counted."""
        return ORDER_COUNTS, {}

    def counts(self, answer: ApiAnswer) -> Sequence[ApiLimit]:
        """Return the exchange's counts of orders."""
        return LIMITS.decode(answer.result)

    def price_of(self, asset: str, quote: str) -> Call:
        """Ask for the last price of an asset in another."""
        return LAST_PRICE, {"symbol": asset + quote}

    def price(self, answer: ApiAnswer) -> str:
        """Return the price of an answer, as text: a mark price where there is one."""
        found = PRICE.decode(answer.result)
        return found.markPrice or found.price

    def event(self, kind: str, body: bytes) -> AccountEvent | None:
        """Return an event of the account; None for one that says nothing of orders, balances or margin.

        Raises:
            msgspec.MsgspecError: If it cannot be read.
        """
        if kind == EXECUTION:
            return EXECUTION_EVENT.decode(body).o
        if kind == ACCOUNT:
            return UPDATE_EVENT.decode(body).read()
        return CALL_EVENT.decode(body).read() if kind == MARGIN_CALL else None


class BinanceUsdm:
    """The requests and answers of a symbol: an `OrderVenue`, and its `contract`.

    Args:
        symbol: Upper case.
    """

    can_replace = can_amend = False
    page, income_page, countdown_ms = PAGE, INCOMES, COUNTDOWN_MS

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol

    @property
    def contract(self) -> "BinanceUsdm":
        """What only contracts have: this."""
        return self

    # requests that change orders

    def place(self, order: LiveOrder) -> Call:
        """Send an order."""
        return PLACE, self._terms(order)

    def replace(self, old: LiveOrder, new: LiveOrder) -> Call:
        """Raise NotImplementedError: no request replaces an order."""
        raise NotImplementedError(
            f"{self._symbol}: {old.client_id} cannot be replaced by {new.client_id} in one request"
        )

    def amend(self, order: LiveOrder, qty: str) -> Call:
        """Give an order the quantity *qty* in all; it goes to the end of its queue, and keeps its ids."""
        which = self._of(order.exchange_id) | {"side": SIDE_NAMES[order.side]}
        return MODIFY, which | {"quantity": qty, "price": order.price}

    def cancel(self, order: LiveOrder) -> Call:
        """Cancel an order."""
        return CANCEL, self._of(order.exchange_id) if order.exchange_id > 0 else self._named(order)

    def cancel_symbol(self) -> Call:
        """Cancel all open orders of the symbol."""
        return CANCEL_ALL, {"symbol": self._symbol}

    # queries

    def order(self, order: LiveOrder) -> Call:
        """Ask for the state of an order, by its client id; of one of the exchange by its number."""
        return ORDER_STATUS, self._of(order.exchange_id) if self.forced(order.client_id) else self._named(order)

    def order_of_id(self, exchange_id: int) -> Call:
        """Ask for the state of an order, by the exchange's id."""
        return ORDER_STATUS, self._of(exchange_id)

    def open_orders(self) -> Call:
        """Ask for the open orders of the symbol."""
        return OPEN_ORDERS, {"symbol": self._symbol}

    def trades_of(self, order: LiveOrder, first_id: int | None) -> Call:
        """Ask for the trades of an order, from a trade id on, if given."""
        first = {} if first_id is None else {"fromId": first_id}
        return USER_TRADES, self._of(order.exchange_id) | first | {"limit": PAGE}

    def trades_from(self, first_id: int) -> Call:
        """Ask for the account's trades from a trade id on."""
        return USER_TRADES, {"symbol": self._symbol, "fromId": first_id, "limit": PAGE}

    def trades_since(self, us: int) -> Call:
        """Ask for the account's trades since an instant."""
        return USER_TRADES, {"symbol": self._symbol, "startTime": us // US_PER_MS, "limit": PAGE}

    def last_trade(self) -> Call:
        """Ask for the account's last trade."""
        return USER_TRADES, {"symbol": self._symbol, "limit": 1}

    def mean_price(self) -> Call:
        """Ask for the mark price, the reference of the price band."""
        return MARK_PRICE, {"symbol": self._symbol}

    def terms(self) -> Call:
        """Ask for the terms of all symbols: there is no other request for those of one."""
        return EXCHANGE_INFO, {}

    # answers

    def seen(self, answer: ApiAnswer) -> OrderSeen:
        """Return the order of an answer."""
        return ORDER.decode(answer.result).seen(answer.us)

    def seen_all(self, answer: ApiAnswer) -> list[OrderSeen]:  # noqa: ARG002 - the protocol's
        """Return none: the answer to a cancel of all names no order."""
        return []

    def amended(self, answer: ApiAnswer) -> OrderSeen:
        """Return the order after its amendment."""
        return self.seen(answer)

    def replaced(self, answer: ApiAnswer) -> Replaced:
        """Raise NotImplementedError: no request replaces an order."""
        raise NotImplementedError(f"{self._symbol}: no order was replaced by {answer!r}")

    def trades(self, answer: ApiAnswer) -> Sequence[AccountFill]:
        """Return the trades of an answer, by id; their client ids are not known."""
        return [one.fill() for one in TRADES.decode(answer.result)]

    def listed(self, answer: ApiAnswer) -> ListedOrder:
        """Return the order of a query."""
        return ORDER.decode(answer.result).listed(answer.us)

    def listed_all(self, answer: ApiAnswer) -> Sequence[ListedOrder]:
        """Return the open orders of a query."""
        return [one.listed(answer.us) for one in ORDERS.decode(answer.result)]

    def terms_of(self, answer: ApiAnswer) -> ContractInfo:
        """Return the terms of the symbol.

        Raises:
            DataError: If the exchange does not have it.
            UsageError: If it is no perpetual that is settled in its quote asset.
            Mismatch: If it does not trade.
        """
        return ContractInfo(answer.result if answer.outcome is Outcome.DONE else b"{}", self._symbol)

    def ours_e8(
        self,
        instrument: Instrument,  # noqa: ARG002 - the protocol's
        balances: Balances,  # noqa: ARG002
        orders: Iterable[LiveOrder],
    ) -> tuple[int, int]:
        """Return that no balance binds: positions may be short, and the exchange judges the margin."""
        return unlimited(orders)

    # what only contracts have

    def setup(self) -> Sequence[Call]:
        """Ask how the account is set up: two modes of it, and leverage and margin type of the symbol."""
        return (DUAL_SIDE, {}), (MULTI_ASSETS, {}), (SYMBOL_CONFIG, {"symbol": self._symbol})

    def setup_of(self, answers: Sequence[ApiAnswer]) -> ContractSetup:
        """Return how the account is set up, of the answers in their order.

        Raises:
            DataError: If the last answer lacks the symbol.
        """
        dual, several, configs = answers
        found = next((one for one in CONFIGS.decode(configs.result) if one.symbol == self._symbol), None)
        if found is None:
            raise DataError(
                f"the exchange has no configuration of {self._symbol} for this account; open the symbol once"
            )
        return found.setup(DUAL.decode(dual.result), MULTI.decode(several.result))

    def position(self) -> Call:
        """Ask for the position."""
        return POSITION, {"symbol": self._symbol}

    def position_of(self, answer: ApiAnswer) -> PositionSeen:
        """Return the position of an answer; one without the symbol has none."""
        found = (one for one in RISKS.decode(answer.result) if one.symbol == self._symbol)
        return next((one.seen() for one in found), PositionSeen())

    def incomes(self, since_us: int, page: int) -> Call:
        """Ask for all changes of the wallet by the symbol since an instant, oldest first."""
        span = {"startTime": since_us // US_PER_MS, "page": page, "limit": INCOMES}
        return INCOME, {"symbol": self._symbol, **span}

    def incomes_of(self, answer: ApiAnswer) -> tuple[Sequence[Income], int]:
        """Return funding and clearances of an answer, and how many changes it has in all."""
        rows = INCOME_ROWS.decode(answer.result)
        return [one.read() for one in rows if one.incomeType in PAYING], len(rows)

    def count_down(self, ms: int) -> Call:
        """Let the exchange cancel all open orders of the symbol in *ms*, unless this is sent again; 0 ends it."""
        return COUNTDOWN, {"symbol": self._symbol, "countdownTime": ms}

    def forced(self, client_id: str) -> str:
        """Return what the exchange has done by an order of its own; empty if it is not one of these."""
        return forced_name(client_id)

    def _terms(self, order: LiveOrder) -> dict[str, str | int]:
        terms: dict[str, str | int] = {
            "symbol": self._symbol,
            "side": SIDE_NAMES[order.side],
            **_WIRE_TYPES[order.kind],
            "quantity": order.qty,
            "newClientOrderId": order.client_id,
            "newOrderRespType": "RESULT",
        }
        if order.reduces:
            terms["reduceOnly"] = "true"
        return terms if order.kind == "MARKET" else terms | {"price": order.price}

    def _of(self, exchange_id: int) -> dict[str, str | int]:
        return {"symbol": self._symbol, "orderId": exchange_id}

    def _named(self, order: LiveOrder) -> dict[str, str | int]:
        return {"symbol": self._symbol, "origClientOrderId": order.client_id}
