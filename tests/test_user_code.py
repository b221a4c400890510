"""Hooks of custom fill models, on tapes short enough to calculate by hand."""

import zipfile

import pytest

from mm import PaperExchange, Quotes, Rules, Tape
from mm.base.user_code import load_class, raised
from mm.errors import ModelError, UnknownModel
from mm.instrument import Instrument
from support import run_mm, run_python

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
    """Records its hook calls; fills one lot at the book change of 400."""

    def __init__(self):
        self.calls = []

    def on_rest(self, order, book):
        self.calls.append(("rest", order.ticks, book.lots_at(1, 99)))

    def on_level(self, order, before_lots, after_lots):
        self.calls.append(("level", before_lots, after_lots))

    def on_book(self, order, book, elapsed_us):
        self.calls.append(("book", book.us, elapsed_us))
        return 1 if book.us == 400 else 0


def test_on_level_is_called_on_change_and_before_on_book():
    """The bid rests at 110 behind 7 lots; 5 at 200, other prices change at 300, 0 at 400, where the model fills."""
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
    assert watcher.calls == [
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


def test_exception_in_hook_error_names_model_and_line():
    """SystemExit in a hook is reported as a model error, too."""

    class Leaves(Watcher):
        def on_level(self, order, before_lots, after_lots):
            raise SystemExit(7)

    tape = Tape.of(TEST, [(100, "snapshot", [(99, 7)], [(102, 4)]), (200, "depth", [(99, 5)], [])])
    with pytest.raises(ModelError, match=r"test_user_code\.py:\d+: Leaves\.on_level raised SystemExit: 7"):
        PaperExchange(BidAt99(), Leaves(), RULES).run(tape)


class Keeps:
    """Keeps the objects passed to its hooks, and reads one of them in the next call."""

    def __init__(self, which):
        self.which, self.last = which, {}

    def look(self, name, passed, field):
        before, self.last[name] = self.last.get(name), passed
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
def test_kept_view_raises_reference_error_after_its_call(which):
    """A kept view must not silently show the next call's values; keeping it without reading is allowed."""
    model = Keeps(which)
    steps = [(at * 1_000_000, "trade", -1, 101, 1) for at in range(1, 5)]
    steps += [(at * 1_000_000 + 7, "depth", [(99, at)], []) for at in range(1, 5)]
    tape = Tape.of(TEST, [(100, "snapshot", [(99, 7)], [(102, 4)]), *sorted(steps)])
    exchange = PaperExchange(model, model, RULES)
    if which is None:
        exchange.run(tape)
        assert len(exchange.journal().orders)
        return
    with pytest.raises(ModelError, match=r"_code\.py:\d+: Keeps\.\w+ raised ReferenceError: .* after its call"):
        exchange.run(tape)


def test_error_without_traceback_has_the_place_of_its_hook():
    """The first line of the method; of a compiled one none is invented."""
    line = Watcher.on_book.__code__.co_firstlineno
    said = str(raised(Watcher(), "on_book", ValueError("odd")))
    assert said.endswith(f"test_user_code.py:{line}: Watcher.on_book raised ValueError: odd")
    assert str(raised({}, "get", ValueError("odd"))) == "dict.get raised ValueError: odd"


def test_load_class_rejects_path_instead_of_module(tmp_path, monkeypatch):
    """Even where Python would import it: a zip file on sys.path accepts `a/b` as a path."""
    archive_path = tmp_path / "code.zip"
    with zipfile.ZipFile(archive_path, "w") as archive:
        archive.writestr("models/mine.py", "raise RuntimeError('it was imported')")
    monkeypatch.syspath_prepend(str(archive_path))
    with pytest.raises(UnknownModel, match=r"'models/mine' is a path; give package\.module:Class"):
        load_class("models/mine:bid", "quote model")


EXITS = """
import sys


class Built:
    def __init__(self):
        sys.exit(0)

    def quote(self, view):
        return None

    def on_trade(self, order, trade):
        return 0

    def on_book(self, book, *more):
        return None


class Called:
    def quote(self, view):
        sys.exit(0)

    def on_trade(self, order, trade):
        sys.exit(0)

    def on_book(self, book, *more):
        sys.exit(0)


class Begun:
    def quote(self, view):
        yield None

    async def on_trade(self, order, trade):
        return 0

    async def on_book(self, book, *more):
        return None


class Rests:
    async def on_event(self, market, orders):
        orders.submit(1, market.bid_ticks)

    def on_trade(self, order, trade):
        return 0

    async def on_rest(self, order, book):
        self.order = order

    def on_book(self, book, *more):
        return None

    async def begin(self, book):
        self.book = book
"""
DOORS = {
    "QUOTE_MODEL": ("backtest",),
    "FILL_MODEL": ("backtest",),
    "SIGNALS": ("signals", "compute"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a short day and the files of a user."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "exits.py").write_text(EXITS)
    (folder / "leaves.py").write_text("import sys\n\nsys.exit(0)\n")
    done = run_mm("sim", "day", "--symbol", "TESTUSDT", "--day", "20260105", "--hours", "0.05", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow  # a process for each case
@pytest.mark.parametrize("variable", DOORS)
@pytest.mark.parametrize(
    ("name", "code"),
    [("exits:Built", 1), ("exits:Called", 1), ("leaves:Any", 1), ("exits:Begun", 2), ("exits:Rests", 2)],
)
def test_code_that_exits_or_only_begins_is_an_error_with_its_place(folder, variable, name, code):
    """An exit with 0 is no success of a command, and an `async` hook of a strategy sends no order."""
    given = {"SYMBOL": "TESTUSDT", "DAY": "20260105", "LOG_LEVEL": "ERROR", variable: name}
    done = run_python("-m", "mm", *DOORS[variable], cwd=folder, **given)
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {name.partition(':')[0]}.py:")
    assert not [path for path in (folder / "out").glob("*/TESTUSDT/*") if "logs" not in path.parts]
