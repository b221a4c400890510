"""Kernel of forests: manual cases, precision, and rejected arrays."""

import numpy as np
import pytest

from mm.signals.predictor import Forest

STUMP = {
    "roots": [0],
    "feature": [1, -1, -1],
    "threshold": [0.5, 0.0, 0.0],
    "left": [1, -1, -1],
    "right": [2, -1, -1],
    "value": [0.0, 10.0, 20.0],
}


def forest(inputs=2, **changed):
    """Return a tree with one decision, with changes applied."""
    return Forest(inputs, *(np.array(one) for one in {**STUMP, **changed}.values()))


def test_decision_goes_left_up_to_threshold():
    """The threshold itself goes left; the other input does not matter."""
    assert forest().predict(np.array([[9.0, 0.5], [-9.0, 0.6], [0.0, -7.0]])).ravel().tolist() == [10.0, 20.0, 10.0]


def test_inputs_are_compared_in_single_precision():
    """As in scikit-learn: .1 in single precision is above .1."""
    assert forest(threshold=[0.1, 0.0, 0.0]).predict(np.array([[0.0, 0.1]])).tolist() == [[20.0]]


def test_trees_are_averaged():
    """Two trees, one of them a single leaf."""
    found = forest(**{key: [*values, {"value": 4.0}.get(key, -1)] for key, values in STUMP.items()} | {"roots": [0, 3]})
    assert found.predict(np.array([[0.0, 0.0], [0.0, 1.0]])).ravel().tolist() == [7.0, 12.0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"left": [0, -1, -1]}, "children are not after it"),
        ({"right": [3, -1, -1]}, "children are not after it"),
        ({"left": [-5, -1, -1]}, "children are not after it"),
        ({"feature": [2, -1, -1]}, "compares input 2; there are 2"),
        ({"feature": [-2, -1, -1]}, "compares input"),
        ({"roots": [3]}, "begins at node 3"),
        ({"roots": [-1]}, "begins at node"),
        ({"roots": []}, "0 trees"),
        ({"value": [0.0, np.nan, 1.0]}, "not a finite number"),
        ({"threshold": [np.inf, 0.0, 0.0]}, "not a finite number"),
        ({"threshold": [0.5]}, "differ in length"),
        ({"inputs": 0, "feature": [0, -1, -1]}, "0 inputs"),
    ],
)
def test_invalid_forest_arrays_are_rejected(changed, message):
    """Every path stays inside the arrays and ends."""
    with pytest.raises(ValueError, match=message):
        forest(**changed)


def test_rows_of_wrong_width_are_rejected():
    """No input is read beyond a row."""
    with pytest.raises(ValueError, match="takes 2 inputs"):
        forest().predict(np.ones((2, 3)))
