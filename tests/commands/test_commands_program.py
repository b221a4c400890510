"""``mm config show``: every setting with its source."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mm.__main__ import main
from mm.base.knobs import knobs
from mm.cli.docs import every_group


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def test_every_setting_is_shown_with_its_source(monkeypatch):
    """A variable, the file, or none."""
    Path("mm.toml").write_text('symbol = "BTCUSDT"\nseed = 3')
    monkeypatch.setenv("SEED", "4")
    settings = json.loads(CliRunner().invoke(main, ["config", "show", "--json"]).stdout)
    assert set(settings) == {knob.name for group in every_group() for knob in knobs(group)}
    assert settings["symbol"] == {"value": "BTCUSDT", "source": "file"}
    assert settings["seed"] == {"value": 4, "source": "environment"}
    assert settings["order_latency_ms"] == {"value": 50.0, "source": "default"}
    text = CliRunner().invoke(main, ["config", "show"]).stdout
    assert text.startswith("file mm.toml\n")
    assert "  seed = 4  (environment)\n" in text
    assert "  order_latency_ms = 50\n" in text


def test_a_command_has_its_own_defaults():
    """A walk-forward plays the fill model of a backtest by default, and measures its rates under it."""
    settings = json.loads(CliRunner().invoke(main, ["config", "show", "walkforward", "--json"]).stdout)
    assert (settings["fill_model"]["value"], "window_start" in settings) == ("queue_prob_power", False)
    assert "refresh" not in CliRunner().invoke(main, ["config", "show", "runs", "list"]).stdout
    for words in (["runs"], ["nix"], ["backtest", "x"]):
        assert CliRunner().invoke(main, ["config", "show", *words]).exit_code == 2


def test_invalid_value_in_settings_file_is_rejected():
    """The settings file of a project is checked as a whole."""
    Path("mm.toml").write_text("seed = -3")
    result = CliRunner().invoke(main, ["config", "show"])
    assert (result.exit_code, result.stderr[:52]) == (2, "error: mm.toml: --seed (SEED) was '-3': it must be a")
