"""``mm rl`` without torch: what is refused, and what the referee still prints."""

import json
import sys
from importlib import util
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from mm.commands.rl import evaluate, referee, train
from mm.rl.closed_form import PAPER, LearnedPolicy, utility
from rl_agents import agent_at


def test_the_referee_without_torch_prints_its_brackets(monkeypatch):
    """And reports that no agent was trained."""
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


def test_the_referee_prints_shares_of_the_closed_form_and_of_the_optimum(monkeypatch):
    """With two agents in the place of trained ones: one that always quotes the markup, and one beside it."""

    def trained(seed, timesteps):
        assert timesteps == 7
        return ((np.zeros((2, 2)), np.full(2, 0.01 * seed), "identity"),)

    find = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name, *rest: name if "stable" in name else find(name, *rest))
    monkeypatch.setitem(sys.modules, "mm.rl.ppo", SimpleNamespace(train_in_paper_world=trained))
    words = ["--seeds", "2", "--referee-timesteps", "7"]
    found = json.loads(CliRunner().invoke(referee, [*words, "--json"]).stdout)
    worth = [utility(PAPER, LearnedPolicy(PAPER, lambda seen, s=s: np.full((len(seen), 2), 0.01 * s))) for s in (0, 1)]
    for answer, base in ((found, "closed_form"), (found["of_optimum"], "optimum")):
        shares = [one / found["utility"][base] for one in worth]
        assert answer["shares"] == pytest.approx(shares)
        assert answer["share"] == pytest.approx(sum(shares) / 2)
        assert answer["ci95"][0] < answer["share"] < answer["ci95"][1]
    *_, rl, of_optimum = CliRunner().invoke(referee, words).stdout.splitlines()
    assert rl.split()[:3] == ["rl", f"{sum(worth) / 2:.3f}", f"{found['share']:.4f}"]
    least = min(found["of_optimum"]["shares"])
    assert of_optimum.split()[:5] == ["rl", "/", "optimum", f"{found['of_optimum']['share']:.4f}", "95"]
    assert of_optimum.endswith(f", the least {least:.4f}, 2 seeds")
    (only,) = CliRunner().invoke(referee, ["--seeds", "1", *words[2:]]).stdout.splitlines()[-1:]
    assert only.endswith("one seed has no interval")


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
