"""A research pipeline for market making, with Avellaneda-Stoikov at its heart.

Importing ``mm`` imports nothing heavy; the stable names below are loaded when first used.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "build_schedule": "mm.calibration.schedule",
    "calibrate": "mm.calibration.calibrate",
    "fit_poisson": "mm.calibration.poisson_fit",
    "load_day": "mm.backtest.io",
    "Quotes": "mm.backtest.quotes.view",
}

__all__ = ["Quotes", "backtest", "build_schedule", "calibrate", "fit_poisson", "load_day", "sweep", "walkforward"]


def __getattr__(name: str) -> Any:
    """Load a public name from its module when it is first asked for."""
    if name in ("backtest", "sweep", "walkforward"):
        return import_module(f"mm.{name}")  # folders that can be called, see mm/callable_package.py
    if name not in _PUBLIC:
        raise AttributeError(f"module 'mm' has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value
