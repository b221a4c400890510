"""Intervals hold what they say where the truth is known, and find effects (docs/evidence/measured.md)."""

import pytest

from null_intervals import MARKOUTS, PAGE, PERSISTENT, TABLE, WINDOWS, of_markouts, of_predictors, of_windows, table

pytestmark = pytest.mark.slow
NOMINAL = pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize(("minutes", "horizon_s"), MARKOUTS)
def test_markouts_of_short_runs(minutes, horizon_s):
    """Blocks as long as the horizon depend on their neighbours."""
    holds, finds = of_markouts(minutes, horizon_s)
    assert holds == NOMINAL
    assert finds > (0.5 if minutes < 30 else 0.9)


@pytest.mark.parametrize(("hours", "half_life_s"), PERSISTENT)
def test_predictors_whose_errors_persist(hours, half_life_s):
    holds, finds = of_predictors(hours, half_life_s)
    assert holds == NOMINAL
    assert finds > 0.4


@pytest.mark.parametrize("hours", WINDOWS)
def test_windows_under_clustered_flow(hours):
    """The interval of k, which clusters hardly widen, is the wider one of two: by blocks, and if independent."""
    for name, (holds, finds) in of_windows(hours).items():
        assert 0.92 <= holds <= (0.98 if name == "A" else 0.995), name
        assert finds > (0.2 if hours < 2 else 0.5), name


def test_the_page_has_what_is_measured():
    assert TABLE.findall(PAGE.read_text(encoding="utf-8")) == [table()]
