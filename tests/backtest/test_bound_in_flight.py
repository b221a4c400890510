"""An inventory bound holds while replaced orders are still being cancelled: what is open never adds up to more."""

import pytest

from mm import Quotes, Rules, Tape, backtest
from mm.backtest.models import QUOTE_MODELS, trade_cross
from mm.backtest.quotes.base import compiled
from mm.backtest.quotes.steps import InventoryBound, Mixed, PostOnly
from mm.instrument import Instrument

GRID = Instrument("TESTUSDT", tick_e8=1_000_000, lot_e8=1_000)
CLIP, START = 10, 100


class Wandering:
    """Quotes that move at every call, so that each order is replaced; several prices a side if asked."""

    def __init__(self, levels=1):
        self.levels, self.calls = levels, 0

    def quote(self, view):
        self.calls += 1
        away = 1 + self.calls % 3
        if self.levels == 1:
            return Quotes(view.bid_ticks - away, view.ask_ticks + away)
        return Quotes.grid(view.bid_ticks - away, view.ask_ticks + away, self.levels, 1)


class Around:
    """A step in Python around a model."""

    def __init__(self, inner):
        self.inner = inner

    def quote(self, view):
        quotes = self.inner.wants(view)
        if quotes.bid_ticks is not None:
            quotes.bid_ticks -= 1
        return quotes


def wild_tape():
    """Return a book that moves by ticks while prints sweep ten ticks through both sides, every 60 ms."""
    events = [(0, "snapshot", [(500 - i, 50) for i in range(30)], [(502 + i, 50) for i in range(30)])]
    for number in range(1, 400):
        us = number * 60_000
        side = -1 if number // 12 % 2 else 1
        events.append((us, "trade", side, 500 + side * (4 + number % 9), 1_000))
        events.append((us + 10_000, "depth", [(500, 50 + number % 7)], [(502, 50 + number % 5)]))
    return Tape.of(GRID, events)


MODELS = {
    "one": lambda: InventoryBound(Wandering(), q_max=1),
    "fraction": lambda: InventoryBound(Wandering(), q_max=1.5),
    "several": lambda: InventoryBound(Wandering(levels=3), q_max=2),
    "python": lambda: Around(InventoryBound(Wandering(), q_max=1)),
    "nested": lambda: PostOnly(compiled(Around(compiled(Around(InventoryBound(Wandering(), q_max=1)))))),
    "mixed": lambda: Mixed([(InventoryBound(Wandering(), q_max=1), 1.0), (Wandering(), 1.0)]),
    "grid": lambda: QUOTE_MODELS["grid"](levels=3, delta_ticks=1, step_ticks=1, q_max=2, skew_ticks=0.7),
    "default": lambda: QUOTE_MODELS["avellaneda_stoikov"](k=0.5, q_max=2),
}
BOUNDS = {"one": 1, "python": 1, "nested": 1, "mixed": 1, "fraction": 1.5, "several": 2, "grid": 2, "default": 2}


@pytest.mark.parametrize("cancel_ms", [25, 700])
@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("model", MODELS)
def test_position_stays_within_the_bound_while_cancels_travel(model, cancel_ms, levels):
    if levels > 1 and model in ("several", "grid"):
        pytest.skip("it quotes several prices itself")
    rules = Rules(
        GRID.tick_e8,
        GRID.lot_e8,
        order_latency_us=1_000,
        cancel_latency_us=cancel_ms * 1_000,
        requote_us=100_000,
        quote_lots=CLIP,
        quote_levels=levels,
        start_lots=START,
        enforce_balances=False,
    )
    result = backtest(wild_tape(), MODELS[model](), trade_cross(), rules)
    held = [row[8] - START for row in result.journal.fills.tolist()]
    most = BOUNDS[model] * CLIP
    assert len(held) > 4
    assert max(map(abs, held)) <= most
    assert max(held) > 0 > min(held)


class Once:
    """Moves its bid once, after ten seconds."""

    def quote(self, view):
        return Quotes(view.bid_ticks - (view.us >= 10_000_000), None)


@pytest.mark.parametrize("requote_ms", [100, 60_000])
def test_an_order_withheld_for_room_is_sent_as_soon_as_there_is_room(requote_ms):
    """Not at the next requote, which may be long after the cancel has taken effect."""
    us = [number * 500_000 for number in range(1, 160)]
    events = [(0, "snapshot", [(500, 50)], [(502, 50)]), *((at, "depth", [(500, 50 + at % 7)], []) for at in us)]
    rules = Rules(
        GRID.tick_e8,
        GRID.lot_e8,
        order_latency_us=1_000,
        cancel_latency_us=30_000,
        requote_us=requote_ms * 1_000,
        requote_on_fill=False,
        quote_lots=CLIP,
        enforce_balances=False,
    )
    orders = backtest(Tape.of(GRID, events), InventoryBound(Once(), q_max=1), trade_cross(), rules).orders
    ended = orders.filter(orders["action"] == "CANCEL_ACK")["recv_us"].to_list()
    placed = orders.filter(orders["action"] == "PLACE")["recv_us"].to_list()
    assert len(ended) == 1
    assert placed == [0, ended[0]]
