"""Whole runs of the optimal quote models against the formulas of docs/models.md in plain Python."""

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import eigh, expm
from test_engine import assert_same, drawn

import engine_draws
from engine_cases import compiled_fills, read_journal
from engine_tapes import TEST, tapes
from mm import Quotes, Rules, Tape, backtest
from mm.backtest.fills.intensity import Intensity
from mm.backtest.models import QUOTE_MODELS, poisson, trade_cross

NUMBERS = {"k": st.sampled_from([0.3, 1.1]), "A": st.sampled_from([0.2, 3.0])}
GAMMA, SIGMA = st.sampled_from([0.01, 0.3]), st.sampled_from([0.0, 0.4, 1.7])
HORIZON_AND_BOUND = {"horizon_s": st.sampled_from([0.5, 3.0]), "q_max": st.sampled_from([1.0, 3.0])}
OPTIONS = {"sigma": SIGMA, "impact": st.sampled_from([0.4]), **HORIZON_AND_BOUND}
GLFT = {"mode": st.sampled_from(["stationary", "exact", "closed_form"]), "gamma": GAMMA, **NUMBERS}
MODELS = st.one_of(
    st.tuples(st.just("glft"), st.fixed_dictionaries(GLFT, optional=OPTIONS)),
    st.tuples(
        st.just("gueant"),
        st.fixed_dictionaries(
            {"delta": st.sampled_from([1.0, 0.5]), "xi": st.sampled_from([0.0, 0.2]), **GLFT}, optional=OPTIONS
        ),
    ),
    st.tuples(
        st.just("cartea_jaimungal"),
        st.fixed_dictionaries(
            {"mode": st.sampled_from(["stationary", "exact"]), "phi": st.sampled_from([0.0, 0.05, 1.0]), **NUMBERS},
            optional={"alpha": st.sampled_from([0.3]), **HORIZON_AND_BOUND},
        ),
    ),
)


class PlainQuotes:
    """Optimal quotes as derived in docs/models.md: dense matrices, linear interpolation between levels."""

    def __init__(self, name, params):
        self.params = {
            "sigma": None,
            "horizon_s": 30.0,
            "impact": 0.0,
            "q_max": None,
            "delta": 1.0,
            **params,
        }
        self.name = name

    def tau_s(self, view):
        return self.params["horizon_s"]

    def quote(self, view):
        sigma = view.sigma_ticks if self.params["sigma"] is None else self.params["sigma"]
        if math.isnan(sigma) and self.name != "cartea_jaimungal":
            return None
        bound = self.params["q_max"] or (
            math.inf if self.params["mode"] == "closed_form" else 30 * self.params["delta"]
        )
        q, mid = (view.inventory_lots - view.target_lots) / view.quote_lots, view.mid2_ticks / 2
        bid, ask = self.distances(q / self.params["delta"], sigma, self.tau_s(view), bound)
        lots = None if self.params["delta"] == 1 else max(math.floor(self.params["delta"] * view.quote_lots + 0.5), 1)
        return Quotes(mid - bid if q < bound else None, mid + ask if q > -bound else None, lots, lots)

    def distances(self, n, sigma, tau_s, bound):
        edge, eta, risk, bend = self.problem(sigma)
        k = self.params["k"]
        if self.params["mode"] == "closed_form":
            slope = math.sqrt(risk / eta) / k
            return edge + (n + 0.5) * slope, edge - (n - 0.5) * slope
        orders = round(bound / self.params["delta"])
        levels = np.arange(-orders, orders + 1)
        log_v = log_values(orders, eta, risk, tau_s if self.params["mode"] != "stationary" else None, bend)
        bids, asks = edge - np.diff(log_v) / k, edge + np.diff(log_v) / k
        return np.interp(n, levels[:-1], bids), np.interp(n, levels[1:], asks)

    def problem(self, sigma):
        """Return the edge, eta, the factor of n², and the bend of v at the end."""
        k, A, delta = self.params["k"], self.params["A"], self.params["delta"]
        if self.name == "cartea_jaimungal":
            return 1 / k, A / math.e, self.params["phi"] * k, self.params.get("alpha", 0.0) * k
        x = self.params.get("xi", self.params["gamma"]) * delta / k
        shrink = (1 + x) ** -(1 + 1 / x) if x else 1 / math.e
        edge = (math.log1p(x) / x if x else 1) / k + self.params["impact"] / 2
        eta = A * shrink * math.exp(-k * self.params["impact"] / 2)
        return edge, eta, k * self.params["gamma"] * sigma**2 * delta / 2, k * self.params["impact"] / 2


@lru_cache(maxsize=4096)
def log_values(orders, eta, risk, tau_s, bend):
    n = np.arange(-orders, orders + 1.0)
    matrix = np.diag(risk * n**2) - eta * (np.eye(len(n), k=1) + np.eye(len(n), k=-1))
    eigenvalues, vectors = eigh(matrix)
    if tau_s is None:
        return np.log(np.abs(vectors[:, 0]))
    return np.log(expm((eigenvalues[0] * np.eye(len(n)) - matrix) * tau_s) @ np.exp(-bend * n**2))


@pytest.mark.slow
@drawn(80)
@given(MODELS, st.sampled_from([1, 3, 100_000, 500_000]), st.data())
def test_run_of_optimal_model_equals_run_of_plain_formula(model, unit, data):
    """Also on best prices alone, as the compiled model runs, and with volatility from the tape."""
    name, params = model
    days, rules = data.draw(tapes(unit)), replace(data.draw(engine_draws.rules(unit)), target_lots=None)
    fills = data.draw(engine_draws.trade_crosses(unit))
    compiled, plain = (
        read_journal(backtest(days, quotes, compiled_fills(*fills), rules).journal)
        for quotes in (QUOTE_MODELS[name](**params), PlainQuotes(name, params))
    )
    assert_same(compiled, plain)
    assert compiled.counters == plain.counters


BEGIN_US = 1_000_000


def walk(seconds):
    """Return a synthetic market: a random walk of the mid with prints on both sides."""
    random, mid = np.random.default_rng(5), 1000
    events = [(BEGIN_US, "snapshot", [(mid - 1, 9)], [(mid + 1, 9)])]
    for us in range(BEGIN_US + 300_000, BEGIN_US + seconds * 1_000_000, 300_000):
        new = mid + int(random.integers(-2, 3))
        bids = [(mid - 1, 0), (new - 1, 9)] if new != mid else []
        asks = [(mid + 1, 0), (new + 1, 9)] if new != mid else []
        events.append((us, "depth", bids, asks))
        mid = new
        side = int(random.choice([-1, 1]))
        events.append(
            (us + 100_000, "trade", side, mid + side * int(random.integers(1, 9)), int(random.integers(1, 5)))
        )
    return Tape.of(TEST, events)


class SessionQuotes(PlainQuotes):
    def tau_s(self, view):
        return self.params["horizon_s"] - (view.us - BEGIN_US) % int(self.params["horizon_s"] * 1e6) * 1e-6


def journal_of(quotes, fills, **more):
    rules = Rules(
        TEST.tick_e8, TEST.lot_e8, requote_us=250_000, quote_lots=4, enforce_balances=False, sigma_window_s=30, **more
    )
    return read_journal(backtest(walk(100), quotes, fills, rules).journal)


@pytest.mark.slow
def test_session_mode_restarts_time_left_in_each_session():
    """With volatility that changes each second, remembered steps have no visible effect."""
    for name, params in (
        ("glft", {"gamma": 0.05, "k": 0.4, "A": 2.0, "q_max": 5.0}),
        ("glft", {"gamma": 0.05, "k": 0.4, "A": 2.0, "q_max": 5.0, "sigma": 2.0}),
        ("cartea_jaimungal", {"phi": 0.05, "alpha": 1.0, "k": 0.4, "A": 2.0, "q_max": 5.0}),
    ):
        params |= {"mode": "session", "horizon_s": 20.0}
        compiled, plain = (
            journal_of(quotes, trade_cross(share=0.5))
            for quotes in (QUOTE_MODELS[name](**params), SessionQuotes(name, params))
        )
        assert_same(compiled, plain)
        assert len({row[-1] % 4 for row in compiled.fills}) > 1  # inventories include parts of a clip


def test_half_of_a_clip_is_whole_steps_of_the_exchange():
    """On a tape whose lot is finer than the exchange's step, half of a clip of one step is one step."""
    params = {"gamma": 0.05, "k": 0.4, "A": 2.0, "sigma": 2.0, "delta": 0.5, "xi": 0.2, "mode": "closed_form"}
    compiled, plain = (
        journal_of(quotes, trade_cross(share=0.5), step_lots=4)
        for quotes in (QUOTE_MODELS["gueant"](**params), PlainQuotes("gueant", params))
    )
    assert_same(compiled, plain)
    assert {(row[2], row[6]) for row in compiled.orders if row[2] in (0, 7)} == {(0, 4)}  # placed, none skipped


def test_schedule_provides_k_and_A_of_each_segment():
    """Both come from the segment in force; between segments nothing is quoted."""
    half = BEGIN_US + 45_000_000
    pieces = [(0, half, 2.0, 0.4, 2.0, 0.4, 0.4), (half + 9_000_000, 10**12, 0.5, 0.9, 0.5, 0.9, 0.9)]

    class Scheduled(PlainQuotes):
        def quote(self, view):
            piece = next((row for row in pieces if row[0] <= view.us < row[1]), None)
            self.params |= {"A": piece[2], "k": piece[3]} if piece else {}
            return super().quote(view) if piece else None

    for mode in ("stationary", "exact", "closed_form"):
        params = {"gamma": 0.05, "q_max": 5.0, "mode": mode}
        compiled, plain = (
            journal_of(quotes, poisson(intensity=Intensity(pieces), seed=3))
            for quotes in (QUOTE_MODELS["glft"](**params, intensity=Intensity(pieces)), Scheduled("glft", params))
        )
        assert_same(compiled, plain)
        assert len(compiled.fills) > 10
