"""Training by stable-baselines3: what leaves it is plain arrays that play the same policy."""

import io
import json

import numpy as np
import pytest
from click.testing import CliRunner

from mm.backtest.quotes.agent_file import read_agent
from mm.commands.rl import evaluate, referee, train
from mm.rl.training import smoothed
from rl_agents import WHY_NO_TRAINER, sim_day


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with two days, and an agent that was trained on the first for a moment."""
    pytest.importorskip("stable_baselines3", reason=WHY_NO_TRAINER)
    folder = tmp_path_factory.mktemp("desk")
    for day, seed in (("20260105", 7), ("20260106", 8)):
        sim_day(folder / "data", day, seed)
    places = ["--data-root", str(folder / "data"), "--out-root", str(folder / "out")]
    flags = ["--symbol", "SIMUSDT", "--day", "20260105", "--timesteps", "256", "--episode-s", "30", "--seed", "4"]
    for name in ("a", "b"):
        done = CliRunner().invoke(
            train, [*flags, *places, "--save-path", str(folder / name), "--run-id", name, "--json"]
        )
        assert done.exit_code == 0, done.output
    return folder


def test_a_training_leaves_an_agent_and_its_record(desk):
    """Terms of the training day alone, the seed, the versions; equal seeds, equal networks."""
    first, second = (read_agent(desk / f"{name}.zip") for name in ("a", "b"))
    assert first.about["days"] == ["20260105"]
    assert first.about["seed"] == 4
    assert first.terms == second.terms
    for one, other in zip(first.layers, second.layers, strict=True):
        assert np.array_equal(one[0], other[0])
    record = json.loads((desk / "out/rl_train/SIMUSDT/20260105_a/training.json").read_text())
    assert record["sha256"] == first.sha256
    assert len(record["learning_curve"]) > 1


def test_the_arrays_are_the_policy_of_the_trainer(desk):
    """Its deterministic action for 500 observations, to the rounding of its floats."""
    from stable_baselines3 import PPO

    agent = read_agent(desk / "a.zip")
    seen = np.random.default_rng(1).uniform(-5, 5, (500, agent.terms.inputs)).astype(np.float32)
    trainer = PPO.load(io.BytesIO(agent.training), device="cpu")
    expected, _ = trainer.predict(seen, deterministic=True)
    found = np.clip(agent.network().predict(seen.astype(np.float64)), -1.0, 1.0)
    assert np.abs(found - expected).max() < 1e-5


def test_an_agent_is_held_against_its_rivals_on_days_it_has_not_seen(desk):
    """Without a day, all of them; as JSON the policies of the face."""
    places = ["--data-root", str(desk / "data"), "--out-root", str(desk / "out")]
    done = CliRunner().invoke(evaluate, ["--model-path", str(desk / "a.zip"), *places, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["days"] == ["20260106"]
    assert {"rl", "avellaneda_stoikov", "symmetric"} <= set(found["policies"])
    for one in found["policies"].values():
        assert {"pnl_total", "sharpe", "inventory"} <= set(one)
    done = CliRunner().invoke(evaluate, ["--model-path", str(desk / "a.zip"), *places, "--day", "20260105"])
    assert "20260105 was trained on" in done.stdout


def test_the_referee_prints_shares(desk):
    """Of agents that have hardly learned: a share that is there, not one that is good."""
    done = CliRunner().invoke(referee, ["--seeds", "2", "--referee-timesteps", "1", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert len(found["shares"]) == 2
    assert found["ci95"][0] <= found["share"] <= found["ci95"][1]
    assert found["utility"]["closed_form"] > found["utility"]["random"]


def test_a_learning_curve_is_means_of_equal_parts():
    """At most as many points as episodes."""
    assert smoothed([1.0, 3.0, 5.0, 7.0], 2) == [2.0, 6.0]
    assert smoothed([4.0]) == [4.0]
    assert smoothed([]) == []
