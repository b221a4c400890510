"""With any loss, delay or repetition: after a reconcile our orders equal the exchange's, each fill is booked once."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from order_parts import fill_of, seen_of, states_of
from plain_orders import OPEN, Wire
from refusals import refusal

from mm.instrument import E8
from mm.live.orders.order_steps import (
    EARLIER,
    Accepted,
    Amended,
    AmendFailed,
    Ask,
    Booked,
    CancelFailed,
    Closed,
    Fetch,
    Reamend,
    Rejected,
    Resend,
)
from mm.live.orders.states import OrderStates
from mm.live.venues.live_orders import LiveOrder, OrderSeen, OrderState


def check(wire: Wire) -> None:
    """Compare our orders with the exchange's, and check that the reports of each order are consistent."""
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
        expected = OrderState.LIVE if truth.status in OPEN else OrderState(truth.status)
        assert order.state is expected, (client_id, order, truth)
        assert (client_id in wire.states.open) == (truth.status in OPEN)
        reports = wire.reports[client_id]
        assert reports[0] == "accepted"
        assert reports.count("accepted") == 1
        assert reports.count("closed") == (truth.status in ("CANCELED", "EXPIRED"))
        if "closed" in reports:
            assert reports[-1] == "closed"
        amends = wire.amends.count(client_id)
        assert "rejected" not in reports
        if truth.status in OPEN:
            assert order.price == truth.price
            assert reports.count("amended") + reports.count("not amended") == amends
        if not wire.moves:
            assert reports.count("amended") == truth.amended
            assert truth.amended <= amends


@pytest.mark.slow
@settings(max_examples=max(500, settings().max_examples))
@given(st.integers(0, 2**40), st.integers(5, 60), st.booleans())
def test_states_match_exchange_after_random_wire_faults(seed: int, turns: int, moves: bool) -> None:
    """Requests, answers and events are lost, repeated, delayed and reordered; then comes a reconcile."""
    rng = random.Random(seed)
    wire = Wire(rng)
    wire.moves = moves
    for _ in range(turns):
        draw = rng.random()
        if draw < 0.3:
            wire.place(rng.choice([E8, 2 * E8, 5 * E8]))
        elif draw < 0.5:
            wire.cancel()
        elif draw < 0.65:
            wire.replace(rng.choice([E8, 3 * E8]))
        elif draw < 0.75 and not moves:
            wire.amend(rng.choice([E8, 2 * E8, 3 * E8, 4 * E8]))
        elif draw < 0.85 and moves:
            wire.move(rng.choice(["99", "100", "101"]), rng.choice([E8, 2 * E8, 4 * E8]))
        else:
            wire.trade()
        wire.pass_time(rng.choice([0, 1, 10, 300, 1_500]))
    wire.heal()
    check(wire)


# Single faults, and the steps that follow.

US = 7


def order(number: int = 1, qty: str = "2") -> LiveOrder:
    return LiveOrder(number, f"c{number}", +1, "100", qty, "LIMIT", sent_ms=10_000, window_ms=1_000)


def order_seen(status: str, executed: int = 0, client_id: str = "c1") -> OrderSeen:
    return seen_of(client_id, 70, status, executed * E8, US)


def fill(trade_id: int, qty: str = "1", **other: Any):
    return fill_of(trade_id, US, qty, **other)


def placed() -> tuple[OrderStates, LiveOrder]:
    states, one = states_of(), order()
    states.add(one)
    states.seen(order_seen("NEW"))
    assert list(states.next_steps()) == [Accepted(one, US)]
    return states, one


def test_fill_during_cancel_is_booked_before_close() -> None:
    """The cancel's answer shows more executed than is booked; the event follows later."""
    states, one = placed()
    states.cancelling(one)
    states.cancelled(one, order_seen("CANCELED", 1))
    assert list(states.next_steps()) == [Fetch(one)]
    assert not one.ended
    states.seen(order_seen("PARTIALLY_FILLED", 1), fill(5))
    assert list(states.next_steps()) == [Booked(one, 1, fill(5)), Closed(one, US, "CANCELED")]
    states.seen(order_seen("PARTIALLY_FILLED", 1), fill(5))
    states.fill(one, fill(5))
    assert list(states.next_steps()) == []


def test_late_information_takes_back_nothing() -> None:
    """The executed quantity rises: what was told later is known, and its trades stay wanted."""
    states, one = placed()
    states.seen(order_seen("PARTIALLY_FILLED", 1))
    assert list(states.next_steps()) == [Fetch(one)]
    states.seen(order_seen("NEW"))
    assert one.executed_e8 == E8
    assert list(states.next_steps()) == [Fetch(one)]


def test_late_cancel_of_filled_order_ends_as_filled() -> None:
    """-2011 while the fill is in transit: the exchange is queried, nothing is reported as still open."""
    states, one = placed()
    states.cancelling(one)
    states.cancel_refused(one, US, refusal(-2011))
    assert list(states.next_steps()) == [Ask(one)]
    assert one.state is OrderState.UNKNOWN
    states.seen(order_seen("PARTIALLY_FILLED", 1), fill(5))
    states.seen(order_seen("FILLED", 2), fill(6))
    assert list(states.next_steps()) == [Booked(one, 1, fill(5)), Booked(one, 1, fill(6))]
    assert one.state is OrderState.FILLED


def test_replacement_of_order_filled_meanwhile_is_rejected() -> None:
    """The old order is filled, the new one was never attempted."""
    states, old = placed()
    new = order(2)
    states.add(new)
    states.cancelling(old, replacing=True)
    assert old.state is OrderState.PENDING_REPLACE
    states.cancel_refused(old, US, refusal(-2011))
    states.refused(new, US, refusal(-2022, "Order cancel-replace failed."))
    steps = list(states.next_steps())
    assert steps == [Ask(old), Rejected(new, US, refusal(-2022, "Order cancel-replace failed."))]
    states.seen(order_seen("FILLED", 2), answers=True)
    assert list(states.next_steps()) == [Fetch(old)]
    states.fill(old, fill(5, "2"))
    assert [type(step) for step in states.next_steps()] == [Booked]
    assert old.state is OrderState.FILLED


def amended(qty: str = "1") -> tuple[OrderStates, LiveOrder]:
    """Return an order of 2 whose amendment is pending until 20 s of the exchange's clock."""
    states, one = placed()
    states.amending(one, qty)
    one.amend_until_ms = 20_000
    assert one.state is OrderState.PENDING_AMEND
    return states, one


def seen_with_qty(status: str = "NEW", executed: int = 0, qty: int = 1) -> OrderSeen:
    return order_seen(status, executed)._replace(qty_e8=qty * E8)


def test_amendment_answer_and_event_give_one_report() -> None:
    """An older event that follows is ignored."""
    states, one = amended()
    states.seen(seen_with_qty())
    states.amended(one, "1", seen_with_qty())
    states.seen(seen_with_qty(qty=2))
    assert list(states.next_steps()) == [Amended(one, US, "1")]
    assert (one.state, one.qty, one.amend_qty) == (OrderState.LIVE, "1", "")


def test_fill_event_reveals_missed_amendment() -> None:
    """Each event contains the quantity: the order is completely filled at the reduced one."""
    states, one = amended()
    states.seen(seen_with_qty("FILLED", 1), fill(5))
    assert list(states.next_steps()) == [Amended(one, US, "1"), Booked(one, 1, fill(5))]
    assert one.state is OrderState.FILLED


def test_order_filled_before_its_amendment_ends_with_it() -> None:
    """The fill is from the list of trades: the order stays open here until its reduced quantity is known."""
    states, one = amended()
    states.fill(one, fill(5))
    assert list(states.next_steps()) == [Booked(one, 1, fill(5))]
    assert not one.ended
    states.seen(seen_with_qty("FILLED", 1), answers=True)
    assert list(states.next_steps()) == [Amended(one, US, "1")]
    assert one.state is OrderState.FILLED


def test_unanswered_amendment_is_queried_until_it_cannot_arrive() -> None:
    """The old quantity proves nothing while the request may be in transit."""
    states, one = amended()
    states.amend_unknown(one, "1")
    assert list(states.next_steps()) == [Ask(one)]
    assert one.state is OrderState.PENDING_AMEND
    states.seen(seen_with_qty(qty=2), answers=True)
    assert not states.amend_shown(one, US, query_ms=21_499)
    assert states.amend_shown(one, US, query_ms=21_500)
    assert list(states.next_steps()) == [AmendFailed(one, US, refusal(0, "the request never reached the exchange"))]
    assert (one.state, one.qty) == (OrderState.LIVE, "2")


def test_query_of_an_order_whose_amendment_is_in_no_doubt_ends_none() -> None:
    """Its own answer is under way."""
    states, one = amended()
    assert states.amend_shown(one, US, query_ms=99_999)
    assert list(states.next_steps()) == []
    assert one.state is OrderState.PENDING_AMEND


def test_late_amendment_is_detected_by_its_quantity() -> None:
    """Even after it was reported as failed."""
    states, one = amended()
    states.amend_unknown(one, "1")
    states.amend_shown(one, US, query_ms=99_999)
    list(states.next_steps())
    states.seen(seen_with_qty())
    assert list(states.next_steps()) == [Amended(one, US, "1")]


@pytest.mark.parametrize(("code", "steps"), [(-2038, 2), (-2013, 2), (-2011, 2), (-1013, 1), (-1015, 1), (0, 1)])
def test_refused_amendment_leaves_order_unchanged(code: int, steps: int) -> None:
    """If the order is the reason it may have ended: the exchange is queried."""
    states, one = amended()
    states.amend_refused(one, "1", US, refusal(code, "no"))
    assert list(states.next_steps()) == [AmendFailed(one, US, refusal(code, "no")), Ask(one)][:steps]
    assert (one.state, one.qty) == (OrderState.LIVE, "2")


def test_refused_amendment_of_filled_order_books_its_fills() -> None:
    """-2038: the fills are in transit."""
    states, one = amended()
    states.amend_refused(one, "1", US, refusal(-2038, "Unknown order sent."))
    list(states.next_steps())
    states.seen(seen_with_qty("FILLED", 2, 2), answers=True)
    states.fill(one, fill(5, "2"))
    assert list(states.next_steps()) == [Fetch(one), Booked(one, 1, fill(5, "2"))]
    assert one.state is OrderState.FILLED


def test_late_answers_to_earlier_amendment_are_ignored() -> None:
    """The event resolved the first amendment; its answers come late."""
    states, one = placed()
    one.qty = "3"
    states.amending(one, "2")
    states.seen(seen_with_qty(qty=2))
    states.amending(one, "1")
    states.amend_refused(one, "2", US, refusal(-2038, "no"))
    states.amend_unknown(one, "2")
    states.amended(one, "2", seen_with_qty(qty=2))
    assert list(states.next_steps()) == [Amended(one, US, "2")]
    assert (one.amend_qty, one.amend_doubt) == ("1", False)


def test_cancel_overtakes_pending_amendment() -> None:
    """If the cancel fails, the amendment is pending again; if it succeeds, the order closes."""
    states, one = amended()
    states.cancelling(one)
    assert one.state is OrderState.PENDING_CANCEL
    states.cancel_refused(one, US, refusal(-1003))
    assert one.state is OrderState.PENDING_AMEND
    states.want_cancel(one)
    assert list(states.next_steps()) == [CancelFailed(one, US, -1003), Resend(one)]
    states.cancelling(one)
    states.cancelled(one, seen_with_qty("CANCELED"))
    states.amend_refused(one, "1", US, refusal(-2038, "Unknown order sent."))
    assert list(states.next_steps()) == [Amended(one, US, "1"), Closed(one, US, "CANCELED")]


def test_amendment_that_was_wanted_while_the_order_was_unknown_is_sent_once_it_is_open() -> None:
    states, one = states_of(), order()
    states.add(one)
    states.place_unknown(one)
    one.amend_wanted = "1"
    states.seen(order_seen("NEW"), answers=True)
    steps = list(states.next_steps())
    assert [step for step in steps if isinstance(step, Reamend)] == [Reamend(one, "1")]
    assert not one.amend_wanted


def test_order_of_earlier_run_takes_quantity_from_exchange() -> None:
    """Its process was killed between the intent of an amendment and the answer."""
    states, one = OrderStates(), order()
    states.add_earlier(one)
    states.seen(seen_with_qty("FILLED", 1), answers=True)
    states.fill(one, fill(5))
    kinds = [type(step) for step in states.next_steps()]
    assert kinds == [Ask, Accepted, Amended, Fetch, Booked]
    assert one.state is OrderState.FILLED


def test_missing_order_is_rejected_only_after_its_window() -> None:
    """Before, the request may be in transit; afterwards it cannot arrive, by the exchange's own clock."""
    states, one = OrderStates(), order()
    states.add(one)
    states.place_unknown(one)
    assert list(states.next_steps()) == [Ask(one)]
    assert states.in_doubt(+1)
    assert not states.in_doubt(-1)
    assert not states.absent(one, US, query_ms=12_499)
    assert one.state is OrderState.UNKNOWN
    assert states.absent(one, US, query_ms=12_500)
    assert [type(step) for step in states.next_steps()] == [Rejected]


def test_order_that_reappears_after_rejection_is_cancelled() -> None:
    """Its fills are booked as those of an order without a waiting caller."""
    states, one = OrderStates(), order()
    states.add(one)
    states.place_unknown(one)
    states.absent(one, US, query_ms=20_000)
    list(states.next_steps())
    states.seen(order_seen("PARTIALLY_FILLED", 1), fill(5))
    assert list(states.next_steps()) == [Booked(one, EARLIER, fill(5)), Ask(one)]
    states.seen(order_seen("PARTIALLY_FILLED", 1), answers=True, firm=True)
    assert Resend(one) in list(states.next_steps())
    assert one.client_id in states.open


def test_refused_cancel_leaves_order_open() -> None:
    """Too many requests: the caller gets a CancelFailed."""
    states, one = placed()
    states.cancelling(one)
    states.cancel_refused(one, US, refusal(-1003))
    assert list(states.next_steps()) == [CancelFailed(one, US, -1003)]
    assert one.state is OrderState.LIVE


def test_cancel_of_unknown_outcome_is_resent_if_order_is_open() -> None:
    """A second cancel is harmless; a second order is not."""
    states, one = placed()
    states.cancelling(one)
    states.cancel_unknown(one)
    assert list(states.next_steps()) == [Ask(one)]
    states.seen(order_seen("NEW"), answers=True)
    assert list(states.next_steps()) == [Resend(one)]


def test_contradictory_cancel_refusals_end_after_few_attempts() -> None:
    """-2011 although the order is open: after a few attempts the caller decides."""
    states, one = placed()
    for _ in range(5):
        states.cancelling(one)
        states.cancel_refused(one, US, refusal(-2011))
        states.seen(order_seen("NEW"), answers=True)
    assert list(states.next_steps())[-1] == CancelFailed(one, US, -2011)


def test_cancel_that_is_asked_for_again_has_all_attempts_again() -> None:
    """The strategy wants it gone at each requote; attempts that failed before count for the first one alone."""
    states, one = placed()
    for attempts in (5, 5):
        states.want_cancel(one)
        for _ in range(attempts):
            assert list(states.next_steps())[-1] == Resend(one)
            states.cancelling(one)
            states.cancel_refused(one, US, refusal(-2011))
            states.seen(order_seen("NEW"), answers=True)
        assert list(states.next_steps())[-1] == CancelFailed(one, US, -2011)


def test_duplicate_order_refusal_queries_the_order() -> None:
    """The client id is in use, so that the order may be at the exchange."""
    states, one = OrderStates(), order()
    states.add(one)
    states.refused(one, US, refusal(-2010, "Duplicate order sent."))
    assert list(states.next_steps()) == [Ask(one)]


def test_order_lost_by_exchange_closes_after_reading_its_trades() -> None:
    """The exchange restarted without its book."""
    states, one = placed()
    states.listed([], [one])
    assert list(states.next_steps()) == [Ask(one)]
    states.absent(one, US, query_ms=99_999)
    assert list(states.next_steps()) == [Fetch(one)]
    states.fill(one, fill(5))
    states.fetched(one)
    assert [type(step) for step in states.next_steps()] == [Booked, Closed]


def test_list_of_open_orders_may_be_outdated_and_has_those_of_others() -> None:
    """An order that has ended here is asked for again; one of somebody else is not ours to judge."""
    states, one = placed()
    states.seen(order_seen("CANCELED"))
    assert [type(step) for step in states.next_steps()][-1] is Closed
    states.listed([seen_of("of somebody else", 99, "NEW", 0, US), order_seen("NEW")], [])
    assert list(states.next_steps()) == [Ask(one)]
    assert not states.open


def test_orders_of_earlier_run_are_queried_and_cancelled() -> None:
    """Booked fills are not booked again; missed ones are booked, without an order."""
    states, one = states_of(fill(5)), order()
    states.add_earlier(one)
    assert list(states.next_steps()) == [Ask(one)]
    states.seen(order_seen("PARTIALLY_FILLED", 2, "c1"), answers=True)
    steps = list(states.next_steps())
    assert [type(step) for step in steps] == [Accepted, Resend, Fetch]
    states.fill(one, fill(5))
    states.fill(one, fill(6, "0.5"))
    assert list(states.next_steps())[:2] == [Fetch(one), Booked(one, EARLIER, fill(6, "0.5"))]


@pytest.mark.parametrize(
    "other", [{"order_id": 99}, {"commission": "0.7"}, {"price": "1.01"}, {"qty": "0.5"}, {"side": -1}]
)
def test_known_trade_id_with_other_terms_is_never_a_repetition(other: dict[str, Any]) -> None:
    """A wiped exchange begins its ids again: its trades are not those that are booked, nor are they booked here."""
    known = fill(5)
    states, one = states_of(fill(5, **other)), order()
    states.add_earlier(one)
    states.seen(order_seen("PARTIALLY_FILLED", 2, "c1"), answers=True)
    states.fill(one, known)
    assert not [step for step in states.next_steps() if isinstance(step, Booked)]
    assert "trade 5" in states.reset
    assert one.booked_e8 == 0


def test_trades_before_start_of_ledger_are_not_booked() -> None:
    """The account may have had earlier trades."""
    states, one = OrderStates(), order()
    one.counts_after = 100
    states.add(one)
    states.seen(order_seen("PARTIALLY_FILLED", 1), fill(100))
    assert [type(step) for step in states.next_steps()] == [Accepted]


@pytest.mark.parametrize("status", ["EXPIRED", "EXPIRED_IN_MATCH"])
def test_expired_statuses_close_as_expired(status: str) -> None:
    """Also after self-trade prevention."""
    states, one = placed()
    states.seen(order_seen(status))
    assert list(states.next_steps()) == [Closed(one, US, "EXPIRED")]


def test_oldest_of_many_ended_orders_are_dropped() -> None:
    """Memory is bounded; open orders stay."""
    states, first = placed()
    for number in range(2, 41_003):
        one = order(number)
        states.add(one)
        states.refused(one, US, refusal(-2010, "no"))
        list(states.next_steps())
    assert len(states.by_client) < 40_002
    assert list(states.open.values()) == [first]
