"""Recorded days shared by these tests."""

import mutations
import pytest

from recorded_days import pristine_day, recorded_day, road, unsealed_day
from support import ROOT

__all__ = ["pristine_day", "recorded_day", "road", "unsealed_day"]


@pytest.fixture(scope="session")
def boxed_day(tmp_path_factory):
    """A sealed day recorded from the simulated exchange."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "tests" / "market_data")
        yield mutations.record_day(tmp_path_factory.mktemp("boxed"))
