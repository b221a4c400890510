"""The scenarios by name, their parameters and their truth."""

import json

import pytest
from played import play, session

from mm.base.knobs import knobs, shown
from mm.errors import UsageError
from mm.sim.flow.scenario import FIELDS, SCENARIOS, PoissonMarket, ScenarioParameters, chosen


@pytest.mark.parametrize("scenario", SCENARIOS.values())
def test_every_parameter_is_a_knob_that_accepts_its_default(scenario):
    """A field without a flag could not be set; a default out of its own range could not be typed."""
    for one in knobs(scenario):
        if one.default is not None:
            assert one.read(shown(one.default)) == one.default


def test_side_parameter_overrides_common_parameter():
    """--A-bid alone changes neither the bids' k nor the parameters of the asks."""
    scenario = PoissonMarket(A_per_s=1.0, k_per_tick=0.5, A_bid_per_s=0.0)
    assert scenario.rate(1) == (0.0, 0.5)
    assert scenario.rate(-1) == (1.0, 0.5)


def test_truth_has_common_A_and_k_only_if_k_is_equal():
    """Two exponentials of different decay are no exponential; equal decays average to one of the mean rate."""
    same = PoissonMarket(A_bid_per_s=1.0, A_ask_per_s=0.5).truth(session())
    assert (same["A"], same["k"]) == (0.75, 0.35)
    other = PoissonMarket(k_bid_per_tick=0.2).truth(session())
    assert (other["A"], other["k"]) == (None, None)
    assert other["sides"] == {"bid": {"A": 0.8, "k": 0.2}, "ask": {"A": 0.8, "k": 0.35}}


@pytest.mark.parametrize("off", [{"start_price": "100.005"}, {"level_qty": "0.0005"}])
def test_price_or_quantity_off_the_grid_raises_usage_error(off):
    """The message contains both flags, since either may be the wrong one."""
    (field,) = off
    with pytest.raises(UsageError, match=f"^{field} .* (tick_size|qty_step) "):
        PoissonMarket(**off)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_truth_has_the_keys_of_the_contract(name):
    """Every key is in truth.json, and None where the market has no such number; JSON can hold it."""
    truth = SCENARIOS[name]().truth(session())
    assert {"A", "k", "sigma_ticks_per_sqrt_s", "tick_size", "sides"} <= set(truth)
    assert set(truth["sides"]) == {"bid", "ask"}
    assert json.loads(json.dumps(truth)) == truth


def test_scenario_has_values_of_its_flags_and_else_its_defaults():
    """Scenarios share flags, not defaults."""
    flags = ScenarioParameters(market_per_s=3.0, tick_size="0.1")
    assert chosen("large_tick", flags) == SCENARIOS["large_tick"](market_per_s=3.0, tick_size="0.1")
    assert chosen("zero_intelligence", flags).limit_per_s != chosen("large_tick", flags).limit_per_s


def test_shared_flag_has_the_same_meaning_in_every_scenario():
    """Fields of one name are one flag, so they must mean the same."""
    assert {one.name for one in knobs(ScenarioParameters)} == {field for fields in FIELDS.values() for field in fields}
    for one in knobs(ScenarioParameters):
        owners = [fields[one.name] for fields in FIELDS.values() if one.name in fields]
        assert len({owner.flag for owner in owners}) == len({owner.reader.metavar for owner in owners}) == 1
        assert all(one.help.startswith(owner.help) for owner in owners)


def test_flag_of_another_scenario_raises_usage_error():
    """It would have no effect."""
    with pytest.raises(UsageError, match=r"k_per_tick: scenario zero_intelligence has no such parameter, only"):
        chosen("zero_intelligence", ScenarioParameters(k_per_tick=0.5))


def test_empty_scenario_produces_no_log():
    """Tests that need full control start from an empty book."""
    played = play(SCENARIOS["empty"](), session())
    assert (len(played.log), played.matching.best(), played.flow.counts()) == (0, (0, 0, 0, 0), {})
