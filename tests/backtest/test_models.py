"""The registries: each model under its declared name, with units and biases from one source."""

import copy
import inspect

import pytest

from mm.backtest import models
from mm.backtest.models import (
    FILL_BIAS,
    FILL_MODELS,
    QUOTE_MODELS,
    QUOTE_STEPS,
    UNITS,
    declared,
    parameter_tables,
)

ALIASES = {"trade_driven": "trade_cross", "adaptive": "adaptive_spread", "queue_risk_averse": "queue_back"}


@pytest.mark.parametrize("registry", [FILL_MODELS, QUOTE_MODELS, QUOTE_STEPS])
def test_models_are_registered_under_their_declared_names(registry):
    """Three models have an additional name."""
    for name, build in registry.items():
        assert declared(build).name == ALIASES.get(name, name)


def test_registered_models_can_be_imported_by_name():
    """``from mm.backtest.models import fixed_spread`` and QUOTE_MODEL=fixed_spread give the same object."""
    for name, build in (FILL_MODELS | QUOTE_MODELS).items():
        if name not in ALIASES:
            assert getattr(models, name) is build, name


def test_parameter_names_have_one_unit_in_all_models():
    """A user's model that takes gamma takes it in the unit of all others."""
    for build in QUOTE_MODELS.values():
        for key in declared(build).of_user():
            assert key.unit is None or key.unit == UNITS[key.name], (declared(build).name, key.name)


def test_fill_bias_equals_the_declared_bias_of_each_model():
    assert {name for name in FILL_BIAS if FILL_BIAS[name] != declared(FILL_MODELS[name]).bias} == set()
    assert "no adverse selection" in FILL_BIAS["poisson"]


def test_parameter_tables_list_each_parameter_once():
    """Four cells per row, none empty; aliases do not repeat their model."""
    rows = [line for line in parameter_tables() if line.startswith("| `")]
    expected = [
        (declared(build).name, key.name)
        for registry in (QUOTE_MODELS, QUOTE_STEPS, FILL_MODELS)
        for build in dict.fromkeys(registry.values())
        for key in declared(build).of_user()
    ]
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    assert [(model.strip("`"), name.split("`")[1]) for model, name, *_ in cells] == expected
    assert all(len(row) >= 4 and all(row) for row in cells)


COPIED = [
    models.avellaneda_stoikov(k=0.4),
    models.glft(k=0.4, A=1.0, mode="exact"),
    models.optimal_curve(curve=[[1, 0.9], [4, 0.3], [9, 0.05]]),
    models.mixed(models=[(models.fixed_spread(delta_ticks=2), 1.0), (models.symmetric(k=0.4), 2.0)]),
    QUOTE_STEPS["widen"](models.inventory_skew(delta_ticks=2, skew_ticks=1), extra_ticks=3, inventory=2.0),
]


@pytest.mark.parametrize("model", COPIED, ids=lambda model: model.name)
def test_copy_of_a_quote_model_quotes_the_same(model):
    """The sensitivity plays copies of the given objects."""
    market = {"bid_ticks": 100, "ask_ticks": 103, "inventory_lots": 3, "sigma_ticks": 1.5}
    copied = copy.deepcopy(model)
    assert type(copied) is type(model)
    assert copied.answer(**market) == model.answer(**market)


def test_copies_of_fill_models_share_an_intensity():
    """An intensity never changes; the models that a hybrid contains are copied with it."""
    drawn = models.poisson(A=1.0, k=0.4)
    copied = copy.deepcopy(models.hybrid(models=[models.queue_prob_power(exponent=2.0), drawn]))
    queue, other = copied.models
    assert (type(queue), queue.exponent) == (models.queue_prob_power, 2.0)
    assert other is not drawn
    assert other.intensity is drawn.intensity


def test_object_without_declaration_is_rejected():
    with pytest.raises(AssertionError, match="declares no parameters"):
        declared(inspect.signature)
