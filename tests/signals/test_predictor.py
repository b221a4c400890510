"""Predictor: scaler and kernels against numpy, in a batch and row by row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.signals.predictor import LARGEST_SCALED, Network, Predictor

LINE = Network([np.array([[2.0], [-1.0], [0.5]])], [np.array([0.25])], ["identity"])


def make_predictor(heads=(LINE,), mean=(1.0, 0.0, -2.0), scale=(2.0, 1.0, 4.0), priced=(False, True, False), tick=0.01):
    """Return a linear predictor of three inputs, the second of them a price."""
    return Predictor(heads, np.array(mean), np.array(scale), priced, tick)


@given(st.integers(0, 999), st.integers(0, 30))
def test_inputs_are_scaled_and_prices_are_relative_to_mid(seed, rows):
    """Clipped at LARGEST_SCALED; batch and single rows have equal bits, a NaN affects only its row."""
    draw = np.random.default_rng(seed)
    mid = 1000.0 + draw.integers(-9, 9, rows) / 2
    x = np.column_stack([draw.normal(0, 9, rows), 0.01 * (mid + draw.normal(0, 2, rows)), draw.normal(0, 9, rows)])
    x[draw.random(x.shape) < 0.1] = np.nan
    found = make_predictor().predict(x, mid)
    plain = np.column_stack([(x[:, 0] - 1) / 2, x[:, 1] / 0.01 - mid, (x[:, 2] + 2) / 4])
    expected = np.clip(plain, -LARGEST_SCALED, LARGEST_SCALED) @ [2.0, -1.0, 0.5] + 0.25
    assert found == pytest.approx(expected, nan_ok=True)
    assert np.isnan(found).tolist() == np.isnan(x).any(axis=1).tolist()
    single = [make_predictor().predict(row[None], mid[place, None]) for place, row in enumerate(x)]
    assert np.concatenate([np.empty(0), *single]).tobytes() == found.tobytes()


def test_each_side_has_its_kernel():
    """Bids first, then asks."""
    other = Network([np.zeros((3, 1))], [np.array([7.0])], ["identity"])
    x, mid = np.array([[1.0, 10.0, -2.0]]), np.array([1000.0])
    two = make_predictor((LINE, other))
    assert [two.predict(x, mid, head).tolist() for head in (0, 1)] == [[0.25], [7.0]]
    for head in (-1, 2):
        with pytest.raises(ValueError, match="there are 2"):
            two.predict(x, mid, head)


def test_price_input_without_mid_gives_nan():
    """The mid is NaN when a side of the book is empty."""
    assert np.isnan(make_predictor().predict(np.array([[1.0, 10.0, -2.0]]), np.array([np.nan]))).all()


@pytest.mark.parametrize(
    "parts",
    [
        {"heads": ()},
        {"heads": (Network([np.ones((3, 2))], [np.ones(2)], ["relu"]),)},
        {"mean": (0.0, 0.0)},
        {"priced": (False,)},
        {"scale": (1.0, 0.0, 1.0)},
        {"scale": (1.0, np.nan, 1.0)},
        {"mean": (1.0, np.inf, 1.0)},
        {"tick": 0.0},
    ],
)
def test_inconsistent_parts_are_rejected(parts):
    """Before any computation."""
    with pytest.raises(ValueError, match=r"kernels of|is not a number"):
        make_predictor(**parts)


def test_rows_and_mids_of_wrong_length_are_rejected():
    """Rows of another width, and mids of another length."""
    for rows, mids in ((np.ones((2, 2)), np.ones(2)), (np.ones((2, 3)), np.ones(3))):
        with pytest.raises(ValueError, match="takes 3 inputs and a mid for each"):
            make_predictor().predict(rows, mids)
