"""The texts of one symbol, and every answer and event about orders and accounts as JSON has it."""

from typing import Any

from mm.instrument import decimal_text
from mm.sim.exchange.accounts import Balance, UserAccount
from mm.sim.exchange.orders import (
    OPEN,
    SIDES,
    Amendment,
    Cancelled,
    ExecutionReport,
    Fill,
    Position,
    PreventedMatch,
    UserOrder,
)
from mm.sim.exchange.rules import SymbolRules
from mm.sim.wire.stream_messages import stamped

Json = dict[str, Any]
NONE_ID = -1
"""Stands where there is no order list, no trade group and no trade."""
ZERO = decimal_text(0)
_RATE_UNIT_E8 = 10_000
"""Old commission fields count in 0.0001."""


class SymbolTexts:
    """Writes in the units of one client.

    Args:
        rules: Of the symbol.
        micro: Whether instants are written in µs, not in ms.

    Attributes:
        rules: As given.
        symbol: Its name.
    """

    def __init__(self, rules: SymbolRules, micro: bool) -> None:
        self.rules = rules
        self.symbol = rules.instrument.symbol
        self._micro = micro

    def stamp(self, us: int) -> int:
        """Return an instant in the client's unit."""
        return stamped(us, micro=self._micro)

    def price(self, ticks: int) -> str:
        """Return a price as text."""
        return self.rules.instrument.price(ticks)

    def qty(self, lots: int) -> str:
        """Return a quantity as text."""
        return self.rules.instrument.qty(lots)

    def worth(self, spent_tl: int) -> str:
        """Return an amount of the quote asset, given in tick·lots, as text."""
        return decimal_text(spent_tl * self.rules.tl_e8)

    def earned(self, side: int) -> str:
        """Return the asset that an order of *side* receives, and pays its fee in."""
        return self.rules.base if side > 0 else self.rules.quote

    def state(self, order: UserOrder) -> Json:
        """Return how an order stands."""
        return {
            "price": self.price(order.request.ticks),
            "origQty": self.qty(order.lots),
            "executedQty": self.qty(order.filled_lots),
            "origQuoteOrderQty": decimal_text(order.request.quote_e8),
            "cummulativeQuoteQty": self.worth(order.spent_tl),
            "status": order.status,
            "timeInForce": order.request.time_in_force,
            "type": order.request.type,
            "side": SIDES[order.request.side],
        }

    def labels(self, order: UserOrder) -> Json:
        """Return the fields that only some orders have."""
        fields: Json = {}
        if order.prevented_lots:
            fields |= {
                "preventedMatchId": order.prevented[-1].match_id,
                "preventedQuantity": self.qty(order.prevented_lots),
            }
        labels = {"strategyId": order.request.strategy_id, "strategyType": order.request.strategy_type}
        return fields | {name: label for name, label in labels.items() if label is not None}

    def lost(self, match: PreventedMatch) -> Json:
        """Return what the two orders of a prevented match lost, where they lost anything."""
        lots = {"takerPreventedQuantity": match.taker_lots, "makerPreventedQuantity": match.maker_lots}
        return {name: self.qty(lost) for name, lost in lots.items() if lost}


def placed(texts: SymbolTexts, order: UserOrder) -> Json:
    """Return the answer to a new order, in the length that the order requested."""
    answer: Json = {
        "symbol": texts.symbol,
        "orderId": order.order_id,
        "orderListId": NONE_ID,
        "clientOrderId": order.client_id,
        "transactTime": texts.stamp(order.updated_us),
    }
    if order.request.response == "ACK":
        return answer
    answer |= texts.state(order) | {"workingTime": texts.stamp(order.us)}
    if order.request.response == "FULL":
        answer["fills"] = [_fill(texts, fill) for fill in order.fills]
    if order.prevented:
        answer["preventedMatches"] = [_prevented_of_taker(texts, match) for match in order.prevented]
    return answer | {"selfTradePreventionMode": order.request.stp} | texts.labels(order)


def cancelled(texts: SymbolTexts, done: Cancelled) -> Json:
    """Return the answer to a cancel."""
    order = done.order
    return {
        "symbol": texts.symbol,
        "origClientOrderId": order.client_id,
        "orderId": order.order_id,
        "orderListId": NONE_ID,
        "clientOrderId": done.request_id,
        "transactTime": texts.stamp(order.updated_us),
        **texts.state(order),
        "selfTradePreventionMode": order.request.stp,
        **texts.labels(order),
    }


def amended(texts: SymbolTexts, order: UserOrder, amendment: Amendment) -> Json:
    """Return the answer to an amendment, which names some fields in its own way."""
    state = texts.state(order)
    return {
        "transactTime": texts.stamp(amendment.us),
        "executionId": amendment.execution_id,
        "amendedOrder": {
            "symbol": texts.symbol,
            "orderId": order.order_id,
            "orderListId": NONE_ID,
            "origClientOrderId": amendment.old_client_id,
            "clientOrderId": amendment.new_client_id,
            "price": state["price"],
            "qty": state["origQty"],
            "executedQty": state["executedQty"],
            "preventedQty": texts.qty(order.prevented_lots),
            "quoteOrderQty": state["origQuoteOrderQty"],
            "cumulativeQuoteQty": state["cummulativeQuoteQty"],
            "status": order.status,
            "timeInForce": state["timeInForce"],
            "type": state["type"],
            "side": state["side"],
            "workingTime": texts.stamp(order.us),
            "selfTradePreventionMode": order.request.stp,
        },
    }


def queried(texts: SymbolTexts, order: UserOrder) -> Json:
    """Return an order as queries show it."""
    return {
        "symbol": texts.symbol,
        "orderId": order.order_id,
        "orderListId": NONE_ID,
        "clientOrderId": order.client_id,
        **texts.state(order),
        "stopPrice": ZERO,
        "icebergQty": ZERO,
        "time": texts.stamp(order.us),
        "updateTime": texts.stamp(order.updated_us),
        "isWorking": True,
        "workingTime": texts.stamp(order.us),
        "selfTradePreventionMode": order.request.stp,
        **texts.labels(order),
    }


def amendment(texts: SymbolTexts, order: UserOrder, amendment: Amendment) -> Json:
    """Return one reduction of an order."""
    return {
        "symbol": texts.symbol,
        "orderId": order.order_id,
        "executionId": amendment.execution_id,
        "origClientOrderId": amendment.old_client_id,
        "newClientOrderId": amendment.new_client_id,
        "origQty": texts.qty(amendment.old_lots),
        "newQty": texts.qty(amendment.new_lots),
        "time": texts.stamp(amendment.us),
    }


def _fill(texts: SymbolTexts, fill: Fill) -> Json:
    return {
        "price": texts.price(fill.ticks),
        "qty": texts.qty(fill.lots),
        "commission": decimal_text(fill.fee_e8),
        "commissionAsset": texts.earned(fill.side),
        "tradeId": fill.trade_id,
    }


def _prevented_of_taker(texts: SymbolTexts, match: PreventedMatch) -> Json:
    return {
        "preventedMatchId": match.match_id,
        "makerOrderId": match.maker_id,
        "price": texts.price(match.ticks),
        **texts.lost(match),
    }


def account(texts: SymbolTexts, account: UserAccount, *, omit_zero: bool) -> Json:
    """Return an account; with *omit_zero* without the assets of which it has nothing."""
    rules = texts.rules
    maker, taker = decimal_text(rules.maker_rate_e8), decimal_text(rules.taker_rate_e8)
    balances = ((rules.base, account.base), (rules.quote, account.quote))
    return {
        "makerCommission": rules.maker_rate_e8 // _RATE_UNIT_E8,
        "takerCommission": rules.taker_rate_e8 // _RATE_UNIT_E8,
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {"maker": maker, "taker": taker, "buyer": ZERO, "seller": ZERO},
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": False,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": texts.stamp(account.updated_us),
        "accountType": "SPOT",
        "balances": [_balance(asset, balance) for asset, balance in balances if balance.total or not omit_zero],
        "permissions": ["SPOT"],
        "uid": account.number,
    }


def commission(texts: SymbolTexts) -> Json:
    """Return the rates of fees."""
    rules = texts.rules
    none = {"maker": ZERO, "taker": ZERO, "buyer": ZERO, "seller": ZERO}
    rates = {"maker": decimal_text(rules.maker_rate_e8), "taker": decimal_text(rules.taker_rate_e8)}
    return {
        "symbol": texts.symbol,
        "standardCommission": none | rates,
        "specialCommission": none,
        "taxCommission": none,
        "discount": {
            "enabledForAccount": False,
            "enabledForSymbol": False,
            "discountAsset": "BNB",
            "discount": ZERO,
        },
    }


def trade(texts: SymbolTexts, fill: Fill) -> Json:
    """Return a trade as queries show it."""
    return {
        "symbol": texts.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "orderListId": NONE_ID,
        "price": texts.price(fill.ticks),
        "qty": texts.qty(fill.lots),
        "quoteQty": texts.worth(fill.ticks * fill.lots),
        "commission": decimal_text(fill.fee_e8),
        "commissionAsset": texts.earned(fill.side),
        "time": texts.stamp(fill.us),
        "isBuyer": fill.side > 0,
        "isMaker": fill.is_maker,
        "isBestMatch": True,
    }


def prevented(texts: SymbolTexts, match: PreventedMatch) -> Json:
    """Return a trade with oneself that did not happen."""
    return {
        "symbol": texts.symbol,
        "preventedMatchId": match.match_id,
        "takerOrderId": match.taker_id,
        "makerSymbol": texts.symbol,
        "makerOrderId": match.maker_id,
        "tradeGroupId": NONE_ID,
        "selfTradePreventionMode": match.stp,
        "price": texts.price(match.ticks),
        **texts.lost(match),
        "transactTime": texts.stamp(match.us),
    }


def _balance(asset: str, balance: Balance) -> Json:
    return {"asset": asset, "free": decimal_text(balance.free), "locked": decimal_text(balance.locked)}


def event(texts: SymbolTexts, what: ExecutionReport | Position) -> Json:
    """Return the event of *what* happened to a user."""
    return execution_report(texts, what) if isinstance(what, ExecutionReport) else position(texts, what)


def execution_report(texts: SymbolTexts, execution: ExecutionReport) -> Json:
    """Return the report of an execution."""
    order, fill = execution.order, execution.fill
    state = texts.state(order)
    report: Json = {
        "e": "executionReport",
        "E": texts.stamp(execution.us),
        "s": texts.symbol,
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
        "l": texts.qty(fill.lots if fill else 0),
        "z": state["executedQty"],
        "L": texts.price(fill.ticks if fill else 0),
        "n": decimal_text(fill.fee_e8) if fill else "0",
        "N": texts.earned(fill.side) if fill else None,
        "T": texts.stamp(execution.us),
        "t": fill.trade_id if fill else NONE_ID,
        "I": execution.execution_id,
        "w": order.status in OPEN,
        "m": bool(fill and fill.is_maker),
        "M": bool(fill),
        "O": texts.stamp(order.us),
        "Z": state["cummulativeQuoteQty"],
        "Y": texts.worth(fill.ticks * fill.lots if fill else 0),
        "Q": state["origQuoteOrderQty"],
        "W": texts.stamp(order.us),
        "V": order.request.stp,
    }
    return report | _prevention(texts, execution) | _labels(order)


def position(texts: SymbolTexts, position: Position) -> Json:
    """Return the event of changed balances."""
    assets = ((texts.rules.base, position.base), (texts.rules.quote, position.quote))
    return {
        "e": "outboundAccountPosition",
        "E": texts.stamp(position.us),
        "u": texts.stamp(position.us),
        "B": [{"a": asset, "f": decimal_text(free), "l": decimal_text(locked)} for asset, (free, locked) in assets],
    }


def terminated(texts: SymbolTexts, us: int) -> Json:
    """Return the event that ends a subscription."""
    return {"e": "eventStreamTerminated", "E": texts.stamp(us)}


def _prevention(texts: SymbolTexts, execution: ExecutionReport) -> Json:
    match = execution.prevented
    if not match:
        return {}
    order_id = execution.order.order_id
    return {
        "v": match.match_id,
        "A": texts.qty(execution.order.prevented_lots),
        "B": texts.qty(execution.prevented_lots),
        "u": NONE_ID,
        "U": match.maker_id if order_id == match.taker_id else match.taker_id,
        "Cs": texts.symbol,
        "pl": texts.qty(execution.prevented_lots),
        "pL": texts.price(match.ticks),
        "pY": texts.worth(match.ticks * execution.prevented_lots),
    }


def _labels(order: UserOrder) -> Json:
    labels = {"j": order.request.strategy_id, "J": order.request.strategy_type}
    return {name: label for name, label in labels.items() if label is not None}
