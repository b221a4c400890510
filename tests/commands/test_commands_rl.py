"""``mm rl`` without torch: rejected calls, and what the referee still prints."""

import json
import sys
from importlib import util
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from mm.commands.rl import rl_evaluate as evaluate
from mm.commands.rl import rl_referee as referee
from mm.commands.rl import rl_train as train
from mm.rl.closed_form import PAPER, LearnedPolicy, utility
from rl_agents import agent_at


def test_referee_without_torch_prints_its_brackets(monkeypatch):
    """It also reports that no agent was trained."""
    find_spec = util.find_spec
    monkeypatch.setattr(
        "mm.commands.rl.find_spec", lambda name, *rest: None if name == "stable_baselines3" else find_spec(name, *rest)
    )
    done = CliRunner().invoke(referee, ["--seeds", "1", "--json"])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert printed["share"] is None
    assert set(printed["utility"]) == {"closed_form", "optimum", "symmetric", "random"}
    done = CliRunner().invoke(referee, ["--seeds", "1"])
    assert "stable-baselines3 is not installed" in done.stdout


@pytest.mark.slow
def test_referee_prints_shares_of_closed_form_and_optimum(monkeypatch):
    """Two agents stand in for trained ones: one always quotes the markup, the other deviates from it."""

    def trained(seed, timesteps):
        assert timesteps == 7
        return ((np.zeros((2, 2)), np.full(2, 0.01 * seed), "identity"),)

    find_spec = util.find_spec
    monkeypatch.setattr(
        "mm.commands.rl.find_spec", lambda name, *rest: name if "stable" in name else find_spec(name, *rest)
    )
    monkeypatch.setitem(sys.modules, "mm.rl.ppo", SimpleNamespace(train_in_paper_world=trained))
    words = ["--seeds", "2", "--referee-timesteps", "7"]
    printed = json.loads(CliRunner().invoke(referee, [*words, "--json"]).stdout)
    utilities = [
        utility(PAPER, LearnedPolicy(PAPER, lambda states, s=s: np.full((len(states), 2), 0.01 * s))) for s in (0, 1)
    ]
    for answer, base in ((printed, "closed_form"), (printed["of_optimum"], "optimum")):
        shares = [value / printed["utility"][base] for value in utilities]
        assert answer["shares"] == pytest.approx(shares)
        assert answer["share"] == pytest.approx(sum(shares) / 2)
        assert answer["ci95"][0] < answer["share"] < answer["ci95"][1]
    *_, rl, of_optimum = CliRunner().invoke(referee, words).stdout.splitlines()
    assert rl.split()[:3] == ["rl", f"{sum(utilities) / 2:.3f}", f"{printed['share']:.4f}"]
    lowest = min(printed["of_optimum"]["shares"])
    assert of_optimum.split()[:5] == ["rl", "/", "optimum", f"{printed['of_optimum']['share']:.4f}", "95"]
    assert of_optimum.endswith(f", minimum {lowest:.4f}, 2 seeds")
    (last_line,) = CliRunner().invoke(referee, ["--seeds", "1", *words[2:]]).stdout.splitlines()[-1:]
    assert last_line.endswith("one seed has no interval")


@pytest.mark.parametrize("command", [train, evaluate])
def test_quote_model_flag_is_rejected(command, tmp_path):
    """The agent is the quote model; exit 2."""
    agent = agent_at(tmp_path / "agent.zip")
    target = ["--model-path", str(agent)] if command is evaluate else ["--symbol", "SIMUSDT"]
    places = ["--day", "20260105", "--data-root", str(tmp_path / "data"), "--out-root", str(tmp_path / "out")]
    done = CliRunner().invoke(command, [*target, *places, "--quote-model", "glft"])
    assert done.exit_code == 2, done.output
    assert "--quote-model (QUOTE_MODEL) has no effect on an agent" in done.stderr


def test_evaluate_without_unseen_days_exits_with_3(tmp_path):
    """The message has the remedy."""
    agent = agent_at(tmp_path / "agent.zip")
    done = CliRunner().invoke(evaluate, ["--model-path", str(agent), "--data-root", str(tmp_path)])
    assert done.exit_code == 3
    assert "no recorded day outside the training days of the agent" in done.stderr


def test_evaluate_rejects_a_file_that_is_not_an_agent(tmp_path):
    """Exit 3."""
    (tmp_path / "x.zip").write_bytes(b"no zip")
    done = CliRunner().invoke(evaluate, ["--model-path", str(tmp_path / "x.zip")])
    assert done.exit_code == 3
    assert "not a zip file" in done.stderr
