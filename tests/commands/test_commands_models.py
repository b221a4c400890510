"""``mm models``: every registered model with the parameters that it declares."""

import json

import pytest
from click.testing import CliRunner

from mm.__main__ import main
from mm.backtest.models import FILL_MODELS, QUOTE_MODELS, QUOTE_STEPS, declared
from mm.backtest.rules import SIGMA_METHODS


def models(*words: str) -> list[dict]:
    result = CliRunner().invoke(main, ["models", *words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["models"]


def test_every_registered_model_is_listed():
    """A model that is added to a registry is listed with nothing else to do."""
    by_kind: dict[str, list[str]] = {}
    for one in models():
        by_kind.setdefault(one["kind"], []).append(one["name"])
    assert sorted(by_kind["quote"]) == sorted(QUOTE_MODELS)
    assert sorted(by_kind["fill"]) == sorted(FILL_MODELS)
    assert sorted(by_kind["step"]) == sorted(QUOTE_STEPS)
    assert sorted(by_kind["volatility"]) == sorted(SIGMA_METHODS)
    assert by_kind["latency"] == ["fixed", "measured", "recorded_feed"]
    assert all(one["text"] for one in models())


@pytest.mark.parametrize("name", ["glft", "fixed_spread", "queue_prob_power"])
def test_a_model_has_its_parameters_with_unit_and_default(name):
    """They are those of the declaration, which the checks of a run use too."""
    (found,) = models(name)
    own = declared({**QUOTE_MODELS, **FILL_MODELS}[name]).parameters
    rows = {row["name"]: row for row in found["parameters"]}
    assert list(rows) == [one.name for one in own if not one.by_run]
    assert all(rows[one.name]["required"] or rows[one.name]["default"] == one.default for one in own if not one.by_run)
    text = CliRunner().invoke(main, ["models", name]).stdout
    assert all(row in text for row in rows)


def test_units_and_required_values_are_shown():
    """The unit of a distance is ticks, and a parameter without a default is required."""
    text = CliRunner().invoke(main, ["models", "fixed_spread"]).stdout
    assert "delta_ticks  ticks  required  Each side's distance from the mid." in text


def test_a_near_name_is_offered():
    """One letter off is one line, exit code 2."""
    result = CliRunner().invoke(main, ["models", "gltf"])
    assert (result.exit_code, result.stderr) == (
        2,
        "error: there is no model 'gltf'; did you mean glft?; mm models lists them\n",
    )
