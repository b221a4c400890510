"""Answers and user events of Binance USD-M: fields by name, exact decimals."""

import re

from msgspec import Struct
from msgspec.json import Decoder

from mm.instrument import e8
from mm.live.venues.balances import Transfer
from mm.live.venues.binance import OrderAnswer, OrderReport, order_seen, side_of, stamp_us
from mm.live.venues.canceller import OWN_PREFIX
from mm.live.venues.fills import AccountFill
from mm.live.venues.live_orders import OrderSeen
from mm.live.venues.positions import (
    ContractSetup,
    MarginCalled,
    MarginSeen,
    PositionIncome,
    PositionSeen,
    RuleSeen,
    SetupChanged,
    StopSeen,
)
from mm.live.venues.venue import AccountSeen, BalancesEvent, FeeRates, ListedOrder

_KINDS = {"GTX": "LIMIT_MAKER", "IOC": "IOC", "FOK": "FOK"}
AUTO_CLOSE, ADL, SETTLEMENT = "autoclose-", "adl_autoclose", "settlement_autoclose-"
"""How client ids of the exchange's own orders begin: a liquidation, an auto-deleveraging, a settlement."""
FORCED = (AUTO_CLOSE, ADL, SETTLEMENT)
PROTECTIVE = "protective stop"
_STOP = re.compile(rf"{OWN_PREFIX}[a-z2-7]+-p\d+")
"""A client id of `ClientIds.next_stop`."""


class UsdmOrderEntry(OrderAnswer, gc=False):
    timeInForce: str = ""

    def seen(self, us: int) -> OrderSeen:
        quantities = self.executedQty, self.origQty
        found = order_seen(self.clientOrderId, self.orderId, self.status, quantities, us, self.updateTime)
        return found._replace(price_e8=e8(self.price or "0"))

    def listed(self, us: int) -> ListedOrder:
        kind = _KINDS.get(self.timeInForce, self.type) if self.type == "LIMIT" else self.type
        return ListedOrder(self.seen(us), side_of(self.side), self.price, self.origQty, kind)


class UsdmTradeEntry(Struct, gc=False):
    id: int
    orderId: int
    side: str
    price: str
    qty: str
    commission: str
    commissionAsset: str
    time: int
    maker: bool
    quoteQty: str = ""
    realizedPnl: str = "0"

    def fill(self) -> AccountFill:
        texts = (self.price, self.qty, self.commission, self.commissionAsset)
        side, us, realized = side_of(self.side), stamp_us(self.time), self.realizedPnl
        head = (self.id, self.orderId, "", side)
        return AccountFill(*head, *texts, us, self.maker, quote_qty=self.quoteQty, realized=realized)


class AssetEntry(Struct, gc=False):
    asset: str
    walletBalance: str = "0"
    marginBalance: str = "0"
    maintMargin: str = "0"
    availableBalance: str = "0"
    updateTime: int = 0


class AccountPosition(Struct, gc=False):
    """One position of an account; version 3 has no entry price."""

    symbol: str
    positionAmt: str = "0"
    unrealizedProfit: str = "0"
    isolatedWallet: str = "0"
    maintMargin: str = "0"
    updateTime: int = 0


class UsdmAccountEntry(Struct):
    """The answer to ``v2/account.status``."""

    assets: list[AssetEntry] = []
    positions: list[AccountPosition] = []

    def seen(self) -> AccountSeen:
        held = {asset.asset: (asset.walletBalance, "0") for asset in self.assets}
        held |= {position.symbol: (position.positionAmt, "0") for position in self.positions}
        margins = {
            asset.asset: MarginSeen(e8(asset.marginBalance), e8(asset.maintMargin), e8(asset.availableBalance))
            for asset in self.assets
        }
        return AccountSeen(held, stamp_us(max((asset.updateTime for asset in self.assets), default=0)), margins)


class RiskEntry(Struct, gc=False):
    """One of ``positionRisk``, version 3."""

    symbol: str
    positionAmt: str = "0"
    entryPrice: str = "0"
    markPrice: str = "0"
    unRealizedProfit: str = "0"
    liquidationPrice: str = "0"
    isolatedWallet: str = "0"
    positionInitialMargin: str = "0"
    maintMargin: str = "0"
    updateTime: int = 0

    def seen(self) -> PositionSeen:
        texts = (self.positionAmt, self.entryPrice, self.markPrice, self.unRealizedProfit)
        rest = (self.liquidationPrice, self.maintMargin, self.isolatedWallet, self.positionInitialMargin)
        return PositionSeen(*map(e8, (*texts, *rest)))._replace(us=stamp_us(self.updateTime))


class IncomeEntry(Struct, gc=False):
    incomeType: str
    income: str
    asset: str
    time: int
    tranId: int | str
    symbol: str = ""

    def read(self) -> PositionIncome:
        return PositionIncome(
            f"{self.incomeType}:{self.tranId}", self.symbol, self.asset, e8(self.income), stamp_us(self.time)
        )


class DualSide(Struct, gc=False):
    dualSidePosition: bool


class MultiAssets(Struct, gc=False):
    multiAssetsMargin: bool


class SymbolConfig(Struct, gc=False):
    symbol: str
    marginType: str
    leverage: int
    maxNotionalValue: str = "0"

    def setup(self, dual: DualSide, multi: MultiAssets) -> ContractSetup:
        hedged, several = dual.dualSidePosition, multi.multiAssetsMargin
        isolated, most_e8 = self.marginType.upper() == "ISOLATED", _whole_e8(self.maxNotionalValue)
        return ContractSetup(hedged, several, isolated, self.leverage, most_e8)


def _whole_e8(text: str) -> int:
    return e8(text) if text.replace(".", "", 1).isdigit() else 0


class FeeBurn(Struct, gc=False):
    feeBurn: bool


class CommissionRate(Struct, gc=False):
    makerCommissionRate: str
    takerCommissionRate: str

    def rates(self, burn: FeeBurn) -> FeeRates:
        rates_e8 = e8(self.makerCommissionRate), e8(self.takerCommissionRate)
        return FeeRates(*rates_e8, burn.feeBurn, rates_e8)


class RuleEntry(Struct, gc=False):
    indicator: str
    value: float
    triggerValue: float
    isLocked: bool = False
    plannedRecoverTime: int | None = None


class TradingStatus(Struct):
    indicators: dict[str, list[RuleEntry]] = {}

    def rules(self) -> list[RuleSeen]:
        return [
            RuleSeen(
                *(one.indicator, whose, one.value, one.triggerValue),
                stamp_us(one.plannedRecoverTime or 0) if one.isLocked else 0,
            )
            for whose, found in sorted(self.indicators.items())
            for one in found
        ]


class StopEntry(Struct, gc=False):
    clientAlgoId: str
    symbol: str = ""
    side: str = ""
    triggerPrice: str = "0"
    algoStatus: str = ""
    actualOrderId: str = ""

    def seen(self) -> StopSeen:
        terms = self.symbol, self.clientAlgoId, side_of(self.side), e8(self.triggerPrice or "0")
        return StopSeen(*terms, int(self.actualOrderId or 0), self.algoStatus == "NEW")


class StopUpdate(Struct, gc=False):
    s: str
    caid: str
    S: str
    X: str
    tp: str = "0"
    ai: str = ""


class StopEvent(Struct):
    o: StopUpdate

    def read(self) -> StopSeen:
        one = self.o
        return StopSeen(one.s, one.caid, side_of(one.S), e8(one.tp or "0"), int(one.ai or 0), one.X == "NEW")


class AnyPrice(Struct, gc=False):
    markPrice: str = ""
    price: str = ""


class ListenKey(Struct, gc=False):
    listenKey: str


# ---------------------------------------------------------------------- events


class OrderUpdate(OrderReport, gc=False):
    p: str = "0"
    rp: str = "0"

    def seen(self, client_id: str, us: int) -> OrderSeen:
        return super().seen(client_id, us)._replace(price_e8=e8(self.p))

    @property
    def client_ids(self) -> tuple[str, str]:
        return self.c, self.c

    @property
    def forced(self) -> str:
        return forced_name(self.c)

    def fill(self, client_id: str) -> AccountFill | None:
        if self.x not in ("TRADE", "CALCULATED") or self.t <= 0:
            return None
        texts = (self.L, self.l, self.n, self.N or "")
        us = stamp_us(self.T)
        return AccountFill(self.t, self.i, client_id, self.side, *texts, us, self.m, realized=self.rp)


class OrderUpdateEvent(Struct):
    o: OrderUpdate


class WalletPart(Struct, gc=False):
    a: str
    wb: str
    bc: str = "0"


class PositionPart(Struct, gc=False):
    s: str
    pa: str
    ps: str = "BOTH"


class AccountPart(Struct):
    m: str = ""
    B: list[WalletPart] = []
    P: list[PositionPart] = []


class AccountUpdate(Struct):
    """``ACCOUNT_UPDATE``: wallets and positions that changed, and when."""

    a: AccountPart
    T: int = 0

    def read(self) -> BalancesEvent:
        us = stamp_us(self.T)
        moved = self.a.m in TRANSFERS
        transfers = tuple(Transfer(one.a, e8(one.bc), self.a.m, us) for one in self.a.B if moved and e8(one.bc))
        held = {one.a: (one.wb, "0") for one in self.a.B}
        held |= {one.s: (one.pa, "0") for one in self.a.P if one.ps == "BOTH"}
        return BalancesEvent(held, us, self.a.m if self.a.m in PAYING else "", transfers)


class CalledPart(Struct, gc=False):
    s: str
    pa: str
    mp: str = "0"
    mm: str = "0"
    up: str = "0"


class MarginCallEvent(Struct):
    p: list[CalledPart] = []
    E: int = 0

    def read(self) -> MarginCalled:
        return MarginCalled(tuple(one.s for one in self.p), stamp_us(self.E))


class ChangedConfig(Struct, gc=False):
    s: str = ""


class ConfigEvent(Struct):
    """``ACCOUNT_CONFIG_UPDATE``: a symbol's leverage or the account's mode changed."""

    ac: ChangedConfig | None = None

    def read(self) -> SetupChanged:
        return SetupChanged(self.ac.s if self.ac else "")


def forced_name(client_id: str) -> str:
    if client_id.startswith(ADL):
        return "auto-deleveraging"
    if client_id.startswith(SETTLEMENT):
        return "settlement"
    if _STOP.match(client_id):
        return PROTECTIVE
    return "liquidation" if client_id.startswith(AUTO_CLOSE) else ""


EXECUTION, ACCOUNT, MARGIN_CALL = "ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "MARGIN_CALL"
CONFIGURED = "ACCOUNT_CONFIG_UPDATE"
STOPPED = "ALGO_UPDATE"
EXPIRED_KEY = "listenKeyExpired"
FUNDING = "FUNDING_FEE"
PAYING = frozenset((FUNDING, "INSURANCE_CLEAR"))
"""Changes of a wallet that belong to a position and are no trades: reasons of an ``ACCOUNT_UPDATE``, and incomes."""
TRANSFERS = frozenset(
    (
        *("DEPOSIT", "WITHDRAW", "WITHDRAW_REJECT", "ADMIN_DEPOSIT", "ADMIN_WITHDRAW", "ASSET_TRANSFER"),
        *("COIN_SWAP_DEPOSIT", "COIN_SWAP_WITHDRAW", "AUTO_EXCHANGE", "ADJUSTMENT"),
    )
)
"""Changes of a wallet that come from outside, or go there."""
ORDER = Decoder(UsdmOrderEntry)
ORDERS = Decoder(list[UsdmOrderEntry])
TRADES = Decoder(list[UsdmTradeEntry])
ACCOUNT_ANSWER = Decoder(UsdmAccountEntry)
RISKS = Decoder(list[RiskEntry])
INCOME_ROWS = Decoder(list[IncomeEntry])
CONFIGS = Decoder(list[SymbolConfig])
RULES = Decoder(TradingStatus)
STOP = Decoder(StopEntry)
STOPS = Decoder(list[StopEntry])
STOP_EVENT = Decoder(StopEvent)
COMMISSION = Decoder(CommissionRate)
BURN = Decoder(FeeBurn)
DUAL = Decoder(DualSide)
MULTI = Decoder(MultiAssets)
PRICE = Decoder(AnyPrice)
EXECUTION_EVENT = Decoder(OrderUpdateEvent)
UPDATE_EVENT = Decoder(AccountUpdate)
CALL_EVENT = Decoder(MarginCallEvent)
CONFIG_EVENT = Decoder(ConfigEvent)
