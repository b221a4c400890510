"""The scenarios by name, and what they say of themselves."""

import pytest

from mm.errors import UsageError
from mm.knobs import knobs
from mm.sim.flow.scenario import SCENARIOS, Poisson


def test_every_scenario_stands_under_its_own_name():
    """The name in the flag is the name in truth.json."""
    assert {name: scenario.name for name, scenario in SCENARIOS.items()} == {name: name for name in SCENARIOS}


@pytest.mark.parametrize("scenario", SCENARIOS.values())
def test_every_parameter_is_a_knob_that_reads_its_own_default(scenario):
    """A field without a flag could not be set; a default out of its own range could not be typed."""
    for one in knobs(scenario):
        if one.default is not None:
            assert one.read(str(one.default)) == one.default


def test_a_side_takes_the_common_law_unless_it_has_its_own():
    """--A-bid alone leaves the bids' k and both numbers of the asks as they are."""
    scenario = Poisson(A_per_s=1.0, k_per_tick=0.5, A_bid_per_s=0.0)
    assert scenario.rate(1) == (0.0, 0.5)
    assert scenario.rate(-1) == (1.0, 0.5)


def test_truth_names_one_law_only_where_there_is_one():
    """Two exponentials of different decay are no exponential; equal decays average to one of the mean rate."""
    same = Poisson(A_bid_per_s=1.0, A_ask_per_s=0.5).truth()
    assert (same["A"], same["k"]) == (0.75, 0.35)
    other = Poisson(k_bid_per_tick=0.2).truth()
    assert (other["A"], other["k"]) == (None, None)
    assert other["sides"] == {"bid": {"A": 0.8, "k": 0.2}, "ask": {"A": 0.8, "k": 0.35}}


@pytest.mark.parametrize("off", [{"start_price": "100.005"}, {"level_qty": "0.0005"}])
def test_a_price_or_quantity_off_the_grid_is_a_wrong_knob(off):
    """The message names both flags, for either may be the one that is meant otherwise."""
    (field,) = off
    with pytest.raises(UsageError, match=f"--{field.replace('_', '-')} .* --(tick-size|qty-step) "):
        Poisson(**off)
