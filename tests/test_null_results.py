"""Results that know nothing are taken for findings as often as stated, and docs/reliability.md says how often."""

import pytest

from null_results import MARKETS, MEANS, PAGE, TABLE, of_best, of_hours, of_means, of_stars, table

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


@pytest.mark.parametrize(("seconds", "every_s", "horizon_s"), MARKETS)
def test_star_means_five_percent(seconds, every_s, horizon_s):
    assert 0.02 <= of_stars(seconds, every_s, horizon_s) <= 0.085


def test_the_page_has_what_is_measured():
    assert TABLE.findall(PAGE.read_text(encoding="utf-8")) == [table()]
