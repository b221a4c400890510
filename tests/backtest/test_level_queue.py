"""Queue positions looked up in the changes of levels: against numbers computed by hand, and against the full book.

`tests/backtest/test_best_prices.py` draws whole runs of both.
"""

import dataclasses
from contextlib import nullcontext
from functools import partial

import pytest

from engine_cases import compiled_fills, read_journal
from engine_tapes import TEST, every_event
from mm import PaperExchange, Quotes, Rules, Tape, backtest
from mm.backtest.models import fixed_spread
from mm.tape.tape import TapeMeta

RULES = Rules(TEST.tick_e8, TEST.lot_e8, order_latency_us=10, requote_us=100, start_lots=100, quote_lots=10)
BOOK = (1000, "snapshot", [(99, 5), (98, 4)], [(101, 5), (102, 6)])  # our orders rest at 98 and 102 from 1010 on
BOOKS = {"behind a better price": BOOK, "at the touch": (1000, "snapshot", [(98, 4)], [(102, 6)])}


BOTH = pytest.mark.parametrize("visits", [nullcontext, every_event], ids=["looked up", "every event"])

CASES = {  # events, and the expected fills as (µs, lots)
    "behind the lots displayed": ([(1020, "trade", -1, 98, 7)], [(1020, 3)]),
    "some were cancelled": ([(1020, "depth", [(98, 1)], []), (1030, "trade", -1, 98, 3)], [(1030, 2)]),
    "others came behind": ([(1020, "depth", [(98, 9)], []), (1030, "trade", -1, 98, 5)], [(1030, 1)]),
    "printed before it rested": ([(1005, "trade", -1, 98, 3), (1020, "trade", -1, 98, 2)], [(1020, 1)]),
    "printed and displayed before it rested": (
        [(1005, "trade", -1, 98, 3), (1007, "depth", [(98, 1)], []), (1020, "trade", -1, 98, 2)],
        [(1020, 1)],
    ),
    "printed, then displayed": (
        [(1020, "trade", -1, 98, 3), (1030, "depth", [(98, 1)], []), (1040, "trade", -1, 98, 3)],
        [(1040, 2)],
    ),
    "another book begins": (
        [(1020, "snapshot", [(99, 5), (98, 2)], [(101, 5)]), (1030, "trade", -1, 98, 3)],
        [(1030, 1)],
    ),
    "another book begins without the level": (
        [(1020, "snapshot", [(99, 5)], [(101, 5)]), (1030, "trade", -1, 98, 3)],
        [(1030, 3)],
    ),
    "a better price comes and goes": (
        [
            (1020, "depth", [(99, 2)], []),
            (1025, "depth", [(98, 1)], []),
            (1030, "depth", [(99, 0)], []),
            (1040, "trade", -1, 98, 3),
        ],
        [(1040, 2)],
    ),
    "a better price comes while one is printed at": (
        [
            (1020, "trade", -1, 98, 1),
            (1025, "depth", [(99, 2), (98, 3)], []),
            (1030, "depth", [(98, 1)], []),
            (1040, "trade", -1, 98, 3),
        ],
        [(1040, 2)],
    ),
    "all lots go, and others come": (
        [(1020, "depth", [(98, 0)], []), (1030, "depth", [(98, 9)], []), (1040, "trade", -1, 98, 3)],
        [(1040, 3)],
    ),
    "the other side changes often": (
        [*((us, "depth", [], [(102, 7 + us % 2)]) for us in range(1011, 1089)), (1090, "trade", -1, 98, 5)],
        [(1090, 1)],
    ),
    "the other side changes often between prints": (
        [
            (1011, "trade", -1, 98, 3),
            *((us, "depth", [], [(102, 7 + us % 2)]) for us in range(1012, 1089)),
            (1090, "trade", -1, 98, 5),
        ],
        [(1090, 4)],
    ),
    "a print through the price": ([(1020, "trade", -1, 97, 1)], [(1020, 1)]),
    "a print of the other side": ([(1020, "trade", 1, 98, 9)], []),
}


BACK = {  # where prints may be those that took what the book no longer shows
    "some were cancelled": [],
    "another book begins": [],
    "another book begins without the level": [],
    "a better price comes and goes": [],
    "a better price comes while one is printed at": [],
    "all lots go, and others come": [],
}


@pytest.mark.parametrize("name", ["queue_back", "queue_front"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("book", BOOKS)
@BOTH
def test_bounds_of_a_queue_fill_as_computed_by_hand(visits, book, case, name):
    """Cancels come from the end of the queue or from before us; lots added later are behind our order."""
    events, fills = CASES[case]
    tape = Tape.of(TEST, [BOOKS[book], *events])
    with visits():
        result = backtest([tape], fixed_spread(delta_ticks=1.5), compiled_fills(name), RULES)
    expected = BACK.get(case, fills) if name == "queue_back" else fills
    assert [(row[0], row[4]) for row in result.journal.fills.tolist()] == expected


@pytest.mark.parametrize("inside", [([], []), ([(99, 5)], [(101, 5)])], ids=["at the touch", "behind a better price"])
@BOTH
def test_all_prints_between_two_book_events_reduce_the_displayed_lots(visits, inside):
    """Of 60 lots ahead, 20 are printed before each of two book events, which display 40 and 20: none was cancelled."""
    prints = [(us, "trade", -1, 98, 10) for us in (1020, 1022, 1031, 1033, 1041, 1043)]
    books = [(us, "depth", [(98, lots)], []) for us, lots in ((1030, 40), (1040, 20))]
    events = sorted([*prints, *books, (1050, "trade", -1, 98, 5)])
    tape = Tape.of(TEST, [(1000, "snapshot", [*inside[0], (98, 60)], [*inside[1], (102, 6)]), *events])
    with visits():
        result = backtest([tape], fixed_spread(delta_ticks=1.5), compiled_fills("queue_prob_power", 3.0), RULES)
    assert [(row[0], row[4]) for row in result.journal.fills.tolist()] == [(1050, 5)]


class OnceAtTheBid:
    """A user's model that reads the lots at the best prices, so that each event that changes them is replayed."""

    depth = False

    def quote(self, view):
        return Quotes(98, None)


@BOTH
def test_level_changes_between_best_prices_update_the_queue(visits):
    """The order rests at 1010 behind 4 lots, of which one is left at 1020; the lots of 1030 are behind it."""
    deep = [(1020, "depth", [(98, 1)], []), (1030, "depth", [(98, 9)], [])]
    tape = Tape.of(TEST, [BOOK, *deep, (1050, "depth", [(99, 4)], []), (1100, "trade", -1, 98, 3)])
    with visits():
        result = backtest([tape], OnceAtTheBid(), compiled_fills("queue_front"), RULES)
    assert [(row[0], row[4]) for row in result.journal.fills.tolist()] == [(1100, 2)]


class QueueReader:
    """A user's model that reads its queue position."""

    depth, signals = False, ("own_bid_ahead", "own_ask_ahead")

    def __init__(self):
        self.positions = []

    def quote(self, view):
        self.positions.append([view.signal(name) for name in self.signals])
        return Quotes(98, 102)


@BOTH
def test_model_reads_its_queue_position_at_each_requote(visits):
    """Orders rest behind 4 and 6 lots of 0.00001; those ahead of the bid shrink to one, which is then traded."""
    events = [(1120, "depth", [(98, 1)], []), (1250, "depth", [(97, 1)], []), (1280, "trade", -1, 98, 1)]
    tape = Tape.of(TEST, [BOOK, *events, (1290, "depth", [(97, 2)], []), (1310, "trade", 1, 101, 1)])
    model = QueueReader()
    with visits():
        backtest([tape], model, compiled_fills("queue_front"), RULES)
    positions = [[lots and round(lots / 1e-5) for lots in pair] for pair in model.positions]
    assert positions == [[None, None], [4, 6], [1, 6], [0, 6]]


@pytest.mark.parametrize("model", [("queue_back",), ("queue_front",), ("queue_prob_power", 3.0), ("queue_prob_log",)])
def test_queue_model_runs_on_best_prices_and_level_changes(model):
    """The queue position is brought up to date at a print, at a query from outside, and across the end of a day."""
    quotes = partial(fixed_spread, delta_ticks=1.5)
    first = [(1000, "snapshot", [(99, 5), (98, 4)], [(101, 5), (102, 9)]), (1015, "depth", [], [(102, 8)])]
    second = [
        (1050, "snapshot", [(99, 5), (98, 4)], [(101, 5), (102, 6)]),
        (1060, "depth", [(98, 1)], []),
        (1070, "trade", -1, 98, 3),
        (1075, "trade", -1, 98, 3),
        (1080, "trade", 1, 102, 7),
    ]
    days = [
        dataclasses.replace(Tape.of(TEST, events), meta=TapeMeta(**meta))
        for events, meta in ((first, {"last_update_id": 7}), (second, {"carried_from": 7}))
    ]
    observed = []
    for whole in (False, True):
        exchange = PaperExchange(quotes(), compiled_fills(*model), RULES)
        assert not exchange.needs_depth
        for day in days:
            exchange.attach(day, best=not whole)
            for us in (day.start_us + 15, day.end_us):
                exchange.advance(us)
                observed.append((whole, [exchange.ahead_lots(order) for order in range(1, 5)]))
        observed.append((whole, read_journal(exchange.journal()).fills))
    best, full = ([found for whole, found in observed if whole is flag] for flag in (False, True))
    assert best == full
    assert best[-1], "an order fills"
    assert any(ahead for queries in best[:-1] for ahead in queries), "and one waits"
