"""Hooks of a user's fill model, on tapes short enough to follow by hand."""

import zipfile

import pytest

from mm.backtest.paper_exchange import PaperExchange
from mm.backtest.quotes.view import Quotes
from mm.backtest.rules import Rules
from mm.errors import ModelError, UnknownModel
from mm.instrument import Instrument
from mm.tape.tape import Tape
from mm.user_code import load_class, raised

TEST = Instrument("TESTUSDT", 1_000_000, 1_000)
RULES = Rules(
    TEST.tick_e8,
    TEST.lot_e8,
    order_latency_us=10,
    requote_us=1_000_000,
    enforce_balances=False,
    requote_on_fill=False,
)


class BidAt99:
    def quote(self, view):
        return Quotes(99, None)


class Watcher:
    """Writes down what it is told; fills one lot at the third book change it is asked about."""

    def __init__(self):
        self.told = []

    def on_rest(self, order, book):
        self.told.append(("rest", order.ticks, book.lots_at(1, 99)))

    def on_level(self, order, before_lots, after_lots):
        self.told.append(("level", before_lots, after_lots))

    def on_book(self, order, book, elapsed_us):
        self.told.append(("book", book.us, elapsed_us))
        return 1 if book.us == 400 else 0


def test_levels_are_told_when_they_change_and_before_the_book_is_asked():
    """The bid rests at 110 behind 7 lots; 5 at 200, other prices at 300, gone at 400, where the model fills it."""
    tape = Tape.of(
        TEST,
        [
            (100, "snapshot", [(99, 7), (98, 1)], [(102, 4)]),
            (200, "depth", [(99, 5)], []),
            (300, "depth", [(98, 2)], [(102, 3)]),
            (400, "depth", [(99, 0)], []),
            (500, "depth", [(99, 9)], []),
        ],
    )
    watcher = Watcher()
    exchange = PaperExchange(BidAt99(), watcher, RULES)
    exchange.run(tape)
    assert watcher.told == [
        ("rest", 99, 7),
        ("level", 7, 5),
        ("book", 200, 90),
        ("book", 300, 100),
        ("level", 5, 0),
        ("book", 400, 100),
    ]
    journal = exchange.journal()
    assert journal.fills[:, [0, 4]].tolist() == [[400, 1]]
    assert journal.fill_reasons[journal.fills[0, 6]] == "Watcher:book"


def test_a_model_that_raises_or_leaves_is_named_with_its_line():
    """Also one that asks the interpreter to end: a hook is no place to do that from."""

    class Leaves(Watcher):
        def on_level(self, order, before_lots, after_lots):
            raise SystemExit(7)

    tape = Tape.of(TEST, [(100, "snapshot", [(99, 7)], [(102, 4)]), (200, "depth", [(99, 5)], [])])
    with pytest.raises(ModelError, match=r"Leaves\.on_level raised SystemExit: 7 at .*test_user_code\.py:\d+"):
        PaperExchange(BidAt99(), Leaves(), RULES).run(tape)


class Keeps:
    """Keeps all that it is shown, and looks at one of them the next time."""

    def __init__(self, which):
        self.which, self.last = which, {}

    def look(self, name, shown, field):
        before, self.last[name] = self.last.get(name), shown
        return getattr(before, field) if before is not None and name == self.which else None

    def quote(self, view):
        self.look("view", view, "bid_ticks")
        if view.last_trade:
            self.look("last trade", view.last_trade, "lots")
        return Quotes(99, None)

    def on_trade(self, order, trade):
        self.look("order", order, "lots")
        self.look("trade", trade, "lots")
        return 0

    def on_book(self, order, book, elapsed_us):
        self.look("book", book, "bid_ticks")
        return 0

    def on_level(self, order, before_lots, after_lots):
        self.look("order of a level", order, "lots")


@pytest.mark.parametrize("which", ["view", "last trade", "order", "trade", "book", "order of a level", None])
def test_what_was_kept_does_not_show_the_next_call(which):
    """Else "the price of the last time" would be the price of now, in silence; to keep without a look is no fault."""
    model = Keeps(which)
    steps = [(at * 1_000_000, "trade", -1, 101, 1) for at in range(1, 5)]
    steps += [(at * 1_000_000 + 7, "depth", [(99, at)], []) for at in range(1, 5)]
    tape = Tape.of(TEST, [(100, "snapshot", [(99, 7)], [(102, 4)]), *sorted(steps)])
    exchange = PaperExchange(model, model, RULES)
    if which is None:
        exchange.run(tape)
        assert len(exchange.journal().orders)
        return
    with pytest.raises(ModelError, match=r"^Keeps\.\w+ raised ReferenceError: .* after its call.* at .*_code\.py:"):
        exchange.run(tape)


def test_an_error_without_a_traceback_has_no_place():
    """Nothing is made up where nothing is known."""
    assert str(raised(Watcher(), "on_book", ValueError("odd"))) == "Watcher.on_book raised ValueError: odd"


def test_a_path_is_no_module(tmp_path, monkeypatch):
    """Not even where Python would find one: a zip file on its path takes `a/b` for a file in a folder."""
    place = tmp_path / "code.zip"
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("models/mine.py", "raise RuntimeError('it was imported')")
    monkeypatch.syspath_prepend(str(place))
    with pytest.raises(UnknownModel, match=r"'models/mine' is a path; give package\.module:Class"):
        load_class("models/mine:bid", "quote model")
