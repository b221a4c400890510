"""Trains an agent on recorded days."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from mm.backtest.quotes.agent_file import SavedAgent
from mm.calibration.calibrate import measure
from mm.calibration.config import CalibrationConfig
from mm.calibration.fit_result import PoissonFit
from mm.cli.task_knobs import Learning
from mm.rl.environment import MarketMaking
from mm.rl.training_days import AgentShape, EngineKnobs, fitted_terms, open_days
from mm.tape.tape import Tape

AT_ONCE = 4  # parallel environments
UPDATE_STEPS = 512  # per environment, between two updates


@dataclass(frozen=True)
class Training:
    agent: SavedAgent
    returns: tuple[float, ...]


def fit_of(tapes: Sequence[Tape]) -> PoissonFit | None:
    fit = measure(tapes, CalibrationConfig(reference="mid")).fit
    return fit if fit.usable else None


def train_agent(tapes: Sequence[Tape], knobs: EngineKnobs, learning: Learning) -> Training:
    """Train by PPO; scales and prices of the zero action are fitted to these days. Raises UsageError or DataError."""
    from mm.rl.ppo import Batched, layers_of, train, training_data  # torch is heavy, and optional

    shape = AgentShape(step_s=learning.decision_s, episode_s=learning.episode_s, discrete=learning.discrete_actions)
    fit = fit_of(tapes)
    terms = fitted_terms(open_days(tapes, knobs, None), shape, fit)
    seed = knobs.account.seed
    make = partial(
        MarketMaking, tapes, learning.reward, terms=terms, weight=learning.reward_weight, knobs=knobs.with_drawn_seed()
    )
    envs = SyncVectorEnv([make] * AT_ONCE, autoreset_mode=AutoresetMode.SAME_STEP)
    decisions = max(round(learning.episode_s / learning.decision_s), 1)
    timesteps = learning.timesteps or learning.episodes * decisions
    scale = 1.0 if learning.reward == "utility" else make().tick_clip
    batched = Batched(envs, scale)
    steps = min(UPDATE_STEPS, max(timesteps // AT_ONCE, 16))
    trainer = train(batched, timesteps, seed, steps, gamma=0.999, n_epochs=4)
    about: dict[str, Any] = {
        "algorithm": "PPO",
        "stable_baselines3": version("stable-baselines3"),
        "torch": version("torch"),
        "seed": seed,
        "timesteps": int(trainer.num_timesteps),
        "episodes": len(batched.returns),
        "reward": learning.reward,
        "weight": learning.reward_weight,
        "days": [day for tape in tapes for day in tape.days],
        "requote_interval_ms": knobs.execution.requote_interval_ms,
        "fit": None if fit is None else {"A": fit.A, "k": fit.k, "reference": "mid"},
    }
    agent = SavedAgent(terms, layers_of(trainer), about, training_data(trainer))
    return Training(agent, tuple(batched.returns))


def smoothed(returns: Sequence[float], points: int = 20) -> list[float]:
    if not returns:
        return []
    return [float(part.mean()) for part in np.array_split(np.asarray(returns), min(points, len(returns)))]
