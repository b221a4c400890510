"""How long missing trades are asked for: answers without progress count in succession."""

import json

from mm.ids import MissingIds
from mm.market_data.trade_state import MOST_MISSES, FillPlan
from mm.markets.binance_spot import BINANCE_SPOT

US = 1_767_600_000_000_000


def plan(first, last):
    found = FillPlan(BINANCE_SPOT.trade_history(aggregates=False))
    found.missing(MissingIds(first, last, US, US + 1_000_000))
    return found


def trades(*ids):
    terms = {"price": "1.5", "qty": "2", "quoteQty": "3", "time": US, "isBuyerMaker": True, "isBestMatch": True}
    return json.dumps([{"id": one, **terms} for one in ids]).encode()


def test_an_answer_with_some_of_the_trades_begins_the_count_of_misses_anew():
    """An exchange that answers slowly, a few trades at a time, is still an exchange that answers."""
    fills = plan(1, 3_000)
    for step in range(4):
        for _ in range(MOST_MISSES - 1):
            fills.answered(trades())
        assert fills.current.first_id == 1 + 10 * step
        fills.answered(trades(*range(1 + 10 * step, 11 + 10 * step)))
    assert fills.current.first_id == 41


def test_answers_without_any_of_the_trades_end_the_plan():
    fills = plan(1, 3_000)
    for miss in range(MOST_MISSES):
        assert (fills.current is not None) == (miss < MOST_MISSES)
        fills.answered(trades())
    assert fills.current is None
