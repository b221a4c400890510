"""The queue position of an order, as estimated by the fill model, can be queried from outside."""

import pytest

from mm.backtest.models import queue_prob_power, trade_cross
from mm.backtest.paper_exchange import PaperExchange
from mm.backtest.rules import Rules
from mm.instrument import Instrument
from mm.tape.tape import Tape

GRID = Instrument("BTCUSDT", tick_e8=1_000_000, lot_e8=1_000)
SECOND = 1_000_000
EVENTS = [
    (0, "snapshot", [(999, 50)], [(1001, 50)]),
    (1 * SECOND, "trade", -1, 999, 20),
    (2 * SECOND, "depth", [(999, 30)], []),
    (3 * SECOND, "trade", -1, 999, 31),
    (4 * SECOND, "depth", [(998, 10)], []),
]


class Nothing:
    """Want no quote."""

    def quote(self, view: object) -> None:
        """Answer None."""


def exchange(fills: object) -> PaperExchange:
    """Return an exchange that plays the tape to its first instant, with no latency."""
    rules = Rules(GRID.tick_e8, GRID.lot_e8, order_latency_us=0, enforce_balances=False)
    made = PaperExchange(Nothing(), fills, rules)
    made.attach(Tape.of(GRID, EVENTS))
    made.advance(0)
    return made


def test_the_lots_ahead_of_an_order_follow_the_tape() -> None:
    """It joins behind 50; 20 print, which the book then shows; 31 print, of which one is its own."""
    played = exchange(queue_prob_power())
    order = played.place(1, 999, 1)
    assert played.ahead_lots(order) is None
    seen = []
    for second in (0, 1, 2, 3):
        played.advance(second * SECOND)
        seen.append(played.ahead_lots(order))
    assert seen == [50.0, 30.0, 30.0, None]


@pytest.mark.parametrize("order", [0, 2])
def test_an_order_that_is_not_there_has_no_queue(order: int) -> None:
    """None, and no error, for orders that ended too."""
    assert exchange(queue_prob_power()).ahead_lots(order) is None


def test_a_model_without_a_queue_says_so() -> None:
    """None is not 0: nothing is known."""
    played = exchange(trade_cross())
    order = played.place(1, 999, 1)
    played.advance(1)
    assert played.ahead_lots(order) is None
