"""A research pipeline for market making, built around Avellaneda-Stoikov quotes.

Importing ``mm`` loads no heavy module: each public name (``mm.__all__``) is loaded from its module on first use.
"""

import sys
from importlib import import_module
from typing import Any

if sys.platform == "win32":
    raise ImportError("mm runs on Linux, not on Windows; install it in WSL, the Linux that Windows has")

__version__ = "0.1.0"

# Public names and the modules that define them; `make stubs` writes mm/__init__.pyi from this table.
_PUBLIC = {
    "BookView": "mm.backtest.fills.base",
    "CalibrationConfig": "mm.calibration.config",
    "DayFolder": "mm.dayfolder.layout",
    "OrderView": "mm.backtest.fills.base",
    "Orders": "mm.backtest.strategy",
    "OtherMarket": "mm.signals.other_market",
    "OwnFill": "mm.backtest.quotes.view",
    "OwnOrder": "mm.backtest.strategy",
    "PaperExchange": "mm.backtest.paper_exchange",
    "Picture": "mm.base.notebook",
    "Points": "mm.calibration.points",
    "PoissonFit": "mm.calibration.fit_result",
    "QuoteView": "mm.backtest.quotes.base",
    "Quotes": "mm.backtest.quotes.view",
    "Result": "mm.backtest.result",
    "Rules": "mm.backtest.rules",
    "RunFolder": "mm.runs.finished",
    "Schedule": "mm.calibration.schedule",
    "SweepFindings": "mm.sweep.findings",
    "Tape": "mm.tape.tape",
    "TradeView": "mm.backtest.fills.base",
    "WalkForward": "mm.walkforward.walkforward",
    "WindowPlan": "mm.calibration.windows",
    "backtest": "mm.play.python",
    "build_schedule": "mm.calibration.schedule",
    "calibrate": "mm.calibration.calibrate",
    "compare": "mm.live.pages.compare_account",
    "evaluate": "mm.sweep.evaluate",
    "fit_poisson": "mm.calibration.fit_points",
    "load_capture": "mm.commands.load_capture",
    "load_day": "mm.play.days",
    "open_run": "mm.runs.find",
    "sweep": "mm.sweep.sweep",
    "trials": "mm.trials.listing",
    "walkforward": "mm.play.forward",
}
_PACKAGES = {"backtest", "sweep", "trials", "walkforward"}  # callable as functions: mm/callable_package.py
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    module = _PUBLIC.get(name)
    if module is None:
        raise AttributeError(f"module 'mm' has no attribute {name!r}")
    if name in _PACKAGES:
        return import_module(f"mm.{name}")
    return globals().setdefault(name, getattr(import_module(module), name))


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
