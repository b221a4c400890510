"""Rules of a run: settings in the engine's units, presets, and invalid values."""

from dataclasses import fields, replace

import pytest

from mm import Rules
from mm.backtest.preset import PRESETS
from mm.backtest.rules import Account, Execution, rule_fields
from mm.errors import UsageError

PLAIN = Rules(tick_e8=100, lot_e8=10)


def test_settings_become_whole_units():
    """Milliseconds to microseconds, rates and money to 1e-8: the engine uses integers only."""
    execution = Execution(order_latency_ms=1.5, cancel_latency_ms=0.25, requote_interval_ms=100)
    converted = rule_fields(execution, Account(maker_fee_rate="-0.0001", initial_cash="12.5", seed=7))
    assert (converted["order_latency_us"], converted["cancel_latency_us"], converted["requote_us"]) == (
        1500,
        250,
        100_000,
    )
    assert (converted["maker_fee_e8"], converted["taker_fee_e8"]) == (-10_000, 100_000)
    assert (converted["start_cash_e8"], converted["latency_seed"]) == (1_250_000_000, 7)


def test_terms_are_fields_of_the_rules():
    """A setting without a field would have no effect."""
    for preset in (None, *PRESETS):
        assert rule_fields(Execution(), Account(preset=preset)).keys() <= {field.name for field in fields(Rules)}


@pytest.mark.parametrize("name", PRESETS)
def test_preset_provides_fees_unless_one_is_given(name):
    """An explicit rate replaces the preset's rate and unit fee of that role."""
    preset = PRESETS[name]
    converted = rule_fields(Execution(), Account(preset=name))
    assert (converted["maker_fee_e8"], converted["taker_fee_e8"]) == tuple(preset.fees.rate_e8)
    assert (converted["maker_unit_fee_e8"], converted["taker_unit_fee_e8"]) == tuple(preset.fees.unit_e8)
    assert (converted["multiplier"], converted["enforce_balances"]) == (preset.multiplier, not preset.may_short)
    explicit = rule_fields(Execution(), Account(preset=name, maker_fee_rate="0.002"))
    assert explicit["maker_fee_e8"] == 200_000
    assert "maker_unit_fee_e8" not in explicit
    assert explicit["taker_fee_e8"] == converted["taker_fee_e8"]


def test_value_of_a_tick_lot_and_default_target():
    assert replace(PLAIN, multiplier=50).tick_lot_e16 == 100 * 10 * 50
    assert replace(PLAIN, start_lots=4).target == 4
    assert replace(PLAIN, start_lots=4, target_lots=0).target == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tick_e8": 0}, "tick_e8 is 0; it must be above 0"),
        ({"requote_us": 0}, "requote_us is 0; it must be above 0"),
        ({"quote_levels": 0}, "quote_levels is 0; it must be above 0"),
        ({"order_latency_us": -1}, "order_latency_us is -1; it must be 0 or more"),
        ({"sigma_method": "garch"}, "sigma_method is 'garch'; it must be one of rolling, ewma, two_scale"),
        ({"sigma_half_life_s": 0.0}, "sigma_half_life_s is 0.0; it must be above 0, in seconds"),
        ({"sigma_method": "two_scale", "sigma_window_s": 3}, "two_scale needs 4 seconds at least"),
        ({"maker_unit_fee_e8": 1}, "set enforce_balances to False"),
        ({"feed_us": 5, "recorded_feed": True}, "feed_us is 5 under recorded_feed"),
        ({"decisions": True, "feed_us": 5}, "set feed_latency to none, not constant"),
        ({"decisions": True, "recorded_feed": True}, "set feed_latency to none, not recorded"),
    ],
)
def test_invalid_rules_name_the_field(change, message):
    with pytest.raises(UsageError) as error:
        replace(PLAIN, **change)
    assert message in str(error.value)


def test_rebates_and_negative_balances_are_allowed():
    """Fees, cash and inventory may be negative."""
    rules = replace(PLAIN, maker_fee_e8=-1, taker_fee_e8=-1, start_cash_e8=-1, start_lots=-1, target_lots=-1)
    assert rules.target == -1
