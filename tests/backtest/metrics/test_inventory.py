"""What was held, weighted by its time, against loops over the rows."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from paths import PATH, path

from mm.backtest.metrics import inventory


@given(PATH)
def test_inventory_is_weighted_by_the_time_it_was_held(steps):
    """A position of an instant counts for nothing, except in the maximum."""
    us, held = path(steps)
    every = [value for wait, value in zip(np.diff(us).tolist(), held[:-1].tolist(), strict=True) for _ in range(wait)]
    moments = inventory.inventory_moments(us, held)
    assert moments["max"] == max(abs(held))
    if not every:
        assert (moments["mean"], moments["abs_mean"], moments["rms"]) == (None, None, None)
        return
    assert moments["mean"] == pytest.approx(statistics.mean(every))
    assert moments["abs_mean"] == pytest.approx(statistics.mean(map(abs, every)))
    assert moments["rms"] == pytest.approx(math.sqrt(statistics.mean(value**2 for value in every)))


@settings(deadline=None)
@given(PATH)
def test_half_life_is_the_first_lag_whose_autocorrelation_is_below_a_half(steps):
    """The transform finds what the sum of products finds."""
    us, held = path(steps)
    us = us * 700_000
    grid = [held[np.flatnonzero(us <= at)[-1]] for at in range(us[0], us[-1] + 1, 1_000_000)]
    centred = [value - statistics.mean(map(float, grid)) for value in grid]
    found = inventory.half_life_s(us, held)
    if len(set(grid)) == 1:
        assert found is None
        return
    products = [math.fsum(a * b for a, b in zip(centred, centred[lag:], strict=False)) for lag in range(len(grid))]
    lag = next(lag for lag, product in enumerate(products) if product < 0.5 * products[0])
    # Exactly one half may fall to either side of the rounding.
    assert found == lag or abs(products[min(int(found), lag)] - 0.5 * products[0]) < 1e-9 * products[0]


def test_half_life_of_a_fading_position_is_that_of_its_decay():
    """An AR(1) with half-life 20 s."""
    random = np.random.default_rng(0)
    held = np.zeros(50_000)
    for i in range(1, len(held)):
        held[i] = held[i - 1] * 0.5 ** (1 / 20) + random.normal()
    us = np.arange(len(held)) * 1_000_000
    assert inventory.half_life_s(us, (1_000 * held).astype(int)) == pytest.approx(21, abs=2)


def test_half_life_without_rows_is_undefined():
    """There is no grid to read."""
    assert inventory.half_life_s(np.empty(0, np.int64), np.empty(0, np.int64)) is None
