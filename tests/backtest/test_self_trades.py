"""Our own orders meet each other as at the exchange: on paper, in the matching of the exchange in a box, by hand.

The book by hand is that of test_orders.py: bids 10 lots at 100 and 20 at 99, asks 10 at 102 and 20 at 103.
"""

import pytest
from fill_lab import BEGIN_US, TEST, depth
from hypothesis import given
from hypothesis import strategies as st
from test_orders import Desk

from mm import PaperExchange, Quotes, Rules, Tape
from mm.backtest.fills.base import QueueBack, TradeCross
from mm.backtest.journal import ACTIONS, CANCEL_REASONS, KINDS
from mm.backtest.quotes.simple import FixedSpread
from mm.sim.matching._core import Matching
from mm.sim.matching.order_log import ROW_EXPIRE

OTHERS, US, EXPIRE_MAKER, REASON_STP = 1, 2, 2, 3
OPEN = {"PLACE", "FILL", "AMEND"}
MARKET = ([(100, 7), (98, 4)], [(104, 6), (105, 3), (108, 9)])
TOTAL = sum(lots for levels in MARKET for _, lots in levels)


def ends(orders):
    """Return number, action and reason of orders that ended unfilled."""
    return [
        (number, action, why) for _, number, action, *_, why in orders if action in ("EXPIRE", "REJECT", "CANCEL_ACK")
    ]


def two_sided(first, second, *, cancels=False, fills=None, **rules):
    """Return the ends and fills of two orders, the second sent when the first rests, or is being cancelled."""
    desk = Desk(fills=fills, **rules)
    number = desk.place(*first)
    desk.to(200)
    if cancels:
        assert desk.exchange.cancel(number)
    desk.place(*second)
    orders, filled = desk.end()
    return ends(orders), filled


@pytest.mark.parametrize("cancels", [False, True])
@pytest.mark.parametrize(("first", "second"), [((-1, 101, 5), (1, 101, 5)), ((1, 101, 5), (-1, 101, 3))])
def test_post_only_order_that_would_meet_our_own_is_rejected(first, second, cancels):
    """Also while the cancel of that one is under way."""
    found, filled = two_sided(first, second, cancels=cancels, cancel_latency_us=500)
    expected = [(2, "REJECT", "would_cross"), *([(1, "CANCEL_ACK", "asked")] if cancels else [])]
    assert (found, filled) == (expected, [])


@pytest.mark.parametrize("kind", ["LIMIT", "IOC", "FOK", "MARKET"])
def test_taking_order_ends_ours_first_and_takes_from_the_market(kind):
    """Our ask of 5 at 101 is better than the market's 102."""
    found, filled = two_sided((-1, 101, 5), (1, 0 if kind == "MARKET" else 102, 4, kind))
    assert found == [(1, "EXPIRE", "self_trade")]
    assert filled == [(300, 102, 4, "taker:book")]


def test_limit_order_that_meets_ours_alone_rests():
    """Nothing of the market is at its price."""
    found, filled = two_sided((-1, 101, 5), (1, 101, 4, "LIMIT"))
    assert (found, filled) == ([(1, "EXPIRE", "self_trade")], [])


def test_order_that_is_filled_before_it_reaches_ours_leaves_it():
    """Ten lots at 102 are before our ask at 103; eleven meet it."""
    assert two_sided((-1, 103, 5), (1, 103, 10, "IOC"))[0] == []
    assert two_sided((-1, 103, 5), (1, 103, 11, "IOC"))[0] == [(1, "EXPIRE", "self_trade")]


def test_place_in_the_queue_says_whether_ours_is_met_at_its_own_price():
    """Behind the 10 lots at 102 for a model with a queue, before them for one without."""
    assert two_sided((-1, 102, 5), (1, 102, 10, "IOC"), fills=QueueBack())[0] == []
    assert two_sided((-1, 102, 5), (1, 102, 10, "IOC"))[0] == [(1, "EXPIRE", "self_trade")]


def test_fill_or_kill_that_the_market_cannot_fill_ends_nothing_of_ours():
    """Our own lots count for nothing."""
    found, filled = two_sided((-1, 101, 5), (1, 102, 11, "FOK"))
    assert (found, filled) == ([(2, "EXPIRE", "")], [])


def test_measured_orders_do_not_meet():
    """The bids and asks of a calibration are hypothetical."""
    assert two_sided((-1, 101, 5), (1, 101, 5), own_orders_meet=False)[0] == []


class Jumps:
    """Quotes at 101 and 103, then at 104 and 106: the new bid is above the old ask, whose cancel is slow."""

    def quote(self, view):
        return Quotes(101, 103) if view.bid_ticks < 102 else Quotes(104, 106)


def test_quote_that_met_our_own_is_sent_again_when_that_has_ended():
    """The cancel takes 500 µs, the order 100: rejected, withheld, then sent though the touch has not moved."""
    jump = [depth(1_000, bids=[(102, 9), (103, 9)], asks=[(102, 0), (103, 0), (110, 9)])]
    desk = Desk(jump, quotes=Jumps(), requote_us=1_000, cancel_latency_us=500, requote_on_fill=True)
    orders, _ = desk.end()
    bids = [
        (us, action, why)
        for us, _, action, _, _, why in orders
        if us >= 1_000 and action in ("PLACE", "REJECT", "SKIP")
    ]
    assert bids[:5] == [
        (1_000, "PLACE", ""),
        (1_000, "PLACE", ""),
        (1_100, "REJECT", "would_cross"),
        (1_100, "SKIP", "price_rejected"),
        (2_000, "PLACE", ""),
    ]


class Box:
    """The market and our orders in the matching core of the exchange in a box."""

    def __init__(self):
        self.core = Matching()
        for side, levels in zip((1, -1), MARKET, strict=True):
            for ticks, lots in levels:
                self.core.submit(0, OTHERS, side, ticks, lots)
        self.core.take_log()
        self.number = {}

    def place(self, number, side, ticks, lots, kind):
        made = self.core.submit(0, US, side, ticks, lots, KINDS_THERE[kind], EXPIRE_MAKER)
        self.number[number] = made

    def state(self):
        """Return what is left of each resting order of ours, and the lots that the market has left, by price."""
        own = {
            number: found[3] for number, made in self.number.items() if made > 0 and (found := self.core.order(made))
        }
        market = {ticks: lots for side in (1, -1) for _, who, ticks, lots in self.core.orders(side) if who == OTHERS}
        return own, market


KINDS_THERE = {"LIMIT_MAKER": 1, "LIMIT": 0, "IOC": 2, "FOK": 3, "MARKET": 4}


def order(draw):
    """Return an order; a post-only one never crosses what was displayed, of which our own takes are not taken off."""
    kind, side = draw(st.sampled_from(KINDS)), draw(st.sampled_from([1, -1]))
    low, high = (97 if side > 0 else 101, 103 if side > 0 else 109) if kind == "LIMIT_MAKER" else (97, 109)
    return side, 0 if kind == "MARKET" else draw(st.integers(low, high)), draw(st.integers(1, 9)), kind


@given(st.data())
def test_paper_ends_the_same_orders_as_the_box(data):
    """Random orders of every kind, cancels and amendments, at a market of which only we take."""
    rules = Rules(TEST.tick_e8, TEST.lot_e8, order_latency_us=0, cancel_latency_us=0, enforce_balances=False)
    book = [(BEGIN_US, "snapshot", *MARKET), (BEGIN_US + 10**6, "depth", [(1, 1)], [])]
    paper, box = PaperExchange(NoQuotes(), QueueBack(), rules), Box()
    paper.attach(Tape.of(TEST, book))
    paper.advance(BEGIN_US)
    quantity = {}
    for step in range(1, data.draw(st.integers(1, 14)) + 1):
        ours, _ = box.state()
        act = data.draw(st.sampled_from(["place", "place", "place", "cancel", "amend"])) if ours else "place"
        if act == "place":
            wanted = order(data.draw)
            number = paper.place(*wanted)
            quantity[number] = wanted[2]
            box.place(number, *wanted)
        else:
            number = data.draw(st.sampled_from(sorted(ours)))
            if act == "cancel":
                assert paper.cancel(number)
                box.core.cancel(0, box.number[number])
            elif ours[number] > 1:
                less = data.draw(st.integers(1, ours[number] - 1))
                quantity[number] -= ours[number] - less
                assert paper.amend(number, quantity[number])
                box.core.reduce(0, box.number[number], less)
        paper.advance(BEGIN_US + step)
    journal, (ours, market) = paper.journal(), box.state()
    last = {row[1]: (ACTIONS[row[2]], row[7], CANCEL_REASONS[row[13]]) for row in journal.orders.tolist()}
    assert {number: left for number, (action, left, _) in last.items() if action in OPEN} == ours
    prevented = {row[2] for row in box.core.take_log().tolist() if row[1] == ROW_EXPIRE and row[3] == REASON_STP}
    assert {box.number[number] for number, (_, _, why) in last.items() if why == "self_trade"} == prevented
    assert sum(row[4] for row in journal.fills.tolist()) == TOTAL - sum(market.values())


class NoQuotes:
    def quote(self, _view):
        return None


class Centred:
    """The quotes of ``fixed_spread``, asked at each requote."""

    def quote(self, view):
        return Quotes(view.mid2_ticks / 2 - 1, view.mid2_ticks / 2 + 1)


def test_price_refused_because_of_our_own_order_is_sent_again_once_that_has_ended():
    """Best prices are as before then; a model of which such calls are skipped sends the same orders as any other."""
    events = [
        (BEGIN_US, "snapshot", [(99, 9)], [(101, 9)]),
        (BEGIN_US + 1_000_000, "depth", [(109, 9)], [(101, 0), (111, 9)]),  # our ask at 101 is behind the bid at 109
        (BEGIN_US + 3_000_000, "trade", 1, 111, 1),
    ]
    tape, rules = Tape.of(TEST, events), {"order_latency_us": 10_000, "cancel_latency_us": 100_000, "start_lots": 99}
    sent = []
    for model in (FixedSpread(delta_ticks=1), Centred()):
        exchange = PaperExchange(model, TradeCross(), Rules(TEST.tick_e8, TEST.lot_e8, **rules))
        exchange.run(tape)
        rows = exchange.journal().orders.tolist()
        sent.append([(row[0] - BEGIN_US, ACTIONS[row[2]], row[5]) for row in rows if row[4] == 1 and row[5] == 109])
    assert sent[0] == sent[1]
    assert [action for _, action, _ in sent[0]] == ["PLACE", "REJECT", "SKIP", "PLACE"]
