"""What the limits of a live symbol count over days, after fills and beside fees, and when its quotes wait."""

import dataclasses

import pytest
from trader_rig import GRID, SECOND_US, Notes, Wire, account_of, fill

from mm import Quotes, Rules
from mm.backtest.preset import PRESETS
from mm.backtest.quotes.steps import InventoryBound
from mm.backtest.risk import RiskLimits, day_end_us
from mm.clock import us_of
from mm.instrument import E8
from mm.live._live_engine import LiveEngine
from mm.live.run.trader import Trader, TraderParts
from named import feed_event

HOUR_US = 3_600 * SECOND_US
NOON_US = 1_765_882_800_000_000  # 2025-12-16T12:00+01:00
RULES = Rules(10**6, 10**5, quote_lots=10, requote_us=SECOND_US // 4, start_cash_e8=10**5 * E8, enforce_balances=False)


class Touch:
    def quote(self, view):
        return Quotes(view.bid_ticks, view.ask_ticks)


def engine_of(quotes=Touch, **rules):
    return LiveEngine(quotes(), dataclasses.replace(RULES, **rules))


def see(engine, us, mid=101):
    """Show a book around a mid, and return the messages of the requote that follows."""
    engine.feed([feed_event("snapshot", us, 1, 1, ((1, mid - 1, 10), (-1, mid + 1, 10)))])
    return engine.advance(us)


def test_each_day_begins_with_its_own_equity():
    """Not only the first after a start: a loss of yesterday would count today, or a profit hide a loss."""
    limits = RiskLimits(day_equity_e8=10**5 * E8 + 12_345, max_daily_loss_e8=10**5 * E8)
    engine = engine_of(start_lots=1_000_000, risk=limits)
    guard, us, days = engine.manager.guard, NOON_US, []
    for day in range(4):
        for hour in (0, 6):
            see(engine, us + hour * HOUR_US, 101 + 10 * day + hour)
            days.append(guard.equities_e8()[:2])
        us = day_end_us(us) + HOUR_US
    assert days[0][1] == days[1][1] == 10**5 * E8 + 12_345
    for first in (2, 4, 6):
        assert days[first][0] == days[first][1] == days[first + 1][1] != days[first + 1][0]


def test_peak_is_the_highest_equity_of_all_days():
    engine = engine_of(start_lots=1_000_000, risk=RiskLimits(max_drawdown_e8=E8))
    peaks = []
    for day, mid in enumerate((101, 121, 111, 131)):
        see(engine, NOON_US + 24 * day * HOUR_US, mid)
        equity_e8, _, peak_e8 = engine.manager.guard.equities_e8()
        peaks.append(peak_e8 - equity_e8)
    assert [0 if gap == 0 else 1 for gap in peaks] == [0, 0, 1, 0]


@pytest.mark.parametrize("most", [0, 3 * E8])
def test_fee_without_a_price_counts_at_its_largest(most):
    """The limit on losses must not wait for a price that may never come."""
    known = fill(5, commission=f"{most / E8:.8f}")
    paid = dataclasses.replace(fill(5, commission="0.01", asset="BNB"), most_e8=most)
    equities = []
    for one in (known, paid):
        engine = engine_of(lot_e8=GRID.lot_e8, quote_lots=10**7, risk=RiskLimits(max_daily_loss_e8=10**5 * E8))
        see(engine, NOON_US)
        assert account_of(engine).book(1, one, NOON_US + 1)
        see(engine, NOON_US + SECOND_US)
        equities.append(engine.manager.guard.equities_e8()[0])
    assert equities[0] == equities[1]


@pytest.mark.parametrize("side", [1, -1])
def test_a_fill_that_makes_room_is_followed_at_once_by_the_side_that_waits_for_it(side):
    """A quote waits while the order that it replaces is being cancelled; a fill of the other side makes room for it."""
    engine = engine_of(lambda: InventoryBound(Touch(), q_max=1), requote_on_fill=False, decisions=True)
    see(engine, NOON_US)
    for order_id in (1, 2):
        engine.accepted(order_id, NOON_US)
    moved = ((side, 101 - side, 0), (side, 101 - 2 * side, 10))
    engine.feed([feed_event("depth", NOON_US + SECOND_US, 2, 2, moved)])
    us = NOON_US + SECOND_US
    assert [(action, at) for action, _, at, *_ in engine.advance(us)] == [("cancel", side)]
    before = engine.decisions
    engine.filled(0, us + 10, side, 101, 10, 0, 0, False)
    engine.advance(us + 20)
    assert engine.decisions == before  # it takes room
    engine.filled(0, us + 30, -side, 101, 20, 0, 0, False)
    assert ("place", side) in [(action, at) for action, _, at, *_ in engine.advance(us + 40)]
    assert engine.decisions == before + 1


def test_an_order_that_is_being_cancelled_pays_for_the_next_on_both_sides():
    """Its cancel leaves first: with the balance for one order a side no requote is skipped."""
    engine = engine_of(enforce_balances=True)
    engine.funds(10, 10 * 103 * 10**3)
    assert [row[:3] for row in see(engine, NOON_US)] == [("place", 1, 1), ("place", 2, -1)]
    for order_id in (1, 2):
        engine.accepted(order_id, NOON_US)
    moved = [row[0] for row in see(engine, NOON_US + SECOND_US, 102)]
    assert sorted(moved) == ["cancel", "cancel", "place", "place"]


CLOSED_US = us_of("2026-01-06T22:10:00Z")  # of futures, until 23:00


def trader_of_futures():
    """Return a trader whose gateway is ready in closed hours, and what its account waits for, a list."""
    engine, waits = engine_of(hours=PRESETS["future"].hours), [""]
    allow = lambda: waits[-1]  # noqa: E731
    parts = TraderParts(
        engine=engine, grid=GRID, account=account_of(engine), log=Notes(), clock=lambda: engine.now_us, allow=allow
    )
    trader = Trader(parts, Wire())
    see(engine, CLOSED_US)
    trader.ready_changed(True, "")
    return engine, trader, waits


@pytest.mark.parametrize("reason", ["gateway", "account"])
def test_what_ends_in_closed_hours_leaves_the_quotes_pulled(reason):
    """A gateway that is ready again, or an account that may trade again, does not open the market."""
    engine, trader, waits = trader_of_futures()
    assert engine.manager.pulled_for == engine.closed_for != ""
    for why in ("lost", ""):
        waits.append(why if reason == "account" else "")
        if reason == "gateway":
            trader.ready_changed(not why, why)
        trader.act()
    assert engine.manager.pulled_for == engine.closed_for != ""
    assert engine.advance(CLOSED_US + HOUR_US)[0][0] == "place"


def test_market_that_is_silent_in_closed_hours_is_closed_and_not_stale():
    """What is quoted elsewhere waits for it; at the opening its silence counts again, until a message comes."""
    engine = engine_of(hours=PRESETS["future"].hours, risk=RiskLimits(feed_stale_us=3 * SECOND_US))
    parts = TraderParts(engine=engine, grid=GRID, account=account_of(engine), log=Notes(), clock=lambda: engine.now_us)
    trader = Trader(parts, Wire())
    see(engine, CLOSED_US - HOUR_US // 2)  # first: from an instant of 0 each opening since 1970 would be played
    trader.ready_changed(True, "")
    trader.act(CLOSED_US - HOUR_US // 2 + 4 * SECOND_US)
    assert trader.lost == "FEED_STALE_S"
    trader.act(CLOSED_US)
    assert trader.lost == engine.closed_for != ""
    open_us = CLOSED_US + HOUR_US
    trader.act(open_us)
    assert trader.lost == "FEED_STALE_S"
    for at_us in (open_us + SECOND_US, open_us + 12 * SECOND_US):
        see(engine, at_us)
    assert trader.lost == ""


def test_quotes_that_a_person_has_pulled_stay_pulled_when_the_market_closes_and_opens():
    """The closing is no other reason: at the opening it would end, and the hand's with it."""
    engine = engine_of(hours=PRESETS["future"].hours)
    see(engine, CLOSED_US - HOUR_US // 2)
    engine.manager.pull("by hand")
    for minutes in (0, 70):
        assert "place" not in {row[0] for row in see(engine, CLOSED_US + minutes * 60 * SECOND_US)}
        assert engine.manager.pulled_for == "by hand"
    engine.manager.resume()
    assert "place" in {row[0] for row in see(engine, CLOSED_US + 71 * 60 * SECOND_US)}


def test_a_transfer_counts_once_however_often_it_is_told():
    """It is no profit and no loss; counted again at the next one, a loss of the day would be hidden."""
    engine = engine_of(lot_e8=GRID.lot_e8, quote_lots=10**7, risk=RiskLimits(max_daily_loss_e8=10**5 * E8))
    account = account_of(engine)
    see(engine, NOON_US)
    equities = []
    for amount_e8 in (0, 700 * E8, 0, -200 * E8):
        account.ledger.transfer("USDT", amount_e8)
        account.transferred()
        see(engine, NOON_US + SECOND_US)
        equities.append(engine.manager.guard.equities_e8()[:2])
    begin_e8 = equities[0][0]
    assert [equity_e8 - begin_e8 for equity_e8, _ in equities] == [0, 700 * E8, 700 * E8, 500 * E8]
    assert [equity_e8 - day_e8 for equity_e8, day_e8 in equities] == [0] * 4
