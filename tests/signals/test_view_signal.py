"""Signals in quote models: the last row at or before each call, in replay, feed and live engine."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mm
from engine_tapes import BEGIN_US, TEST, one_tape, stamped
from mm import PaperExchange, Rules, Tape, backtest
from mm.backtest.engine.live_feed import feed_events
from mm.backtest.fills.base import TradeCross
from mm.backtest.quotes.steps import ShiftBy, SizeBy, WidenBy
from mm.errors import ModelError, UsageError
from mm.live._live_engine import LiveEngine
from mm.signals.compute import compute

NAMES = ("imbalance_5", "ofi", "momentum_1s", "signed_volume_1s", "cancel_rate_1s")
RULES = Rules(TEST.tick_e8, TEST.lot_e8, requote_us=100_000)
SECOND = 1_000_000


class Reading:
    """Quote model that only stores the signals of each call."""

    signals = NAMES

    def __init__(self):
        self.read = []

    def quote(self, view):
        self.read.append((view.us, [view.signal(name) for name in NAMES]))


def last_rows(tape, instants):
    """Return the values of the columns at each instant: the last row at or before it."""
    pieces = list(compute(tape, NAMES))
    us = np.concatenate([np.empty(0, np.int64), *(piece.recv_us for piece in pieces)])
    values = np.concatenate([np.empty((len(NAMES), 0)), *(piece.values for piece in pieces)], axis=1)
    found = []
    for instant in instants:
        at = int(np.searchsorted(us, instant, side="right")) - 1
        row = [None] * len(NAMES) if at < 0 else values[:, at].tolist()
        found.append([None if one is None or np.isnan(one) else one for one in row])
    return found


def assert_read(tape, read):
    assert [values for _, values in read] == last_rows(tape, [us for us, _ in read])


@given(one_tape(SECOND // 4), st.integers(1, 7))
@settings(max_examples=30, deadline=None)
def test_replay_and_feed_read_last_row(drawn, cut):
    tape, _ = drawn
    replayed = Reading()
    backtest(tape, replayed, TradeCross(), RULES)
    assert_read(tape, replayed.read)
    fed = Reading()
    exchange, events = PaperExchange(fed, TradeCross(), RULES), list(feed_events(tape))
    for first in range(0, len(events), cut):
        exchange.feed(events[first : first + cut])
    exchange.advance(tape.end_us)
    assert_read(tape, fed.read)
    assert fed.read == replayed.read


@given(one_tape(SECOND // 4), st.lists(st.sampled_from([0, 500, 90_000, 400_000]), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_delayed_market_is_read_by_receive_time(drawn, delays):
    tape = stamped(drawn[0], delays, 0)
    reading = Reading()
    backtest(tape, reading, TradeCross(), replace(RULES, recorded_feed=True))
    assert_read(tape, reading.read)


@given(one_tape(SECOND // 4))
@settings(max_examples=30, deadline=None)
def test_live_engine_reads_last_row(drawn):
    tape, _ = drawn
    reading = Reading()
    engine = LiveEngine(reading, RULES)
    for event in feed_events(tape):
        if event.us > engine.now_us + 1:  # otherwise more events of this instant may follow
            engine.advance(event.us - 1)
        engine.feed((event,))
    engine.advance(tape.end_us)
    assert_read(tape, reading.read)


def small():
    """Return a tape whose first diff leaves 3 of 4 lots on the bid."""
    us = BEGIN_US
    rows = [(us, "snapshot", [(99, 1)], [(103, 1)]), (us + SECOND, "depth", [(99, 3)], [])]
    return Tape.of(TEST, [*rows, (us + 3 * SECOND, "depth", [], [(104, 1)])])


class FixedQuotes:
    def quote(self, view):
        return mm.Quotes(98.0, 104.0, 100, 100)


def test_undeclared_signal_is_rejected():
    class Other(Reading):
        signals = ("spread",)

    with pytest.raises(ModelError, match=r"signal\('imbalance_5'\): the model does not declare it"):
        backtest(small(), Other(), TradeCross(), RULES)

    class Near(Reading):
        signals = ("imbalance_10",)

    with pytest.raises(ModelError, match=r"'imbalance_5'.* did you mean imbalance_10\?"):
        backtest(small(), Near(), TradeCross(), RULES)

    class Text(Reading):
        signals = "spread"

    with pytest.raises(UsageError, match="must be a tuple of names"):
        backtest(small(), Text(), TradeCross(), RULES)

    class Fitted(Reading):
        signals = ("micro_price",)

    with pytest.raises(UsageError, match="fitted on earlier days, and there is no fit"):
        backtest(small(), Fitted(), TradeCross(), RULES)


class Recording:
    """Calls the inner model and stores prices and lots by instant."""

    def __init__(self, inner):
        self.inner, self.signals, self.quoted = inner, inner.signals, []

    def quote(self, view):
        quotes = self.inner.wants(view)
        self.quoted.append((view.us, quotes.bid_ticks, quotes.ask_ticks, quotes.bid_lots, quotes.ask_lots))


def quoted_by(step):
    probed = Recording(step)
    backtest(small(), probed, TradeCross(), RULES)
    return {us - BEGIN_US: tuple(rest) for us, *rest in probed.quoted}


def test_steps_follow_the_signal():
    """Imbalance is undefined before the first diff, (3 - 1)/4 = 0.5 after it, and 0.5 after the second."""
    before, after = 500_000, 2 * SECOND
    shifted = quoted_by(ShiftBy(FixedQuotes(), signal="imbalance_1", by=3.0))
    assert (shifted[before], shifted[after]) == ((98.0, 104.0, 100, 100), (99.5, 105.5, 100, 100))
    assert quoted_by(ShiftBy(FixedQuotes(), signal="imbalance_1", by=-3.0, most=1.0))[after][:2] == (97.0, 103.0)
    widened = quoted_by(WidenBy(FixedQuotes(), signal="imbalance_1", by=4.0))
    assert (widened[before][:2], widened[after][:2]) == ((98.0, 104.0), (96.0, 106.0))
    assert quoted_by(SizeBy(FixedQuotes(), signal="imbalance_1", by=1.0))[after] == (98.0, 104.0, 100, 50)
    assert quoted_by(SizeBy(FixedQuotes(), signal="imbalance_1", by=-1.5, least=0.4))[after] == (98.0, 104.0, 40, 100)
    assert quoted_by(SizeBy(FixedQuotes(), signal="imbalance_1", by=3.0))[after] == (98.0, None, 100, 0)
    assert quoted_by(SizeBy(FixedQuotes(), signal="imbalance_1", by=1.0, both=True))[after] == (98.0, 104.0, 50, 50)
    # 99 + 4·3/4 = 102 is one tick above the mid.
    assert quoted_by(ShiftBy(FixedQuotes(), signal="weighted_mid", by=0.5))[after][:2] == (98.5, 104.5)


def test_nested_steps_read_their_own_signals():
    inner = ShiftBy(FixedQuotes(), signal="imbalance_1", by=2.0)
    outer = WidenBy(inner, signal="spread", by=0.25)
    assert outer.signals == ("imbalance_1", "spread")
    assert quoted_by(outer)[2 * SECOND][:2] == (98.0, 106.0)
