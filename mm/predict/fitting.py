"""Fits linear models, forests and small networks by scikit-learn, exported as plain arrays, and baselines.

``mm.signals.predictor`` computes the same without scikit-learn (tests/predict).
"""

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mm.errors import FitError
from mm.predict.samples import IMBALANCE, Samples, Task
from mm.predict.scoring import CONSTANT
from mm.signals.artefact import Arrays, kernel_of
from mm.signals.families import QUOTE, SIGNALS
from mm.signals.predictor import LARGEST_SCALED, Predictor

POISSON = "poisson"  # the name of A·exp(−k·δ) among baselines
MODELS = ("logistic", "forest", "mlp")
LEAST_SAMPLES = 200  # minimum per side
LEAST_OF_A_CLASS = 10
TREES, DEPTH, TREE_SAMPLES, LEAST_LEAF, LEAF_SHARE = 40, 6, 20_000, 20, 100
HIDDEN, EPOCHS, BATCH = (16, 8), 30, 512
RIDGE = 1.0  # penalty on the squares of standardised weights
Floats = NDArray[np.float64]


class FittedPredictor(NamedTuple):
    heads: tuple[Mapping[str, Any], ...]
    arrays: Arrays
    scaler: Mapping[str, list[Any]]
    predictor: Predictor


def fit(model: str, task: Task, samples: Samples, tick: float, seed: int) -> FittedPredictor:
    """Fit a model of each side; FitError with too few samples, or outcomes of one class."""

    priced = [SIGNALS.described(name)["unit"] == QUOTE for name in task.signals]
    priced += [False] * (task.inputs - len(priced))
    x = np.where(priced, samples.rows / tick - samples.mid_ticks[:, None], samples.rows)
    mean, spread = x.mean(axis=0), x.std(axis=0)
    # A constant signal has no information, and its scale must not be 0.
    scale = np.where(spread > 1e-12 * np.maximum(np.abs(mean), 1.0), spread, 1.0)
    x = np.clip((x - mean) / scale, -LARGEST_SCALED, LARGEST_SCALED)
    heads: list[Mapping[str, Any]] = []
    arrays: dict[str, NDArray[Any]] = {}
    for side in range(task.sides):
        on_side = samples.side == side
        y = samples.outcome[on_side]
        check_outcomes(task, y, side)
        head, own = _fit_one(model, task.target, x[on_side], y, seed)
        heads.append(head)
        arrays |= {f"{side}.{name}": values for name, values in own.items()}
    kernels = [kernel_of(head, str(place), arrays) for place, head in enumerate(heads)]
    scaler = {"mean": mean.tolist(), "scale": scale.tolist(), "priced": priced}
    return FittedPredictor(tuple(heads), arrays, scaler, Predictor(kernels, mean, scale, priced, tick))


def constant_signals(task: Task, samples: Samples) -> list[str]:
    return [name for name, column in zip(task.signals, samples.rows.T, strict=False) if np.ptp(column) == 0.0]


def check_outcomes(task: Task, y: Floats, side: int) -> None:
    of = f"{task.target} over {task.horizon_s:g} s" + (f", {('bids', 'asks')[side]}" if task.sides > 1 else "")
    if len(y) < LEAST_SAMPLES:
        raise FitError(
            f"{of}: {len(y)} samples in a training window; the minimum is {LEAST_SAMPLES}; give a longer day"
        )
    if task.sides == 1:
        if np.ptp(y) == 0.0:
            raise FitError(f"{of}: the mid never moves in a training window; give a longer horizon or day")
        return
    rare = min(int(y.sum()), len(y) - int(y.sum()))
    if rare < LEAST_OF_A_CLASS:
        raise FitError(
            f"{of}: {int(y.sum())} of {len(y)} samples in a training window are 1; the minimum is {LEAST_OF_A_CLASS} "
            "of each class; give another horizon or a longer day"
        )


def _fit_one(model: str, target: str, x: Floats, y: Floats, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    if model == "forest":
        return _forest(x, y, seed)
    if model == "mlp":
        return _perceptron(target, x, y, seed)
    return linear(x, y, classes=target != "return")


def linear(x: Floats, y: Floats, *, classes: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    from sklearn.linear_model import LogisticRegression, Ridge

    fitted = LogisticRegression(C=1.0 / RIDGE, max_iter=500) if classes else Ridge(alpha=RIDGE)
    fitted.fit(x, y)
    weights = np.asarray(fitted.coef_, np.float64).reshape(-1, 1)
    bias = np.asarray(fitted.intercept_, np.float64).reshape(1)
    return _network("logistic" if classes else "identity", [], [weights], [bias])


def _forest(x: Floats, y: Floats, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A leaf has its mean outcome, for classes the share of ones."""
    from sklearn.ensemble import RandomForestRegressor

    drawn = min(len(y), TREE_SAMPLES)
    # Squared errors of 0 and 1 give the splits of Gini impurity, and the mean of a leaf is its probability.
    fitted = RandomForestRegressor(
        TREES,
        max_depth=DEPTH,
        min_samples_leaf=max(LEAST_LEAF, drawn // LEAF_SHARE),
        max_features=0.5,
        max_samples=drawn,
        random_state=seed,
        n_jobs=1,
    ).fit(x, y)
    trees = [estimator.tree_ for estimator in fitted.estimators_]
    sizes = np.array([tree.node_count for tree in trees])
    roots = np.cumsum(sizes) - sizes
    first = np.repeat(roots, sizes)
    feature = np.concatenate([tree.feature for tree in trees]).astype(np.int64)
    inner = feature >= 0
    children = [np.concatenate([getattr(tree, f"children_{side}") for tree in trees]) for side in ("left", "right")]
    left, right = (np.where(inner, child + first, -1).astype(np.int64) for child in children)
    threshold = np.where(inner, np.concatenate([tree.threshold for tree in trees]), 0.0)
    value = np.concatenate([tree.value[:, 0, 0] for tree in trees])
    arrays = {"feature": np.where(inner, feature, -1), "threshold": threshold, "left": left, "right": right}
    return {"kind": "forest", "inputs": x.shape[1]}, {"roots": roots.astype(np.int64), **arrays, "value": value}


def _perceptron(target: str, x: Floats, y: Floats, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    kind = MLPRegressor if target == "return" else MLPClassifier
    unit = float(y.std()) if target == "return" else 1.0
    fitted = kind(
        hidden_layer_sizes=HIDDEN,
        activation="tanh",
        alpha=1e-3,
        batch_size=min(BATCH, len(y)),
        max_iter=EPOCHS,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it stops after EPOCHS by design
        fitted.fit(x, y / unit)
    weights, biases = list(fitted.coefs_), list(fitted.intercepts_)
    weights[-1], biases[-1] = weights[-1] * unit, biases[-1] * unit
    return _network("identity" if target == "return" else "logistic", ["tanh"] * len(HIDDEN), weights, biases)


def _network(
    last: str, hidden: list[str], weights: list[Floats], biases: list[Floats]
) -> tuple[dict[str, Any], dict[str, Any]]:
    arrays = {f"w{layer}": np.ascontiguousarray(table) for layer, table in enumerate(weights)}
    arrays |= {f"b{layer}": np.ascontiguousarray(row) for layer, row in enumerate(biases)}
    return {"kind": "network", "activations": [*hidden, last]}, arrays


def fit_baselines(task: Task, samples: Samples) -> dict[str, Any]:
    """Return the parameters of each side's baselines as JSON values.

    ``constant`` is the mean outcome, ``imbalance_1`` intercept and slope of a linear or logistic regression,
    ``poisson`` A (1/s) and k (1/tick) of ``1 − exp(−A·exp(−k·δ)·horizon)``.
    """
    baselines: dict[str, Any] = {CONSTANT: [], IMBALANCE: []}
    for side in range(task.sides):
        at = samples.side == side
        y = samples.outcome[at]
        _, arrays = linear(samples.imbalance[at, None], y, classes=task.sides > 1)
        baselines[CONSTANT].append(float(y.mean()))
        baselines[IMBALANCE].append([float(arrays["b0"][0]), float(arrays["w0"][0, 0])])
    if task.target == "fill":
        baselines[POISSON] = _fit_poisson(samples.rows[:, -1], samples.outcome, task.horizon_s)
    return baselines


def predict_baselines(task: Task, samples: Samples, numbers: Mapping[str, Any]) -> dict[str, Floats]:
    constant, imbalance = (np.array(numbers[name])[samples.side] for name in (CONSTANT, IMBALANCE))
    line = imbalance[:, 0] + imbalance[:, 1] * samples.imbalance
    baselines = {CONSTANT: constant, IMBALANCE: line if task.sides == 1 else 1.0 / (1.0 + np.exp(-line))}
    if task.target == "fill":
        A, k = numbers[POISSON]["A"], numbers[POISSON]["k"]
        baselines[POISSON] = -np.expm1(-A * np.exp(-k * samples.rows[:, -1]) * task.horizon_s)
    return baselines


def _fit_poisson(distance: Floats, filled: Floats, horizon_s: float) -> dict[str, float]:
    from scipy.optimize import minimize

    deltas, place = np.unique(distance, return_inverse=True)
    count, ones = np.bincount(place), np.bincount(place, filled)

    def loss(given: Floats) -> float:
        mean = np.exp(np.clip(given[0] - given[1] * deltas, -30.0, 30.0)) * horizon_s
        return float(-np.sum(ones * np.log(-np.expm1(-mean) + 1e-300) - (count - ones) * mean))

    rate = -np.log1p(-min(filled.mean(), 0.999)) / horizon_s
    minimum = minimize(loss, np.array([np.log(max(rate, 1e-9)), 0.1]), method="Nelder-Mead")
    return {"A": float(np.exp(minimum.x[0])), "k": float(minimum.x[1])}
