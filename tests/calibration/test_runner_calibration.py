"""The name by which the calibration is started as a module."""

from mm.calibration import runner_calibration
from mm.commands import calibrate


def test_the_module_starts_the_command():
    """``python -m mm.calibration.runner_calibration`` is printed in guides; it is ``mm calibrate``."""
    assert runner_calibration.main is calibrate.main
