"""Parameters in other units: refused, with the number that is meant."""

import inspect

import pytest

from mm.backtest.models import QUOTE_MODELS
from mm.backtest.units import UNITS, refuse_other_units
from mm.errors import UsageError

OTHERS = [
    ("gamma_usd", 10, "gamma here, in 1/(tick·clip): multiply by the tick size 0.01, so gamma is 0.1"),
    ("k_per_price", 50.0, "k here, in 1/tick: multiply by the tick size 0.01, so k is 0.5"),
    ("sigma_usdt", 0.02, "sigma here, in ticks/√s: divide by the tick size 0.01, so sigma is 2"),
    ("sigma_USDT_per_sqrt_s", 0.02, "so sigma is 2"),
    ("sigma_pct", 0.1, "sigma here, in ticks/√s: 1 % of the price is price/(100 × 0.01) ticks, 1 bp a hundredth"),
    ("sigma_annual", 0.6, "count time in seconds"),
    ("delta_usd", 0.05, "delta_ticks here, in ticks: divide by the tick size 0.01, so delta_ticks is 5"),
    ("delta_bps", 5, "1 bp a hundredth of that"),
    ("horizon_ms", 500, "horizon_s here, in s: count time in seconds"),
    ("sigma_window_min", 5, "sigma_window_s here, in s: count time in seconds"),
    ("A_per_min", 12, "A here, in 1/s: count time in seconds"),
    ("q_max_btc", 0.5, "q_max here, in clips: count inventory in clips, multiples of the quoted quantity"),
    ("q_max_usd", 500, "q_max here, in clips: count inventory in clips"),
    ("k_per_tick", 0.3, "k here, in 1/tick: give it as k"),
    ("sigma_ticks", 0.3, "sigma here, in ticks/√s: give it as sigma"),
    ("phi_usd", 0.001, "so phi is 0.1"),
    ("xi_price", "much", "multiply by the tick size 0.01"),
]


@pytest.mark.parametrize(("key", "value", "told"), OTHERS)
def test_another_unit_is_refused_with_the_way_to_ours(key, value, told):
    known = ["delta_ticks"] if key.startswith("delta") else UNITS
    with pytest.raises(UsageError) as caught:
        refuse_other_units("glft", {"k": 1.0, key: value}, known, "0.01")
    assert str(caught.value).startswith(f"QUOTE_PARAMS_JSON: glft: {key} is {value!r}; it is ")
    assert told in str(caught.value)


@pytest.mark.parametrize("name", QUOTE_MODELS)
def test_no_parameter_of_a_model_is_taken_for_another_unit(name):
    """And what is no unit at all is left to those who name unknown keys."""
    known = inspect.signature(QUOTE_MODELS[name]).parameters
    refuse_other_units(name, dict.fromkeys([*known, "gama", "k_of_mine"], 1), known, "0.01")


def test_a_model_of_ones_own_may_name_its_units():
    """What it takes is its own affair."""
    refuse_other_units("mine:Model", {"sigma_pct": 0.1, "sigma": 2}, ["sigma", "sigma_pct"], "0.01")


@pytest.mark.parametrize("name", ["avellaneda_stoikov", "glft", "gueant", "cartea_jaimungal", "fixed_spread"])
def test_every_number_of_an_optimal_model_has_a_unit(name):
    known = set(inspect.signature(QUOTE_MODELS[name]).parameters) - {"mode", "sigma_method", "intensity"}
    assert known <= set(UNITS)
