"""The queue position of an order, as estimated by the fill model, can be queried from outside."""

import pytest

from mm import PaperExchange, Rules, Tape
from mm.backtest.models import queue_prob_power, trade_cross
from mm.instrument import Instrument

GRID = Instrument("BTCUSDT", tick_e8=1_000_000, lot_e8=1_000)
SECOND = 1_000_000
EVENTS = [
    (0, "snapshot", [(999, 50)], [(1001, 50)]),
    (1 * SECOND, "trade", -1, 999, 20),
    (2 * SECOND, "depth", [(999, 30)], []),
    (3 * SECOND, "trade", -1, 999, 31),
    (4 * SECOND, "depth", [(998, 10)], []),
]


class NoQuotes:
    """Never quote."""

    def quote(self, view: object) -> None:
        """Return None."""


def exchange(fills: object) -> PaperExchange:
    """Return an exchange that has run the tape to its first event, with no latency."""
    rules = Rules(GRID.tick_e8, GRID.lot_e8, order_latency_us=0, enforce_balances=False)
    started = PaperExchange(NoQuotes(), fills, rules)
    started.attach(Tape.of(GRID, EVENTS))
    started.advance(0)
    return started


def test_ahead_lots_follow_the_tape() -> None:
    """The order joins behind 50; 20 trade, and then the book shows them gone; 31 trade, the last one of them ours."""
    paper_exchange = exchange(queue_prob_power())
    order = paper_exchange.place(1, 999, 1)
    assert paper_exchange.ahead_lots(order) is None
    ahead = []
    for second in (0, 1, 2, 3):
        paper_exchange.advance(second * SECOND)
        ahead.append(paper_exchange.ahead_lots(order))
    assert ahead == [50.0, 30.0, 30.0, None]


@pytest.mark.parametrize("order", [0, 2])
def test_ahead_lots_of_unknown_order_is_none(order: int) -> None:
    """No error is raised for an unknown order."""
    assert exchange(queue_prob_power()).ahead_lots(order) is None


def test_ahead_lots_is_none_for_model_without_queue() -> None:
    """None means unknown; 0 would mean the front of the queue."""
    paper_exchange = exchange(trade_cross())
    order = paper_exchange.place(1, 999, 1)
    paper_exchange.advance(1)
    assert paper_exchange.ahead_lots(order) is None
