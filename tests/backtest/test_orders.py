"""Orders of every kind, and every race in an order's life, computed by hand.

The book at 0: bids 10 lots at 100 and 20 at 99, asks 10 at 102 and 20 at 103.
"""

import pytest
from fill_lab import ASKS, BEGIN_US, BIDS, TEST, depth, sold
from hypothesis import given
from hypothesis import strategies as st

from mm import PaperExchange, Quotes, Rules, Tape
from mm.backtest.fills.base import QueueBack, TradeCross
from mm.backtest.journal import ACTIONS, CANCEL_REASONS, REJECT_REASONS, STATUSES
from mm.backtest.quotes.simple import FixedSpread
from mm.backtest.quotes.steps import FushimiSize
from mm.errors import ModelError, UsageError

LATENCY, CANCEL = 100, 60
END = (10_000, "depth", [(98, 1)], [])


class NoQuotes:
    """A quote model without quotes: all orders are placed manually."""

    def quote(self, _view):
        return None


class Desk:
    """An exchange with the book above, advanced step by step; times count from the snapshot."""

    def __init__(self, events=(), *, fills=None, quotes=None, **rules):
        all_events = [(BEGIN_US, "snapshot", BIDS, ASKS), *((BEGIN_US + us, *rest) for us, *rest in (*events, END))]
        terms = {
            "order_latency_us": LATENCY,
            "cancel_latency_us": CANCEL,
            "enforce_balances": False,
            "requote_on_fill": False,
            "taker_fee_e8": 200_000,
        }
        self.exchange = PaperExchange(
            quotes or NoQuotes(), fills or TradeCross(), Rules(TEST.tick_e8, TEST.lot_e8, **(terms | rules))
        )
        self.exchange.attach(Tape.of(TEST, all_events))
        self.to(0)

    def to(self, us):
        self.exchange.advance(BEGIN_US + us)
        return self

    def place(self, *order):
        return self.exchange.place(*order)

    def end(self):
        """Return the rows of orders and the fills, with times counted from the snapshot."""
        self.to(10_000)
        journal = self.exchange.journal()
        orders = [
            (
                us - BEGIN_US,
                number,
                ACTIONS[action],
                STATUSES[status],
                left,
                REJECT_REASONS[reject] or CANCEL_REASONS[cancel],
            )
            for us, number, action, status, _, _, _, left, *_, reject, cancel in journal.orders.tolist()
        ]
        fills = [
            (us - BEGIN_US, ticks, lots, journal.fill_reasons[reason])
            for us, _, _, ticks, lots, _, reason, *_ in journal.fills.tolist()
        ]
        self.fees_e8 = [row[5] for row in journal.fills.tolist()]
        self.state = journal.state.tolist()
        return orders, fills


def actions(orders):
    return [(us, action, status) for us, _, action, status, *_ in orders]


# Kinds


def test_taking_order_walks_the_book_and_pays_taker_fees():
    """10 at 102 and 3 at 103, each at its own price, at 0.2 % rather than 0.1 %."""
    desk = Desk()
    desk.place(1, 105, 13, "LIMIT")
    _, fills = desk.end()
    assert fills == [(100, 102, 10, "taker:book"), (100, 103, 3, "taker:book")]
    unit_e16 = TEST.tick_e8 * TEST.lot_e8
    assert desk.fees_e8 == [102 * 10 * unit_e16 * 200_000 // 10**16, round(103 * 3 * unit_e16 * 200_000 / 10**16)]
    assert desk.state[-1][1] == 13
    assert desk.state[-1][2] == -(102 * 10 + 103 * 3)


def test_rest_of_market_order_larger_than_the_book_expires():
    """The bids hold 30."""
    desk = Desk()
    desk.place(-1, 0, 40, "MARKET")
    orders, fills = desk.end()
    assert sum(fill[2] for fill in fills) == 30
    assert (orders[-1][2], orders[-1][4]) == ("EXPIRE", 10)


def test_order_executes_against_the_book_at_arrival():
    """The ask moves away while the order is in transit."""
    desk = Desk([depth(50, asks=[(102, 0)])])
    desk.place(1, 102, 5, "IOC")
    orders, fills = desk.end()
    assert fills == []
    assert orders[-1][2] == "EXPIRE"


# Races


def test_order_fills_while_its_cancel_is_in_transit():
    """Requested at 500, effective at 560; the seller at 550 still trades with us."""
    desk = Desk([sold(550, 100, 2)])
    number = desk.place(1, 100, 5)
    assert desk.to(500).exchange.cancel(number)
    orders, fills = desk.end()
    assert fills == [(550, 100, 2, "trade_cross:trade")]
    assert actions(orders) == [
        (0, "PLACE", "SENT"),
        (500, "CANCEL_REQ", "CANCELLING"),
        (550, "FILL", "CANCELLING"),
        (560, "CANCEL_ACK", "CANCELLED"),
    ]
    assert orders[-1][4:] == (3, "asked")


def test_cancel_of_a_filled_order_is_not_acknowledged():
    """The cancel in transit finds no order."""
    desk = Desk([sold(550, 100, 5)])
    number = desk.place(1, 100, 5)
    desk.to(500).exchange.cancel(number)
    orders, _ = desk.end()
    assert actions(orders)[-2:] == [(550, "FILL", "FILLED"), (550, "CLOSE_FILLED", "FILLED")]


def test_cancel_does_not_overtake_its_order():
    """Requested at 10, it would be effective at 70; the order arrives at 100 and is cancelled there."""
    desk = Desk([sold(100, 100, 5)])
    number = desk.place(1, 100, 5)
    assert desk.to(10).exchange.cancel(number)
    orders, fills = desk.end()
    assert fills == []
    assert actions(orders) == [
        (0, "PLACE", "SENT"),
        (10, "CANCEL_REQ", "SENT"),
        (100, "CANCEL_ACK", "CANCELLED"),
    ]


def test_ioc_order_takes_before_its_own_cancel():
    """It takes on arrival; nothing is left to cancel."""
    desk = Desk()
    number = desk.place(1, 102, 5, "IOC")
    desk.to(10).exchange.cancel(number)
    _, fills = desk.end()
    assert fills == [(100, 102, 5, "taker:book")]


def test_expiring_order_does_not_fill_at_the_same_time():
    """Our messages precede market events of the same time."""
    desk = Desk([sold(400, 100, 5)], ttl_us=300)
    desk.place(1, 100, 5)
    orders, fills = desk.end()
    assert fills == []
    assert actions(orders)[-1] == (400, "EXPIRE", "EXPIRED")


def test_cancel_of_cancelled_filled_or_unknown_order_returns_false():
    """One request is enough."""
    desk = Desk([sold(200, 100, 5)])
    first, second = desk.place(1, 100, 5), desk.place(1, 99, 5)
    desk.to(300)
    assert not desk.exchange.cancel(first)
    assert desk.exchange.cancel(second)
    assert not desk.exchange.cancel(second)
    assert not desk.exchange.cancel(99)


# Amendments


def test_amendment_keeps_the_queue_position():
    """Ten ahead; amended from 5 to 2, lots 11 and 12 of a print are ours and the 13th is not."""
    desk = Desk([sold(500, 100, 20)], fills=QueueBack())
    number = desk.place(1, 100, 5)
    assert desk.to(200).exchange.amend(number, 2)
    orders, fills = desk.end()
    assert fills == [(500, 100, 2, "queue:trade")]
    assert (300, number, "AMEND", "LIVE", 2, "") in orders


SIZES = {"order_latency_us": st.sampled_from([0, 1, 50, 130]), "cancel_latency_us": st.sampled_from([0, 1, 60])}
PRINTS = st.tuples(st.sampled_from([10, 60, 100, 250]), st.sampled_from([-1, 1]), st.integers(0, 2), st.integers(1, 9))


@pytest.mark.slow
@given(st.lists(PRINTS, max_size=25), st.sampled_from([0.1, 0.5, 1.0]), st.fixed_dictionaries(SIZES))
def test_skipped_requotes_would_amend_nothing(prints, eta, latencies):
    """A compiled model whose quotes shrink with the inventory sends the same orders when every requote is made."""
    us, events = 0, []
    for pause_us, side, beyond, lots in prints:
        us += pause_us
        events.append((us, "trade", side, (102 + beyond) if side > 0 else 100 - beyond, lots))
    results = []
    for decisions in (False, True):
        model = FushimiSize(FixedSpread(delta_ticks=2), eta=eta)
        rules = {"quote_lots": 8, "requote_us": 100, "requote_on_fill": True, "order_amend": True}
        desk = Desk(events, quotes=model, decisions=decisions, **(rules | latencies))
        results.append(desk.end())
    assert results[0] == results[1]


# Money


def test_orders_in_transit_reserve_cash():
    """Two buys at one time cannot spend the same cash."""
    unit_e16 = TEST.tick_e8 * TEST.lot_e8
    desk = Desk(enforce_balances=True, start_cash_e8=100 * 15 * unit_e16 // 10**8)
    assert desk.place(1, 100, 10)
    assert not desk.place(1, 100, 10)
    orders, _ = desk.end()
    assert (orders[-1][2], orders[-1][-1]) == ("SKIP", "insufficient_cash")


# Quote models


class Taker:
    """Buy once at the best ask, and record the worst-case positions."""

    def __init__(self, kind):
        self.kind, self.positions = kind, []

    def quote(self, view):
        self.positions.append((view.inventory_lots, view.most_lots, view.least_lots))
        return Quotes(view.ask_ticks, None, 4, bid_kind=self.kind) if len(self.positions) == 1 else None


@pytest.mark.parametrize("kind", ["LIMIT", "IOC", "FOK", "MARKET"])
def test_quote_model_may_take(kind):
    """At 0 it quotes at the best ask; at 1000 it has the inventory."""
    model = Taker(kind)
    desk = Desk(quotes=model, requote_us=1_000, order_latency_us=50)
    _, fills = desk.end()
    assert fills == [(50, 102, 4, "taker:book")]
    assert model.positions[:2] == [(0, 0, 0), (4, 4, 4)]


def test_orders_in_transit_count_in_worst_case_positions():
    """5 sent to buy, 3 resting to sell: at worst 5 long or 3 short."""
    model = Taker("LIMIT_MAKER")
    desk = Desk(quotes=model, requote_us=1_000)
    desk.place(-1, 103, 3)
    desk.to(950).place(1, 99, 5)
    desk.end()
    assert model.positions[1] == (0, 5, -3)


def test_unknown_order_kind_is_rejected_by_name():
    """The message contains model, value and allowed values."""
    with pytest.raises(ModelError, match=r"Taker.quote returned bid_kind='STOP'; it must be one of LIMIT_MAKER, LIMIT"):
        Desk(quotes=Taker("STOP"))
    with pytest.raises(UsageError, match="kind is one of LIMIT_MAKER"):
        Desk().place(1, 100, 5, "STOP")


@pytest.mark.parametrize(
    ("ticks", "lots", "action"),
    [
        (100, 10**15, "PLACE"),
        (100, 10**15 + 1, None),
        (10**15, 340_282_366_921, "SKIP"),
        (4 * 10**5, 10**12, "PLACE"),
        (5 * 10**5, 10**12, "SKIP"),
    ],
)
def test_orders_beyond_64_bits_are_not_sent(ticks, lots, action):
    """Products of tick·lots, or of the quote asset's 1e-8, that exceed 64 bits would be wrong silently."""
    desk = Desk()
    if action is None:
        with pytest.raises(UsageError, match="ticks and lots are 0 to"):
            desk.place(-1, ticks, lots)
        return
    desk.place(-1, ticks, lots)
    orders, _ = desk.end()
    assert (orders[0][2], orders[0][-1]) == (action, "quantity_out_of_range" if action == "SKIP" else "")


def test_each_of_many_open_orders_ends_once():
    """Memory is freed when the oldest orders have ended and most of the others still rest."""
    desk = Desk()
    ids = [desk.place(1, 90 + number % 10, 1) for number in range(60)]
    desk.to(500)
    assert all(desk.exchange.cancel(number) for number in ids[:20])
    desk.to(1_000)
    ids += [desk.place(-1, 103 + number % 10, 1) for number in range(40)]
    desk.to(2_000)
    assert all(desk.exchange.cancel(number) for number in ids[20:])
    orders, _ = desk.end()
    assert [number for _, number, action, *_ in orders if action == "CANCEL_ACK"] == ids
