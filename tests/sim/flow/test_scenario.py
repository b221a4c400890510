"""The scenarios by name, and what they say of themselves."""

import json

import pytest
from played import play, session

from mm.cli.knobs import knobs, shown
from mm.errors import UsageError
from mm.sim.flow.scenario import FIELDS, SCENARIOS, PoissonMarket, ScenarioParameters, chosen


def test_every_scenario_stands_under_its_own_name():
    """The name in the flag is the name in truth.json."""
    assert {name: scenario.name for name, scenario in SCENARIOS.items()} == {name: name for name in SCENARIOS}


@pytest.mark.parametrize("scenario", SCENARIOS.values())
def test_every_parameter_is_a_knob_that_reads_its_own_default(scenario):
    """A field without a flag could not be set; a default out of its own range could not be typed."""
    for one in knobs(scenario):
        if one.default is not None:
            assert one.read(shown(one.default)) == one.default


def test_a_side_takes_the_common_law_unless_it_has_its_own():
    """--A-bid alone does not change the bids' k and both numbers of the asks."""
    scenario = PoissonMarket(A_per_s=1.0, k_per_tick=0.5, A_bid_per_s=0.0)
    assert scenario.rate(1) == (0.0, 0.5)
    assert scenario.rate(-1) == (1.0, 0.5)


def test_truth_names_one_law_only_where_there_is_one():
    """Two exponentials of different decay are no exponential; equal decays average to one of the mean rate."""
    same = PoissonMarket(A_bid_per_s=1.0, A_ask_per_s=0.5).truth(session())
    assert (same["A"], same["k"]) == (0.75, 0.35)
    other = PoissonMarket(k_bid_per_tick=0.2).truth(session())
    assert (other["A"], other["k"]) == (None, None)
    assert other["sides"] == {"bid": {"A": 0.8, "k": 0.2}, "ask": {"A": 0.8, "k": 0.35}}


@pytest.mark.parametrize("off", [{"start_price": "100.005"}, {"level_qty": "0.0005"}])
def test_a_price_or_quantity_off_the_grid_is_a_wrong_knob(off):
    """The message names both flags, for either may be the one that is meant otherwise."""
    (field,) = off
    with pytest.raises(UsageError, match=f"--{field.replace('_', '-')} .* --(tick-size|qty-step) "):
        PoissonMarket(**off)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_truth_has_the_numbers_of_the_contract(name):
    """A reader of truth.json finds each key, and None where the market has no such number; JSON can hold it."""
    truth = SCENARIOS[name]().truth(session())
    assert {"A", "k", "sigma_ticks_per_sqrt_s", "tick_size", "sides"} <= set(truth)
    assert set(truth["sides"]) == {"bid", "ask"}
    assert json.loads(json.dumps(truth)) == truth


def test_a_scenario_of_its_own_flags_has_their_values_and_else_its_defaults():
    """Scenarios share flags, not defaults."""
    flags = ScenarioParameters(market_per_s=3.0, tick_size="0.1")
    assert chosen("large_tick", flags) == SCENARIOS["large_tick"](market_per_s=3.0, tick_size="0.1")
    assert chosen("zero_intelligence", flags).limit_per_s != chosen("large_tick", flags).limit_per_s


def test_every_flag_stands_once_and_reads_alike_in_every_scenario():
    """Fields of one name are one flag, so they must mean the same."""
    assert {one.name for one in knobs(ScenarioParameters)} == {field for fields in FIELDS.values() for field in fields}
    for one in knobs(ScenarioParameters):
        owners = [fields[one.name] for fields in FIELDS.values() if one.name in fields]
        assert len({owner.flag for owner in owners}) == len({owner.reader.metavar for owner in owners}) == 1
        assert all(one.help.startswith(owner.help) for owner in owners)


def test_a_flag_of_another_scenario_is_refused():
    """It would have no effect, and the user means one."""
    with pytest.raises(UsageError, match=r"--k \(K_PER_TICK\): scenario zero_intelligence has no such parameter, only"):
        chosen("zero_intelligence", ScenarioParameters(k_per_tick=0.5))


def test_the_empty_market_stays_empty():
    """Tests that must know everything begin with nothing."""
    played = play(SCENARIOS["empty"](), session())
    assert (len(played.log), played.matching.best(), played.flow.counts()) == (0, (0, 0, 0, 0), {})
