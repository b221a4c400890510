# Generated from mm/__init__.py by `make stubs`; edit that file instead.

"""A research pipeline for market making, with Avellaneda-Stoikov at its heart.

Importing ``mm`` imports nothing heavy: a public name (``mm.__all__``) is loaded from its module at its first use.
"""

from mm.backtest.io import load_day as load_day
from mm.backtest.quotes.view import Quotes as Quotes
from mm.backtest.replay import backtest as backtest
from mm.calibration.calibrate import calibrate as calibrate
from mm.calibration.fit_points import fit_poisson as fit_poisson
from mm.calibration.schedule import build_schedule as build_schedule
from mm.sweep.sweep import sweep as sweep
from mm.walkforward.walkforward import walkforward as walkforward

__version__: str
_PUBLIC: dict[str, str]
__all__ = ["Quotes", "backtest", "build_schedule", "calibrate", "fit_poisson", "load_day", "sweep", "walkforward"]
