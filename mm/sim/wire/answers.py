"""JSON formats of responses and events about trades, orders and accounts of one symbol."""

from typing import TYPE_CHECKING, Any

from mm.instrument import decimal_text
from mm.sim.exchange.accounts import Balance, UserAccount
from mm.sim.exchange.orders import (
    OPEN,
    SIDES,
    AccountEvent,
    Amendment,
    BalanceUpdate,
    ExecutionReport,
    Fill,
    Position,
    PreventedMatch,
    UserOrder,
)
from mm.sim.exchange.rules import SymbolRules
from mm.sim.exchange.trades import AggregateTrade, MarketTrade
from mm.sim.wire.stream_messages import stamped

if TYPE_CHECKING:
    from mm.sim.exchange.exchange import Exchange

Json = dict[str, Any]
NONE_ID = -1
"""Id if there is no order list, trade group or trade."""
ZERO = decimal_text(0)
_RATE_UNIT_E8 = 10_000
"""Unit of the old commission fields: 0.0001."""


class GridTexts:
    """Formats a symbol's values with one client's timestamp unit."""

    def __init__(self, rules: SymbolRules, micro: bool) -> None:
        grid = rules.instrument
        self.symbol, self.price, self.qty = grid.symbol, grid.price, grid.qty
        self._rules = rules
        self.micro = micro

    def stamp(self, us: int) -> int:
        return stamped(us, micro=self.micro)

    def worth(self, spent_tl: int) -> str:
        return decimal_text(spent_tl * self._rules.tl_e8)

    def market_trade(self, trade: MarketTrade) -> Json:
        return {
            "id": trade.trade_id,
            "price": self.price(trade.ticks),
            "qty": self.qty(trade.lots),
            "quoteQty": self.worth(trade.ticks * trade.lots),
            "time": self.stamp(trade.us),
            "isBuyerMaker": trade.buyer_is_maker,
        }

    def mean_price(self, cost_tl: int, lots: int) -> str:
        return decimal_text(cost_tl * self._rules.instrument.tick_e8 // lots)


class SymbolTexts(GridTexts):
    def __init__(self, rules: SymbolRules, micro: bool) -> None:
        super().__init__(rules, micro)
        self._assets = {+1: rules.instrument.base_asset, -1: rules.instrument.quote_asset}

    # trades

    def market_trade(self, trade: MarketTrade) -> Json:
        return super().market_trade(trade) | {"isBestMatch": True}

    def aggregate_trade(self, trade: AggregateTrade) -> Json:
        return {
            "a": trade.id,
            "p": self.price(trade.ticks),
            "q": self.qty(trade.lots),
            "f": trade.first_id,
            "l": trade.last_id,
            "T": self.stamp(trade.us),
            "m": trade.side < 0,
            "M": True,
        }

    def own_trade(self, fill: Fill) -> Json:
        return {
            "symbol": self.symbol,
            "id": fill.trade_id,
            "orderId": fill.order_id,
            "orderListId": NONE_ID,
            "price": self.price(fill.ticks),
            "qty": self.qty(fill.lots),
            "quoteQty": self.worth(fill.ticks * fill.lots),
            **self._fee(fill),
            "time": self.stamp(fill.us),
            "isBuyer": fill.side > 0,
            "isMaker": fill.is_maker,
            "isBestMatch": True,
        }

    def _fee(self, fill: Fill) -> Json:
        return {"commission": decimal_text(fill.fee_e8), "commissionAsset": self._assets[fill.side]}

    # orders

    def placed(self, order: UserOrder) -> Json:
        answer: Json = {
            **self._names(order, order.client_id),
            "transactTime": self.stamp(order.updated_us),
        }
        if order.request.response == "ACK":
            return answer
        answer |= self._state(order) | {"workingTime": self.stamp(order.us)}
        if order.request.response == "FULL":
            answer["fills"] = [
                {"price": self.price(fill.ticks), "qty": self.qty(fill.lots)}
                | self._fee(fill)
                | {"tradeId": fill.trade_id}
                for fill in order.fills
            ]
        if order.prevented:
            answer["preventedMatches"] = [
                {
                    "preventedMatchId": match.match_id,
                    "makerOrderId": match.maker_id,
                    "price": self.price(match.ticks),
                    **self._lost(match),
                }
                for match in order.prevented
            ]
        return answer | self._labels(order)

    def cancelled(self, order: UserOrder) -> Json:
        names = self._names(order, order.cancel_id)
        return {
            "symbol": names.pop("symbol"),
            "origClientOrderId": order.client_id,
            **names,
            "transactTime": self.stamp(order.updated_us),
            **self._state(order),
            **self._labels(order),
        }

    def amended(self, order: UserOrder, amendment: Amendment) -> Json:
        state = self._state(order)
        return {
            "transactTime": self.stamp(amendment.us),
            "executionId": amendment.execution_id,
            "amendedOrder": {
                "symbol": self.symbol,
                "orderId": order.order_id,
                "orderListId": NONE_ID,
                "origClientOrderId": amendment.old_client_id,
                "clientOrderId": amendment.new_client_id,
                "price": state["price"],
                "qty": state["origQty"],
                "executedQty": state["executedQty"],
                "preventedQty": self.qty(order.prevented_lots),
                "quoteOrderQty": state["origQuoteOrderQty"],
                "cumulativeQuoteQty": state["cummulativeQuoteQty"],
                **{name: state[name] for name in ("status", "timeInForce", "type", "side")},
                "workingTime": self.stamp(order.us),
                "selfTradePreventionMode": order.request.stp,
            },
        }

    def queried(self, order: UserOrder) -> Json:
        return {
            **self._names(order, order.client_id),
            **self._state(order),
            "stopPrice": ZERO,
            "icebergQty": ZERO,
            "time": self.stamp(order.us),
            "updateTime": self.stamp(order.updated_us),
            "isWorking": True,
            "workingTime": self.stamp(order.us),
            **self._labels(order),
        }

    def amendment(self, order: UserOrder, amendment: Amendment) -> Json:
        return {
            "symbol": self.symbol,
            "orderId": order.order_id,
            "executionId": amendment.execution_id,
            "origClientOrderId": amendment.old_client_id,
            "newClientOrderId": amendment.new_client_id,
            "origQty": self.qty(amendment.old_lots),
            "newQty": self.qty(amendment.new_lots),
            "time": self.stamp(amendment.us),
        }

    def prevented(self, match: PreventedMatch) -> Json:
        return {
            "symbol": self.symbol,
            "preventedMatchId": match.match_id,
            "takerOrderId": match.taker_id,
            "makerSymbol": self.symbol,
            "makerOrderId": match.maker_id,
            "tradeGroupId": NONE_ID,
            "selfTradePreventionMode": match.stp,
            "price": self.price(match.ticks),
            **self._lost(match),
            "transactTime": self.stamp(match.us),
        }

    def _names(self, order: UserOrder, client_id: str) -> Json:
        return {
            "symbol": self.symbol,
            "orderId": order.order_id,
            "orderListId": NONE_ID,
            "clientOrderId": client_id,
        }

    def _state(self, order: UserOrder) -> Json:
        request = order.request
        return {
            "price": self.price(request.ticks),
            "origQty": self.qty(order.lots),
            "executedQty": self.qty(order.filled_lots),
            "origQuoteOrderQty": decimal_text(request.quote_e8),
            "cummulativeQuoteQty": self.worth(order.spent_tl),
            "status": order.status,
            "timeInForce": request.time_in_force,
            "type": request.type,
            "side": SIDES[request.side],
        }

    def _labels(self, order: UserOrder) -> Json:
        fields: Json = {"selfTradePreventionMode": order.request.stp}
        if order.prevented_lots:
            fields["preventedMatchId"] = order.prevented[-1].match_id
            fields["preventedQuantity"] = self.qty(order.prevented_lots)
        return fields | _drop_none(strategyId=order.request.strategy_id, strategyType=order.request.strategy_type)

    def _lost(self, match: PreventedMatch) -> Json:
        lots = {"takerPreventedQuantity": match.taker_lots, "makerPreventedQuantity": match.maker_lots}
        return {name: self.qty(lost) for name, lost in lots.items() if lost}

    # accounts

    def account(self, account: UserAccount, rates_e8: tuple[int, int], *, omit_zero: bool) -> Json:
        maker_e8, taker_e8 = rates_e8
        balances = {self._assets[+1]: account.base, self._assets[-1]: account.quote, **account.others}
        return {
            "makerCommission": maker_e8 // _RATE_UNIT_E8,
            "takerCommission": taker_e8 // _RATE_UNIT_E8,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": self.commission(rates_e8)["standardCommission"],
            "canTrade": True,
            "canWithdraw": False,
            "canDeposit": False,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": self.stamp(account.updated_us),
            "accountType": "SPOT",
            "balances": [
                {"asset": asset, "free": decimal_text(funds.free), "locked": decimal_text(funds.locked)}
                for asset, funds in balances.items()
                if funds != Balance() or not omit_zero
            ],
            "permissions": ["SPOT"],
            "uid": account.number,
        }

    def commission(self, rates_e8: tuple[int, int]) -> Json:
        none = {"maker": ZERO, "taker": ZERO, "buyer": ZERO, "seller": ZERO}
        maker_e8, taker_e8 = rates_e8
        return {
            "symbol": self.symbol,
            "standardCommission": none | {"maker": decimal_text(maker_e8), "taker": decimal_text(taker_e8)},
            "specialCommission": none,
            "taxCommission": none,
            "discount": {
                "enabledForAccount": False,
                "enabledForSymbol": False,
                "discountAsset": "BNB",
                "discount": ZERO,
            },
        }

    # events

    def event(self, what: AccountEvent) -> Json:
        if isinstance(what, ExecutionReport):
            return self._execution(what)
        if isinstance(what, Position):
            return self._position(what)
        assert isinstance(what, BalanceUpdate)
        return self._balance(what)

    def truth(self, exchange: "Exchange", account: UserAccount) -> Json:
        return {"balances": self.account(account, exchange.settlement.rates_e8, omit_zero=False)["balances"]}

    def terminated(self, us: int) -> Json:
        return {"e": "eventStreamTerminated", "E": self.stamp(us)}

    def _execution(self, execution: ExecutionReport) -> Json:
        order, fill = execution.order, execution.fill
        state, request = self._state(order), order.request
        report: Json = {
            "e": "executionReport",
            "E": self.stamp(execution.us),
            "s": self.symbol,
            "c": execution.client_id,
            "S": state["side"],
            "o": state["type"],
            "f": state["timeInForce"],
            "q": state["origQty"],
            "p": state["price"],
            "P": ZERO,
            "F": ZERO,
            "g": NONE_ID,
            "C": execution.old_client_id,
            "x": execution.kind,
            "X": order.status,
            "r": execution.reject_reason,
            "i": order.order_id,
            "l": self.qty(fill.lots if fill else 0),
            "z": state["executedQty"],
            "L": self.price(fill.ticks if fill else 0),
            "n": decimal_text(fill.fee_e8) if fill else "0",
            "N": self._assets[fill.side] if fill else None,
            "T": self.stamp(execution.us),
            "t": fill.trade_id if fill else NONE_ID,
            "I": execution.execution_id,
            "w": order.status in OPEN,
            "m": bool(fill and fill.is_maker),
            "M": bool(fill),
            "O": self.stamp(order.us),
            "Z": state["cummulativeQuoteQty"],
            "Y": self.worth(fill.ticks * fill.lots if fill else 0),
            "Q": state["origQuoteOrderQty"],
            "W": self.stamp(order.us),
            "V": request.stp,
        }
        if match := execution.prevented:
            report |= {
                "v": match.match_id,
                "A": self.qty(order.prevented_lots),
                "B": self.qty(execution.prevented_lots),
                "u": NONE_ID,
                "U": match.maker_id if order.order_id == match.taker_id else match.taker_id,
                "Cs": self.symbol,
                "pl": self.qty(execution.prevented_lots),
                "pL": self.price(match.ticks),
                "pY": self.worth(match.ticks * execution.prevented_lots),
            }
        return report | _drop_none(j=request.strategy_id, J=request.strategy_type)

    def _balance(self, update: BalanceUpdate) -> Json:
        us = self.stamp(update.us)
        return {"e": "balanceUpdate", "E": us, "a": update.asset, "d": decimal_text(update.amount_e8), "T": us}

    def _position(self, position: Position) -> Json:
        balances = {+1: position.base, -1: position.quote}
        return {
            "e": "outboundAccountPosition",
            "E": self.stamp(position.us),
            "u": self.stamp(position.us),
            "B": [
                {"a": self._assets[side], "f": decimal_text(free), "l": decimal_text(locked)}
                for side, (free, locked) in balances.items()
            ],
        }


def _drop_none(**labels: int | None) -> Json:
    return {name: label for name, label in labels.items() if label is not None}
