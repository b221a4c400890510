"""Answers and user events of Binance Spot: fields by name, exact decimals, and the `Outcome` of requests."""

from enum import Enum
from typing import NamedTuple

from msgspec import Raw, Struct
from msgspec.json import Decoder

from mm.clock import exchange_us
from mm.instrument import e8
from mm.live.account.ledger import BUY, SELL, AccountFill
from mm.live.orders.live_orders import OrderSeen
from mm.live.venues.codes import INCONCLUSIVE, OVERLOADED


class Outcome(Enum):
    """The outcome of a request, as far as it is known."""

    DONE = "done"
    REFUSED = "refused"
    """It was not done, and never will be."""
    UNKNOWN = "unknown"
    """Unknown: there is no answer, or an answer without an outcome."""
    UNSENT = "unsent"
    """It was not sent."""

    @classmethod
    def of(cls, status: int, code: int) -> "Outcome":
        """Return the outcome by the HTTP *status* and the exchange's *code* (0 for none) of an answer."""
        if 200 <= status < 300:
            return Outcome.DONE
        if code == OVERLOADED:
            return Outcome.REFUSED
        return Outcome.UNKNOWN if code in INCONCLUSIVE or not 400 <= status < 500 else Outcome.REFUSED


NO_ANSWER, NO_CONNECTION = 0, 1
"""Our own codes, if the exchange gave none."""


class ApiAnswer(NamedTuple):
    """The answer to a request, or the absence of one.

    Attributes:
        outcome: Outcome of the request.
        us: Arrival, in µs.
        result: JSON of the result; of a refusal its ``data``.
        code: Code of a rejection, the exchange's or our own.
        message: Message of a refusal.
        status: HTTP status; 0 without a response.
        retry_after_s: Time for which the exchange forbids requests, in s; 0 for none.
        seconds: Time from sending to the answer.
    """

    outcome: Outcome
    us: int
    result: bytes = b""
    code: int = 0
    message: str = ""
    status: int = 0
    retry_after_s: float = 0.0
    seconds: float = 0.0


class ApiLimit(Struct, gc=False):
    """One of ``rateLimits``: the use, the limit and the window."""

    rateLimitType: str
    interval: str
    intervalNum: int
    limit: int
    count: int = 0


class WsError(Struct, gc=False):
    """The ``error`` of an answer."""

    code: int = 0
    msg: str = ""
    data: Raw = Raw(b"")


class WsMessage(Struct):
    """A message of the WebSocket API: the answer to a request, or an event."""

    id: int | str | None = None
    status: int = 0
    result: Raw = Raw(b"")
    error: WsError | None = None
    rateLimits: list[ApiLimit] = []
    event: Raw = Raw(b"")


class RetryData(Struct, gc=False):
    """``data`` of a refusal for too many requests; instants of the exchange in ms or µs."""

    serverTime: int = 0
    retryAfter: int = 0


class ServerTime(Struct, gc=False):
    """The answer to ``time``."""

    serverTime: int


class OrderEntry(Struct, gc=False):
    """An order in answers and query results."""

    orderId: int = -1
    clientOrderId: str = ""
    origClientOrderId: str = ""
    status: str = ""
    executedQty: str = "0"
    origQty: str = "0"
    price: str = ""
    side: str = ""
    type: str = ""
    transactTime: int = 0
    updateTime: int = 0

    @property
    def own_id(self) -> str:
        """Our client id of the order; in the answer to a cancel, the other id is that of the request."""
        return self.origClientOrderId or self.clientOrderId

    def seen(self, us: int) -> OrderSeen:
        """Return its content; *us* is the time of arrival."""
        since = self.transactTime or self.updateTime
        executed_e8, qty_e8 = e8(self.executedQty), e8(self.origQty)
        since_us = exchange_us(since) if since else 0
        return OrderSeen(self.own_id, self.orderId, self.status or "NEW", executed_e8, us, qty_e8, since_us)


class AmendedEntry(Struct, gc=False):
    """An order in the answer to its amendment."""

    orderId: int = -1
    clientOrderId: str = ""
    status: str = ""
    executedQty: str = "0"
    qty: str = "0"

    def seen(self, us: int, since: int) -> OrderSeen:
        """Return its content; *us* is the time of arrival, *since* the exchange's time of the amendment."""
        executed_e8, qty_e8 = e8(self.executedQty), e8(self.qty)
        since_us = exchange_us(since) if since else 0
        return OrderSeen(self.clientOrderId, self.orderId, self.status or "NEW", executed_e8, us, qty_e8, since_us)


class AmendAnswer(Struct, gc=False):
    """The answer to an amendment."""

    amendedOrder: AmendedEntry
    transactTime: int = 0


class ReplaceAnswer(Struct):
    """The answer to a cancel-replace, or the ``data`` of its refusal."""

    cancelResult: str = ""
    newOrderResult: str = ""
    cancelResponse: Raw = Raw(b"null")
    newOrderResponse: Raw = Raw(b"null")


class TradeEntry(Struct, gc=False):
    """One of ``myTrades``."""

    id: int
    orderId: int
    price: str
    qty: str
    commission: str
    commissionAsset: str
    time: int
    isBuyer: bool
    isMaker: bool
    quoteQty: str = ""

    def fill(self, client_id: str) -> AccountFill:
        """Return it as a fill of our order *client_id*."""
        side = BUY if self.isBuyer else SELL
        texts = (self.price, self.qty, self.commission, self.commissionAsset)
        us, quote_qty = exchange_us(self.time), self.quoteQty
        return AccountFill(self.id, self.orderId, client_id, side, *texts, us, self.isMaker, quote_qty=quote_qty)


class BalanceEntry(Struct, gc=False):
    """One asset of an account."""

    asset: str
    free: str
    locked: str


class CommissionRates(Struct, gc=False):
    """The commission rates of an account, as fractions of the notional."""

    maker: str = "0"
    taker: str = "0"
    buyer: str = "0"
    seller: str = "0"


class AccountEntry(Struct):
    """The answer to ``account.status``."""

    balances: list[BalanceEntry] = []
    commissionRates: CommissionRates | None = None
    updateTime: int = 0

    @property
    def held(self) -> dict[str, tuple[str, str]]:
        """Free and locked amount by asset."""
        return {one.asset: (one.free, one.locked) for one in self.balances}


class EventHead(Struct, gc=False):
    """The fields that all user events have."""

    e: str = ""


class ExecutionEvent(Struct, gc=False):
    """``executionReport``: an event of an order."""

    s: str
    c: str
    S: str
    x: str
    X: str
    i: int
    C: str = ""
    q: str = "0"
    l: str = "0"  # noqa: E741 - the exchange's name
    z: str = "0"
    L: str = "0"
    n: str = "0"
    N: str | None = None
    T: int = 0
    t: int = -1
    m: bool = False
    r: str = "NONE"
    Y: str = ""

    def seen(self, client_id: str, us: int) -> OrderSeen:
        """Return its content as of our order *client_id*; *us* is the time of arrival."""
        since_us = exchange_us(self.T) if self.T else 0
        return OrderSeen(client_id, self.i, self.X, e8(self.z), us, e8(self.q), since_us)

    def fill(self, client_id: str) -> AccountFill | None:
        """Return the execution that it reports of our order *client_id*; None if it reports none."""
        if self.x != "TRADE" or self.t < 0:
            return None
        side = BUY if self.S == "BUY" else SELL
        texts = (self.L, self.l, self.n, self.N or "")
        us = exchange_us(self.T)
        return AccountFill(self.t, self.i, client_id, side, *texts, us, self.m, quote_qty=self.Y)


class PositionEntry(Struct, gc=False):
    """One asset of an ``outboundAccountPosition``."""

    a: str
    f: str
    l: str  # noqa: E741 - the exchange's name


class PositionEvent(Struct):
    """``outboundAccountPosition``: the balances that changed, and when."""

    B: list[PositionEntry] = []
    u: int = 0

    @property
    def held(self) -> dict[str, tuple[str, str]]:
        """Free and locked amount by asset."""
        return {one.a: (one.f, one.l) for one in self.B}


class BalanceEvent(Struct, gc=False):
    """``balanceUpdate``: an amount that came into the account without a trade, or went: a deposit, a withdrawal."""

    a: str
    d: str
    T: int = 0


EXECUTION, POSITION, BALANCE, TERMINATED, SHUTDOWN = (
    "executionReport",
    "outboundAccountPosition",
    "balanceUpdate",
    "eventStreamTerminated",
    "serverShutdown",
)
WS_MESSAGE = Decoder(WsMessage)
WS_ERROR = Decoder(WsError)
RETRY_DATA = Decoder(RetryData)
SERVER_TIME = Decoder(ServerTime)
ORDER = Decoder(OrderEntry)
ORDERS = Decoder(list[OrderEntry])
AMEND = Decoder(AmendAnswer)
REPLACE = Decoder(ReplaceAnswer)
TRADES = Decoder(list[TradeEntry])
ACCOUNT = Decoder(AccountEntry)
EVENT_HEAD = Decoder(EventHead)
EXECUTION_EVENT = Decoder(ExecutionEvent)
POSITION_EVENT = Decoder(PositionEvent)
BALANCE_EVENT = Decoder(BalanceEvent)
