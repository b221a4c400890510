"""Agents and a small synthetic day for the tests of reinforcement learning."""

from pathlib import Path

import numpy as np

from mm.backtest.quotes.agent_file import AgentTerms, SavedAgent, write_agent
from simulation import simulate_day

HOURS = 0.25
WHY_NO_TRAINER = (
    "stable-baselines3 is not installed: pip install 'mm-research[rl]' (docs/learning.md has the line without CUDA)"
)
SIGNALS = ("imbalance_1", "momentum_1s")


def sim_day(root: Path, day: str = "20260105", seed: int = 7) -> Path:
    """Record a synthetic day and return its folder."""
    folder = simulate_day(root, hours=HOURS, seed=seed, day=day, A_per_s=1.0, k_per_tick=0.3)
    return folder.path


def terms(**changed: object) -> AgentTerms:
    """Return terms for the synthetic day."""
    values: dict[str, object] = {
        "symbol": "SIMUSDT",
        "tick_e8": 1_000_000,
        "signals": SIGNALS,
        "means": (0.0, 0.0),
        "scales": (0.5, 2.0),
        "step_s": 0.5,
        "episode_s": 60.0,
        "max_offset_ticks": 2.0,
        "distance_ticks": None,
        "q_max": 5.0,
        "usual_distance_ticks": 2.0,
        "usual_queue": 1.0,
    }
    return AgentTerms(**values | changed)  # type: ignore[arg-type]


def saved(agent_terms: AgentTerms, seed: int = 1, hidden: int = 8, **about: object) -> SavedAgent:
    """Return an agent with a random network; *about* is the description of its training."""
    draws = np.random.default_rng(seed)
    layers = (
        (draws.normal(size=(agent_terms.inputs, hidden)), draws.normal(size=hidden), "tanh"),
        (draws.normal(size=(hidden, agent_terms.outputs)), draws.normal(size=agent_terms.outputs), "identity"),
    )
    return SavedAgent(agent_terms, layers, {"trained": "by no one", **about}, b"the trainer's own")


def agent_at(path: Path, about: dict[str, object] | None = None, seed: int = 1, **changed: object) -> Path:
    """Write an agent and return its path."""
    write_agent(path, saved(terms(**changed), seed, **(about or {})))
    return path
