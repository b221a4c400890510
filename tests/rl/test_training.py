"""Training by stable-baselines3: the saved arrays play the policy of the trainer."""

import io
import json

import numpy as np
import pytest
from click.testing import CliRunner

from mm.__main__ import main
from mm.backtest.quotes.agent_file import read_agent
from mm.rl.training import smoothed
from rl_agents import WHY_NO_TRAINER, sim_day


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """Return a folder with two days and two agents trained briefly on the first."""
    pytest.importorskip("stable_baselines3", reason=WHY_NO_TRAINER)
    folder = tmp_path_factory.mktemp("desk")
    for day, seed in (("20260105", 7), ("20260106", 8)):
        sim_day(folder / "data", day, seed)
    places = ["--data-root", str(folder / "data"), "--out-root", str(folder / "out")]
    flags = ["--symbol", "SIMUSDT", "--day", "20260105", "--timesteps", "256", "--episode-s", "30", "--seed", "4"]
    for name in ("a", "b"):
        result = CliRunner().invoke(
            main, ["rl", "train", *flags, *places, "--save-path", str(folder / name), "--run-id", name, "--json"]
        )
        assert result.exit_code == 0, result.output
    return folder


def test_training_saves_agent_and_record(desk):
    """Terms of the training day only, seed and versions; equal seeds give equal networks."""
    first, second = (read_agent(desk / f"{name}.zip") for name in ("a", "b"))
    assert first.about["days"] == ["20260105"]
    assert first.about["seed"] == 4
    assert first.terms == second.terms
    for one, other in zip(first.layers, second.layers, strict=True):
        assert np.array_equal(one[0], other[0])
    record = json.loads((desk / "out/rl_train/SIMUSDT/20260105_a/training.json").read_text())
    assert record["sha256"] == first.sha256
    assert len(record["learning_curve"]) > 1


def test_saved_network_equals_policy_of_trainer(desk):
    """Deterministic actions for 500 observations, up to float rounding."""
    from stable_baselines3 import PPO

    agent = read_agent(desk / "a.zip")
    observations = np.random.default_rng(1).uniform(-5, 5, (500, agent.terms.inputs)).astype(np.float32)
    trainer = PPO.load(io.BytesIO(agent.training), device="cpu")
    expected, _ = trainer.predict(observations, deterministic=True)
    found = np.clip(agent.network().predict(observations.astype(np.float64)), -1.0, 1.0)
    assert np.abs(found - expected).max() < 1e-5


def test_evaluate_compares_agent_with_rivals_on_unseen_days(desk):
    """Without a day, all unseen days; the JSON contains the policies."""
    places = ["--data-root", str(desk / "data"), "--out-root", str(desk / "out")]
    result = CliRunner().invoke(main, ["rl", "evaluate", "--model-path", str(desk / "a.zip"), *places, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["days"] == ["20260106"]
    assert {"rl", "avellaneda_stoikov", "symmetric"} <= set(found["policies"])
    for one in found["policies"].values():
        assert {"pnl_total", "sharpe", "inventory"} <= set(one)
    result = CliRunner().invoke(
        main, ["rl", "evaluate", "--model-path", str(desk / "a.zip"), *places, "--day", "20260105"]
    )
    assert "20260105 was trained on" in result.stdout


def test_referee_prints_shares(desk):
    """Agents have hardly learned: the share exists, but need not be good."""
    result = CliRunner().invoke(main, ["rl", "referee", "--seeds", "2", "--referee-timesteps", "1", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert len(found["shares"]) == 2
    assert found["ci95"][0] <= found["share"] <= found["ci95"][1]
    assert found["utility"]["closed_form"] > found["utility"]["random"]


def test_smoothed_curve_is_means_of_equal_parts():
    """At most as many points as episodes."""
    assert smoothed([1.0, 3.0, 5.0, 7.0], 2) == [2.0, 6.0]
    assert smoothed([4.0]) == [4.0]
    assert smoothed([]) == []
