"""Strategies that send their orders themselves: states, refusals, timers, errors, and equality with quote models."""

import dataclasses
import gc
import weakref

import numpy as np
import pytest
from fill_lab import ASKS, BEGIN_US, BIDS, TEST, depth, sold
from test_glft_grid import RULES, market

from benchmarks.grid_models import Grid, GridOrders
from mm import PaperExchange, Quotes, Rules, Tape, backtest
from mm.backtest.fills.intensity import Intensity
from mm.backtest.journal import ACTIONS
from mm.backtest.models import queue_prob_power, trade_cross
from mm.backtest.quotes.steps import Gated
from mm.errors import ModelError, UsageError
from mm.instrument import Instrument

LATENCY, CANCEL, EVERY = 100, 60, 1_000
END = (20_000, "depth", [(98, 1)], [])
SKIP = ACTIONS.index("SKIP")
REASONS = (12, 13)  # columns of orders: why it was rejected, why it was cancelled


class Scripted:
    """Runs one function per call, in order, and notes what it saw."""

    def __init__(self, *acts, **members):
        self.acts, self.calls, self.seen, self.orders = list(acts), [], [], None
        vars(self).update(members)

    def on_event(self, market, orders):
        self.orders = orders
        self.calls.append(market.us - BEGIN_US)
        self.seen.append([(order.id, order.status, order.left_lots) for order in orders])
        return self.acts.pop(0)(market, orders) if self.acts else None


def play(strategy, *events, fills=None, **rules):
    """Return the journal of a strategy on the book of `fill_lab`; instants count from its snapshot."""
    tape = Tape.of(
        TEST, [(BEGIN_US, "snapshot", BIDS, ASKS), *((BEGIN_US + us, *rest) for us, *rest in (*events, END))]
    )
    terms = {
        "order_latency_us": LATENCY,
        "cancel_latency_us": CANCEL,
        "requote_us": EVERY,
        "enforce_balances": False,
        "quote_lots": 4,
    }
    exchange = PaperExchange(strategy, fills or trade_cross(), Rules(TEST.tick_e8, TEST.lot_e8, **(terms | rules)))
    exchange.run(tape)
    return exchange.journal()


def nothing(market, orders):
    pass


def test_states_of_an_order_from_sending_to_its_fill():
    """It is called on the grid, after each fill, and after the end of an order; fills and ends are those since then."""
    noted = []
    strategy = Scripted(
        lambda _, orders: orders.submit(1, 100, 10, client_id="bid"),
        nothing,
        lambda _, orders: noted.append((orders.fills, orders.ended, orders["bid"])),
        nothing,
        lambda _, orders: noted.append((orders.fills, orders.ended, orders.get("bid"))),
    )
    play(strategy, sold(1_500, 99, 4), sold(2_500, 99, 40))
    assert strategy.calls[:5] == [0, 1_000, 1_500, 2_000, 2_500]
    assert strategy.seen[:5] == [[], [(1, "LIVE", 10)], [(1, "LIVE", 6)], [(1, "LIVE", 6)], []]
    (first, ended, order), (last, ends, gone) = noted
    assert [(fill.order_id, fill.lots, fill.left_lots) for fill in (*first, *last)] == [(1, 4, 6), (1, 6, 0)]
    assert (ended, ends, gone) == ([], [order], None)
    assert (order.status, order.lots, order.filled_lots, order.end_us, order.is_open) == (
        "FILLED",
        10,
        10,
        BEGIN_US + 2_500,
        False,
    )


def test_cancel_is_pending_until_the_exchange_acknowledges_it():
    results = []
    strategy = Scripted(
        lambda _, orders: orders.submit(1, 99, client_id="bid"),
        lambda _, orders: results.extend([orders.cancel("bid"), orders.cancel("bid"), orders["bid"].status]),
        lambda _, orders: results.extend([orders.ended[0].status, len(orders), orders.ended[0].cancel()]),
    )
    play(strategy)
    assert strategy.calls[:4] == [0, 1_000, 1_000 + CANCEL, 2_000]
    assert results == [True, False, "CANCELLING", "CANCELLED", 0, False]


def test_amend_keeps_the_order_and_only_lowers_its_quantity():
    results = []

    def amend(market, orders):
        order = orders["ask"]
        results.append(orders.amend(order, 3))
        results.append(order.amend(2))  # one is pending
        for lots in (10, 0, 10.5):
            with pytest.raises(ValueError, match="must be below 10 and above 0 lots"):
                order.amend(lots)

    strategy = Scripted(
        lambda _, orders: orders.submit(-1, 103, 10, client_id="ask"),
        amend,
        lambda _, orders: results.append((orders["ask"].lots, orders["ask"].left_lots)),
    )
    play(strategy, order_amend=True)
    assert results == [True, False, (3, 3)]


def test_a_taking_order_fills_and_its_rest_expires():
    noted = []
    strategy = Scripted(
        lambda _, orders: orders.submit(1, 102, 15, "IOC"),
        lambda _, orders: noted.extend([*orders.fills, *orders.ended]),
    )
    play(strategy)
    fill, order = noted
    assert (fill.took, fill.lots, order.status, order.filled_lots, order.left_lots) == (True, 10, "EXPIRED", 10, 5)


def test_a_rejected_and_a_refused_order_say_why():
    """A rejection is the exchange's answer, a refusal is that of our own checks: nothing is sent."""
    orders_seen = []
    strategy = Scripted(
        lambda _, orders: orders_seen.append(orders.submit(1, 103)),
        lambda _, orders: orders_seen.append(orders.submit(1, 99, 1_000)),
    )
    play(strategy, enforce_balances=True, start_lots=0, start_cash_e8=500_000)
    crossing, dear = orders_seen
    assert (crossing.status, crossing.reason, crossing.end_us) == ("REJECTED", "would_cross", BEGIN_US + LATENCY)
    assert (dear.status, dear.reason, dear.id) == ("REFUSED", "insufficient_cash", 0)


def test_wakes_at_an_instant_at_a_best_price_and_cancels_at_until():
    def first(market, orders):
        orders.submit(1, 99, until_us=market.us + 700)
        orders.wake(market.us + 300)
        orders.wake(market.us + 250)
        orders.wake_on_best()

    strategy = Scripted(first)
    play(strategy, depth(120, [(101, 5)]))
    assert strategy.calls[:4] == [0, 120, 700, 700 + CANCEL]


def test_orders_and_market_are_of_the_call_only():
    kept = Scripted()
    play(kept)
    with pytest.raises(RuntimeError, match="outside of on_event"):
        kept.orders.submit(1, 99)


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (lambda _, orders: orders.cancel("x"), "there is no open order 'x'; open are none"),
        (lambda _, orders: orders.submit(2, 99), "side=2; it must be"),
        (lambda _, orders: orders.submit(1, float("nan")), "ticks=nan"),
        (lambda market, orders: orders.submit(1, market.bid_ticks * market.tick), "ticks=1, a price near the market's"),
        (lambda _, orders: orders.submit(1, 99, 0), "lots=0; it must be a number of lots above 0"),
        (lambda _, orders: orders.submit(1, 99, kind="GTC"), "kind='GTC'; it must be one of LIMIT_MAKER"),
        (lambda _, orders: [orders.submit(1, 99, client_id="a") for _ in range(2)], "client_id='a': <order 1 'a'"),
        (lambda market, orders: orders.wake(market.us), "it must be a later instant"),
        (lambda _, orders: orders.submit(1, 99, until_us=5), "until_us=5"),
        (lambda _, __: Quotes(99, 103), "on_event returned Quotes"),
        (lambda _, __: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_errors_of_a_strategy_name_its_line(act, text):
    with pytest.raises(ModelError) as raised:
        play(Scripted(act))
    assert text in str(raised.value)
    assert "returned" in text or "test_strategy.py:" in str(raised.value)


def test_amend_of_a_filled_order_is_an_error():
    kept = []
    strategy = Scripted(
        lambda _, orders: kept.append(orders.submit(1, 102, 4, "IOC")),
        lambda _, __: kept[0].amend(2),
    )
    with pytest.raises(ModelError, match=r"test_strategy.py:\d+: .*FILLED, 0 left> has ended and cannot be amended"):
        play(strategy)


def test_a_shallow_strategy_sends_makers_only():
    with pytest.raises(ModelError, match="remove `depth = False`"):
        play(Scripted(lambda _, orders: orders.submit(1, 102, kind="IOC"), depth=False))


def test_a_class_is_either_a_strategy_or_a_quote_model():
    both = Scripted(quote=nothing)
    with pytest.raises(UsageError, match="both quote"):
        play(both)
    with pytest.raises(UsageError, match="QUOTE_LEVELS=3"):
        play(Scripted(), quote_levels=3, level_step_ticks=1)


def test_a_gap_withdraws_every_order():
    """Without a book the strategy is not called; afterwards its orders have ended."""
    ended = []
    strategy = Scripted(
        lambda _, orders: orders.submit(1, 99, client_id="a"),
        lambda _, orders: ended.extend(orders.ended),
    )
    play(strategy, (500, "gap"), (4_500, "snapshot", BIDS, ASKS))
    assert [call for call in strategy.calls if 500 <= call < 4_500] == []
    assert [(order.client_id, order.status) for order in ended] == [("a", "CANCELLED")]


def test_a_run_leaves_nothing_behind():
    strategy = Scripted(lambda _, orders: orders.submit(1, 99))
    play(strategy)
    watched = weakref.ref(strategy)
    del strategy
    gc.collect()
    assert watched() is None


class Managed:
    """A twin of the order manager: one order per side, moved to the prices of a quote model, as `adjust` does."""

    def __init__(self, model, every_us):
        self.model, self.every_us, self.begun_us = model, every_us, None
        self.current = {1: None, -1: None}

    def on_event(self, market, orders):
        if self.begun_us is None:
            self.begun_us = market.us
        rejected = any(order.status == "REJECTED" for order in orders.ended)
        if (market.us - self.begun_us) % self.every_us and not orders.fills and not rejected:
            return  # only the end of a cancelled order: a quote model is not called then
        quotes = self.model.quote(market)
        for side, ticks in ((1, quotes.bid_ticks), (-1, quotes.ask_ticks)):
            order = self.current[side]
            if order is not None and order.is_open:
                if order.ticks == ticks:
                    continue
                order.cancel()
            self.current[side] = orders.submit(side, ticks, kind="LIMIT")


class Around:
    """Quote around the mid, sometimes beyond the other side, and lean with the inventory."""

    def quote(self, view):
        mid, lean = view.mid2_ticks // 2, view.inventory_lots // 10
        cross = -3 if view.us % 7 == 0 else 0
        return Quotes(mid - 2 - lean - cross, mid + 2 - lean, bid_kind="LIMIT", ask_kind="LIMIT")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("fills", [trade_cross, queue_prob_power])
def test_a_strategy_that_manages_quotes_equals_the_order_manager(seed, fills):
    """Every order and every fill, in a market with gaps and takes; the reason of a cancel alone differs."""
    events, _, _ = market(200, seed=seed, gap_at=80)
    tape = Tape.of(Instrument("TEST", tick_e8=RULES.tick_e8, lot_e8=RULES.lot_e8), events)
    rules = dataclasses.replace(RULES, requote_on_fill=True)
    quoted = backtest(tape, Around(), fills(), rules).journal
    managed = backtest(tape, Managed(Around(), rules.requote_us), fills(), rules).journal
    rows = [journal.orders[journal.orders[:, 2] != SKIP] for journal in (quoted, managed)]
    assert len(quoted.fills) > 20
    np.testing.assert_array_equal(managed.fills, quoted.fills)
    np.testing.assert_array_equal(np.delete(rows[1], REASONS, axis=1), np.delete(rows[0], REASONS, axis=1))
    np.testing.assert_array_equal(managed.state, quoted.state)


@pytest.mark.parametrize("seed", range(3))
def test_a_grid_of_orders_equals_a_grid_of_quotes(seed):
    """hftbacktest's grid, translated line by line, and the same prices as quotes."""
    events, _, _ = market(400, seed=seed)
    tape = Tape.of(Instrument("TEST", tick_e8=RULES.tick_e8, lot_e8=RULES.lot_e8), events)
    grid = {"delta_ticks": 2, "levels": 4, "step_ticks": 2, "q_max": 3}
    ours, theirs = (backtest(tape, of(**grid), queue_prob_power(), RULES).journal for of in (GridOrders, Grid))
    assert len(theirs.fills) > 50
    columns = [0, 2, 3, 4]  # instant, side, price, quantity: orders of one instant are numbered in another order
    np.testing.assert_array_equal(*(np.unique(each.fills[:, columns], axis=0) for each in (ours, theirs)))


def test_a_gate_calls_a_strategy_within_its_pieces_only_and_cancels_its_orders_outside():
    """As in a walk-forward, where it trades only while a fit of the past is usable."""
    strategy = Scripted(*[lambda _, orders: len(orders) or orders.submit(1, 98, 10)] * 20)
    spans = ((3_000, 6_000), (9_000, 11_000))
    pieces = [(BEGIN_US + first, BEGIN_US + last, *[1.0] * 5) for first, last in spans]
    journal = play(Gated(strategy, Intensity(pieces)))
    assert strategy.calls == [3_000, 4_000, 5_000, 9_000, 10_000]
    place, request = (ACTIONS.index(name) for name in ("PLACE", "CANCEL_REQ"))
    sent, asked = ((journal.orders[journal.orders[:, 2] == kind, 0] - BEGIN_US).tolist() for kind in (place, request))
    assert (sent, asked) == ([3_000, 9_000], [6_000, 11_000])
