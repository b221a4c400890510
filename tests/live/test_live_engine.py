"""The engine of a live market: with the reports of a paper exchange it sends the same orders."""

import dataclasses
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm import PaperExchange, Quotes, Rules
from mm.backtest.fills.base import TradeCross
from mm.backtest.risk import RiskLimits
from mm.errors import UsageError
from mm.live._live_engine import LiveEngine
from named import action_of, feed_event, reason_of

SECOND_US = 1_000_000
RULES = Rules(
    1_000_000,
    100_000,
    order_latency_us=0,
    cancel_latency_us=0,
    requote_us=250_000,
    enforce_balances=False,
    maker_fee_e8=100_000,
    quote_lots=10,
)


class Joins:
    """Quotes at the touch on both sides; inventory moves one of them away."""

    def quote(self, view):
        skew = view.inventory_lots // 30
        return Quotes(view.bid_ticks - max(skew, 0), view.ask_ticks - min(skew, 0))


class Shrinks:
    """Quotes at the touch; each side shrinks with the inventory from its fills."""

    def quote(self, view):
        held = view.inventory_lots
        return Quotes(view.bid_ticks, view.ask_ticks, max(10 - max(held, 0), 1), max(10 + min(held, 0), 1))


class Sends:
    """Sends its orders itself: joins the touch, moves with it, and takes back half of a larger inventory."""

    def on_event(self, market, orders):
        for side, ticks in ((1, market.bid_ticks), (-1, market.ask_ticks)):
            own = [order for order in orders if order.side == side and order.status != "CANCELLING"]
            if own and own[0].ticks != ticks:
                own[0].cancel()
            elif not own:
                orders.submit(side, ticks)
        if orders.fills and abs(market.inventory_lots) > 30:
            orders.wake(market.us + 70_000)


AMENDS = dataclasses.replace(RULES, order_amend=True)
MODIFIES = dataclasses.replace(RULES, order_modify=True, enforce_balances=False)


def snapshot(us, bid=100, ask=102, lots=10, seq=1):
    return feed_event("snapshot", us, seq, seq, ((1, bid, lots), (-1, ask, lots)))


def depth(us, *rows, seq=2):
    return feed_event("depth", us, seq, seq, rows)


def live(quotes=Joins, **rules):
    return LiveEngine(quotes(), dataclasses.replace(RULES, **rules))


def orders_of(engine):
    """Return action, order id, side and ticks of each order row."""
    return [(action_of(row), *row[[1, 4, 5]].tolist()) for row in engine.journal().orders]


@st.composite
def markets(draw):
    """A book that never crosses, and trades, each at its own instant."""
    us, bid, ask = 1_000 * SECOND_US, 100, 102
    events = [snapshot(us, bid, ask)]
    for number in range(draw(st.integers(1, 40))):
        us += draw(st.sampled_from([1, 50_000, 125_000, 250_000, 900_000, 2_600_000]))
        if draw(st.booleans()):
            side, lots = draw(st.sampled_from([1, -1])), draw(st.integers(1, 30))
            events.append(feed_event("trade", us, number, number, ((side, ask if side > 0 else bid, lots),)))
            continue
        gone, low = ((1, bid, 0), (-1, ask, 0)), draw(st.integers(96, 104))
        bid, ask = low, low + draw(st.integers(1, 3))
        events.append(feed_event("depth", us, number, number, (*gone, (1, bid, 5), (-1, ask, 5))))
    return events


def by_order(journal):
    """Return the order rows by instant and order: the paper exchange sends an instant's messages before they act."""
    return journal.orders[np.lexsort((journal.orders[:, 1], journal.orders[:, 0]))]


def driven(events, fills, end_us, quotes, rules):
    """Return a live engine whose messages take effect at once, fed with the fills of a paper exchange."""
    engine, waiting = LiveEngine(quotes(), rules), [row.tolist() for row in fills]

    def act(us):
        for action, order_id, _, ticks, lots, _ in engine.advance(us):
            if action == "place":
                engine.accepted(order_id, us)
            elif action == "amend":
                engine.amended(order_id, us, lots)
            elif action == "move":
                engine.amended(order_id, us, lots, ticks)
            else:
                engine.closed(order_id, us, False)

    for event in events:
        while engine.next_due_us < event.us:
            act(engine.next_due_us)
        engine.feed([event])
        while waiting and waiting[0][0] == event.us:
            us, order_id, side, ticks, lots, fee_e8, *_ = waiting.pop(0)
            engine.filled(order_id, us, side, ticks, lots, 0, fee_e8, False)
    while engine.next_due_us <= end_us:
        act(engine.next_due_us)
    engine.pass_time(end_us)
    assert not waiting
    return engine


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    markets(),
    st.sampled_from([*product((Joins, Shrinks), (RULES, AMENDS, MODIFIES)), (Sends, RULES)]),
)
def test_live_engine_sends_same_orders_as_paper_exchange(events, terms):
    """Without latency, with its fills reported: equal orders at equal instants, equal account and state."""
    quotes, rules = terms
    paper, end_us = PaperExchange(quotes(), TradeCross(), rules), events[-1].us + 1_300_000
    paper.feed(events)
    paper.advance(end_us)
    theirs = paper.journal()
    ours = driven(events, theirs.fills, end_us, quotes, rules).journal()
    columns = [0, 1, 2, 4, 5, 6, 7, 10, 13]  # all but the instants of acceptance, which no order row has here
    np.testing.assert_array_equal(by_order(ours)[:, columns], by_order(theirs)[:, columns])
    np.testing.assert_array_equal(ours.state, theirs.state)
    np.testing.assert_array_equal(ours.mids, theirs.mids)
    np.testing.assert_array_equal(np.delete(ours.fills, 6, axis=1), np.delete(theirs.fills, 6, axis=1))
    for name in ("first_us", "last_us", "valid_us", "invalid_us", "two_sided_us", "events", "rows"):
        assert ours.counters[name] == theirs.counters[name], name


def begun(**rules):
    """Return an engine whose first two orders rest: 1 (bid 100) and 2 (ask 102)."""
    engine = live(**rules)
    engine.feed([snapshot(SECOND_US)])
    for _, order_id, *_ in engine.advance(SECOND_US):
        engine.accepted(order_id, SECOND_US)
    return engine


class Notes(Joins):
    """Notes its fills."""

    def __init__(self):
        self.fills = []

    def on_fill(self, fill):
        self.fills.append((fill.order_id, fill.side, fill.lots, fill.left_lots, fill.took))


def test_live_fills_reach_the_model():
    """Those of open orders, and those of orders of an earlier run, whose id is 0."""
    model = Notes()
    engine = LiveEngine(model, RULES)
    engine.feed([snapshot(SECOND_US)])
    for _, order_id, *_ in engine.advance(SECOND_US):
        engine.accepted(order_id, SECOND_US)
    engine.filled(1, SECOND_US + 10, 1, 100, 4, 0, 0, False)
    engine.filled(99, SECOND_US + 20, -1, 102, 3, 0, 0, True)
    engine.filled(1, SECOND_US + 30, 1, 100, 6, 0, 0, False)
    engine.advance(SECOND_US + 40)
    assert model.fills == [(1, 1, 4, 6, False), (0, -1, 3, 0, True), (1, 1, 6, 0, False)]


def test_a_strategy_sees_the_reports_of_the_gateway():
    """Accepted, partly filled, amended, cancelled; a rejection says why."""
    seen = []

    class Script:
        def on_event(self, market, orders):
            seen.append([(order.client_id, order.status, order.left_lots) for order in orders])
            seen[-1] += [(order.client_id, order.status, order.reason) for order in orders.ended]
            if len(seen) == 1:
                orders.submit(1, 100, 10, client_id="a")
                orders.submit(-1, 102, 10, client_id="b")
            elif len(seen) == 3:
                orders.cancel("a")

    engine = LiveEngine(Script(), RULES)
    engine.feed([snapshot(SECOND_US)])
    assert [message[:2] for message in engine.advance(SECOND_US)] == [("place", 1), ("place", 2)]
    engine.accepted(1, SECOND_US + 1)
    engine.rejected(2, SECOND_US + 1, "would_cross")
    engine.advance(SECOND_US + 2)
    engine.filled(1, SECOND_US + 3, 1, 100, 4, 0, 0, False)
    assert engine.advance(SECOND_US + 4)[0][:2] == ("cancel", 1)
    engine.closed(1, SECOND_US + 5, False)
    engine.advance(SECOND_US + 6)
    assert seen == [
        [],
        [("a", "LIVE", 10), ("b", "REJECTED", "would_cross")],
        [("a", "LIVE", 6)],
        [("a", "CANCELLED", "")],
    ]


def shrinking(bought=4):
    """Return an engine that amends its bid of 10, order 1, after an earlier run's order bought *bought* lots."""
    engine = live(Shrinks, order_amend=True)
    engine.feed([snapshot(SECOND_US)])
    for _, order_id, *_ in engine.advance(SECOND_US):
        engine.accepted(order_id, SECOND_US)
    engine.filled(0, 1_010_000, 1, 100, bought, 0, 0, False)  # an order of an earlier run: the inventory grows
    assert engine.advance(1_010_000) == [("amend", 1, 1, 100, 10 - bought, "LIMIT_MAKER")]
    return engine


def test_amendment_is_sent_once_until_answered():
    engine = shrinking()
    assert engine.advance(2 * SECOND_US) == []
    engine.amended(1, 2 * SECOND_US, 6)
    assert engine.advance(3 * SECOND_US) == []
    rows = [row.tolist() for row in engine.journal().orders if action_of(row) == "AMEND"]
    assert [(row[0], row[6], row[7]) for row in rows] == [(2 * SECOND_US, 6, 6)]


@pytest.mark.parametrize(("refused", "again"), [(False, [("amend", 1)]), (True, [])])
def test_failed_amendment_is_resent_unless_refused(refused, again):
    """An order whose amendment the exchange refused stays as it is."""
    engine = shrinking()
    engine.amend_failed(1, refused)
    assert [row[:2] for row in engine.advance(2 * SECOND_US)] == again
    engine.amend_failed(99, refused)


def test_amendment_of_a_side_that_is_held_waits():
    """An overloaded exchange has refused it: it leaves again when the pause is over, not before."""
    engine = shrinking()
    engine.amend_failed(1, False)
    engine.hold(1, 5 * SECOND_US)
    assert [engine.advance(at * SECOND_US) for at in (2, 3, 4)] == [[], [], []]
    assert [row[:2] for row in engine.advance(5 * SECOND_US)] == [("amend", 1)]


def test_side_that_is_held_before_the_first_book_is_quoted_after_the_pause():
    """Reports that a gateway has kept come first; there is no grid of requotes yet."""
    engine = live()
    for side in (1, -1):
        engine.hold(side, SECOND_US)
    engine.feed([snapshot(2 * SECOND_US)])
    assert [row[0] for row in engine.advance(2 * SECOND_US)] == ["place", "place"]


def test_amendment_to_filled_quantity_ends_the_order():
    """The fills come first: six of ten, then the amendment to six in all. Lots are not counted twice."""
    engine = shrinking()
    engine.filled(1, 1_020_000, 1, 100, 6, 0, 0, False)
    assert engine.open_orders == 2
    engine.amended(1, 1_030_000, 6)
    assert engine.open_orders == 1
    assert [row[0] for row in orders_of(engine) if row[1] == 1][-2:] == ["AMEND", "CLOSE_FILLED"]
    engine.amended(1, 1_030_000, 6)


def test_cancel_does_not_wait_for_amendment():
    engine = shrinking()
    engine.feed([depth(1_100_000, (1, 100, 0), (1, 99, 5))])
    assert [row[:2] for row in engine.advance(1_250_000)] == [("cancel", 1), ("place", 3)]
    engine.amended(1, 1_260_000, 6)
    engine.closed(1, 1_270_000, False)
    assert engine.open_orders == 2


def moving(bought=4):
    """Return an engine whose bid of 10 at 100, order 1, has filled *bought* lots and is asked to be 10 at 99."""
    engine = live(order_modify=True, enforce_balances=False)
    engine.feed([snapshot(SECOND_US)])
    for _, order_id, *_ in engine.advance(SECOND_US):
        engine.accepted(order_id, SECOND_US)
    if bought:
        engine.filled(1, 1_010_000, 1, 100, bought, 0, 0, False)
    engine.feed([depth(1_100_000, (1, 100, 0), (1, 99, 5))])
    assert engine.advance(1_250_000) == [("move", 1, 1, 99, 10 + bought, "LIMIT_MAKER")]
    return engine


def test_moved_order_is_the_same_order_at_its_new_price():
    engine = moving()
    engine.amended(1, 1_260_000, 14, 99)
    engine.filled(1, 1_270_000, 1, 99, 10, 0, 0, False)
    assert [row for row in orders_of(engine) if row[1] == 1][-2:] == [("FILL", 1, 1, 99), ("CLOSE_FILLED", 1, 1, 99)]
    assert engine.inventory_lots == 14 + RULES.start_lots


def test_fills_beyond_what_was_left_keep_a_moving_order_open():
    """Of ten lots four had filled. Six more are all of the old order, but the new one of fourteen in all has four."""
    engine = moving()
    engine.filled(1, 1_255_000, 1, 100, 6, 0, 0, False)
    assert engine.open_orders == 2
    engine.filled(1, 1_256_000, 1, 99, 1, 0, 0, False)
    engine.amended(1, 1_260_000, 14, 99)
    assert engine.open_orders == 2
    engine.filled(1, 1_270_000, 1, 99, 3, 0, 0, False)
    assert engine.open_orders == 1


@pytest.mark.parametrize("told", ["failed", "filled"])
def test_order_filled_before_it_moved_ends_when_that_is_known(told):
    engine = moving()
    engine.filled(1, 1_255_000, 1, 100, 6, 0, 0, False)
    if told == "failed":
        engine.amend_failed(1, True)
    else:
        engine.amended(1, 1_260_000, 10)
    assert engine.open_orders == 1


def test_order_that_may_not_move_is_replaced():
    engine = moving()
    engine.amend_failed(1, True, "would_cross")
    assert [row[:2] for row in engine.advance(1_500_000)] == [("cancel", 1)]  # and its price is not tried again
    engine = moving()
    engine.amend_failed(1, True)
    assert [row[:2] for row in engine.advance(1_500_000)] == [("cancel", 1), ("place", 3)]


def test_move_that_was_not_sent_is_sent_again():
    engine = moving()
    engine.amend_failed(1, False)
    assert [row[:2] for row in engine.advance(1_500_000)] == [("move", 1)]


def test_limits_count_a_moving_order_at_its_larger_quantity():
    """Ten lots are the most; four of the bid's ten have filled: it cannot be ten again."""
    risk = RiskLimits(max_position_e8=10 * RULES.lot_e8)
    engine = live(order_modify=True, enforce_balances=False, risk=risk, start_lots=0)
    engine.feed([snapshot(SECOND_US)])
    for _, order_id, *_ in engine.advance(SECOND_US):
        engine.accepted(order_id, SECOND_US)
    engine.filled(1, 1_010_000, 1, 100, 4, 0, 0, False)
    engine.feed([depth(1_100_000, (1, 100, 0), (1, 99, 5))])
    assert [row[:2] for row in engine.advance(1_250_000)] == [("cancel", 1)]


def test_outdated_amendment_report_changes_nothing():
    engine = shrinking()
    engine.amended(1, 1_020_000, 6)
    before = len(engine.journal().orders)
    engine.amended(1, 1_030_000, 8)
    assert len(engine.journal().orders) == 0
    assert before


def test_place_message_contains_all_order_terms():
    engine = live()
    engine.feed([snapshot(SECOND_US)])
    assert engine.advance(SECOND_US) == [
        ("place", 1, 1, 100, 10, "LIMIT_MAKER"),
        ("place", 2, -1, 102, 10, "LIMIT_MAKER"),
    ]
    assert engine.advance(SECOND_US) == []


def test_late_requote_is_immediate_and_keeps_the_time_grid():
    engine = begun()
    engine.feed([depth(1_400_000, (1, 100, 0), (1, 99, 5))])
    assert [row[:2] for row in engine.advance(1_400_000)] == [("cancel", 1), ("place", 3)]
    assert engine.next_due_us == 1_500_000


def test_replacement_is_cancel_followed_by_place_on_same_side():
    engine = begun()
    engine.feed([depth(1_100_000, (1, 101, 5))])
    assert engine.advance(1_250_000) == [
        ("cancel", 1, 1, 100, 10, "LIMIT_MAKER"),
        ("place", 3, 1, 101, 10, "LIMIT_MAKER"),
    ]


def test_gap_cancels_every_order():
    engine = begun()
    engine.feed([feed_event("gap", 1_100_000, 3, 0, ())])
    assert [row[:2] for row in engine.advance(1_100_000)] == [("cancel", 1), ("cancel", 2)]
    assert engine.best == (0, 0)
    engine.closed(1, 1_150_000, False)
    engine.closed(2, 1_150_000, False)
    assert engine.open_orders == 0
    assert [reason_of(row) for row in engine.journal().orders][-1] == "epoch_break"


def test_what_follows_a_look_with_nothing_due_happens_at_its_own_instant():
    """So a replay, which knows the instants of steps, events and reports alone, has the same."""
    engine = begun()
    assert engine.advance(1_100_400) == []
    engine.feed([feed_event("gap", 1_100_000, 3, 0, ())])
    assert [row[:2] for row in engine.advance(1_100_500)] == [("cancel", 1), ("cancel", 2)]
    assert engine.journal().orders[-2:, 0].tolist() == [1_100_000] * 2


def test_no_order_is_sent_without_a_book():
    engine = begun()
    engine.feed([feed_event("gap", 1_100_000, 3, 0, ())])
    engine.advance(1_100_000)
    assert engine.advance(5 * SECOND_US) == []
    engine.feed([snapshot(5 * SECOND_US + 1)])
    assert [row[0] for row in engine.advance(5_250_000)] == ["place", "place"]


@pytest.mark.parametrize("end", ["filled", "closed", "rejected"])
def test_final_report_may_precede_acceptance(end):
    """The exchange reports on two channels, and either may be faster."""
    engine = live()
    engine.feed([snapshot(SECOND_US)])
    engine.advance(SECOND_US)
    if end == "filled":
        engine.filled(1, SECOND_US, 1, 100, 10, 0, 0, False)
    elif end == "closed":
        engine.closed(1, SECOND_US, True)
    else:
        engine.rejected(1, SECOND_US, "would_cross")
    engine.accepted(1, SECOND_US + 5)
    assert engine.open_orders == 1
    last = {"filled": "CLOSE_FILLED", "closed": "EXPIRE", "rejected": "REJECT"}[end]
    assert (last, 1, 1, 100) in orders_of(engine)


def test_reports_of_ended_orders_change_nothing():
    engine = begun()
    engine.closed(1, SECOND_US, False)
    before = engine.open_orders
    engine.closed(1, SECOND_US, False)
    engine.rejected(1, SECOND_US, "would_cross")
    engine.accepted(1, SECOND_US)
    engine.open_again(1)
    assert engine.open_orders == before == 1


def test_failed_cancel_is_sent_again_with_a_replacement():
    engine = begun()
    engine.feed([depth(1_100_000, (1, 101, 5))])
    engine.advance(1_250_000)
    engine.open_again(1)
    engine.rejected(3, 1_260_000, "price_rejected")
    assert engine.open_orders == 2
    assert [row[:2] for row in engine.advance(1_500_000)] == [("cancel", 1), ("place", 4)]


@given(lots=st.integers(1, 10), fee_lots=st.integers(0, 3), ticks=st.integers(1, 200))
def test_base_asset_commission_reduces_inventory(lots, fee_lots, ticks):
    """Position and cash equal the exchange's: all lots are paid for, and the commission is deducted."""
    engine = begun()
    cash = engine.cash
    fee_e8 = fee_lots * ticks * 1_000  # a tick·lot is 1,000 of 1e-8
    engine.filled(1, SECOND_US, 1, ticks, lots, fee_lots, fee_e8, False)
    assert engine.inventory_lots == lots - fee_lots
    assert cash - engine.cash == pytest.approx(lots * ticks * 1e-5, abs=1e-12)
    (fill,) = engine.journal().fills
    assert fill[[3, 4, 5, 8]].tolist() == [ticks, lots - fee_lots, fee_e8, lots - fee_lots]


def test_fill_of_unknown_order_is_booked_without_order_id():
    engine = begun()
    engine.filled(77, SECOND_US, -1, 102, 4, 1, 1_020, False)
    assert engine.inventory_lots == -5
    journal = engine.journal()
    assert journal.fills[0][[1, 2, 3, 4, 5, 8]].tolist() == [0, -1, 102, 5, 1_020, -5]
    assert journal.state[-1][[1, 2, 3]].tolist() == [-5, 102 * 5, 1_020]


def test_partial_fills_close_the_order_when_complete():
    engine = begun()
    engine.filled(1, SECOND_US, 1, 100, 4, 0, 0, False)
    engine.filled(1, SECOND_US, 1, 100, 6, 0, 0, True)
    assert engine.open_orders == 1
    journal = engine.journal()
    assert [action_of(row) for row in journal.orders][-3:] == ["FILL", "FILL", "CLOSE_FILLED"]
    assert [journal.fill_reasons[row[6]] for row in journal.fills] == ["exchange:maker", "exchange:taker"]


def test_fill_rows_contain_time_of_acceptance():
    """The PLACE row has none, since it was not known at that time."""
    engine = live()
    engine.feed([snapshot(SECOND_US)])
    engine.advance(SECOND_US)
    engine.accepted(1, SECOND_US + 5)
    engine.filled(1, SECOND_US + 9, 1, 100, 4, 0, 0, False)
    engine.filled(1, SECOND_US + 10, 1, 100, 6, 0, 0, False)
    rows = [row for row in engine.journal().orders if row[1] == 1]
    assert [(action_of(row), *row[5:9].tolist()) for row in rows] == [
        ("PLACE", 100, 10, 10, -1),
        ("FILL", 100, 10, 6, SECOND_US + 5),
        ("FILL", 100, 10, 0, SECOND_US + 5),
        ("CLOSE_FILLED", 100, 10, 0, SECOND_US + 5),
    ]


def test_orders_are_limited_by_exchange_balances():
    engine = live(enforce_balances=True)
    engine.funds(9, 10**8)  # nine lots: an ask is ten
    engine.feed([snapshot(SECOND_US)])
    assert [row[2] for row in engine.advance(SECOND_US)] == [1]
    assert reason_of(engine.journal().orders[-1]) == "insufficient_inventory"
    engine.funds(10, 10_010 * 100)  # 0.01001: a bid of ten lots at 1.00 costs 0.01 and its fee
    assert [row[2] for row in engine.advance(1_250_000)] == [-1]


def test_bid_exceeding_cash_is_not_sent():
    engine = live(enforce_balances=True)
    engine.funds(1_000, 10**6 - 1)
    engine.feed([snapshot(SECOND_US)])
    assert [row[2] for row in engine.advance(SECOND_US)] == [-1]
    assert "insufficient_cash" in {reason_of(row) for row in engine.journal().orders}


def test_replaced_order_pays_for_its_replacement():
    """The balance covers one bid and one ask: each moves with the market, none is skipped."""
    engine = live(enforce_balances=True)
    engine.funds(10, 10_020 * 100)
    engine.feed([snapshot(SECOND_US)])
    assert [row[:3] for row in engine.advance(SECOND_US)] == [("place", 1, 1), ("place", 2, -1)]
    engine.accepted(1, SECOND_US)
    engine.accepted(2, SECOND_US)
    engine.feed([snapshot(SECOND_US + 1, bid=99, ask=101)])
    moved = [row[:3] for row in engine.advance(1_250_000)]
    assert moved == [("cancel", 1, 1), ("place", 3, 1), ("cancel", 2, -1), ("place", 4, -1)]
    assert {action_of(row) for row in engine.journal().orders} == {"PLACE", "CANCEL_REQ"}


def test_instants_never_decrease():
    engine = begun()
    engine.advance(2 * SECOND_US)
    engine.accepted(1, 0)
    engine.filled(1, 0, 1, 100, 10, 0, 0, False)
    assert engine.journal().fills[0][0] == 2 * SECOND_US
    assert engine.now_us == 2 * SECOND_US


def test_each_requote_is_recorded_as_decision():
    engine = begun(decisions=True)
    engine.feed([depth(1_100_000, (1, 101, 5), seq=9)])
    engine.advance(1_250_000)
    assert engine.decisions == 2
    rows = engine.journal().decisions[:, :8].tolist()
    assert rows == [
        [SECOND_US, 1, 100, 102, 100, 10, 102, 10],
        [1_250_000, 9, 101, 102, 101, 10, 102, 10],
    ]


def test_malformed_event_raises_usage_error():
    engine = begun()
    with pytest.raises(UsageError, match="side of"):
        engine.feed([depth(2 * SECOND_US, (0, 1, 1))])
    assert engine.best == (100, 102)


def test_fill_before_first_book_is_preceded_by_state_row():
    engine = live()
    engine.filled(0, SECOND_US, 1, 100, 7, 0, 0, False)
    engine.feed([snapshot(2 * SECOND_US)])
    engine.advance(3 * SECOND_US)
    assert engine.journal().state[:2, 1].tolist() == [0, 7]


@pytest.mark.parametrize("modifies", [False, True])
@pytest.mark.parametrize("held", [4, -4])
@pytest.mark.parametrize("lots", [1, 3, 9])
def test_reduce_only_leaves_the_side_that_reduces(held, lots, modifies):
    """Orders of the other side end, and no order is larger than what is held; afterwards both sides are quoted."""
    us, open_ = 1_000 * SECOND_US, {}
    engine = live(quote_lots=lots, order_modify=modifies)

    def play(seconds):
        nonlocal us
        asked = set()
        for _ in range(4 * seconds):
            us += 250_000
            for action, number, side, _, qty, _ in engine.advance(us):
                if action == "place":
                    open_[number] = side, qty
                    engine.accepted(number, us)
                    asked.add((side, qty))
                else:
                    assert action == "cancel"
                    del open_[number]
                    engine.closed(number, us, False)
        return asked

    engine.feed([snapshot(us)])
    play(1)
    assert sorted(open_.values()) == [(-1, lots), (1, lots)]
    engine.filled(0, us, 1 if held > 0 else -1, 101, abs(held), 0, 0, False)
    engine.reduce_only(True, us)
    play(1)
    reducing = -1 if held > 0 else 1
    assert list(open_.values()) == [(reducing, min(lots, abs(held)))]
    assert "reduce_only" in engine.manager.withheld_for
    engine.feed([depth(us, (1, 100, 0), (-1, 102, 0), (1, 99, 5), (-1, 101, 5))])
    asked = play(1)
    assert asked == {(reducing, min(lots, abs(held)))}
    ((number, (side, qty)),) = open_.items()
    engine.filled(number, us, side, 101, qty, 0, 0, False)
    del open_[number]
    play(1)
    left = abs(held) - qty
    assert list(open_.values()) == ([(reducing, min(lots, left))] if left else [])
    engine.reduce_only(False, us)
    play(1)
    assert {side for side, _ in open_.values()} == {1, -1}
