"""Signals of another market: equal offline and live, equal to plain formulas, and worth what the lead is worth."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mm
from engine_tapes import BEGIN_US, TEST, one_tape
from mm import Tape
from mm.errors import UsageError
from mm.instrument import Instrument
from mm.signals.compute import compute, live
from mm.signals.other_feed import OtherFeed
from mm.signals.score import score
from simulation import simulate_day, truth_of

LEAD = Instrument("LEADUSDT", tick_e8=10_000_000, lot_e8=1_000)
NAMES = ("lead.basis", "lead.return_500ms", "lead.divergence_500ms", "lead.imbalance_1", "lead.signed_volume_1s")
SECOND = 1_000_000


def columns(tape, names, others):
    pieces = list(compute(tape, names, others=others))
    return np.concatenate([np.empty((len(names), 0)), *(piece.values for piece in pieces)], axis=1)


@given(one_tape(SECOND // 4), one_tape(SECOND // 4), st.sampled_from([0, 1, 300_000]))
@settings(max_examples=40, deadline=None)
def test_signals_of_another_market_are_equal_offline_and_live(drawn, other, delay_us):
    tape, theirs = drawn[0], other[0]
    others = {"lead": OtherFeed(LEAD, (theirs,), delay_us)}
    rows = [[row[name] for name in NAMES] for row in live(tape, NAMES, others=others)]
    fed = np.array(rows, np.float64).reshape(-1, len(NAMES)).T
    np.testing.assert_array_equal(columns(tape, NAMES, others), fed)


def test_pair_signals_are_their_formulas():
    """Our mid is 1.00, then 1.02 from 0.8 s on; theirs 1.0 until 0.45 s, 1.1 until 0.95 s, and 1.2 after."""
    own = [(step * 100_000, "depth", [(99 if step < 8 else 101, 2)], []) for step in range(1, 16)]
    moved = (800_000, "depth", [(99, 0), (101, 2)], [(101, 0), (103, 2)])
    tape = Tape.of(TEST, [(0, "snapshot", [(99, 1)], [(101, 1)]), *own[:7], moved, *own[8:]])
    theirs = [(450_000, "snapshot", [(10, 1)], [(12, 1)]), (950_000, "snapshot", [(11, 1)], [(13, 1)])]
    lead = Tape.of(LEAD, [(0, "snapshot", [(9, 1)], [(11, 1)]), *theirs, (2_000_000, "depth", [(10, 1)], [])])
    names = ("mid", *NAMES[:3], "lead.mid")
    us = np.concatenate([piece.recv_us for piece in compute(tape, names, others={"lead": OtherFeed(LEAD, (lead,))})])
    mid, basis, returned, diverged, their_mid = columns(tape, names, {"lead": OtherFeed(LEAD, (lead,))})
    theirs = np.where(us < 450_000, 1.0, np.where(us < 950_000, 1.1, 1.2))
    before = np.where(us < 950_000, 1.0, np.where(us < 1_450_000, 1.1, 1.2))
    np.testing.assert_allclose(basis, 1e4 * np.log(theirs / mid), atol=1e-9)
    known = us >= 500_000
    np.testing.assert_allclose(returned[known], 1e4 * np.log(theirs / before)[known], atol=1e-9)
    assert np.isnan(returned[~known]).all()
    own_before = np.where(us < 1_300_000, 1.0, 1.02)
    np.testing.assert_allclose(
        diverged[known], (1e4 * np.log(theirs / before) - 1e4 * np.log(mid / own_before))[known], atol=1e-9
    )
    assert np.isnan(their_mid).all()  # no diff of theirs has made a row


def test_a_return_over_a_gap_of_the_other_book_is_undefined():
    tape = Tape.of(
        TEST, [(0, "snapshot", [(99, 1)], [(101, 1)]), *((s * 10**5, "depth", [(98, s)], []) for s in range(1, 30))]
    )
    levels = "snapshot", [(9, 1)], [(11, 1)]
    lead = Tape.of(LEAD, [(0, *levels), (10**6, "gap"), (1_200_000, *levels), (3 * 10**6, "depth", [(8, 1)], [])])
    us = np.arange(1, 30) * 10**5
    (values,) = columns(tape, ("lead.return_500ms",), {"lead": OtherFeed(LEAD, (lead,))})
    assert (np.isnan(values) == ((us < 500_000) | ((us >= 10**6) & (us < 1_700_000)))).all()


def test_names_of_unknown_markets_and_signals_are_refused():
    tape = Tape.of(TEST, [(BEGIN_US, "snapshot", [(99, 1)], [(101, 1)]), (BEGIN_US, "depth", [(98, 1)], [])])
    others = {"lead": OtherFeed(LEAD, (tape,))}
    with pytest.raises(
        UsageError, match=r"'led.basis' reads the market 'led', and the other markets are lead; set others"
    ):
        list(compute(tape, ["led.basis"], others=others))
    with pytest.raises(UsageError, match="other markets are none"):
        list(compute(tape, ["lead.imbalance_1"]))
    with pytest.raises(UsageError, match="'inventory' depends on our own orders"):
        list(compute(tape, ["lead.inventory"], others=others))
    with pytest.raises(UsageError, match="micro_price is not available of another market"):
        list(compute(tape, ["lead.micro_price"], others=others))
    with pytest.raises(Exception, match="unknown signal 'imbalanc'"):
        list(compute(tape, ["lead.imbalanc"], others=others))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Return a function that simulates a market of 20 minutes, and its tape."""
    root = tmp_path_factory.mktemp("pair")

    def made(symbol, seed, scenario, **parameters):
        folder = simulate_day(root, scenario, hours=1 / 3, seed=seed, symbol=symbol, **parameters)
        return truth_of(folder), mm.load_day(folder.path)

    return made


@pytest.mark.slow
@pytest.mark.parametrize("lag_ms", [0, 300, 1000])
def test_lead_is_found_in_the_simulated_pair(simulated, lag_ms):
    """The follower repeats the lead's moves after the lag: the return of the lead says so, at no other lag."""
    _, lead = simulated("LEADUSDT", 5, "poisson")
    truth, tape = simulated("FOLUSDT", 9, "follower", lead_seed=5, lag_ms=lag_ms)
    assert truth["lead"] == {"seed": 5, "lag_ms": lag_ms, "sigma_ticks_per_sqrt_s": 0.4}
    assert math.isclose(truth["sigma_ticks_per_sqrt_s"], math.hypot(0.1, 0.4))
    found = score(tape, ["lead.return_500ms"], horizons_s=(0.1, 0.5, 1.0), others={"lead": OtherFeed(LEAD, (lead,))})
    rho = [one.rho for one in found]
    if lag_ms == 0:
        assert max(map(abs, rho)) < 0.08
    elif lag_ms == 300:
        assert rho[1] > 0.25
    else:
        assert abs(rho[0]) < 0.1
        assert rho[2] > 0.2
