"""Days whose lots differ, played together from Python: one unit for the strategy, as from the command."""

from dataclasses import replace

import mm
from mm import Tape
from mm.instrument import Instrument
from mm.play.market import on_one_grid

US_A_DAY = 86_400_000_000


class Buys:
    """Buys a base unit, and notes the lot and the displayed quantity."""

    def __init__(self):
        self.seen = set()

    def on_event(self, market, orders):
        self.seen.add((market.us // US_A_DAY, market.lot, market.bid_lots * market.lot))
        if not len(orders):
            orders.submit(1, market.bid_ticks, qty="1")


def day(number, lot_e8, qty_lots, min_notional_e8=0):
    grid = Instrument("TESTUSDT", 10_000_000, lot_e8, min_notional_e8)
    begin_us = 20_000 * US_A_DAY + number * US_A_DAY
    events = [(begin_us, "snapshot", [(995, qty_lots)], [(1005, 10)])]
    events += [(begin_us + at * 1_000_000, "trade", -1, 995, 20) for at in range(1, 60)]
    return Tape.of(grid, events, f"2024100{5 + number}")


def test_a_lot_is_the_same_on_days_of_different_lots():
    model = Buys()
    result = mm.backtest(
        [day(0, 20_000_000, 1), day(1, 25_000_000, 1)], model, initial_cash="100000", sensitivity=False
    )
    assert model.seen == {(20_000, 1.0, 0.2), (20_001, 1.0, 0.25)}
    assert set(result.orders.filter(result.orders["action"] == "PLACE")["qty"].to_list()) == {1.0}


def test_steps_of_orders_are_those_that_every_day_allows():
    """A price of 4 ticks is none on a day of 6, but one of 12 is."""
    days = [replace(day(n, 1_000_000, 100), step_ticks=4 + 2 * n, step_lots=2 + n) for n in (0, 1)]
    assert {(one.step_ticks, one.step_lots) for one in on_one_grid(days)} == {(12, 6)}


def test_least_quantity_reaches_the_notional_a_tenth_below_the_first_mid():
    """4.9 at 90 is .0544, and .05 would be refused."""
    result = mm.backtest(day(0, 1_000_000, 100, 490_000_000), initial_inventory=5, sensitivity=False)
    assert set(result.orders.filter(result.orders["action"] == "PLACE")["qty"].to_list()) == {0.06}
