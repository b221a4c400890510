"""Calibrators of tapes, with the rule of a hit and the fill model of a measurement by their terms."""

from functools import partial

from mm import CalibrationConfig
from mm.calibration.calibrator import Calibrator
from mm.calibration.config import FillsMeasured
from mm.calibration.sweeps import HitRule
from named import model_of


def config_of(*, hit=None, fills=None, **config):
    """Return options of a calibration; *hit* are terms of its rule, *fills* the name of a fill model."""
    if hit is not None:
        config["rule"] = HitRule(**hit)
    if fills is not None:
        config["fills"] = FillsMeasured(fills, {}, partial(model_of, fills))
    return CalibrationConfig(**{"reference": "mid"} | config)


def calibrator_of(tapes, config=None, rules=None, **options):
    """Return the calibrator of a tape, or of several."""
    return Calibrator(tapes, config or config_of(**options), rules)
