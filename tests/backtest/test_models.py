"""The registries: each model by the name that it declares, with units and biases of one source."""

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
def test_a_model_stands_under_the_name_that_it_declares(registry):
    """Beside the few that have two names."""
    for name, build in registry.items():
        assert declared(build).name == ALIASES.get(name, name)


def test_every_registered_model_can_be_imported_by_its_name():
    """``from mm.backtest.models import fixed_spread`` and the name of QUOTE_MODEL make the same."""
    for name, build in (FILL_MODELS | QUOTE_MODELS).items():
        if name in models.__all__:
            assert getattr(models, name) is build, name
    assert {name for name in models.__all__ if not hasattr(models, name)} == set()


def test_every_declared_parameter_has_one_unit_by_its_name():
    """A model of a user's own that takes gamma takes it in the unit of all others."""
    for build in QUOTE_MODELS.values():
        for one in declared(build).keys:
            assert one.unit is None or one.unit == UNITS[one.name], (declared(build).name, one.name)


def test_a_bias_is_a_sentence_of_its_model():
    assert {name for name in FILL_BIAS if FILL_BIAS[name] != declared(FILL_MODELS[name]).bias} == set()
    assert "no adverse selection" in FILL_BIAS["poisson"]


def test_the_tables_list_each_parameter_of_each_model_once():
    """Four cells a row, none empty; aliases do not repeat their model."""
    rows = [line for line in parameter_tables() if line.startswith("| `")]
    wanted = [
        (declared(build).name, one.name)
        for registry in (QUOTE_MODELS, QUOTE_STEPS, FILL_MODELS)
        for build in dict.fromkeys(registry.values())
        for one in declared(build).keys
    ]
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    assert [(model.strip("`"), key.split("`")[1]) for model, key, *_ in cells] == wanted
    assert all(len(row) >= 4 and all(row) for row in cells)


def test_a_model_that_declares_nothing_is_refused():
    with pytest.raises(AssertionError, match="declares no parameters"):
        declared(inspect.signature)
