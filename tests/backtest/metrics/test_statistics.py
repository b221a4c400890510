"""Statistics in single passes against plain loops over the same numbers."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.backtest.metrics import _statistics

SEEDS = range(20)


def test_lagged_equals_the_sum_of_products():
    """Up to the last lag; whole numbers are added exactly."""
    values = np.random.default_rng(1).integers(-99, 99, 103).astype(float)
    for lag in (0, 1, 2, 3, 50, 99, 102):
        assert _statistics.lagged(values, lag) == float((values[lag:] * values[: len(values) - lag]).sum())


@pytest.mark.parametrize("seed", SEEDS)
def test_on_grid_returns_the_last_value_at_or_before_each_step(seed):
    """From the time of the first row to that of the last."""
    random = np.random.default_rng(seed)
    us, values = 7 + np.cumsum(random.integers(0, 30, 40)), random.integers(-9, 9, 40)
    ends = range(int(us[0]), int(us[-1]) + 1, 10)
    expected = [[value for at, value in zip(us, values, strict=True) if at <= end][-1] for end in ends]
    assert _statistics.on_grid(us, values, 10).tolist() == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_half_lag_is_the_first_with_less_than_half_of_the_products(seed):
    """Of the values on the grid less their mean, in whole numbers; none if all are equal."""
    random = np.random.default_rng(seed)
    us = 7 + np.cumsum(random.integers(0, 30, 40))
    values = random.integers(-9, 9, 40) if seed % 2 else 10**6 + np.repeat(random.integers(-2, 2, 8), 5)
    us[1] = us[0]  # the later one of two simultaneous rows counts
    grid = _statistics.on_grid(us, values, 10).astype(int).tolist()
    centred = [len(grid) * value - sum(grid) for value in grid]
    products = [sum(a * b for a, b in zip(centred, centred[lag:], strict=False)) for lag in range(len(grid))]
    expected = next((lag for lag, product in enumerate(products) if 2 * product < products[0]), 0)
    assert _statistics.half_lag(us, values, 10, 40) == expected
    assert _statistics.half_lag(us, np.full(40, 5), 10, 40) == 0


def test_half_lag_is_skipped_for_many_changes_and_large_values():
    """The Fourier transform is used then."""
    us, values = 10 * np.arange(9), np.arange(9) % 2
    assert _statistics.half_lag(us, values, 10, 8) == 1
    assert _statistics.half_lag(us, values, 10, 7) == -1
    assert _statistics.half_lag(us, values << 32, 10, 8) == -1


@pytest.mark.parametrize("seed", SEEDS)
def test_spread_counts_values_up_to_each_edge(seed):
    """An edge belongs to the values below it; the last count is of all above; sums exceed 64 bits."""
    random = np.random.default_rng(seed)
    values, edges = random.integers(0, 40, 100), np.array([0, 3, 10, 11, 30, 5_000, 200_000])
    values[random.random(100) < 0.1] = 1 << 62
    values[random.random(100) < 0.3] += random.integers(4_900, 5_100)
    values[random.random(100) < 0.3] = random.integers(199_999, 200_002)
    values[random.random(100) < 0.1] = random.integers(-(1 << 40), 0)
    values = values[:1] if seed == 0 else np.where(seed == 1, 250, values)
    below = [sum(value <= edge for value in values) for edge in edges]
    ranks = np.unique(random.integers(0, len(values), 6))
    least, most, total, counts, some, places = _statistics.spread(values, edges, ranks)
    assert counts.tolist() == np.diff([0, *below, len(values)]).tolist()
    assert (least, most, total) == (min(values), max(values), sum(values.tolist()))
    assert np.sort(some)[places].tolist() == np.sort(values)[ranks].tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_add_spectra_equals_cross_spectra_of_neighbouring_stretches(seed):
    """A stretch and the next one, transformed together, times the conjugate transform of the stretch alone."""
    random = np.random.default_rng(seed)
    stretches = np.concatenate((random.normal(size=(5, 8)), np.zeros((1, 8))))
    spectrum = np.zeros(9, np.complex128)
    each = np.fft.rfft(stretches, 16)
    _statistics.add_spectra(*(part.view(np.float64).reshape(*part.shape, 2) for part in (each, spectrum)))
    expected = sum(
        np.fft.rfft(part, 16).conj() * np.fft.rfft(np.append(part, after))
        for part, after in itertools.pairwise(stretches)
    )
    np.testing.assert_allclose(spectrum, expected, atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_draw_ratios_equal_those_of_copied_blocks(seed):
    """Mean over deviation of each draw, and its error from the influence of its blocks; 0 without variation."""
    random = np.random.default_rng(seed)
    values, block, last_block = random.normal(size=30), 4, 2
    values[:8] = values[0]
    first = random.integers(0, 30, (50, 8)).astype(np.int32)
    first[0] = 0
    wrapped, centre, periods = np.tile(values, 2), 0.3, 30

    def sums(length):
        blocks = np.array([wrapped[at : at + length] for at in range(30)])
        return np.stack((blocks.sum(axis=1), (blocks**2).sum(axis=1)), axis=1)

    ratios, errors = _statistics.draw_ratios(first, sums(block), sums(last_block), block, last_block, centre)
    for starts, ratio, error in zip(first, ratios, errors, strict=True):
        parts = [wrapped[at : at + block] for at in starts[:-1]] + [wrapped[starts[-1] : starts[-1] + last_block]]
        drawn = np.concatenate(parts)
        if drawn.std() < 1e-6:
            assert error == 0
            continue
        scaled = (drawn - drawn.mean()) / drawn.std()
        expected = (centre + drawn.mean()) / drawn.std()
        influence = scaled - expected / 2 * (scaled**2 - 1)
        ends = np.cumsum([len(part) for part in parts])[:-1]
        spread = sum(part.sum() ** 2 for part in np.split(influence, ends))
        assert ratio == pytest.approx(expected, rel=1e-9)
        assert error == pytest.approx(math.sqrt(spread) / periods, rel=1e-9)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=50))
def test_whole_sum_is_exact_beyond_64_bits(values):
    """One order may use all 64 bits, and there are many orders."""
    assert _statistics.whole_sum(np.array(values, np.int64)) == sum(values)
