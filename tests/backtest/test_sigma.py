"""The volatility that models receive: correct for prices of known volatility, and without look-ahead."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_tapes import TEST
from mm import Rules, Tape, backtest
from mm.backtest.rules import SIGMA_METHODS
from mm.errors import UsageError
from named import action_of, model_of

SECOND_US = 1_000_000
SIGMA, BOUNCE = 4.0, 6.0  # ticks per root second, and ticks


class SigmaRecorder:
    """Quote nothing, and record the volatility."""

    depth = False

    def __init__(self):
        self.sigmas = []

    def quote(self, view):
        self.sigmas.append((view.us, view.sigma_ticks))


def sigmas_at(mids, **changes):
    """Return sigma at each second for *mids* in ticks; None stands for a gap."""
    events = [event(second, mid) for second, mid in enumerate(mids)]
    quotes = SigmaRecorder()
    rules = Rules(TEST.tick_e8, TEST.lot_e8, requote_us=SECOND_US, **changes)
    backtest(Tape.of(TEST, events), quotes, model_of("trade_cross"), rules)
    return quotes.sigmas


def event(second, mid):
    us = SECOND_US * (second + 1)
    return (us, "gap") if mid is None else (us, "snapshot", [(mid - 1, 5)], [(mid + 1, 5)])


def walk(seconds, seed, bounce=0.0):
    """Return the mids of a random walk of volatility SIGMA, each with an independent *bounce* added."""
    chance = np.random.default_rng(seed)
    price = 100_000 + np.cumsum(chance.normal(0, SIGMA, seconds))
    return np.rint(price + bounce * chance.choice([-1, 1], seconds)).astype(int).tolist()


def variance(mids, **changes):
    """Return the mean of sigma² over non-overlapping windows, and its standard error."""
    sigmas = np.array([sigma for _, sigma in sigmas_at(mids, **changes)])
    squared = sigmas[300::300] ** 2
    return squared.mean(), squared.std(ddof=1) / np.sqrt(len(squared))


@pytest.mark.parametrize("method", SIGMA_METHODS)
def test_methods_recover_volatility_of_a_walk_without_bounce(method):
    """Within four standard errors of sigma²."""
    mean, error = variance(walk(12_000, 3), sigma_method=method)
    assert error < 0.1 * SIGMA**2
    assert abs(mean - SIGMA**2) < 4 * error


@pytest.mark.slow
def test_two_scale_excludes_the_bounce():
    """A bounce of variance 36 adds 72 ticks² per second to the other methods, which use changes over one second."""
    mids = walk(12_000, 4, BOUNCE)
    mean, error = variance(mids, sigma_method="two_scale")
    assert error < 0.15 * SIGMA**2
    assert abs(mean - SIGMA**2) < 4 * error
    for method in ("rolling", "ewma"):
        mean, error = variance(mids, sigma_method=method)
        assert abs(mean - (SIGMA**2 + 2 * BOUNCE**2)) < 4 * error


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(SIGMA_METHODS),
    st.lists(st.one_of(st.integers(50, 60), st.none()), min_size=12, max_size=60),
    st.lists(st.one_of(st.integers(50, 500), st.none()), max_size=60),
    st.data(),
)
def test_sigma_is_independent_of_later_prices(method, mids, others, data):
    """With any later prices, or none, sigma up to a time is equal to the last bit."""
    cut = data.draw(st.integers(1, len(mids)))
    rules = {"sigma_method": method, "sigma_window_s": 6, "sigma_half_life_s": 1.5}
    mids = [50, *mids]
    sigmas = [sigmas_at(tape, **rules) for tape in (mids, mids[:cut], [*mids[:cut], *others])]
    before = [[(us, repr(sigma)) for us, sigma in run if us <= cut * SECOND_US] for run in sigmas]
    assert before[0] == before[1] == before[2]


def test_ewma_adapts_half_way_within_the_half_life():
    """One half-life after volatility rises five-fold, half of the change of sigma² has happened."""
    quiet, wild = [100 + second % 2 for second in range(400)], [100 + 5 * (second % 2) for second in range(400)]
    sigmas = dict(sigmas_at([*quiet, *wild], sigma_method="ewma", sigma_half_life_s=30.0))
    before, after, last = (sigmas[SECOND_US * second] ** 2 for second in (400, 431, 800))
    assert before == pytest.approx(1.0)
    assert after == pytest.approx((1 + 25) / 2, rel=0.01)
    assert last == pytest.approx(25, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigma_method": "garch"}, "sigma_method is 'garch'; it must be one of rolling, ewma, two_scale"),
        ({"sigma_half_life_s": 0.0}, "sigma_half_life_s is 0.0; it must be above 0"),
        ({"sigma_half_life_s": float("nan")}, "sigma_half_life_s is nan"),
        ({"sigma_method": "two_scale", "sigma_window_s": 3}, "sigma_window_s is 3; two_scale needs 4 seconds at least"),
    ],
)
def test_invalid_volatility_settings_raise_usage_error(changes, message):
    with pytest.raises(UsageError, match=message):
        Rules(TEST.tick_e8, TEST.lot_e8, **changes)


def test_adaptive_spread_widens_within_the_half_life():
    """A market that moves five times as much for 30 s: 1 + 2·σ ticks per side rise from 3 to 1 + 2·√13."""
    mids = [100 + (second % 2) * (1 if second < 120 else 5) for second in range(151)]
    rules = Rules(TEST.tick_e8, TEST.lot_e8, requote_us=SECOND_US, sigma_method="ewma", sigma_half_life_s=30.0)
    quotes = model_of("adaptive_spread", least_ticks=1.0, per_sigma=2.0)
    orders = backtest(
        Tape.of(TEST, list(map(event, range(151), mids))), quotes, model_of("trade_cross"), rules
    ).journal.orders
    placed = {(row[0] // SECOND_US - 1, row[4]): row[5] for row in orders.tolist() if action_of(row) == "PLACE"}
    quiet, wild = (mids[second] - placed[second, 1] for second in (118, 150))
    assert (quiet, wild) == (3, 9)
