"""The measurement of the clustering of fills."""

import numpy as np
import pytest

from benchmarks.clustered_fills import dispersion, instants, lines
from engine_tapes import BEGIN_US, TEST
from mm.backtest.fills.intensity import FOREVER, Intensity
from mm.backtest.fills.intensity_piece import IntensityPiece
from mm.backtest.models import poisson
from mm.tape.tape import Tape

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product

SECOND_US = 1_000_000


def constant_tape(seconds):
    """Return a constant market at 99 and 101."""
    book = (BEGIN_US, "snapshot", [(99, 5)], [(101, 5)])
    return Tape.of(TEST, [book, (BEGIN_US + seconds * SECOND_US, "depth", [(98, 1)], [])])


def test_dispersion_is_variance_over_mean_of_complete_spans():
    """Only complete spans count: 3, 0 and 3 fills in 10 s each; the later fill is excluded."""
    us = BEGIN_US + np.array([1, 2, 3, 21, 22, 23, 34]) * SECOND_US
    span_us = BEGIN_US, BEGIN_US + 35 * SECOND_US
    assert dispersion(us, span_us, 10) == pytest.approx(2 / 2)
    assert np.isnan(dispersion(us[:0], span_us, 10))


def test_table_has_one_line_per_model_and_distance():
    """Without recorded orders, both random models fill at their base rates: 1 and 0.25 per second."""
    block = {
        "mu_per_s": {"bid": 1.0, "ask": 1.0},
        "mean_per_s": {"bid": 4.0, "ask": 4.0},
        "kernels": [{"beta_per_s": 1.0, "branching": {"bid": {"bid": 0.1, "ask": 0}, "ask": {"bid": 0, "ask": 0.1}}}],
        "status": "ok",
    }
    intensity = Intensity([IntensityPiece(0, FOREVER, 1, 1e-9, 1, 1e-9, 1e-9)], clustering=block)
    _, *rows = [line.split() for line in lines(constant_tape(1200), intensity, [1.0, 2.0])]
    assert [row[:2] for row in rows] == [
        [ticks, name] for ticks in ("1", "2") for name in ("trade_cross", "poisson", "hawkes")
    ]
    crossed, poisson, hawkes = (int(row[2].replace(",", "")) for row in rows[:3])
    assert crossed == 0
    assert poisson > 1500
    assert poisson / hawkes == pytest.approx(3.5, abs=0.5)  # an order is replaced a moment after its fill


def test_orders_rest_from_first_segment_of_schedule():
    """No order rests before it, so that the earlier minutes do not count as clustering."""
    intensity = Intensity([IntensityPiece(BEGIN_US + 600 * SECOND_US, FOREVER, 9, 1e-9, 9, 1e-9, 1e-9)])
    us = instants(constant_tape(1200), 1.0, poisson(intensity=intensity), intensity)
    assert us.min() > BEGIN_US + 600 * SECOND_US
    assert len(us) > 1000
