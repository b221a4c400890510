"""A fit beside what it was made of."""

import math

import numpy as np
import pytest
from scipy.stats import poisson

from mm.calibration.fit_result import PoissonFit
from mm.calibration.points import Points
from mm.calibration.poisson_fit import fit_poisson
from mm.calibration.residuals import residuals, table

A, K = 0.5, 0.3


def both_sides() -> Points:
    """Return two distances with two sides, blocks and an unexposed row."""
    return Points.of(
        delta_ticks=[2, 1, 1, 2, 7],
        exposure_s=[100, 50, 150, 100, 0],
        fills=[20, 16, 60, 30, 0],
        side=["bid", "bid", "ask", "ask", "bid"],
        block=[0, 0, 1, 1, 0],
    )


def test_rows_of_one_distance_are_summed_and_expected_at_their_exposure():
    """λ(1) = 0.5 e^-0.3 over 200 s, λ(2) = 0.5 e^-0.6 over 200 s; what was not exposed is no row."""
    rows = residuals(both_sides(), A, K)
    assert rows.delta_ticks.tolist() == [1, 2]
    assert rows.exposure_s.tolist() == [200, 200]
    assert rows.fills.tolist() == [76, 50]
    assert rows.expected == pytest.approx([100 * math.exp(-0.3), 100 * math.exp(-0.6)])


def test_residuals_are_signed_and_their_squares_sum_to_the_deviance():
    """76 where 74.1 were expected is 0.22 above; as statsmodels' resid_deviance has it."""
    points = Points.of([1, 2, 3, 5, 8], [1000] * 5, [620, 450, 380, 220, 90])
    fit = fit_poisson(points)
    rows = residuals(points, fit.A, fit.k)
    assert (rows.standardised**2).sum() == pytest.approx(fit.deviance)
    assert (np.sign(rows.standardised) == np.sign(rows.fills - rows.expected)).all()
    z = residuals(both_sides(), A, K).standardised
    assert z[0] == pytest.approx(
        math.sqrt(2 * (76 * math.log(76 / (100 * math.exp(-0.3))) - 76 + 100 * math.exp(-0.3)))
    )


def test_one_fill_in_an_all_but_impossible_place_does_not_drown_the_others():
    """Pearson's residual of 1 where 1e-11 were expected is 316,228; this one is 7."""
    rows = residuals(Points.of([1, 100], [10, 10], [5, 1]), 1.0, 0.276)
    assert rows.expected[1] == pytest.approx(1e-11, rel=0.2)
    assert 6 < rows.standardised[1] < 8


def test_a_side_is_seen_alone():
    """What buyers hit has its own rows."""
    rows = residuals(both_sides(), A, K, side=-1)
    assert rows.fills.tolist() == [60, 30]
    assert rows.exposure_s.tolist() == [150, 100]


def test_a_cell_expects_what_reaches_it_and_not_what_goes_further():
    """A sweep of depth in [1, 2) counts in the first cell alone."""
    rows = residuals(Points.of([1, 2], [100, 100], [5, 5], width_ticks=[1, np.inf]), A, K)
    assert rows.expected == pytest.approx([50 * (math.exp(-0.3) - math.exp(-0.6)), 50 * math.exp(-0.6)])


def test_the_interval_of_a_rate_is_the_exact_poisson_one():
    """At its ends, counts as extreme as the one seen have a chance of 2.5 %; after no fill it begins at 0."""
    rows = residuals(Points.of([1, 2], [10, 10], [7, 0]), None, None)
    rate, low, high = rows.rates()
    assert rate.tolist() == [0.7, 0]
    assert poisson.sf(6, low[0] * 10) == pytest.approx(0.025)
    assert poisson.cdf(7, high[0] * 10) == pytest.approx(0.025)
    assert low[1] == 0
    assert math.exp(-high[1] * 10) == pytest.approx(0.025)


def test_without_a_fit_nothing_is_expected():
    """A table of points is still a table."""
    rows = residuals(both_sides(), None, None)
    assert np.isnan(rows.expected).all()
    assert np.isnan(rows.standardised).all()


def shown(points: Points, most: int = 20) -> list[list[str]]:
    """Return the words of each line of the terminal's table."""
    return [line.split() for line in table(points, fit_poisson(points), most).splitlines()]


def test_the_table_has_a_line_a_distance():
    """Distance, exposure, fills, fitted and residual, in the units of the points file."""
    points = Points.of([1, 2, 3, 5, 8], [1000] * 5, [620, 450, 380, 220, 90])
    head, *lines = shown(points)
    assert head == ["delta", "exposure", "s", "fills", "fitted", "residual"]
    fit = fit_poisson(points)
    assert fit.A is not None
    assert fit.k is not None
    for line, delta, fills in zip(lines, (1, 2, 3, 5, 8), (620, 450, 380, 220, 90), strict=True):
        expected = 1000 * fit.A * math.exp(-fit.k * delta)
        assert [float(line[0]), float(line[2])] == [delta, fills]
        assert line[3] == f"{expected:,.1f}"
        off = math.sqrt(2 * (fills * math.log(fills / expected) - fills + expected))
        assert float(line[4].replace("−", "-")) == pytest.approx(math.copysign(off, fills - expected), abs=0.006)


def test_far_distances_where_nothing_is_expected_are_only_counted():
    """Fifty rows of zeros tell nothing; fills beyond the last line do."""
    quiet = Points.of(range(1, 60), [100] * 59, [int(200 * math.exp(-0.5 * d)) for d in range(1, 60)])
    lines = shown(quiet)
    assert len(lines) < 20
    assert lines[-1][:2] == ["…", "0"]
    busy = Points.of(range(1, 31), [100] * 30, [50] * 29 + [20])
    assert shown(busy, most=10)[-1] == ["…", "970", "at", "20", "distances", "beyond"]


def test_an_unusable_fit_still_has_its_table():
    """The counts stand, dashes where the fit would."""
    points = Points.of([1, 2, 3], [100, 100, 100], [0, 0, 0])
    fit: PoissonFit = fit_poisson(points)
    assert not fit.usable
    assert table(points, fit).splitlines()[1].split() == ["1", "100", "0", "–", "–"]
