"""What the knobs of a calibration say together."""

import pytest

from mm.calibration.calibrator import DELTAS
from mm.cli.calibration_knobs import Calibration
from mm.cli.task_knobs import GROUPS


@pytest.mark.parametrize(
    ("fills", "method", "used"),
    [(None, "marks", None), ("trade_cross", "marks", "fixed"), ("trade_cross", "ladder", None)],
)
def test_a_fill_model_is_measured_by_orders(fills, method, used):
    """Marks play none, so without another method each distance has a run."""
    found = Calibration.resolved({"calib_fills": fills, "calib_method": method, "calib_deltas": (1.0, 2.0)})
    assert found == ({} if used is None else {"calib_method": used})


@pytest.mark.parametrize("fills", [None, "trade_cross"])
def test_default_distances_are_numbers_without_a_fill_model(fills):
    """With one they follow the reference and the flow, which no knob shows."""
    found = Calibration.resolved({"calib_fills": fills, "calib_method": "ladder", "calib_deltas": "auto"})
    assert found == ({} if fills else {"calib_deltas": DELTAS})


def test_parameters_of_the_fill_model_are_an_object():
    """As those of a backtest are."""
    assert Calibration().fill_params() == {}
    assert Calibration(calib_fill_params_json='{"exponent": 2}').fill_params() == {"exponent": 2}
    assert Calibration in GROUPS
