"""Fits to own fills hold the exponent that a market is known to have; ``own_exponents.py`` says how often."""

import numpy as np
import pytest

from mm.probes.queue_exponent import EXPONENTS
from own_exponents import MARKETS, fit_of_known, holds

STEP = 1.1 * np.log(EXPONENTS[1] / EXPONENTS[0])


@pytest.mark.slow
@pytest.mark.parametrize(("market", "seed"), [(MARKETS[0], 101), (MARKETS[1], 102)])
def test_interval_has_the_exponent_of_uniform_cancellation(tmp_path, market, seed):
    """An hour each: the book of each change, and a book of 100 ms."""
    fit = market.fit(tmp_path, seed)
    assert fit.usable
    assert holds(fit)


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [0.5, 3.0])
def test_runs_are_scored_with_the_fit_to_the_others(tmp_path, exponent):
    """Fills made by a known exponent: the fits find it, and score better on the runs left out."""
    fit = fit_of_known(tmp_path, exponent, seed=103)
    assert abs(np.log(fit.exponent / exponent)) < STEP  # fills without noise: the likelihood has a kink, no parabola
    held = fit.held_out
    assert set(held.exponents) == {"run0", "run1", "run2"}
    assert all(abs(np.log(found / exponent)) < STEP for found in held.exponents.values())
    errors = {name: one.misses + one.false_fills for name, one in held.models.items()}
    assert errors["fit"] < min(errors["queue_back"], errors["queue_front"])
    scores = {name: one.log_score for name, one in held.models.items()}
    assert scores["fit"] > scores["exponent 1"]
    assert exponent == 3.0 or scores["fit"] > scores["default"]
    assert {one.hits + one.misses for one in held.models.values()} == {held.n_fills}
