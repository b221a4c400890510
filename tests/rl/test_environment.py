"""Gymnasium environment of market making."""

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from mm.clock import US_PER_S
from mm.errors import Mismatch, UsageError
from mm.rl.environment import MarketMaking
from rl_agents import sim_day, terms

SHORT = {"signals": ("imbalance_1",), "episode_s": 30.0}
ZERO = np.zeros(3, np.float32)


def test_import_registers_environment(day):
    """By its public id, with one folder or several."""
    env = gymnasium.make("mm.rl.MarketMaking-v0", days=[day], reward="pnl", discrete=False, **SHORT)
    assert isinstance(env.unwrapped, MarketMaking)
    assert env.action_space.shape == (3,)


@pytest.mark.slow
@pytest.mark.parametrize("discrete", [False, True])
@pytest.mark.parametrize("reward", ["pnl", "spread_inventory", "utility"])
def test_gymnasium_checker_passes(day, discrete, reward):
    """Spaces, seeds, determinism, infos and the render mode."""
    env = gymnasium.make(
        "mm.rl.MarketMaking-v0", days=[day], reward=reward, discrete=discrete, render_mode="ansi", **SHORT
    )
    check_env(env.unwrapped)


def test_stable_baselines3_checker_passes(day):
    """Only if it is installed."""
    checker = pytest.importorskip(
        "stable_baselines3.common.env_checker",
        reason="stable-baselines3 is not installed: pip install 'mm-research[rl]' (docs/learning.md)",
    )
    checker.check_env(MarketMaking([day], **SHORT), warn=True)
    checker.check_env(MarketMaking([day], discrete=True, **SHORT), warn=True)


def test_vector_environment_over_two_days(day, tmp_path):
    """Two days with one tick size."""
    other = sim_day(tmp_path, "20260106", seed=8)
    envs = gymnasium.make_vec("mm.rl.MarketMaking-v0", num_envs=3, days=[day, other], **SHORT)
    observed, infos = envs.reset(seed=5)
    assert observed.shape == (3, 7)
    assert len(set(infos["start_us"].tolist())) == 3
    for _ in range(5):
        observed, rewards, _, _, infos = envs.step(np.zeros((3, 3), np.float32))
    assert rewards.shape == infos["equity"].shape == (3,)
    envs.close()


def test_an_episode_ends_before_its_day_does(tape):
    """Its start is drawn from those that leave it its whole time."""
    half_s = (tape.end_us - tape.start_us) / 2 / US_PER_S
    env = MarketMaking([tape], signals=("imbalance_1",), episode_s=half_s)
    starts = [env.reset(seed=seed)[1]["start_us"] for seed in range(20)]
    assert min(starts) < max(starts) <= tape.end_us - half_s * US_PER_S + 1


def trajectory(env, seed: int) -> list:
    """Return an episode of random actions: observations, rewards, infos."""
    observed, info = env.reset(seed=seed)
    draws, rows, ended = np.random.default_rng(seed), [(observed.tolist(), info)], False
    while not ended:
        observed, reward, _, ended, info = env.step(draws.uniform(-1, 1, 3).astype(np.float32))
        rows.append((observed.tolist(), reward, info))
    return rows


def test_equal_seeds_give_equal_trajectories(day):
    """Also in another environment; other seeds give other trajectories."""
    first, second = (
        MarketMaking([day], fill_model="poisson", fill_params_json={"A": 1, "k": 0.3}, **SHORT) for _ in "ab"
    )
    assert trajectory(first, 3) == trajectory(second, 3) == trajectory(first, 3)
    assert trajectory(first, 4) != trajectory(first, 3)


def test_pnl_rewards_sum_to_equity_change(day):
    """Up to rounding of the sum, for any number of steps."""
    env = MarketMaking([day], signals=("imbalance_1",), episode_s=600.0, max_offset_ticks=2.0)
    _, info = env.reset(seed=2)
    initial_equity, total, ended = info["equity"], 0.0, False
    while not ended:
        _, reward, _, ended, info = env.step(np.array([-1, -1, 0], np.float32))
        total += reward
    assert info["inventory"] != 0.0 or info["equity"] != initial_equity
    assert total == pytest.approx(info["equity"] - initial_equity, abs=1e-15 * 1000)


@pytest.mark.parametrize(("target", "held"), [({}, 0), ({"target_inventory": "1"}, 2)])
def test_inventory_penalty_is_relative_to_target(tape, target, held):
    """Without quotes the penalty is constant; the default target is the initial inventory."""
    knobs = {"initial_inventory": "3", "quote_qty": "1", "weight": 0.5, **target}
    env = MarketMaking([tape], "spread_inventory", signals=("imbalance_1",), episode_s=5.0, step_s=1.0, **knobs)
    env.reset(seed=1)
    rewards = [env.step(np.array([0, 0, -1], np.float32))[1] for _ in range(5)]
    assert rewards == pytest.approx([-0.5 * held**2 * env.tick_clip] * 5)


def test_episode_has_given_length_and_time_left_decreases(day):
    """Time left falls from 1 to 0 in equal steps; then a reset is needed."""
    env = MarketMaking([day], **SHORT)
    observed, _ = env.reset(seed=1)
    left, ended = [observed[2]], False
    while not ended:
        observed, _, _, ended, _ = env.step(ZERO)
        left.append(observed[2])
    assert left == pytest.approx(np.linspace(1.0, 0.0, 121), abs=1e-6)
    with pytest.raises(ResetNeeded):
        env.step(ZERO)


def test_episode_ends_with_day(tape):
    """If less than its length is left."""
    env = MarketMaking([tape], signals=("imbalance_1",), episode_s=600.0)
    env.reset(options={"start_us": tape.end_us - 10 * US_PER_S})
    steps, ended = 0, False
    while not ended:
        _, _, _, ended, _ = env.step(ZERO)
        steps += 1
    assert 39 <= steps <= 41


def test_observation_matches_account_and_quotes(tape):
    """Own quotes and inventory appear when they exist; all values are inside the space."""
    env = MarketMaking([tape], terms=terms(episode_s=200.0), seed=1)
    observed, _ = env.reset(options={"start_us": tape.start_us + US_PER_S})
    assert observed[2:].tolist() == [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]  # inventory, time left, and no quote yet
    distances = []
    for number in range(100):
        observed, _, _, _, info = env.step(ZERO if number % 2 else np.array([-1, -1, 0], np.float32))
        assert env.observation_space.contains(observed)
        clips = info["inventory"] / (env._days[0].rules.quote_lots * env._days[0].rules.lot_e8 * 1e-8)
        assert observed[2] == pytest.approx(clips / 5.0, abs=1e-6)
        assert 0.0 <= observed[6] <= 1.0
        distances.append(observed[4])
    assert max(distances) > 0.0


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"reward": "profit"}, UsageError, "must be one of pnl"),
        ({"days": []}, UsageError, "days is empty"),
        ({"step_s": 0.3}, UsageError, "whole number of requote intervals"),
        ({"episode_s": -1}, UsageError, "episode_s is -1"),
        ({"quote_model": "glft"}, UsageError, "quote_model has no effect"),
        ({"feed_latency": "recorded"}, UsageError, "order of receipt"),
        ({"weight": -1.0}, UsageError, "weight is -1"),
        ({"terms": terms()}, UsageError, "would have no effect"),
        ({"latency": 3}, TypeError, "unexpected keyword"),
        ({"render_mode": "human"}, UsageError, "render_mode"),
    ],
)
def test_invalid_arguments_are_rejected(tape, changed, error, message):
    """In one line with the value and the remedy."""
    with pytest.raises(error, match=message) as caught:
        MarketMaking(**{"days": [tape], **SHORT, **changed})
    assert "\n" not in str(caught.value)


def test_invalid_reset_options_are_rejected(tape):
    """A missing day, an instant before the tape, an unknown key."""
    env = MarketMaking([tape], **SHORT)
    for options, message in (
        ({"day": 1}, "day is 1"),
        ({"start_us": 5}, "start_us is 5"),
        ({"begin": 1}, "unknown begin"),
    ):
        with pytest.raises(UsageError, match=message):
            env.reset(options=options)


def test_terms_of_other_tick_are_rejected(tape):
    """Offsets in ticks would have another meaning."""
    with pytest.raises(Mismatch, match=r"this market has ticks of 0\.01"):
        MarketMaking([tape], terms=terms(tick_e8=10_000_000))


def test_ansi_rendering_shows_account(tape):
    """In mode ansi."""
    env = MarketMaking([tape], render_mode="ansi", **SHORT)
    assert env.render() is None
    env.reset(seed=1)
    assert env.render() == "0/120 equity 1000 inventory 0"
