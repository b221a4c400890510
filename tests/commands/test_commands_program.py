"""``mm config show``: every setting with its source."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mm.__main__ import main
from mm.cli.docs import every_group
from mm.cli.knobs import knobs


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def test_every_setting_is_shown_with_its_source(monkeypatch):
    """A variable, the file, or none."""
    Path("mm.toml").write_text('symbol = "BTCUSDT"\nseed = 3')
    monkeypatch.setenv("SEED", "4")
    found = json.loads(CliRunner().invoke(main, ["config", "show", "--json"]).stdout)
    assert set(found) == {one.name for group in every_group() for one in knobs(group)}
    assert found["symbol"] == {"value": "BTCUSDT", "source": "file"}
    assert found["seed"] == {"value": 4, "source": "environment"}
    assert found["order_latency_ms"] == {"value": 50.0, "source": "default"}
    text = CliRunner().invoke(main, ["config", "show"]).stdout
    assert text.startswith("file mm.toml\n")
    assert "  seed = 4  (environment)\n" in text
    assert "  order_latency_ms = 50\n" in text


def test_a_command_has_defaults_of_its_own():
    """A walk-forward fills by poisson by default."""
    found = json.loads(CliRunner().invoke(main, ["config", "show", "walkforward", "--json"]).stdout)
    assert (found["fill_model"]["value"], "window_start" in found) == ("poisson", False)
    assert "refresh" not in CliRunner().invoke(main, ["config", "show", "runs", "list"]).stdout
    for words in (["runs"], ["nix"], ["backtest", "x"]):
        assert CliRunner().invoke(main, ["config", "show", *words]).exit_code == 2


def test_a_wrong_value_is_refused():
    """The file of a project is checked as a whole."""
    Path("mm.toml").write_text("seed = -3")
    result = CliRunner().invoke(main, ["config", "show"])
    assert (result.exit_code, result.stderr[:52]) == (2, "error: mm.toml: --seed (SEED) was '-3': it must be a")
