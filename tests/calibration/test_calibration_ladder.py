"""Calibration quotes: FixedDelta and CalibrationLadder."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine_cases import TABLES, read_journal
from engine_tapes import TEST, tapes
from mm import Rules, backtest
from mm.backtest.models import trade_cross
from mm.calibration.quotes.calibration_ladder import CalibrationLadder, FixedDelta
from mm.errors import UsageError
from plain_ladder import PlainFixedDelta, PlainLadder

DELTAS = (1, 2, 3, 5, 8, 13)


def view(us=0, bid=100, ask=102, bid_lots=1, ask_lots=3):
    return {"us": us, "bid_ticks": bid, "ask_ticks": ask, "bid_lots": bid_lots, "ask_lots": ask_lots}


def prices(quotes):
    return quotes.bid_ticks, quotes.ask_ticks


def test_both_quotes_are_at_distance_from_mid():
    assert prices(FixedDelta(3).answer(**view(bid=100, ask=102))) == (98, 104)


def test_half_tick_mid_rounds_quotes_outwards():
    """A bid is floored and an ask ceiled: no side is nearer than requested."""
    assert prices(FixedDelta(3).answer(**view(bid=100, ask=101))) == (97, 104)


def test_quote_quantity_comes_from_engine():
    quotes = FixedDelta(3).answer(**view(), quote_lots=7)
    assert (quotes.bid_lots, quotes.ask_lots) == (7, 7)


@pytest.mark.parametrize(("reference", "expected"), [("mid", (100, 102)), ("micro", (99, 102)), ("best", (99, 103))])
def test_distance_is_measured_from_reference(reference, expected):
    """Micro-price of 1 lot bid at 100 and 3 offered at 102: 100.5, nearer the thin side."""
    assert prices(FixedDelta(1, reference=reference).answer(**view())) == expected


def test_quotes_stay_until_mid_moves_by_threshold():
    """The measurement needs a resting order that the market moves past."""
    model = FixedDelta(3, mid_move_threshold_ticks=2)
    first = prices(model.answer(**view(bid=100, ask=102)))
    assert prices(model.answer(**view(bid=101, ask=104))) == first  # mid +1.5
    assert prices(model.answer(**view(bid=102, ask=104))) == (100, 106)  # mid +2
    assert prices(model.answer(**view(bid=101, ask=103))) == (100, 106)  # -1 from the new anchor


def test_zero_threshold_follows_every_move():
    model = FixedDelta(3, mid_move_threshold_ticks=0)
    model.answer(**view(bid=100, ask=102))
    assert prices(model.answer(**view(bid=101, ask=102))) == (98, 105)


def test_new_dwell_changes_distance_and_anchor():
    ladder = CalibrationLadder((1, 5), dwell_ms=60_000, start_us=7)
    near, far = ladder.cycle(0)
    assert prices(ladder.answer(**view(us=7))) == (101 - near, 101 + near)
    assert prices(ladder.answer(**view(us=7 + 59_999_999, bid=101, ask=103))) == (101 - near, 101 + near)
    assert prices(ladder.answer(**view(us=7 + 60_000_000, bid=101, ask=103))) == (102 - far, 102 + far)


def test_every_cycle_contains_every_distance_once():
    ladder = CalibrationLadder(DELTAS, dwell_ms=10)
    shown = []
    for number in range(20 * len(DELTAS)):
        ladder.answer(**view(us=10_000 * number))
        shown.append(ladder.delta_ticks)
    assert all(set(shown[at : at + 6]) == set(DELTAS) for at in range(0, len(shown), 6))
    assert set(Counter(shown).values()) == {20}


def test_distances_are_shuffled_between_cycles():
    """A fixed order would always quote the same distance at the full hour."""
    ladder = CalibrationLadder(DELTAS, dwell_ms=10)
    first = Counter(ladder.cycle(number)[0] for number in range(600))
    assert all(70 <= first[delta] <= 130 for delta in DELTAS)


def test_seed_determines_fixed_cycle_order():
    """Only the seed is recorded, so the order that it determines must never change."""
    ladder = CalibrationLadder(DELTAS, dwell_ms=60_000, seed=7)
    assert [ladder.cycle(number) for number in (0, 1, 1_000_000)] == [
        (1, 2, 8, 13, 3, 5),
        (3, 5, 8, 2, 13, 1),
        (5, 13, 1, 2, 3, 8),
    ]


@given(st.integers(0, 2**32), st.lists(st.integers(0, 10**10), min_size=1, max_size=8))
def test_distance_depends_only_on_time(seed, instants):
    """The number and order of calls do not matter: windows may be replayed in any order."""
    fresh_distances = []
    for us in instants:
        ladder = CalibrationLadder(DELTAS, dwell_ms=60_000, seed=seed)
        ladder.answer(**view(us=us))
        fresh_distances.append(ladder.delta_ticks)
    ladder = CalibrationLadder(DELTAS, dwell_ms=60_000, seed=seed)
    sequential_distances = []
    for us in instants:
        ladder.answer(**view(us=us))
        sequential_distances.append(ladder.delta_ticks)
    assert fresh_distances == sequential_distances


@pytest.mark.parametrize("deltas", [(), (1, 1), (2, 1), (-1, 2), (1, float("nan")), (1, float("inf"))])
def test_invalid_distances_are_rejected(deltas):
    with pytest.raises(UsageError, match=r"^(deltas|each of deltas|delta_ticks) is"):
        CalibrationLadder(deltas, dwell_ms=60_000)


@pytest.mark.parametrize("dwell_ms", [0, -1, float("nan"), 0.0001])
def test_invalid_dwell_is_rejected(dwell_ms):
    with pytest.raises(UsageError, match=r"^dwell_ms is"):
        CalibrationLadder(DELTAS, dwell_ms=dwell_ms)


def test_unknown_reference_and_negative_threshold_are_rejected():
    with pytest.raises(UsageError, match="choose one of mid, micro, best"):
        FixedDelta(1, reference="last")
    with pytest.raises(UsageError, match="mid_move_threshold_ticks is"):
        FixedDelta(1, mid_move_threshold_ticks=-1)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tapes(100_000), st.data())
def test_journal_equals_that_of_plain_implementation(drawn_tapes, data):
    """Equal orders and anchors for every reference, threshold and dwell."""
    reference, threshold = data.draw(st.sampled_from(["mid", "micro", "best"])), data.draw(st.sampled_from([0, 0.5, 2]))
    deltas = data.draw(st.sampled_from([(0.5,), (0, 1, 2.5), (1, 3)]))
    dwell_us, seed = data.draw(st.sampled_from([50_000, 200_000, 1_000_000])), data.draw(st.integers(0, 3))
    begin_us = drawn_tapes[0].start_us + data.draw(st.sampled_from([-300_000, 0, 250_000]))
    pairs = [
        (FixedDelta(deltas[-1], threshold, reference), PlainFixedDelta(deltas[-1], threshold, reference)),
        (
            CalibrationLadder(deltas, dwell_us / 1000, threshold, seed, begin_us, reference),
            PlainLadder(deltas, dwell_us, threshold, seed, begin_us, reference),
        ),
    ]
    rules = Rules(TEST.tick_e8, TEST.lot_e8, order_latency_us=10, requote_us=100_000, start_lots=100, quote_lots=1)
    for ours, plain in pairs:
        journals = [read_journal(backtest(drawn_tapes, model, trade_cross(), rules).journal) for model in (ours, plain)]
        for table in TABLES:
            assert getattr(journals[0], table) == getattr(journals[1], table)
        np.testing.assert_array_equal(ours.anchors(), np.array(plain.anchors).reshape(-1, 3))
