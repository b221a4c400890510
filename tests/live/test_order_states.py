"""Whatever is lost, late or repeated: after a reconcile our orders are the exchange's, and no fill is booked twice."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_orders import OPEN, Wire

from mm.instrument import E8
from mm.live.ledger import AccountFill
from mm.live.live_orders import (
    EARLIER,
    Accepted,
    Amended,
    AmendFailed,
    Ask,
    Booked,
    CancelFailed,
    Closed,
    Fetch,
    LiveOrder,
    OrderSeen,
    OrderState,
    Rejected,
    Resend,
)
from mm.live.order_states import OrderStates


def check(wire: Wire) -> None:
    """Compare with the exchange's truth, and the reports with what a caller can follow."""
    for client_id, order in wire.states.by_client.items():
        truth = wire.exchange.get(client_id)
        if truth is None:
            assert order.state is OrderState.REJECTED
            assert not order.booked_e8
            continue
        assert [fill.trade_id for fill in truth.trades] == sorted(f.trade_id for f in wire.booked.get(client_id, []))
        assert order.booked_e8 == truth.executed_e8
        assert order.qty_e8 == truth.qty_e8
        assert not order.amend_qty
        wanted = OrderState.LIVE if truth.status in OPEN else OrderState(truth.status)
        assert order.state is wanted, (client_id, order, truth)
        assert (client_id in wire.states.open) == (truth.status in OPEN)
        reports = wire.reports[client_id]
        assert reports[0] == "accepted"
        assert reports.count("accepted") == 1
        assert reports.count("closed") == (truth.status in ("CANCELED", "EXPIRED"))
        if "closed" in reports:
            assert reports[-1] == "closed"
        amends = wire.amends.count(client_id)
        assert reports.count("amended") == truth.amended
        assert truth.amended <= amends
        if truth.status in OPEN:
            assert reports.count("amended") + reports.count("not amended") == amends
        assert "rejected" not in reports


@settings(max_examples=max(500, settings().max_examples))
@given(st.integers(0, 2**40), st.integers(5, 60))
def test_any_luck_on_the_wire_ends_with_the_exchanges_truth(seed: int, turns: int) -> None:
    """Requests, answers and events lost, repeated, delayed and reordered; then a reconcile."""
    luck = random.Random(seed)
    wire = Wire(luck)
    for _ in range(turns):
        what = luck.random()
        if what < 0.3:
            wire.place(luck.choice([E8, 2 * E8, 5 * E8]))
        elif what < 0.5:
            wire.cancel()
        elif what < 0.65:
            wire.replace(luck.choice([E8, 3 * E8]))
        elif what < 0.75:
            wire.amend(luck.choice([E8, 2 * E8, 3 * E8, 4 * E8]))
        else:
            wire.trade()
        wire.pass_time(luck.choice([0, 1, 10, 300, 1_500]))
    wire.heal()
    check(wire)


# By hand: one thing that goes wrong, and the steps that follow.

US = 7


def order(number: int = 1, qty: str = "2") -> LiveOrder:
    return LiveOrder(number, f"c{number}", +1, "100", qty, "LIMIT", sent_ms=10_000, window_ms=1_000)


def seen(status: str, executed: int = 0, client_id: str = "c1") -> OrderSeen:
    return OrderSeen(client_id, 70, status, executed * E8, US)


def fill(trade_id: int, qty: str = "1") -> AccountFill:
    return AccountFill(trade_id, 70, "c1", 1, "100", qty, "0.001", "SIM", US, True)


def placed() -> tuple[OrderStates, LiveOrder]:
    states, one = OrderStates(), order()
    states.add(one)
    states.seen(seen("NEW"))
    assert list(states.take()) == [Accepted(one, US)]
    return states, one


def test_a_fill_that_comes_with_the_cancel_is_booked_before_the_end() -> None:
    """A fill during a cancel: the cancel's answer shows more executed than is booked; the event comes behind."""
    states, one = placed()
    states.cancelling(one)
    states.cancelled(one, seen("CANCELED", 1))
    assert list(states.take()) == [Fetch(one)]
    assert not one.ended
    states.seen(seen("PARTIALLY_FILLED", 1), fill(5))
    assert list(states.take()) == [Booked(one, 1, fill(5)), Closed(one, US, "CANCELED")]
    states.seen(seen("PARTIALLY_FILLED", 1), fill(5))
    states.fill(one, fill(5))
    assert list(states.take()) == []


def test_a_cancel_that_came_too_late_is_a_whole_fill() -> None:
    """-2011 while the fill is in transit: the exchange is queried, nothing is reported as still open."""
    states, one = placed()
    states.cancelling(one)
    states.cancel_refused(one, US, -2011)
    assert list(states.take()) == [Ask(one)]
    assert one.state is OrderState.UNKNOWN
    states.seen(seen("PARTIALLY_FILLED", 1), fill(5))
    states.seen(seen("FILLED", 2), fill(6))
    assert list(states.take()) == [Booked(one, 1, fill(5)), Booked(one, 1, fill(6))]
    assert one.state is OrderState.FILLED


def test_a_replacement_of_an_order_that_fills_meanwhile() -> None:
    """A fill during an amend: the old order is filled, the new one was never tried."""
    states, old = placed()
    new = order(2)
    states.add(new)
    states.cancelling(old, replacing=True)
    assert old.state is OrderState.PENDING_REPLACE
    states.cancel_refused(old, US, -2011)
    states.refused(new, US, -2022, "Order cancel-replace failed.")
    steps = list(states.take())
    assert steps == [Ask(old), Rejected(new, US, -2022, "Order cancel-replace failed.")]
    states.seen(seen("FILLED", 2), answers=True)
    assert list(states.take()) == [Fetch(old)]
    states.fill(old, fill(5, "2"))
    assert [type(step) for step in states.take()] == [Booked]
    assert old.state is OrderState.FILLED


def amended(qty: str = "1") -> tuple[OrderStates, LiveOrder]:
    """Return an order of 2 whose amendment is under way until 20 s by the exchange's clock."""
    states, one = placed()
    states.amending(one, qty)
    one.amend_until_ms = 20_000
    assert one.state is OrderState.PENDING_AMEND
    return states, one


def less(status: str = "NEW", executed: int = 0, qty: int = 1) -> OrderSeen:
    return seen(status, executed)._replace(qty_e8=qty * E8)


def test_the_answer_and_the_event_of_an_amendment_are_one_report() -> None:
    """Whichever comes first, and what is older than both."""
    states, one = amended()
    states.seen(less())
    states.amended(one, "1", less())
    states.seen(less(qty=2))
    assert list(states.take()) == [Amended(one, US, "1")]
    assert (one.state, one.qty, one.amend_qty) == (OrderState.LIVE, "1", "")


def test_a_fill_shows_an_amendment_of_which_nothing_else_came() -> None:
    """Each event has the quantity: the order is full with it, and nothing of the old one is missing."""
    states, one = amended()
    states.seen(less("FILLED", 1), fill(5))
    assert list(states.take()) == [Amended(one, US, "1"), Booked(one, 1, fill(5))]
    assert one.state is OrderState.FILLED


def test_fills_may_come_before_the_amendment_that_they_complete() -> None:
    """Found by the list of trades: the order stays open here until its smaller quantity is known."""
    states, one = amended()
    states.fill(one, fill(5))
    assert list(states.take()) == [Booked(one, 1, fill(5))]
    assert not one.ended
    states.seen(less("FILLED", 1), answers=True)
    assert list(states.take()) == [Amended(one, US, "1")]
    assert one.state is OrderState.FILLED


def test_an_amendment_without_an_answer_is_asked_for_until_it_can_no_longer_arrive() -> None:
    """The old quantity proves nothing while the request may be under way."""
    states, one = amended()
    states.amend_unknown(one, "1")
    assert list(states.take()) == [Ask(one)]
    assert one.state is OrderState.PENDING_AMEND
    states.seen(less(qty=2), answers=True)
    assert not states.amend_shown(one, US, query_ms=21_499)
    assert states.amend_shown(one, US, query_ms=21_500)
    assert list(states.take()) == [AmendFailed(one, US, 0, "the request never reached the exchange")]
    assert (one.state, one.qty) == (OrderState.LIVE, "2")


def test_an_amendment_that_comes_after_all_is_known_by_its_quantity() -> None:
    """Even where the proof failed."""
    states, one = amended()
    states.amend_unknown(one, "1")
    states.amend_shown(one, US, query_ms=99_999)
    list(states.take())
    states.seen(less())
    assert list(states.take()) == [Amended(one, US, "1")]


@pytest.mark.parametrize(("code", "steps"), [(-2038, 2), (-2013, 2), (-2011, 2), (-1013, 1), (-1015, 1), (0, 1)])
def test_a_refused_amendment_leaves_the_order_as_it_is(code: int, steps: int) -> None:
    """If the order is the reason it may have ended: the exchange is queried."""
    states, one = amended()
    states.amend_refused(one, "1", US, code, "no")
    assert list(states.take()) == [AmendFailed(one, US, code, "no"), Ask(one)][:steps]
    assert (one.state, one.qty) == (OrderState.LIVE, "2")


def test_an_order_that_filled_before_its_amendment() -> None:
    """-2038: the fills are on their way."""
    states, one = amended()
    states.amend_refused(one, "1", US, -2038, "Unknown order sent.")
    list(states.take())
    states.seen(less("FILLED", 2, 2), answers=True)
    states.fill(one, fill(5, "2"))
    assert list(states.take()) == [Fetch(one), Booked(one, 1, fill(5, "2"))]
    assert one.state is OrderState.FILLED


def test_answers_of_an_earlier_amendment_say_nothing_of_the_next_one() -> None:
    """The event resolved the first; its answer comes late, as whatever."""
    states, one = placed()
    one.qty = "3"
    states.amending(one, "2")
    states.seen(less(qty=2))
    states.amending(one, "1")
    states.amend_refused(one, "2", US, -2038, "no")
    states.amend_unknown(one, "2")
    states.amended(one, "2", less(qty=2))
    assert list(states.take()) == [Amended(one, US, "2")]
    assert (one.amend_qty, one.amend_doubt) == ("1", False)


def test_a_cancel_overtakes_an_amendment() -> None:
    """Failed, the order is open again with its amendment under way; done, nothing of it is expected any more."""
    states, one = amended()
    states.cancelling(one)
    assert one.state is OrderState.PENDING_CANCEL
    states.cancel_refused(one, US, -1003)
    assert one.state is OrderState.PENDING_AMEND
    states.want_cancel(one)
    assert list(states.take()) == [CancelFailed(one, US, -1003), Resend(one)]
    states.cancelling(one)
    states.cancelled(one, less("CANCELED"))
    states.amend_refused(one, "1", US, -2038, "Unknown order sent.")
    assert list(states.take()) == [Amended(one, US, "1"), Closed(one, US, "CANCELED")]


def test_the_quantity_of_an_order_of_an_earlier_run_is_the_exchanges() -> None:
    """Its process was killed between the intent of an amendment and the answer."""
    states, one = OrderStates(), order()
    states.add_earlier(one)
    states.seen(less("FILLED", 1), answers=True)
    states.fill(one, fill(5))
    kinds = [type(step) for step in states.take()]
    assert kinds == [Ask, Accepted, Amended, Fetch, Booked]
    assert one.state is OrderState.FILLED


def test_no_such_order_proves_nothing_before_the_window_has_passed() -> None:
    """The request may still be on its way; afterwards it cannot arrive, by the exchange's own clock."""
    states, one = OrderStates(), order()
    states.add(one)
    states.place_unknown(one)
    assert list(states.take()) == [Ask(one)]
    assert states.in_doubt(+1)
    assert not states.in_doubt(-1)
    assert not states.absent(one, US, query_ms=12_499)
    assert one.state is OrderState.UNKNOWN
    assert states.absent(one, US, query_ms=12_500)
    assert [type(step) for step in states.take()] == [Rejected]


def test_an_order_that_comes_back_from_the_dead_is_cancelled() -> None:
    """Even if the proof failed: its fills are booked as those of an order without a waiting caller."""
    states, one = OrderStates(), order()
    states.add(one)
    states.place_unknown(one)
    states.absent(one, US, query_ms=20_000)
    list(states.take())
    states.seen(seen("PARTIALLY_FILLED", 1), fill(5))
    assert list(states.take()) == [Booked(one, EARLIER, fill(5)), Ask(one)]
    states.seen(seen("PARTIALLY_FILLED", 1), answers=True, firm=True)
    assert Resend(one) in list(states.take())
    assert one.client_id in states.open


def test_a_refused_cancel_leaves_the_order_open() -> None:
    """Too many requests: the caller hears that it is still there."""
    states, one = placed()
    states.cancelling(one)
    states.cancel_refused(one, US, -1003)
    assert list(states.take()) == [CancelFailed(one, US, -1003)]
    assert one.state is OrderState.LIVE


def test_a_cancel_of_unknown_outcome_is_sent_again_if_the_order_is_open() -> None:
    """A second cancel harms nothing; a second order would."""
    states, one = placed()
    states.cancelling(one)
    states.cancel_unknown(one)
    assert list(states.take()) == [Ask(one)]
    states.seen(seen("NEW"), answers=True)
    assert list(states.take()) == [Resend(one)]


def test_cancels_of_an_order_that_the_exchange_denies_and_shows_come_to_an_end() -> None:
    """-2011, and yet it is open: after a few attempts the caller decides."""
    states, one = placed()
    for _ in range(5):
        states.cancelling(one)
        states.cancel_refused(one, US, -2011)
        states.seen(seen("NEW"), answers=True)
    assert list(states.take())[-1] == CancelFailed(one, US, -2011)


def test_a_client_id_in_use_says_that_the_order_may_be_there() -> None:
    """Duplicate order sent: the exchange is queried, the order is not given up."""
    states, one = OrderStates(), order()
    states.add(one)
    states.refused(one, US, -2010, "Duplicate order sent.")
    assert list(states.take()) == [Ask(one)]


def test_an_order_that_the_exchange_forgot_is_closed_after_its_trades_were_read() -> None:
    """A restart without its book."""
    states, one = placed()
    states.listed([], [one])
    assert list(states.take()) == [Ask(one)]
    states.absent(one, US, query_ms=99_999)
    assert list(states.take()) == [Fetch(one)]
    states.fill(one, fill(5))
    states.fetched(one)
    assert [type(step) for step in states.take()] == [Booked, Closed]


def test_orders_of_an_earlier_run_are_asked_for_and_cancelled() -> None:
    """What it booked is not booked again; what it missed is, without an owner."""
    states, one = OrderStates(booked=[5]), order()
    states.add_earlier(one)
    assert list(states.take()) == [Ask(one)]
    states.seen(seen("PARTIALLY_FILLED", 2, "c1"), answers=True)
    steps = list(states.take())
    assert [type(step) for step in steps] == [Accepted, Resend, Fetch]
    states.fill(one, fill(5))
    states.fill(one, fill(6, "0.5"))
    assert list(states.take())[:2] == [Fetch(one), Booked(one, EARLIER, fill(6, "0.5"))]


def test_trades_before_the_ledger_are_nobodys() -> None:
    """The account had a life before."""
    states, one = OrderStates(), order()
    one.counts_after = 100
    states.add(one)
    states.seen(seen("PARTIALLY_FILLED", 1), fill(100))
    assert [type(step) for step in states.take()] == [Accepted]


@pytest.mark.parametrize("status", ["EXPIRED", "EXPIRED_IN_MATCH"])
def test_the_exchanges_words_for_expired(status: str) -> None:
    """Also where self-trade prevention ended it."""
    states, one = placed()
    states.seen(seen(status))
    assert list(states.take()) == [Closed(one, US, "EXPIRED")]


def test_thousands_of_ended_orders_are_forgotten() -> None:
    """Memory is bounded; open orders stay."""
    states, first = placed()
    for number in range(2, 41_003):
        one = order(number)
        states.add(one)
        states.refused(one, US, -2010, "no")
        list(states.take())
    assert len(states.by_client) < 40_002
    assert list(states.open.values()) == [first]
