"""Answers and user events of Binance Spot: fields by name, exact decimals."""

from msgspec import Raw, Struct
from msgspec.json import Decoder

from mm.clock import exchange_us
from mm.instrument import E8, e8
from mm.live.venues.balances import Transfer
from mm.live.venues.binance import OrderAnswer, OrderReport, order_seen, side_of, stamp_us
from mm.live.venues.fills import BUY, SELL, AccountFill
from mm.live.venues.live_orders import OrderSeen
from mm.live.venues.venue import AccountSeen, BalancesEvent, FeeRates, ListedOrder


class OrderEntry(OrderAnswer, gc=False):
    origClientOrderId: str = ""
    transactTime: int = 0

    @property
    def own_id(self) -> str:
        return self.origClientOrderId or self.clientOrderId

    def seen(self, us: int) -> OrderSeen:
        since, quantities = self.transactTime or self.updateTime, (self.executedQty, self.origQty)
        return order_seen(self.own_id, self.orderId, self.status, quantities, us, since)

    def listed(self, us: int) -> ListedOrder:
        return ListedOrder(self.seen(us), side_of(self.side), self.price, self.origQty, self.type)


class AmendedEntry(Struct, gc=False):
    orderId: int = -1
    clientOrderId: str = ""
    status: str = ""
    executedQty: str = "0"
    qty: str = "0"

    def seen(self, us: int, since: int) -> OrderSeen:
        quantities = self.executedQty, self.qty
        return order_seen(self.clientOrderId, self.orderId, self.status, quantities, us, since)


class AmendAnswer(Struct, gc=False):
    amendedOrder: AmendedEntry
    transactTime: int = 0


class ReplaceAnswer(Struct):
    """The answer to a cancel-replace, or the ``data`` of its refusal."""

    cancelResult: str = ""
    newOrderResult: str = ""
    cancelResponse: Raw = Raw(b"null")
    newOrderResponse: Raw = Raw(b"null")


class TradeEntry(Struct, gc=False):
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

    def fill(self) -> AccountFill:
        side = BUY if self.isBuyer else SELL
        texts = (self.price, self.qty, self.commission, self.commissionAsset)
        us, quote_qty = exchange_us(self.time), self.quoteQty
        return AccountFill(self.id, self.orderId, "", side, *texts, us, self.isMaker, quote_qty=quote_qty)


class BalanceEntry(Struct, gc=False):
    asset: str
    free: str
    locked: str


class CommissionRates(Struct, frozen=True, gc=False):
    """Commission rates of an account, as fractions of the notional."""

    maker: str = "0"
    taker: str = "0"
    buyer: str = "0"
    seller: str = "0"

    def role_e8(self) -> tuple[int, int]:
        side_e8 = max(e8(self.buyer), e8(self.seller))
        return e8(self.maker) + side_e8, e8(self.taker) + side_e8


class Discount(Struct, frozen=True, gc=False):
    """The discount for commissions paid in another asset: the factor on the standard rates."""

    enabledForAccount: bool = False
    enabledForSymbol: bool = False
    discount: str = "1"


class CommissionEntry(Struct):
    """The answer to ``account.commission``: three kinds of rates, which add up."""

    standardCommission: CommissionRates
    specialCommission: CommissionRates = CommissionRates()
    taxCommission: CommissionRates = CommissionRates()
    discount: Discount = Discount()

    def rates(self) -> FeeRates:
        standard_e8, others = self.standardCommission.role_e8(), (self.specialCommission, self.taxCommission)
        more_e8 = [sum(rates) for rates in zip(*(one.role_e8() for one in others), strict=True)]
        share_e8 = e8(self.discount.discount)
        maker_e8, taker_e8 = (rate_e8 + more for rate_e8, more in zip(standard_e8, more_e8, strict=True))
        maker_less_e8, taker_less_e8 = (  # rounded up
            -(-rate_e8 * share_e8 // E8) + more for rate_e8, more in zip(standard_e8, more_e8, strict=True)
        )
        burns = self.discount.enabledForAccount and self.discount.enabledForSymbol
        return FeeRates(maker_e8, taker_e8, burns, (maker_less_e8, taker_less_e8))


class AccountEntry(Struct):
    balances: list[BalanceEntry] = []
    updateTime: int = 0

    def seen(self) -> AccountSeen:
        held = {balance.asset: (balance.free, balance.locked) for balance in self.balances}
        return AccountSeen(held, stamp_us(self.updateTime))


class AssetPrice(Struct, gc=False):
    price: str


class ExecutionEvent(OrderReport, gc=False):
    """``executionReport``: an event of an order."""

    C: str = ""
    r: str = "NONE"
    Y: str = ""

    @property
    def client_ids(self) -> tuple[str, str]:
        """Client ids of the order and of the request; in the event of a cancel, the other id belongs to the request."""
        return self.C or self.c, self.c

    @property
    def forced(self) -> str:
        return ""

    def fill(self, client_id: str) -> AccountFill | None:
        if self.x != "TRADE" or self.t < 0:
            return None
        texts = (self.L, self.l, self.n, self.N or "")
        us = exchange_us(self.T)
        return AccountFill(self.t, self.i, client_id, self.side, *texts, us, self.m, quote_qty=self.Y)


class PositionEntry(Struct, gc=False):
    a: str
    f: str
    l: str  # noqa: E741 - the exchange's name


class PositionEvent(Struct):
    """``outboundAccountPosition``: the balances that changed."""

    B: list[PositionEntry] = []
    u: int = 0

    def read(self) -> BalancesEvent:
        return BalancesEvent({one.a: (one.f, one.l) for one in self.B}, stamp_us(self.u))


class BalanceEvent(Struct, gc=False):
    """``balanceUpdate``: an amount that was added or taken without a trade: a deposit, a withdrawal."""

    a: str
    d: str
    T: int = 0

    def read(self) -> Transfer:
        return Transfer(self.a, e8(self.d), BALANCE, exchange_us(self.T))


EXECUTION, POSITION, BALANCE = "executionReport", "outboundAccountPosition", "balanceUpdate"
ORDER = Decoder(OrderEntry)
ORDERS = Decoder(list[OrderEntry])
AMEND = Decoder(AmendAnswer)
REPLACE = Decoder(ReplaceAnswer)
TRADES = Decoder(list[TradeEntry])
ACCOUNT = Decoder(AccountEntry)
COMMISSION = Decoder(CommissionEntry)
PRICE = Decoder(AssetPrice)
EXECUTION_EVENT = Decoder(ExecutionEvent)
POSITION_EVENT = Decoder(PositionEvent)
BALANCE_EVENT = Decoder(BalanceEvent)
