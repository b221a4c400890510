"""A row of the table: published, exact and simulated beside each other."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mm.sim.as2008.exact import Moments, exact
from mm.sim.as2008.market import Market
from mm.sim.as2008.policies import STRATEGIES
from mm.sim.as2008.published import PATHS, Published, published
from mm.sim.as2008.simulate import Sample, Simulated, simulate

NUMBERS = ("profit_mean", "profit_std", "final_q_mean", "final_q_std")


@dataclass(frozen=True, slots=True)
class Row:
    """One strategy at one gamma; *published* is None where the paper has no such line."""

    gamma: float
    strategy: str
    published: Published | None
    exact: Moments
    simulated: Simulated

    def to_json(self) -> dict[str, Any]:
        """Return the row as the artefact has it; z is the distance from the exact value in standard errors."""
        printed, drawn = self.published, self._drawn()
        return {
            "gamma": self.gamma,
            "strategy": self.strategy,
            "published": None
            if printed is None
            else {**asdict(printed), "n_paths": PATHS, "z": self._z(asdict(printed), self._errors(PATHS))},
            "exact": asdict(self.exact),
            "simulated": {
                "n_paths": self.simulated.n_paths,
                **drawn,
                "profit_skew": self.simulated.profit.skew,
                "profit_kurtosis": self.simulated.profit.kurtosis,
                "z": self._z(drawn, {name: drawn[f"se_{name}"] for name in NUMBERS}),
            },
        }

    def _samples(self) -> tuple[tuple[str, Sample], ...]:
        return ("profit", self.simulated.profit), ("final_q", self.simulated.final_q)

    def _drawn(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, sample in self._samples():
            found |= {f"{name}_mean": sample.mean, f"se_{name}_mean": sample.se_mean}
            found |= {f"{name}_std": sample.std, f"se_{name}_std": sample.se_std}
        return found

    def _errors(self, paths: int) -> dict[str, float]:
        """Return the standard errors of so many paths: the exact spread, and the kurtosis that was drawn."""
        found: dict[str, float] = {}
        for name, sample in self._samples():
            std = getattr(self.exact, f"{name}_std")
            found[f"{name}_mean"] = std / math.sqrt(paths)
            found[f"{name}_std"] = std * math.sqrt(max(0.0, (sample.kurtosis or 1.0) - 1) / (4 * paths))
        return found

    def _z(self, values: Mapping[str, float], errors: Mapping[str, float]) -> dict[str, float | None]:
        exact = asdict(self.exact)
        return {name: (values[name] - exact[name]) / errors[name] if errors[name] > 0 else None for name in NUMBERS}


def row(market: Market, strategy: str, *, paths: int, seed: int, workers: int) -> Row:
    """Return the row of *strategy* in *market*; its draws depend on *seed*, strategy and gamma alone."""
    policy = STRATEGIES[strategy](market)
    moments = exact(market, policy)
    key = (list(STRATEGIES).index(strategy), int(np.float64(market.gamma).view(np.uint64)))
    stream = np.random.SeedSequence(seed, spawn_key=key)
    drawn = simulate(market, policy, moments, paths=paths, stream=stream, workers=workers)
    return Row(market.gamma, strategy, published(market, strategy), moments, drawn)
