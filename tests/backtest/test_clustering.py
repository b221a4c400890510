"""The block `clustering` of a fit: parsing, its default mean, and invalid blocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.backtest.fills.clustering import Clustering, Kernel
from mm.errors import FitError, UsageError

SIDES = ("bid", "ask")
BLOCK = {
    "mu_per_s": {"bid": 1.0, "ask": 2.0},
    "kernels": [
        {"beta_per_s": 30, "branching": {"bid": {"bid": 0.1, "ask": 0.2}, "ask": {"bid": 0.3, "ask": 0}}},
        {"beta_per_s": 0.5, "branching": {"bid": {"bid": 0, "ask": 0}, "ask": {"bid": 0, "ask": 0}}},
    ],
    "status": "ok",
    "loglik": -3.0,
}


def by_side(values):
    return st.fixed_dictionaries({"bid": values, "ask": values})


KERNELS = st.lists(
    st.fixed_dictionaries({"beta_per_s": st.floats(1e-3, 1e3), "branching": by_side(by_side(st.floats(0, 0.11)))}),
    max_size=4,
)


def test_block_is_parsed():
    """Rows are the excited sides; a kernel without branching is dropped, and other keys are ignored."""
    clustering = Clustering.of(BLOCK)
    assert clustering.mu == (1.0, 2.0)
    assert clustering.kernels == (Kernel(30.0, ((0.1, 0.2), (0.3, 0.0))),)
    assert clustering.sweeps
    assert Clustering.of(BLOCK | {"mean_per_s": {"bid": 3, "ask": 4}, "sweeps": False})[2:] == ((3.0, 4.0), False)


@given(by_side(st.floats(0.01, 100)), KERNELS)
def test_mean_defaults_to_that_of_the_stationary_process(mu, kernels):
    """The solution of m = mu + n·m; exactly mu without branching."""
    clustering = Clustering.of({"mu_per_s": mu, "kernels": kernels})
    n = sum(
        (np.array([[kernel["branching"][i][j] for j in SIDES] for i in SIDES]) for kernel in kernels), np.zeros((2, 2))
    )
    assert clustering.mean == pytest.approx(np.linalg.solve(np.eye(2) - n, [mu[side] for side in SIDES]), rel=1e-9)
    assert n.any() or clustering.mean == clustering.mu


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"kernels": "none"}, "kernels is none; it must be a list of kernels"),
        ({"kernels": [3]}, r"kernels\[0\] is 3; it must be an object with beta_per_s and branching"),
        ({"kernels": [BLOCK["kernels"][0] | {"beta_per_s": 0}]}, r"kernels\[0\].beta_per_s is 0"),
        ({"kernels": [BLOCK["kernels"][0] | {"beta_per_s": True}]}, r"kernels\[0\].beta_per_s is True"),
        ({"kernels": [{"beta_per_s": 1.0, "branching": {"bid": 1}}]}, "an object with bid and ask, the excited side"),
        ({"kernels": [{"beta_per_s": 1.0, "branching": {"bid": 1, "ask": 2}}]}, r"branching.bid is 1"),
        ({"mu_per_s": None}, "mu_per_s is None; it must be an object with bid and ask"),
        ({"mu_per_s": {"bid": -1.0, "ask": 1.0}}, "numbers of 0 or more"),
        ({"mu_per_s": {"bid": float("inf"), "ask": 1.0}}, "numbers of 0 or more"),
        ({"mu_per_s": {"bid": 0.0, "ask": 0.0}}, "mean_per_s is .* it must be numbers above 0"),
        ({"mean_per_s": {"bid": 0.0, "ask": 1.0}}, "it must be numbers above 0: both sides need a positive rate"),
        ({"sweeps": 1}, "sweeps is 1; it must be true or false"),
    ],
)
def test_invalid_block_raises_usage_error(changed, text):
    """The message contains the position in the block, the value, and where to get a block."""
    with pytest.raises(UsageError, match=text) as caught:
        Clustering.of(BLOCK | changed)
    assert "mm calibrate writes such a block" in str(caught.value)


@pytest.mark.parametrize("rows", [((1.0, 0), (0, 0.1)), ((0.5, 0.6), (0.6, 0.5)), ((0.1, 3.0), (3.0, 0.1))])
def test_non_stationary_process_requires_a_mean(rows):
    """The mean of its own day is accepted."""
    branching = {i: dict(zip(SIDES, row, strict=True)) for i, row in zip(SIDES, rows, strict=True)}
    block = BLOCK | {"kernels": [{"beta_per_s": 1.0, "branching": branching}]}
    with pytest.raises(UsageError, match="the branching ratio is 1 or more"):
        Clustering.of(block)
    assert Clustering.of(block | {"mean_per_s": {"bid": 5, "ask": 6}}).mean == (5.0, 6.0)


def test_fit_with_failed_status_is_rejected():
    """The message contains status, reason and remedy."""
    with pytest.raises(FitError, match=r"not usable \(no_exposure: no time\); calibrate more or other days"):
        Clustering.of({"status": "no_exposure", "reason": "no time"})
