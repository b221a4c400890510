"""JSON formats of a contract's trades and orders, and of their events."""

from mm.instrument import decimal_text, short_text
from mm.sim.exchange import orders
from mm.sim.exchange.orders import SIDES, ExecutionReport, Fill, UserOrder
from mm.sim.exchange.rules import SymbolRules
from mm.sim.exchange.trades import AggregateTrade, MarketTrade
from mm.sim.exchange.usdm.conditional import Conditional, ConditionalChange
from mm.sim.wire.answers import ZERO, GridTexts, Json

_KINDS = {orders.TRADE_PREVENTION: orders.EXPIRED}


def _expiry_reason(execution: ExecutionReport) -> str:
    request, kind = execution.order.request, execution.kind
    if kind == orders.TRADE_PREVENTION and not execution.order.left_lots:
        return "3" if request.time_in_force == "IOC" else "1"
    if kind != orders.EXPIRED:
        return "0"
    if request.type == "MARKET":
        return "9"  # the rest of a MARKET order
    if request.time_in_force == "IOC":
        return "2"  # the rest of an IOC order
    if request.good_till_us and execution.us >= request.good_till_us:
        return "0"
    return "4" if request.reduce_only else "7"  # nothing is left to reduce; the contract was delisted


class UsdmOrderTexts(GridTexts):
    def __init__(self, rules: SymbolRules, micro: bool) -> None:
        super().__init__(rules, micro)
        self.asset = rules.instrument.quote_asset

    # trades

    def market_trade(self, trade: MarketTrade) -> Json:
        return super().market_trade(trade) | {"isRPITrade": False}

    def aggregate_trade(self, trade: AggregateTrade) -> Json:
        return {
            "a": trade.id,
            "p": self.price(trade.ticks),
            "q": self.qty(trade.lots),
            "nq": self.qty(trade.lots),
            "f": trade.first_id,
            "l": trade.last_id,
            "T": self.stamp(trade.us),
            "m": trade.side < 0,
        }

    def own_trade(self, fill: Fill) -> Json:
        return {
            "symbol": self.symbol,
            "id": fill.trade_id,
            "orderId": fill.order_id,
            "side": SIDES[fill.side],
            "price": self.price(fill.ticks),
            "qty": self.qty(fill.lots),
            "realizedPnl": decimal_text(fill.realised_e8),
            "quoteQty": self.worth(fill.ticks * fill.lots),
            "commission": decimal_text(fill.fee_e8),
            "commissionAsset": self.asset,
            "time": self.stamp(fill.us),
            "positionSide": fill.position_side,
            "maker": fill.is_maker,
            "buyer": fill.side > 0,
        }

    # orders

    def order(self, order: UserOrder) -> Json:
        return self._state(order) | {"cumQty": self.qty(order.filled_lots), "updateTime": self.stamp(order.updated_us)}

    def accepted(self, order: UserOrder) -> Json:
        bare = UserOrder(
            account=order.account,
            request=order.request,
            client_id=order.client_id,
            us=order.us,
            lots=order.lots,
            left_lots=order.lots,
            order_id=order.order_id,
            updated_us=order.us,
        )
        return self.order(bare)

    def queried(self, order: UserOrder) -> Json:
        return self._state(order) | {"time": self.stamp(order.us), "updateTime": self.stamp(order.updated_us)}

    def _mean(self, order: UserOrder) -> str:
        return self.mean_price(order.spent_tl, order.filled_lots) if order.filled_lots else ZERO

    def _state(self, order: UserOrder) -> Json:
        request = order.request
        return {
            "orderId": order.order_id,
            "symbol": self.symbol,
            "status": order.status,
            "clientOrderId": order.client_id,
            "price": self.price(request.ticks),
            "avgPrice": self._mean(order),
            "origQty": self.qty(order.lots),
            "executedQty": self.qty(order.filled_lots),
            "cumQuote": self.worth(order.spent_tl),
            "timeInForce": request.time_in_force,
            "type": request.type,
            "reduceOnly": request.reduce_only,
            "closePosition": False,
            "side": SIDES[request.side],
            "positionSide": request.position_side,
            "stopPrice": ZERO,
            "workingType": "CONTRACT_PRICE",
            "priceProtect": False,
            "origType": request.type,
            "priceMatch": request.price_match,
            "selfTradePreventionMode": request.stp,
            "goodTillDate": self.stamp(request.good_till_us),
        }

    def moves(self, order: UserOrder) -> list[Json]:
        afters = [*((ticks, lots) for _, ticks, lots in order.moves[1:]), (order.request.ticks, order.lots)]
        texts = [
            {
                "amendmentId": count,
                "symbol": self.symbol,
                "pair": self.symbol,
                "orderId": order.order_id,
                "clientOrderId": order.client_id,
                "time": self.stamp(us),
                "amendment": {
                    "price": {"before": self.price(ticks), "after": self.price(after_ticks)},
                    "origQty": {"before": self.qty(lots), "after": self.qty(after_lots)},
                    "count": count,
                },
            }
            for count, ((us, ticks, lots), (after_ticks, after_lots)) in enumerate(
                zip(order.moves, afters, strict=True), start=1
            )
        ]
        return texts[::-1]

    # conditional orders

    def conditional(self, order: Conditional) -> Json:
        request, sent = order.order, order.sent
        return {
            "algoId": order.algo_id,
            "clientAlgoId": order.client_id,
            "algoType": "CONDITIONAL",
            "orderType": order.type,
            "symbol": self.symbol,
            "side": SIDES[order.side],
            "positionSide": request.position_side,
            "timeInForce": request.time_in_force,
            "quantity": self.qty(request.lots),
            "algoStatus": order.status,
            "actualOrderId": str(order.order_id) if order.order_id else "",
            "actualPrice": self._mean(sent) if sent else ZERO,
            "triggerPrice": decimal_text(order.trigger_e8),
            "price": self.price(request.ticks),
            "icebergQuantity": None,
            "tpTriggerPrice": ZERO,
            "tpPrice": ZERO,
            "slTriggerPrice": ZERO,
            "slPrice": ZERO,
            "tpOrderType": "",
            "selfTradePreventionMode": request.stp,
            "workingType": order.working,
            "priceMatch": request.price_match,
            "closePosition": order.close_position,
            "priceProtect": order.price_protect,
            "reduceOnly": request.reduce_only,
            "activatePrice": decimal_text(order.activate_e8) if order.activate_e8 else "",
            "callbackRate": short_text(order.callback_e8 * 100) if order.callback_e8 else "",
            "createTime": self.stamp(order.us),
            "updateTime": self.stamp(order.updated_us),
            "triggerTime": self.stamp(order.trigger_us),
            "goodTillDate": self.stamp(request.good_till_us),
        }

    def conditional_event(self, what: ConditionalChange) -> Json:
        order, us = what.order, self.stamp(what.us)
        state, sent = self.conditional(order), order.sent
        ended = sent if sent and order.status == "FINISHED" else None
        content = {
            "caid": order.client_id,
            "aid": order.algo_id,
            "at": state["algoType"],
            "o": order.type,
            "s": self.symbol,
            "S": state["side"],
            "ps": state["positionSide"],
            "f": state["timeInForce"],
            "q": state["quantity"],
            "X": order.status,
            "ai": state["actualOrderId"],
            "ap": self._mean(ended) if ended else ZERO,
            "aq": self.qty(ended.filled_lots if ended else 0),
            "act": sent.request.type if sent else "0",
            "tp": state["triggerPrice"],
            "p": state["price"],
            "V": order.order.stp,
            "wt": order.working,
            "pm": state["priceMatch"],
            "cp": order.close_position,
            "pP": order.price_protect,
            "R": order.order.reduce_only,
            "tt": state["triggerTime"],
            "gtd": state["goodTillDate"],
        }
        return {"e": "ALGO_UPDATE", "T": us, "E": us, "o": content | ({"rm": order.reason} if order.reason else {})}

    # events

    def trade_lite(self, what: ExecutionReport) -> Json:
        order, fill, us = what.order, what.fill, self.stamp(what.us)
        assert fill
        return {
            "e": "TRADE_LITE",
            "E": us,
            "T": us,
            "s": self.symbol,
            "q": self.qty(order.lots),
            "p": self.price(order.request.ticks),
            "m": fill.is_maker,
            "c": order.client_id,
            "S": SIDES[order.request.side],
            "L": self.price(fill.ticks),
            "l": self.qty(fill.lots),
            "t": fill.trade_id,
            "i": order.order_id,
        }

    def _execution(self, execution: ExecutionReport) -> Json:
        order, fill = execution.order, execution.fill
        state, request = self._state(order), order.request
        bids_e8, asks_e8 = execution.notional_e8
        fee: Json = {"N": self.asset, "n": decimal_text(fill.fee_e8)} if fill else {}
        return {
            "s": self.symbol,
            "c": order.client_id,
            "S": state["side"],
            "o": state["type"],
            "f": state["timeInForce"],
            "q": state["origQty"],
            "p": state["price"],
            "ap": state["avgPrice"],
            "sp": ZERO,
            "x": _KINDS.get(execution.kind, execution.kind),
            "X": order.status,
            "i": order.order_id,
            "l": self.qty(fill.lots if fill else 0),
            "z": state["executedQty"],
            "L": self.price(fill.ticks if fill else 0),
            **fee,
            "T": self.stamp(execution.us),
            "t": fill.trade_id if fill else 0,
            "b": decimal_text(bids_e8),
            "a": decimal_text(asks_e8),
            "m": bool(fill and fill.is_maker),
            "R": request.reduce_only,
            "wt": "CONTRACT_PRICE",
            "ot": state["type"],
            "ps": request.position_side,
            "cp": False,
            "rp": decimal_text(fill.realised_e8 if fill else 0),
            "pP": False,
            "si": 0,
            "ss": 0,
            "V": request.stp,
            "pm": request.price_match,
            "gtd": state["goodTillDate"],
            "er": _expiry_reason(execution),
        }
