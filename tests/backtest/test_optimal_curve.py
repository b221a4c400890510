"""Optimal quotes for any falling intensity: equal to the closed form, and better than every other policy."""

import itertools
import json
import math
from functools import partial

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mm.__main__ import main
from mm.backtest.fills.intensity import FOREVER, Intensity
from mm.backtest.models import gueant, optimal_curve
from mm.errors import UsageError

QUICK = settings(max_examples=60, deadline=None)
MARKET = {"k": 0.4, "A": 2.0, "sigma": 1.0, "gamma": 0.05}
TWO_EXPONENTIALS = [
    [0.25 * i, 1.5 * math.exp(-2.0 * 0.25 * i) + 0.05 * math.exp(-0.1 * 0.25 * i)] for i in range(1, 200)
]
STAIRS = [[1.0, 0.5], [2.0, 0.5], [2.5, 0.1], [6.0, 0.1], [7.0, 0.001]]
POWER = [[0.5 * i, 0.3 * (0.5 * i) ** -1.5] for i in range(1, 80)]
CURVES = [TWO_EXPONENTIALS, STAIRS, POWER]


def powers(low, high):
    return st.floats(low, high).map(lambda power: 10.0**power)


def rate_of(curve, delta):
    """Return λ(δ) as in docs/models.md: ln λ linear between points, flat before them, the last line continued."""
    deltas, logs = np.array(curve)[:, 0], np.log(np.array(curve)[:, 1])
    beyond = logs[-1] + (logs[-1] - logs[-2]) / (deltas[-1] - deltas[-2]) * (delta - deltas[-1])
    return np.exp(np.where(delta > deltas[-1], beyond, np.interp(delta, deltas, logs)))


def gain_of(curve, risk, bids, asks, costs=0.0):
    """Return the long-run gain per second of quotes at fixed distances, from the Markov chain of inventories.

    Args:
        curve: The points of λ.
        risk: gamma·sigma².
        bids: The bid's distance at -Q .. Q-1.
        asks: The ask's distance at -Q+1 .. Q.
        costs: Of a fill, in ticks.
    """
    bound = len(bids) // 2
    up, down = rate_of(curve, bids), rate_of(curve, asks)
    log_share = np.concatenate([[0.0], np.cumsum(np.log(up) - np.log(down))])
    share = np.exp(log_share - log_share.max())
    share /= share.sum()
    levels = np.arange(-bound, bound + 1)
    return (
        (share[:-1] * up * (bids - costs)).sum()
        + (share[1:] * down * (asks - costs)).sum()
        - 0.5 * risk * (share * levels**2).sum()
    )


def policy_of(model, bound):
    distances = [model.distances(float(q)) for q in range(-bound, bound + 1)]
    return np.array([bid for bid, _ in distances[:-1]]), np.array([ask for _, ask in distances[1:]])


@QUICK
@given(
    st.fixed_dictionaries({"k": powers(-3, 1), "A": powers(-3, 2), "sigma": powers(-3, 2)}),
    powers(-4, 0.3),
    st.sampled_from([0.0, 1e-3, 1.0]),
    st.sampled_from([1, 2, 7, 30, 100]),
    st.tuples(st.floats(0, 2), st.floats(-1, 1), st.floats(-1, 1)),
)
def test_exponential_intensity_gives_the_closed_form(market, aversion, xi_share, q_max, others):
    """To 1e-9 of 1/k or better, for all markets, inventories and risk aversions."""
    k, (costs, drift, place) = market["k"], others
    gamma = aversion * k
    shared = {**market, "gamma": gamma, "q_max": q_max, "xi": xi_share * gamma}
    shared["drift"] = drift * gamma * market["sigma"] ** 2 * q_max
    q = round(place * q_max)
    expected = gueant(mode="stationary", impact=2.0 * costs / k, **shared).distances(q)
    distances = optimal_curve(adverse_ticks=costs / k, **shared).distances(q)
    assert distances == pytest.approx(expected, rel=1e-9, abs=1e-9 / k)


def nearest_best(curve, price):
    """Return the distance of the highest λ(δ)·(δ - price) by a look at every line of the curve, in its arithmetic."""
    first = curve[0][0]
    lines = [(-math.inf, first, first, math.log(curve[0][1]), 0.0)]
    for (delta, rate), (after, lower) in itertools.pairwise(curve):
        lines.append((delta, after, delta, math.log(rate), math.log(rate / lower) / (after - delta)))
    lines[-1] = (lines[-1][0], math.inf, *lines[-1][2:])
    most, best = -math.inf, math.nan
    for begin, end, at, log_rate, k in lines:
        distance = min(max(price + (1.0 / k if k > 0.0 else math.inf), begin), end)
        gain = math.exp(log_rate - k * (distance - at)) * (distance - price)
        if gain > most:
            most, best = gain, distance
    return best


def drawn_curves():
    gaps = st.one_of(st.just(0.5), st.floats(0.01, 5.0))
    falls = st.one_of(st.just(0.0), st.just(0.2), st.floats(0.0, 3.0))
    drawn = st.lists(st.tuples(gaps, falls), min_size=1, max_size=40).map(points_of)
    tied = st.integers(2, 30).map(lambda count: [[float(i), 1.0 / i] for i in range(1, count)] + [[count, 0.1 / count]])
    return st.one_of(drawn, tied, st.sampled_from(CURVES))


def points_of(steps):
    delta, log_rate, curve = 0.0, 0.0, [[0.0, 1.0]]
    for gap, fall in steps:
        delta, log_rate = delta + gap, log_rate - fall
        curve.append([delta, math.exp(log_rate)])
    return [*curve, [delta + 1.0, 0.5 * curve[-1][1]]]


@QUICK
@given(drawn_curves(), st.lists(st.one_of(st.just(0.0), st.floats(-100.0, 100.0)), min_size=1, max_size=20))
def test_best_distance_is_that_of_a_look_at_every_line(curve, prices):
    """Lines that cannot be optimal are left out: to the last bit, also where several are equally good."""
    for price in prices:
        model = optimal_curve(curve=curve, sigma=1.0, adverse_ticks=price)
        assert model.k == 1.0 / (nearest_best(curve, price) - price)


def test_curve_of_exponential_points_equals_the_exponential():
    points = [[0.5 * i, 2.0 * math.exp(-0.4 * 0.5 * i)] for i in range(-40, 100)]
    market = {"sigma": 1.0, "gamma": 0.05, "q_max": 10}
    model = optimal_curve(curve=points, **market)
    assert (model.k, model.A) == pytest.approx((0.4, 2.0), rel=1e-12)
    for q in (-10, -3, 0.5, 10):
        expected = optimal_curve(k=0.4, A=2.0, **market).distances(q)
        assert model.distances(q) == pytest.approx(expected, rel=1e-9)
    auto = optimal_curve(curve=points, sigma=1.0).distances(1.0)
    assert auto == pytest.approx(optimal_curve(k=0.4, A=2.0, sigma=1.0).distances(1.0), rel=1e-9)


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("risk", [1e-4, 0.02, 1.0])
def test_no_other_policy_has_a_higher_gain(curve, risk):
    """The gain of a policy follows from its chain of inventories; policy iteration on a grid finds no better one."""
    bound, costs = 6, 0.3
    model = optimal_curve(curve=curve, gamma=risk, sigma=1.0, q_max=bound, adverse_ticks=0.2, fee_ticks=0.1)
    bids, asks = policy_of(model, bound)
    best = gain_of(curve, risk, bids, asks, costs)
    random = np.random.default_rng(7)
    for width in (0.01, 0.3, 3.0):
        for _ in range(200):
            others = (side + width * random.standard_normal(side.size) for side in (bids, asks))
            assert gain_of(curve, risk, *others, costs) <= best + 1e-12 * (1.0 + abs(best))
    on_grid = plain_policy(curve, risk, bound, costs)
    assert best - 1e-3 * (1.0 + abs(best)) < gain_of(curve, risk, *on_grid, costs) <= best + 1e-12 * (1.0 + abs(best))


def plain_policy(curve, risk, bound, costs):
    """Return the best distances on a grid, by policy iteration with dense linear systems."""
    grid = np.arange(-5.0, 60.0, 0.01)
    rates, count = rate_of(curve, grid), 2 * bound + 1
    values = np.zeros(count)
    for _ in range(100):
        bids = [grid[np.argmax(rates * (grid - costs + values[i + 1] - values[i]))] for i in range(count - 1)]
        asks = [grid[np.argmax(rates * (grid - costs + values[i - 1] - values[i]))] for i in range(1, count)]
        bids, asks = np.array(bids), np.array(asks)
        up, down = rate_of(curve, bids), rate_of(curve, asks)
        system, rewards = np.zeros((count + 1, count + 1)), np.zeros(count + 1)
        for i in range(count):
            system[i, count] = -1.0
            rewards[i] = 0.5 * risk * (i - bound) ** 2
            if i < count - 1:
                system[i, i] -= up[i]
                system[i, i + 1] += up[i]
                rewards[i] -= up[i] * (bids[i] - costs)
            if i > 0:
                system[i, i] -= down[i - 1]
                system[i, i - 1] += down[i - 1]
                rewards[i] -= down[i - 1] * (asks[i - 1] - costs)
        system[count, bound] = 1.0
        solution = np.linalg.solve(system, rewards)[:count]
        if np.allclose(solution, values, rtol=0, atol=1e-12):
            break
        values = solution
    return bids, asks


@QUICK
@given(
    st.lists(st.tuples(st.floats(0.01, 5), st.floats(0, 3)), min_size=1, max_size=30),
    powers(-3, 1), powers(-6, 2), st.integers(1, 40),
)  # fmt: skip
def test_every_falling_curve_gives_valid_quotes(moves, rate, risk, q_max):
    """Finite, skewed against the inventory, and mirrored."""
    points = [[0.5, rate]]
    for step, fall in moves:
        points.append([points[-1][0] + step, points[-1][1] * math.exp(-fall)])
    assume(points[-1][1] < points[-2][1])
    model = optimal_curve(curve=points, gamma=risk, sigma=1.0, q_max=q_max)
    before = (-math.inf, math.inf)
    for q in range(-q_max, q_max + 1):
        bid, ask = model.distances(q)
        assert math.isinf(bid) == (q == q_max)
        assert math.isinf(ask) == (q == -q_max)
        assert bid >= before[0] - 1e-9 * (1 + abs(bid))
        assert ask <= before[1] + 1e-9 * (1 + abs(before[1]))
        assert model.distances(-q)[::-1] == pytest.approx((bid, ask), rel=1e-9, abs=1e-9)
        before = bid, ask


def test_curve_is_flat_before_its_first_point():
    """Prices within the spread are not assumed to fill more often than measured."""
    model = optimal_curve(curve=STAIRS, gamma=100.0, sigma=1.0, q_max=3)
    assert model.distances(3)[1] == STAIRS[1][0]
    assert optimal_curve(curve=[[1.0, 2.0], [3.0, 0.1]], gamma=100.0, sigma=1.0, q_max=3).distances(3)[1] == 1.0


@QUICK
@given(
    st.fixed_dictionaries({"gamma": powers(-4, 1), "k": powers(-2, 1), "A": powers(-1, 2)}),
    st.integers(-9, 9),
    st.lists(powers(-1, 1), min_size=1, max_size=4),
)
def test_volatility_from_tape_is_interpolated_closely(market, q, sigmas):
    """At a requote the values of levels are interpolated; 1e-4 of 1/k is far below a tick."""
    model = optimal_curve(q_max=10, **market)
    for sigma in sigmas:
        answer = model.answer(bid_ticks=1, ask_ticks=1, inventory_lots=q, sigma_ticks=sigma)
        bid, ask = model.distances(q, sigma=sigma)
        assert (1 - answer.bid_ticks, answer.ask_ticks - 1) == pytest.approx(
            (bid, ask), rel=1e-4, abs=1e-4 / market["k"]
        )


@QUICK
@given(drawn_curves(), st.lists(powers(-12, 6), min_size=1, max_size=6), st.sampled_from([1, 2, 9, 40]))
def test_half_of_the_levels_gives_the_quotes_of_all(curve, risks, q_max):
    """Without drift the steps mirror each other, and start near those of another risk; with one all are solved."""
    half = optimal_curve(curve=curve, gamma=1.0, q_max=q_max)
    whole = optimal_curve(curve=curve, gamma=1.0, q_max=q_max, drift=1e-300)
    for risk in risks:
        for q in {0, 1, -q_max, q_max // 2, q_max}:
            expected = whole.distances(q, sigma=math.sqrt(risk))
            assert half.distances(q, sigma=math.sqrt(risk)) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_answer_is_independent_of_earlier_requotes():
    """To the last digit: replaying a part of a tape makes fewer requotes."""
    random = np.random.default_rng(3)
    requotes = [
        {"inventory_lots": int(random.integers(-10, 11)), "sigma_ticks": float(sigma), "us": 0}
        for sigma in random.uniform(0.2, 3, 200)
    ]

    def answers(views):
        model = optimal_curve(curve=POWER, gamma=0.05, q_max=10)
        return [model.answer(bid_ticks=99, ask_ticks=101, **view) for view in views]

    assert answers(requotes[::-1])[::-1] == answers(requotes)


def test_backtest_command_accepts_a_curve(tmp_path):
    """As JSON; the summary reports the parameters."""
    run = partial(CliRunner().invoke, main)
    roots = ["--data-root", str(tmp_path / "data"), "--out-root", str(tmp_path / "out")]
    day = ["--symbol", "SIMUSDT", "--day", "20260105"]
    simulated = run(["sim", "day", *day, "--hours", "0.2", *roots[:2]])
    assert simulated.exit_code == 0, simulated.output
    params = {"curve": POWER, "gamma": 0.05, "q_max": 5}
    flags = ["--quote-model", "optimal_curve", "--quote-params-json", json.dumps(params), "--initial-inventory", "1"]
    result = run(["backtest", *day, *roots, *flags, "--run-id", "R"])
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "out/backtest/SIMUSDT/20260105_R/summary.json").read_text())
    assert summary["n_fills"] > 0
    assert summary["models"]["quote"] == "optimal_curve"
    assert summary["gamma"] == 0.05


def test_intensity_of_a_fit_gives_the_exponential():
    pieces = Intensity([(0, FOREVER, 2.0, 0.4, 2.0, 0.4, 0.4)])
    model = optimal_curve(sigma=1.0, gamma=0.05, intensity=pieces, q_max=5)
    assert model.distances(1, k=0.4, A=2.0) == optimal_curve(**MARKET, q_max=5).distances(1)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"curve": [[1, 1]]}, "be 2 to 1000 points"),
        ({"curve": [[1, 1], [2, 2]]}, "increasing distances and non-increasing rates"),
        ({"curve": [[2, 1], [1, 0.5]]}, "increasing distances"),
        ({"curve": [[1, 1], [2, 1]]}, "the last must be lower than the one before it"),
        ({"curve": [[1, 1], [2, 0]]}, "fills per second above 0"),
        ({"curve": [[1, 1], [2, math.nan]]}, "fills per second above 0"),
        ({"curve": "fit.json"}, "curve is 'fit.json'"),
        ({"curve": STAIRS, "k": 1.0}, "give curve or k, not both"),
        ({"curve": STAIRS, "xi": 0.1}, "xi is 0.1; with a curve it must be 0"),
        ({"curve": STAIRS, "q_max": 2.5}, "q_max is 2.5; it must be a whole number of clips"),
        ({}, "k is missing"),
    ],
)
def test_invalid_curve_raises_usage_error(params, message):
    with pytest.raises(UsageError, match="optimal_curve: .*" + message.replace("[", r"\[")):
        optimal_curve(**{"gamma": 0.1, "sigma": 1.0, **params})
