"""The optimal quote models against published numbers, against each other's formulas, and by their own identities."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from mm.backtest.fills.intensity import FOREVER, Intensity
from mm.backtest.models import avellaneda_stoikov_bare
from mm.backtest.quotes.bounded import CarteaJaimungal, Glft, Gueant, InventoryLevels
from mm.errors import UsageError
from support import SHARED

PAPER = {"k": 1.5, "A": 140.0, "sigma": 2.0}  # of Avellaneda and Stoikov
FIGURES = {"gamma": 0.01, "k": 0.3, "A": 0.9, "sigma": 0.3, "q_max": 30}  # as in Guéant, Lehalle, Fernandez-Tapia
LOG = {name: st.floats(low, high).map(lambda power: 10.0**power) for name, low, high in (
    ("gamma", -4, 1), ("k", -2, 1), ("A", -1, 2), ("sigma", -1, 1), ("tau_s", -2, 1.5)
)}  # fmt: skip
MARKETS = st.fixed_dictionaries({name: LOG[name] for name in ("k", "A", "sigma")})
MODES = st.sampled_from(["stationary", "exact", "closed_form"])
QUICK = settings(max_examples=60, deadline=None)


def near(distances, digits=9):
    return pytest.approx(distances, rel=10.0**-digits, abs=10.0**-digits)


# Published numbers


PRINTED = [  # sigma, A, k, gamma, q: bid and ask of the eigenvector and of the closed form
    (0.3, 0.9, 0, (3.313045, 3.313045), (3.312915, 3.312915)),
    (1.0, 0.2, 10, (8.022747, -1.072185), (8.317763, -1.279915)),
    (0.4, 0.9, 10, (4.230704, 2.417367), (4.229104, 2.419348)),
]


@pytest.mark.parametrize(("sigma", "A", "q", "stationary", "closed"), PRINTED)
def test_quotes_equal_dense_eigenvector_and_closed_form(sigma, A, q, stationary, closed):
    """Parameters of the figures of Guéant, Lehalle and Fernandez-Tapia; values computed elsewhere from the formulas."""
    params = FIGURES | {"sigma": sigma, "A": A}
    assert Glft(**params).distances(q) == pytest.approx(stationary, abs=1e-6)
    assert Glft(mode="closed_form", **params).distances(q) == pytest.approx(closed, abs=1e-6)


@pytest.mark.skipif(not (SHARED / "reference").exists(), reason="needs the reference values in ../shared")
def test_quotes_equal_reference_file():
    """To the last printed digit, at each of its parameters and inventories."""
    reference = json.loads((SHARED / "reference" / "as2008.json").read_text())["glft"]
    for case in reference["stationary_quotes"]:
        params = {
            "gamma": case["gamma_per_tick"],
            "k": case["k_per_tick"],
            "A": case["A_per_s"],
            "sigma": case["sigma_tick_per_sqrt_s"],
            "q_max": case["Q"],
        }
        for row in case["quotes"]:
            for mode, name in (("stationary", "exact_stationary"), ("closed_form", "closed_form")):
                expected = row[f"bid_{name}"], row[f"ask_{name}"]
                assert Glft(mode=mode, **params).distances(row["q"]) == pytest.approx(expected, abs=1e-6)
    exact = Glft(mode="exact", gamma=0.1, q_max=60, **PAPER)
    for row in reference["finite_horizon_as_parameters_gamma_0_1"]:
        expected = row["bid_exact"], row["ask_exact"]
        assert exact.distances(row["q"], row["time_left"]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("gamma", "worth"), [(0.01, 67.845689), (0.1, 64.133489), (1.0, 45.199668)])
def test_quotes_earn_certainty_equivalent_of_exact_policy(gamma, worth):
    """The value of a session from flat is the integral of both sides' rates, weighted with the edge: ln(v(0))/k.

    By the equation of v, d ln v(0)/d tau is eta·(v(1) + v(-1))/v(0), and the quotes contain those ratios.
    """
    model = Glft(mode="exact", gamma=gamma, q_max=60, horizon_s=1.0, **PAPER)
    eta = PAPER["A"] * (1 + gamma / PAPER["k"]) ** -(1 + PAPER["k"] / gamma)
    edge, grid = math.log1p(gamma / PAPER["k"]) / gamma, np.polynomial.legendre.leggauss(60)
    rates = [
        sum(math.exp(PAPER["k"] * (edge - side)) for side in model.distances(0, 0.5 + 0.5 * node)) for node in grid[0]
    ]
    assert eta * 0.5 * np.dot(grid[1], rates) / PAPER["k"] == pytest.approx(worth, abs=1e-6)


# Identities


@QUICK
@given(MARKETS, LOG["gamma"], MODES, LOG["tau_s"], st.integers(1, 8), st.data())
def test_quotes_of_a_short_mirror_those_of_a_long(market, gamma, mode, tau_s, q_max, data):
    """At the bound there is no quote that leads beyond it."""
    model = Glft(mode=mode, gamma=gamma, q_max=q_max, **market)
    q = data.draw(st.floats(-q_max - 1, q_max + 1) | st.integers(-q_max, q_max))
    bid, ask = model.distances(q, tau_s)
    assert model.distances(-q, tau_s) == near((ask, bid))
    assert (math.isinf(bid), math.isinf(ask)) == (q >= q_max, q <= -q_max)
    assert model.distances(0, tau_s)[0] == near(model.distances(0, tau_s)[1])


@QUICK
@given(MARKETS, LOG["gamma"], MODES, LOG["tau_s"], st.floats(-5, 5), st.floats(-3, 3).map(lambda x: 10.0**x))
def test_quotes_scale_with_units_of_price_and_time(market, gamma, mode, tau_s, q, c):
    """Prices c times as large make distances c times as large; c times as many seconds leave them unchanged."""
    k, A, sigma = market["k"], market["A"], market["sigma"]
    more = {"mode": mode, "q_max": 6, "drift": 0.01 * sigma, "impact": 0.1 / k}
    expected = np.array(Glft(gamma=gamma, k=k, A=A, sigma=sigma, **more).distances(q, tau_s))
    scaled = {**more, "drift": more["drift"] * c, "impact": more["impact"] * c}
    assert Glft(gamma=gamma / c, k=k / c, A=A, sigma=sigma * c, **scaled).distances(q, tau_s) == near(expected * c, 7)
    rescaled = {**more, "drift": more["drift"] * c}
    faster = Glft(gamma=gamma, k=k, A=A * c, sigma=sigma * math.sqrt(c), **rescaled)
    assert faster.distances(q, tau_s / c) == near(expected, 7)


@QUICK
@given(LOG["k"], LOG["A"], LOG["gamma"], st.integers(-4, 4))
def test_both_distances_equal_markup_without_risk_or_time(k, A, gamma, q):
    """(1/gamma)·ln(1 + gamma/k), and 1/k where fills bear no risk either."""
    markup = pytest.approx((math.log1p(gamma / k) / gamma,) * 2, rel=1e-9)
    assert Glft(mode="closed_form", gamma=gamma, k=k, A=A, sigma=0.0).distances(q) == markup
    assert Glft(mode="exact", gamma=gamma, k=k, A=A, sigma=1.0, q_max=9).distances(q, 0.0) == markup
    for tiny in (1e-9, 1e-200):
        neutral = Glft(mode="closed_form", gamma=tiny * k, k=k, A=A, sigma=1e-9)
        assert neutral.distances(0) == pytest.approx((1 / k, 1 / k), rel=1e-7)
    assert Gueant(gamma=gamma, xi=0.0, k=k, A=A, sigma=0.0).distances(q) == pytest.approx((1 / k, 1 / k), rel=1e-12)


def test_difference_from_avellaneda_stoikov_is_of_third_order_in_time():
    """Both agree to the second order in the time left: a tenth of it leaves a thousandth of the difference."""
    exact = Glft(mode="exact", gamma=0.1, q_max=60, **PAPER)
    simple = avellaneda_stoikov_bare(gamma=0.1, k=1.5, sigma=2.0)
    for q in (1, 2, 5, -3):
        differences = [np.subtract(exact.distances(q, tau_s), simple.distances(q, tau_s)) for tau_s in (1e-2, 1e-3)]
        assert differences[0] / differences[1] == pytest.approx(1000, rel=0.15)


@pytest.mark.parametrize("q", [0, 1, 5, 10, -7])
def test_exact_quotes_with_far_horizon_equal_stationary(q):
    """After 600 s the eigenvector is reached to 2e-7 of a tick, and after a day to the last digit."""
    exact, stationary = Glft(mode="exact", **FIGURES), Glft(**FIGURES)
    assert exact.distances(q, 600.0) == pytest.approx(stationary.distances(q), abs=2e-7)
    assert exact.distances(q, 86_400.0) == pytest.approx(stationary.distances(q), abs=1e-11)


@QUICK
@given(MARKETS, LOG["gamma"], st.sampled_from(["stationary", "exact", "session", "closed_form"]), st.floats(-6, 6))
def test_gueant_with_orders_of_one_clip_equals_glft(market, gamma, mode, q):
    """xi defaults to gamma."""
    general = Gueant(mode=mode, gamma=gamma, q_max=6, **market)
    assert general.distances(q) == Glft(mode=mode, gamma=gamma, q_max=6, **market).distances(q)
    assert Gueant(mode=mode, gamma=gamma, xi=gamma, delta=1.0, q_max=6, **market).distances(q) == general.distances(q)


@QUICK
@given(MARKETS, LOG["gamma"], LOG["tau_s"], st.sampled_from(["stationary", "exact"]), st.integers(-5, 5))
def test_cartea_jaimungal_equals_gueant_without_fill_risk(market, gamma, tau_s, mode, q):
    """Cartea and Jaimungal's quotes at phi = gamma·sigma²/2, alpha = 0 are the general form's at xi = 0."""
    k, A, sigma = market["k"], market["A"], market["sigma"]
    model = CarteaJaimungal(mode=mode, phi=gamma * sigma**2 / 2, k=k, A=A, q_max=6)
    assert model.distances(q, tau_s) == near(
        Gueant(mode=mode, gamma=gamma, xi=0.0, q_max=6, **market).distances(q, tau_s)
    )


@QUICK
@given(MARKETS, LOG["gamma"], LOG["tau_s"], st.sampled_from([0.5, 2.0, 7.0]), MODES, st.integers(-4, 4))
def test_larger_orders_equal_a_market_in_units_of_the_order(market, gamma, tau_s, delta, mode, n):
    """With clips of the order's size, inventory is n and risk per clip is delta times as high; distances are equal."""
    large = Gueant(mode=mode, gamma=gamma, xi=0.4 * gamma, delta=delta, q_max=5 * delta, **market)
    counted = Gueant(mode=mode, gamma=gamma * delta, xi=0.4 * gamma * delta, q_max=5, **market)
    assert large.distances(n * delta, tau_s) == near(counted.distances(n, tau_s))


# The equations solved by other means


def values(n, eta, alpha, beta, tau_s, bend):
    """Return v over the levels by a dense matrix exponential."""
    matrix = np.diag(alpha * n**2 - beta * n) - eta * (
        np.diag(np.ones(len(n) - 1), 1) + np.diag(np.ones(len(n) - 1), -1)
    )
    lowest = np.linalg.eigvalsh(matrix)[0]
    return expm(-(matrix - lowest * np.eye(len(n))) * tau_s) @ np.exp(-bend * n**2)


@pytest.mark.parametrize("delta", [1.0, 2.5])
@pytest.mark.parametrize("xi", [0.0, 0.02, 0.5])
@pytest.mark.parametrize(("drift", "impact"), [(0.0, 0.0), (0.05, 0.0), (-0.02, 1.5)])
def test_quotes_equal_dense_matrix_exponential(delta, xi, drift, impact):
    """Every option at once, from the formulas in the docs, for a finite time and for a practically infinite one."""
    gamma, k, A, sigma, orders = 0.02, 0.4, 1.3, 0.7, 6
    n, x = np.arange(-orders, orders + 1.0), xi * delta / k
    shrink = (1 + x) ** -(1 + 1 / x) if x else math.exp(-1)
    eta = A * shrink * math.exp(-k * impact / 2)
    edge = (math.log(1 + x) / (xi * delta) if x else 1 / k) + impact / 2
    for tau_s, mode in ((7.0, "exact"), (2000.0, "stationary")):
        v = values(n, eta, k * gamma * sigma**2 * delta / 2, k * drift, tau_s, k * impact / 2)
        model = Gueant(
            mode=mode,
            gamma=gamma,
            xi=xi,
            delta=delta,
            k=k,
            A=A,
            sigma=sigma,
            q_max=orders * delta,
            drift=drift,
            impact=impact,
        )
        for i in range(1, 2 * orders):
            expected = edge + math.log(v[i] / v[i + 1]) / k, edge + math.log(v[i] / v[i - 1]) / k
            assert model.distances(n[i] * delta, tau_s) == near(expected)


def test_final_penalty_quotes_equal_dense_matrix_exponential():
    """Omega of the book by Cartea and others, with a final penalty that sets how steeply to unwind near the end."""
    k, A, phi, alpha, n = 0.6, 2.0, 0.03, 0.4, np.arange(-8, 9.0)
    model = CarteaJaimungal(phi=phi, alpha=alpha, k=k, A=A, q_max=8)
    for tau_s in (1e-6, 0.5, 20.0):
        v = values(n, A / math.e, k * phi, 0.0, tau_s, alpha * k)
        for q in (-7, 0, 3):
            expected = (1 + math.log(v[q + 8] / v[q + 9])) / k, (1 + math.log(v[q + 8] / v[q + 7])) / k
            assert model.distances(q, tau_s) == near(expected, 8)


def test_closed_form_shifts_with_drift_and_impact():
    """Row by row of the paper's section 5, by hand: sigma 2, gamma 0.25, k 0.5, A 1; eta = 1.5^-3."""
    params = {"mode": "closed_form", "gamma": 0.25, "k": 0.5, "A": 1.0, "sigma": 2.0}
    slope = math.sqrt(4 * 0.25 / (2 * 0.5) * 1.5**3)
    bid, ask = Glft(**params).distances(2)
    assert (bid, ask) == near((4 * math.log(1.5) + 2.5 * slope, 4 * math.log(1.5) - 1.5 * slope))
    assert Glft(**params, drift=0.3).distances(2) == near((bid - 0.3 * slope, ask + 0.3 * slope))
    wider = slope * math.exp(0.5 * 0.8 / 4)
    moved = 4 * math.log(1.5) + 0.4 + 2.5 * wider, 4 * math.log(1.5) + 0.4 - 1.5 * wider
    assert Glft(**params, impact=0.8).distances(2) == near(moved)


def test_quotes_are_linear_between_inventory_levels():
    """After a partial fill; beyond the last level of a side its quote is constant."""
    model = Glft(**FIGURES)
    bids, asks = zip(*(model.distances(q) for q in (3, 4)), strict=True)
    assert model.distances(3.25) == near((0.75 * bids[0] + 0.25 * bids[1], 0.75 * asks[0] + 0.25 * asks[1]))
    assert model.distances(29.5)[0] == model.distances(29)[0]
    assert model.distances(200)[1] == model.distances(30)[1]


# Extreme parameters


PARAMETERS = ("gamma", "k", "A", "sigma", "horizon_s")
EXTREME = st.fixed_dictionaries({name: st.floats(-6, 4).map(lambda power: 10.0**power) for name in PARAMETERS})


@settings(max_examples=150, deadline=None)
@given(MODES, EXTREME, st.integers(-3, 3))
def test_extreme_parameters_give_finite_monotonic_quotes(mode, market, q):
    """Ten orders of magnitude: no overflow, and with more inventory both quotes are lower."""
    model = Glft(mode=mode, q_max=4, **market)
    bid, ask = model.distances(q)
    assert math.isfinite(bid)
    assert math.isfinite(ask)
    more_bid, more_ask = model.distances(q + 0.5)
    rounding = 1e-9 * (1 / market["k"] + abs(bid) + abs(ask))
    assert more_bid >= bid - rounding
    assert more_ask <= ask + rounding


# Intensity, volatility and parameters


def test_parameters_default_to_those_of_the_fit():
    """k and A come from each segment; where sides differ, A gives their mean rate at the distance 1/k."""
    pieces = [(0, 1_000, 2.0, 0.3, 2.0, 0.3, 0.3), (1_000, 2_000, 1.0, 0.2, 3.0, 0.4, 0.3)]
    model = Glft(sigma=1.0, gamma=0.1, intensity=Intensity(pieces), q_max=5)

    def bid_distance(us):
        answer = model.answer(bid_ticks=99, ask_ticks=101, us=us)
        return 100 - answer.bid_ticks

    assert bid_distance(500) == near(model.distances(0, k=0.3, A=2.0)[0])
    mean = 0.5 * (1.0 * math.exp(-0.2 / 0.3) + 3.0 * math.exp(-0.4 / 0.3)) * math.e
    assert bid_distance(1_500) == near(model.distances(0, k=0.3, A=mean)[0])
    assert model.answer(bid_ticks=99, ask_ticks=101, us=2_000).bid_ticks is None


def test_zero_intensity_gives_no_quotes():
    """A fit may have a rate of 0."""
    model = Glft(sigma=1.0, intensity=Intensity([(0, FOREVER, 0.0, 0.3, 0.0, 0.3, 0.3)]), q_max=5)
    answer = model.answer(bid_ticks=99, ask_ticks=101)
    assert (answer.bid_ticks, answer.ask_ticks) == (None, None)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(["stationary", "exact", "session"]),
    st.fixed_dictionaries({name: LOG[name] for name in ("gamma", "k", "A")}),
    st.floats(0, 2).map(lambda power: 10.0**power),
    st.integers(-9, 9),
    st.lists(st.tuples(LOG["sigma"], st.integers(0, 10**8)), min_size=1, max_size=4),
)
def test_volatility_from_tape_uses_the_same_formula(mode, market, horizon_s, q, requotes):
    """At a requote steps are interpolated, or solved for where that would show: quotes differ by rounding alone."""
    model = Glft(mode=mode, horizon_s=horizon_s, q_max=10, **market)
    for sigma, us in requotes:
        tau_s = horizon_s - 1e-6 * (us % int(horizon_s * 1e6)) if mode == "session" else horizon_s
        answer = model.answer(bid_ticks=1, ask_ticks=1, inventory_lots=q, sigma_ticks=sigma, us=us)
        bid, ask = model.distances(q, tau_s, sigma)
        assert (1 - answer.bid_ticks, answer.ask_ticks - 1) == pytest.approx(
            (bid, ask), rel=1e-7, abs=1e-7 / market["k"]
        )


@pytest.mark.parametrize("mode", ["stationary", "exact", "session"])
def test_answer_is_independent_of_earlier_requotes(mode):
    """To the last digit: replaying a part of a tape makes fewer requotes."""
    random = np.random.default_rng(3)
    requotes = [
        {
            "inventory_lots": int(random.integers(-10, 11)),
            "sigma_ticks": float(sigma),
            "us": int(random.integers(10**7)),
        }
        for sigma in random.uniform(0.2, 3, 200)
    ]

    def answers(views):
        model = Glft(mode=mode, gamma=0.05, k=0.4, A=2.0, q_max=10, horizon_s=10.0)
        return [model.answer(bid_ticks=99, ask_ticks=101, **view) for view in views]

    assert answers(requotes[::-1])[::-1] == answers(requotes)


def test_gueant_quotes_lots_of_its_order_size():
    """The nearest number of lots, and at least one."""
    for delta, lots in ((3.0, 30), (0.26, 3), (0.01, 1)):
        answer = Gueant(gamma=0.1, delta=delta, **PAPER).answer(bid_ticks=9, ask_ticks=11, quote_lots=10)
        assert (answer.bid_lots, answer.ask_lots) == (lots, lots)


@pytest.mark.parametrize(
    ("model", "params", "message"),
    [
        (Glft, {"mode": "weekly"}, "glft: mode is 'weekly'; it must be one of stationary, exact, session, closed_form"),
        (Glft, {"gamma": 0.0}, "glft: gamma is 0.0; it must be a number above 0"),
        (Glft, {"A": None}, "glft: A is missing; give it in quote_params_json or by fill_params_file"),
        (Glft, {"A": math.inf}, "glft: A is inf; it must be a number above 0"),
        (Glft, {"q_max": 2.5}, "glft: q_max is 2.5 clips, 2.5 orders; mode stationary needs whole orders, 1 to 500"),
        (Glft, {"q_max": 501}, "glft: q_max is 501.0 clips, 501 orders; mode stationary needs whole orders"),
        (Glft, {"drift": math.nan}, "glft: drift is nan; it must be a number, in ticks/s"),
        (Glft, {"impact": -1.0}, "glft: impact is -1.0; it must be a number of at least 0"),
        (Gueant, {"xi": -0.1}, "gueant: xi is -0.1; it must be a number of at least 0"),
        (Gueant, {"delta": 0.0}, "gueant: delta is 0.0; it must be a number above 0"),
        (Gueant, {"mode": "exact", "delta": 2.0, "q_max": 3}, "q_max is 3.0 clips, 1.5 orders"),
        (CarteaJaimungal, {"phi": -1.0}, "cartea_jaimungal: phi is -1.0; it must be a number of at least 0"),
        (CarteaJaimungal, {"phi": 1.0, "alpha": math.inf}, "cartea_jaimungal: alpha is inf"),
        (CarteaJaimungal, {"phi": 1.0, "mode": "closed_form"}, "it must be one of exact, session, stationary"),
    ],
)
def test_invalid_parameter_of_optimal_model_is_named_in_usage_error(model, params, message):
    """With its value and the allowed values."""
    with pytest.raises(UsageError, match=message):
        model(**({"k": 1.0, "A": 1.0} | params))


def test_distances_name_missing_sigma_and_invalid_time_left():
    """A number that neither the model nor the call provides, and one that is not allowed."""
    with pytest.raises(UsageError, match=r"glft: sigma is not known; give it to the model or to distances"):
        Glft(k=1.0, A=1.0).distances(0)
    with pytest.raises(UsageError, match=r"glft: tau_s is -1.0; it must be a number of at least 0"):
        Glft(k=1.0, A=1.0, sigma=1.0).distances(0, -1.0)


def test_explicit_parameters_override_the_fit():
    fit = Intensity([(0, FOREVER, 9.0, 9.0, 9.0, 9.0, 9.0)])
    assert Glft(k=1.0, A=1.0, sigma=1.0, intensity=fit).distances(1) == Glft(k=1.0, A=1.0, sigma=1.0).distances(1)


@settings(max_examples=80, deadline=None)
@given(
    MARKETS,
    LOG["gamma"],
    LOG["tau_s"],
    st.sampled_from([-3.0, -0.3, 0.0, 0.3, 3.0]),
    st.sampled_from([0.0, 0.1, 3.0]),
    st.integers(-12, 12),
)
def test_distances_of_one_level_equal_those_of_all_levels(market, gamma, tau_s, drift, impact, q):
    """Far levels are left out where they do not matter; a final penalty on inventory makes the middle matter."""
    k, sigma = market["k"], market["sigma"]
    params = {"gamma": gamma, "q_max": 12, "drift": drift * sigma, "impact": impact / k, **market}
    model = Glft(mode="exact", **params)
    # The problem that Glft solves, for all levels at once; see docs/models.md.
    x = gamma / k
    eta = market["A"] * math.exp(-(1 + 1 / x) * math.log1p(x) - impact / 2)
    rho, tilt = k * gamma * sigma**2 / (2 * eta), k * params["drift"] / eta
    steps = InventoryLevels(12).steps(rho, tilt, eta * tau_s, impact / 2)
    edge = math.log1p(x) / gamma + impact / k / 2
    bid, ask = model.distances(q, tau_s)
    if q < 12:
        assert bid == pytest.approx(edge - steps[q + 12] / k, rel=1e-8, abs=1e-8 / k)
    if q > -12:
        assert ask == pytest.approx(edge + steps[q + 11] / k, rel=1e-8, abs=1e-8 / k)
