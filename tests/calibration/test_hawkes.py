"""Hawkes clustering: the likelihood against plain sums, recovery of true parameters, excluded time and orders."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from clustered_orders import families
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from calibrators import config_of
from drawn_runs import clustering_card
from engine_tapes import tapes
from mm import CalibrationConfig, load_day
from mm.calibration._hawkes import BEGIN, END, likelihood, rescaled
from mm.calibration.hawkes import FEWEST, MOST_EVENTS, ArrivalFlow, Excitation, fit_hawkes, flow_of
from mm.calibration.reference import book_spans
from simulation import simulate_day, truth_of
from small_tapes import book, gap, tape, trade

HOUR_S = 3600.0


def order_flow(draw, most):
    """Return the orders of both sides on a coarse grid with ties, and the spans that count."""
    orders = [np.array(sorted(draw(st.lists(st.integers(0, 40), max_size=most)))) / 4 for _ in (0, 1)]
    edges = sorted(draw(st.sets(st.integers(0, 40), min_size=2, max_size=6)))
    edges = edges[: len(edges) // 2 * 2]
    return orders, np.array(edges).reshape(-1, 2) / 4


@st.composite
def cases(draw):
    """Return orders, spans and random parameters."""
    number = st.floats(0.05, 2.0)
    kernels = draw(st.integers(1, 3))
    law = Excitation(
        np.array([draw(number), draw(number)]),
        np.array([draw(number) for _ in range(4 * kernels)]).reshape(2, 2, kernels) / kernels,
        np.array([draw(number) for _ in range(kernels)]),
    )
    return *order_flow(draw, 12), law


def intensity(orders, law, side, at_s):
    """Return the intensity of *side* just before an instant, by its definition."""
    rate = law.mu[side]
    for source in (0, 1):
        for past in orders[source]:
            if past < at_s:
                for m, beta in enumerate(law.beta):
                    rate += law.branching[side, source, m] * beta * math.exp(-beta * (at_s - past))
    return rate


def integral(orders, law, side, spans):
    """Return the integral of the intensity of *side* over *spans*, summed per order and span."""
    total = 0.0
    for begin, end in spans:
        total += law.mu[side] * (end - begin)
        for source in (0, 1):
            for past in orders[source]:
                for m, beta in enumerate(law.beta):
                    low, high = max(begin - past, 0.0), max(end - past, 0.0)
                    total += law.branching[side, source, m] * (math.exp(-beta * low) - math.exp(-beta * high))
    return total


def within(at_s, spans):
    return any(begin <= at_s < end for begin, end in spans)


def plain_likelihood(orders, spans, law):
    """Return the log-likelihood in O(n²), with full sums for every order."""
    counted = [(side, at) for side in (0, 1) for at in orders[side] if within(at, spans)]
    return sum(math.log(intensity(orders, law, side, at)) for side, at in counted) - sum(
        integral(orders, law, side, spans) for side in (0, 1)
    )


def evaluated(flow, law):
    return likelihood(flow.at_s, flow.kind, law.mu, law.branching, law.beta)


@given(cases())
@settings(max_examples=60, deadline=None)
def test_likelihood_equals_plain_sums(case):
    """With simultaneous orders, orders outside the spans, and several kernels."""
    orders, spans, law = case
    flow = ArrivalFlow.of(orders, spans)
    assert evaluated(flow, law)[0] == pytest.approx(plain_likelihood(orders, spans, law), rel=1e-11, abs=1e-9)
    assert flow.events == tuple(sum(within(at, spans) for at in orders[side]) for side in (0, 1))
    assert flow.exposure_s == pytest.approx(float((spans[:, 1] - spans[:, 0]).sum()))


@given(cases())
@settings(max_examples=25, deadline=None)
def test_gradient_and_hessian_equal_finite_differences(case):
    """Central differences of the plain likelihood and of the kernel's gradient, by mu, n and ln beta."""
    orders, spans, law = case
    flow = ArrivalFlow.of(orders, spans)
    _, gradient, hessian = evaluated(flow, law)
    kernels = law.beta.size

    def at(x):
        return Excitation(x[:2], x[2 : 2 + 4 * kernels].reshape(2, 2, kernels), np.exp(x[2 + 4 * kernels :]))

    x = np.concatenate((law.mu, law.branching.ravel(), np.log(law.beta)))
    step = 1e-5
    for number in range(x.size):
        ahead, behind = x.copy(), x.copy()
        ahead[number] += step
        behind[number] -= step
        slope = (plain_likelihood(orders, spans, at(ahead)) - plain_likelihood(orders, spans, at(behind))) / (2 * step)
        assert gradient[number] == pytest.approx(slope, rel=1e-5, abs=1e-5)
        row = (evaluated(flow, at(ahead))[1] - evaluated(flow, at(behind))[1]) / (2 * step)
        assert hessian[number] == pytest.approx(row, rel=1e-4, abs=1e-4)


@given(cases())
@settings(max_examples=25, deadline=None)
def test_rescaled_time_equals_integral_of_intensity(case):
    """At every row, over the spans before it."""
    orders, spans, law = case
    flow = ArrivalFlow.of(orders, spans)
    clock = rescaled(flow.at_s, flow.kind, law.mu, law.branching, law.beta)
    for row in range(flow.at_s.size):
        now = flow.at_s[row]
        before = [(begin, min(end, now)) for begin, end in spans if begin < now]
        for side in (0, 1):
            assert clock[row, side] == pytest.approx(integral(orders, law, side, before), rel=1e-10, abs=1e-10)


def test_order_at_zero_intensity_has_infinite_negative_likelihood():
    """More kernels than the limit are rejected."""
    flow = ArrivalFlow.of([np.array([1.0]), np.empty(0)], np.array([[0.0, 2.0]]))
    law = Excitation(np.zeros(2), np.full((2, 2, 1), 0.5), np.ones(1))
    assert evaluated(flow, law)[0] == -math.inf
    with pytest.raises(ValueError, match="7 kernels cannot be evaluated"):
        evaluated(flow, Excitation(np.ones(2), np.zeros((2, 2, 7)), np.ones(7)))


ONE = Excitation(np.array([0.10, 0.15]), np.array([[[0.45], [0.2]], [[0.1], [0.5]]]), np.array([1.5]))
TWO = Excitation(
    np.array([0.05, 0.05]), np.array([[[0.2, 0.3], [0.05, 0.1]], [[0.1, 0.1], [0.2, 0.2]]]), np.array([6.0, 0.05])
)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("law", [ONE, TWO], ids=["one kernel", "two kernels"])
def test_fit_recovers_true_parameters(law, seed):
    """Every parameter within four standard errors, the branching ratio within .05, exponential waits."""
    seconds = 8 * HOUR_S
    found = fit_hawkes(ArrivalFlow.of(families(seed, law, seconds), np.array([[0.0, seconds]])))
    assert (found.status, found.law.beta.size) == ("ok", law.beta.size)
    for name in ("mu", "branching", "beta"):
        error = np.abs(getattr(found.law, name) - getattr(law, name)) / getattr(found.se, name)
        assert np.nanmax(error) < 4, name
    assert abs(found.law.ratio - law.ratio) < min(0.05, 4 * found.se_ratio)
    assert max(found.ks) < 0.05
    assert min(found.ks_p) > 1e-3
    assert max(found.ks_poisson) > 2 * max(found.ks)


def test_fit_equals_result_of_other_optimiser():
    """L-BFGS from another start reaches no higher likelihood and the same parameters."""
    orders, spans = families(3, ONE, 1200.0), np.array([[0.0, 1200.0]])
    flow = ArrivalFlow.of(orders, spans)
    found = fit_hawkes(flow)

    def loss(x):
        value, gradient, _ = evaluated(flow, Excitation.of_logs(x))
        return -value, -gradient * np.append(np.exp(x[:-1]), 1.0)

    start = np.log(np.array([0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.7]))
    other = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(-18, 6)] * 7, options={"ftol": 1e-14})
    assert found.loglik >= -other.fun - 1e-6
    assert np.exp(other.x) == pytest.approx(np.exp(found.law.logs), rel=2e-3, abs=1e-4)


def test_branching_ratio_error_follows_delta_method():
    """With slopes of the eigenvalue by finite differences."""
    flow = ArrivalFlow.of(families(4, ONE, 2 * HOUR_S), np.array([[0.0, 2 * HOUR_S]]))
    found = fit_hawkes(flow)
    covariance = np.linalg.inv(-evaluated(flow, found.law)[2])[2:6, 2:6]
    slopes = []
    for at in range(4):
        moved = found.law.matrix.ravel()
        moved[at] += 1e-6
        slopes.append((np.abs(np.linalg.eigvals(moved.reshape(2, 2))).max() - found.law.ratio) / 1e-6)
    assert found.se_ratio == pytest.approx(math.sqrt(np.array(slopes) @ covariance @ np.array(slopes)), rel=1e-4)


def test_poisson_flow_has_no_kernel():
    """Its waits are exponential without excitation."""
    rng = np.random.default_rng(5)
    orders = [np.sort(rng.uniform(0, HOUR_S, count)) for count in (900, 1100)]
    found = fit_hawkes(ArrivalFlow.of(orders, np.array([[0.0, HOUR_S]])))
    assert (found.status, found.law.ratio, found.se_ratio) == ("ok", 0.0, None)
    assert found.law.mu == pytest.approx(np.array([900, 1100]) / HOUR_S)
    assert found.gain == 0.0
    assert max(found.ks) < 0.05
    assert "arrive independently" in str(found)
    assert found.to_json()["kernels"] == []


def test_time_outside_spans_does_not_count():
    """The parameters are recovered although half of the time and its orders are left out."""
    seconds = 5 * HOUR_S
    orders = families(6, ONE, seconds)
    spans = np.array([[begin, begin + 600.0] for begin in np.arange(0, seconds, 1200.0)])
    found = fit_hawkes(ArrivalFlow.of(orders, spans))
    assert found.exposure_s == pytest.approx(seconds / 2)
    assert abs(found.law.ratio - ONE.ratio) < 4 * found.se_ratio
    assert (np.abs(found.law.mu - ONE.mu) < 4 * found.se.mu).all()


def test_too_few_orders_give_status_without_parameters():
    """A clear status, also when only one side is short, and without any book."""
    many, few = np.arange(500.0), np.arange(FEWEST - 1.0)
    found = fit_hawkes(ArrivalFlow.of([many, few], np.array([[0.0, 1000.0]])))
    assert (found.status, found.law) == ("few_events", None)
    assert found.to_json()["branching_ratio"] is None
    assert f"{FEWEST} each are needed" in str(found)
    without_spans = fit_hawkes(ArrivalFlow.of([many, many], np.empty((0, 2))))
    assert (without_spans.status, without_spans.to_json()["n_events"]) == ("no_exposure", {"bid": 0, "ask": 0})


@pytest.mark.slow
def test_many_orders_are_thinned_to_stretches():
    """A bounded number of orders, spread over the day, recovers the same parameters."""
    law = replace(ONE, mu=ONE.mu * 10)
    flow = ArrivalFlow.of(families(7, law, 3 * HOUR_S), np.array([[0.0, 3 * HOUR_S]]))
    assert sum(flow.events) > 2 * MOST_EVENTS
    thinned = flow.thinned()
    assert 0.95 * MOST_EVENTS <= sum(thinned.events) <= MOST_EVENTS
    assert thinned.at_s[-1] - thinned.at_s[0] > 0.9 * (flow.at_s[-1] - flow.at_s[0])
    found = fit_hawkes(flow)
    assert sum(found.events) <= MOST_EVENTS
    assert abs(found.law.ratio - law.ratio) < 0.05


def on_tape(events, end_us, **rule):
    return flow_of([tape(events, 0, end_us)], config_of(hit=rule).rule.grouped)


def test_prints_of_one_side_and_trade_time_are_one_order():
    """Prints outside a valid book are history only."""
    events = [
        trade(5, -1, 99, 50),
        book(10, 99, 101),
        trade(20, -1, 99, 15),
        trade(21, -1, 98, 15),
        trade(21, 1, 101, 15),
        trade(30, -1, 98, 26),
        gap(40),
        trade(50, 1, 101, 44),
        book(60, 99, 101),
    ]
    flow = on_tape(events, 100)
    assert flow.clock == "exchange"
    delay = int(np.median([5 - 50, 5, 6, 6, 4, 6]))
    at_us = np.rint(flow.at_s * 1e6).astype(int)
    assert at_us[flow.kind == 0].tolist() == [15 + delay, 26 + delay, 50 + delay]
    assert at_us[flow.kind == 1].tolist() == [15 + delay, 44 + delay]
    assert at_us[flow.kind == BEGIN].tolist() == [10, 60]
    assert at_us[flow.kind == END].tolist() == [40, 100]
    assert on_tape(events, 100, grouped=False).at_s.size == flow.at_s.size + 1


@pytest.mark.slow
@given(tapes(3), st.integers(-2, 40))
def test_book_spans_are_the_instants_with_a_valid_book(drawn, beyond):
    """Of days, windows and days after a gap, up to any instant."""
    for one in drawn:
        end_us = one.start_us + beyond
        books = [
            (max(int(us), one.start_us), bid > 0 and bid < ask)
            for us, bid, ask in zip(
                one.event_us[one.top_event], one.top_bid_ticks.tolist(), one.top_ask_ticks.tolist(), strict=True
            )
        ]
        valid = {us for us in range(one.start_us, end_us) if [False, *(ok for at, ok in books if at <= us)][-1]}
        spans = book_spans(one, end_us).tolist()
        assert [us for begin, end in spans for us in range(begin, end)] == sorted(valid)
        assert all(begin < end for begin, end in spans)
        assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))


def test_missing_trade_time_switches_to_receive_clock():
    """One print without a trade time is enough."""
    flow = on_tape([book(10, 99, 101), trade(20, -1, 99, 15), trade(30, 1, 101, 0)], 100)
    assert flow.clock == "receive"
    assert np.rint(flow.at_s[flow.kind < BEGIN] * 1e6).tolist() == [20, 30]


@pytest.mark.parametrize("kernels", [0, 2])
def test_report_card_shows_excitation_matrix(kernels):
    """One row per kernel; without excitation or without a fit the card contains a sentence instead."""
    seconds = 8 * HOUR_S
    law = TWO if kernels else replace(TWO, branching=0 * TWO.branching)
    found = fit_hawkes(ArrivalFlow.of(families(1, law, seconds), np.array([[0.0, seconds]])))
    card = clustering_card(found)
    assert ("No order excites another" in card) == (kernels == 0)
    assert card.count(" s</th>") == kernels
    none = fit_hawkes(ArrivalFlow.of([np.empty(0), np.empty(0)], np.array([[0.0, 1.0]])))
    assert "Not fitted: 0 orders hit bids" in clustering_card(none)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_fit_recovers_parameters_from_simulated_day_files(tmp_path, share):
    """The scenario's parameters, through recorder, tape, book and sweeps."""
    folder = simulate_day(
        tmp_path, "hawkes", hours=1.5, seed=9, mu_per_s=0.5, branching_ratio=0.6, cross_share=share, spread_ticks=1
    )
    truth = truth_of(folder)["hawkes"]
    found = fit_hawkes(flow_of([load_day(folder)], CalibrationConfig(reference="mid").rule.grouped))
    assert (found.status, found.clock, found.law.beta.size) == ("ok", "exchange", 1)
    assert abs(found.law.ratio - truth["branching_ratio"]) < 0.05
    matrix = np.array([[truth["branching"][hit][by] for by in ("bid", "ask")] for hit in ("bid", "ask")])
    assert (np.abs(found.law.matrix - matrix) < 4 * np.nan_to_num(found.se.branching[:, :, 0], nan=0.01)).all()
    assert abs(found.law.beta[0] - truth["beta_per_s"]) < 4 * found.se.beta[0]
    assert max(found.ks) < 0.05
