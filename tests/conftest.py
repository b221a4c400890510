"""A clean environment for every test; helpers that tests import are in support.py."""

import os
import signal
from collections.abc import Iterator

import pytest

from browser import Chrome, browser, started
from mm.cli.docs import every_group
from mm.cli.knobs import knobs
from repeatable import pytest_terminal_summary
from support import ROOT, SHARED

__all__ = ["ROOT", "SHARED", "pytest_terminal_summary"]

# Shells start background jobs with SIGINT ignored, and child processes inherit that, so the default is restored.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

VARIABLES = [one.variable for group in every_group() for one in knobs(group)]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the workers of ``-n auto``: 1.5 per core, since many tests wait for clocks and ports."""
    return (os.cpu_count() or 1) * 3 // 2


@pytest.fixture(autouse=True, scope="session")
def _no_knobs_from_outside() -> Iterator[None]:
    """Remove knob variables, so that no test depends on the shell's environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [*VARIABLES, "NO_COLOR"]:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def chrome() -> Iterator[Chrome]:
    """Return a headless browser for all tests; tests are skipped if there is none."""
    program = browser()
    if program is None:
        pytest.skip("no browser on PATH (chromium, chromium-browser or google-chrome): pages are not looked at")
    with started(program) as chrome:
        yield chrome
