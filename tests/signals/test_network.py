"""Kernel of dense networks against numpy and scikit-learn."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.signals.predictor import ACTIVATIONS, Network

PLAIN = {
    "identity": lambda x: x,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0.0),
    "logistic": lambda x: 1.0 / (1.0 + np.exp(-x)),
}


def arrays(shape, seed):
    """Return random weights and biases of a network of *shape*."""
    draw = np.random.default_rng(seed)
    return [draw.normal(size=pair) for pair in itertools.pairwise(shape)], [draw.normal(size=n) for n in shape[1:]]


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.integers(0, 999), st.data())
def test_prediction_equals_layers_applied_in_order(shape, seed, data):
    """For any shape and activations."""
    names = [data.draw(st.sampled_from(ACTIVATIONS)) for _ in shape[1:]]
    weights, biases = arrays(shape, seed)
    x = np.random.default_rng(seed + 1).normal(size=(7, shape[0]))
    expected = x
    for table, row, name in zip(weights, biases, names, strict=True):
        expected = PLAIN[name](expected @ table + row)
    network = Network(weights, biases, names)
    assert network.shape == tuple(shape)
    assert network.predict(x) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(st.lists(st.integers(1, 20), min_size=2, max_size=4), st.integers(0, 999), st.integers(1, 40))
def test_batch_and_single_rows_give_equal_bits(shape, seed, rows):
    """A replay computes over a tape, a live market row by row."""
    network = Network(*arrays(shape, seed), ["tanh"] * (len(shape) - 1))
    x = np.random.default_rng(seed).normal(size=(rows, shape[0]))
    batch = network.predict(x)
    single = np.concatenate([network.predict(row[None, :]) for row in x])
    assert batch.tobytes() == single.tobytes()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nan_input_gives_nan_output(name):
    """Other rows are unchanged."""
    network = Network(*arrays((3, 4, 2), 5), [name, name])
    x = np.arange(9.0).reshape(3, 3)
    x[1, 2] = np.nan
    found = network.predict(x)
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[[0, 2]]).all()


def test_large_values_saturate():
    """No activation leaves its range or becomes NaN."""
    network = Network([np.array([[1.0]])], [np.zeros(1)], ["logistic"])
    assert network.predict(np.array([[-1e6], [0.0], [1e6]])).ravel().tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(("activation", "name"), [("relu", "relu"), ("tanh", "tanh"), ("logistic", "logistic")])
def test_network_agrees_with_scikit_learn(activation, name):
    """A perceptron fitted by scikit-learn gives equal predictions."""
    neural = pytest.importorskip("sklearn.neural_network")
    draw = np.random.default_rng(3)
    x = draw.normal(size=(200, 4))
    y = np.sin(x[:, 0]) + x[:, 1] * x[:, 2]
    fitted = neural.MLPRegressor(hidden_layer_sizes=(6, 5), activation=activation, solver="lbfgs", max_iter=50, tol=1e9)
    fitted.fit(x, y)
    network = Network(fitted.coefs_, fitted.intercepts_, [name, name, "identity"])
    assert network.predict(x)[:, 0] == pytest.approx(fitted.predict(x), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    ("weights", "biases", "names", "message"),
    [
        ([], [], [], "0 tables of weights"),
        ([np.ones((2, 3))], [np.ones(3)], [], "0 activations"),
        ([np.ones((2, 3))], [np.ones(2)], ["relu"], r"layer 0: .*biases of \(2,\)"),
        ([np.ones((2, 3)), np.ones((2, 1))], [np.ones(3), np.ones(1)], ["relu"] * 2, "do not follow 3 inputs"),
        ([np.ones(3)], [np.ones(3)], ["relu"], "layer 0"),
        ([np.ones((2, 3))], [np.ones(3)], ["sine"], "activation 'sine' is not known"),
        ([np.full((2, 3), np.inf)], [np.ones(3)], ["relu"], "not a finite number"),
    ],
)
def test_invalid_network_arrays_are_rejected(weights, biases, names, message):
    """The message contains the layer and the problem."""
    with pytest.raises(ValueError, match=message):
        Network(weights, biases, names)


def test_rows_of_wrong_width_are_rejected():
    """No input is read beyond a row."""
    network = Network(*arrays((3, 2), 1), ["identity"])
    with pytest.raises(ValueError, match="takes 3 inputs"):
        network.predict(np.ones((2, 4)))
