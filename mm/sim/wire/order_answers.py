"""What is answered about orders: to those who place, cancel, amend and query them."""

from mm.instrument import decimal_text
from mm.sim.exchange.orders import Amendment, Cancelled, Fill, PreventedMatch, UserOrder
from mm.sim.wire.symbol_texts import NONE_ID, ZERO, Json, SymbolTexts


def placed(texts: SymbolTexts, order: UserOrder) -> Json:
    """Return the answer to a new order, as long as the order asked for it."""
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
