"""Models exported from scikit-learn predict like scikit-learn, with and without the scaler."""

import numpy as np
import pytest

from mm.errors import FitError
from mm.predict.fitting import check_outcomes, fit
from mm.predict.samples import Samples, Task

CASES = [
    ("return", "logistic", "sklearn.linear_model.Ridge"),
    ("return", "forest", "sklearn.ensemble.RandomForestRegressor"),
    ("return", "mlp", "sklearn.neural_network.MLPRegressor"),
    ("adverse", "logistic", "sklearn.linear_model.LogisticRegression"),
    ("adverse", "forest", "sklearn.ensemble.RandomForestRegressor"),
    ("fill", "mlp", "sklearn.neural_network.MLPClassifier"),
]


def samples(target, count=1500, seed=4):
    """Return samples of three signals, one of them a price; the outcome follows two of them."""
    draw = np.random.default_rng(seed)
    mid = 1000.0 + draw.integers(-5, 5, count) / 2
    rows = np.column_stack(
        [draw.normal(3, 2, count), 0.01 * (mid + draw.normal(0, 0.5, count)), draw.exponential(size=count)]
    )
    if target == "fill":
        rows = np.column_stack([rows, draw.integers(1, 9, count) / 2])
    score = rows[:, 0] - 3 + 2 * (rows[:, 1] / 0.01 - mid)
    outcome = score + draw.normal(0, 1, count)
    us = np.arange(count) * 1_000_000
    side = np.zeros(count, np.int64) if target == "return" else draw.integers(0, 2, count)
    outcome = outcome if target == "return" else (outcome > 0).astype(float)
    return Samples(us, us + 1, side, rows, mid, outcome, outcome, rows[:, 0], np.ones(count))


@pytest.mark.parametrize(("target", "model", "kind"), CASES)
def test_exports_predict_like_scikit_learn(target, model, kind, monkeypatch):
    """To 1e-12: each fitted estimator is recorded and evaluated on the same rows."""
    module, _, name = kind.rpartition(".")
    made, own = [], getattr(pytest.importorskip(module), name)

    class Kept(own):
        def fit(self, x, y):
            made.append((self, x))
            return super().fit(x, y)

    Kept.__name__ = name
    monkeypatch.setattr(f"{module}.{name}", Kept)
    task = Task(target, 1.0, ("spread", "weighted_mid", "depth_1"), (0.5,) if target == "fill" else ())
    given = samples(target)
    fitted = fit(model, task, given, 0.01, seed=7)
    assert len(made) == task.sides
    for side, (estimator, x) in enumerate(made):
        at = given.side == side
        expected = estimator.predict_proba(x)[:, 1] if hasattr(estimator, "predict_proba") else estimator.predict(x)
        if name == "MLPRegressor":  # fitted on moves in standard deviations
            expected = expected * given.outcome.std()
        found = fitted.predictor.predict(given.rows[at], given.mid_ticks[at], side)
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)
        assert np.corrcoef(found, given.outcome[at])[0, 1] > 0.5


def test_fit_contains_only_numeric_arrays():
    """No scikit-learn objects."""
    fitted = fit("forest", Task("return", 1.0, ("spread", "mid", "depth_1")), samples("return"), 0.01, 0)
    assert {values.dtype.kind for values in fitted.arrays.values()} == {"i", "f"}


def test_constant_signal_has_zero_weight():
    """Its scale is 1, and its value equals the mean."""
    given = samples("return")
    given.rows[:, 2] = 5.0
    fitted = fit("logistic", Task("return", 1.0, ("spread", "mid", "depth_1")), given, 0.01, 0)
    assert fitted.scaler["scale"][2] == 1.0
    assert fitted.arrays["0.w0"][2, 0] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("target", "outcome", "message"),
    [
        ("return", np.ones(199), "return over 1 s: 199 samples"),
        ("return", np.zeros(500), "the mid never moves"),
        ("adverse", np.zeros(500), "asks: 0 of 500 samples in a training window are 1"),
        ("adverse", np.ones(500), "asks: 500 of 500 samples"),
        ("adverse", np.arange(500) < 9, "9 of 500"),
    ],
)
def test_uninformative_outcomes_raise_fit_error(target, outcome, message):
    """Too few, or all of one class."""
    with pytest.raises(FitError, match=message):
        check_outcomes(Task(target, 1.0, ("spread",)), np.asarray(outcome, float), 0 if target == "return" else 1)
