"""User-defined signals: rows and backtests equal those of a kernel; the look-ahead check detects peeking."""

import json
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mm
from engine_tapes import one_tape
from mm.errors import ModelError, UnknownModel, UsageError
from mm.signals.compute import compute, live
from mm.signals.signal_set import OwnSignal, SignalSet
from simulation import simulate_day
from support import run_python

MODULE = """
    from mm.signals.signal_set import Signal

    class Imbalance:
        '''(B - A)/(B + A) over three levels.'''

        levels, unit = 3, "-1 to 1"

        def on_book(self, book):
            bid, ask = (sum(lots for _, lots in side) for side in (book.bids(), book.asks()))
            return (bid - ask) / (bid + ask)

    class Bought:
        '''Lots bought less sold since the book began; null before the first print.'''

        one_sided = True

        def begin(self, book):
            self.total = None

        def on_trade(self, book, side, ticks, lots):
            self.total = (self.total or 0) + side * lots

        def on_book(self, book):
            return self.total

    class Raises:
        def on_book(self, book):
            return 1 / (book.bid_lots - book.bid_lots)

    class Text:
        def on_book(self, book):
            return "up"

    class Endless:
        def on_book(self, book):
            return float("inf")

    class Huge:
        def on_book(self, book):
            return 10**400

    class Peeks:
        '''The length of the day's own file, read when the book begins: at every row it would take minutes.'''

        def begin(self, book):
            import glob, gzip
            path = sorted(glob.glob("data/*/*/diffs/*"))[-1]
            with (gzip.open if path.endswith("gz") else open)(path, "rt") as file:
                self.length = float(len(file.read()))

        def on_book(self, book):
            return self.length + book.bid_ticks

    class Counts:
        '''A global count: the second run differs from the first.'''

        rows = 0

        def on_book(self, book):
            Counts.rows += 1
            return Counts.rows

    class Fills:
        def on_book(self, order, book, elapsed_us):
            return 0

    class Compiled(Signal):
        pass
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_signals.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "own_signals", raising=False)
    return "own_signals"


@pytest.fixture
def tape(tmp_path):
    folder = simulate_day(tmp_path / "data", "zero_intelligence", hours=0.02, seed=3, symbol="ZIUSDT")
    return mm.load_day(folder.path)


def values(tape, *names):
    return np.concatenate([piece.values for piece in compute(tape, names)], axis=-1)


def test_python_signal_equals_kernel(own, tape):
    python, kernel = values(tape, f"{own}:Imbalance", "imbalance_3")
    assert np.array_equal(python, kernel, equal_nan=True)
    assert np.count_nonzero(~np.isnan(kernel)) > 100


def test_python_signal_receives_prints_and_book_starts(own, tape):
    (bought,) = values(tape, f"{own}:Bought")
    kinds, total, expected = tape.kind.tolist(), None, []
    for event, kind in enumerate(kinds):
        if kind == mm.tape.tape.TRADE:
            ((side, _, lots),) = tape.rows(event)
            total = (total or 0) + side * lots
        elif kind == mm.tape.tape.DEPTH:
            expected.append(np.nan if total is None else total)
    assert np.array_equal(bought, expected, equal_nan=True)


@given(drawn=one_tape(250_000), piece=st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_live_rows_equal_column(drawn, piece):
    tape, _ = drawn

    class Tilt:
        levels = 2

        def on_book(self, book):
            return sum(ticks * lots for ticks, lots in (*book.bids(), *book.asks())) / 7

    column, again = SignalSet([("tilt", OwnSignal(Tilt()))]), SignalSet([("tilt", OwnSignal(Tilt()))])
    event, found = 0, []
    while event < len(tape):
        when, room = np.empty((piece, 2), np.int64), np.empty((1, piece))
        event, rows = column.run(tape, event, when, room)
        found += [None if np.isnan(one) else one for one in room[0, :rows].tolist()]
    fed = []
    for event, (kind, us, seq) in enumerate(
        zip(tape.kind.tolist(), tape.event_us.tolist(), tape.recv_seq.tolist(), strict=True)
    ):
        row = again.feed((kind, us, seq, 0, tape.rows(event)))
        if row is not None:
            fed.append(row["tilt"])
    assert fed == found


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("Raises", ModelError, r"own_signals\.py:\d+: Raises\.on_book raised ZeroDivisionError"),
        ("Text", ModelError, "returned 'up'; a signal is a finite number or None"),
        ("Endless", ModelError, r"own_signals\.py:\d+: Endless\.on_book returned inf"),
        ("Huge", ModelError, r"own_signals\.py:\d+: Huge\.on_book returned 1"),
        ("Fills", UnknownModel, "is not a signal; a signal is a class with the method on_book"),
        ("Gone", UnknownModel, "has no class 'Gone'"),
    ],
)
def test_error_message_names_signal(own, tape, name, error, message):
    with pytest.raises(error, match=message):
        list(live(tape, (f"{own}:{name}",)))


def test_book_is_unusable_after_call(tape):
    class Keeps:
        def on_book(self, book):
            self.book = book
            return book.us

    keeps = Keeps()
    SignalSet([("keeps", OwnSignal(keeps))]).run(tape, 0, np.empty((5, 2), np.int64), np.empty((1, 5)))
    for read in (lambda: keeps.book.us, keeps.book.bids):
        with pytest.raises(ReferenceError, match="after its call"):
            read()


def test_invalid_levels_are_rejected():
    class Deep:
        levels = 21

        def on_book(self, book):
            return 0

    with pytest.raises(UsageError, match="levels is 21; 1 to 20"):
        OwnSignal(Deep())


def test_quote_steps_read_python_signal(own, tape):
    def orders(name):
        params = {"model": ["fixed_spread", {"delta_ticks": 3}], "steps": [["shift_by", {"signal": name, "by": 2.0}]]}
        result = mm.backtest(tape, "steps", "trade_cross", quote_params_json=params, sensitivity=False)
        return result.journal.orders

    assert np.array_equal(orders(f"{own}:Imbalance"), orders("imbalance_3"))


def lookahead(folder, signal, *words):
    market = ("--symbol", "ZIUSDT", "--day", "20260105", "--cuts", "2")
    process = run_python(
        *("-m", "mm", "check", "lookahead", signal, *market, "--json", *words),
        cwd=folder,
        PYTHONPATH=f"{folder}:{mm.__path__[0]}/..",
    )
    return process, json.loads(process.stdout) if process.stdout else None


@pytest.mark.slow
@pytest.mark.parametrize("signal", ["imbalance_5", "momentum_1s", "own_signals:Bought"])
def test_causal_signal_passes_lookahead_check(own, tape, tmp_path, signal):
    process, report = lookahead(tmp_path, signal)
    assert process.returncode == 0, process.stderr
    assert report["models"] == {"signal": signal}
    assert report["tests"]["truncated"] == {"played": report["cuts"], "failed": 0}
    assert report["cuts"] > 1


@pytest.mark.parametrize(("signal", "test"), [("Peeks", "opened"), ("Counts", "repeat")])
def test_planted_lookahead_is_detected(own, tape, tmp_path, signal, test):
    process, report = lookahead(tmp_path, f"own_signals:{signal}", "--skip=fresh,files")
    assert process.returncode == 5, process.stderr
    assert report["tests"][test]["failed"] == 1
    assert "look-ahead check of" in (tmp_path / report["page"]).read_text()
