"""Module name that starts the calibration."""

from mm.calibration import runner_calibration
from mm.commands.calibrate import calibrate


def test_runner_module_starts_calibrate_command():
    """Guides print ``python -m mm.calibration.runner_calibration``; it equals ``mm calibrate``."""
    assert runner_calibration.main is calibrate
