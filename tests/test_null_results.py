"""Results that know nothing are taken for findings as often as docs/evidence/measured.md says."""

import pytest

from null_pnl import HOURS
from null_results import MARKETS, MEANS, PAGE, TABLE, of_best, of_days, of_hours, of_jumps, of_means, of_stars, table

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("common", [0.0, 1.0])
def test_best_of_many_is_above_zero_and_untied_as_often_as_stated(common):
    """Its own bound does not allow for the choice; that of the chosen one does, and so do ties."""
    found = of_best(common)
    assert found["own"] > (0.1 if common else 0.5)
    assert found["chosen"] <= 0.045
    assert found["told"] <= 0.075


@pytest.mark.parametrize(("blocks", "share"), [(2, 0.0), (5, 0.05), (20, 0.05)])
def test_a_colour_is_wrong_in_one_of_twenty(blocks, share):
    """Below five blocks there is none; by two standard errors means of 2 would have one in 30 % of cases."""
    assert of_means(blocks)["coloured"] == pytest.approx(share, abs=4 * (0.05 * 0.95 / MEANS) ** 0.5)


def test_an_hour_is_coloured_in_one_of_twenty():
    assert of_hours() == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("hours", HOURS)
def test_a_jump_of_all_designs_is_known_from_other_days(hours):
    """Their largest move at the largest inventory takes "above 0" from all but 5 % of the chosen; alone they cannot."""
    alone, known = of_jumps(hours)
    assert known <= 0.05
    assert alone > (0.1 if hours < 14 else -1.0)


@pytest.mark.parametrize("days", [5, 10, 20])
def test_days_that_lose_it_all_once_in_a_while_are_not_chosen(days):
    """The worst day of any design counts for each."""
    without, pooled = of_days(days)
    assert pooled <= 0.05
    assert without > 0.05 or days > 5


@pytest.mark.parametrize(("seconds", "every_s", "horizon_s"), MARKETS)
def test_star_means_five_percent(seconds, every_s, horizon_s):
    assert 0.02 <= of_stars(seconds, every_s, horizon_s) <= 0.085


def test_the_page_has_what_is_measured():
    assert TABLE.findall(PAGE.read_text(encoding="utf-8")) == [table()]
