"""Intensity λ(δ) over time, from fits and schedules, as used by quotes, fills and predictions."""

from dataclasses import replace

import pytest

from mm import PoissonFit
from mm.calibration.intensities import intensity_of, measured_intensity
from mm.errors import FitError

FIT = PoissonFit(
    fit_method="poisson_mle",
    n_fills=100.0,
    exposure_s=1_000.0,
    usable=True,
    status="ok",
    reason="",
    A=0.5,
    k=0.25,
    reference="best",
    half_spread_ticks=1.5,
    min_delta_ticks=0.0,
    max_delta_ticks=8.0,
    measured_rates=((0.0, 0.4), (2.0, 0.2)),
)


def test_intensity_of_fit_has_one_row_with_reference_and_spread():
    (piece,) = intensity_of(FIT).rows()
    assert (piece.A_bid, piece.k_ask, piece.half_spread_ticks) == (0.5, 0.25, 1.5)
    assert intensity_of(FIT).reference == "best"
    assert intensity_of(replace(FIT, reference=None)).reference == "mid"


def test_unusable_fit_has_no_intensity():
    with pytest.raises(FitError, match="few_fills"):
        intensity_of(replace(FIT, usable=False, status="few_fills"))
    assert measured_intensity(replace(FIT, usable=False)) is None


def test_measured_rates_keep_their_reference():
    measured = measured_intensity(FIT)
    assert measured.reference == "best"
    assert measured.at(0, 1, 2.0) == pytest.approx(0.2)
