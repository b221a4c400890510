"""Whole runs with extreme gamma, fit and tick: none fails, and every number of a summary is finite."""

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_engine import drawn

from mm import Rules, Tape, backtest
from mm.backtest.fills.intensity import Intensity
from mm.backtest.models import avellaneda_stoikov, avellaneda_stoikov_bare, glft, gueant, poisson, queue_prob_power
from mm.instrument import Instrument

BEGIN_US = 1_000_000_000_000
GAMMAS = st.one_of(st.just("auto"), st.sampled_from([1e-9, 1e3]), st.floats(-9, 3).map(lambda power: 10.0**power))
EXTREME_RATES = st.sampled_from([1e-12, 1e-6, 1e-3, 1.0, 30.0, 1e3])  # of A and of k
TICKS_E8 = st.sampled_from([1, 1_000, 1_000_000, 100_000_000, 1_000_000_000])  # 1e-8 to 10
BUILDS = (avellaneda_stoikov, avellaneda_stoikov_bare, glft, gueant)


def wandering(instrument, seed, steps_ticks):
    """Return two minutes of a book whose best prices move by up to *steps_ticks* every half second, with prints."""
    chance, mid, events = random.Random(seed), 2_000, []
    for half_s in range(240):
        us = BEGIN_US + 500_000 * half_s
        before, mid = mid, max(mid + chance.randint(-steps_ticks, steps_ticks), 10)
        if not events:
            events.append((us, "snapshot", [(mid - 1, 5), (mid - 2, 9)], [(mid + 1, 5), (mid + 3, 9)]))
            continue
        gone = [(before - 1, 0), (before - 2, 0)], [(before + 1, 0), (before + 3, 0)]
        bids, asks = dict(gone[0]), dict(gone[1])
        bids |= {mid - 1: chance.randint(1, 9), mid - 2: 9}
        asks |= {mid + 1: chance.randint(1, 9), mid + 3: 9}
        events.append((us, "depth", list(bids.items()), list(asks.items())))
        if chance.random() < 0.5:
            side = chance.choice([1, -1])
            events.append((us + 1_000, "trade", side, mid + side * chance.randint(1, 3), chance.randint(1, 9)))
    return Tape.of(instrument, events)


def not_finite(value, name=""):
    """Return the dotted names of the numbers that are infinite or NaN."""
    if isinstance(value, dict):
        return [bad for key, item in value.items() for bad in not_finite(item, f"{name}.{key}")]
    if isinstance(value, list):
        return [bad for item in value for bad in not_finite(item, name)]
    return [name] if isinstance(value, float) and not math.isfinite(value) else []


@pytest.mark.slow
@drawn(150)
@given(
    build=st.sampled_from(BUILDS),
    gamma=GAMMAS,
    A=EXTREME_RATES,
    k=EXTREME_RATES,
    tick_e8=TICKS_E8,
    steps_ticks=st.sampled_from([0, 1, 300]),
    drawn_fills=st.booleans(),
    seed=st.integers(0, 99),
)
def test_extreme_runs_succeed_with_finite_summaries(*, build, gamma, A, k, tick_e8, steps_ticks, drawn_fills, seed):
    """The fit is used by quotes and fills, as with FILL_PARAMS_FILE."""
    instrument = Instrument("TESTUSDT", tick_e8=tick_e8, lot_e8=100_000)
    tape = wandering(instrument, seed, steps_ticks)
    fit = Intensity([(0, 2**62, A, k, A, k, k)])
    quotes = build(gamma=gamma, intensity=fit)
    fills = poisson(intensity=fit, seed=seed) if drawn_fills else queue_prob_power()
    rules = Rules(tick_e8, instrument.lot_e8, start_cash_e8=10**16, start_lots=10_000, quote_lots=2)
    summary = backtest(tape, quotes, fills, rules, intensity=fit).summary
    assert not_finite(summary) == []
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["n_orders"] >= summary["n_rejects"]
    if build is avellaneda_stoikov:
        assert summary["gamma"] is None or 0 < summary["gamma"] <= 1e3
