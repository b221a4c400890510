"""One prediction, one decision: µs per call as in a live market, one row at a time, called from Python."""

import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from benchmarks.turns import Measured, Row, at_most
from mm.predict.fitting import MODELS, fit
from mm.predict.samples import Samples, Task
from mm.signals.predictor import Network

AIM_US = 100
CALLS = 20_000
SAMPLES, INPUTS, HIDDEN = 20_000, 12, 64
AGENT_INPUTS, AGENT_OUTPUTS = 13, 3


def measure(turns: int) -> Measured:
    """Measure a predictor of each model, as large as from `mm predict fit`, and the network of an agent."""
    calls = {**_predictors(), "agent": _agent()}
    taken = {name: [_quantiles_us(call) for _ in range(turns)] for name, call in calls.items()}
    rows = [
        Row(f"{name}, {which}", "us", [quantiles[place] for quantiles in turn_quantiles], aim=at_most(AIM_US))
        for name, turn_quantiles in taken.items()
        for place, which in enumerate(("p50", "p99"))
    ]
    return Measured(rows, {"calls per turn": CALLS}, ["Python's call and its arrays are included"])


def _predictors() -> dict[str, Callable[[], object]]:
    """Return functions that predict one row, by model; each model is fitted to noise with a trend."""
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(SAMPLES, INPUTS))
    us, zeros = np.arange(SAMPLES), np.zeros(SAMPLES)
    outcome = rows[:, 0] + draw.normal(size=SAMPLES)
    samples = Samples(us, us, np.zeros(SAMPLES, np.int64), rows, zeros, outcome, outcome, zeros, zeros)
    task = Task("return", 1.0, ("imbalance_1",) * INPUTS)
    row, mid = rows[:1].copy(), zeros[:1].copy()

    def predict_one(model: str) -> Callable[[], object]:
        predictor = fit(model, task, samples, 1.0, 0).predictor
        return lambda: predictor.predict(row, mid)

    return {model: predict_one(model) for model in MODELS}


def _agent() -> Callable[[], object]:
    """Return a function that handles one observation: a network of the size in `mm rl train`."""
    draw = np.random.default_rng(1)
    sizes = (AGENT_INPUTS, HIDDEN, HIDDEN, AGENT_OUTPUTS)
    weights = [draw.normal(size=pair) for pair in pairwise(sizes)]
    network = Network(weights, [np.zeros(size) for size in sizes[1:]], ["tanh", "tanh", "identity"])
    observation = draw.normal(size=(1, AGENT_INPUTS))
    return lambda: network.predict(observation)


def _quantiles_us(call: Callable[[], object]) -> tuple[float, float]:
    """Return median and 99 % quantile of the time of a call, µs."""
    taken = np.empty(CALLS)
    for place in range(CALLS):
        began = time.perf_counter_ns()
        call()
        taken[place] = time.perf_counter_ns() - began
    p50, p99 = np.quantile(taken, (0.5, 0.99)) / 1e3
    return float(p50), float(p99)
