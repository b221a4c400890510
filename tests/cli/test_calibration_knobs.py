"""Interdependent knobs of a calibration."""

import pytest

from mm.calibration.config import DELTAS
from mm.cli.task_knobs import GROUPS
from mm.play.calibration_knobs import Calibration


@pytest.mark.parametrize(
    ("fills", "method", "used"),
    [(None, "marks", None), ("trade_cross", "marks", "fixed"), ("trade_cross", "ladder", None)],
)
def test_fill_model_is_measured_by_orders(fills, method, used):
    """Marks play no orders, so without another method each distance has its own run."""
    resolved = Calibration.resolved({"calib_fills": fills, "calib_method": method, "calib_deltas": (1.0, 2.0)})
    assert resolved == ({} if used is None else {"calib_method": used})


@pytest.mark.parametrize("fills", [None, "trade_cross"])
def test_default_distances_are_numbers_without_a_fill_model(fills):
    """With a fill model they follow the reference and the flow, which no knob shows."""
    resolved = Calibration.resolved({"calib_fills": fills, "calib_method": "ladder", "calib_deltas": "auto"})
    assert resolved == ({} if fills else {"calib_deltas": DELTAS})


def test_fill_model_parameters_are_an_object():
    """Like those of a backtest."""
    assert Calibration().fill_params() == {}
    assert Calibration(calib_fill_params_json='{"exponent": 2}').fill_params() == {"exponent": 2}
    assert Calibration in GROUPS
