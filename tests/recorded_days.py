"""Fixtures with a small recorded day that contains every kind of ledger event; each test gets a copy."""

import shutil

import pytest

from mm import DayFolder
from mm.markets import local_orderbook
from scribe import first_run, later_runs


@pytest.fixture(scope="module", params=["compiled", "plain"])
def road(request):
    """Run with the compiled kernel for books and messages, and with its plain Python version."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "plain":
            patch.setattr(local_orderbook, "kernel", None)
        yield request.param


@pytest.fixture(scope="session")
def pristine_day(tmp_path_factory):
    folder = DayFolder(tmp_path_factory.mktemp("days"), "SIMUSDT", "20260105")
    later_runs(folder, first_run(folder))
    return folder


@pytest.fixture
def recorded_day(pristine_day, tmp_path):
    """Return a sealed day without defects, copied for the test."""
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    shutil.copytree(pristine_day.path, folder.path)
    return folder


@pytest.fixture
def unsealed_day(recorded_day):
    """Return the same day without its manifest, so that defects must be found in the rows."""
    recorded_day.manifest.unlink()
    return recorded_day
