"""Signal sets over a tape equal plain Python, for any split of the tape."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_signals import PlainMarket, plain_rows, same

import mm
from captured import import_files
from engine_tapes import one_tape
from mm import DayFolder
from mm.signals.compute import compute, live
from mm.signals.families import SIGNALS
from mm.signals.micro_price import fit_micro_price
from mm.tape.tape import DEPTH, KIND_NAMES
from recorded_days import pristine_day  # noqa: F401 - a fixture
from simulation import simulate_day
from support import SHARED

MORE = ("imbalance_20", "bid_depth_3", "ask_depth_2", "multilevel_ofi_2", "multilevel_ofi_2_1s", "momentum_500ms")
SHORT = ("momentum_2e", "realised_volatility_3e", "range_2s", "bipower_2s", "ewma_volatility_1s", "cancel_rate_1s")
NAMES = (*SIGNALS.usual, *MORE, *SHORT, "trade_imbalance_1s", "sweep_rate_1s", "realised_volatility_1s")
SECOND = 1_000_000
KINDS = {"snapshot": "snapshot", "depth": "diff", "trade": "trade", "gap": "gap"}


def columns(tape, names=NAMES, piece=1 << 16, fit=None):
    """Return instants, sequence numbers and values of all rows."""
    pieces = list(compute(tape, names, fit, piece))
    if not pieces:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty((len(names), 0))
    return tuple(np.concatenate(column, axis=-1) for column in zip(*pieces, strict=True))


def none_for_nan(value):
    return None if np.isnan(value) else float(value)


@pytest.mark.slow
@given(one_tape(SECOND // 4), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_live_rows_equal_columns_bit_for_bit(drawn, piece):
    tape, _ = drawn
    us, seq, values = columns(tape)
    again = columns(tape, piece=piece)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip((us, seq, values), again, strict=True))
    rows = list(live(tape, NAMES))
    assert [(row["recv_us"], row["recv_seq"]) for row in rows] == list(zip(us.tolist(), seq.tolist(), strict=True))
    assert len(us) == np.count_nonzero(tape.kind == DEPTH)
    for at, row in enumerate(rows):
        assert [row[name] for name in NAMES] == [none_for_nan(one) for one in values[:, at]]


@given(one_tape(SECOND // 4))
@settings(max_examples=60, deadline=None)
def test_rows_of_any_tape_equal_plain_python(drawn):
    """With gaps, snapshots, sides that become empty, and several events at one instant."""
    tape, _ = drawn
    fit = fit_micro_price([tape])
    micro = None if fit is None else fit.ticks.tolist()
    market = PlainMarket(Decimal("0.01"), Decimal("0.00001"), micro)
    plain = []
    for event, (kind, us) in enumerate(zip(tape.kind.tolist(), tape.event_us.tolist(), strict=True)):
        name, rows = KIND_NAMES[kind], tape.rows(event)
        if name != "keyframe" and market.take(KINDS[name], us, rows[0] if name == "trade" else rows):
            plain.append({one: market.value(one) for one in NAMES})
    _, _, values = columns(tape, fit=fit)
    assert values.shape == (len(NAMES), len(plain))
    for at, row in enumerate(plain):
        for place, name in enumerate(NAMES):
            assert same(row[name], none_for_nan(values[place, at])), (at, name)


def assert_day_matches(path, every=1, most=None):
    """Compare the signals of a day as received with plain Python from its files; return row and value counts."""
    tape = mm.load_day(path, as_received=True)
    fit = fit_micro_price([tape])
    us, seq, values = columns(tape, fit=fit)
    defined = 0
    plain = plain_rows(path, NAMES, every, most, fit and fit.ticks.tolist())
    for count, (plain_us, plain_seq, row) in enumerate(plain):
        at = count * every
        assert (us[at], seq[at]) == (plain_us, plain_seq)
        for place, name in enumerate(NAMES):
            assert same(row[name], none_for_nan(values[place, at])), (at, name, row[name])
        defined += sum(one is not None for one in row.values())
    return len(us), defined


def test_recorded_day_with_gaps_and_two_runs_matches(pristine_day):  # noqa: F811
    rows, defined = assert_day_matches(pristine_day.path)
    assert rows > 5
    assert defined > 10 * rows


def test_generated_day_matches(tmp_path):
    folder = simulate_day(tmp_path, "zero_intelligence", hours=0.03, seed=3, symbol="ZIUSDT")
    rows, defined = assert_day_matches(folder.path, every=23)
    assert rows > 400
    assert defined > 100


@pytest.mark.skipif(not SHARED.exists(), reason="needs the captures in ../shared")
def test_real_capture_matches(tmp_path):
    captures = sorted((SHARED / "data" / "binance-spot-multi-20210404").glob("*.gz"))
    import_files(captures, tmp_path, "BTCUSDT")
    rows, defined = assert_day_matches(DayFolder(tmp_path, "BTCUSDT", "20210404").path, every=7)
    assert rows > 300
    assert defined > 100
