"""Training by proximal policy optimisation (Schulman and others, 2017) of stable-baselines3, and its export.

Only this module uses torch and stable-baselines3; it returns plain arrays, so an agent plays without either.
"""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

from mm.backtest.quotes.agent_file import Layers
from mm.rl.closed_form import PaperWorld

HIDDEN = (64, 64)


class Batched(VecEnv):  # type: ignore[misc]
    """Adapts a gymnasium vector environment to stable-baselines3.

    *envs* restart within the step that ends an episode; *scale* divides rewards.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], scale: float = 1.0) -> None:
        self._envs, self._scale = envs, scale
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)
        self._actions: NDArray[Any] = np.zeros(0)
        self.returns: list[float] = []
        self._running = np.zeros(envs.num_envs)

    def reset(self) -> NDArray[Any]:
        observed: NDArray[Any] = self._envs.reset(seed=self._seeds[0])[0]
        self._reset_seeds()
        return observed

    def step_async(self, actions: NDArray[Any]) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], list[dict[str, Any]]]:
        observed, rewards, terminated, truncated, info = self._envs.step(self._actions)
        ended = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        self._running += rewards
        for place in np.flatnonzero(ended):
            infos[place] = {
                "terminal_observation": info["final_obs"][place],
                "TimeLimit.truncated": bool(truncated[place]),
            }
            self.returns.append(float(self._running[place]))
            self._running[place] = 0.0
        return observed, (rewards / self._scale).astype(np.float32), ended, infos

    def close(self) -> None:
        self._envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self._envs, attr_name, None) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:  # noqa: ARG002 - signature of the base
        raise AttributeError(attr_name)

    def env_method(self, method_name: str, *_args: Any, **_kwargs: Any) -> list[Any]:
        raise AttributeError(method_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        del wrapper_class
        return [False for _ in self._get_indices(indices)]


def train(envs: Batched, timesteps: int, seed: int, steps: int, **settings: Any) -> PPO:
    """Equal seeds give equal agents on one machine.

    Args:
        seed: For weights, actions and environments.
        steps: Per environment between updates.
        settings: Of ``stable_baselines3.PPO``.
    """
    torch.set_num_threads(1)
    defaults = {
        "n_steps": steps,
        "batch_size": max(steps * envs.num_envs // 8, 64),
        "learning_rate": _falling(3e-4),
        "policy_kwargs": _policy(-1.0),
        "device": "cpu",
    }
    trainer = PPO("MlpPolicy", envs, seed=seed, verbose=0, **(defaults | settings))
    trainer.learn(timesteps)
    return trainer


def train_in_paper_world(seed: int, timesteps: int) -> Layers:
    envs = Batched(PaperWorld(64))
    settings = {"gamma": 1.0, "learning_rate": _falling(1e-3), "policy_kwargs": _policy(-2.5)}
    return layers_of(train(envs, timesteps, seed, 100, **settings))


def _policy(log_std: float) -> dict[str, Any]:
    return {"net_arch": list(HIDDEN), "log_std_init": log_std}


def _falling(rate: float) -> Callable[[float], float]:
    return lambda left: rate * (0.05 + 0.95 * max(left, 0.0))  # the last update may exceed the requested steps


def layers_of(trainer: PPO) -> Layers:
    policy = trainer.policy
    layers = []
    modules = [*policy.mlp_extractor.policy_net, policy.action_net]
    for place, module in enumerate(modules):
        if isinstance(module, torch.nn.Linear):
            after = modules[place + 1] if place + 1 < len(modules) else None
            activation = "tanh" if isinstance(after, torch.nn.Tanh) else "identity"
            weights = module.weight.detach().numpy().astype(np.float64).T
            layers.append((np.ascontiguousarray(weights), module.bias.detach().numpy().astype(np.float64), activation))
    return tuple(layers)


def training_data(trainer: PPO) -> bytes:
    """Return the content for ``PPO.load``; it has pickles, which this project never loads."""
    data = io.BytesIO()
    trainer.save(data)
    return data.getvalue()
