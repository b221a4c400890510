"""The user data stream: what happens to one's orders and balances, as events."""

from mm.instrument import decimal_text
from mm.sim.exchange.orders import OPEN, ExecutionReport, Position, UserOrder
from mm.sim.wire.symbol_texts import NONE_ID, ZERO, Json, SymbolTexts


def event(texts: SymbolTexts, what: ExecutionReport | Position) -> Json:
    """Return the event that tells a user *what* happened."""
    return execution_report(texts, what) if isinstance(what, ExecutionReport) else position(texts, what)


def execution_report(texts: SymbolTexts, execution: ExecutionReport) -> Json:
    """Return what the owner of an order is told of it."""
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
    return report | _told_of_prevention(texts, execution) | _told_labels(order)


def position(texts: SymbolTexts, position: Position) -> Json:
    """Return what the owner of balances is told of them."""
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


def _told_of_prevention(texts: SymbolTexts, execution: ExecutionReport) -> Json:
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


def _told_labels(order: UserOrder) -> Json:
    labels = {"j": order.request.strategy_id, "J": order.request.strategy_type}
    return {name: label for name, label in labels.items() if label is not None}
