"""Pieces of constant A and k, and the draws behind them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.backtest.fills.intensity import Intensity, py_unit_exponential
from mm.backtest.fills.intensity_piece import IntensityPiece
from mm.errors import UsageError

WORD = st.integers(0, 2**64 - 1)


def test_the_intensity_is_that_of_the_piece_in_force():
    """Ends are not included; each side has its own A and k."""
    intensity = Intensity([(10, 20, 1.0, 0.5, 2.0, 0.25, 0.3), (20, 30, 4.0, 1.0, 4.0, 1.0, 1.0)])
    assert intensity.at(10, 1, 2.0) == pytest.approx(math.exp(-1.0))
    assert intensity.at(19, -1, 2.0) == pytest.approx(2 * math.exp(-0.5))
    assert intensity.at(20, 1, 0.0) == 4.0
    assert intensity.at(30, 1, 0.0) == 0.0
    assert intensity.sigma_at(29) is None


@given(st.floats(1e-9, 1e9), st.floats(1e-9, 1e3), st.floats(-1e12, 0.0, exclude_max=False))
def test_inside_the_spread_the_intensity_is_that_of_the_reference(A, k, delta):
    """The exponential grows without end there, and no print has shown who would come."""
    intensity = Intensity.constant(A, k)
    assert intensity.at(0, 1, delta) == intensity.at(0, -1, delta) == A


def test_a_piece_carries_the_volatility_of_its_window():
    """Quotes read sigma where they read k; between and after the pieces there is none."""
    first = IntensityPiece(start_us=10, end_us=20, A_bid=1, k_bid=1, A_ask=1, k_ask=1, k=1, sigma_ticks=0.25)
    later = first._replace(start_us=30, end_us=40, sigma_ticks=None)
    intensity = Intensity([first, later])
    assert [intensity.sigma_at(us) for us in (9, 10, 19, 20, 30, 40)] == [None, 0.25, 0.25, None, None, None]
    assert intensity.rows() == [first, later]


@pytest.mark.parametrize(
    "pieces",
    [
        [(10, 10, 1, 1, 1, 1, 1)],
        [(10, 20, 1, 1, 1, 1, 1), (15, 30, 1, 1, 1, 1, 1)],
        [(10, 20, -1, 1, 1, 1, 1)],
        [(10, 20, 1, 0, 1, 1, 1)],
        [(10, 20, math.nan, 1, 1, 1, 1)],
    ],
)
def test_pieces_that_cannot_be_are_refused(pieces):
    """Segments follow each other, A is 0 or more and k above 0."""
    with pytest.raises(UsageError, match="piece"):
        Intensity(pieces)


def test_an_unknown_reference_is_refused():
    """A distance from nowhere is no distance."""
    with pytest.raises(UsageError, match="must be one of mid, micro, best"):
        Intensity.constant(1.0, 1.0, "last")


def mixed(z):
    z = (z + 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


@given(WORD, WORD, WORD, WORD)
def test_a_draw_is_a_function_of_its_key(seed, a, b, c):
    """Any language with 64-bit integers draws the same luck (docs/engine.md)."""
    h = mixed(mixed(mixed(mixed(seed) ^ a) ^ b) ^ c)
    assert py_unit_exponential(seed, a, b, c) == -math.log(((h >> 11) + 0.5) / 2**53)


def test_draws_are_unit_exponential():
    """Mean and variance 1, no tie between neighbouring keys: 20 000 draws, bounds of 4 standard errors."""
    draws = [py_unit_exponential(7, us, 3, side) for us in range(10_000) for side in (0, 1)]
    mean = sum(draws) / len(draws)
    variance = sum((draw - mean) ** 2 for draw in draws) / len(draws)
    assert abs(mean - 1) < 4 / math.sqrt(len(draws))
    assert abs(variance - 1) < 4 * math.sqrt(8 / len(draws))
    assert len(set(draws)) == len(draws)
