"""Orders in another market: one clock, an account of its own, and a PnL of all legs that is their exact sum."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings

import mm
from engine_tapes import BEGIN_US, TEST, one_tape
from mm import PaperExchange, Rules, Tape, backtest
from mm.backtest.fills.base import QueueProbPower, TradeCross
from mm.backtest.risk import RiskLimits
from mm.errors import ModelError, UsageError
from mm.instrument import Instrument
from mm.signals.other_feed import OtherFeed
from mm.tape.columns import Payment
from named import events_of

UNIT = 250_000
RULES = Rules(TEST.tick_e8, TEST.lot_e8, requote_us=100_000, start_lots=100, quote_lots=2)
LEAD = Instrument("LEADUSDT", tick_e8=10_000_000, lot_e8=1_000)
LEG = Rules(LEAD.tick_e8, LEAD.lot_e8, order_latency_us=70_000, start_lots=50, requote_us=10**12, taker_fee_e8=40_000)


class Both:
    """Quotes at the best prices of its own market, and takes and makes in the other one by turns."""

    def __init__(self):
        self.sent, self.calls, self.fills = [], 0, []

    def on_event(self, market, orders):
        self.calls += 1
        leg, lead = orders.at("lead"), market.other("lead")
        self.fills += [(fill.us, fill.order_id, fill.side, fill.ticks, fill.lots) for fill in leg.fills]
        assert all(fill[0] <= market.us for fill in self.fills)
        if len(orders) < 2:
            orders.submit(1, market.bid_ticks)
        if lead.bid_ticks and lead.ask_ticks:
            side = 1 if self.calls % 3 else -1
            kind = "IOC" if self.calls % 2 else "LIMIT_MAKER"
            best = lead.ask_ticks if (side > 0) == (kind == "IOC") else lead.bid_ticks
            if leg.submit(side, best, 1, kind).is_open:
                self.sent.append((market.us, side, best, kind))


def play(tape, lead, model, leg=LEG, **changes):
    rules = replace(RULES, others={"lead": OtherFeed(LEAD, (lead,))}, legs={"lead": leg}, **changes)
    return backtest(tape, model, TradeCross(), rules)


@given(one_tape(UNIT), one_tape(UNIT))
@settings(max_examples=40, deadline=None)
def test_orders_of_a_leg_fare_as_on_an_exchange_of_their_own(drawn, other):
    """The same orders, placed by hand at the same instants in a replay of the other market alone, end the same way."""
    tape, lead, model = drawn[0], replace(other[0], instrument=LEAD), Both()
    result = play(tape, lead, model)
    alone = PaperExchange(Idle(), QueueProbPower(), LEG)
    alone.attach(lead)
    for us, side, ticks, kind in model.sent:
        alone.advance(us)
        assert alone.place(side, ticks, 1, kind)
    alone.advance(tape.end_us)
    journal, leg = alone.journal(), result.legs["lead"].journal
    np.testing.assert_array_equal(leg.orders[leg.orders[:, 2] != 7], journal.orders)  # 7: refused ones are not placed
    np.testing.assert_array_equal(leg.fills, journal.fills)
    np.testing.assert_array_equal(leg.state, journal.state)
    assert model.fills == [tuple(row[:5].tolist()) for row in leg.fills][: len(model.fills)]


@given(one_tape(UNIT), one_tape(UNIT))
@settings(max_examples=40, deadline=None)
def test_markets_as_they_arrive_leave_the_rows_of_their_replay(drawn, other):
    """Events of both markets are fed up to each instant, in the order of a live run, and then both are played to it.

    The other one also pays funding, for the position at an earlier instant.
    """
    tape, lead = drawn[0], replace(other[0], instrument=LEAD)
    span_us = max(lead.end_us - lead.start_us, 1)
    paid = [(lead.start_us + share * span_us // 8, lead.start_us + share * span_us // 16) for share in (1, 3, 3, 7, 9)]
    payments = [Payment(us, 10_000, 10_000_000_000, due_us=due_us) for us, due_us in paid]
    lead = replace(lead, meta=replace(lead.meta, funding=tuple(payments)))
    replayed = play(tape, replace(lead, end_us=1 << 60), Both())
    rules = replace(RULES, others={"lead": OtherFeed(LEAD)}, legs={"lead": LEG})
    exchange = PaperExchange(Both(), TradeCross(), rules)
    ours, theirs = (events_of(one) for one in (tape, lead))
    step_us = max((tape.end_us - tape.start_us) // 7, 1)
    before_us = 0
    for until_us in (*range(tape.start_us, tape.end_us, step_us), tape.end_us):
        events = [event for event in theirs if before_us < event.us <= until_us]
        exchange.feed_other("lead", events, [one for one in payments if before_us < one.us <= until_us])
        exchange.feed([event for event in ours if before_us < event.us <= until_us])
        exchange.advance(until_us)
        before_us = until_us
    exchange.end_legs(tape.end_us)
    for fed, whole in (
        (exchange.journal(), replayed.journal),
        (exchange.legs["lead"].exchange.journal(), replayed.legs["lead"].journal),
    ):
        np.testing.assert_array_equal(fed.orders, whole.orders)
        np.testing.assert_array_equal(fed.fills, whole.fills)
        np.testing.assert_array_equal(fed.state, whole.state)


class Idle:
    """Sends nothing."""

    def on_event(self, market, orders):
        pass


def markets():
    """Return two markets of five seconds; the second one's best ask rises at 1.05 s."""
    own = [(BEGIN_US + step * 100_000, "depth", [(98, step + 1)], []) for step in range(1, 50)]
    tape = Tape.of(TEST, [(BEGIN_US, "snapshot", [(99, 50)], [(101, 50)]), *own])
    rise = (BEGIN_US + 1_050_000, "depth", [], [(11, 0), (12, 30)])
    rest = [(BEGIN_US + step * 100_000, "depth", [(8, step + 1)], []) for step in range(11, 50)]
    return tape, Tape.of(LEAD, [(BEGIN_US, "snapshot", [(9, 40)], [(11, 30)]), rise, *rest])


class Hedge:
    """Buy 3 lots at the market in the other market, at one instant, and remember what was known of it then."""

    def __init__(self, at_us=BEGIN_US + 1_000_000, kind="MARKET"):
        self.at_us, self.kind, self.orders = at_us, kind, []

    def on_event(self, market, orders):
        if market.us == self.at_us:
            self.seen = market.other("lead").ask_ticks
            self.orders.append(orders.at("lead").submit(1, 99, 3, self.kind))
        leg = orders.at("lead")
        self.held, self.targets = (leg.inventory_lots, leg.cash), (orders.target_lots, leg.target_lots)


def test_hedge_is_filled_at_the_prices_of_its_arrival_with_its_own_fee():
    """Sent at 1 s, it arrives at 1.07 s: the ask has moved from 11 to 12, of which the strategy knew nothing."""
    (tape, lead), model = markets(), Hedge()
    result = play(tape, lead, model)
    ((us, _, side, ticks, lots, fee_e8),) = result.legs["lead"].journal.fills[:, :6].tolist()
    assert (us, side, ticks, lots, model.seen) == (BEGIN_US + 1_070_000, 1, 12, 3, 11)
    assert fee_e8 == 3 * 12 * LEAD.tick_e8 * LEAD.lot_e8 // 10**8 * 40_000 // 10**8
    assert model.orders[0].status == "FILLED"
    assert model.held[0] == 53
    assert model.targets == (100, 50)
    assert result.journal.fills.shape[0] == 0


def test_pnl_of_all_legs_is_the_exact_sum_and_each_leg_has_its_files(tmp_path):
    tape, lead = markets()
    result = play(tape, lead, Hedge())
    rows = result.write_tables(tmp_path)
    assert {f"legs/lead/{table}_LEADUSDT.csv" for table in ("orders", "fills", "state")} <= set(rows)
    pnl = Decimal(0)
    for folder, symbol in ((tmp_path, "TESTUSDT"), (tmp_path / "legs" / "lead", "LEADUSDT")):
        state = pl.read_csv(folder / f"state_{symbol}.csv", schema_overrides={"equity": pl.String})["equity"]
        pnl += Decimal(state[-1]) - Decimal(state[0])
    summary = result.summary
    assert summary["pnl_total"] == float(pnl)
    parts = [summary["own_market"]["pnl_total"], *(leg["pnl_total"] for leg in summary["legs"].values())]
    assert Decimal(str(summary["pnl_total"])) == sum(Decimal(str(part)) for part in parts)
    own = summary["own_market"]
    assert Decimal(str(summary["fees"])) == sum(Decimal(str(one["fees"])) for one in (own, summary["legs"]["lead"]))
    for whole in (summary, own):
        gross = whole["pnl_spread_capture"] + whole["pnl_inventory"]
        assert whole["pnl_quoting"] == pytest.approx(gross - whole["fees"], abs=1e-12)
        assert whole["pnl_quoting"] == pytest.approx(whole["pnl_realised"] + whole["pnl_unrealised"] - whole["fees"])
    assert not any("quote wider" in note for note in summary["warnings"])
    assert summary["legs"]["lead"]["inventory_end"] == 0.00053
    assert summary["legs"]["lead"]["n_fills"] == 1


def test_a_market_without_data_takes_no_order():
    tape, lead = markets()
    model = Hedge(BEGIN_US + 4_500_000)
    play(tape, lead.between(BEGIN_US, BEGIN_US + 3_000_000), model)
    assert (model.orders[0].status, model.orders[0].reason) == ("REFUSED", "book_invalid")


def test_orders_of_a_leg_are_its_own_and_only_during_a_call():
    kept = []

    class Keeping:
        def on_event(self, market, orders):
            kept.append(orders.at("lead"))

    class Other:
        def on_event(self, market, orders):
            orders.at("led")

    class Quoting:
        def quote(self, view):
            return None

    tape, lead = markets()
    play(tape, lead, Keeping())
    with pytest.raises(RuntimeError, match="outside of on_event"):
        kept[0].submit(1, 10, 1)
    with pytest.raises(ModelError, match="no orders in 'led': OTHERS has orders in lead"):
        play(tape, lead, Other())
    with pytest.raises(UsageError, match="only a strategy in Python with on_event"):
        play(tape, lead, Quoting())


def test_a_limit_that_ends_trading_cancels_the_orders_of_the_legs():
    class Resting:
        def on_event(self, market, orders):
            if "bid" not in orders.at("lead"):
                orders.at("lead").submit(1, 8, 1, client_id="bid")
            if len(orders) == 0:
                orders.submit(1, 101, 2, "IOC")

    tape, lead = markets()
    loss = play(tape, lead, Resting(), risk=RiskLimits(max_daily_loss_e8=1)).legs["lead"].journal.orders
    assert loss[-1, 3] == 3  # CANCELLED


@pytest.mark.parametrize(
    ("orders", "message"),
    [
        ({"taker_fe_rate": 0}, "others: lead: orders.. got an unexpected keyword argument 'taker_fe_rate'"),
        ({"order_latency_ms": -1}, "others: lead: orders: order_latency_ms"),
        ({"feed_latency": "recorded"}, "feed_latency_ms beside orders"),
    ],
)
def test_wrong_terms_of_a_leg_are_one_line(orders, message):
    tape, lead = markets()
    with pytest.raises(UsageError, match=message):
        mm.backtest(tape, Hedge(), others={"lead": {"tape": lead, "orders": orders}})


def test_terms_of_a_leg_are_those_of_its_orders():
    tape, lead = markets()
    terms = {"taker_fee_rate": "0.0004", "order_latency_ms": 70, "initial_inventory": "0.0005", "quote_qty": "0.00007"}
    result = mm.backtest(tape, Hedge, others={"lead": {"tape": lead, "orders": terms}}, sensitivity=False)
    leg = result.legs["lead"]
    assert leg.journal.fills[0, 0] == BEGIN_US + 1_070_000
    assert leg.terms.quote_lots == 7
    assert leg.summary["models"]["quote"] == "Hedge"


def test_account_of_a_leg_covers_the_run_and_no_more():
    """The price of what the leg holds moves before and after the run, which is neither its gain nor its loss."""
    tape, lead = markets()
    run = tape.between(BEGIN_US + 2_000_000, BEGIN_US + 3_000_000)
    terms = {"initial_inventory": "0.0005"}
    result = mm.backtest(run, Hedge, others={"lead": {"tape": lead, "orders": terms}}, sensitivity=False)
    us = result.legs["lead"].journal.state[:, 0]
    assert run.start_us <= us[0]
    assert us[-1] <= run.end_us
    assert result.legs["lead"].summary["pnl_total"] == 0
