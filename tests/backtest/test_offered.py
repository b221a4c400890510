"""No model that fills by prints gives our orders more than was printed, however many of them rest."""

from collections import Counter

import pytest
from fill_lab import TEST
from hypothesis import given
from hypothesis import strategies as st
from test_engine import drawn
from test_extremes import wandering

from mm import PaperExchange, Rules
from mm.backtest.journal import Fills
from mm.backtest.models import hybrid, queue_prob_log, queue_prob_power, queue_risk_averse, trade_cross
from named import kind_of

BY_PRINTS = {
    "trade_cross": trade_cross,
    "half": lambda: trade_cross(share=0.5),
    "risk_averse": queue_risk_averse,
    "power": queue_prob_power,
    "log": queue_prob_log,
    "hybrid": lambda: hybrid([trade_cross(), queue_prob_power()]),
}


class Crowd:
    """Rests large orders at several prices of each side for some seconds, and renews those that ended."""

    def __init__(self, levels, lots):
        self.levels, self.lots = levels, lots

    def on_event(self, market, orders):
        for level in range(self.levels):
            for side, best in ((1, market.bid_ticks), (-1, market.ask_ticks)):
                if (name := f"{side}/{level}") not in orders:
                    until_us = market.us + 3_000_000
                    orders.submit(side, best - side * level, self.lots, client_id=name, until_us=until_us)


@pytest.mark.parametrize("model", BY_PRINTS)
@drawn(12)
@given(seed=st.integers(0, 10**6), moves=st.integers(0, 3), levels=st.integers(1, 4), lots=st.integers(1, 40))
def test_fills_by_a_print_are_at_most_the_print(model, seed, moves, levels, lots):
    """All our orders share it; a fill by the book takes the whole order, as it has no print to measure it by."""
    tape = wandering(TEST, seed, moves)
    rules = Rules(TEST.tick_e8, TEST.lot_e8, order_latency_us=100, cancel_latency_us=60, enforce_balances=False)
    exchange = PaperExchange(Crowd(levels, lots), BY_PRINTS[model](), rules)
    exchange.run(tape)
    journal = exchange.journal()
    printed, filled = Counter(), Counter()
    for at in range(len(tape)):
        if kind_of(tape.kind[at]) == "trade":
            printed[int(tape.event_us[at])] += int(tape.row_lots[tape.first_row[at]])
    us, lots, reason = (Fills.names().index(name) for name in ("us", "lots", "reason"))
    for fill in journal.fills.tolist():
        if journal.fill_reasons[fill[reason]].endswith(":trade"):
            filled[fill[us]] += fill[lots]
    assert filled
    assert all(filled[us] <= printed[us] for us in filled)
