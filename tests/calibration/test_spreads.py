"""The fit in each state of the spread."""

import numpy as np
from small_tapes import book, gap, tape, trade

from mm.calibration.calibrate import measure
from mm.calibration.meter import Meter
from mm.calibration.recipe import Recipe
from mm.calibration.spreads import by_spread, large_tick

S = 1_000_000


def market(seed=3, hours=4):
    """Every second spread and flow change place: one tick wide and A = 0.2, or four ticks wide and A = 0.8; k = 0.6."""
    rng = np.random.default_rng(seed)
    told, trade_us = [], 0
    for n in range(hours * 3600):
        spread, A = ((1, 0.2), (4, 0.8))[n % 2]
        told.append(book(n * S, 1000, 1000 + spread))
        for side, touch in ((1, 1000 + spread), (-1, 1000)):
            for at_us in sorted(rng.integers(1, S, rng.poisson(A * np.exp(-0.6 * spread / 2))).tolist()):
                trade_us += 1
                depth = int(rng.geometric(1 - np.exp(-0.6))) - 1
                told.append(trade(n * S + at_us, side, touch + side * depth, trade_us))
    return tape(sorted(told, key=lambda event: event[1]), 0, hours * 3600 * S)


def test_each_state_has_its_own_rate():
    """One curve through both bends; in each state the truth of that state comes out."""
    narrow, wide = by_spread(Meter(market(), Recipe(max_delta_ticks=15)))
    assert (narrow.from_ticks, narrow.to_ticks, narrow.share) == (1, 1, 0.5)
    assert (wide.from_ticks, wide.to_ticks, wide.share) == (3, 4, 0.5)
    for state, A in ((narrow, 0.2), (wide, 0.8)):
        assert abs(np.log(state.A / A)) < 4 * state.se_logA
        assert abs(state.k - 0.6) < 4 * state.se_k


def test_states_share_out_seconds_and_sweeps():
    """What is counted in the states is what is counted without them."""
    meter = Meter(market(hours=1), Recipe(max_delta_ticks=15))
    whole = meter.between(meter.start_us, meter.end_us).fitted
    states = by_spread(meter)
    assert sum(state.n_fills for state in states) == whole.fills.sum()
    assert abs(sum(state.exposure_s for state in states) - whole.exposure_s.sum()) < 1e-6


def test_shares_are_of_the_time_with_a_book():
    told = [book(0, 100, 101), gap(6 * S), book(8 * S, 100, 109)]
    states = by_spread(Meter(tape(told, 0, 10 * S), Recipe()))
    assert [(one.from_ticks, one.to_ticks, one.share, one.status) for one in states] == [
        (1, 1, 0.75, "no_fills"),
        (9, 16, 0.25, "no_fills"),
    ]


def test_a_large_tick_is_told():
    """Three quarters of the time one tick wide; the warning stands in the fit."""
    told = [book(0, 100, 101), book(6 * S, 100, 103)]
    (line,) = large_tick(Meter(tape(told, 0, 8 * S), Recipe()))
    assert "one tick in 75 % of the time" in line
    assert line in measure(tape(told, 0, 8 * S)).fit.warnings
    assert large_tick(Meter(tape(told, 0, 30 * S), Recipe())) == ()


def test_without_a_book_there_is_no_state():
    meter = Meter(tape([], 0, 10 * S), Recipe())
    assert (by_spread(meter), large_tick(meter)) == ([], ())
