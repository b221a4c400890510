"""The measurement of how fills bunch."""

import numpy as np
import pytest

from benchmarks.clustered_fills import dispersion, instants, lines
from engine_tapes import BEGIN_US, TEST
from mm.backtest.fills.intensity import FOREVER, Intensity
from mm.backtest.fills.intensity_piece import IntensityPiece
from mm.backtest.models import poisson
from mm.tape.tape import Tape

SECOND_US = 1_000_000


def quiet(seconds):
    """Return a constant market at 99 and 101."""
    book = (BEGIN_US, "snapshot", [(99, 5)], [(101, 5)])
    return Tape.of(TEST, [book, (BEGIN_US + seconds * SECOND_US, "depth", [(98, 1)], [])])


def test_the_dispersion_is_a_variance_over_a_mean():
    """Counts of complete spans only: 3, 0 and 3 in 10 s each; what comes after them is left out."""
    us = BEGIN_US + np.array([1, 2, 3, 21, 22, 23, 34]) * SECOND_US
    span_us = BEGIN_US, BEGIN_US + 35 * SECOND_US
    assert dispersion(us, span_us, 10) == pytest.approx(2 / 2)
    assert np.isnan(dispersion(us[:0], span_us, 10))


def test_the_table_has_a_line_for_each_model_and_distance():
    """Where no order is recorded, both drawn models fill at their base rates: 1 and a quarter a second."""
    block = {
        "mu_per_s": {"bid": 1.0, "ask": 1.0},
        "mean_per_s": {"bid": 4.0, "ask": 4.0},
        "kernels": [{"beta_per_s": 1.0, "branching": {"bid": {"bid": 0.1, "ask": 0}, "ask": {"bid": 0, "ask": 0.1}}}],
        "status": "ok",
    }
    intensity = Intensity([IntensityPiece(0, FOREVER, 1, 1e-9, 1, 1e-9, 1e-9)], clustering=block)
    _, *rows = [line.split() for line in lines(quiet(1200), intensity, [1.0, 2.0])]
    assert [row[:2] for row in rows] == [
        [ticks, name] for ticks in ("1", "2") for name in ("trade_cross", "poisson", "hawkes")
    ]
    crossed, poisson, hawkes = (int(row[2].replace(",", "")) for row in rows[:3])
    assert crossed == 0
    assert poisson > 1500
    assert poisson / hawkes == pytest.approx(3.5, abs=0.5)  # an order is back a moment after its fill


def test_a_schedule_counts_from_its_first_segment():
    """Nothing rests before it, so that the minutes before it do not count as bunching."""
    intensity = Intensity([IntensityPiece(BEGIN_US + 600 * SECOND_US, FOREVER, 9, 1e-9, 9, 1e-9, 1e-9)])
    us = instants(quiet(1200), 1.0, poisson(intensity=intensity), intensity)
    assert us.min() > BEGIN_US + 600 * SECOND_US
    assert len(us) > 1000
