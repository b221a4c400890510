"""Pieces of constant A and k, and the random draws of fills."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.backtest.fills.intensity import FOREVER, Intensity, IntensityPiece
from mm.errors import UsageError
from oracle_fills import along

WORD = st.integers(0, 2**64 - 1)


def test_intensity_uses_the_piece_in_force():
    """Piece ends are exclusive; each side has its own A and k."""
    intensity = Intensity([(10, 20, 1.0, 0.5, 2.0, 0.25, 0.3), (20, 30, 4.0, 1.0, 4.0, 1.0, 1.0)])
    assert intensity.at(10, 1, 2.0) == pytest.approx(math.exp(-1.0))
    assert intensity.at(19, -1, 2.0) == pytest.approx(2 * math.exp(-0.5))
    assert intensity.at(20, 1, 0.0) == 4.0
    assert intensity.at(30, 1, 0.0) == 0.0
    assert intensity.sigma_at(29) is None


@given(st.floats(1e-9, 1e9), st.floats(1e-9, 1e3), st.floats(-1e12, 0.0, exclude_max=False))
def test_intensity_inside_the_spread_equals_A(A, k, delta):
    """The exponential would grow without limit there, and no print provides data."""
    intensity = Intensity.constant(A, k)
    assert intensity.at(0, 1, delta) == intensity.at(0, -1, delta) == A


def test_sigma_at_returns_volatility_of_the_piece():
    """Before, between and after the pieces it is None."""
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
def test_invalid_pieces_raise_usage_error(pieces):
    """Pieces must not overlap or be empty, A is 0 or more and k above 0."""
    with pytest.raises(UsageError, match="piece"):
        Intensity(pieces)


def test_unknown_reference_raises_usage_error():
    """Distances are measured from mid, micro or best."""
    with pytest.raises(UsageError, match="must be one of mid, micro, best"):
        Intensity.constant(1.0, 1.0, "last")


CURVE = ((0.5, 0.8), (1.0, 0.8), (2.5, 0.1), (6.0, 0.02))


def curved(points=CURVE, start_us=0, end_us=FOREVER):
    return IntensityPiece(start_us, end_us, 9.0, 9.0, 9.0, 9.0, 9.0, curve=tuple(points))


@pytest.mark.parametrize(
    ("delta", "rate"),
    [
        (-3.0, 0.8),  # nothing is measured nearer than the first point
        (0.5, 0.8),
        (0.75, 0.8),
        (1.75, math.sqrt(0.8 * 0.1)),
        (2.5, 0.1),
        (6.0, 0.02),
        (9.5, 0.02 * 0.2),  # the slope from 2.5 to 6 continues
    ],
)
def test_curve_is_log_linear_between_points(delta, rate):
    """Also beyond the last point; on both sides, whatever A and k are."""
    intensity = Intensity([curved()])
    assert intensity.at(5, 1, delta) == pytest.approx(rate, rel=1e-12)
    assert intensity.at(5, -1, delta) == pytest.approx(rate, rel=1e-12)
    assert intensity.rows()[0].curve == CURVE


@given(st.lists(st.tuples(st.floats(0.01, 5), st.floats(0, 3)), min_size=1, max_size=40), st.floats(-5, 150))
def test_curve_falls_and_equals_plain_interpolation(steps, delta):
    """For any curve; the intensity never rises with distance."""
    points, at, log_rate = [(0.5, 2.0)], 0.5, math.log(2.0)
    for further, fall in steps:
        at, log_rate = at + further, log_rate - fall
        points.append((at, math.exp(log_rate)))
    points.append((at + 1, math.exp(log_rate - 0.5)))
    intensity = Intensity([curved(points)])
    assert intensity.at(0, 1, delta) == pytest.approx(along(tuple(points), delta), rel=1e-9)
    assert intensity.at(0, 1, delta + 0.25) <= intensity.at(0, 1, delta) * (1 + 1e-12)


def test_pieces_with_and_without_curves_mix():
    """A schedule whose form changes between segments."""
    intensity = Intensity([curved(end_us=10), (10, 20, 1.0, 0.5, 2.0, 0.25, 0.3)])
    assert intensity.at(9, 1, 0.5) == pytest.approx(0.8)
    assert intensity.at(10, 1, 2.0) == pytest.approx(math.exp(-1.0))


@pytest.mark.parametrize(
    "points",
    [
        [(1.0, 0.5)],
        [(1.0, 0.5), (1.0, 0.4)],
        [(1.0, 0.5), (2.0, 0.6)],
        [(1.0, 0.5), (2.0, 0.5)],
        [(1.0, 0.5), (2.0, 0.0)],
        [(1.0, math.inf), (2.0, 0.1)],
        [(math.nan, 0.5), (2.0, 0.1)],
    ],
)
def test_curve_that_does_not_fall_is_rejected(points):
    """Fewer than two points, non-finite numbers, or rates that do not fall to a positive number."""
    with pytest.raises(UsageError, match=r"piece 1 has a curve of \d points that is not decreasing"):
        Intensity([curved(points)])
