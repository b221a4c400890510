"""A small recorded day in which everything happens that a ledger can tell of, for each test a copy."""

import shutil

import pytest

from mm.dayfolder.layout import DayFolder
from mm.market_data import local_orderbook
from scribe import first_run, later_runs


@pytest.fixture(scope="module", params=["compiled", "plain"])
def road(request):
    """Books and messages by the kernel, and by its plain twin, which is all that a box without a compiler has."""
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
    """A sealed day without a defect, the test's own copy."""
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    shutil.copytree(pristine_day.path, folder.path)
    return folder


@pytest.fixture
def unsealed_day(recorded_day):
    """The same day without its manifest: what is wrong must be seen in the rows themselves."""
    recorded_day.manifest.unlink()
    return recorded_day
