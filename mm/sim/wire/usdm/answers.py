"""JSON formats of a contract's positions, wallets, funding and liquidations, and of their events."""

from typing import TYPE_CHECKING, Any

from mm.instrument import E8, decimal_text, short_text
from mm.margin.wallet import BOTH, LONG, SHORT, Contract, Income, PositionState, Wallet
from mm.sim.exchange.accounts import UserAccount
from mm.sim.exchange.orders import AccountEvent, ExecutionReport
from mm.sim.exchange.usdm.conditional import ConditionalChange
from mm.sim.exchange.usdm.events import AccountChange, ConfigChange, MarginCall
from mm.sim.exchange.usdm.exchange import FundingPayment, MarkTold
from mm.sim.exchange.usdm.liquidation import Forced
from mm.sim.exchange.usdm.wallet import FuturesAccount
from mm.sim.wire.answers import Json
from mm.sim.wire.usdm.order_texts import UsdmOrderTexts

if TYPE_CHECKING:
    from mm.sim.exchange.usdm.exchange import UsdmExchange

_MOST_QUANTILE = 4


class UsdmTexts(UsdmOrderTexts):
    def __init__(self, exchange: "UsdmExchange", micro: bool) -> None:
        super().__init__(exchange.rules, micro)
        self._exchange = exchange

    # wallets

    def _totals(self, wallet: Wallet) -> dict[str, int]:
        used = [contract for contract in wallet.contracts.values() if contract.is_used]
        unrealised = sum(contract.unrealised_e8 for contract in used)
        position = sum(contract.position_margin_e8 for contract in used)
        order = sum(contract.order_margin_e8 for contract in used)
        available = max(0, wallet.available_e8)
        return {
            "walletBalance": wallet.balance_e8,
            "unrealizedProfit": unrealised,
            "marginBalance": wallet.balance_e8 + unrealised,
            "maintMargin": sum(contract.maintenance_e8 for contract in used if contract.lots),
            "initialMargin": position + order,
            "positionInitialMargin": position,
            "openOrderInitialMargin": order,
            "crossWalletBalance": wallet.cross_e8,
            "crossUnPnl": wallet.cross_unrealised_e8,
            "availableBalance": available,
            "maxWithdrawAmount": max(0, min(available, wallet.cross_e8)),
        }

    def account(self, account: FuturesAccount, *, old: bool) -> Json:
        wallet, totals = account.wallet, self._totals(account.wallet)
        texts = {name: decimal_text(value) for name, value in totals.items()}
        alone = ("availableBalance", "maxWithdrawAmount")
        sums = {name if name in alone else f"total{name[0].upper()}{name[1:]}": text for name, text in texts.items()}
        head = {
            "feeTier": 0,
            "feeBurn": False,
            "canTrade": True,
            "canDeposit": False,
            "canWithdraw": False,
            "updateTime": 0,
            "multiAssetsMargin": wallet.multi_assets,
            "tradeGroupId": -1,
        }
        asset = {"asset": self.asset, **texts, "updateTime": self.stamp(account.updated_us)}
        contracts = [contract for contract in wallet.of_mode if old or contract.is_used]
        positions = [self._old_position(contract) if old else self._position(contract) for contract in contracts]
        marked = {"marginAvailable": True} if old else {}
        return (head if old else {}) | sums | {"assets": [asset | marked], "positions": positions}

    def _position(self, contract: Contract) -> Json:
        return {
            "symbol": contract.symbol,
            "positionSide": contract.position_side,
            "positionAmt": decimal_text(contract.amount_e8),
            "unrealizedProfit": decimal_text(contract.unrealised_e8),
            "isolatedMargin": decimal_text(self._isolated_e8(contract)),
            "notional": decimal_text(contract.worth_e8),
            "isolatedWallet": decimal_text(contract.wallet_e8),
            "initialMargin": decimal_text(contract.margin_e8),
            "maintMargin": decimal_text(contract.maintenance_e8),
            "updateTime": self.stamp(contract.updated_us),
        }

    def _old_position(self, contract: Contract) -> Json:
        bids_e8, asks_e8 = contract.open_e8()
        return {
            "symbol": contract.symbol,
            "initialMargin": decimal_text(contract.margin_e8),
            "maintMargin": decimal_text(contract.maintenance_e8),
            "unrealizedProfit": decimal_text(contract.unrealised_e8),
            "positionInitialMargin": decimal_text(contract.position_margin_e8),
            "openOrderInitialMargin": decimal_text(contract.order_margin_e8),
            "leverage": str(contract.leverage),
            "isolated": contract.isolated,
            "entryPrice": decimal_text(contract.entry_e8),
            "breakEvenPrice": decimal_text(contract.break_even_e8),
            "maxNotional": short_text(contract.most_at_e8(contract.leverage)),
            "bidNotional": decimal_text(bids_e8),
            "askNotional": decimal_text(asks_e8),
            "positionSide": contract.position_side,
            "positionAmt": decimal_text(contract.amount_e8),
            "updateTime": self.stamp(contract.updated_us),
            "isolatedMargin": decimal_text(self._isolated_e8(contract)),
            "notional": decimal_text(contract.worth_e8),
            "isolatedWallet": decimal_text(contract.wallet_e8),
        }

    def _isolated_e8(self, contract: Contract) -> int:
        return contract.wallet_e8 + contract.unrealised_e8 if contract.isolated else 0

    def balances(self, account: FuturesAccount) -> list[Json]:
        texts = {name: decimal_text(value) for name, value in self._totals(account.wallet).items()}
        names = ("crossWalletBalance", "crossUnPnl", "availableBalance", "maxWithdrawAmount")
        return [
            {
                "accountAlias": f"sim{account.number}",
                "asset": self.asset,
                "balance": texts["walletBalance"],
                **{name: texts[name] for name in names},
                "marginAvailable": True,
                "updateTime": self.stamp(account.updated_us),
            }
        ]

    def risk(self, account: FuturesAccount, contract: Contract, *, old: bool) -> Json:
        common = {
            "symbol": contract.symbol,
            "positionSide": contract.position_side,
            "positionAmt": decimal_text(contract.amount_e8),
            "entryPrice": decimal_text(contract.entry_e8),
            "breakEvenPrice": decimal_text(contract.break_even_e8),
            "markPrice": decimal_text(contract.mark.e8),
            "unRealizedProfit": decimal_text(contract.unrealised_e8),
            "liquidationPrice": decimal_text(account.wallet.liquidation_e8(contract)),
            "isolatedMargin": decimal_text(self._isolated_e8(contract)),
            "notional": decimal_text(contract.worth_e8),
            "isolatedWallet": decimal_text(contract.wallet_e8),
            "updateTime": self.stamp(contract.updated_us),
        }
        if old:
            return common | {
                "leverage": str(contract.leverage),
                "maxNotionalValue": short_text(contract.most_at_e8(contract.leverage)),
                "marginType": "isolated" if contract.isolated else "cross",
                "isAutoAddMargin": "false",
            }
        bids_e8, asks_e8 = contract.open_e8()
        return common | {
            "marginAsset": self.asset,
            "initialMargin": decimal_text(contract.margin_e8),
            "maintMargin": decimal_text(contract.maintenance_e8),
            "positionInitialMargin": decimal_text(contract.position_margin_e8),
            "openOrderInitialMargin": decimal_text(contract.order_margin_e8),
            "adl": self._quantile(account.number, contract),
            "bidNotional": decimal_text(bids_e8),
            "askNotional": decimal_text(asks_e8),
        }

    def quantiles(self, account: FuturesAccount) -> Json:
        """Return one of each side; cross positions of hedge mode share one, *here* the higher, and a sign HEDGE."""
        held = {contract.position_side: self._quantile(account.number, contract) for contract in account.held}
        of_sides = {LONG: 0, SHORT: 0, BOTH: 0} | held
        if not account.wallet.hedged or account.contract.isolated:
            return of_sides
        return dict.fromkeys((LONG, SHORT), max(held.values())) | {"HEDGE": 0}

    def _quantile(self, number: int, contract: Contract) -> int:
        """Return 0 to 4: how soon a position is deleveraged, relative to its side."""
        exchange, lots = self._exchange, contract.lots
        held = [(account, one) for account in exchange.accounts for one in exchange.account(account).held]
        same = [exchange.rank(account, one.position_side) for account, one in held if one.lots * lots > 0]
        if len(same) < 2:
            return _MOST_QUANTILE if same else 0
        lower = sum(rank < exchange.rank(number, contract.position_side) for rank in same)
        return _MOST_QUANTILE * lower // (len(same) - 1)

    def income(self, row: Income) -> Json:
        return {
            "symbol": row.symbol,
            "incomeType": row.kind,
            "income": decimal_text(row.amount_e8),
            "asset": self.asset,
            "info": row.info or (str(row.trade_id) if row.trade_id else row.kind),
            "time": self.stamp(row.us),
            "tranId": row.number,
            "tradeId": str(row.trade_id) if row.trade_id else "",
        }

    def brackets(self) -> Json:
        """The values are numbers, not texts."""
        rows = [
            {
                "bracket": bracket.number,
                "initialLeverage": bracket.leverage,
                "notionalCap": bracket.cap_e8 // E8,
                "notionalFloor": bracket.floor_e8 // E8,
                "maintMarginRatio": bracket.rate_e8 / E8,
                "cum": bracket.cum_e8 / E8,
            }
            for bracket in self._exchange.rules.brackets()
        ]
        return {"symbol": self.symbol, "notionalCoef": 1.0, "brackets": rows}

    def fund(self, us: int, symbols: list[str]) -> Json:
        balance = decimal_text(self._exchange.terms.fund.balance_e8)
        asset = {"asset": self.asset, "marginBalance": balance, "updateTime": self.stamp(us)}
        return {"symbols": symbols, "assets": [asset]}

    def payment(self, paid: FundingPayment) -> Json:
        return {
            "symbol": self.symbol,
            "fundingRate": decimal_text(paid.rate_e8),
            "fundingTime": self.stamp(paid.us),
            "markPrice": decimal_text(paid.mark_e8),
        }

    def premium(self, told: MarkTold) -> Json:
        price = decimal_text(told.mark_e8)
        return {
            "symbol": self.symbol,
            "markPrice": price,
            "indexPrice": price,
            "estimatedSettlePrice": price,
            "lastFundingRate": decimal_text(told.rate_e8),
            "interestRate": "0.00010000",
            "nextFundingTime": self.stamp(told.next_us),
            "time": self.stamp(told.us),
        }

    def forced(self, forced: Forced) -> Json:
        return self.queried(forced.order)

    def truth(self, exchange: "UsdmExchange", account: UserAccount) -> Json:
        assert isinstance(account, FuturesAccount)
        settlement = exchange.settlement
        return {
            "balances": self.balances(account),
            "positions": [
                self.risk(account, contract, old=False) | {"cost": decimal_text(contract.cost_e8)}
                for contract in account.held
            ],
            "income": [self.income(row) for row in account.wallet.income],
            "liquidations": [self.forced(order) for order in exchange.forced if order.account == account.number],
            "exchange": {
                "market": {
                    "position": decimal_text(settlement.market.base.free),
                    "cash": decimal_text(settlement.market.quote.free),
                },
                "fees": decimal_text(settlement.fees.quote.free),
                "insurance": decimal_text(exchange.terms.fund.balance_e8),
                "insuranceRows": [
                    {"us": row.us, "symbol": row.symbol, "amount": decimal_text(row.amount_e8), "why": row.why}
                    for row in exchange.terms.fund.rows
                ],
                "payments": [self.payment(paid) for paid in exchange.payments],
            },
        }

    # events

    def event(self, what: AccountEvent) -> Json:
        us = self.stamp(what.us)
        if isinstance(what, ExecutionReport):
            return {"e": "ORDER_TRADE_UPDATE", "E": us, "T": us, "o": self._execution(what)}
        if isinstance(what, AccountChange):
            return {"e": "ACCOUNT_UPDATE", "E": us, "T": us, "a": self._change(what)}
        if isinstance(what, ConfigChange):
            return {"e": "ACCOUNT_CONFIG_UPDATE", "E": us, "T": us, "ac": {"s": what.symbol, "l": what.leverage}}
        if isinstance(what, ConditionalChange):
            return self.conditional_event(what)
        assert isinstance(what, MarginCall)
        cross = {} if what.cross_e8 is None else {"cw": decimal_text(what.cross_e8)}
        return {"e": "MARGIN_CALL", "E": us, **cross, "p": [self._called(position) for position in what.positions]}

    def _change(self, change: AccountChange) -> Json:
        balance = {
            "a": self.asset,
            "wb": decimal_text(change.wallet_e8),
            "cw": decimal_text(change.cross_e8),
            "bc": decimal_text(change.change_e8),
        }
        return {"m": change.reason, "B": [balance], "P": [self._changed(position) for position in change.positions]}

    def _changed(self, position: PositionState) -> Json:
        return {
            "s": position.symbol,
            "pa": decimal_text(position.amount_e8),
            "ep": decimal_text(position.entry_e8),
            "bep": decimal_text(position.break_even_e8),
            "cr": decimal_text(position.realised_e8),
            "up": decimal_text(position.unrealised_e8),
            "mt": "isolated" if position.isolated else "cross",
            "iw": decimal_text(position.wallet_e8),
            "ps": position.position_side,
        }

    def _called(self, position: PositionState) -> Json:
        return {
            "s": position.symbol,
            "ps": position.position_side,
            "pa": decimal_text(position.amount_e8),
            "mt": "ISOLATED" if position.isolated else "CROSSED",
            "iw": decimal_text(position.wallet_e8),
            "mp": decimal_text(position.mark_e8),
            "up": decimal_text(position.unrealised_e8),
            "mm": decimal_text(position.maintenance_e8),
        }


def rates(maker_e8: int, taker_e8: int) -> dict[str, Any]:
    return {"makerCommissionRate": short_text(maker_e8), "takerCommissionRate": short_text(taker_e8)}
