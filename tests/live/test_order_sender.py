"""Requests that are sent for an order, and the effect of each answer."""

from typing import Any

import pytest
from sender_rig import Desk, entry, on_loop

from mm.live.orders.order_steps import Amended, AmendFailed, Ask, CancelFailed, Closed, InBook, Rejected
from mm.live.venues.live_orders import LiveOrder, OrderState
from mm.live.venues.requests import NO_CONNECTION, Outcome


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("LIMIT_MAKER", {"type": "LIMIT_MAKER", "price": "99.5"}),
        ("LIMIT", {"type": "LIMIT", "timeInForce": "GTC", "price": "99.5"}),
        ("IOC", {"type": "LIMIT", "timeInForce": "IOC", "price": "99.5"}),
        ("FOK", {"type": "LIMIT", "timeInForce": "FOK", "price": "99.5"}),
        ("MARKET", {"type": "MARKET"}),
    ],
)
def test_order_request_contains_terms_of_its_type(kind: str, expected: dict[str, str]) -> None:
    """Only the fields that the type takes; the client id is ours."""
    desk = Desk()
    order = desk.order(kind=kind)
    desk.sender.place(order)
    common = {
        "symbol": "SIMUSDT",
        "side": "BUY",
        "quantity": "1",
        "newClientOrderId": "c1",
        "newOrderRespType": "RESULT",
    }
    assert desk.ws.requests == [("order.place", common | expected)]
    assert (order.sent_ms, order.window_ms) == (1_000_000, 1_000)


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.UNSENT])
def test_unknown_order_is_queried_and_unsent_order_rejected(outcome: Outcome) -> None:
    """An order without an answer may be at the exchange."""
    desk = Desk()
    desk.sender.place(desk.order())
    desk.ws.answer(outcome=outcome, status=0)
    assert desk.steps() == [Ask if outcome is Outcome.UNKNOWN else Rejected]


def test_empty_answer_counts_as_no_answer() -> None:
    """Status 200 with an empty result."""
    desk = Desk()
    desk.sender.place(desk.order())
    desk.ws.answer({})
    assert desk.steps() == [Ask]


def test_cancel_logs_intent_and_uses_best_known_id() -> None:
    """The exchange's number, otherwise our client id; by REST while the connection is down."""

    def test() -> None:
        desk = Desk()
        first, second = desk.live(), desk.order(2)
        desk.ws.up = False
        desk.sender.cancel(first)
        desk.sender.cancel(second)
        assert desk.rest.requests == [
            ("order.cancel", {"symbol": "SIMUSDT", "orderId": 71}),
            ("order.cancel", {"symbol": "SIMUSDT", "origClientOrderId": "c2"}),
        ]
        assert [row["action"] for row in desk.audit.of("intent")] == ["cancel", "cancel"]
        desk.rest.answer(entry(1, "CANCELED", clientOrderId="x", origClientOrderId="c1"))
        assert desk.steps() == [Closed]
        assert desk.answers == ["place", "cancel"]

    on_loop(test)


def amended() -> tuple[Desk, LiveOrder]:
    desk = Desk()
    order = desk.live()
    desk.states.amending(order, "0.4")
    desk.sender.amend(order)
    return desk, order


def lowered(qty: str = "0.40000000", **more: Any) -> dict[str, Any]:
    one = {"orderId": 71, "origClientOrderId": "c1", "clientOrderId": "c1", "qty": qty, "executedQty": "0"}
    return {"transactTime": 1, "executionId": 2, "amendedOrder": one | {"status": "NEW"} | more}


def test_amendment_keeps_client_id_of_its_order() -> None:
    """By the exchange's number, as documented; the answer has the quantity as ``qty``."""
    desk, order = amended()
    which = {"symbol": "SIMUSDT", "orderId": 71}
    assert desk.ws.requests[-1] == ("order.amend.keepPriority", which | {"newClientOrderId": "c1", "newQty": "0.4"})
    assert order.amend_until_ms == 1_001_000
    desk.ws.answer(lowered())
    assert list(desk.states.next_steps()) == [InBook(order, 1_000, 40_000_000), Amended(order, desk.ws.us, "0.4")]
    assert desk.answers == ["place", "amend"]


def test_amendment_answers_lead_to_query_or_failure() -> None:
    """Without an answer, or if it shows another quantity, the order is queried; refused, it is unchanged."""
    for terms in ({"outcome": Outcome.UNKNOWN, "status": 0}, {"result": lowered("1.00000000")}):
        desk, order = amended()
        desk.ws.answer(**terms)  # type: ignore[arg-type]
        assert desk.steps() == ([InBook, Ask] if "result" in terms else [Ask])
        assert order.amend_doubt
    desk, order = amended()
    desk.ws.answer(code=-2038, status=400)
    assert desk.steps() == [AmendFailed, Ask]
    desk, order = amended()
    desk.ws.answer(outcome=Outcome.UNSENT, status=0, code=NO_CONNECTION)
    assert [(type(step), step.refusal.code) for step in desk.states.next_steps()] == [(AmendFailed, 0)]  # type: ignore[union-attr]


def test_amendment_overtaken_by_cancel_is_not_sent() -> None:
    """The cancel came while the intent was being written to the disk."""
    desk = Desk()
    order = desk.live()
    desk.states.amending(order, "0.4")
    desk.states.cancelling(order)
    desk.sender.amend(order)
    assert desk.ws.methods == ["order.place"]
    assert desk.steps() == [AmendFailed]


def test_unsent_requests_leave_orders_unchanged() -> None:
    """The disk refused the intent, or the connection was lost."""
    desk = Desk()
    order = desk.live()
    desk.states.amending(order, "0.4")
    desk.sender.unsent(order, 5, "why")
    desk.sender.unsent(desk.order(3), 5, "why")
    assert desk.steps() == [AmendFailed, Rejected]
    assert (order.state, order.qty) == (OrderState.LIVE, "1")


def replaced() -> tuple[Desk, LiveOrder, LiveOrder]:
    desk = Desk()
    old, new = desk.live(), desk.order(2)
    desk.states.cancelling(old, replacing=True)
    desk.sender.replace(old, new)
    assert desk.ws.requests[-1][1]["cancelReplaceMode"] == "STOP_ON_FAILURE"
    assert desk.ws.requests[-1][1]["cancelOrderId"] == 71
    return desk, old, new


CANCELLED = entry(1, "CANCELED", clientOrderId="x", origClientOrderId="c1")


def test_successful_replacement_cancels_old_and_opens_new() -> None:
    """Both parts of the answer are successful."""
    desk, old, new = replaced()
    parts = {"cancelResult": "SUCCESS", "newOrderResult": "SUCCESS"}
    desk.ws.answer({**parts, "cancelResponse": CANCELLED, "newOrderResponse": entry(2)})
    assert (old.state, new.state) == (OrderState.CANCELED, OrderState.LIVE)


def test_replacement_with_rejected_new_order_cancels_old() -> None:
    """-2021: the new order is rejected with its own code."""
    desk, old, _ = replaced()
    parts = {"cancelResult": "SUCCESS", "newOrderResult": "FAILURE"}
    refusal = {"code": -2010, "msg": "Order would immediately match and take."}
    desk.ws.answer({**parts, "cancelResponse": CANCELLED, "newOrderResponse": refusal}, code=-2021, status=409)
    steps = list(desk.states.next_steps())
    assert [type(step) for step in steps] == [Closed, Rejected]
    assert steps[1].refusal.code == -2010  # type: ignore[union-attr]
    assert old.state is OrderState.CANCELED


def test_failed_replacement_queries_old_and_rejects_new() -> None:
    """-2022: the new order was not attempted because the cancel failed."""
    desk, old, new = replaced()
    parts = {"cancelResult": "FAILURE", "newOrderResult": "NOT_ATTEMPTED", "newOrderResponse": None}
    refusal = {"code": -2011, "msg": "Unknown order sent."}
    desk.ws.answer({**parts, "cancelResponse": refusal}, code=-2022, status=400)
    steps = list(desk.states.next_steps())
    assert [type(step) for step in steps] == [Ask, Rejected]
    assert steps[1].refusal.code == -2022  # type: ignore[union-attr]
    assert steps[1].refusal.message == (  # type: ignore[union-attr]
        "why The order to replace was not cancelled: -2011 Unknown order sent."
    )
    assert (old.state, new.state) == (OrderState.UNKNOWN, OrderState.REJECTED)


def test_replacement_stopped_by_filter_keeps_old_order() -> None:
    """-1013 without data: the old order is open."""
    desk, old, _ = replaced()
    desk.ws.answer(code=-1013, status=400)
    assert desk.steps() == [CancelFailed, Rejected]
    assert old.state is OrderState.LIVE


def test_unanswered_replacement_leaves_both_orders_unknown() -> None:
    """Both are queried."""
    desk, old, new = replaced()
    desk.ws.answer(outcome=Outcome.UNKNOWN, status=0)
    assert desk.steps() == [Ask, Ask]
    assert (old.state, new.state) == (OrderState.UNKNOWN, OrderState.UNKNOWN)


def test_cancel_symbol_sends_one_request() -> None:
    """Orders that the answer does not contain are queried."""

    def test() -> None:
        desk = Desk()
        orders = [desk.live(1), desk.live(2)]
        desk.sender.cancel_symbol(orders)
        assert desk.rest.requests == [("openOrders.cancelAll", {"symbol": "SIMUSDT"})]
        desk.rest.answer([CANCELLED])
        assert desk.steps() == [Closed, Ask]
        assert len(desk.audit.of("intent")) == 2

    on_loop(test)
