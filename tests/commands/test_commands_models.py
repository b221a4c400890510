"""``mm models``: every registered model with the parameters that it declares."""

import json

import pytest
from click.testing import CliRunner

from mm.__main__ import main
from mm.backtest.models import FILL_MODELS, QUOTE_MODELS, QUOTE_STEPS, declared
from mm.backtest.rules import SIGMA_METHODS
from mm.base.settings import settings


def models(*words: str) -> list[dict]:
    result = CliRunner().invoke(main, ["models", *words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["models"]


def test_every_registered_model_is_listed():
    """A model added to a registry is listed without further work."""
    by_kind: dict[str, list[str]] = {}
    for model in models():
        by_kind.setdefault(model["kind"], []).append(model["name"])
    assert sorted(by_kind["quote"]) == sorted(QUOTE_MODELS)
    assert sorted(by_kind["fill"]) == sorted(FILL_MODELS)
    assert sorted(by_kind["step"]) == sorted(QUOTE_STEPS)
    assert sorted(by_kind["volatility"]) == sorted(SIGMA_METHODS)
    assert by_kind["latency"] == ["fixed", "measured", "recorded_feed"]
    assert all(model["text"] for model in models())


@pytest.mark.parametrize("name", ["glft", "fixed_spread", "queue_prob_power"])
def test_parameters_are_listed_with_unit_and_default(name):
    """They come from the declaration that the checks of a run use too."""
    (model,) = models(name)
    declared_parameters = settings(declared({**QUOTE_MODELS, **FILL_MODELS}[name]))
    rows = {row["name"]: row for row in model["parameters"]}
    assert list(rows) == [parameter.name for parameter in declared_parameters if not parameter.by_run]
    assert all(
        rows[parameter.name]["required"] or rows[parameter.name]["default"] == parameter.default
        for parameter in declared_parameters
        if not parameter.by_run
    )
    text = CliRunner().invoke(main, ["models", name]).stdout
    assert all(row in text for row in rows)


def test_units_and_required_values_are_shown():
    """The unit of a distance is ticks, and a parameter without a default is required."""
    text = CliRunner().invoke(main, ["models", "fixed_spread"]).stdout
    assert "delta_ticks  ticks  required  Each side's distance from the mid." in text


def test_misspelled_model_name_gets_a_suggestion():
    """One wrong letter gives one line and exit code 2."""
    result = CliRunner().invoke(main, ["models", "gltf"])
    assert (result.exit_code, result.stderr) == (
        2,
        "error: there is no model 'gltf'; did you mean glft?; mm models lists them\n",
    )
