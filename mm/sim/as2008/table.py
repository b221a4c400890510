"""The table of published, exact and simulated moments, as objects and as text."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mm.sim.as2008.exact import Moments, exact
from mm.sim.as2008.model import STRATEGIES, PaperModel
from mm.sim.as2008.simulate import SampleMoments, SimulatedPaths, simulate

PATHS = 1000
"""Number of simulated paths of each published line."""
NUMBERS = ("profit_mean", "profit_std", "final_q_mean", "final_q_std")
_HEAD = ("gamma", "strategy", "", "published", "z", "exact", "simulated", "±", "z")
_LINE = "{:>6}  {:<16} {:<12} {:>9} {:>5} {:>10} {:>10} {:>8} {:>5}"


_TABLES = {
    (0.1, "inventory"): (1.49, 65.0, 6.6, 0.08, 2.9),
    (0.1, "symmetric"): (1.49, 68.4, 12.7, 0.26, 8.4),
    (0.01, "inventory"): (1.35, 68.6, 8.7, 0.12, 5.1),
    (0.01, "symmetric"): (1.35, 68.8, 12.8, 0.09, 8.7),
    (1.0, "inventory"): (3.02, 31.4, 5.0, 0.02, 1.7),
    (1.0, "symmetric"): (3.02, 44.0, 11.0, 0.0, 5.1),
}
"""The lines of the paper's tables, each from PATHS simulated paths: the average spread, and NUMBERS."""


def published(market: PaperModel, strategy: str) -> dict[str, float] | None:
    paper = PaperModel(gamma=market.gamma, A=140.0, k=1.5, sigma=2.0, horizon_s=1.0, steps=200)
    if market != paper or (market.gamma, strategy) not in _TABLES:
        return None
    return dict(zip(("avg_spread", *NUMBERS), _TABLES[market.gamma, strategy], strict=True))


@dataclass(frozen=True, slots=True)
class TableRow:
    """*published* is None if the paper has no such line."""

    gamma: float
    strategy: str
    published: dict[str, float] | None
    exact: Moments
    simulated: SimulatedPaths

    def to_json(self) -> dict[str, Any]:
        printed, drawn = self.published, self._drawn()
        return {
            "gamma": self.gamma,
            "strategy": self.strategy,
            "published": None
            if printed is None
            else {**printed, "n_paths": PATHS, "z": self._z(printed, self._errors(PATHS))},
            "exact": asdict(self.exact),
            "simulated": {
                "n_paths": self.simulated.n_paths,
                **drawn,
                "profit_skew": self.simulated.profit.skew,
                "profit_kurtosis": self.simulated.profit.kurtosis,
                "z": self._z(drawn, {name: drawn[f"se_{name}"] for name in NUMBERS}),
            },
        }

    def _samples(self) -> tuple[tuple[str, SampleMoments], ...]:
        return ("profit", self.simulated.profit), ("final_q", self.simulated.final_q)

    def _drawn(self) -> dict[str, float]:
        moments: dict[str, float] = {}
        for name, sample in self._samples():
            moments |= {f"{name}_mean": sample.mean, f"se_{name}_mean": sample.se_mean}
            moments |= {f"{name}_std": sample.std, f"se_{name}_std": sample.se_std}
        return moments

    def _errors(self, paths: int) -> dict[str, float]:
        errors: dict[str, float] = {}
        for name, sample in self._samples():
            std = getattr(self.exact, f"{name}_std")
            errors[f"{name}_mean"] = std / math.sqrt(paths)
            errors[f"{name}_std"] = std * math.sqrt(max(0.0, (sample.kurtosis or 1.0) - 1) / (4 * paths))
        return errors

    def _z(self, values: Mapping[str, float], errors: Mapping[str, float]) -> dict[str, float | None]:
        exact = asdict(self.exact)
        return {name: (values[name] - exact[name]) / errors[name] if errors[name] > 0 else None for name in NUMBERS}


def row(market: PaperModel, strategy: str, *, paths: int, seed: int) -> TableRow:
    policy = STRATEGIES[strategy](market)
    moments = exact(market, policy)
    key = (list(STRATEGIES).index(strategy), int(np.float64(market.gamma).view(np.uint64)))
    stream = np.random.SeedSequence(seed, spawn_key=key)
    drawn = simulate(market, policy, moments, paths=paths, stream=stream)
    return TableRow(market.gamma, strategy, published(market, strategy), moments, drawn)


def text(rows: Sequence[TableRow]) -> Iterator[str]:
    yield _LINE.format(*_HEAD)
    for row in rows:
        content = row.to_json()
        printed, exact, drawn = content["published"], content["exact"], content["simulated"]
        start = f"{row.gamma:g}", row.strategy
        for name in NUMBERS:
            paper = (f"{printed[name]:g}", _signed(printed["z"][name])) if printed else ("–", "–")
            simulated = _fixed(drawn[name]), _fixed(drawn[f"se_{name}"]), _signed(drawn["z"][name])
            yield _LINE.format(*start, name.replace("_", " "), *paper, _fixed(exact[name]), *simulated)
            start = "", ""
        yield _LINE.format(*start, "certainty", "–", "–", _fixed(exact["certainty_equivalent"]), "–", "–", "–")
    yield (
        f"z: deviation from the exact value in standard errors; paths: published {PATHS:,}, simulated "
        f"{rows[0].simulated.n_paths:,}"
    )


def _fixed(value: float | None) -> str:
    """Round to 12 first: a mean such as 0.00515 is a tie that float errors must not decide."""
    return "–" if value is None else f"{round(round(value, 12), 4) + 0.0:.4f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{round(value, 1) + 0.0:+.1f}"
