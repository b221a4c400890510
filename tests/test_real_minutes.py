"""Minutes of a real market, their mean taken off: what one run and a choice among fifty conclude from them."""

import pytest

from real_minutes import FOLDER, blocks_of, of_chosen, of_verdicts, real_minutes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the recorded market {FOLDER.name} is not there"),
]


@pytest.fixture(scope="module")
def draw():
    return blocks_of(real_minutes())


@pytest.mark.parametrize("hours", [2, 6, 14])
def test_the_best_of_fifty_worthless_designs_is_not_above_zero(draw, hours):
    """Without the pooled tail it is in half of all sweeps."""
    without, pooled = of_chosen(draw, hours)
    assert without > 0.3
    assert pooled <= 0.04


def test_a_skilled_design_among_them_is_found_in_fourteen_hours(draw):
    assert of_chosen(draw, 14, 0.3)[1] > 0.5


@pytest.mark.parametrize("hours", [2, 6, 14])
def test_one_run_is_above_zero_more_often_than_stated(draw, hours):
    """Its rare losses are of one half hour in a day: no number of the run can tell, and the page says how often."""
    null, true = of_verdicts(draw, hours), of_verdicts(draw, hours, 0.1)
    assert 0.05 < null["above"] < 0.2
    assert null["noted"] <= 0.03
    assert true["above"] > 0.45
