"""The exact moments of the experiment of Avellaneda and Stoikov (2008)."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_moments import KNOWN, PAPER, exact_moments
from plain_tree import leaves, moments

from mm.sim.as2008.exact import exact
from mm.sim.as2008.model import STRATEGIES, PaperModel
from support import SHARED

REFERENCE = SHARED / "reference" / "as2008.json"
# Profit mean and deviation, final inventory's deviation, certainty equivalent.
OTHERS = {
    (0.01, "inventory"): (68.399628, 8.960561, 5.212538, 67.998989),
    (0.01, "symmetric"): (68.66618, 13.677615, 8.711877, 67.729675),
    (0.01, "glft_exact"): (68.52751, 9.752868, 5.498412, 68.052809),
    (0.01, "glft_closed_form"): (68.423744, 9.15056, 3.914566, 68.005809),
    (0.1, "inventory"): (64.892543, 6.543152, 2.926791, 62.787256),
    (0.1, "glft_exact"): (67.83096, 7.250584, 3.096647, 65.237018),
    (0.1, "glft_closed_form"): (67.728913, 7.175344, 2.195683, 65.187573),
    (1.0, "inventory"): (31.454502, 4.837919, 1.641393, 22.430714),
    (1.0, "glft_exact"): (63.922996, 5.618405, 1.701284, 49.890287),
    (1.0, "glft_closed_form"): (63.917609, 5.616089, 1.148766, 49.871449),
}


@pytest.mark.parametrize(("gamma", "strategy"), KNOWN)
def test_exact_moments_match_known_values(gamma, strategy):
    """To 1e-9, from independently written recursions."""
    mean, std, std_q, _ = KNOWN[gamma, strategy]
    got = exact_moments(gamma, strategy)
    assert (got.profit_mean, got.profit_std, got.final_q_std) == pytest.approx((mean, std, std_q), rel=0, abs=1e-9)
    assert got.final_q_mean == pytest.approx(0, abs=1e-12)


@pytest.mark.skipif(not REFERENCE.exists(), reason="needs the reference in ../shared")
def test_exact_moments_match_reference_file():
    """Also the number of fills, the parts of the deviation, and how often lambda·dt is cut."""
    tables = json.loads(REFERENCE.read_text(encoding="utf-8"))["tables"]
    assert len(tables) == 6
    for row in tables:
        got = asdict(exact_moments(row["gamma"], row["strategy"]))
        assert got["avg_spread"] == pytest.approx(row["avg_spread_formula"], abs=1e-6)
        cut = "expected_steps_with_lambda_dt_above_1"
        assert got.pop(cut) == pytest.approx(row["exact"].pop(cut), abs=1e-6)  # the file has six decimals
        assert {name: got[name] for name in row["exact"]} == pytest.approx(row["exact"], rel=0, abs=1e-9)


@pytest.mark.parametrize(("gamma", "strategy"), OTHERS)
def test_exact_moments_of_all_strategies_match_known_values(gamma, strategy):
    """Also the quotes of Guéant, Lehalle and Fernandez-Tapia, and the certainty equivalents."""
    got = exact_moments(gamma, strategy)
    values = (got.profit_mean, got.profit_std, got.final_q_std, got.certainty_equivalent)
    assert values == pytest.approx(OTHERS[gamma, strategy], rel=0, abs=1.5e-6)


@pytest.mark.parametrize("gamma", [0.1, 1.0])
def test_certainty_equivalent_of_symmetric_strategy_is_none(gamma):
    """Without aversion to inventory the expectation depends on inventories that occur once in 10^12 paths.

    The number 40.97 that is sometimes quoted for gamma 0.1 is that of inventories within 60; within 80 it is 39.76.
    """
    assert exact_moments(gamma, "symmetric").certainty_equivalent is None


@pytest.mark.parametrize("gamma", [0.01, 0.1, 1.0])
def test_glft_exact_has_the_largest_certainty_equivalent(gamma):
    """At gamma 1 the paper's rule gives away more than half of it."""
    best = exact_moments(gamma, "glft_exact").certainty_equivalent
    for strategy in ("inventory", "glft_closed_form"):
        assert exact_moments(gamma, strategy).certainty_equivalent < best


def paper_quotes(gamma, k, sigma):
    """Return the paper's rule in prices, from its equations 29 and 30."""

    def quotes(_time, mid, left, q):
        reservation = mid - q * gamma * sigma**2 * left
        half = (gamma * sigma**2 * left + 2 / gamma * math.log(1 + gamma / k)) / 2
        return reservation - half, reservation + half

    return quotes


def constant_quotes(gamma, k, sigma, T):
    """Return the benchmark in prices: the session's average spread around the mid."""
    half = (gamma * sigma**2 * T / 2 + 2 / gamma * math.log(1 + gamma / k)) / 2
    return lambda _time, mid, _left, _q: (mid - half, mid + half)


@settings(max_examples=40, deadline=None)
@given(
    gamma=st.floats(0.01, 2),
    A=st.floats(0.1, 20),
    k=st.floats(0.2, 3),
    sigma=st.floats(0, 3),
    T=st.floats(0.1, 2),
    steps=st.integers(1, 3),
)
def test_recursion_matches_enumeration_of_small_trees(gamma, A, k, sigma, T, steps):
    """Cash, inventory and price, all 8 outcomes of each step; also where lambda·dt is cut to 1."""
    market = PaperModel(gamma=gamma, A=A, k=k, sigma=sigma, horizon_s=T, steps=steps)
    for strategy, quotes in (
        ("inventory", paper_quotes(gamma, k, sigma)),
        ("symmetric", constant_quotes(gamma, k, sigma, T)),
    ):
        expected = moments(leaves(quotes, A=A, k=k, sigma=sigma, T=T, steps=steps), gamma)
        got = asdict(exact(market, STRATEGIES[strategy](market)))
        if got["certainty_equivalent"] is None:
            del expected["certainty_equivalent"]
        # 100 is the price level: a deviation near zero is what two rounded sums of its square leave.
        assert {name: got[name] for name in expected} == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_asymmetric_quotes_give_nonzero_mean_inventory():
    """Symmetric quotes would hide a swap of bid and ask."""

    class Asymmetric:
        average_spread = None

        def distances(self, step, q):
            return 0.2 + 0.1 * q, np.full(q.shape, 0.9)

    market = PaperModel(gamma=0.5, A=1.0, k=1.0, sigma=1.0, horizon_s=1.5, steps=3)
    ends = leaves(lambda _t, mid, _left, q: (mid - 0.2 - 0.1 * q, mid + 0.9), A=1.0, k=1.0, sigma=1.0, T=1.5, steps=3)
    got = asdict(exact(market, Asymmetric()))
    expected = moments(ends, 0.5)
    assert expected["final_q_mean"] > 0.2
    assert {name: got[name] for name in expected} == pytest.approx(expected, abs=1e-9)


@settings(max_examples=8, deadline=None)
@given(gamma=st.floats(1e-3, 2), c=st.floats(0.1, 10), strategy=st.sampled_from(sorted(STRATEGIES)))
def test_price_unit_scales_profits_only(gamma, c, strategy):
    """Cents in place of euros: sigma·c, k/c and gamma/c make every profit c times as large."""
    market = PaperModel(gamma=gamma, A=30.0, k=1.5, sigma=2.0, horizon_s=1.0, steps=20)
    other = PaperModel(gamma=gamma / c, A=30.0, k=1.5 / c, sigma=2.0 * c, horizon_s=1.0, steps=20)
    one, two = exact(market, STRATEGIES[strategy](market)), exact(other, STRATEGIES[strategy](other))
    assert two.profit_mean == pytest.approx(c * one.profit_mean, rel=1e-9)
    assert two.profit_std == pytest.approx(c * one.profit_std, rel=1e-9)
    assert two.final_q_std == pytest.approx(one.final_q_std, rel=1e-9)


def test_inventory_grid_grows_with_session_length():
    """A session ten times as long needs a larger grid than the paper's."""
    long = replace(PAPER, horizon_s=10.0, steps=2000)
    got = exact_moments(0.01, "symmetric", long)
    rate = got.fills_per_path / 2000  # both sides' chance in a step, the same at all times
    assert got.final_q_std == pytest.approx(math.sqrt(2000 * rate * (1 - rate / 2)), rel=1e-12)
    assert got.profit_mean == pytest.approx(got.fills_per_path * got.avg_spread / 2, rel=1e-12)
