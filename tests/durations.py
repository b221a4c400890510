"""How long each test took the last time, kept beside pytest's cache: `--quick` leaves out what takes longer.

A test that has never run here runs, so what is being written is always among the quick ones.
"""

from collections.abc import Callable

import pytest

KEY = "mm/durations"
QUICK_S = 0.25

_seconds: dict[str, float] = {}


def add(report: pytest.TestReport) -> None:
    """Sum what setup, call and teardown of a test take."""
    _seconds[report.nodeid] = _seconds.get(report.nodeid, 0.0) + report.duration


def keep(config: pytest.Config) -> None:
    """Write the seconds of this session over those of earlier ones; a worker leaves that to the session it serves."""
    if _has_cache(config) and not hasattr(config, "workerinput") and _seconds:
        taken = {name: round(seconds, 3) for name, seconds in _seconds.items()}
        config.cache.set(KEY, config.cache.get(KEY, {}) | taken)


def quick_names(config: pytest.Config) -> Callable[[str], bool]:
    """Return whether a test took no longer than QUICK_S the last time, or has never run."""
    known = config.cache.get(KEY, {}) if _has_cache(config) else {}
    return lambda name: known.get(name, 0.0) <= QUICK_S


def _has_cache(config: pytest.Config) -> bool:
    return config.pluginmanager.hasplugin("cacheprovider")  # not with -p no:cacheprovider
