"""``mm rl`` without torch: what is refused, and what the referee still prints."""

import json
from importlib import util

import pytest
from click.testing import CliRunner

from mm.commands.rl import evaluate, referee, train
from rl_agents import agent_at


def test_the_referee_without_torch_prints_its_brackets(monkeypatch):
    """And says that no agent was trained."""
    find = util.find_spec
    monkeypatch.setattr(
        util, "find_spec", lambda name, *rest: None if name == "stable_baselines3" else find(name, *rest)
    )
    done = CliRunner().invoke(referee, ["--seeds", "1", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["share"] is None
    assert set(found["utility"]) == {"closed_form", "optimum", "symmetric", "random"}
    done = CliRunner().invoke(referee, ["--seeds", "1"])
    assert "stable-baselines3 is not installed" in done.stdout


@pytest.mark.parametrize("command", [train, evaluate])
def test_a_quote_model_has_no_effect(command, tmp_path):
    """The agent is the quote model; exit 2."""
    agent = agent_at(tmp_path / "agent.zip")
    own = ["--model-path", str(agent)] if command is evaluate else ["--symbol", "SIMUSDT"]
    places = ["--day", "20260105", "--data-root", str(tmp_path / "data"), "--out-root", str(tmp_path / "out")]
    done = CliRunner().invoke(command, [*own, *places, "--quote-model", "glft"])
    assert done.exit_code == 2, done.output
    assert "--quote-model (QUOTE_MODEL) has no effect on an agent" in done.stderr


def test_an_evaluation_without_unseen_days_is_refused(tmp_path):
    """Exit 3, with the way out."""
    agent = agent_at(tmp_path / "agent.zip")
    done = CliRunner().invoke(evaluate, ["--model-path", str(agent), "--data-root", str(tmp_path)])
    assert done.exit_code == 3
    assert "no recorded day that the agent was not trained on" in done.stderr


def test_a_file_that_is_no_agent_is_refused(tmp_path):
    """Exit 3."""
    (tmp_path / "x.zip").write_bytes(b"no zip")
    done = CliRunner().invoke(evaluate, ["--model-path", str(tmp_path / "x.zip")])
    assert done.exit_code == 3
    assert "not a zip file" in done.stderr
