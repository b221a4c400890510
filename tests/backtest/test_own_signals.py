"""Signals of our own orders: engine and oracle, steps, and the error outside a run."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from engine_cases import Case, Scripted, cases, compiled_fills, oracle_tapes, plain_fills, read_journal
from engine_tapes import BEGIN_US, TEST
from mm import PaperExchange, Rules, Tape, backtest
from mm.backtest.fills.base import TradeCross
from mm.backtest.quotes.steps import ShiftBy
from mm.errors import UsageError
from mm.signals.compute import compute
from mm.signals.families import OURS, SIGNALS
from named import model_of

QUEUES = [("queue_back",), ("queue_prob_power", 2.0), ("trade_cross", False, 1.0, 0)]


class SignalReader(Scripted):
    """Answer as scripted, and record the signals of its own orders."""

    signals = ("imbalance_1", *OURS)

    def __init__(self, answers):
        super().__init__(answers)
        self.read = []

    def quote(self, view):
        self.read.append((view.us, [view.signal(name) for name in OURS]))
        return super().quote(view)


def near(read):
    return [
        (us, [None if value is None else pytest.approx(value, abs=1e-9) for value in values]) for us, values in read
    ]


@pytest.mark.slow
@given(cases(fills=lambda _: st.sampled_from(QUEUES)))
@settings(max_examples=120, deadline=None)
def test_own_signals_of_engine_and_oracle_are_equal(case: Case):
    """At each requote; lots ahead only where the fill model has a queue."""
    answers = ((0.5, 1.5, None, None), (1, 1, 2, 2)) if isinstance(case.answers, float) else case.answers
    fast, plain = SignalReader(answers), SignalReader(answers)
    exchange = PaperExchange(fast, compiled_fills(*case.fills, seen=[]), case.rules)
    case.play(exchange, case.tapes)
    oracle_run = oracle.Backtest(plain.quote, plain_fills(*case.fills, seen=[]), case.rules)
    case.play(oracle_run, oracle_tapes(case.tapes))
    queued = case.fills[0] != "trade_cross"
    for _, values in plain.read:
        if not queued:
            values[OURS.index("own_bid_ahead")] = values[OURS.index("own_ask_ahead")] = None
    assert near(fast.read) == plain.read
    assert read_journal(exchange.journal()).orders == oracle_run.left().orders


def test_shift_by_step_reads_the_inventory_signal():
    """Two clips held move both prices two ticks down; the target is 0."""
    tape = Tape.of(
        TEST, [(BEGIN_US, "snapshot", [(99, 1)], [(103, 1)]), (BEGIN_US + 2_000_000, "depth", [(99, 2)], [])]
    )
    rules = Rules(TEST.tick_e8, TEST.lot_e8, start_lots=2, target_lots=0, enforce_balances=False)
    model = ShiftBy(model_of("fixed_spread", delta_ticks=2), signal="inventory", by=-1.0)
    orders = backtest(tape, model, TradeCross(), rules).journal.orders
    assert {(side, ticks) for side, ticks in orders[:, [4, 5]].tolist()} == {(1, 97), (-1, 101)}


def test_own_signals_cannot_be_computed_from_a_tape():
    tape = Tape.of(TEST, [(BEGIN_US, "snapshot", [(99, 1)], [(103, 1)])])
    for name in OURS:
        with pytest.raises(
            UsageError,
            match="depends on our own orders, so it cannot be computed from a tape; quote models read it in a run",
        ):
            list(compute(tape, [name]))
        assert SIGNALS.family(name).group == "ours"
