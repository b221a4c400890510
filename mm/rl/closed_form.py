"""The model of Avellaneda and Stoikov (2008) as an environment, and the exact utility of any policy in it.

The market is ``mm sim as2008``'s: coins for fills and mid, 200 steps of one second. An agent's share of the closed
form's utility, computed by propagating probabilities, validates its trainer.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from mm.sim.as2008.exact import exact
from mm.sim.as2008.model import Floats, GlftExact, Inventories, InventoryRule, PaperModel, Policy, SymmetricRule

PAPER = PaperModel(gamma=0.1, A=140.0, k=1.5, sigma=2.0, horizon_s=1.0, steps=200)
"""The market of section 3.3."""
OFFSET = 6.0  # distance per offset of 1, in units of the price
MOST_Q = 10.0  # inventory scale: this is observed as 1
Answer = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def observation(market: PaperModel, step: int | NDArray[np.int64], q: Inventories) -> NDArray[np.float64]:
    left = np.broadcast_to(1.0 - np.asarray(step) / market.steps, q.shape)
    return np.stack([q / MOST_Q, left], axis=-1)


@dataclass(frozen=True)
class LearnedPolicy:
    """An agent's policy: markup plus its network's offsets.

    *answer* maps observations to float64[n, 2]: bid and ask offset, clipped to ±1.
    """

    market: PaperModel
    answer: Answer
    average_spread: float | None = None

    def distances(self, step: int, q: Inventories) -> tuple[Floats, Floats]:
        offsets = OFFSET * np.clip(self.answer(observation(self.market, step, q)), -1.0, 1.0)
        return self.market.markup + offsets[:, 0], self.market.markup + offsets[:, 1]


def utility(market: PaperModel, policy: Policy) -> float:
    """Return mean - (γ/2)·variance of a policy's profit, exactly."""
    moments = exact(market, policy)
    return moments.profit_mean - 0.5 * market.gamma * moments.profit_std**2


def random_agent(market: PaperModel, seed: int) -> LearnedPolicy:
    draws = np.random.default_rng(seed)
    return LearnedPolicy(market, lambda observed: draws.uniform(-1.0, 1.0, (len(observed), 2)))


def brackets(market: PaperModel, seeds: Sequence[int]) -> dict[str, float]:
    drawn = [utility(market, random_agent(market, seed)) for seed in seeds]
    return {
        "closed_form": utility(market, InventoryRule(market)),
        "optimum": utility(market, GlftExact(market)),
        "symmetric": utility(market, SymmetricRule(market)),
        "random": float(np.mean(drawn)),
    }


class PaperWorld(VectorEnv[NDArray[np.float32], NDArray[np.float32], NDArray[Any]]):
    """Parallel sessions of the paper's market; an ended session restarts at the next step."""

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 - gymnasium's own

    def __init__(self, num_envs: int = 1, market: PaperModel | None = None) -> None:
        self.market, self.num_envs = market or PAPER, num_envs
        self.single_observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.single_action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space = spaces.Box(-np.inf, np.inf, (num_envs, 2), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (num_envs, 2), np.float32)
        self._q = np.zeros(num_envs, np.int64)
        self._step = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Every second session starts with a random inventory."""
        del options
        super().reset(seed=seed)
        self._begin()
        return self._observation(), {}

    def _begin(self) -> None:
        # Half of the sessions start with a random inventory, so that a policy is trained on inventories as well.
        self._q = np.rint(self.np_random.normal(0.0, 3.0, self.num_envs)).astype(np.int64)
        self._q[::2] = 0
        self._step = 0

    def _observation(self) -> NDArray[np.float32]:
        return observation(self.market, self._step, self._q).astype(np.float32)

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """``final_obs`` is given for ended sessions."""
        market = self.market
        distances = market.markup + OFFSET * np.clip(np.asarray(actions, np.float64), -1.0, 1.0)
        chances = np.exp(np.minimum(market.log_chance(distances), 0.0))
        filled = self.np_random.random((self.num_envs, 2)) < chances
        gained = (filled * distances).sum(axis=1)
        self._q = self._q + filled[:, 0] - filled[:, 1]
        self._step += 1
        risk = 0.5 * market.gamma * market.sigma**2 * market.step_s
        rewards = gained - risk * self._q.astype(np.float64) ** 2
        ended = np.full(self.num_envs, self._step >= market.steps)
        info: dict[str, Any] = {}
        if self._step >= market.steps:
            info["final_obs"] = self._observation()
            self._begin()
        return self._observation(), rewards, ended, np.zeros(self.num_envs, bool), info


@dataclass(frozen=True)
class Share:
    shares: tuple[float, ...]
    mean: float
    ci95: tuple[float, float] | None

    @classmethod
    def of(cls, shares: Sequence[float]) -> "Share":
        from scipy.stats import t

        mean = float(np.mean(shares))
        if len(shares) < 2:
            return cls(tuple(shares), mean, None)
        reach = float(t.ppf(0.975, len(shares) - 1) * np.std(shares, ddof=1) / math.sqrt(len(shares)))
        return cls(tuple(shares), mean, (mean - reach, mean + reach))

    def text(self) -> str:
        if self.ci95 is None:
            return "one seed has no interval"
        return (
            f"95 % {self.ci95[0]:.4f} to {self.ci95[1]:.4f}, minimum {min(self.shares):.4f}, {len(self.shares)} seeds"
        )

    def to_json(self) -> dict[str, Any]:
        return {"share": self.mean, "ci95": self.ci95 and list(self.ci95), "shares": list(self.shares)}
