"""The registries: each model under its declared name, with units and biases from one source."""

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

ALIASES = {"trade_driven": "trade_cross", "adaptive": "adaptive_spread"}


@pytest.mark.parametrize("registry", [FILL_MODELS, QUOTE_MODELS, QUOTE_STEPS])
def test_models_are_registered_under_their_declared_names(registry):
    """Two models have an additional name."""
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


def test_object_without_declaration_is_rejected():
    with pytest.raises(AssertionError, match="declares no parameters"):
        declared(inspect.signature)
