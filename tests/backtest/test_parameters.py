"""Parameters that models declare; keys in other units are rejected with the converted number."""

import inspect
import math
from typing import Annotated, Literal

import numpy as np
import pytest

from mm.backtest.declarations import FORMULA, Horizon, QMax
from mm.backtest.models import FILL_MODELS, QUOTE_MODELS, QUOTE_STEPS, UNITS, declared, fixed_spread
from mm.backtest.parameters import Parameters, declaration_of, declares, refuse_other_units
from mm.base.settings import REQUIRED, settings
from mm.errors import UsageError

OTHER_UNITS = [
    ("gamma_usd", 10, "use gamma, in 1/(tick·clip): multiply by the tick size 0.01, so gamma is 0.1"),
    ("k_per_price", 50.0, "use k, in 1/tick: multiply by the tick size 0.01, so k is 0.5"),
    ("sigma_usdt", 0.02, "use sigma, in ticks/√s: divide by the tick size 0.01, so sigma is 2"),
    ("sigma_USDT_per_sqrt_s", 0.02, "so sigma is 2"),
    ("sigma_pct", 0.1, "use sigma, in ticks/√s: 1 % of the price is price/(100 × 0.01) ticks, 1 bp a hundredth"),
    ("sigma_annual", 0.6, "give time in seconds"),
    ("delta_usd", 0.05, "use delta_ticks, in ticks: divide by the tick size 0.01, so delta_ticks is 5"),
    ("delta_bps", 5, "1 bp a hundredth of that"),
    ("horizon_ms", 500, "use horizon_s, in s: give time in seconds"),
    ("sigma_window_min", 5, "use sigma_window_s, in s: give time in seconds"),
    ("A_per_min", 12, "use A, in 1/s: give time in seconds"),
    ("q_max_btc", 0.5, "use q_max, in clips: give inventory in clips, multiples of the quoted quantity"),
    ("q_max_usd", 500, "use q_max, in clips: give inventory in clips"),
    ("k_per_tick", 0.3, "use k, in 1/tick: give it as k"),
    ("sigma_ticks", 0.3, "use sigma, in ticks/√s: give it as sigma"),
    ("phi_usd", 0.001, "so phi is 0.1"),
    ("xi_price", "much", "multiply by the tick size 0.01"),
]


@pytest.mark.parametrize(("key", "value", "message"), OTHER_UNITS)
def test_key_in_another_unit_is_rejected_with_conversion(key, value, message):
    known = {"delta_ticks": UNITS["delta_ticks"]} if key.startswith("delta") else UNITS
    with pytest.raises(UsageError) as caught:
        refuse_other_units("glft", {"k": 1.0, key: value}, known, "0.01")
    assert str(caught.value).startswith(f"quote_params_json: glft: {key} is {value!r}; use ")
    assert message in str(caught.value)


@pytest.mark.parametrize("name", QUOTE_MODELS)
def test_declared_parameters_are_not_mistaken_for_other_units(name):
    """Keys that are no unit at all are left to the check of unknown keys."""
    known = {parameter.name: parameter.unit for parameter in declared(QUOTE_MODELS[name]).of_user()}
    refuse_other_units(name, dict.fromkeys([*known, "gama", "k_of_mine"], 1), known, "0.01")


def test_users_model_may_declare_its_own_units():
    """A declared key is accepted with any suffix."""
    refuse_other_units(
        "mine:Model", {"sigma_pct": 0.1, "sigma": 2}, {"sigma": UNITS["sigma"], "sigma_pct": None}, "0.01"
    )


@pytest.mark.parametrize("name", ["avellaneda_stoikov", "glft", "gueant", "cartea_jaimungal", "fixed_spread"])
def test_numeric_parameters_of_optimal_models_have_units(name):
    known = {parameter.name for parameter in declared(QUOTE_MODELS[name]).of_user()} - {"mode", "sigma_method"}
    assert known <= set(UNITS)


class Mine(Parameters):
    """The parameters of a model called mine."""

    horizon_s: Horizon = 30.0
    q_max: QMax = None
    mode: Annotated[Literal["near", "far"], FORMULA] = "near"


ALL_MODELS = [*FILL_MODELS.values(), *QUOTE_MODELS.values(), *QUOTE_STEPS.values()]


@pytest.mark.parametrize("build", ALL_MODELS)
def test_parameters_have_help_text_and_valid_defaults(build):
    """The tables of docs/lookup/configuration.md are made from them."""
    for parameter in settings(declared(build)):
        assert parameter.help.endswith("."), parameter
        if parameter.default is not REQUIRED:
            parameter.check("model", parameter.default)


def test_parameter_name_has_the_same_unit_in_every_model():
    """The k of a fit and the k of a model can be compared."""
    for build in QUOTE_MODELS.values():
        for parameter in declared(build).of_user():
            assert parameter.unit == UNITS.get(parameter.name), parameter


def test_settle_applies_defaults_and_checks_values():
    """All constructors get their values from it."""
    assert Mine.settle({"mode": "far"}) == {"horizon_s": 30.0, "q_max": None, "mode": "far"}
    assert Mine.settle({"horizon_s": np.int64(2), "q_max": np.float64(0.5)}) == {
        "horizon_s": 2.0,
        "q_max": 0.5,
        "mode": "near",
    }
    assert [one.reader.metavar for one in settings(Mine)] == ["float", "float | None", "Literal['near', 'far']"]
    for params, message in (
        ({"horizon_s": 0}, "mine: horizon_s is 0; it must be a number between 1e-06 and 1000000000"),
        ({"horizon_s": math.nan}, "mine: horizon_s is nan; it must be a number between 1e-06 and 1000000000"),
        ({"horizon_s": math.inf}, "mine: horizon_s is inf; it must be a number between 1e-06 and 1000000000"),
        ({"horizon_s": True}, "mine: horizon_s is True; it must be a number between 1e-06 and 1000000000"),
        ({"q_max": -1.0}, "mine: q_max is -1.0; it must be a number above 0 or null"),
        ({"mode": "nearer"}, "mine: mode is 'nearer'; it must be one of near, far"),
    ):
        with pytest.raises(UsageError, match=f"^{message}$"):
            Mine.settle(params)
    with pytest.raises(TypeError, match="mine: Unexpected keyword argument 'horizon'"):
        Mine.settle({"horizon": 1})


def test_bound_of_the_default_strategy_cannot_be_none():
    """Its kernel needs a number; the bare formula does not."""
    with pytest.raises(UsageError, match=r"^avellaneda_stoikov: q_max is None; it must be a number above 0$"):
        QUOTE_MODELS["avellaneda_stoikov"](q_max=None, k=1.0)
    QUOTE_MODELS["avellaneda_stoikov_bare"](q_max=None, k=1.0)


def test_declaration_decorates_a_function():
    """Its signature is that of the declaration, for editors and for inspect."""

    @declares(Mine)
    def mine(**params):
        return params

    assert declaration_of(mine) is Mine
    assert str(inspect.signature(mine)).startswith("(*, horizon_s: 'float' = 30.0, q_max: 'float | None' = None")


def test_subclass_of_a_users_own_declares_nothing():
    """Its own constructor declares its parameters, whatever it inherits from."""

    class Mine(type(fixed_spread(delta_ticks=1))):
        def __init__(self, away):
            super().__init__(delta_ticks=away)

    assert declaration_of(Mine) is None
    assert Mine(3).delta_ticks == 3.0


@pytest.mark.parametrize("name", ["avellaneda_stoikov", "avellaneda_stoikov_bare", "symmetric", "glft", "gueant"])
def test_error_names_the_requested_model(name):
    """The default strategy is composed of three models, but errors contain the name that the user gave."""
    with pytest.raises(
        UsageError, match=rf"^{name}: gamma is -1; it must be a number above 0 or auto, in 1/\(tick·clip\)$"
    ):
        QUOTE_MODELS[name](gamma=-1, k=1.0, **({"A": 1.0} if name.startswith("g") else {}))
    with pytest.raises(UsageError, match=rf"^{name}: k is missing"):
        QUOTE_MODELS[name]()
