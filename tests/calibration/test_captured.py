"""Captured spread: the effect in money of better parameters."""

import numpy as np
import pytest

from mm.calibration.alternatives import Captured, pnl_gain
from mm.calibration.points import Points


def test_captured_spread_is_distance_from_the_mid_times_fills():
    """Of resting orders as they are; orders that reached a cell also filled those nearer. The touch may be best."""
    orders = Captured.of(Points.of([0, 1, 4], [100, 50, 0], [40, 10, 0]), offset_ticks=0.5)
    assert orders.per_s.tolist() == pytest.approx([0.5 * 0.4, 1.5 * 0.2, np.nan], nan_ok=True)
    assert (orders.by(np.array([1.0, 0.9, 9.0])), orders.by(np.array([1.0, 0.1, 9.0]))) == pytest.approx((0.3, 0.2))
    cells = Captured.of(Points.of([1, 2, 3], [100, 100, 100], [12, 3, 1], width_ticks=[1, 1, np.inf]))
    assert cells.per_s.tolist() == pytest.approx([0.16, 0.08, 0.03])
    assert Captured.of(Points.of([1], [0], [0])).by(np.ones(1)) is None


def test_gain_in_money_is_weighted_by_time():
    """Two orders of a unit for an hour; spans without one of the values do not count."""
    spans = [(100.0, 0.3, 0.1), (300.0, 0.2, 0.2), (50.0, None, 0.1), (50.0, 0.1, None)]
    found = pnl_gain(spans, 0.01)
    assert found["pnl_gain"] == pytest.approx(2 * 3600 * 0.01 * 20 / 400)
    left = np.array([20 - 0.05 * 100, 0 - 0.05 * 300])
    assert found["se_pnl_gain"] == pytest.approx(2 * 3600 * 0.01 * np.sqrt(2 * (left**2).sum()) / 400)
    assert pnl_gain(spans[:1], 0.01)["se_pnl_gain"] is None
    assert pnl_gain(spans, None) == {"pnl_gain": None, "se_pnl_gain": None}
